//! What is counted about sessions. Labels are fixed words.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use protocol::{CellStatus, ExecuteReply, StopReason};

const SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0];

/// Counters of all sessions.
#[derive(Clone, Debug)]
pub struct SessionMetrics {
    open: IntGauge,
    opened: HistogramVec,
    ended: IntCounterVec,
    refused: IntCounter,
    cells: IntCounterVec,
    seconds: HistogramVec,
}

/// A word for each reason, as the wire has it.
fn word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::CpuTimeLimit => "cpu_time_limit",
        StopReason::WallTimeLimit => "wall_time_limit",
        StopReason::MemoryLimit => "memory_limit",
        StopReason::OutputLimit => "output_limit",
        StopReason::IdleCpuTimeLimit => "idle_cpu_time_limit",
        StopReason::Interrupted => "interrupted",
        StopReason::ClientGone => "client_gone",
        StopReason::Restarted => "restarted",
        StopReason::Closed => "closed",
        StopReason::TimeToLive => "time_to_live",
        StopReason::IdleTime => "idle_time",
        StopReason::Exited => "exited",
        StopReason::SlotFailed => "slot_failed",
    }
}

impl SessionMetrics {
    /// All at zero, registered.
    ///
    /// # Errors
    /// Two have the same name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let seconds = HistogramVec::new(options, &["engine"])?;
            registry.register(Box::new(seconds.clone()))?;
            Ok::<_, prometheus::Error>(seconds)
        };
        let open = IntGauge::new("assay_sessions_open", "Sessions that are open")?;
        registry.register(Box::new(open.clone()))?;
        let refused = IntCounter::new(
            "assay_sessions_refused_total",
            "Sessions for which there was no room",
        )?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self {
            open,
            refused,
            opened: seconds("assay_session_open_duration_seconds", "Time to open a session")?,
            ended: counters(
                "assay_sessions_ended_total",
                "Sessions that have ended, by what ended them",
                &["reason"],
            )?,
            cells: counters(
                "assay_session_cells_total",
                "Cells, by how they ended and why they were stopped",
                &["engine", "status", "stopped"],
            )?,
            seconds: seconds("assay_session_cell_duration_seconds", "Time that a cell took")?,
        })
    }

    /// Counts a session that was opened.
    pub fn opened(&self, engine: &str, time: Duration) {
        self.open.inc();
        self.opened.with_label_values(&[engine]).observe(time.as_secs_f64());
    }

    /// Counts a session that has ended.
    pub fn ended(&self, reason: StopReason) {
        self.open.dec();
        self.ended.with_label_values(&[word(reason)]).inc();
    }

    /// Counts a session for which there was no room.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// Counts a cell.
    pub fn ran(&self, engine: &str, reply: &ExecuteReply) {
        let status = match reply.status {
            CellStatus::Ok => "ok",
            CellStatus::Error => "error",
            CellStatus::Aborted => "aborted",
        };
        let stopped = reply.stopped.map_or("", word);
        self.cells.with_label_values(&[engine, status, stopped]).inc();
        self.seconds.with_label_values(&[engine]).observe(reply.wall_time_ms / 1e3);
    }
}
