//! A list of cells in a session of their own, from its opening to its end.

use std::time::{Duration, Instant};

use protocol::{CellOutput, CellStatus, ExecuteReply, OnError, SessionState, StopReason};
use sandbox::outcome::Collected;
use sandbox::spec::RelativePath;
use tokio::sync::mpsc;

use super::handle::{Cell, Handle};
use super::outputs::Outputs;
use super::registry::{NotOpened, Sessions};
use super::spec::ValidSession;
use crate::limits::CELL_EVENTS_MAX;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct CellsRequest {
    /// Where, and under which limits; each cell has the session's.
    pub session: ValidSession,
    /// The code of each cell.
    pub cells: Vec<String>,
    /// Cells at the end that run although one before them failed.
    pub always: usize,
    /// What happens to the cells after one that failed.
    pub on_error: OnError,
    /// Time on the clock of all cells together.
    pub total_time: Duration,
    /// Files to hand back.
    pub fetch: Vec<RelativePath>,
}

/// What became of one cell.
#[derive(Clone, Debug, Default)]
pub struct CellRun {
    /// What it showed.
    pub outputs: Vec<CellOutput>,
    /// How it ended; `None` where it did not run.
    pub reply: Option<ExecuteReply>,
}

/// What became of all of them.
#[derive(Clone, Debug)]
pub struct CellsRun {
    /// In the order of the request.
    pub cells: Vec<CellRun>,
    /// In the order of the request.
    pub files: Vec<Collected>,
    /// Whether the slot failed, so that nothing here may be held against the cells.
    pub failed: bool,
}

/// Closes a session that nobody waits for any more.
struct Closing {
    sessions: Sessions,
    handle: std::sync::Arc<Handle>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let (sessions, handle) = (self.sessions.clone(), std::sync::Arc::clone(&self.handle));
        // A session that closed already is closed at once.
        drop(tokio::spawn(async move { sessions.close(&handle).await }));
    }
}

/// Runs cells one after the other. Dropping the future ends the session.
///
/// # Errors
/// The session could not be opened.
pub async fn run_cells(sessions: &Sessions, request: CellsRequest) -> Result<CellsRun, NotOpened> {
    let limits = request.session.limits;
    let handle = sessions.open(request.session).await?;
    let closing = Closing { sessions: sessions.clone(), handle };
    let handle = &closing.handle;
    let deadline = Instant::now() + request.total_time;
    let own = request.cells.len().saturating_sub(request.always);
    let mut run = CellsRun { cells: Vec::new(), files: Vec::new(), failed: false };
    let (mut is_dead, mut has_failed) = (false, false);
    for (index, code) in request.cells.into_iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let skipped = has_failed && request.on_error == OnError::Stop && index < own;
        if is_dead || skipped || left.is_zero() {
            run.cells.push(CellRun::default());
            continue;
        }
        let (events, received) = mpsc::channel(CELL_EVENTS_MAX);
        let wall_time = limits.wall_time.min(left);
        let cell = Cell { code, silent: false, cpu_time: limits.cpu_time, wall_time, events };
        let Some((outputs, reply)) = (match handle.run(cell) {
            Ok(()) => Outputs::collect(received).await,
            Err(_) => None,
        }) else {
            run.cells.push(CellRun::default());
            is_dead = true;
            continue;
        };
        is_dead = reply.state == SessionState::Dead;
        has_failed |= reply.status != CellStatus::Ok;
        run.failed |= reply.stopped == Some(StopReason::SlotFailed);
        run.cells.push(CellRun { outputs, reply: Some(reply) });
    }
    for path in &request.fetch {
        let bytes_max = sandbox::limits::SESSION_FILE_BYTES_MAX;
        let file = handle.session.read(path, bytes_max).await;
        run.files.push(file.unwrap_or(Collected::Missing));
    }
    sessions.close(handle).await;
    Ok(run)
}
