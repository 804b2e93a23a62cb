//! Stops calling what does not answer, or what answers wrongly. Pure: the time is handed in.
//!
//! Closed: calls pass. Failures in a row open it; after a while one call is let through, and what
//! becomes of that call closes or opens it again. Canaries can hold it open until they pass.

use std::time::{Duration, Instant};

/// A circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    failures_max: u32,
    open_for: Duration,
    failures: u32,
    open_until: Option<Instant>,
    /// Whether the one call of a half-open breaker is under way.
    trying: bool,
    /// Whether canaries found the judge to be wrong too often.
    distrusted: bool,
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They pass.
    Closed,
    /// They are refused.
    Open,
    /// One is let through.
    HalfOpen,
    /// They are refused until canaries pass.
    Distrusted,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(failures_max: u32, open_for: Duration) -> Self {
        Self {
            failures_max,
            open_for,
            failures: 0,
            open_until: None,
            trying: false,
            distrusted: false,
        }
    }

    /// Its state at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        match self.open_until {
            _ if self.distrusted => State::Distrusted,
            None => State::Closed,
            Some(until) if now < until || self.trying => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    /// Whether a call may be made; a half-open breaker lets one through.
    pub fn admit(&mut self, now: Instant) -> bool {
        match self.state(now) {
            State::Closed => true,
            State::HalfOpen => {
                self.trying = true;
                true
            }
            State::Open | State::Distrusted => false,
        }
    }

    /// A call succeeded.
    pub fn succeeded(&mut self) {
        (self.failures, self.open_until, self.trying) = (0, None, false);
    }

    /// A call failed.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.trying || self.failures >= self.failures_max {
            self.open_until = Some(now + self.open_for);
        }
        self.trying = false;
    }

    /// A call was given up by its caller: nothing is known.
    pub fn abandoned(&mut self) {
        self.trying = false;
    }

    /// Canaries passed, or did not.
    pub fn trust(&mut self, trusted: bool) {
        self.distrusted = !trusted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_one_success_closes_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(2, Duration::from_secs(10));
        breaker.failed(now);
        breaker.succeeded();
        breaker.failed(now);
        assert!(breaker.admit(now));
        breaker.failed(now);
        assert!(!breaker.admit(now));
        assert!(!breaker.admit(now + Duration::from_millis(9_999)));
        let later = now + Duration::from_secs(10);
        assert_eq!(breaker.state(later), State::HalfOpen);
        assert!(breaker.admit(later));
        // Only one call tries.
        assert!(!breaker.admit(later));
        breaker.failed(later);
        assert!(!breaker.admit(later + Duration::from_secs(9)));
        assert!(breaker.admit(later + Duration::from_secs(10)));
        breaker.succeeded();
        assert_eq!(breaker.state(later), State::Closed);
    }

    #[test]
    fn an_abandoned_try_lets_the_next_one_try() {
        let now = Instant::now();
        let mut breaker = Breaker::new(1, Duration::ZERO);
        breaker.failed(now);
        assert!(breaker.admit(now));
        breaker.abandoned();
        assert!(breaker.admit(now));
    }

    #[test]
    fn distrust_holds_whatever_calls_do() {
        let now = Instant::now();
        let mut breaker = Breaker::new(2, Duration::ZERO);
        breaker.trust(false);
        breaker.succeeded();
        assert_eq!(breaker.state(now), State::Distrusted);
        assert!(!breaker.admit(now));
        breaker.trust(true);
        assert!(breaker.admit(now));
    }
}
