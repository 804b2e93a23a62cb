//! The order of those who wait: start-time fair queueing in three levels. Pure: the time is handed in.
//!
//! Each node of the tree counts the slot time that it has had, divided by its weight: its virtual
//! time. A level's clock runs as fast as its nodes together are served. A node that was idle begins
//! at the clock, or at what it has had if that is more; so the fresh requests of an endless stream
//! do not overtake one that has waited, because the clock runs on while they are served.
//!
//! How long a lease will take is not known when it begins: a mean is charged, and at its end the
//! difference. What runs for longer than was charged counts while it runs.
//! (Goyal, Vin, Cheng: Start-time Fair Queuing, IEEE/ACM ToN 5(5), 1997, equations 3 to 5.)

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use protocol::Priority;

use super::Flow;

/// Weights of training, evaluation and interactive requests.
const PRIORITY_WEIGHTS: [u32; 3] = [1, 4, 16];
/// What a lease is charged before any has ended.
const COST_AT_FIRST: Duration = Duration::from_millis(50);
/// The part of the mean that a new lease makes.
const COST_SHARE: i128 = 16;
/// Parts of a nanosecond that virtual time is counted in, so that weights divide it.
const PARTS: i128 = 1000;

/// Those who wait for slots.
#[derive(Debug)]
pub struct Queue {
    slots: usize,
    free: usize,
    tenants: BTreeMap<Arc<str>, Tenant>,
    clock: i128,
    /// Mean slot time of a lease, in nanoseconds.
    cost: i128,
    /// Where each that waits stands.
    places: HashMap<u64, (Arc<str>, Priority, u64)>,
}

/// A lease that was granted.
#[derive(Debug)]
pub struct Ticket {
    id: u64,
    tenant: Arc<str>,
    priority: Priority,
    request: u64,
    slots: usize,
    since: Duration,
    /// Nanoseconds of slot time that were charged.
    charged: i128,
}

impl Ticket {
    /// Who it was granted to.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// What every node of the tree counts.
#[derive(Debug, Default)]
struct Usage {
    /// Virtual time that was charged.
    had: i128,
    /// Leases that run, by slots, with the sum of their starts and of what they were charged.
    running: i128,
    started: i128,
    charged: i128,
    waiting: usize,
}

impl Usage {
    fn is_active(&self) -> bool {
        self.waiting > 0 || self.running > 0
    }

    /// Virtual time with what runs for longer than it was charged.
    fn virtual_time(&self, now: i128, weight: u32) -> i128 {
        let beyond = (self.running * now - self.started - self.charged).max(0);
        self.had + beyond * PARTS / i128::from(weight)
    }

    fn grant(&mut self, slots: i128, now: i128, cost: i128, weight: u32) {
        self.waiting -= 1;
        self.running += slots;
        self.started += slots * now;
        self.charged += cost;
        self.had += cost * PARTS / i128::from(weight);
    }

    fn release(&mut self, ticket: &Ticket, more: i128, weight: u32) {
        let slots = count(ticket.slots);
        self.running -= slots;
        self.started -= slots * nanos(ticket.since);
        self.charged -= ticket.charged;
        self.had += more * PARTS / i128::from(weight);
    }
}

#[derive(Debug)]
struct Tenant {
    usage: Usage,
    weight: u32,
    slots_max: Option<NonZeroUsize>,
    clock: i128,
    priorities: [Class; 3],
}

#[derive(Debug, Default)]
struct Class {
    usage: Usage,
    clock: i128,
    requests: HashMap<u64, Request>,
    /// Requests of which somebody waits, by their virtual time.
    ready: BTreeSet<(i128, u64)>,
}

#[derive(Debug, Default)]
struct Request {
    had: i128,
    running: usize,
    line: VecDeque<(u64, usize)>,
}

fn class_of(priority: Priority) -> usize {
    match priority {
        Priority::Train => 0,
        Priority::Eval => 1,
        Priority::Interactive => 2,
    }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX / PARTS)
}

fn count(slots: usize) -> i128 {
    i128::try_from(slots).unwrap_or(i128::MAX)
}

impl Queue {
    /// A queue for so many slots, all free.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            free: slots,
            tenants: BTreeMap::new(),
            clock: 0,
            cost: nanos(COST_AT_FIRST),
            places: HashMap::new(),
        }
    }

    /// How many slots there are.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Lets `id` wait for so many slots at once, at most [`Self::slots`].
    pub fn enter(&mut self, flow: &Flow, id: u64, slots: usize, now: Duration) {
        let tenant = self.tenants.entry(Arc::clone(&flow.tenant)).or_insert_with(|| Tenant {
            usage: Usage::default(),
            weight: 1,
            slots_max: None,
            clock: 0,
            priorities: Default::default(),
        });
        (tenant.weight, tenant.slots_max) = (flow.weight.max(1), flow.slots_max);
        if !tenant.usage.is_active() {
            let had = tenant.usage.virtual_time(nanos(now), tenant.weight);
            tenant.usage.had = had.max(self.clock);
        }
        tenant.usage.waiting += 1;
        let class = &mut tenant.priorities[class_of(flow.priority)];
        if !class.usage.is_active() {
            class.usage.had = class.usage.had.max(tenant.clock);
        }
        class.usage.waiting += 1;
        let clock = class.clock;
        let request = class
            .requests
            .entry(flow.request)
            .or_insert_with(|| Request { had: clock, ..Request::default() });
        request.line.push_back((id, slots));
        class.ready.insert((request.had, flow.request));
        self.places.insert(id, (Arc::clone(&flow.tenant), flow.priority, flow.request));
    }

    /// Lets `id` wait no longer. Nothing happens where it does not.
    pub fn leave(&mut self, id: u64) {
        let Some((tenant, priority, request)) = self.places.remove(&id) else { return };
        let Some(tenant) = self.tenants.get_mut(&tenant) else { return };
        tenant.usage.waiting -= 1;
        let class = &mut tenant.priorities[class_of(priority)];
        class.usage.waiting -= 1;
        if let Some(node) = class.requests.get_mut(&request) {
            node.line.retain(|(waiting, _)| *waiting != id);
            class.settle(request);
        }
    }

    /// The next lease, where there is room for it.
    pub fn next(&mut self, now: Duration) -> Option<Ticket> {
        let at = nanos(now);
        let name = Arc::clone(self.first_tenant(at)?);
        let weights: i128 = self
            .tenants
            .values()
            .filter(|tenant| tenant.usage.is_active())
            .map(|tenant| i128::from(tenant.weight))
            .sum();
        let tenant = self.tenants.get_mut(&name)?;
        let priority = tenant.first_class(at)?;
        let class = &mut tenant.priorities[class_of(priority)];
        let request = class.ready.first()?.1;
        let node = class.requests.get_mut(&request)?;
        let (id, slots) = *node.line.front()?;
        if slots > self.free {
            return None;
        }
        node.line.pop_front();
        let cost = self.cost * count(slots);
        self.places.remove(&id);
        self.free -= slots;
        self.clock += cost * PARTS / weights.max(1);
        tenant.grant(priority, request, (slots, at, cost));
        Some(Ticket { id, tenant: name, priority, request, slots, since: now, charged: cost })
    }

    /// Takes back what was granted.
    pub fn release(&mut self, ticket: Ticket, now: Duration) {
        let each = nanos(now.saturating_sub(ticket.since));
        self.cost += (each - self.cost) / COST_SHARE;
        self.free += ticket.slots;
        let Some(tenant) = self.tenants.get_mut(&ticket.tenant) else { return };
        let more = each * count(ticket.slots) - ticket.charged;
        tenant.usage.release(&ticket, more, tenant.weight);
        let class = &mut tenant.priorities[class_of(ticket.priority)];
        class.usage.release(&ticket, more, PRIORITY_WEIGHTS[class_of(ticket.priority)]);
        if let Some(node) = class.requests.get_mut(&ticket.request) {
            class.ready.remove(&(node.had, ticket.request));
            node.had += more * PARTS;
            node.running -= 1;
            class.settle(ticket.request);
        }
    }

    /// The tenant that has had the least, among those of which somebody waits and may run. Between
    /// equals, the one with fewer slots.
    fn first_tenant(&self, now: i128) -> Option<&Arc<str>> {
        let may_run = |tenant: &Tenant| {
            let room = |max: NonZeroUsize| tenant.usage.running < count(max.get());
            tenant.usage.waiting > 0 && tenant.slots_max.is_none_or(room)
        };
        let key =
            |tenant: &Tenant| (tenant.usage.virtual_time(now, tenant.weight), tenant.usage.running);
        let candidates = self.tenants.iter().filter(|(_, tenant)| may_run(tenant));
        candidates.min_by_key(|(_, tenant)| key(tenant)).map(|(name, _)| name)
    }
}

impl Tenant {
    fn first_class(&self, now: i128) -> Option<Priority> {
        let all = [Priority::Interactive, Priority::Eval, Priority::Train];
        let usage = |priority: &Priority| &self.priorities[class_of(*priority)].usage;
        all.into_iter().filter(|priority| usage(priority).waiting > 0).min_by_key(|priority| {
            usage(priority).virtual_time(now, PRIORITY_WEIGHTS[class_of(*priority)])
        })
    }

    fn grant(&mut self, priority: Priority, request: u64, (slots, at, cost): (usize, i128, i128)) {
        let weights: i128 = self
            .priorities
            .iter()
            .zip(PRIORITY_WEIGHTS)
            .filter(|(class, _)| class.usage.is_active())
            .map(|(_, weight)| i128::from(weight))
            .sum();
        self.clock += cost * PARTS / weights.max(1);
        self.usage.grant(count(slots), at, cost, self.weight);
        let class = &mut self.priorities[class_of(priority)];
        class.clock += cost * PARTS / count(class.requests.len()).max(1);
        class.usage.grant(count(slots), at, cost, PRIORITY_WEIGHTS[class_of(priority)]);
        if let Some(node) = class.requests.get_mut(&request) {
            class.ready.remove(&(node.had, request));
            node.had += cost * PARTS;
            node.running += 1;
            class.settle(request);
        }
    }
}

impl Class {
    /// Puts a request where it belongs after a change: among those that are ready, or nowhere.
    fn settle(&mut self, request: u64) {
        let Some(node) = self.requests.get(&request) else { return };
        if node.line.is_empty() {
            self.ready.remove(&(node.had, request));
            if node.running == 0 {
                self.requests.remove(&request);
            }
        } else {
            self.ready.insert((node.had, request));
        }
    }
}
