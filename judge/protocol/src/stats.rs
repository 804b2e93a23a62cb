//! What the service says of itself to its operator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::result::{SubmissionResult, Verdict};

/// Reply of `GET /v1/stats`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatsResponse {
    /// The service's version.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_seconds: f64,
    /// What waits.
    pub queue: QueueStats,
    /// Where programs run.
    pub slots: SlotStats,
    /// What is judged over time.
    pub throughput: ThroughputStats,
    /// How long the stages of judging take, since the start.
    pub stages: Vec<StageStats>,
    /// Submissions by verdict; `none` counts those that we failed at.
    pub verdicts: BTreeMap<String, u64>,
    /// Failures of ours by kind.
    pub failures: BTreeMap<String, u64>,
    /// What is remembered.
    pub caches: Vec<CacheStats>,
    /// Reward models that judge.
    pub judges: Vec<JudgeStats>,
    /// What isolates programs, layer by layer.
    pub isolation: Vec<LayerStats>,
    /// What the service itself uses.
    pub process: ProcessStats,
    /// Results of the last submissions, the newest first.
    pub recent: Vec<RecentSummary>,
}

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueStats {
    /// Submissions admitted and not yet answered.
    pub submissions: usize,
    /// How many there may be.
    pub submissions_max: usize,
    /// Requests refused because the queue was full.
    pub refused: u64,
}

/// Where programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotStats {
    /// How many programs can run at once.
    pub slots: usize,
    /// Slots in use.
    pub leased: usize,
    /// Slots that stand, of all images.
    pub standing: usize,
    /// Slots being built anew.
    pub building: usize,
    /// Slots built again since the start.
    pub rebuilt: u64,
}

/// What is judged over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ThroughputStats {
    /// Submissions a second over the last whole minute.
    pub per_second: f64,
    /// The last seconds, oldest first; seconds without a result are left out.
    pub seconds: Vec<SecondStats>,
}

/// One second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SecondStats {
    /// How long ago it ended.
    pub ago: u64,
    /// Submissions that got a verdict.
    pub judged: u32,
    /// Submissions that we failed at.
    pub failed: u32,
    /// Median time of judging one, in milliseconds.
    pub p50_ms: f64,
    /// The time that 99 in 100 stayed below, in milliseconds.
    pub p99_ms: f64,
}

/// How long a stage takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageStats {
    /// `lease` is the wait for a slot.
    pub stage: String,
    /// How often it was gone through.
    pub count: u64,
    /// The mean, in milliseconds.
    pub mean_ms: f64,
    /// The median, in milliseconds, as exact as the buckets of `/metrics`.
    pub p50_ms: f64,
    /// The time that 90 in 100 stayed below.
    pub p90_ms: f64,
    /// The time that 99 in 100 stayed below.
    pub p99_ms: f64,
}

/// What one cache holds and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CacheStats {
    /// `verdicts`, `artifacts` or `generated`.
    pub cache: String,
    /// Bytes that it holds.
    pub bytes: u64,
    /// Lookups that found what was kept.
    pub kept: u64,
    /// Lookups that waited for another that was under way.
    pub shared: u64,
    /// Lookups that found nothing.
    pub found: u64,
}

/// How a reward model does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgeStats {
    /// Its name in the configuration.
    pub judge: String,
    /// `closed`, `half_open`, `open` or `distrusted`.
    pub breaker: String,
    /// Share of known wrong answers that it took for right; null before it was tried.
    pub false_positive_rate: Option<f64>,
    /// Share of known right answers that it took for wrong; null before it was tried.
    pub false_negative_rate: Option<f64>,
}

/// A layer of isolation, or a source of timing noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerStats {
    /// For instance `user namespace`.
    pub name: String,
    /// `on`, `degraded` or `off`.
    pub state: String,
    /// What was found.
    pub detail: String,
    /// What to do where it is not on.
    pub advice: String,
}

/// What the service itself uses, its slots not counted. Null where the machine does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessStats {
    /// Memory that is in place.
    pub memory_bytes: Option<u64>,
    /// Descriptors that are open.
    pub descriptors: Option<u64>,
    /// Processor time since the start.
    pub cpu_seconds: Option<f64>,
}

/// A submission that was judged a moment ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecentSummary {
    /// Its number since the start: `GET /v1/stats/recent/{number}` tells more.
    pub number: u64,
    /// Seconds since it was judged.
    pub ago_seconds: f64,
    /// The submission's id.
    pub id: Option<String>,
    /// Its language; null where it is an answer.
    pub language: Option<String>,
    /// Null where we failed.
    pub verdict: Option<Verdict>,
    /// Null where there is none.
    pub reward: Option<f64>,
    /// How long judging it took.
    pub duration_ms: f64,
    /// Whether the verdict was known from an equal submission.
    pub cached: bool,
}

/// Reply of `GET /v1/stats/recent/{number}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecentResponse {
    /// What the list says.
    pub summary: RecentSummary,
    /// The first part of the program or answer.
    pub source: String,
    /// Whether there was more.
    pub source_truncated: bool,
    /// The result as its sender got it: no more than its feedback allows.
    pub result: SubmissionResult,
}
