//! What is counted of the service as a whole: waiting, slot time, tenants, batches, memory.
//!
//! Labels are names of the configuration or of the code, so their number is bounded.

use std::time::Duration;

use prometheus::{
    CounterVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use protocol::Priority;
use sandbox::resets::Part;

use super::SECONDS;
use crate::admission::Returns;

/// Buckets of resets, which take microseconds.
const RESET_SECONDS: [f64; 12] =
    [5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 0.01, 0.1, 1.0];

/// What is counted of the service as a whole.
#[derive(Clone, Debug)]
pub struct Operation {
    queue_wait: HistogramVec,
    slot_seconds: CounterVec,
    submissions: IntCounterVec,
    unjudged: IntCounterVec,
    refused: IntCounterVec,
    returns: IntCounterVec,
    batches: IntGaugeVec,
    batches_bytes: IntGauge,
    resident: IntGauge,
    reloads: IntCounterVec,
    slot_resets: HistogramVec,
}

impl Operation {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let wait = HistogramOpts::new(
            "assay_queue_wait_seconds",
            "Time from wanting a slot to being the next to get one",
        );
        Ok(Self {
            queue_wait: HistogramVec::new(wait.buckets(SECONDS.to_vec()), &["priority"])?,
            slot_seconds: CounterVec::new(
                Opts::new("assay_slot_seconds_total", "Time for which slots were held"),
                &["tenant"],
            )?,
            submissions: counters(
                "assay_submissions_admitted_total",
                "Submissions admitted",
                &["tenant"],
            )?,
            unjudged: counters(
                "assay_unjudged_total",
                "Submissions without a verdict, by the class of the failure",
                &["class"],
            )?,
            refused: counters(
                "assay_refused_total",
                "Requests refused with 429, by what was full",
                &["tenant", "what"],
            )?,
            returns: counters(
                "assay_returns_total",
                "Requests that came back when Retry-After told them, by what became of them",
                &["result"],
            )?,
            batches: IntGaugeVec::new(
                Opts::new("assay_batches", "Batches that run, or are kept after their end"),
                &["state"],
            )?,
            batches_bytes: IntGauge::new("assay_batches_bytes", "Bytes of results of batches")?,
            resident: IntGauge::new("assay_memory_resident_bytes", "Memory of the service")?,
            slot_resets: HistogramVec::new(
                HistogramOpts::new(
                    "assay_slot_reset_seconds",
                    "Time to make a slot as it was: its overlay after a run, its control groups before one",
                )
                .buckets(RESET_SECONDS.to_vec()),
                &["part"],
            )?,
            reloads: counters(
                "assay_config_reloads_total",
                "Configurations read again, by what became of them",
                &["result"],
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.queue_wait.clone()))?;
        registry.register(Box::new(self.slot_seconds.clone()))?;
        registry.register(Box::new(self.submissions.clone()))?;
        registry.register(Box::new(self.unjudged.clone()))?;
        registry.register(Box::new(self.refused.clone()))?;
        registry.register(Box::new(self.returns.clone()))?;
        registry.register(Box::new(self.batches.clone()))?;
        registry.register(Box::new(self.batches_bytes.clone()))?;
        registry.register(Box::new(self.resident.clone()))?;
        registry.register(Box::new(self.slot_resets.clone()))?;
        registry.register(Box::new(self.reloads.clone()))
    }

    /// Counts the time that a part of a slot took to be reset.
    pub fn reset(&self, part: Part, time: Duration) {
        let name = match part {
            Part::Layer => "overlay",
            Part::Groups => "cgroup",
        };
        self.slot_resets.with_label_values(&[name]).observe(time.as_secs_f64());
    }

    /// Counts the wait for a slot.
    pub fn waited(&self, priority: Priority, time: Duration) {
        let name = match priority {
            Priority::Train => "train",
            Priority::Eval => "eval",
            Priority::Interactive => "interactive",
        };
        self.queue_wait.with_label_values(&[name]).observe(time.as_secs_f64());
    }

    /// Counts the time for which a tenant held a slot.
    pub fn used(&self, tenant: &str, time: Duration) {
        self.slot_seconds.with_label_values(&[tenant]).inc_by(time.as_secs_f64());
    }

    /// Counts what a tenant was admitted with.
    pub fn admitted(&self, tenant: &str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.submissions.with_label_values(&[tenant]).inc_by(count);
    }

    /// Counts a request of a tenant that found something full.
    pub fn refused(&self, tenant: &str, what: &str) {
        self.refused.with_label_values(&[tenant, what]).inc();
    }

    /// Counts a submission without a verdict, by the class of the failure.
    pub fn unjudged(&self, class: &str) {
        self.unjudged.with_label_values(&[class]).inc();
    }

    /// Counts a configuration that was read again, or could not be.
    pub fn reloaded(&self, result: &str) {
        self.reloads.with_label_values(&[result]).inc();
    }

    /// Takes down what became of those who came back when they were told.
    pub(super) fn returned(&self, returns: Returns) {
        for (result, count) in [("admitted", returns.admitted), ("refused", returns.refused)] {
            let counter = self.returns.with_label_values(&[result]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// Takes down how many batches run and are kept, and what they and the service take.
    pub(super) fn look(&self, (running, kept): (usize, usize), batches_bytes: usize) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.batches.with_label_values(&["running"]).set(count(running));
        self.batches.with_label_values(&["kept"]).set(count(kept));
        self.batches_bytes.set(count(batches_bytes));
        self.resident.set(resident_bytes());
    }
}

/// Bytes of memory that this process holds; 0 where the machine does not say. proc_pid_status(5).
fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<i64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}
