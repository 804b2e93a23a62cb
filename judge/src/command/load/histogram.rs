//! Times in buckets that are at most a 64th of their value wide: quantiles of any number of times in
//! a bounded space.

use std::time::Duration;

/// Buckets of the first doubling; half as many of each that follows.
const STEPS: u64 = 64;
/// All of them: up to 2^48 microseconds, nine years.
const BUCKETS: usize = 64 + 32 * 42;
const US_MAX: u64 = (1 << 48) - 1;

/// Counts of times.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u32>,
    count: u64,
    sum_us: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, sum_us: 0, max_us: 0 }
    }
}

impl Histogram {
    /// Counts a time.
    pub(super) fn add(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).map_or(US_MAX, |us| us.min(US_MAX));
        let bucket = &mut self.counts[bucket_of(us)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }

    /// Counts all that another counted.
    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
    }

    /// The time that `per_mille` in a thousand stayed at or below, in milliseconds; 0 for none.
    pub(super) fn quantile_ms(&self, per_mille: u64) -> f64 {
        let due = (self.count * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= due {
                return milliseconds(upper_us(bucket as u64).min(self.max_us));
            }
        }
        milliseconds(self.max_us)
    }

    /// The longest time, in milliseconds.
    pub(super) fn max_ms(&self) -> f64 {
        milliseconds(self.max_us)
    }

    /// The mean time, in milliseconds.
    pub(super) fn mean_ms(&self) -> f64 {
        milliseconds(self.sum_us.checked_div(self.count).unwrap_or_default())
    }
}

fn bucket_of(us: u64) -> usize {
    let doubling = us.max(1).ilog2().saturating_sub(STEPS.ilog2() - 1);
    // Below the first doubling each value has its own bucket; above, the upper half of the steps.
    let bucket = u64::from(doubling) * (STEPS / 2) + (us >> doubling);
    usize::try_from(bucket).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

/// The largest value of a bucket.
fn upper_us(bucket: u64) -> u64 {
    let half = STEPS / 2;
    if bucket < STEPS {
        return bucket;
    }
    let doubling = bucket / half - 1;
    ((bucket - doubling * half + 1) << doubling) - 1
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of days are exact")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_whose_bound_is_near() {
        let mut last = 0;
        for us in (0..5000).chain((5000..100_000_000).step_by(7919)) {
            let bucket = bucket_of(us);
            assert!(
                bucket == last || us >= 5000 || bucket == last + 1,
                "{us}: {bucket} after {last}"
            );
            last = bucket;
            let upper = upper_us(bucket as u64);
            assert!(upper >= us && upper - us <= us / 32, "{us}: {upper}");
        }
        assert_eq!(bucket_of(US_MAX), BUCKETS - 1);
        assert_eq!(upper_us(BUCKETS as u64 - 1), US_MAX);
    }

    #[test]
    fn quantiles_are_those_of_the_times() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(500), 0.0);
        let (mut low, mut high) = (Histogram::default(), Histogram::default());
        (1..=900).for_each(|ms| low.add(Duration::from_millis(ms)));
        (901..=1000).for_each(|ms| high.add(Duration::from_millis(ms)));
        histogram.merge(&low);
        histogram.merge(&high);
        let near = |per_mille, ms: f64| {
            let quantile = histogram.quantile_ms(per_mille);
            assert!((quantile - ms).abs() <= ms / 30.0, "{per_mille}: {quantile}");
        };
        near(500, 500.0);
        near(900, 900.0);
        near(990, 990.0);
        assert_eq!((histogram.count, histogram.max_ms()), (1000, 1000.0));
        assert!((histogram.mean_ms() - 500.5).abs() < 0.01);
        assert_eq!(histogram.quantile_ms(1000), 1000.0);
    }
}
