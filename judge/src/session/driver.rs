//! One session: cells one after the other, and what ends them.
//!
//! A cell that meets a limit is interrupted, as its user would do; one that goes on is ended a moment
//! later together with its interpreter, and the session is dead until it is restarted. While no cell
//! runs, nothing is read, so that what background work prints waits in its pipe for the next cell;
//! and what it computes is bounded by a small allowance, so that idle sessions cost others nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{CellStatus, ExecuteReply, SessionState, StopReason};
use sandbox::session::Session;
use sandbox::{Error, Outcome};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::cell::{After, Running, aborted};
use super::dialogue::{End, Heard};
use super::handle::{Cell, Control, Handle, Shared};
use super::metrics::SessionMetrics;
use super::program::{Failure, Parts, Program, end_reason};
use super::spec::ValidSession;
use crate::limits::{
    CELLS_QUEUED_MAX, INTERRUPT_TIME_MAX, SESSION_CONTROLS_MAX, SESSION_END_TIME_MAX,
    SESSION_IDLE_CPU_TIME,
};

/// Runs the cells of one session.
#[derive(Debug)]
pub(super) struct Driver {
    shared: Arc<Shared>,
    session: Session,
    program: Option<Program>,
    cells: mpsc::Receiver<Cell>,
    controls: mpsc::Receiver<Control>,
    metrics: SessionMetrics,
    /// Why its program is being ended.
    ending: Option<StopReason>,
}

/// What happened while a cell ran.
enum Happened {
    Heard(Vec<Heard>),
    Written(usize),
    Delivered,
    Deadline,
    Spent,
    Expired,
    ClientGone,
    Control(Option<Control>),
    ProgramEnded(Result<Outcome, Error>),
}

/// How a cell came to its end.
enum Fate {
    Ended(End),
    /// Together with its engine.
    Died(StopReason),
}

/// A session that runs, and how others reach it.
pub(super) fn session(
    id: String,
    valid: ValidSession,
    session: Session,
    program: Program,
    metrics: SessionMetrics,
) -> (Handle, Driver) {
    let (cells, cells_received) = mpsc::channel(CELLS_QUEUED_MAX);
    let (controls, controls_received) = mpsc::channel(SESSION_CONTROLS_MAX);
    let shared = Arc::new(Shared::new(valid));
    let handle =
        Handle { id, session: session.clone(), shared: Arc::clone(&shared), cells, controls };
    let driver = Driver {
        shared,
        session,
        program: Some(program),
        cells: cells_received,
        controls: controls_received,
        metrics,
        ending: None,
    };
    (handle, driver)
}

impl Driver {
    /// Lives until something ends it, and says what.
    pub(super) async fn live(mut self) -> StopReason {
        self.allow(SESSION_IDLE_CPU_TIME).await;
        loop {
            let (expires, idle) = (self.shared.expires(), self.shared.idle_until());
            let after = tokio::select! {
                control = self.controls.recv() => match control {
                    Some(Control::Interrupt(done)) => {
                        done.send(()).ok();
                        After::Nothing
                    }
                    Some(Control::Restart(done)) => After::Restart(done),
                    Some(Control::Close) | None => After::Close(StopReason::Closed),
                },
                cell = self.cells.recv() => match cell {
                    Some(cell) => self.execute(cell).await,
                    None => After::Close(StopReason::Closed),
                },
                () = sleep_until(expires.into()) => After::Close(StopReason::TimeToLive),
                () = sleep_until(idle.into()) => {
                    if self.shared.idle_until() <= Instant::now() {
                        After::Close(StopReason::IdleTime)
                    } else {
                        After::Nothing
                    }
                }
                news = idle_news(self.program.as_mut()) => self.take_idle(news).await,
            };
            match after {
                After::Nothing => {}
                After::Restart(done) => {
                    let restarted = self.restart().await;
                    done.send(restarted).ok();
                }
                After::Close(reason) => return reason,
            }
        }
    }

    async fn take_idle(&mut self, news: Idle) -> After {
        match news {
            Idle::Spent => {
                self.ending = Some(StopReason::IdleCpuTimeLimit);
                self.end().await;
                After::Nothing
            }
            Idle::Ended(ended) => {
                let reason = self.died(&ended, None);
                if ended.is_err() { After::Close(reason) } else { After::Nothing }
            }
        }
    }

    /// Notes that the engine has ended, and returns why.
    fn died(&mut self, ended: &Result<Outcome, Error>, stopped: Option<StopReason>) -> StopReason {
        let asked = self.ending.take().or(stopped);
        let reason = match ended {
            Ok(outcome) => match end_reason(outcome) {
                None => asked.unwrap_or(StopReason::Exited),
                Some(limit) => limit,
            },
            Err(error) => {
                tracing::warn!(%error, "the slot of a session failed");
                StopReason::SlotFailed
            }
        };
        self.program = None;
        self.shared.set(SessionState::Dead, Some(reason));
        reason
    }

    async fn end(&self) {
        if let Err(error) = self.session.end().await {
            tracing::debug!(%error, "a session's program could not be ended");
        }
    }

    async fn allow(&self, cpu_time: Duration) -> Duration {
        // A slot that failed is told of by the end of its program.
        self.session.allow(cpu_time).await.unwrap_or_default()
    }

    async fn restart(&mut self) -> Result<(), String> {
        while let Ok(cell) = self.cells.try_recv() {
            let mut running = Running::new(cell.events);
            running.reply(aborted());
            running.deliver();
        }
        if let Some(mut program) = self.program.take() {
            self.end().await;
            let ended = tokio::time::timeout(SESSION_END_TIME_MAX, &mut program.inner.ended);
            ended.await.ok();
        }
        self.ending = None;
        match Program::start(&self.session, &self.shared.valid).await {
            Ok(program) => {
                self.program = Some(program);
                self.allow(SESSION_IDLE_CPU_TIME).await;
                self.shared.set(SessionState::Idle, None);
                Ok(())
            }
            Err(failure) => {
                self.shared.set(SessionState::Dead, Some(StopReason::Exited));
                Err(match failure {
                    Failure::Engine(message) => message,
                    Failure::Sandbox(error) => {
                        tracing::warn!(%error, "a session could not be restarted");
                        "its slot failed".to_owned()
                    }
                })
            }
        }
    }

    /// Runs one cell to its end.
    async fn execute(&mut self, cell: Cell) -> After {
        let started = Instant::now();
        let mut running = Running {
            bytes_max: self.shared.valid.limits.output.0,
            deadline: started + cell.wall_time,
            ..Running::new(cell.events)
        };
        let Some(program) = &mut self.program else {
            running.reply(aborted());
            running.deliver();
            return After::Nothing;
        };
        if running.events.is_closed() {
            return After::Nothing;
        }
        running.request = program.request(&cell.code, cell.silent);
        self.shared.set(SessionState::Busy, None);
        running.status("busy");
        let before = self.allow(cell.cpu_time).await;
        let fate = loop {
            if let Some(fate) = self.step(&mut running).await {
                break fate;
            }
        };
        let used = match fate {
            Fate::Ended(_) => self.allow(SESSION_IDLE_CPU_TIME).await.saturating_sub(before),
            Fate::Died(_) => Duration::ZERO,
        };
        let reply = self.reply(fate, &running, used, started.elapsed());
        self.metrics.ran(self.shared.valid.engine.kind(), &reply);
        running.reply(reply);
        let after = std::mem::replace(&mut running.after, After::Nothing);
        running.deliver();
        after
    }

    /// Waits for one thing to happen and does what it asks for.
    async fn step(&mut self, running: &mut Running) -> Option<Fate> {
        let Some(program) = &mut self.program else {
            return Some(Fate::Died(StopReason::Exited));
        };
        let expires = self.shared.expires();
        match happened(program.parts(), &mut self.controls, running, expires).await {
            Happened::Heard(heard) => {
                let end = running.take(heard);
                if running.truncated {
                    self.stop(running, StopReason::OutputLimit).await;
                }
                return end.map(Fate::Ended);
            }
            Happened::Written(length) => running.written += length,
            Happened::Delivered => {}
            Happened::Deadline => self.late(running).await,
            Happened::Spent => self.stop(running, StopReason::CpuTimeLimit).await,
            Happened::ClientGone => {
                running.is_gone = true;
                running.pending.clear();
                self.stop(running, StopReason::ClientGone).await;
            }
            Happened::Expired => {
                running.after = After::Close(StopReason::TimeToLive);
                self.kill(running, StopReason::TimeToLive).await;
            }
            Happened::Control(control) => self.control(control, running).await,
            Happened::ProgramEnded(ended) => {
                let heard = program.last_heard();
                // An end that was said last comes too late.
                running.take(heard);
                let reason = self.died(&ended, running.stopped);
                if ended.is_err() {
                    running.after = After::Close(reason);
                }
                return Some(Fate::Died(reason));
            }
        }
        None
    }

    async fn control(&self, control: Option<Control>, running: &mut Running) {
        match control {
            Some(Control::Interrupt(done)) => {
                self.stop(running, StopReason::Interrupted).await;
                done.send(()).ok();
            }
            Some(Control::Restart(done)) => {
                running.after = After::Restart(done);
                self.kill(running, StopReason::Restarted).await;
            }
            Some(Control::Close) | None => {
                running.after = After::Close(StopReason::Closed);
                self.kill(running, StopReason::Closed).await;
            }
        }
    }

    /// Interrupts a cell, once.
    async fn stop(&self, running: &mut Running, reason: StopReason) {
        if running.stopped.is_some() {
            return;
        }
        running.stopped = Some(reason);
        running.deadline = Instant::now() + INTERRUPT_TIME_MAX;
        if let Err(error) = self.session.interrupt().await {
            tracing::debug!(%error, "a cell could not be interrupted");
        }
    }

    /// A cell has used its time, or has not ended when it was interrupted.
    async fn late(&self, running: &mut Running) {
        match running.stopped {
            None => self.stop(running, StopReason::WallTimeLimit).await,
            Some(reason) => self.kill(running, reason).await,
        }
    }

    /// Ends a cell together with its engine.
    async fn kill(&self, running: &mut Running, reason: StopReason) {
        running.stopped = Some(reason);
        // The end of the program is certain to come; the sandbox has its own deadlines for it.
        running.deadline = Instant::now() + SESSION_END_TIME_MAX;
        if !std::mem::replace(&mut running.is_killed, true) {
            self.end().await;
        }
    }

    fn reply(
        &self,
        fate: Fate,
        running: &Running,
        cpu_time: Duration,
        wall_time: Duration,
    ) -> ExecuteReply {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let mut facts = self.shared.facts();
        facts.cells += 1;
        facts.last_used = Instant::now();
        let (status, stopped, exit_code, counted) = match fate {
            Fate::Ended(end) => {
                facts.state = SessionState::Idle;
                let status = if end.ok { CellStatus::Ok } else { CellStatus::Error };
                (status, running.stopped, end.exit_code, end.execution_count)
            }
            Fate::Died(reason) => (CellStatus::Aborted, Some(reason), None, None),
        };
        let number = self.program.as_ref().map_or(0, Program::number);
        ExecuteReply {
            status,
            execution_count: counted.unwrap_or(number),
            exit_code,
            stopped,
            truncated: running.truncated,
            state: facts.state,
            cpu_time_ms: milliseconds(cpu_time),
            wall_time_ms: milliseconds(wall_time),
        }
    }
}

enum Idle {
    Spent,
    Ended(Result<Outcome, Error>),
}

/// What an engine does while no cell runs.
async fn idle_news(program: Option<&mut Program>) -> Idle {
    let Some(program) = program else { return std::future::pending().await };
    let inner = &mut program.inner;
    tokio::select! {
        ended = &mut inner.ended => Idle::Ended(ended.unwrap_or(Err(Error::Closed))),
        Some(()) = inner.spent.recv() => Idle::Spent,
    }
}

/// Waits for the next thing that concerns a cell.
async fn happened(
    program: Parts<'_>,
    controls: &mut mpsc::Receiver<Control>,
    running: &mut Running,
    expires: Instant,
) -> Happened {
    let Running { events, pending, request, written, is_gone, stopped, is_killed, .. } = running;
    let Parts { inner, stdin, outputs } = program;
    // A client that is slow holds up its cell, until the cell is stopped.
    let is_heard = pending.is_empty() || stopped.is_some();
    let rest = &request[(*written).min(request.len())..];
    let to_write = !rest.is_empty();
    tokio::select! {
        ended = &mut inner.ended => {
            Happened::ProgramEnded(ended.unwrap_or(Err(Error::Closed)))
        }
        Some(()) = inner.spent.recv() => Happened::Spent,
        control = controls.recv() => Happened::Control(control),
        () = sleep_until(expires.into()), if !*is_killed => Happened::Expired,
        () = sleep_until(running.deadline.into()) => Happened::Deadline,
        () = events.closed(), if !*is_gone => Happened::ClientGone,
        room = events.reserve(), if !*is_gone && !pending.is_empty() => {
            if let (Ok(room), Some(event)) = (room, pending.pop_front()) {
                room.send(event);
            }
            Happened::Delivered
        }
        // An engine that has ended reads no more, and is told of by its end.
        length = stdin.write(rest), if to_write => {
            Happened::Written(length.unwrap_or(rest.len()))
        }
        heard = outputs.hear(), if is_heard => Happened::Heard(heard),
    }
}
