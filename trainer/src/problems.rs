//! Which problems a run trains on and how often each was passed.

use serde::{Deserialize, Serialize};

use crate::algorithm::sampling::{self, ProblemRecord, Strategy};
use crate::random::Stream;
use crate::task::Task;

/// Weight of the newest group in the moving average of a problem's pass rate.
const NEWEST_WEIGHT: f64 = 0.3;

/// The problems that are trained and what is known of them; part of every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProblemTable {
    strategy: Strategy,
    seed: u64,
    /// Indices into the task's problems.
    problems: Vec<usize>,
    records: Vec<ProblemRecord>,
}

impl ProblemTable {
    /// All problems of a task that are not held out.
    #[must_use]
    pub fn new(task: &dyn Task, strategy: Strategy, seed: u64) -> Self {
        let all = task.problems();
        let problems: Vec<usize> = (0..all.len()).filter(|at| !all[*at].held_out).collect();
        let record = |at: &usize| ProblemRecord {
            difficulty: all[*at].difficulty,
            // What curation would have found, as far as the difficulty tells.
            pass_rate: 1.0 - all[*at].difficulty,
            visits: 0,
        };
        let records = problems.iter().map(record).collect();
        Self { strategy, seed, problems, records }
    }

    /// Draws the problems of a batch, different ones as far as there are enough.
    #[must_use]
    pub fn draw(&self, batch: u64, count: usize) -> Vec<usize> {
        let probabilities = sampling::probabilities(self.strategy, &self.records, batch);
        let mut stream = Stream::new(&[self.seed, 0xd4a3, batch]);
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count && !self.problems.is_empty() {
            let more = sampling::draw(&probabilities, count - drawn.len(), &mut stream);
            drawn.extend(more.into_iter().map(|at| self.problems[at]));
        }
        drawn
    }

    /// Takes in how a group did.
    pub fn observe(&mut self, problem: usize, pass_rate: f64) {
        if let Some(at) = self.problems.iter().position(|other| *other == problem) {
            self.records[at].observe(pass_rate, NEWEST_WEIGHT);
        }
    }

    /// The mean of the moving averages, over problems that were sampled at all.
    #[must_use]
    pub fn mean_pass_rate(&self) -> f64 {
        let seen: Vec<f64> =
            self.records.iter().filter(|r| r.visits > 0).map(|r| r.pass_rate).collect();
        seen.iter().sum::<f64>() / seen.len().max(1) as f64
    }
}
