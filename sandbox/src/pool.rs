//! A fixed number of slots. A lease waits for a free one; the pool never grows.
//!
//! A slot that comes back doubtful is destroyed and built anew on a thread of its own, off the path
//! of those who wait for the others.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use nix::sched::sched_getaffinity;
use nix::unistd::Pid;
use tokio::sync::{Notify, Semaphore};

use crate::error::Error;
use crate::image::Image;
use crate::kernel::cgroup::Parent;
use crate::kernel::delegation::Delegation;
use crate::limits::SLOTS_MAX;
use crate::outcome::Outcome;
use crate::privilege::Privilege;
use crate::registry;
use crate::slot::{Blueprint, Slot};
use crate::spec::{self, InputFile, RunSpec};
use crate::warm::Warmup;

/// Attempts to build a slot anew before it is given up, and the wait between them, doubled each time.
const REBUILD_ATTEMPTS: u32 = 8;
const REBUILD_WAIT: Duration = Duration::from_millis(20);

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How many programs may run at the same time.
    pub slots: NonZeroUsize,
    /// The read-only root that all slots show.
    pub image: Image,
    /// Runs that are started from a loaded interpreter; see [`crate::warm`].
    pub warm: Vec<Warmup>,
    /// Under which control group, relative to each hierarchy's root, the slots' groups are made; the
    /// caller's own where `None`. An ordinary user's slots do without where that is not delegated.
    pub cgroup_parent: Option<PathBuf>,
    /// Where the locks of slots in use are kept. All pools of a machine must name the same; those of
    /// an ordinary user, one of that user's.
    pub state_dir: PathBuf,
}

impl PoolConfig {
    /// One slot for each processor; state in `/run/assay`, an ordinary user's in
    /// `$XDG_RUNTIME_DIR/assay` or `/tmp/assay-UID`.
    #[must_use]
    pub fn new(image: Image) -> Self {
        Self {
            slots: NonZeroUsize::new(processors().len()).unwrap_or(NonZeroUsize::MIN),
            image,
            warm: Vec::new(),
            cgroup_parent: None,
            state_dir: Privilege::of_caller().state_dir(),
        }
    }
}

/// A fixed number of slots. Cheap to clone; all clones are the same pool.
#[derive(Clone, Debug)]
pub struct SlotPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    config: PoolConfig,
    privilege: Privilege,
    /// `None`: an ordinary user's slots without groups.
    parent: Option<Parent>,
    /// Let go of after the last slot, by `close` or by the drop of this field.
    delegation: Mutex<Option<Delegation>>,
    state: Mutex<State>,
    /// One permit for each free slot.
    permits: Semaphore,
    /// Told whenever a slot is freed, built or lost.
    changed: Notify,
    rebuilt: AtomicU64,
    doubtful: Mutex<Option<mpsc::Sender<Slot>>>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Slot>,
    leased: usize,
    building: usize,
    leased_on: HashMap<usize, usize>,
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Slots that stand: free or leased.
    pub slots: usize,
    /// Slots that are leased.
    pub leased: usize,
    /// Slots being built anew.
    pub building: usize,
    /// Slots destroyed and built again since the start.
    pub rebuilt: u64,
}

/// The right to use one slot until dropped.
#[derive(Debug)]
pub struct Lease {
    slot: Option<Slot>,
    pool: Arc<Pool>,
}

/// The processors that this process may use.
fn processors() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return vec![0];
    };
    let count = nix::sched::CpuSet::count();
    (0..count).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind the locks of this file is consistent at every point where a panic could be.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SlotPool {
    /// Cleans up after owners that died, then builds all slots.
    ///
    /// # Errors
    /// [`Error::EntryMissing`] where the caller's `main` does not begin with
    /// [`crate::resident_entry`]; [`Error::Unfit`], [`Error::Build`] or [`Error::Cgroup`] where the
    /// host refuses something that isolation needs.
    pub async fn new(config: PoolConfig) -> Result<Self, Error> {
        if !crate::entered() {
            return Err(Error::EntryMissing);
        }
        if config.slots.get() > SLOTS_MAX {
            let reason = format!("{} slots asked for, at most {SLOTS_MAX}", config.slots);
            return Err(Error::Unfit { reason });
        }
        tokio::task::spawn_blocking(move || Pool::build(config))
            .await
            .map_err(|error| Error::io("build the slots")(error.into()))?
            .map(Self)
    }

    /// Waits for a free slot.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn lease(&self) -> Result<Lease, Error> {
        let permit = self.0.permits.acquire().await.map_err(|_| Error::Closed)?;
        permit.forget();
        let slot = self.0.take_free().ok_or(Error::Closed)?;
        let mut lease = Lease { slot: Some(slot), pool: Arc::clone(&self.0) };
        if let Some(slot) = &mut lease.slot {
            slot.register()?;
        }
        Ok(lease)
    }

    /// What the pool is doing now.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let state = locked(&self.0.state);
        PoolStatus {
            slots: state.free.len() + state.leased,
            leased: state.leased,
            building: state.building,
            rebuilt: self.0.rebuilt.load(Ordering::Relaxed),
        }
    }

    /// Refuses new leases, waits for those that are out, and destroys all slots.
    pub async fn close(&self) {
        self.0.permits.close();
        loop {
            let changed = self.0.changed.notified();
            let free = {
                let mut state = locked(&self.0.state);
                let done = state.leased == 0 && state.building == 0;
                done.then(|| std::mem::take(&mut state.free))
            };
            if let Some(free) = free {
                let delegation = locked(&self.0.delegation).take();
                let destroyed = tokio::task::spawn_blocking(move || {
                    destroy_all(free);
                    delegation.map_or(Ok(()), Delegation::release)
                });
                match destroyed.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%error, "a control group was left behind"),
                    Err(error) => tracing::error!(%error, "slots were left behind"),
                }
                return;
            }
            changed.await;
        }
    }
}

fn destroy_all(slots: Vec<Slot>) {
    for slot in slots {
        if let Err(error) = slot.destroy() {
            tracing::error!(%error, "a slot was left behind");
        }
    }
}

impl Pool {
    fn build(config: PoolConfig) -> Result<Arc<Self>, Error> {
        let privilege = Privilege::of_caller();
        privilege.make_state_dir(&config.state_dir)?;
        let swept = registry::sweep(&config.state_dir)?;
        if swept > 0 {
            tracing::info!(swept, "cleaned up after slots whose owner had died");
        }
        let (parent, delegation) = privilege.groups(config.cgroup_parent.as_deref())?;
        let delegation = Mutex::new(delegation);
        if privilege == Privilege::Rootless {
            let groups = parent.is_some();
            tracing::warn!(groups, "rootless: isolation has fewer layers; preflight names them");
        }
        let (sender, receiver) = mpsc::channel();
        let pool = Arc::new(Self {
            privilege,
            parent,
            delegation,
            state: Mutex::default(),
            permits: Semaphore::new(0),
            changed: Notify::new(),
            rebuilt: AtomicU64::new(0),
            doubtful: Mutex::new(Some(sender)),
            config,
        });
        let cpus = processors();
        for index in 0..pool.config.slots.get() {
            let slot = Slot::build(&pool.blueprint(cpus.get(index % cpus.len()).copied()))
                .map_err(|error| privilege.explain(error))?;
            locked(&pool.state).free.push(slot);
            pool.permits.add_permits(1);
        }
        let weak = Arc::downgrade(&pool);
        std::thread::Builder::new()
            .name("slot-rebuilder".to_owned())
            .spawn(move || rebuild(&receiver, &weak))
            .map_err(Error::io("start the rebuilder"))?;
        Ok(pool)
    }

    fn blueprint(&self, cpu: Option<usize>) -> Blueprint<'_> {
        Blueprint {
            image: &self.config.image,
            privilege: self.privilege,
            parent: self.parent.as_ref(),
            state_dir: &self.config.state_dir,
            warm: &self.config.warm,
            cpu,
        }
    }

    /// Takes the free slot whose processor has the fewest leases.
    fn take_free(&self) -> Option<Slot> {
        let mut state = locked(&self.state);
        let load =
            |slot: &Slot| slot.cpu.and_then(|cpu| state.leased_on.get(&cpu)).copied().unwrap_or(0);
        let best = (0..state.free.len()).rev().min_by_key(|index| load(&state.free[*index]))?;
        let slot = state.free.swap_remove(best);
        state.leased += 1;
        if let Some(cpu) = slot.cpu {
            *state.leased_on.entry(cpu).or_default() += 1;
        }
        Some(slot)
    }

    /// Takes a slot back from a lease.
    fn put_back(&self, mut slot: Slot) {
        slot.end_lease();
        let doubtful = slot.is_doubtful();
        {
            let mut state = locked(&self.state);
            state.leased -= 1;
            if let Some(count) = slot.cpu.and_then(|cpu| state.leased_on.get_mut(&cpu)) {
                *count -= 1;
            }
            if !doubtful {
                state.free.push(slot);
                drop(state);
                self.permits.add_permits(1);
                self.changed.notify_waiters();
                return;
            }
            state.building += 1;
        }
        let sent = match &*locked(&self.doubtful) {
            Some(sender) => sender.send(slot).map_err(|error| error.0),
            None => Err(slot),
        };
        if let Err(slot) = sent {
            destroy_all(vec![slot]);
            self.finish_building(None);
        }
    }

    fn finish_building(&self, slot: Option<Slot>) {
        let mut state = locked(&self.state);
        state.building -= 1;
        if let Some(slot) = slot {
            state.free.push(slot);
            self.rebuilt.fetch_add(1, Ordering::Relaxed);
            self.permits.add_permits(1);
        } else if state.free.is_empty() && state.leased == 0 && state.building == 0 {
            // Nobody will ever be served again: those who wait must hear of it.
            self.permits.close();
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Builds a slot, patiently: what is short now (memory, process numbers) may be there soon.
    fn build_again(&self, cpu: Option<usize>) -> Option<Slot> {
        let mut wait = REBUILD_WAIT;
        for attempt in 1..=REBUILD_ATTEMPTS {
            match Slot::build(&self.blueprint(cpu)) {
                Ok(slot) => return Some(slot),
                Err(error) => tracing::warn!(%error, attempt, "a slot could not be built"),
            }
            std::thread::sleep(wait);
            wait *= 2;
        }
        tracing::error!("a slot was given up");
        None
    }
}

/// The rebuilder's thread: ends when the pool is gone.
fn rebuild(doubtful: &mpsc::Receiver<Slot>, pool: &Weak<Pool>) {
    while let Ok(slot) = doubtful.recv() {
        let cpu = slot.cpu;
        destroy_all(vec![slot]);
        let Some(pool) = pool.upgrade() else { return };
        pool.finish_building(pool.build_again(cpu));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        destroy_all(std::mem::take(&mut locked(&self.state).free));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.put_back(slot);
        }
    }
}

impl Lease {
    fn slot(&mut self) -> Result<&mut Slot, Error> {
        self.slot.as_mut().ok_or(Error::Closed)
    }

    /// Puts files below [`spec::BOX_DIR`], readable and not writable by programs, for all runs of the
    /// lease.
    ///
    /// # Errors
    /// [`Error::Spec`] above the bounds of [`crate::limits`]; [`Error::Slot`] where the slot failed.
    pub async fn install(&mut self, files: &[InputFile]) -> Result<(), Error> {
        spec::check_files(files)?;
        self.slot()?.install(files).await
    }

    /// Runs one program to its end. Dropping the future kills it and destroys the slot.
    ///
    /// # Errors
    /// [`Error::Launch`] where the program could not be started; [`Error::Slot`] where the slot
    /// failed. What the program does wrong is no error.
    pub async fn run(&mut self, spec: &RunSpec) -> Result<Outcome, Error> {
        self.slot()?.run(spec).await
    }
}
