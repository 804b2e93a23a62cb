//! All open sessions: room for them, names, and their ends.
//!
//! Sessions have slots of their own, so that however many are open, none is missing for judging. How
//! many are open at once, and how much memory they may use together, is bounded, for all and for each
//! tenant; where there is no room, the answer says when the next one ends by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::{SessionInfo, SessionState};
use sandbox::session::{Session, Written};
use sandbox::{Error, SlotPool};
use tokio::sync::Notify;

use super::driver;
use super::handle::Handle;
use super::metrics::SessionMetrics;
use super::program::{Failure, Program};
use super::spec::ValidSession;
use crate::limits::{ATTEMPTS_MAX, RETRY_AFTER_SECONDS_MAX};
use crate::reward_model::random_word;
use crate::tenants::SessionShare;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Open at once.
    pub open_max: usize,
    /// Bytes of memory that all open sessions may use together.
    pub memory_bytes_max: u64,
}

/// Why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// There is no room.
    #[error("there is no room for another session: {open} of {open_max}{whose} are open")]
    Full {
        /// In whose part.
        whose: Whose,
        /// How many are open there.
        open: usize,
        /// How many can be.
        open_max: usize,
        /// When one ends by itself.
        retry_after_seconds: u64,
    },
    /// The engine does not start.
    #[error("the session's engine does not start: {0}")]
    Engine(String),
    /// A file cannot be put into it.
    #[error("a file cannot be put into the session: {0}")]
    File(std::io::Error),
    /// The service is stopping.
    #[error("the service is shutting down")]
    Closing,
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(Error),
}

/// Whose part of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Whose {
    /// That of all tenants together.
    #[error("")]
    Everybody,
    /// That of the tenant who asks.
    #[error(" that this tenant may have")]
    Tenant,
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sandbox(error) => Self::Sandbox(error),
            Failure::Engine(message) => Self::Engine(message),
        }
    }
}

/// All open sessions. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: SlotPool,
    room: Room,
    metrics: SessionMetrics,
    state: Mutex<State>,
    /// Told whenever a session has ended.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<String, Arc<Handle>>,
    taken: Taken,
    /// Of those who have any.
    by_owner: BTreeMap<Arc<str>, Taken>,
    is_closing: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    sessions: usize,
    memory_bytes: u64,
}

impl Taken {
    fn has_room(self, bounds: SessionShare, memory_bytes: u64) -> bool {
        self.sessions < bounds.open_max
            && self.memory_bytes.saturating_add(memory_bytes) <= bounds.memory_bytes_max
    }

    fn add(&mut self, memory_bytes: u64) {
        self.sessions += 1;
        self.memory_bytes += memory_bytes;
    }

    fn subtract(&mut self, memory_bytes: u64) {
        self.sessions -= 1;
        self.memory_bytes -= memory_bytes;
    }
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
struct Place {
    inner: Arc<Inner>,
    owner: Arc<str>,
    memory_bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.taken.subtract(self.memory_bytes);
        if let Some(own) = state.by_owner.get_mut(&self.owner) {
            own.subtract(self.memory_bytes);
        }
        state.by_owner.retain(|_, own| own.sessions > 0);
        drop(state);
        self.inner.changed.notify_waiters();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Whole at every point where a panic could be.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// No sessions, in slots of `pool`, which nobody else uses.
    #[must_use]
    pub fn new(pool: SlotPool, room: Room, metrics: SessionMetrics) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { pool, room, metrics, state, changed }))
    }

    /// Opens a session. A caller that stops waiting leaves nothing behind.
    ///
    /// # Errors
    /// See [`NotOpened`].
    pub async fn open(&self, valid: ValidSession) -> Result<Arc<Handle>, NotOpened> {
        let started = Instant::now();
        let place = self.take_place(&valid)?;
        let mut attempt = 1;
        let (session, program) = loop {
            match self.start(&valid).await {
                // A slot that fails is replaced; a second one is news about the machine.
                Err(NotOpened::Sandbox(Error::Slot { slot, step, reason }))
                    if attempt < ATTEMPTS_MAX =>
                {
                    tracing::warn!(slot, step, reason, "opening a session again");
                    attempt += 1;
                }
                other => break other?,
            }
        };
        self.0.metrics.opened(valid.engine.kind(), started.elapsed());
        let (id, metrics) = (random_word(), self.0.metrics.clone());
        let (handle, driver) = driver::session(id, valid, session, program, metrics);
        let handle = Arc::new(handle);
        self.0.state().open.insert(handle.id.clone(), Arc::clone(&handle));
        let (inner, kept) = (Arc::clone(&self.0), Arc::clone(&handle));
        // It ends by itself; `close_all` waits for its place to be free.
        drop(tokio::spawn(async move {
            let reason = driver.live().await;
            inner.state().open.remove(&kept.id);
            kept.session.close().await;
            inner.metrics.ended(reason);
            drop(place);
        }));
        if self.0.state().is_closing {
            handle.close().await;
        }
        Ok(handle)
    }

    async fn start(&self, valid: &ValidSession) -> Result<(Session, Program), NotOpened> {
        let pool = &self.0.pool;
        let mut lease = match &valid.image {
            Some(image) => pool.lease_in(image).await,
            None => pool.lease().await,
        }
        .map_err(NotOpened::Sandbox)?;
        lease.install(&valid.installed).await.map_err(NotOpened::Sandbox)?;
        let session = Session::new(lease);
        match self.fill(&session, valid).await {
            Ok(program) => Ok((session, program)),
            Err(error) => {
                session.close().await;
                Err(error)
            }
        }
    }

    async fn fill(&self, session: &Session, valid: &ValidSession) -> Result<Program, NotOpened> {
        if !valid.files.is_empty() {
            match session.write(valid.files.clone()).await.map_err(NotOpened::Sandbox)? {
                Written::Done => {}
                Written::Refused(error) => return Err(NotOpened::File(error)),
            }
        }
        Ok(Program::start(session, valid).await?)
    }

    fn take_place(&self, valid: &ValidSession) -> Result<Place, NotOpened> {
        let Room { open_max, memory_bytes_max } = self.0.room;
        let memory_bytes = valid.limits.memory.0;
        let owner = Arc::clone(&valid.owner.name);
        let mut guard = self.0.state();
        let state = &mut *guard;
        if state.is_closing {
            return Err(NotOpened::Closing);
        }
        let own = state.by_owner.get(&owner).copied().unwrap_or_default();
        let all = SessionShare { open_max, memory_bytes_max };
        // Its own part first: what it can mend itself.
        for (whose, taken, bounds) in
            [(Whose::Tenant, own, valid.owner.sessions), (Whose::Everybody, state.taken, all)]
        {
            if !taken.has_room(bounds, memory_bytes) {
                let (open, open_max) = (taken.sessions, bounds.open_max);
                let counts = |handle: &&Arc<Handle>| match whose {
                    Whose::Everybody => true,
                    Whose::Tenant => handle.valid().owner.name == owner,
                };
                let retry_after_seconds = retry_after(state.open.values().filter(counts));
                self.0.metrics.refused();
                return Err(NotOpened::Full { whose, open, open_max, retry_after_seconds });
            }
        }
        state.taken.add(memory_bytes);
        state.by_owner.entry(Arc::clone(&owner)).or_default().add(memory_bytes);
        Ok(Place { inner: Arc::clone(&self.0), owner, memory_bytes })
    }

    /// The session of this name, where it is this owner's.
    #[must_use]
    pub fn find(&self, id: &str, owner: &str) -> Option<Arc<Handle>> {
        self.0.state().open.get(id).filter(|handle| &*handle.valid().owner.name == owner).cloned()
    }

    /// The open sessions of an owner, oldest first, and how many there can be of all.
    #[must_use]
    pub fn list(&self, owner: &str) -> (Vec<SessionInfo>, usize) {
        let mut open: Vec<Arc<Handle>> = self.0.state().open.values().cloned().collect();
        open.retain(|handle| &*handle.valid().owner.name == owner);
        open.sort_by_key(|handle| handle.shared.opened);
        (open.iter().map(|handle| handle.info()).collect(), self.0.room.open_max)
    }

    /// Closes a session and waits until nothing of it is left.
    pub async fn close(&self, handle: &Handle) {
        handle.close().await;
        self.until(|state| !state.open.contains_key(&handle.id)).await;
        // The driver lets go of the name first; this waits for the slot.
        handle.session.close().await;
    }

    /// Opens no more, closes all, and waits until nothing of them is left. Then the slots go.
    pub async fn close_all(&self) {
        let open: Vec<Arc<Handle>> = {
            let mut state = self.0.state();
            state.is_closing = true;
            state.open.values().cloned().collect()
        };
        for handle in open {
            handle.close().await;
        }
        self.until(|state| state.taken.sessions == 0).await;
        self.0.pool.close().await;
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // From here on no change goes unnoticed.
            changed.as_mut().enable();
            if is_so(&self.0.state()) {
                return;
            }
            changed.await;
        }
    }
}

/// When the first of them ends by itself: busy ones with their time to live.
fn retry_after<'a>(open: impl Iterator<Item = &'a Arc<Handle>>) -> u64 {
    let left = open.map(|handle| {
        let info = handle.info();
        match info.state {
            SessionState::Busy => info.time_to_live_ms,
            SessionState::Idle | SessionState::Dead => info.idle_time_ms.min(info.time_to_live_ms),
        }
    });
    let left = Duration::from_millis(left.min().unwrap_or(0)).as_secs();
    left.clamp(1, RETRY_AFTER_SECONDS_MAX)
}
