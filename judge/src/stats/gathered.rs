//! Figures since the start, read from what is counted for `/metrics` anyway.

use std::collections::BTreeMap;

use prometheus::proto::{Metric, MetricFamily};
use protocol::{CacheStats, JudgeStats, StageStats};

/// What was counted, at one moment.
#[derive(Debug)]
pub struct Gathered(Vec<MetricFamily>);

impl Gathered {
    /// Reads all counters of `registry`.
    #[must_use]
    pub fn new(registry: &prometheus::Registry) -> Self {
        Self(registry.gather())
    }

    fn family(&self, name: &str) -> &[Metric] {
        let family = self.0.iter().find(|family| family.name() == name);
        family.map_or(&[], |family| family.get_metric())
    }

    /// A counter with one label, by its values.
    #[must_use]
    pub fn by_label(&self, name: &str, label_name: &str) -> BTreeMap<String, u64> {
        let rows = self.family(name).iter();
        rows.map(|metric| (label(metric, label_name), whole(metric.get_counter().get_value())))
            .collect()
    }

    /// A counter without labels.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.family(name).first().map_or(0, |metric| whole(metric.get_counter().get_value()))
    }

    /// How long stages took.
    #[must_use]
    pub fn stages(&self, name: &str) -> Vec<StageStats> {
        self.family(name).iter().map(stage).collect()
    }

    /// What caches hold and do.
    #[must_use]
    pub fn caches(&self, lookups: &str, bytes: &str) -> Vec<CacheStats> {
        let mut caches: BTreeMap<String, CacheStats> = BTreeMap::new();
        for metric in self.family(bytes) {
            let cache = label(metric, "cache");
            let bytes = whole(metric.get_gauge().get_value());
            let stats = CacheStats { cache: cache.clone(), bytes, kept: 0, shared: 0, found: 0 };
            caches.insert(cache, stats);
        }
        for metric in self.family(lookups) {
            let Some(stats) = caches.get_mut(&label(metric, "cache")) else { continue };
            let count = whole(metric.get_counter().get_value());
            match label(metric, "source").as_str() {
                "kept" => stats.kept = count,
                "shared" => stats.shared = count,
                _ => stats.found = count,
            }
        }
        caches.into_values().collect()
    }

    /// How reward models do.
    #[must_use]
    pub fn judges(&self) -> Vec<JudgeStats> {
        let rate = |judge: &str, kind: &str| {
            let mut rows = self.family("assay_judge_canary_rate").iter();
            let row = rows.find(|it| label(it, "judge") == judge && label(it, "kind") == kind);
            row.map(|metric| metric.get_gauge().get_value())
        };
        let rows = self.family("assay_judge_breaker").iter();
        rows.map(|metric| {
            let judge = label(metric, "judge");
            let breaker = match whole(metric.get_gauge().get_value()) {
                0 => "closed",
                1 => "half_open",
                2 => "open",
                _ => "distrusted",
            };
            JudgeStats {
                breaker: breaker.to_owned(),
                false_positive_rate: rate(&judge, "false_positive"),
                false_negative_rate: rate(&judge, "false_negative"),
                judge,
            }
        })
        .collect()
    }
}

fn label(metric: &Metric, name: &str) -> String {
    let pair = metric.get_label().iter().find(|pair| pair.name() == name);
    pair.map(|pair| pair.value().to_owned()).unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count that prometheus keeps as a float"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

fn stage(metric: &Metric) -> StageStats {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count();
    let buckets: Vec<(f64, u64)> = histogram
        .get_bucket()
        .iter()
        .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
        .collect();
    let quantile = |share| quantile(&buckets, count, share) * 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    let mean = histogram.get_sample_sum() / (count.max(1) as f64);
    StageStats {
        stage: label(metric, "stage"),
        count,
        mean_ms: mean * 1000.0,
        p50_ms: quantile(0.5),
        p90_ms: quantile(0.9),
        p99_ms: quantile(0.99),
    }
}

/// A quantile from cumulative buckets, on a straight line within a bucket.
#[expect(clippy::cast_precision_loss, reason = "a quantile is an estimate")]
fn quantile(buckets: &[(f64, u64)], count: u64, share: f64) -> f64 {
    let due = share * count as f64;
    let (mut lower, mut below) = (0.0, 0);
    for &(upper, seen) in buckets {
        if seen as f64 >= due && seen > below {
            let part = (due - below as f64) / (seen - below) as f64;
            let upper = if upper.is_finite() { upper } else { lower };
            return lower + part * (upper - lower);
        }
        if upper.is_finite() {
            lower = upper;
        }
        below = seen;
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::Verdict;
    use crate::store::Source;
    use crate::telemetry::{Metrics, Stage};

    #[test]
    fn figures_are_those_that_were_counted() {
        let metrics = Metrics::new().unwrap();
        metrics.judged(Some(Verdict::Accepted));
        metrics.judged(Some(Verdict::Accepted));
        metrics.refused();
        metrics.stage(Stage::Run).observe_duration();
        metrics.remembered("verdicts", Source::Kept, 77);
        let gathered = Gathered::new(metrics.registry());
        assert_eq!(gathered.by_label("assay_verdicts_total", "verdict")["accepted"], 2);
        assert_eq!(gathered.counter("assay_queue_refused_total"), 1);
        assert_eq!(gathered.counter("no_such"), 0);
        let stages = gathered.stages("assay_stage_duration_seconds");
        assert_eq!((stages[0].stage.as_str(), stages[0].count), ("run", 1));
        let caches = gathered.caches("assay_cache_lookups_total", "assay_cache_bytes");
        assert_eq!((caches[0].bytes, caches[0].kept, caches[0].found), (77, 1, 0));
        assert!(gathered.judges().is_empty());
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let buckets = [(0.1, 50), (0.2, 90), (f64::INFINITY, 100)];
        assert!((quantile(&buckets, 100, 0.5) - 0.1).abs() < 1e-9);
        assert!((quantile(&buckets, 100, 0.7) - 0.15).abs() < 1e-9);
        assert!((quantile(&buckets, 100, 0.99) - 0.2).abs() < 1e-9);
        assert_eq!(quantile(&[], 0, 0.5), 0.0);
    }
}
