//! How fast submissions are answered. Pure: the time is handed in.

use std::time::Instant;

use crate::limits::RETRY_AFTER_SECONDS_MAX;

/// Over how many seconds the rate is averaged.
const RATE_SECONDS: f64 = 10.0;
/// After how many seconds of work the rate is known.
const RATE_KNOWN_SECONDS: f64 = 0.5;

/// How many submissions are answered in a second: an average whose weights fall exponentially, over
/// the time in which there was something to answer.
#[derive(Debug)]
pub(super) struct Rate {
    /// What is taken for the rate before enough is known.
    at_first: f64,
    answered: f64,
    seconds: f64,
    last: Instant,
}

impl Rate {
    pub(super) fn new(now: Instant, at_first: f64) -> Self {
        Self { at_first, answered: 0.0, seconds: 0.0, last: now }
    }

    /// The time since the last answer does not count: there was nothing to do.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.last = now;
    }

    pub(super) fn count(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        let kept = (-elapsed / RATE_SECONDS).exp();
        self.answered = self.answered * kept + 1.0;
        self.seconds = self.seconds * kept + RATE_SECONDS * (1.0 - kept);
        self.last = now;
    }

    pub(super) fn per_second(&self) -> f64 {
        // Answers at the same moment tell nothing of the time between them.
        let counted = self.answered / self.seconds.max(0.001);
        // The first answer comes late: all was begun at the same time, and much for the first time.
        if self.seconds < RATE_KNOWN_SECONDS { counted.max(self.at_first) } else { counted }
    }

    /// Seconds until `count` more are answered, at least 1.
    pub(super) fn seconds_for(&self, count: usize) -> u64 {
        whole_seconds(super::real(count) / self.per_second(), RETRY_AFTER_SECONDS_MAX)
    }
}

/// Whole seconds, rounded up, from 1 to `max`.
pub(super) fn whole_seconds(seconds: f64, max: u64) -> u64 {
    let enough = |whole: &u64| u32::try_from(*whole).is_ok_and(|whole| f64::from(whole) >= seconds);
    (1..max).find(enough).unwrap_or(max)
}
