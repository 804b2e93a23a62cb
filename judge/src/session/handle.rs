//! How others reach a session, and what is known of it from outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::{SessionEvent, SessionInfo, SessionState, StopReason};
use sandbox::session::Session;
use tokio::sync::{mpsc, oneshot};

use super::spec::{ValidSession, limits_to_wire};

/// A cell to run.
#[derive(Debug)]
pub struct Cell {
    /// Its code.
    pub code: String,
    /// Whether it is left out of the count.
    pub silent: bool,
    /// Processor time that it may use.
    pub cpu_time: Duration,
    /// Time on the clock that it may use.
    pub wall_time: Duration,
    /// Where its events go; once nobody listens it is interrupted.
    pub events: mpsc::Sender<SessionEvent>,
}

/// Something to do for a session, between two cells or in the middle of one.
#[derive(Debug)]
pub enum Control {
    /// Interrupt the cell.
    Interrupt(oneshot::Sender<()>),
    /// Start the engine anew. Cells that wait are dropped.
    Restart(oneshot::Sender<Result<(), String>>),
    /// End it all.
    Close,
}

/// Why a cell was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The engine has ended.
    Dead(Option<StopReason>),
    /// Too many wait.
    Full,
    /// The session has ended.
    Closed,
}

/// How others reach a session.
#[derive(Debug)]
pub struct Handle {
    /// Its name.
    pub id: String,
    /// Its slot, for files.
    pub session: Session,
    pub(super) shared: Arc<Shared>,
    pub(super) cells: mpsc::Sender<Cell>,
    pub(super) controls: mpsc::Sender<Control>,
}

/// What is known of a session from outside.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) valid: ValidSession,
    pub(super) opened: Instant,
    facts: Mutex<Facts>,
}

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) state: SessionState,
    reason: Option<StopReason>,
    pub(super) cells: u64,
    pub(super) last_used: Instant,
}

impl Shared {
    /// A session that was opened just now.
    pub(super) fn new(valid: ValidSession) -> Self {
        let now = Instant::now();
        let facts = Facts { state: SessionState::Idle, reason: None, cells: 0, last_used: now };
        Self { valid, opened: now, facts: Mutex::new(facts) }
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        // Whole at every point where a panic could be.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expires(&self) -> Instant {
        self.opened + self.valid.time_to_live
    }

    /// When it has been idle for too long.
    pub(super) fn idle_until(&self) -> Instant {
        self.facts().last_used + self.valid.idle_time
    }

    fn used(&self) {
        self.facts().last_used = Instant::now();
    }

    pub(super) fn set(&self, state: SessionState, reason: Option<StopReason>) {
        let mut facts = self.facts();
        (facts.state, facts.reason, facts.last_used) = (state, reason, Instant::now());
    }
}

impl Handle {
    /// Has a cell run after those that wait.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub fn run(&self, cell: Cell) -> Result<(), NotTaken> {
        {
            let facts = self.shared.facts();
            if facts.state == SessionState::Dead {
                return Err(NotTaken::Dead(facts.reason));
            }
        }
        self.shared.used();
        self.cells.try_send(cell).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::Full,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Closed,
        })
    }

    /// Interrupts the cell that runs.
    pub async fn interrupt(&self) {
        let (done, wait) = oneshot::channel();
        self.shared.used();
        if self.controls.send(Control::Interrupt(done)).await.is_ok() {
            // A session that closed meanwhile has no cell either.
            wait.await.ok();
        }
    }

    /// Starts the engine anew.
    ///
    /// # Errors
    /// What the engine says of why it does not start.
    pub async fn restart(&self) -> Result<(), String> {
        let (done, wait) = oneshot::channel();
        self.shared.used();
        if self.controls.send(Control::Restart(done)).await.is_err() {
            return Err("the session was closed".to_owned());
        }
        wait.await.unwrap_or_else(|_| Err("the session was closed".to_owned()))
    }

    /// Asks the session to close.
    pub(super) async fn close(&self) {
        // It has closed already where nobody listens.
        self.controls.send(Control::Close).await.ok();
    }

    /// Notes that somebody asked something of it.
    pub fn used(&self) {
        self.shared.used();
    }

    /// What is known of it.
    #[must_use]
    pub fn info(&self) -> SessionInfo {
        let valid = &self.shared.valid;
        let left = |until: Instant| {
            let left = until.saturating_duration_since(Instant::now());
            u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
        };
        let idle_time_ms = left(self.shared.idle_until());
        let facts = self.shared.facts();
        SessionInfo {
            id: self.id.clone(),
            engine: valid.engine.name().to_owned(),
            image: valid.image.as_ref().map_or(sandbox::image::HOST, |it| it.name()).to_owned(),
            state: facts.state,
            reason: facts.reason,
            cells: facts.cells,
            queued: self.cells.max_capacity() - self.cells.capacity(),
            time_to_live_ms: left(self.shared.expires()),
            idle_time_ms,
            limits: limits_to_wire(&valid.limits),
        }
    }

    /// What it may use.
    #[must_use]
    pub fn valid(&self) -> &ValidSession {
        &self.shared.valid
    }
}
