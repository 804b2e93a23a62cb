//! What is counted about reward models. Labels are names of the configuration and fixed words.

use std::time::Duration;

use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry,
};
use protocol::JudgeVoteVerdict;

use super::breaker::State;
use super::guard::Guard;

const SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0];

/// Lengths of answers by which acceptance is published: a judge that takes long answers for right
/// drifts here first.
const LENGTHS: [(usize, &str); 4] = [(16, "16"), (64, "64"), (256, "256"), (usize::MAX, "more")];

/// Counters of all reward models.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    votes: IntCounterVec,
    faults: IntCounterVec,
    verdicts: IntCounterVec,
    cache: IntCounterVec,
    tokens: IntCounterVec,
    cost: CounterVec,
    breaker: GaugeVec,
    canaries: GaugeVec,
    guards: IntCounterVec,
}

impl Metrics {
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
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let options = HistogramOpts::new(
            "assay_judge_call_duration_seconds",
            "Time of a call that was answered",
        );
        let seconds = HistogramVec::new(options.buckets(SECONDS.to_vec()), &["judge"])?;
        registry.register(Box::new(seconds.clone()))?;
        let cost = CounterVec::new(
            Opts::new("assay_judge_cost_total", "At the configured prices"),
            &["judge"],
        )?;
        registry.register(Box::new(cost.clone()))?;
        Ok(Self {
            calls: counters(
                "assay_judge_calls_total",
                "Calls and tries by what became of them",
                &["judge", "outcome"],
            )?,
            seconds,
            votes: counters("assay_judge_votes_total", "Votes", &["judge", "verdict"])?,
            faults: counters(
                "assay_judge_reply_faults_total",
                "Replies that are no vote",
                &["judge", "fault"],
            )?,
            verdicts: counters(
                "assay_judge_verdicts_total",
                "Verdicts by the length of the answer in characters",
                &["judge", "verdict", "length_max"],
            )?,
            cache: counters(
                "assay_judge_cache_total",
                "Verdicts asked for, by where they came from",
                &["judge", "from"],
            )?,
            tokens: counters("assay_judge_tokens_total", "Tokens", &["judge", "kind"])?,
            cost,
            breaker: gauges(
                "assay_judge_breaker",
                "0 closed, 1 half open, 2 open, 3 distrusted",
                &["judge"],
            )?,
            canaries: gauges(
                "assay_judge_canary_rate",
                "Share of known answers that were judged wrongly",
                &["judge", "kind"],
            )?,
            guards: counters(
                "assay_guard_total",
                "Answers that are wrong without asking a judge",
                &["guard"],
            )?,
        })
    }

    pub(super) fn called(&self, judge: &str, outcome: &str) {
        self.calls.with_label_values(&[judge, outcome]).inc();
    }

    pub(super) fn answered(&self, judge: &str, latency: Duration) {
        self.seconds.with_label_values(&[judge]).observe(latency.as_secs_f64());
    }

    pub(super) fn voted(&self, judge: &str, verdict: JudgeVoteVerdict) {
        let verdict = match verdict {
            JudgeVoteVerdict::Correct => "correct",
            JudgeVoteVerdict::Incorrect => "incorrect",
            JudgeVoteVerdict::Invalid => "invalid",
        };
        self.votes.with_label_values(&[judge, verdict]).inc();
    }

    pub(super) fn no_vote(&self, judge: &str, fault: &str) {
        self.faults.with_label_values(&[judge, fault]).inc();
    }

    pub(super) fn judged(&self, judge: &str, right: bool, answer_chars: usize) {
        let length =
            LENGTHS.iter().find(|(max, _)| answer_chars <= *max).map_or("more", |row| row.1);
        let verdict = if right { "right" } else { "wrong" };
        self.verdicts.with_label_values(&[judge, verdict, length]).inc();
    }

    pub(super) fn cached(&self, judge: &str, from: &str) {
        self.cache.with_label_values(&[judge, from]).inc();
    }

    pub(super) fn spent(&self, judge: &str, prompt: u64, completion: u64, cost: f64) {
        self.tokens.with_label_values(&[judge, "prompt"]).inc_by(prompt);
        self.tokens.with_label_values(&[judge, "completion"]).inc_by(completion);
        self.cost.with_label_values(&[judge]).inc_by(cost.max(0.0));
    }

    pub(super) fn breaker(&self, judge: &str, state: State) {
        let value = match state {
            State::Closed => 0.0,
            State::HalfOpen => 1.0,
            State::Open => 2.0,
            State::Distrusted => 3.0,
        };
        self.breaker.with_label_values(&[judge]).set(value);
    }

    pub(super) fn canaries(&self, judge: &str, false_positives: f64, false_negatives: f64) {
        self.canaries.with_label_values(&[judge, "false_positive"]).set(false_positives);
        self.canaries.with_label_values(&[judge, "false_negative"]).set(false_negatives);
    }

    /// Counts an answer that is wrong without asking.
    pub fn guarded(&self, guard: Guard) {
        self.guards.with_label_values(&[guard.name()]).inc();
    }
}
