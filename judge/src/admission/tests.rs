//! The door at its bounds, and a simulation of many who come back.

use std::collections::BinaryHeap;

use super::*;

#[test]
fn the_queue_is_full_at_its_bound_and_has_room_after_an_answer() {
    let admission = Admission::new(3, 1024, 2);
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
    let admission = Admission::new(1, 4096, 2);
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
    let admission = Admission::new(10, 15, 2);
    let admit = |tenant: &Tenant, count| admission.admit_of(&asker(tenant), count);
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
    let mut door = Door::new(usize::MAX);
    door.tenant.rate = Some((2.0, 10.0));
    let mut ask = |mark, count, seconds| door.ask(mark, count, seconds);
    assert_eq!(ask(1, 10, 0.0), Ok(()));
    assert_eq!(ask(2, 4, 0.0), Err(2));
    // Somebody else comes behind, and whoever was told to come gets in.
    assert_eq!(ask(3, 1, 1.5), Err(2));
    assert_eq!(ask(2, 4, 2.0), Ok(()));
    assert_eq!(ask(3, 1, 3.5), Ok(()));
    // More than may ever be saved up: let in once all is there, and paid for afterwards.
    assert_eq!(ask(4, 30, 3.5), Err(5));
    assert_eq!(ask(4, 30, 8.5), Ok(()));
    assert_eq!(ask(5, 1, 8.5), Err(11));
    assert_eq!(ask(5, 1, 19.5), Ok(()));
    door.tenant.rate = None;
    assert_eq!(door.ask(6, 1000, 19.5), Ok(()));
}

#[test]
fn the_rate_is_that_of_the_time_in_which_there_was_work() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut rate = Rate::new(start, 200.0);
    assert_eq!(rate.seconds_for(200), 1);
    assert_eq!(rate.seconds_for(201), 2);
    for tick in 1..=20 {
        rate.count(at(100 * tick));
    }
    assert!((rate.per_second() - 10.0).abs() < 0.5, "{}", rate.per_second());
    rate.go_on(at(500_000));
    for tick in 1..=100 {
        rate.count(at(500_000 + 20 * tick));
    }
    assert!(rate.per_second() > 15.0, "{}", rate.per_second());
    assert_eq!(rate.seconds_for(1), 1);
    assert_eq!(rate.seconds_for(usize::MAX), RETRY_AFTER_SECONDS_MAX);
}

#[test]
fn a_promise_holds_though_nothing_became_free() {
    let mut door = Door::new(2);
    assert_eq!(door.ask(0, 2, 0.0), Ok(()));
    // Nothing was answered yet: each of two slots is taken to answer a hundred in a second.
    for guest in 1..=3 {
        assert_eq!(door.ask(guest, 1, 0.1), Err(1));
    }
    assert_eq!(door.ask(4, 1, 1.0), Err(1));
    assert_eq!(door.ask(1, 1, 1.2), Ok(()));
    assert_eq!(door.ask(2, 1, 1.3), Ok(()));
    // Twice of what newcomers may fill is the end.
    assert!(door.ask(3, 1, 1.4).is_err());
    assert_eq!(door.state.returns, Returns { admitted: 2, refused: 1 });
    assert_eq!(door.state.queue.held, 4);
    // More than there will ever be is never promised.
    assert_eq!(door.ask(5, 3, 1.5), Err(1));
}

#[test]
fn who_comes_behind_very_many_is_told_the_longest_time() {
    let mut door = Door::new(1);
    assert_eq!(door.ask(0, 1, 0.0), Ok(()));
    door.answer(1.0);
    assert_eq!(door.ask(0, 1, 1.0), Ok(()));
    let told: Vec<u64> = (1..200).map(|guest| door.ask(guest, 1, 1.0).unwrap_err()).collect();
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&RETRY_AFTER_SECONDS_MAX));
}

#[test]
fn who_was_told_to_come_gets_in_before_who_is_new() {
    let mut door = Door::new(4);
    assert_eq!(door.ask(0, 4, 0.0), Ok(()));
    door.answer(1.0);
    door.answer(2.0);
    assert_eq!(door.ask(1, 3, 2.0), Err(2));
    door.answer(3.0);
    door.answer(4.0);
    // Too early, though there is room for three.
    assert_eq!(door.ask(2, 3, 4.9), Err(4));
    assert_eq!(door.ask(1, 3, 5.1), Ok(()));
    assert_eq!(door.state.returns, Returns { admitted: 1, refused: 0 });
    // A place that nobody comes for is free again.
    for _ in 0..3 {
        door.answer(8.0);
    }
    assert_eq!(door.ask(3, 3, 9.0), Err(2));
    assert_eq!(door.ask(4, 3, 9.0 + 8.0), Ok(()));
}

#[test]
fn nearly_all_who_come_back_when_told_get_in() {
    let busy = Simulation { queue: 512, capacity: 220.0, offered: 440.0, ..Simulation::default() };
    let outcome = busy.run();
    assert!(outcome.refused_again <= 0.02, "{outcome:?}");
    assert!(outcome.used >= 0.97, "{outcome:?}");
    let small = Simulation { queue: 8, ..busy };
    let outcome = small.run();
    assert!(outcome.refused_again <= 0.05, "{outcome:?}");
    assert!(outcome.used >= 0.9, "{outcome:?}");
    let long = Simulation { in_flight_max: 16_384, seconds: 120.0, ..busy };
    let outcome = long.run();
    assert!(outcome.refused_again <= 0.02, "{outcome:?}");
    assert!(outcome.used >= 0.97, "{outcome:?}");
}

#[test]
fn a_service_that_grows_slower_keeps_its_promises() {
    let slower = Simulation { capacity_later: 0.7, ..Simulation::default() };
    let outcome = slower.run();
    assert!(outcome.refused_again <= 0.02, "{outcome:?}");
}

#[test]
fn equal_requests_get_in_though_they_cannot_be_told_apart() {
    let outcome = Simulation { equal: 0.3, ..Simulation::default() }.run();
    // Of these three in ten, those who are new take places of those who were told.
    assert!(outcome.refused_again <= 0.2, "{outcome:?}");
    assert!(outcome.used >= 0.97, "{outcome:?}");
}

#[test]
fn a_service_that_was_started_anew_breaks_few_promises() {
    let outcome = Simulation { restart: true, ..Simulation::default() }.run();
    // Whoever was told to come by its predecessor is new to it: one in eight of this minute.
    assert!(outcome.refused_again <= 0.13, "{outcome:?}");
    assert!(outcome.used >= 0.9, "{outcome:?}");
}

#[test]
fn clients_that_never_come_back_leave_no_room_unused() {
    let faithless = Simulation { faithless: 0.5, ..Simulation::default() };
    let outcome = faithless.run();
    assert!(outcome.refused_again <= 0.02, "{outcome:?}");
    assert!(outcome.used >= 0.97, "{outcome:?}");
}

fn asker(tenant: &Tenant) -> Asker<'_> {
    Asker { tenant, priority: Priority::Train, mark: None }
}

/// A door with a clock that is set by hand.
struct Door {
    state: State,
    tenant: Tenant,
    start: Instant,
}

impl Door {
    fn new(queue: usize) -> Self {
        let admission = Admission::new(queue, 0, 2);
        let shared = Arc::into_inner(admission.0).unwrap();
        let state = shared.state.into_inner().unwrap();
        let start = state.start;
        Self { state, tenant: Tenant::open(), start }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn ask(&mut self, mark: u64, count: usize, seconds: f64) -> Result<(), u64> {
        let now = self.at(seconds);
        let asker = Asker { tenant: &self.tenant, priority: Priority::Train, mark: Some(mark) };
        self.state.admit(&asker, count, now).map_err(|full| full.retry_after_seconds)
    }

    fn answer(&mut self, seconds: f64) {
        let now = self.at(seconds);
        self.state.answered(&self.tenant.name, now);
        self.state.leave(&self.tenant.name, 1);
    }
}

/// Requests of one submission come at fixed times; who is refused comes back when told, a little
/// later, unless it is one of those who never do.
#[derive(Clone, Copy)]
struct Simulation {
    queue: usize,
    /// Submissions that are answered in a second.
    capacity: f64,
    /// What becomes of that in the second half.
    capacity_later: f64,
    offered: f64,
    /// Requests that wait or are told to wait; more are held back.
    in_flight_max: usize,
    faithless: f64,
    /// The part of the requests that are equal to each other.
    equal: f64,
    /// Whether the service is killed half way; what it had admitted is sent to its successor.
    restart: bool,
    seconds: f64,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            queue: 512,
            capacity: 220.0,
            capacity_later: 1.0,
            offered: 440.0,
            in_flight_max: 2048,
            faithless: 0.0,
            equal: 0.0,
            restart: false,
            seconds: 60.0,
        }
    }
}

#[derive(Debug)]
struct Simulated {
    /// The part of those who came back when told that was refused.
    refused_again: f64,
    /// The part of what could be answered that was.
    used: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Answer,
    New,
    Return(u64),
    Kill,
    Reconnect(u64),
}

/// Numbers from 0 to 1 (Knuth's MMIX generator), the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

impl Simulation {
    fn run(&self) -> Simulated {
        let mut door = Door::new(self.queue);
        let mut random = Random(7);
        let mut events = BinaryHeap::new();
        let micros = |seconds: f64| Duration::from_secs_f64(seconds).as_micros();
        let push = |events: &mut BinaryHeap<_>, seconds: f64, event| {
            events.push(std::cmp::Reverse((micros(seconds), event)));
        };
        push(&mut events, 0.0, Event::New);
        push(&mut events, 0.0, Event::Answer);
        if self.restart {
            push(&mut events, self.seconds / 2.0, Event::Kill);
        }
        let (mut marks, mut in_flight) = (0_u64, 0_usize);
        let (mut answered, mut came, mut refused) = (0.0, 0.0, 0.0);
        while let Some(std::cmp::Reverse((micros, event))) = events.pop() {
            let now = Duration::from_micros(u64::try_from(micros).unwrap()).as_secs_f64();
            if now > self.seconds {
                break;
            }
            let mark = match event {
                Event::Answer => {
                    if door.state.queue.held > 0 {
                        door.answer(now);
                        answered += 1.0;
                        in_flight -= 1;
                    }
                    let late = now > self.seconds / 2.0;
                    let part = if late { self.capacity_later } else { 1.0 };
                    // Work takes times that differ: exponentially distributed.
                    let pause = -(1.0 - random.next()).max(1e-9).ln() / (self.capacity * part);
                    push(&mut events, now + pause, Event::Answer);
                    continue;
                }
                Event::New => {
                    push(&mut events, now + self.offered.recip(), Event::New);
                    if in_flight >= self.in_flight_max {
                        continue;
                    }
                    in_flight += 1;
                    marks += 1;
                    if random.next() < self.equal { 0 } else { marks }
                }
                Event::Return(mark) | Event::Reconnect(mark) => mark,
                Event::Kill => {
                    let lost = door.state.queue.held;
                    door.state = Door::new(self.queue).state;
                    for _ in 0..lost {
                        marks += 1;
                        push(&mut events, now + random.next() * 2.0, Event::Reconnect(marks));
                    }
                    continue;
                }
            };
            let again = matches!(event, Event::Return(_));
            came += f64::from(u8::from(again));
            if let Err(wait) = door.ask(mark, 1, now) {
                refused += f64::from(u8::from(again));
                if random.next() < self.faithless {
                    in_flight -= 1;
                } else {
                    let back = now + f64::from(u32::try_from(wait).unwrap()) + random.next() * 1.6;
                    push(&mut events, back, Event::Return(mark));
                }
            }
        }
        let halves = f64::midpoint(1.0, self.capacity_later);
        Simulated {
            refused_again: refused / f64::max(came, 1.0),
            used: answered / (self.capacity * halves * self.seconds),
        }
    }
}
