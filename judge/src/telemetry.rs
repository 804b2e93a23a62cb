//! Logs and metrics. Every metric name carries its unit; none carries an id.

use std::io::IsTerminal as _;

use prometheus::{
    Encoder, HistogramOpts, HistogramTimer, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use sandbox::PoolStatus;
use tracing_subscriber::EnvFilter;

use crate::admission::Returns;
use crate::config::{LogConfig, LogFormat};
use crate::grade::Verdict;
use crate::store::Source;

mod operation;

pub use operation::Operation;

/// Buckets of durations, from a warm start to a slow compiler.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// A part of the flow that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Compiling, the wait for a slot included.
    Compile,
    /// Waiting for a slot and installing the files.
    Lease,
    /// One run.
    Run,
    /// One comparison.
    Grade,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Lease => "lease",
            Self::Run => "run",
            Self::Grade => "grade",
        }
    }
}

/// What the service counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    stages: HistogramVec,
    requests: HistogramVec,
    verdicts: IntCounterVec,
    failures: IntCounterVec,
    answers: IntCounterVec,
    retries: IntCounter,
    confirmations: IntCounter,
    cache_lookups: IntCounterVec,
    cache_bytes: IntGaugeVec,
    refused: IntCounter,
    slots: IntGauge,
    slots_leased: IntGauge,
    slots_building: IntGauge,
    slots_rebuilt: IntGauge,
    queue: IntGauge,
    operation: Operation,
}

/// What the service is doing at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The slots.
    pub slots: PoolStatus,
    /// Submissions admitted and not yet answered.
    pub queued: usize,
    /// What became of those who came back when they were told.
    pub returns: Returns,
    /// Batches that run, and batches that are kept after their end.
    pub batches: (usize, usize),
    /// Bytes of their results.
    pub batches_bytes: usize,
}

/// What `kind` of a failure can be, as the pipeline names the sandbox's errors.
const FAILURE_KINDS: [&str; 7] = ["build", "closed", "io", "launch", "problem", "slot", "spec"];

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    /// Two metrics have the same name; a test holds that they have not.
    pub fn new() -> Result<Self, prometheus::Error> {
        let seconds = |name: &str, help: &str, labels: &[&str]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let metrics = Self {
            registry: Registry::new(),
            stages: seconds(
                "assay_stage_duration_seconds",
                "Time that a stage took; lease is the wait for a slot",
                &["stage"],
            )?,
            requests: seconds(
                "assay_http_request_duration_seconds",
                "Time from a request's head to its reply's head",
                &["endpoint", "status"],
            )?,
            verdicts: counters("assay_verdicts_total", "Submissions by verdict", &["verdict"])?,
            failures: counters("assay_failures_total", "Failures of the judge", &["kind"])?,
            answers: counters(
                "assay_answers_total",
                "Answers by what the rules said, and which rule",
                &["verdict", "reason"],
            )?,
            retries: IntCounter::new("assay_retries_total", "Submissions tried again")?,
            confirmations: IntCounter::new(
                "assay_confirmations_total",
                "Runs made again alone because a limit was met on a busy machine",
            )?,
            cache_lookups: counters(
                "assay_cache_lookups_total",
                "Lookups by cache: kept, shared with another that was under way, or found anew",
                &["cache", "source"],
            )?,
            cache_bytes: IntGaugeVec::new(
                Opts::new("assay_cache_bytes", "Bytes that a cache holds"),
                &["cache"],
            )?,
            refused: IntCounter::new(
                "assay_queue_refused_total",
                "Requests refused because the queue was full",
            )?,
            slots: IntGauge::new("assay_slots", "Slots of the pool")?,
            slots_leased: IntGauge::new("assay_slots_leased", "Slots in use")?,
            slots_building: IntGauge::new("assay_slots_building", "Slots being built anew")?,
            slots_rebuilt: IntGauge::new("assay_slots_rebuilt", "Slots built again since start")?,
            queue: IntGauge::new(
                "assay_queue_submissions",
                "Submissions admitted and not yet answered",
            )?,
            operation: Operation::new()?,
        };
        metrics.register()?;
        // There from the start: an alert on a counter that does not exist yet never fires.
        for kind in FAILURE_KINDS {
            metrics.failures.with_label_values(&[kind]).inc_by(0);
        }
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let registry = &self.registry;
        registry.register(Box::new(self.stages.clone()))?;
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.verdicts.clone()))?;
        registry.register(Box::new(self.failures.clone()))?;
        registry.register(Box::new(self.answers.clone()))?;
        registry.register(Box::new(self.retries.clone()))?;
        registry.register(Box::new(self.confirmations.clone()))?;
        registry.register(Box::new(self.cache_lookups.clone()))?;
        registry.register(Box::new(self.cache_bytes.clone()))?;
        registry.register(Box::new(self.refused.clone()))?;
        registry.register(Box::new(self.slots.clone()))?;
        registry.register(Box::new(self.slots_leased.clone()))?;
        registry.register(Box::new(self.slots_building.clone()))?;
        registry.register(Box::new(self.slots_rebuilt.clone()))?;
        registry.register(Box::new(self.queue.clone()))?;
        self.operation.register(registry)
    }

    /// Where others register what they count.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What is counted of the service as a whole.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Starts timing a stage.
    pub fn stage(&self, stage: Stage) -> HistogramTimer {
        self.stages.with_label_values(&[stage.name()]).start_timer()
    }

    /// Counts a submission: its verdict, or that it got none.
    pub fn judged(&self, verdict: Option<Verdict>) {
        let name = match verdict {
            None => "none",
            Some(Verdict::Accepted) => "accepted",
            Some(Verdict::WrongAnswer) => "wrong_answer",
            Some(Verdict::TimeLimitExceeded) => "time_limit_exceeded",
            Some(Verdict::WallTimeLimitExceeded) => "wall_time_limit_exceeded",
            Some(Verdict::MemoryLimitExceeded) => "memory_limit_exceeded",
            Some(Verdict::OutputLimitExceeded) => "output_limit_exceeded",
            Some(Verdict::RuntimeError) => "runtime_error",
            Some(Verdict::CompileError) => "compile_error",
            Some(Verdict::NotCollected) => "not_collected",
            Some(Verdict::PatchError) => "patch_error",
        };
        self.verdicts.with_label_values(&[name]).inc();
    }

    /// Counts an answer that rules looked at.
    pub fn decided(&self, verdict: &str, reason: &str) {
        self.answers.with_label_values(&[verdict, reason]).inc();
    }

    /// Counts a failure of ours.
    pub fn failed(&self, kind: &str) {
        self.failures.with_label_values(&[kind]).inc();
    }

    /// Counts a second attempt.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// Counts a run that was made again alone.
    pub fn confirmed(&self) {
        self.confirmations.inc();
    }

    /// Counts a lookup in a cache, which holds `bytes` now.
    pub fn remembered(&self, cache: &str, source: Source, bytes: usize) {
        let name = match source {
            Source::Kept => "kept",
            Source::Shared => "shared",
            Source::Found => "found",
        };
        self.cache_lookups.with_label_values(&[cache, name]).inc();
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.cache_bytes.with_label_values(&[cache]).set(bytes);
    }

    /// Counts a request that found the queue full.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// Counts a request.
    pub fn requested(&self, endpoint: &str, status: u16, seconds: f64) {
        self.requests.with_label_values(&[endpoint, &status.to_string()]).observe(seconds);
    }

    /// All metrics as text, with the state of slots and queue at this moment.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn encode(&self, moment: Moment) -> Result<Vec<u8>, prometheus::Error> {
        let Moment { slots, queued, returns, batches, batches_bytes } = moment;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.slots.set(count(slots.slots + slots.building));
        self.slots_building.set(count(slots.building));
        self.slots_leased.set(count(slots.leased));
        self.slots_rebuilt.set(i64::try_from(slots.rebuilt).unwrap_or(i64::MAX));
        self.queue.set(count(queued));
        self.operation.look(batches, batches_bytes);
        self.operation.returned(returns);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// The filter of the log is not one.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logging was set up before.
    #[error("failed to start logging: {0}")]
    Start(String),
}

/// Starts logging to standard error.
///
/// # Errors
/// The filter is wrong, or logging was started before.
pub fn start_log(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| LogError::Start(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn metrics_have_names_with_units_and_show_what_was_counted() {
        let metrics = Metrics::new().unwrap();
        metrics.judged(Some(Verdict::Accepted));
        metrics.stage(Stage::Run).observe_duration();
        let status = PoolStatus { slots: 2, leased: 1, standing: 2, building: 0, rebuilt: 0 };
        metrics.operation().waited(protocol::Priority::Eval, Duration::from_millis(3));
        metrics.operation().used("open", Duration::from_millis(3));
        metrics.operation().reset(sandbox::resets::Part::Layer, Duration::from_micros(60));
        let returns = Returns { admitted: 7, refused: 1 };
        let moment =
            Moment { slots: status, queued: 3, returns, batches: (1, 2), batches_bytes: 9 };
        let text = String::from_utf8(metrics.encode(moment).unwrap()).unwrap();
        assert!(text.contains("assay_verdicts_total{verdict=\"accepted\"} 1"));
        assert!(text.contains("assay_stage_duration_seconds_count{stage=\"run\"} 1"));
        assert!(text.contains("assay_slots_leased 1"));
        assert!(text.contains("assay_queue_submissions 3"));
        assert!(text.contains("assay_slot_reset_seconds_count{part=\"overlay\"} 1"));
        assert!(text.contains("assay_returns_total{result=\"refused\"} 1"));
        assert!(text.contains("assay_batches{state=\"kept\"} 2"));
        assert!(text.contains("assay_queue_wait_seconds_count{priority=\"eval\"} 1"));
        assert!(text.contains("assay_slot_seconds_total{tenant=\"open\"} 0.003"));
        assert!(!text.contains("assay_memory_resident_bytes 0"));
    }
}
