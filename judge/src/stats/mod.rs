//! What the operator is told: the last results, the last minutes, and figures since the start.
//!
//! [`recent`] keeps results as their senders got them, in a bounded ring; [`pulse`] counts by the
//! second; [`gathered`] reads what [`crate::telemetry`] counts anyway. Nothing here decides anything.

use std::time::{Duration, Instant};

use crate::report::Report;
use crate::task::Task;

pub mod gathered;
pub mod pulse;
pub mod recent;

use pulse::Pulse;
use recent::Recent;

/// What is kept for the operator.
#[derive(Debug)]
pub struct Stats {
    started: Instant,
    /// The last results.
    pub recent: Recent,
    /// The last minutes.
    pub pulse: Pulse,
}

impl Default for Stats {
    fn default() -> Self {
        let started = Instant::now();
        Self { started, recent: Recent::default(), pulse: Pulse::new(started) }
    }
}

impl Stats {
    /// Notes a result, and how long judging took.
    pub fn note(&self, task: &Task, report: &Report, took: Duration) {
        self.pulse.note(Instant::now(), took, report.judgement.is_ok());
        self.recent.note(task, report, took);
    }

    /// How long the service has been there.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
