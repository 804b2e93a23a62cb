//! What may enter: a bounded number of submissions, and a bounded number of request bytes, of all
//! tenants together and of each.
//!
//! Nobody waits here. Who finds the queue full is told so at once, with the time after which, at
//! the rate of the last seconds, there should be room behind all others that were told to come back:
//! [`promises`]. Rates change, and a promise made at yesterday's is kept all the same: who comes when
//! told gets in beyond the bound, up to as much again, so that the queue is bounded by twice of what
//! newcomers may fill. Refused instead: promising by a fraction of the rate, which leaves slots idle
//! whenever the rate holds. Who gets a slot first is the business of [`crate::schedule`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::Priority;
use tokio::sync::Notify;

mod promises;
mod rate;

use crate::limits::{RATE_WAIT_SECONDS_MAX, RETRY_AFTER_SECONDS_MAX};
use crate::schedule::Flow;
use crate::tenants::Tenant;
use promises::{Booked, Guest, Kept, Place, Promises, Room, Taken};
use rate::{Rate, whole_seconds};

/// How many a slot is taken to answer in a second before that is known.
const RATE_OF_A_SLOT: f64 = 100.0;
/// The part of the rate that places are promised by: it varies with what is sent.
const PROMISED_PART: f64 = 0.9;

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
    start: Instant,
    /// By which rate is promised before it is known.
    rate_at_first: f64,
    submissions_max: usize,
    queue: Line,
    bytes: Count,
    tenants: HashMap<Arc<str>, Own>,
    promises: Promises,
    returns: Returns,
    requests: u64,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    held: usize,
    max: usize,
}

/// Submissions admitted and not yet answered, and what is known of others that will come.
#[derive(Debug)]
struct Line {
    held: usize,
    rate: Rate,
    booked: Booked,
}

/// What a tenant holds.
#[derive(Debug)]
struct Own {
    part: Line,
    bytes: usize,
    allowance: Allowance,
    /// Of the allowance.
    booked: Booked,
}

/// What became of those who came back when they were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returns {
    /// They were let in.
    pub admitted: u64,
    /// They were refused again.
    pub refused: u64,
}

/// Who asks to be let in.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The tenant.
    pub tenant: &'a Tenant,
    /// What its request is for.
    pub priority: Priority,
    /// By what the request is known when it comes again.
    pub mark: Option<u64>,
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
    /// A door for so many submissions and so many bytes, before so many slots.
    #[must_use]
    pub fn new(submissions_max: usize, bytes_max: usize, slots: usize) -> Self {
        let start = Instant::now();
        let rate_at_first = real(slots.max(1)) * RATE_OF_A_SLOT;
        let state = State {
            start,
            rate_at_first,
            submissions_max,
            queue: Line::new(start, rate_at_first),
            bytes: Count { held: 0, max: bytes_max },
            tenants: HashMap::new(),
            promises: Promises::default(),
            returns: Returns::default(),
            requests: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), emptied: Notify::new() }))
    }

    /// Other bounds from now on; what was admitted stays so.
    pub fn set_bounds(&self, submissions_max: usize, bytes_max: usize) {
        let mut state = self.0.locked();
        (state.submissions_max, state.bytes.max) = (submissions_max, bytes_max);
        state
            .tenants
            .retain(|_, own| own.part.held > 0 || own.bytes > 0 || !own.part.booked.is_empty());
    }

    /// Lets `count` submissions of nobody in particular in, all or none.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit(&self, count: usize) -> Result<Ticket, Full> {
        let tenant = &Tenant::open();
        self.admit_of(&Asker { tenant, priority: Priority::default(), mark: None }, count)
    }

    /// Lets `count` submissions of a tenant in, all or none.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit_of(&self, asker: &Asker<'_>, count: usize) -> Result<Ticket, Full> {
        let now = Instant::now();
        let mut state = self.0.locked();
        state.admit(asker, count, now)?;
        state.requests += 1;
        let tenant = asker.tenant;
        let flow = Flow {
            tenant: Arc::clone(&tenant.name),
            weight: tenant.weight,
            slots_max: tenant.slots_max,
            priority: asker.priority,
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
        self.0.locked().queue.held
    }

    /// What became of those who came back when they were told, since the start.
    #[must_use]
    pub fn returns(&self) -> Returns {
        self.0.locked().returns
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
    fn admit(&mut self, asker: &Asker<'_>, count: usize, now: Instant) -> Result<(), Full> {
        let tenant = asker.tenant;
        let time = now.saturating_duration_since(self.start);
        self.forget_missed(time);
        let guest = asker.mark.map(|mark| Guest { tenant: Arc::clone(&tenant.name), mark });
        // A place of its own is not in its way, whether its time has come or not.
        let taken = guest.as_ref().and_then(|guest| self.take_place(guest, time));
        let promised = taken.is_some_and(|taken| taken.is_due && count <= taken.place.count);
        self.own(tenant, now).allowance.save_up(tenant.rate, now);
        let full = self.views(tenant, count).into_iter().flatten().find(|(_, view)| {
            let open = if promised { view.keeps_word() } else { view.spares(time) };
            !open
        });
        let full = full.map(|(what, _)| what);
        match (full, promised) {
            (None, true) => self.returns.admitted += 1,
            (Some(_), true) => self.returns.refused += 1,
            (None | Some(_), false) => {}
        }
        // Whoever gets in needs it no more, told or not; whoever came too early keeps it.
        if let (Some(guest), Some(taken), Some(_), false) = (&guest, taken, full, promised) {
            self.keep(guest, taken.place);
        }
        match full {
            None => {
                self.enter(tenant, count, now);
                Ok(())
            }
            Some(what) => {
                let retry_after_seconds = self.promise(tenant, guest.as_ref(), count, time);
                Err(Full { what, retry_after_seconds })
            }
        }
    }

    fn enter(&mut self, tenant: &Tenant, count: usize, now: Instant) {
        self.queue.enter(count, now);
        let own = self.own(tenant, now);
        own.part.enter(count, now);
        own.allowance.spend(tenant.rate, count);
    }

    fn answered(&mut self, tenant: &Arc<str>, now: Instant) {
        self.queue.rate.count(now);
        if let Some(own) = self.tenants.get_mut(tenant) {
            own.part.rate.count(now);
        }
    }

    fn leave(&mut self, tenant: &Arc<str>, count: usize) {
        self.queue.leave(count);
        if let Some(own) = self.tenants.get_mut(tenant) {
            own.part.leave(count);
        }
    }

    /// What `count` more submissions of a tenant would take: of its part, of the whole queue, and of
    /// what it may send.
    fn views(&self, tenant: &Tenant, count: usize) -> [Option<(What, View<'_>)>; 3] {
        let Some(own) = self.tenants.get(&tenant.name) else { return [None, None, None] };
        let part = own.part.view(tenant.queue_submissions_max, count);
        let queue = self.queue.view(self.submissions_max, count);
        let allowance = tenant.rate.map(|(per_second, burst)| {
            let (free, plenty) = (own.allowance.level, f64::INFINITY);
            // What becomes free here is certain.
            let room = Room { free, per_second, max: burst, beyond: 0.0, plenty };
            (What::Rate, View { room, wanted: real(count).min(burst), booked: &own.booked })
        });
        [Some((What::Tenant, part)), Some((What::Queue, queue)), allowance]
    }

    /// When to come back, with a place that is kept where it can be.
    fn promise(
        &mut self,
        tenant: &Tenant,
        guest: Option<&Guest>,
        count: usize,
        now: Duration,
    ) -> u64 {
        let views = self.views(tenant, count);
        let mut views = views.iter().flatten();
        let soonest = views.try_fold(1, |wait, (_, view)| Some(view.earliest(now)?.max(wait)));
        let Some(wait) = soonest else { return self.unpromised(tenant, count, now) };
        let Some(guest) = guest else { return wait };
        let tokens = tenant.rate.map_or(0.0, |(_, burst)| real(count).min(burst));
        let place = Place { second: promises::second_of(now, wait), count, tokens };
        match self.keep(guest, place) {
            Kept::Nothing | Kept::Place => wait,
            Kept::Before(last) => last.second.saturating_sub(now.as_secs()).max(1),
        }
    }

    /// Keeps a place, and room for it.
    fn keep(&mut self, guest: &Guest, place: Place) -> Kept {
        let kept = self.promises.keep(guest, place);
        if kept == Kept::Place {
            let count = real(place.count);
            self.queue.booked.add(place.second, count);
            if let Some(own) = self.tenants.get_mut(&guest.tenant) {
                own.part.booked.add(place.second, count);
                own.booked.add(place.second, place.tokens);
            }
        }
        kept
    }

    /// A place of a guest, which is kept no longer.
    fn take_place(&mut self, guest: &Guest, now: Duration) -> Option<Taken> {
        let taken = self.promises.take(guest, now)?;
        self.unbook(&guest.tenant, taken.place);
        Some(taken)
    }

    /// When to come back where no place can be promised: too much is asked for, or so many wait that
    /// the time of the next is too far away.
    fn unpromised(&self, tenant: &Tenant, count: usize, now: Duration) -> u64 {
        let wait = |(what, view): &(What, View<'_>)| {
            let (missing, room) = (view.wanted - view.room.free, &view.room);
            let max = match what {
                What::Rate => RATE_WAIT_SECONDS_MAX,
                What::Queue | What::Tenant => RETRY_AFTER_SECONDS_MAX,
            };
            let too_many =
                *what != What::Rate && view.wanted <= room.max && view.earliest(now).is_none();
            if too_many {
                max
            } else if missing <= 0.0 || room.per_second <= 0.0 {
                1
            } else {
                whole_seconds(missing / room.per_second, max)
            }
        };
        self.views(tenant, count).iter().flatten().map(wait).max().unwrap_or(1)
    }

    /// Gives up the places of those who did not come.
    fn forget_missed(&mut self, now: Duration) {
        while let Some((guest, place)) = self.promises.missed(now) {
            self.unbook(&guest.tenant, place);
        }
    }

    fn unbook(&mut self, tenant: &Arc<str>, place: Place) {
        let count = real(place.count);
        self.queue.booked.remove(place.second, count);
        if let Some(own) = self.tenants.get_mut(tenant) {
            own.part.booked.remove(place.second, count);
            own.booked.remove(place.second, place.tokens);
        }
    }

    fn own(&mut self, tenant: &Tenant, now: Instant) -> &mut Own {
        let rate_at_first = self.rate_at_first;
        self.tenants.entry(Arc::clone(&tenant.name)).or_insert_with(|| Own {
            part: Line::new(now, rate_at_first),
            bytes: 0,
            allowance: Allowance { level: f64::INFINITY, last: now },
            booked: Booked::default(),
        })
    }
}

/// What a wish takes of one kind of room, and what is booked of that.
#[derive(Debug)]
struct View<'a> {
    room: Room,
    wanted: f64,
    booked: &'a Booked,
}

impl View<'_> {
    fn keeps_word(&self) -> bool {
        self.room.keeps_word(self.wanted)
    }

    fn spares(&self, now: Duration) -> bool {
        self.booked.spares(&self.room, self.wanted, now)
    }

    fn earliest(&self, now: Duration) -> Option<u64> {
        self.booked.earliest(&self.room, self.wanted, now)
    }
}

impl Line {
    fn new(now: Instant, rate_at_first: f64) -> Self {
        Self { held: 0, rate: Rate::new(now, rate_at_first), booked: Booked::default() }
    }

    fn enter(&mut self, count: usize, now: Instant) {
        if self.held == 0 {
            self.rate.go_on(now);
        }
        self.held += count;
    }

    fn leave(&mut self, count: usize) {
        self.held = self.held.saturating_sub(count);
    }

    fn view(&self, max: usize, count: usize) -> View<'_> {
        let per_second = self.rate.per_second() * PROMISED_PART;
        let free = real(max) - real(self.held);
        let (max, plenty) = (real(max), (real(max) / 2.0).floor());
        let room = Room { free, per_second, max, beyond: max, plenty };
        View { room, wanted: real(count), booked: &self.booked }
    }
}

fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
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
        let after = state.queue.rate.seconds_for(1);
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
        let mut state = self.shared.locked();
        state.answered(&self.flow.tenant, Instant::now());
        self.make_room(&mut state, 1);
    }

    fn make_room(&self, state: &mut State, count: usize) {
        state.leave(&self.flow.tenant, count);
        if state.queue.held == 0 {
            self.shared.emptied.notify_waiters();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.left > 0 {
            self.make_room(&mut self.shared.locked(), self.left);
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
    fn save_up(&mut self, rate: Option<(f64, f64)>, now: Instant) {
        let Some((per_second, burst)) = rate else { return };
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        self.level = (self.level + elapsed * per_second).min(burst);
        self.last = now;
    }

    fn spend(&mut self, rate: Option<(f64, f64)>, count: usize) {
        if rate.is_some() {
            self.level -= real(count);
        }
    }
}

#[cfg(test)]
mod tests;
