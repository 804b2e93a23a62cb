//! Who gets the next free slot: weighted fair queueing between tenants, their priorities and their
//! requests.
//!
//! Each tenant has a weight, each of its priorities another, and all requests of a priority the
//! same. Of those that wait, the tenant that has had the least slot time for its weight comes first,
//! within it the priority, within that the request. Who was idle has saved nothing up; who waits is
//! overtaken only for as long as the others have had less. So nobody starves, and a request of one
//! submission waits for about one run, however many thousands another has sent.
//!
//! [`queue`] decides and is pure; this file makes those who ask wait.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::Priority;
use tokio::sync::oneshot;

pub mod queue;

use queue::{Queue, Ticket};

/// On whose behalf a slot is wanted.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The tenant's name.
    pub tenant: Arc<str>,
    /// Its share, beside the weights of others.
    pub weight: u32,
    /// How many slots it may use at once; `None` for all. Two programs that talk count as one.
    pub slots_max: Option<NonZeroUsize>,
    /// What the request is for.
    pub priority: Priority,
    /// The request.
    pub request: u64,
}

/// Hands out the right to lease a slot.
#[derive(Debug)]
pub struct Scheduler {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    waiting: HashMap<u64, oneshot::Sender<Grant>>,
    next: u64,
}

/// The right to lease slots, until dropped.
#[derive(Debug)]
pub struct Grant {
    scheduler: Arc<Scheduler>,
    /// `None` for a wish that no number of free slots could meet; the pool words the refusal.
    ticket: Option<Ticket>,
    since: Instant,
}

impl Grant {
    /// For how long it has been held.
    #[must_use]
    pub fn held(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Scheduler {
    /// A scheduler of so many slots.
    #[must_use]
    pub fn new(slots: usize) -> Arc<Self> {
        let state = State { queue: Queue::new(slots), waiting: HashMap::new(), next: 0 };
        Arc::new(Self { start: Instant::now(), state: Mutex::new(state) })
    }

    /// Waits for the right to lease `slots` at once. Dropping the future gives the place up.
    pub async fn acquire(self: &Arc<Self>, flow: &Flow, slots: usize) -> Grant {
        let nothing = || Grant { scheduler: Arc::clone(self), ticket: None, since: Instant::now() };
        let (id, receiver) = {
            let mut state = self.locked();
            if slots > state.queue.slots() {
                return nothing();
            }
            let (sender, receiver) = oneshot::channel();
            let id = state.next;
            state.next += 1;
            state.waiting.insert(id, sender);
            state.queue.enter(flow, id, slots, self.start.elapsed());
            (id, receiver)
        };
        // Declared after the receiver, so that the place is given up before a grant that came too
        // late is.
        let mut receiver = receiver;
        let _place = Place { scheduler: self, id };
        self.hand_out();
        // The sender is kept until it is used, so there is always a grant.
        (&mut receiver).await.unwrap_or_else(|_| nothing())
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.locked().waiting.len()
    }

    /// Grants what can be granted now.
    fn hand_out(self: &Arc<Self>) {
        // A grant whose receiver is gone is dropped, which asks for the lock: not while it is held.
        let mut unwanted = Vec::new();
        {
            let mut state = self.locked();
            while let Some(ticket) = state.queue.next(self.start.elapsed()) {
                let sender = state.waiting.remove(&ticket.id());
                let grant = Grant {
                    scheduler: Arc::clone(self),
                    ticket: Some(ticket),
                    since: Instant::now(),
                };
                match sender {
                    Some(sender) => unwanted.extend(sender.send(grant).err()),
                    None => unwanted.push(grant),
                }
            }
        }
        drop(unwanted);
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // What is behind the lock is consistent at every point where a panic could be.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, given up when dropped.
struct Place<'a> {
    scheduler: &'a Arc<Scheduler>,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waited = {
            let mut state = self.scheduler.locked();
            state.queue.leave(self.id);
            state.waiting.remove(&self.id).is_some()
        };
        if waited {
            // Whoever stood behind may be first now.
            self.scheduler.hand_out();
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let now = self.scheduler.start.elapsed();
        self.scheduler.locked().queue.release(ticket, now);
        self.scheduler.hand_out();
    }
}

#[cfg(test)]
mod tests;
