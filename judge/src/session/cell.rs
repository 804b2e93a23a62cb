//! One cell while it runs: what it said so far, within what it may say, and what its client has not
//! taken yet.

use std::collections::VecDeque;
use std::time::Instant;

use protocol::{CellError, CellStatus, ExecuteReply, SessionEvent, SessionState, StopReason};
use tokio::sync::{mpsc, oneshot};

use super::dialogue::{End, Heard};

/// A cell that runs.
pub(super) struct Running {
    pub(super) events: mpsc::Sender<SessionEvent>,
    /// Events that the client has not taken yet.
    pub(super) pending: VecDeque<SessionEvent>,
    pub(super) request: Vec<u8>,
    pub(super) written: usize,
    /// Bytes of events so far, and how many there may be.
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
    pub(super) truncated: bool,
    pub(super) stopped: Option<StopReason>,
    pub(super) is_killed: bool,
    pub(super) is_gone: bool,
    pub(super) deadline: Instant,
    pub(super) after: After,
}

/// What is to be done once a cell has ended.
pub(super) enum After {
    Nothing,
    Restart(oneshot::Sender<Result<(), String>>),
    Close(StopReason),
}

impl Running {
    pub(super) fn new(events: mpsc::Sender<SessionEvent>) -> Self {
        Self {
            events,
            pending: VecDeque::new(),
            request: Vec::new(),
            written: 0,
            bytes: 0,
            bytes_max: 0,
            truncated: false,
            stopped: None,
            is_killed: false,
            is_gone: false,
            deadline: Instant::now(),
            after: After::Nothing,
        }
    }

    /// Takes what was heard, up to what the cell may say.
    pub(super) fn take(&mut self, heard: Vec<Heard>) -> Option<End> {
        let mut end = None;
        for heard in heard {
            match heard {
                Heard::Event(event, bytes) => self.event(event, bytes as u64),
                Heard::End(it) => end = Some(it),
                Heard::Ready | Heard::Failed(_) => {}
            }
        }
        end
    }

    fn event(&mut self, event: SessionEvent, bytes: u64) {
        if self.bytes + bytes > self.bytes_max {
            self.truncated = true;
            return;
        }
        self.bytes += bytes;
        if !self.is_gone {
            self.pending.push_back(event);
        }
    }

    pub(super) fn status(&mut self, state: &str) {
        self.pending.push_back(SessionEvent::Status { execution_state: state.to_owned() });
    }

    /// The last events of a cell.
    pub(super) fn reply(&mut self, reply: ExecuteReply) {
        let state = match reply.state {
            SessionState::Idle => "idle",
            SessionState::Busy => "busy",
            SessionState::Dead => "dead",
        };
        if reply.status == CellStatus::Aborted {
            let error = dead_engine(reply.stopped);
            self.pending.push_back(SessionEvent::Error(error));
        }
        self.status(state);
        self.pending.push_back(SessionEvent::ExecuteReply(reply));
    }

    /// Gives the client what is left for it, beside the cells that follow.
    pub(super) fn deliver(mut self) {
        while let Some(event) = self.pending.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.pending.push_front(event);
                    break;
                }
            }
        }
        if !self.pending.is_empty() {
            drop(tokio::spawn(async move {
                for event in self.pending {
                    if self.events.send(event).await.is_err() {
                        return;
                    }
                }
            }));
        }
    }
}

/// What a client is told where the engine ended, in the shape of an error of the cell.
fn dead_engine(reason: Option<StopReason>) -> CellError {
    let reason = match reason {
        Some(StopReason::CpuTimeLimit) => {
            "the cell used its processor time and could not be interrupted"
        }
        Some(StopReason::WallTimeLimit) => "the cell used its time and could not be interrupted",
        Some(StopReason::MemoryLimit) => "the session used its memory",
        Some(StopReason::OutputLimit) => {
            "the cell said more than it may and could not be interrupted"
        }
        Some(StopReason::IdleCpuTimeLimit) => "processor time was used while no cell ran",
        Some(StopReason::Interrupted | StopReason::ClientGone) => {
            "the cell could not be interrupted"
        }
        Some(StopReason::Restarted) => "the session was restarted",
        Some(StopReason::Closed) => "the session was closed",
        Some(StopReason::TimeToLive | StopReason::IdleTime) => "the session's time was over",
        Some(StopReason::SlotFailed) => "the service failed",
        Some(StopReason::Exited) => "the interpreter ended",
        None => "the interpreter had ended before",
    };
    let ename = "DeadKernelError".to_owned();
    let traceback = vec![format!("{ename}: {reason}")];
    CellError { ename, evalue: reason.to_owned(), traceback }
}
/// The reply to a cell that did not run.
pub(super) fn aborted() -> ExecuteReply {
    ExecuteReply {
        status: CellStatus::Aborted,
        execution_count: 0,
        exit_code: None,
        stopped: None,
        truncated: false,
        state: SessionState::Dead,
        cpu_time_ms: 0.0,
        wall_time_ms: 0.0,
    }
}
