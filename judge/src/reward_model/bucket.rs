//! A token bucket: how long to wait so that a rate is kept. Pure: the time is handed in.
//!
//! A bucket holds a second's worth. What is taken may make it negative: the debt is what the next
//! caller waits for, so that callers are served in the order in which they ask.

use std::time::{Duration, Instant};

/// A rate that is kept.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: f64,
    level: f64,
    last: Instant,
}

impl Bucket {
    /// A full bucket; a rate of 0 is any rate.
    #[must_use]
    pub fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, level: per_second.max(1.0), last: now }
    }

    /// Takes `amount`, and says how long to wait before it is used.
    pub fn take(&mut self, amount: f64, now: Instant) -> Duration {
        if self.per_second <= 0.0 {
            return Duration::ZERO;
        }
        self.fill(now);
        self.level -= amount;
        if self.level >= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64((-self.level / self.per_second).min(86_400.0))
    }

    /// Takes what turned out to be needed beyond what was taken, or gives back.
    pub fn settle(&mut self, more: f64, now: Instant) {
        if self.per_second > 0.0 {
            self.fill(now);
            self.level = (self.level - more).min(self.per_second.max(1.0));
        }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        self.level = (self.level + elapsed * self.per_second).min(self.per_second.max(1.0));
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_is_free_and_then_callers_wait_in_order() {
        let now = Instant::now();
        let mut bucket = Bucket::new(2.0, now);
        let waits: Vec<_> = (0..5).map(|_| bucket.take(1.0, now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 500, 1000, 1500]);
        assert_eq!(Bucket::new(0.0, now).take(1e9, now), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn the_rate_is_kept_over_any_time(gaps in prop::collection::vec(0_u64..700, 1..200)) {
            let start = Instant::now();
            let mut bucket = Bucket::new(5.0, start);
            let mut now = start;
            let mut last = Duration::ZERO;
            for gap in &gaps {
                now += Duration::from_millis(*gap);
                let used = now.duration_since(start) + bucket.take(1.0, now);
                // Nobody overtakes.
                prop_assert!(used + Duration::from_micros(1) >= last);
                last = used;
            }
            let allowed = 5.0 * last.as_secs_f64() + 5.0 + 1e-3;
            prop_assert!(f64::from(u32::try_from(gaps.len()).unwrap()) <= allowed);
        }
    }
}
