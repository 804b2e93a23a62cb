//! What may enter: a bounded number of submissions, and a bounded number of request bytes.
//!
//! Nobody waits here. Who finds the queue full is told so at once, with the time after which, at
//! the rate of the last seconds, there should be room. Fairness between requests is the business of
//! [`crate::batch`]; order between slots is first come, first served.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::RETRY_AFTER_SECONDS_MAX;

/// Bytes for which one permit stands, so that any body fits the semaphore's count.
const BYTES_A_PERMIT: usize = 1024;
/// Over how many seconds the rate is averaged.
const RATE_SECONDS: f64 = 10.0;

/// The door.
#[derive(Debug)]
pub struct Admission {
    submissions: Arc<Semaphore>,
    submissions_max: usize,
    bytes: Arc<Semaphore>,
    rate: Arc<Mutex<Rate>>,
}

/// The right to have submissions judged; dropping it makes room.
#[derive(Debug)]
pub struct Ticket {
    permit: OwnedSemaphorePermit,
    rate: Arc<Mutex<Rate>>,
}

/// The right to hold request bytes in memory.
#[derive(Debug)]
pub struct BodyTicket {
    permit: OwnedSemaphorePermit,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct Full {
    /// After how many seconds there should be room.
    pub retry_after_seconds: u64,
}

impl Admission {
    /// A door for so many submissions and so many bytes.
    #[must_use]
    pub fn new(submissions_max: usize, bytes_max: usize) -> Self {
        Self {
            submissions: Arc::new(Semaphore::new(submissions_max)),
            submissions_max,
            bytes: Arc::new(Semaphore::new(bytes_max.div_ceil(BYTES_A_PERMIT))),
            rate: Arc::new(Mutex::new(Rate::new(Instant::now()))),
        }
    }

    /// Lets `count` submissions in, all or none.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit(&self, count: usize) -> Result<Ticket, Full> {
        let permit = u32::try_from(count)
            .ok()
            .and_then(|count| Arc::clone(&self.submissions).try_acquire_many_owned(count).ok())
            .ok_or_else(|| {
                let missing = count.saturating_sub(self.submissions.available_permits());
                self.full(missing)
            })?;
        Ok(Ticket { permit, rate: Arc::clone(&self.rate) })
    }

    /// Lets a body of `bytes` in.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit_body(&self, bytes: usize) -> Result<BodyTicket, Full> {
        u32::try_from(bytes.div_ceil(BYTES_A_PERMIT))
            .ok()
            .and_then(|count| Arc::clone(&self.bytes).try_acquire_many_owned(count).ok())
            .map(|permit| BodyTicket { permit })
            .ok_or_else(|| self.full(1))
    }

    /// Submissions admitted and not yet answered.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.submissions_max.saturating_sub(self.submissions.available_permits())
    }

    fn full(&self, missing: usize) -> Full {
        let rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        Full { retry_after_seconds: rate.seconds_for(missing) }
    }
}

impl BodyTicket {
    /// Extends the right to a body of `bytes`.
    ///
    /// # Errors
    /// There is no room; the ticket stays as it was.
    pub fn grow(&mut self, admission: &Admission, bytes: usize) -> Result<(), Full> {
        let held = self.permit.num_permits() * BYTES_A_PERMIT;
        if bytes > held {
            self.permit.merge(admission.admit_body(bytes - held)?.permit);
        }
        Ok(())
    }
}

impl Ticket {
    /// Notes that one submission was answered, and makes room for another.
    pub fn answered(&mut self) {
        drop(self.permit.split(1));
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).count(Instant::now());
    }
}

/// How many submissions are answered in a second: an exponential moving average.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    last: Instant,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { per_second: 0.0, last: now }
    }

    fn count(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64().max(1e-6);
        let weight = 1.0 - (-elapsed / RATE_SECONDS).exp();
        self.per_second += weight * (elapsed.recip() - self.per_second);
        self.last = now;
    }

    /// Seconds until `count` more are answered, at least 1.
    fn seconds_for(&self, count: usize) -> u64 {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if self.per_second <= 0.0 {
            return 1;
        }
        let seconds = (f64::from(count) / self.per_second).ceil();
        (1..RETRY_AFTER_SECONDS_MAX)
            .find(|whole| u32::try_from(*whole).is_ok_and(|whole| f64::from(whole) >= seconds))
            .unwrap_or(RETRY_AFTER_SECONDS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_queue_is_full_at_its_bound_and_has_room_after_an_answer() {
        let admission = Admission::new(3, 1024);
        let mut ticket = admission.admit(3).unwrap();
        assert_eq!(admission.queued(), 3);
        assert!(admission.admit(1).is_err());
        ticket.answered();
        assert!(admission.admit(2).is_err());
        let other = admission.admit(1).unwrap();
        drop(other);
        drop(ticket);
        assert_eq!(admission.queued(), 0);
        assert!(admission.admit(4).is_err());
        assert!(admission.admit(usize::MAX).is_err());
    }

    #[test]
    fn bodies_are_bounded_together() {
        let admission = Admission::new(1, 4096);
        let first = admission.admit_body(4096).unwrap();
        assert!(admission.admit_body(1).is_err());
        drop(first);
        let mut growing = admission.admit_body(1).unwrap();
        assert!(growing.grow(&admission, 4096).is_ok());
        assert!(growing.grow(&admission, 4097).is_err());
        drop(growing);
        assert!(admission.admit_body(4097).is_err());
        assert!(admission.admit_body(1).is_ok());
    }

    #[test]
    fn the_time_to_wait_follows_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!(rate.seconds_for(100), 1);
        for tick in 1..=1000 {
            rate.count(start + Duration::from_millis(100 * tick));
        }
        assert!((rate.per_second - 10.0).abs() < 0.5, "{}", rate.per_second);
        assert_eq!(rate.seconds_for(1), 1);
        assert!((9..=11).contains(&rate.seconds_for(100)));
        assert_eq!(rate.seconds_for(usize::MAX), RETRY_AFTER_SECONDS_MAX);
    }
}
