//! What was judged in each of the last seconds, and how long it took. Bounded in time and in space.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::{SecondStats, ThroughputStats};

use crate::limits::PULSE_SECONDS_MAX;

/// Buckets of a doubling of time.
const STEPS: u32 = 8;
/// Buckets in all: from a microsecond to more than an hour.
const BUCKETS: usize = 256;
/// Over how many seconds the rate is averaged.
const RATE_SECONDS: u64 = 60;

/// The last seconds.
#[derive(Debug)]
pub struct Pulse {
    started: Instant,
    ring: Mutex<Vec<Second>>,
}

#[derive(Clone, Debug)]
struct Second {
    /// Since the start; what an older turn of the ring left counts as nothing.
    number: u64,
    judged: u32,
    failed: u32,
    times: Box<[u16; BUCKETS]>,
}

impl Second {
    fn new(number: u64) -> Self {
        Self { number, judged: 0, failed: 0, times: Box::new([0; BUCKETS]) }
    }

    /// The time that `percent` stayed below, in milliseconds.
    fn quantile_ms(&self, percent: u32) -> f64 {
        let count: u32 = self.times.iter().map(|count| u32::from(*count)).sum();
        let due = (count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.times.iter().position(|count| {
            seen += u32::from(*count);
            seen >= due
        });
        found.map_or(0.0, |bucket| upper_ms(u32::try_from(bucket).unwrap_or(u32::MAX)))
    }
}

impl Pulse {
    /// Nothing yet.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        Self { started, ring: Mutex::new(Vec::new()) }
    }

    /// Counts a result at `now`.
    pub fn note(&self, now: Instant, took: Duration, judged: bool) {
        let number = now.saturating_duration_since(self.started).as_secs();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(number);
        while ring.len() <= place {
            ring.push(Second::new(u64::MAX));
        }
        let second = &mut ring[place];
        if second.number != number {
            *second = Second::new(number);
        }
        let count = if judged { &mut second.judged } else { &mut second.failed };
        *count = count.saturating_add(1);
        let time = &mut second.times[bucket_of(took)];
        *time = time.saturating_add(1);
    }

    /// The last `count` seconds before `now`.
    #[must_use]
    pub fn describe(&self, now: Instant, count: u64) -> ThroughputStats {
        let current = now.saturating_duration_since(self.started).as_secs();
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |ago: u64| {
            let number = current.checked_sub(ago)?;
            ring.get(place(number)).filter(|second| second.number == number)
        };
        // The current second is not over, and would look like a fall.
        let judged = (1..=RATE_SECONDS).filter_map(at).map(|second| f64::from(second.judged));
        let over = u32::try_from(RATE_SECONDS.min(current).max(1)).unwrap_or(1);
        let per_second = judged.sum::<f64>() / f64::from(over);
        let count = count.min(PULSE_SECONDS_MAX - 1);
        let seconds = (1..=count).rev().filter_map(|ago| {
            let second = at(ago)?;
            Some(SecondStats {
                ago,
                judged: second.judged,
                failed: second.failed,
                p50_ms: second.quantile_ms(50),
                p99_ms: second.quantile_ms(99),
            })
        });
        ThroughputStats { per_second, seconds: seconds.collect() }
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % PULSE_SECONDS_MAX).unwrap_or_default()
}

/// Eight buckets for each doubling, so that a bound is at most an eighth above its times.
fn bucket_of(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let doubling = us.ilog2();
    let rest = if doubling >= 3 { (us >> (doubling - 3)) & 7 } else { (us << (3 - doubling)) & 7 };
    let bucket = u64::from(doubling * STEPS) + rest;
    usize::try_from(bucket).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

fn upper_ms(bucket: u32) -> f64 {
    let (doubling, rest) = (bucket / STEPS, bucket % STEPS);
    let power = i32::try_from(doubling).unwrap_or(i32::MAX);
    2_f64.powi(power) * (1.0 + f64::from(rest + 1) / f64::from(STEPS)) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seconds_are_told_and_older_ones_forgotten() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse::new(start);
        for _ in 0..120 {
            pulse.note(at(5), Duration::from_millis(10), true);
        }
        pulse.note(at(5), Duration::from_millis(900), false);
        let told = pulse.describe(at(7), 60);
        assert_eq!(told.seconds.len(), 1);
        let second = told.seconds[0];
        assert_eq!((second.ago, second.judged, second.failed), (2, 120, 1));
        assert!((10.0..11.5).contains(&second.p50_ms), "{}", second.p50_ms);
        assert!((told.per_second - 120.0 / 7.0).abs() < 0.01);
        assert!(pulse.describe(at(5), 60).seconds.is_empty(), "the current second is not over");
        assert!(pulse.describe(at(5 + PULSE_SECONDS_MAX), 600).seconds.is_empty());
        pulse.note(at(5 + PULSE_SECONDS_MAX), Duration::ZERO, true);
        let told = pulse.describe(at(6 + PULSE_SECONDS_MAX), 600);
        assert_eq!(told.seconds[0].judged, 1);
    }

    #[test]
    fn every_time_is_below_the_bound_of_its_bucket() {
        for us in (1..4000).chain([1 << 20, (1 << 25) - 1, 3_000_000_000]) {
            let bucket = u32::try_from(bucket_of(Duration::from_micros(us))).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let ms = us as f64 / 1000.0;
            assert!(ms <= upper_ms(bucket) && upper_ms(bucket) <= ms * 2.0 + 0.001, "{us}");
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }
}
