//! What may enter: a bounded number of submissions, and a bounded number of request bytes, of all
//! tenants together and of each.
//!
//! Nobody waits here. Who finds the queue full is told so at once, with the time after which, at
//! the rate of the last seconds, there should be room. Who gets a slot first is the business of
//! [`crate::schedule`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::Priority;
use tokio::sync::Notify;

use crate::limits::{RATE_WAIT_SECONDS_MAX, RETRY_AFTER_SECONDS_MAX};
use crate::schedule::Flow;
use crate::tenants::Tenant;

/// Over how many seconds the rate is averaged.
const RATE_SECONDS: f64 = 10.0;

/// The door.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Debug)]
struct State {
    submissions: Count,
    bytes: Count,
    rate: Rate,
    tenants: HashMap<Arc<str>, Own>,
    requests: u64,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    held: usize,
    max: usize,
}

/// What a tenant holds.
#[derive(Debug)]
struct Own {
    submissions: usize,
    bytes: usize,
    rate: Rate,
    allowance: Allowance,
}

/// The right to have submissions judged; dropping it makes room.
#[derive(Debug)]
pub struct Ticket {
    shared: Arc<Shared>,
    left: usize,
    flow: Flow,
    /// The right to hold what the submissions are made of.
    body: Option<BodyTicket>,
}

/// The right to hold request bytes in memory.
#[derive(Debug)]
pub struct BodyTicket {
    shared: Arc<Shared>,
    tenant: Arc<Tenant>,
    bytes: usize,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Full {
    /// What is full.
    pub what: What,
    /// After how many seconds there should be room.
    pub retry_after_seconds: u64,
}

/// What can be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// The queue of all.
    #[error("the queue is full")]
    Queue,
    /// The tenant's part of it.
    #[error("the tenant's part of the queue is full")]
    Tenant,
    /// What the tenant may send in a time.
    #[error("the tenant sends more than its rate allows")]
    Rate,
}

impl What {
    /// Its name in metrics and replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue_full",
            Self::Tenant => "tenant_queue_full",
            Self::Rate => "rate_limited",
        }
    }
}

impl Admission {
    /// A door for so many submissions and so many bytes.
    #[must_use]
    pub fn new(submissions_max: usize, bytes_max: usize) -> Self {
        let state = State {
            submissions: Count { held: 0, max: submissions_max },
            bytes: Count { held: 0, max: bytes_max },
            rate: Rate::new(Instant::now()),
            tenants: HashMap::new(),
            requests: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), emptied: Notify::new() }))
    }

    /// Other bounds from now on; what was admitted stays so.
    pub fn set_bounds(&self, submissions_max: usize, bytes_max: usize) {
        let mut state = self.0.locked();
        (state.submissions.max, state.bytes.max) = (submissions_max, bytes_max);
        state.tenants.retain(|_, own| own.submissions > 0 || own.bytes > 0);
    }

    /// Lets `count` submissions of nobody in particular in, all or none.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit(&self, count: usize) -> Result<Ticket, Full> {
        self.admit_of(&Tenant::open(), Priority::default(), count)
    }

    /// Lets `count` submissions of a tenant in, all or none.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit_of(
        &self,
        tenant: &Tenant,
        priority: Priority,
        count: usize,
    ) -> Result<Ticket, Full> {
        let now = Instant::now();
        let mut state = self.0.locked();
        state.admit(tenant, count, now)?;
        state.requests += 1;
        let flow = Flow {
            tenant: Arc::clone(&tenant.name),
            weight: tenant.weight,
            slots_max: tenant.slots_max,
            priority,
            request: state.requests,
        };
        Ok(Ticket { shared: Arc::clone(&self.0), left: count, flow, body: None })
    }

    /// Lets a body of `bytes` in.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit_body(&self, tenant: &Arc<Tenant>, bytes: usize) -> Result<BodyTicket, Full> {
        let (shared, tenant) = (Arc::clone(&self.0), Arc::clone(tenant));
        let mut ticket = BodyTicket { shared, tenant, bytes: 0 };
        ticket.grow(bytes)?;
        Ok(ticket)
    }

    /// Submissions admitted and not yet answered.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.locked().submissions.held
    }

    /// Waits until all that was admitted is answered.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.queued() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        // What is behind the lock is consistent at every point where a panic could be.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, tenant: &Tenant, count: usize, now: Instant) -> Result<(), Full> {
        let missing =
            |count: Count, more: usize| count.held.saturating_add(more).saturating_sub(count.max);
        let full = |what, retry_after_seconds| Err(Full { what, retry_after_seconds });
        let over = missing(self.submissions, count);
        let whole = over > 0;
        let after = self.rate.seconds_for(over);
        let own = self.own(tenant, now);
        let part = Count { held: own.submissions, max: tenant.queue_submissions_max };
        let over = missing(part, count);
        if over > 0 {
            return full(What::Tenant, own.rate.seconds_for(over));
        }
        if whole {
            return full(What::Queue, after);
        }
        if let Err(wait) = own.allowance.take(tenant.rate, count, now) {
            return full(What::Rate, whole_seconds(wait.as_secs_f64(), RATE_WAIT_SECONDS_MAX));
        }
        own.submissions += count;
        self.submissions.held += count;
        Ok(())
    }

    fn own(&mut self, tenant: &Tenant, now: Instant) -> &mut Own {
        self.tenants.entry(Arc::clone(&tenant.name)).or_insert_with(|| Own {
            submissions: 0,
            bytes: 0,
            rate: Rate::new(now),
            allowance: Allowance { level: f64::INFINITY, last: now },
        })
    }
}

impl BodyTicket {
    /// Extends the right to a body of `bytes`.
    ///
    /// # Errors
    /// There is no room; the ticket stays as it was.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let Some(more) = bytes.checked_sub(self.bytes) else { return Ok(()) };
        let mut state = self.shared.locked();
        let whole = state.bytes;
        let after = state.rate.seconds_for(1);
        let full = |what| Err(Full { what, retry_after_seconds: after });
        let own = state.own(&self.tenant, Instant::now());
        if own.bytes.saturating_add(more) > self.tenant.bodies_bytes_max {
            return full(What::Tenant);
        }
        if whole.held.saturating_add(more) > whole.max {
            return full(What::Queue);
        }
        own.bytes += more;
        state.bytes.held += more;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for BodyTicket {
    fn drop(&mut self) {
        let mut state = self.shared.locked();
        state.bytes.held = state.bytes.held.saturating_sub(self.bytes);
        if let Some(own) = state.tenants.get_mut(&self.tenant.name) {
            own.bytes = own.bytes.saturating_sub(self.bytes);
        }
    }
}

impl Ticket {
    /// On whose behalf slots are wanted.
    #[must_use]
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The same ticket, which keeps the right to hold the request for as long as it lives.
    #[must_use]
    pub fn with_body(mut self, body: BodyTicket) -> Self {
        self.body = Some(body);
        self
    }

    /// Notes that one submission was answered, and makes room for another.
    pub fn answered(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.make_room(1, Some(Instant::now()));
    }

    fn make_room(&self, count: usize, answered: Option<Instant>) {
        let mut state = self.shared.locked();
        state.submissions.held = state.submissions.held.saturating_sub(count);
        if let Some(now) = answered {
            state.rate.count(now);
        }
        if let Some(own) = state.tenants.get_mut(&self.flow.tenant) {
            own.submissions = own.submissions.saturating_sub(count);
            if let Some(now) = answered {
                own.rate.count(now);
            }
        }
        if state.submissions.held == 0 {
            self.shared.emptied.notify_waiters();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.left > 0 {
            self.make_room(self.left, None);
        }
    }
}

/// What a tenant may send at this moment. A request larger than what it may ever send at once is let
/// in when that much has been saved up, and makes a debt.
#[derive(Debug)]
struct Allowance {
    level: f64,
    last: Instant,
}

impl Allowance {
    fn take(
        &mut self,
        rate: Option<(f64, f64)>,
        count: usize,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some((per_second, burst)) = rate else { return Ok(()) };
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        self.level = (self.level + elapsed * per_second).min(burst);
        self.last = now;
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let missing = count.min(burst) - self.level;
        if missing > 0.0 {
            let longest = Duration::from_secs(RATE_WAIT_SECONDS_MAX);
            return Err(Duration::try_from_secs_f64(missing / per_second).unwrap_or(longest));
        }
        self.level -= count;
        Ok(())
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
        whole_seconds(f64::from(count) / self.per_second, RETRY_AFTER_SECONDS_MAX)
    }
}

/// Whole seconds, rounded up, from 1 to `max`.
fn whole_seconds(seconds: f64, max: u64) -> u64 {
    let enough = |whole: &u64| u32::try_from(*whole).is_ok_and(|whole| f64::from(whole) >= seconds);
    (1..max).find(enough).unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_full_at_its_bound_and_has_room_after_an_answer() {
        let admission = Admission::new(3, 1024);
        let mut ticket = admission.admit(3).unwrap();
        assert_eq!(admission.queued(), 3);
        assert_eq!(admission.admit(1).unwrap_err().what, What::Queue);
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
        let open = Arc::new(Tenant::open());
        let admission = Admission::new(1, 4096);
        let first = admission.admit_body(&open, 4096).unwrap();
        assert!(admission.admit_body(&open, 1).is_err());
        drop(first);
        let mut growing = admission.admit_body(&open, 1).unwrap();
        assert!(growing.grow(4096).is_ok());
        assert!(growing.grow(4097).is_err());
        drop(growing);
        assert!(admission.admit_body(&open, 4097).is_err());
        assert!(admission.admit_body(&open, 1).is_ok());
    }

    #[test]
    fn a_tenant_fills_its_own_part_and_leaves_the_rest_to_others() {
        let tenant = |name: &str, max| Tenant {
            name: name.into(),
            queue_submissions_max: max,
            bodies_bytes_max: 10,
            ..Tenant::open()
        };
        let (greedy, other) = (Arc::new(tenant("greedy", 6)), Arc::new(tenant("other", 6)));
        let admission = Admission::new(10, 15);
        let admit = |tenant: &Tenant, count| admission.admit_of(tenant, Priority::Train, count);
        let held = admit(&greedy, 6).unwrap();
        assert_eq!(admit(&greedy, 1).unwrap_err().what, What::Tenant);
        let rest = admit(&other, 4).unwrap();
        assert_eq!(admit(&other, 1).unwrap_err().what, What::Queue);
        drop((held, rest));
        let body = admission.admit_body(&greedy, 10).unwrap();
        assert_eq!(admission.admit_body(&greedy, 1).unwrap_err().what, What::Tenant);
        assert_eq!(admission.admit_body(&other, 6).unwrap_err().what, What::Queue);
        drop(admission.admit_body(&other, 5).unwrap());
        drop(body);
        assert_eq!(admit(&Tenant::nobody(), 1).unwrap_err().what, What::Tenant);
    }

    #[test]
    fn a_rate_is_kept_and_the_time_to_wait_is_the_true_one() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut allowance = Allowance { level: f64::INFINITY, last: start };
        let rate = Some((2.0, 10.0));
        assert!(allowance.take(rate, 10, at(0.0)).is_ok());
        let wait = allowance.take(rate, 4, at(0.0)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(2));
        assert!(allowance.take(rate, 4, at(1.9)).is_err());
        assert!(allowance.take(rate, 4, at(2.0)).is_ok());
        // More than may ever be saved up: let in once all is there, and paid for afterwards.
        assert!(allowance.take(rate, 30, at(6.9)).is_err());
        assert!(allowance.take(rate, 30, at(7.0)).is_ok());
        assert_eq!(allowance.take(rate, 1, at(7.0)).unwrap_err(), Duration::from_secs_f64(10.5));
        assert!(allowance.take(None, usize::MAX, at(7.0)).is_ok());
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
