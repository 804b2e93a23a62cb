//! Simulations with a seed: shares, waits and bounds of [`Queue`]; then the waiting around it.

use std::collections::{BTreeMap, BinaryHeap};

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

/// A small generator, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn flow(tenant: &str, weight: u32, priority: Priority, request: u64) -> Flow {
    Flow { tenant: tenant.into(), weight, slots_max: None, priority, request }
}

/// Slots in simulated time. Whoever waits has a job of some length.
struct Simulation {
    queue: Queue,
    now: u64,
    next_id: u64,
    jobs: BTreeMap<u64, Job>,
    ends: BinaryHeap<(std::cmp::Reverse<u64>, u64)>,
    running: BTreeMap<u64, Ticket>,
    /// Slot time by label.
    had: BTreeMap<&'static str, u64>,
    /// Longest wait by label.
    waited: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy)]
struct Job {
    label: &'static str,
    length: u64,
    slots: usize,
    since: u64,
}

impl Simulation {
    fn new(slots: usize) -> Self {
        Self {
            queue: Queue::new(slots),
            now: 0,
            next_id: 0,
            jobs: BTreeMap::new(),
            ends: BinaryHeap::new(),
            running: BTreeMap::new(),
            had: BTreeMap::new(),
            waited: BTreeMap::new(),
        }
    }

    fn enter(&mut self, flow: &Flow, label: &'static str, length: u64, slots: usize) {
        let id = self.next_id;
        self.next_id += 1;
        self.jobs.insert(id, Job { label, length, slots, since: self.now });
        self.queue.enter(flow, id, slots, Duration::from_nanos(self.now));
    }

    fn start_all(&mut self) {
        while let Some(ticket) = self.queue.next(Duration::from_nanos(self.now)) {
            let job = self.jobs[&ticket.id()];
            let waited = self.waited.entry(job.label).or_default();
            *waited = (*waited).max(self.now - job.since);
            self.ends.push((std::cmp::Reverse(self.now + job.length), ticket.id()));
            self.running.insert(ticket.id(), ticket);
        }
    }

    /// Ends the next job and returns its label.
    fn step(&mut self) -> Option<&'static str> {
        self.start_all();
        let (std::cmp::Reverse(end), id) = self.ends.pop()?;
        self.now = end;
        let job = self.jobs.remove(&id)?;
        *self.had.entry(job.label).or_default() += job.length * job.slots as u64;
        self.queue.release(self.running.remove(&id)?, Duration::from_nanos(self.now));
        Some(job.label)
    }

    fn share(&self, label: &str) -> f64 {
        self.had[label] as f64 / self.had.values().sum::<u64>() as f64
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Tenants that always have work get slot time by their weights, whatever the length of their
    /// jobs and the number of their requests.
    #[test]
    fn slot_time_follows_weights(seed: u64, slots in 1_usize..5) {
        let mut random = Random(seed);
        let mut simulation = Simulation::new(slots);
        let tenants = [("a", 1, 30), ("b", 2, 5), ("c", 4, 80)];
        let enter = |simulation: &mut Simulation, random: &mut Random, at: usize| {
            let (name, weight, mean) = tenants[at];
            let flow = flow(name, weight, Priority::Train, random.below(10));
            let length = (1 + random.below(2 * mean)) * MS;
            simulation.enter(&flow, name, length, 1);
        };
        for at in 0..3 {
            for _ in 0..4 * slots {
                enter(&mut simulation, &mut random, at);
            }
        }
        for _ in 0..3000 {
            let label = simulation.step().unwrap();
            let at = tenants.iter().position(|tenant| tenant.0 == label).unwrap();
            enter(&mut simulation, &mut random, at);
        }
        for (name, weight, _) in tenants {
            let (share, due) = (simulation.share(name), f64::from(weight) / 7.0);
            prop_assert!((share - due).abs() < 0.04, "{name}: {share} of {due}");
        }
    }

    /// A request of one submission beside a batch of thousands waits for about one run, and a batch
    /// beside an endless stream of fresh requests is not starved.
    #[test]
    fn the_small_do_not_wait_and_the_large_do_not_starve(seed: u64) {
        let mut random = Random(seed);
        let mut simulation = Simulation::new(2);
        let batch = flow("t", 1, Priority::Train, 0);
        for _ in 0..3000 {
            let length = (1 + random.below(20)) * MS;
            simulation.enter(&batch, "batch", length, 1);
        }
        let (mut next_request, mut fresh_waiting) = (1, 0);
        for _ in 0..2000 {
            fresh_waiting -= u32::from(simulation.step().unwrap() == "fresh");
            // Three fresh requests for each that ends: more than there is room for.
            while fresh_waiting < 3 {
                fresh_waiting += 1;
                let fresh = flow("t", 1, Priority::Train, next_request);
                next_request += 1;
                simulation.enter(&fresh, "fresh", (1 + random.below(20)) * MS, 1);
            }
        }
        prop_assert!(simulation.share("batch") > 0.15, "starved: {}", simulation.share("batch"));
        prop_assert!(simulation.waited["fresh"] < 250 * MS, "{} ms", simulation.waited["fresh"] / MS);
    }

    /// Priorities divide by 1, 4 and 16, and nobody starves; a tenant's priorities are its own affair.
    #[test]
    fn priorities_divide_a_tenant_and_no_other(seed: u64) {
        let mut random = Random(seed);
        let mut simulation = Simulation::new(2);
        let kinds = [
            ("train", "t", Priority::Train),
            ("eval", "t", Priority::Eval),
            ("interactive", "t", Priority::Interactive),
            ("other", "u", Priority::Train),
        ];
        let enter = |simulation: &mut Simulation, random: &mut Random, label: &str| {
            let (label, tenant, priority) = *kinds.iter().find(|kind| kind.0 == label).unwrap();
            let length = (1 + random.below(20)) * MS;
            simulation.enter(&flow(tenant, 1, priority, 1), label, length, 1);
        };
        for (label, ..) in kinds {
            for _ in 0..5 {
                enter(&mut simulation, &mut random, label);
            }
        }
        for _ in 0..4000 {
            let label = simulation.step().unwrap();
            enter(&mut simulation, &mut random, label);
        }
        for (label, due) in
            [("other", 0.5), ("train", 0.5 / 21.0), ("eval", 2.0 / 21.0), ("interactive", 8.0 / 21.0)]
        {
            let share = simulation.share(label);
            prop_assert!((share - due).abs() < 0.03 && share > due / 2.0, "{label}: {share}");
        }
    }

    /// Whatever is entered, left and released: no slot is lost, none is there twice, all are served.
    #[test]
    fn no_slot_is_lost(seed: u64, slots in 2_usize..6) {
        let mut random = Random(seed);
        let mut simulation = Simulation::new(slots);
        for _ in 0..500 {
            for _ in 0..random.below(4) {
                let priority = [Priority::Train, Priority::Eval, Priority::Interactive]
                    [usize::try_from(random.below(3)).unwrap()];
                let tenant = ["a", "b", "c"][usize::try_from(random.below(3)).unwrap()];
                let mut flow = flow(tenant, 1 + u32::try_from(random.below(5)).unwrap(), priority, random.below(5));
                flow.slots_max = (tenant == "c").then_some(NonZeroUsize::MIN);
                let pair = if random.below(5) == 0 { 2 } else { 1 };
                simulation.enter(&flow, "any", (1 + random.below(50)) * MS, pair);
            }
            if random.below(4) == 0 {
                let waiting: Vec<u64> = simulation.jobs.keys().copied()
                    .filter(|id| !simulation.running.contains_key(id)).collect();
                if let Some(id) = waiting.first() {
                    simulation.queue.leave(*id);
                    simulation.jobs.remove(id);
                }
            }
            simulation.step();
            let held: usize = simulation.running.keys().map(|id| simulation.jobs[id].slots).sum();
            prop_assert!(held <= slots);
        }
        while simulation.step().is_some() {}
        prop_assert!(simulation.jobs.is_empty(), "{} were never served", simulation.jobs.len());
        let whole = flow("z", 1, Priority::Train, 9);
        simulation.enter(&whole, "all", MS, slots);
        prop_assert_eq!(simulation.step(), Some("all"), "a slot is missing");
    }
}

#[test]
fn a_tenant_with_long_jobs_leaves_slots_to_one_with_short_ones() {
    let mut simulation = Simulation::new(2);
    for _ in 0..10 {
        simulation.enter(&flow("long", 1, Priority::Train, 0), "long", 10_000 * MS, 1);
        simulation.enter(&flow("short", 1, Priority::Train, 0), "short", 10 * MS, 1);
    }
    for _ in 0..500 {
        let label = simulation.step().unwrap();
        assert_eq!(label, "short", "at {} ms", simulation.now / MS);
        simulation.enter(&flow("short", 1, Priority::Train, 0), "short", 10 * MS, 1);
    }
}

#[test]
fn a_tenant_uses_no_more_slots_than_it_may() {
    let mut queue = Queue::new(4);
    let mut few = flow("few", 1, Priority::Train, 0);
    few.slots_max = NonZeroUsize::new(2);
    (0..6).for_each(|id| queue.enter(&few, id, 1, Duration::ZERO));
    let tickets: Vec<_> = std::iter::from_fn(|| queue.next(Duration::ZERO)).collect();
    assert_eq!(tickets.len(), 2);
    queue.enter(&flow("other", 1, Priority::Train, 0), 9, 1, Duration::ZERO);
    assert_eq!(queue.next(Duration::ZERO).map(|ticket| ticket.id()), Some(9));
}

#[tokio::test]
async fn who_goes_away_gives_its_place_up_and_its_grant_back() {
    let scheduler = Scheduler::new(1);
    let one = flow("t", 1, Priority::Train, 0);
    let held = scheduler.acquire(&one, 1).await;
    let waiter = |scheduler: &Arc<Scheduler>| {
        let (scheduler, one) = (Arc::clone(scheduler), one.clone());
        tokio::spawn(async move { drop(scheduler.acquire(&one, 1).await) })
    };
    let (first, second) = (waiter(&scheduler), waiter(&scheduler));
    while scheduler.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(scheduler.waiting(), 1);
    drop(held);
    second.await.unwrap();
    // A grant that was given and not taken comes back as well.
    let held = scheduler.acquire(&one, 1).await;
    let third = waiter(&scheduler);
    while scheduler.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    drop(held);
    third.abort();
    third.await.ok();
    drop(scheduler.acquire(&one, 1).await);
    assert_eq!(scheduler.waiting(), 0);
}

#[tokio::test]
async fn what_no_number_of_slots_could_give_is_left_to_the_pool() {
    let scheduler = Scheduler::new(1);
    let pair = scheduler.acquire(&flow("t", 1, Priority::Train, 0), 2).await;
    let one = scheduler.acquire(&flow("t", 1, Priority::Train, 0), 1).await;
    drop((pair, one));
}
