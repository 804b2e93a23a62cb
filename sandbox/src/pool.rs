//! A fixed number of slots. A lease waits for a free one; the pool never runs more at once.
//!
//! A slot shows one image for as long as it stands, so switching between images is choosing another
//! slot. Beside the slots of its own image, made at the start, a pool keeps idle ones of the other
//! images that were asked for: made at their first use, up to [`PoolConfig::standing_max`], and then
//! those go first that were not used for longest.
//!
//! A slot that comes back while its program still runs is free again once that has been ended. One that
//! comes back doubtful is destroyed and built anew on a thread of its own, off the path of those who
//! wait for the others.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use nix::sched::sched_getaffinity;
use nix::unistd::Pid;
use tokio::sync::{Notify, Semaphore};

mod threads;

use crate::error::Error;
use crate::image::Image;
use crate::kernel::cgroup::Parent;
use crate::kernel::delegation::Delegation;
use crate::limits::SLOTS_MAX;
use crate::outcome::Outcome;
use crate::privilege::Privilege;
use crate::registry;
use crate::resets::OnReset;
use crate::slot::{Blueprint, Slot};
use crate::spec::{self, InputFile, RunSpec, Streams};
use crate::warm::Warmup;
use threads::Work;

/// Attempts to build a slot anew before it is given up, and the wait between them, doubled each time.
const REBUILD_ATTEMPTS: u32 = 8;
const REBUILD_WAIT: Duration = Duration::from_millis(20);
/// Slots that may stand for each that may run, by default: as many images are switched at no cost.
const STANDING_PER_SLOT: NonZeroUsize = NonZeroUsize::new(24).expect("not zero");

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How many programs may run at the same time.
    pub slots: NonZeroUsize,
    /// How many of them are made at the start; the others at their first use.
    pub ready: usize,
    /// The read-only root that slots show where the lease names no other.
    pub image: Image,
    /// How many slots may stand at once, idle ones of all images counted; at least `slots`.
    pub standing_max: NonZeroUsize,
    /// Runs that are started from a loaded interpreter; see [`crate::warm`].
    pub warm: Vec<Warmup>,
    /// Under which control group, relative to each hierarchy's root, the slots' groups are made; the
    /// caller's own where `None`. An ordinary user's slots do without where that is not delegated.
    pub cgroup_parent: Option<PathBuf>,
    /// Where the locks of slots in use are kept. All pools of a machine must name the same; those of
    /// an ordinary user, one of that user's.
    pub state_dir: PathBuf,
    /// Who hears how long slots take to be reset.
    pub on_reset: Option<OnReset>,
}

impl PoolConfig {
    /// One slot for each processor; state in `/run/assay`, an ordinary user's in
    /// `$XDG_RUNTIME_DIR/assay` or `/tmp/assay-UID`.
    #[must_use]
    pub fn new(image: Image) -> Self {
        let slots = NonZeroUsize::new(processors().len()).unwrap_or(NonZeroUsize::MIN);
        Self {
            slots,
            ready: usize::MAX,
            standing_max: slots.saturating_mul(STANDING_PER_SLOT),
            image,
            warm: Vec::new(),
            cgroup_parent: None,
            state_dir: Privilege::of_caller().state_dir(),
            on_reset: None,
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
    cpus: Vec<usize>,
    state: Mutex<State>,
    /// One permit for each free slot.
    permits: Semaphore,
    /// Told whenever a slot is freed, built or lost.
    changed: Notify,
    rebuilt: AtomicU64,
    doubtful: Mutex<Option<mpsc::Sender<Work>>>,
    /// Slots whose run nobody waits for any more, and is being ended.
    abandoned: Mutex<Option<mpsc::Sender<Slot>>>,
}

/// What there is for a lease.
enum Taken {
    Free(Slot),
    /// None: one has to be made, on this processor.
    Missing {
        cpu: Option<usize>,
    },
}

#[derive(Debug, Default)]
struct State {
    /// By their last use, the latest last.
    free: Vec<Slot>,
    leased: usize,
    building: usize,
    leased_on: HashMap<usize, usize>,
}

impl State {
    /// Leases on a processor.
    fn load(&self, cpu: Option<usize>) -> usize {
        cpu.and_then(|cpu| self.leased_on.get(&cpu)).copied().unwrap_or(0)
    }

    fn end_lease(&mut self, cpu: Option<usize>) {
        self.leased -= 1;
        if let Some(count) = cpu.and_then(|cpu| self.leased_on.get_mut(&cpu)) {
            *count -= 1;
        }
    }

    /// Takes out the free slots that are too many, longest unused first, none of the image `own`.
    fn surplus(&mut self, standing_max: usize, own: &Image) -> Vec<Slot> {
        let mut surplus = Vec::new();
        while self.free.len() + self.leased + self.building > standing_max {
            let Some(oldest) = self.free.iter().position(|slot| slot.image != *own) else { break };
            surplus.push(self.free.remove(oldest));
        }
        surplus
    }
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// How many programs can run at once: slots that can be leased, or are.
    pub slots: usize,
    /// Slots that are leased.
    pub leased: usize,
    /// Slots that stand, whatever their image: free or leased.
    pub standing: usize,
    /// Slots being built anew, or whose run is being ended because nobody waits for it any more.
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

    /// Waits for a free slot that shows the pool's own image.
    ///
    /// # Errors
    /// As [`Self::lease_in`].
    pub async fn lease(&self) -> Result<Lease, Error> {
        self.lease_in(&self.0.config.image).await
    }

    /// Waits until one more program may run, and for a slot that shows `image`: one that stands, or
    /// else one that is made now.
    ///
    /// # Errors
    /// [`Error::Closed`]; where the slot has to be made, as [`Self::new`].
    pub async fn lease_in(&self, image: &Image) -> Result<Lease, Error> {
        let permit = self.0.permits.acquire().await.map_err(|_| Error::Closed)?;
        permit.forget();
        self.hand_out(image).await
    }

    /// Waits for two free slots at once, so that nobody who has one waits for another.
    ///
    /// # Errors
    /// As [`Self::lease_in`]; [`Error::Unfit`] where the pool has fewer than two slots.
    pub async fn lease_pair(&self, images: [Option<&Image>; 2]) -> Result<[Lease; 2], Error> {
        let status = self.status();
        if status.slots + status.building < 2 {
            let reason = "two slots are needed at once, and the pool has one".to_owned();
            return Err(Error::Unfit { reason });
        }
        let permits = self.0.permits.acquire_many(2).await.map_err(|_| Error::Closed)?;
        permits.forget();
        // Both are asked for before either can fail: whoever fails gives its permit back.
        let [first, second] = images.map(|image| image.unwrap_or(&self.0.config.image));
        let (first, second) = (self.hand_out(first).await, self.hand_out(second).await);
        Ok([first?, second?])
    }

    /// A lease of a slot that shows `image`, for a permit that was taken.
    async fn hand_out(&self, image: &Image) -> Result<Lease, Error> {
        let mut lease = match self.0.take(image) {
            Taken::Free(slot) => Lease { slot: Some(slot), pool: Arc::clone(&self.0) },
            Taken::Missing { cpu } => self.make(image.clone(), cpu).await?,
        };
        if let Some(slot) = &mut lease.slot {
            slot.register()?;
        }
        Ok(lease)
    }

    /// Makes a slot for a lease that is counted already. A caller that stops waiting leaves the slot to
    /// the pool.
    async fn make(&self, image: Image, cpu: Option<usize>) -> Result<Lease, Error> {
        let pool = Arc::clone(&self.0);
        let made =
            tokio::task::spawn_blocking(move || match Slot::build(&pool.blueprint(&image, cpu)) {
                Ok(slot) => Ok(Lease { slot: Some(slot), pool }),
                Err(error) => {
                    pool.give_up_lease(cpu);
                    Err(pool.privilege.explain(error))
                }
            });
        made.await.map_err(|error| Error::io("make a slot")(error.into()))?
    }

    /// What the pool is doing now.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let state = locked(&self.0.state);
        PoolStatus {
            slots: self.0.permits.available_permits() + state.leased,
            leased: state.leased,
            standing: state.free.len() + state.leased,
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
        let (abandoned, to_end) = mpsc::channel();
        let pool = Arc::new(Self {
            privilege,
            parent,
            delegation,
            cpus: processors(),
            state: Mutex::default(),
            permits: Semaphore::new(0),
            changed: Notify::new(),
            rebuilt: AtomicU64::new(0),
            doubtful: Mutex::new(Some(sender)),
            abandoned: Mutex::new(Some(abandoned)),
            config,
        });
        for index in 0..pool.config.slots.get().min(pool.config.ready) {
            let cpu = pool.cpus.get(index % pool.cpus.len()).copied();
            let slot = Slot::build(&pool.blueprint(&pool.config.image, cpu))
                .map_err(|error| privilege.explain(error))?;
            locked(&pool.state).free.push(slot);
        }
        pool.permits.add_permits(pool.config.slots.get());
        let weak = Arc::downgrade(&pool);
        std::thread::Builder::new()
            .name("slot-rebuilder".to_owned())
            .spawn(move || threads::rebuild(&receiver, &weak))
            .map_err(Error::io("start the rebuilder"))?;
        let weak = Arc::downgrade(&pool);
        std::thread::Builder::new()
            .name("run-ender".to_owned())
            .spawn(move || threads::end_runs(&to_end, &weak))
            .map_err(Error::io("start the thread that ends runs"))?;
        Ok(pool)
    }

    fn blueprint<'a>(&'a self, image: &'a Image, cpu: Option<usize>) -> Blueprint<'a> {
        let own = *image == self.config.image;
        Blueprint {
            image,
            privilege: self.privilege,
            parent: self.parent.as_ref(),
            state_dir: &self.config.state_dir,
            warm: if own { &self.config.warm } else { image.warm() },
            cpu,
            on_reset: self.config.on_reset.as_ref(),
        }
    }

    /// Counts a lease, and takes the free slot for it whose processor has the fewest.
    fn take(&self, image: &Image) -> Taken {
        let mut state = locked(&self.state);
        state.leased += 1;
        let load = |slot: &Slot| state.load(slot.cpu);
        let best = (0..state.free.len())
            .rev()
            .filter(|index| state.free[*index].image == *image)
            .min_by_key(|index| load(&state.free[*index]));
        let idlest = self.cpus.iter().copied().min_by_key(|cpu| state.load(Some(*cpu)));
        // A processor without work beats a slot that stands, once for each image and processor.
        let best = best.filter(|best| {
            *image == self.config.image || load(&state.free[*best]) <= state.load(idlest)
        });
        let cpu = best.map_or(idlest, |best| state.free[best].cpu);
        if let Some(cpu) = cpu {
            *state.leased_on.entry(cpu).or_default() += 1;
        }
        let Some(best) = best else {
            let surplus = state
                .surplus(self.config.standing_max.max(self.config.slots).get(), &self.config.image);
            drop(state);
            surplus.into_iter().for_each(|slot| self.discard(slot));
            return Taken::Missing { cpu };
        };
        // Not by a swap: the order of the rest is by their last use.
        Taken::Free(state.free.remove(best))
    }

    /// Takes back the count of a lease whose slot could not be made.
    fn give_up_lease(&self, cpu: Option<usize>) {
        let mut state = locked(&self.state);
        state.end_lease(cpu);
        drop(state);
        self.permits.add_permits(1);
        self.changed.notify_waiters();
    }

    /// Destroys a slot that nobody counts any more, aside where that is possible.
    fn discard(&self, slot: Slot) {
        let sent = match &*locked(&self.doubtful) {
            Some(sender) => sender.send(Work::Discard(slot)).map_err(|error| error.0.into_slot()),
            None => Err(slot),
        };
        if let Err(slot) = sent {
            destroy_all(vec![slot]);
        }
    }

    /// Takes a slot back from a lease.
    fn put_back(&self, mut slot: Slot) {
        slot.end_lease();
        let doubtful = slot.is_doubtful();
        {
            let mut state = locked(&self.state);
            state.end_lease(slot.cpu);
            if !doubtful {
                state.free.push(slot);
                drop(state);
                self.permits.add_permits(1);
                self.changed.notify_waiters();
                return;
            }
            state.building += 1;
        }
        if slot.abandon() {
            let sent = match &*locked(&self.abandoned) {
                Some(sender) => sender.send(slot).map_err(|error| error.0),
                None => Err(slot),
            };
            match sent {
                Ok(()) => return,
                Err(unsent) => slot = unsent,
            }
        }
        self.rebuild(slot);
    }

    /// Takes back a slot whose run was ended.
    fn finish_ending(&self, slot: Slot) {
        if slot.is_doubtful() {
            return self.rebuild(slot);
        }
        let mut state = locked(&self.state);
        state.building -= 1;
        state.free.push(slot);
        drop(state);
        self.permits.add_permits(1);
        self.changed.notify_waiters();
    }

    /// Has a doubtful slot, which is counted as being built, made anew.
    fn rebuild(&self, slot: Slot) {
        let sent = match &*locked(&self.doubtful) {
            Some(sender) => sender.send(Work::Rebuild(slot)).map_err(|error| error.0.into_slot()),
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
        } else if self.permits.available_permits() == 0 && state.leased == 0 && state.building == 0
        {
            // Nobody will ever be served again: those who wait must hear of it.
            self.permits.close();
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Builds a slot, patiently: what is short now (memory, process numbers) may be there soon.
    fn build_again(&self, image: &Image, cpu: Option<usize>) -> Option<Slot> {
        let mut wait = REBUILD_WAIT;
        for attempt in 1..=REBUILD_ATTEMPTS {
            match Slot::build(&self.blueprint(image, cpu)) {
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
    pub(crate) fn slot(&mut self) -> Result<&mut Slot, Error> {
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

    /// Runs one program to its end. Dropping the future, and then the lease, ends the program.
    ///
    /// # Errors
    /// [`Error::Launch`] where the program could not be started; [`Error::Slot`] where the slot
    /// failed. What the program does wrong is no error.
    pub async fn run(&mut self, spec: &RunSpec) -> Result<Outcome, Error> {
        self.run_with(spec, Streams::default()).await
    }

    /// As [`Self::run`], with standard streams that lead elsewhere.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_with(&mut self, spec: &RunSpec, streams: Streams) -> Result<Outcome, Error> {
        self.slot()?.run(spec, streams).await
    }
}
