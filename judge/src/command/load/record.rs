//! What became of everything that was sent: every submission has one end, and is counted once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::client::Fault;
use super::histogram::Histogram;
use super::limits::{POINTS_MAX, WRONG_SHOWN_MAX};
use super::mix::Mix;
use super::wire::{Answer, Work};

/// The record of a run.
#[derive(Debug)]
pub(super) struct Record {
    begun: Instant,
    state: Mutex<State>,
}

/// All counts.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) ends: Ends,
    /// From the moment at which a request was due until its answer.
    pub(super) latency: Histogram,
    /// From the sending that was answered until the answer.
    pub(super) service: Histogram,
    pub(super) answers: BTreeMap<String, u64>,
    pub(super) known: u64,
    /// Processor time of compilers and programs.
    pub(super) programs_cpu_ms: f64,
    pub(super) faults: BTreeMap<String, FaultCount>,
    pub(super) requests: u64,
    pub(super) refusals: Refusals,
    pub(super) items: Vec<ItemCount>,
    pub(super) wrong: Vec<Wrong>,
    pub(super) curve: Curve,
}

/// How submissions ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Ends {
    /// Taken from the mix.
    pub(super) issued: u64,
    /// Answered with the right verdict.
    pub(super) right: u64,
    /// Answered with another.
    pub(super) wrong: u64,
    /// Answered as not judged.
    pub(super) invalid: u64,
    /// Not answered after all tries.
    pub(super) given_up: u64,
    /// Under way when the run was interrupted.
    pub(super) cancelled: u64,
}

impl Ends {
    /// Without any end: none, where this program is right.
    pub(super) fn lost(self) -> u64 {
        let ended = self.right + self.wrong + self.invalid + self.given_up + self.cancelled;
        self.issued.saturating_sub(ended)
    }
}

/// Tries that failed in one way.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct FaultCount {
    pub(super) count: u64,
    /// What the last of them said.
    pub(super) last: String,
}

/// What came of 429.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Refusals {
    pub(super) count: u64,
    /// Without a `Retry-After`.
    pub(super) without_time: u64,
    pub(super) retry_after_seconds_max: u64,
    /// Requests that got in when they came back as they were told.
    pub(super) then_accepted: u64,
    /// Requests that came back as they were told and were refused again.
    pub(super) then_refused: u64,
}

/// What became of one item of the mix.
#[derive(Clone, Debug, Default)]
pub(super) struct ItemCount {
    pub(super) right: u64,
    pub(super) wrong: u64,
    pub(super) invalid: u64,
    pub(super) latency: Histogram,
}

/// An answer that was not right.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Wrong {
    pub(super) item: String,
    pub(super) text: String,
    pub(super) expected: Vec<&'static str>,
    pub(super) answer: String,
}

/// Counts by time, with a bounded number of points.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Seconds of each point.
    pub(super) width: u64,
    pub(super) points: Vec<Point>,
}

impl Default for Curve {
    fn default() -> Self {
        Self { width: 1, points: Vec::new() }
    }
}

/// One point.
#[derive(Clone, Debug, Default)]
pub(super) struct Point {
    pub(super) answered: u64,
    pub(super) wrong: u64,
    pub(super) refused: u64,
    pub(super) faults: u64,
    pub(super) latency: Histogram,
}

impl Point {
    fn merge(&mut self, other: &Self) {
        self.answered += other.answered;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.faults += other.faults;
        self.latency.merge(&other.latency);
    }
}

impl Curve {
    fn at(&mut self, second: u64) -> &mut Point {
        while second / self.width >= POINTS_MAX as u64 {
            let halved = self.points.chunks(2).map(|pair| {
                let mut point = pair[0].clone();
                pair[1..].iter().for_each(|other| point.merge(other));
                point
            });
            self.points = halved.collect();
            self.width *= 2;
        }
        let at = usize::try_from(second / self.width).unwrap_or(POINTS_MAX - 1);
        if self.points.len() <= at {
            self.points.resize_with(at + 1, Point::default);
        }
        &mut self.points[at]
    }
}

/// Answers to one request, and how long they took.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    pub(super) batch: &'a [Work],
    pub(super) answers: &'a [Answer],
    pub(super) latency: Duration,
    pub(super) service: Duration,
}

impl Record {
    /// An empty record that begins now.
    pub(super) fn new(mix: &Mix) -> Self {
        let items = vec![ItemCount::default(); mix.items.len()];
        let state = State { items, ..State::default() };
        Self { begun: Instant::now(), state: Mutex::new(state) }
    }

    /// When it began.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// All counts so far.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Counters are consistent at every point where a panic could be.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts submissions that were taken from the mix.
    pub(super) fn issued(&self, count: usize) {
        self.state().ends.issued += count as u64;
    }

    /// Counts a request that was sent.
    pub(super) fn sent(&self) {
        self.state().requests += 1;
    }

    /// Counts submissions that were under way at the end.
    pub(super) fn cancelled(&self, count: usize) {
        self.state().ends.cancelled += count as u64;
    }

    /// Counts submissions that got no answer.
    pub(super) fn gave_up(&self, count: usize) {
        self.state().ends.given_up += count as u64;
    }

    /// Counts a try that failed.
    pub(super) fn failed(&self, fault: &Fault) {
        let second = self.begun.elapsed().as_secs();
        let mut state = self.state();
        let count = state.faults.entry(fault.class()).or_default();
        count.count += 1;
        count.last = fault.detail();
        let point = state.curve.at(second);
        let Fault::Full(retry_after) = fault else {
            point.faults += 1;
            return;
        };
        point.refused += 1;
        let refusals = &mut state.refusals;
        refusals.count += 1;
        match retry_after {
            None => refusals.without_time += 1,
            Some(time) => {
                let longest = refusals.retry_after_seconds_max;
                refusals.retry_after_seconds_max = longest.max(time.as_secs());
            }
        }
    }

    /// Counts whether a request that came back after a refusal got in.
    pub(super) fn came_back(&self, refused: bool) {
        let refusals = &mut self.state().refusals;
        let count = if refused { &mut refusals.then_refused } else { &mut refusals.then_accepted };
        *count += 1;
    }

    /// Counts the answers to a request.
    pub(super) fn answered(&self, mix: &Mix, answered: &Answered<'_>) {
        let second = self.begun.elapsed().as_secs();
        let mut state = self.state();
        state.latency.add(answered.latency);
        state.service.add(answered.service);
        let mut wrong = 0;
        for (work, answer) in answered.batch.iter().zip(answered.answers) {
            let item = &mix.items[work.item];
            *state.answers.entry(answer.name()).or_default() += 1;
            if let Answer::Verdict(_, judging) = answer {
                state.known += u64::from(judging.known);
                state.programs_cpu_ms += judging.cpu_ms;
            }
            let right = answer.is_right(item);
            let invalid = matches!(answer, Answer::Invalid(_));
            let count = &mut state.items[work.item];
            count.latency.add(answered.latency);
            let (of_item, of_all) = match (right, invalid) {
                (true, _) => (&mut count.right, Count::Right),
                (false, true) => (&mut count.invalid, Count::Invalid),
                (false, false) => (&mut count.wrong, Count::Wrong),
            };
            *of_item += 1;
            match of_all {
                Count::Right => state.ends.right += 1,
                Count::Invalid => state.ends.invalid += 1,
                Count::Wrong => state.ends.wrong += 1,
            }
            if !right {
                wrong += 1;
                state.show(mix, work, answer);
            }
        }
        let point = state.curve.at(second);
        point.answered += answered.batch.len() as u64;
        point.wrong += wrong;
        point.latency.add(answered.latency);
    }
}

enum Count {
    Right,
    Invalid,
    Wrong,
}

impl State {
    fn show(&mut self, mix: &Mix, work: &Work, answer: &Answer) {
        if self.wrong.len() >= WRONG_SHOWN_MAX {
            return;
        }
        let item = &mix.items[work.item];
        let expected = item.expect.iter();
        self.wrong.push(Wrong {
            item: item.name.clone(),
            text: work.text.clone(),
            expected: expected.map(|it| super::super::judge::verdict_name(Some(*it))).collect(),
            answer: answer.name(),
        });
    }
}

#[cfg(test)]
mod tests {
    use protocol::Verdict;

    use super::super::wire::Judging;
    use super::*;

    #[test]
    fn every_submission_is_counted_once_and_a_wrong_one_is_shown() {
        let mix = Mix::find("rl-duplicates").unwrap();
        let record = Record::new(&mix);
        let work = |item| Work { item, text: "t".to_owned(), id: "1".to_owned() };
        let batch = [work(0), work(0), work(1), work(0)];
        record.issued(7);
        let answers = [
            Answer::Verdict(Verdict::Accepted, Judging { known: true, cpu_ms: 0.0 }),
            Answer::Verdict(Verdict::WrongAnswer, Judging { known: false, cpu_ms: 2.0 }),
            Answer::Verdict(Verdict::WrongAnswer, Judging { known: false, cpu_ms: 1.0 }),
            Answer::Invalid("infrastructure".to_owned()),
        ];
        let (latency, service) = (Duration::from_millis(9), Duration::from_millis(5));
        record.answered(&mix, &Answered { batch: &batch, answers: &answers, latency, service });
        record.gave_up(1);
        record.cancelled(1);
        record.failed(&Fault::Full(Some(Duration::from_secs(3))));
        record.failed(&Fault::Full(None));
        record.came_back(false);
        let state = record.state();
        let ends = state.ends;
        assert_eq!((ends.right, ends.wrong, ends.invalid), (2, 1, 1));
        assert_eq!(ends.lost(), 1);
        assert_eq!((state.known, state.programs_cpu_ms), (1, 3.0));
        assert_eq!(state.wrong.len(), 2);
        assert_eq!(
            (state.wrong[0].answer.as_str(), &state.wrong[0].expected[..]),
            ("wrong_answer", &["accepted"][..])
        );
        let refusals = state.refusals;
        assert_eq!((refusals.count, refusals.without_time, refusals.then_accepted), (2, 1, 1));
        assert_eq!(refusals.retry_after_seconds_max, 3);
    }

    #[test]
    fn a_long_run_has_coarser_points_and_loses_none() {
        let mut curve = Curve::default();
        let seconds = 5 * POINTS_MAX as u64;
        for second in 0..seconds {
            curve.at(second).answered += 1;
        }
        assert!(curve.points.len() <= POINTS_MAX);
        assert_eq!(curve.width, 8);
        assert_eq!(curve.points.iter().map(|point| point.answered).sum::<u64>(), seconds);
    }
}
