//! Which problems are sampled next: uniformly, by a curriculum, or by how often they fail
//! (k1.5 section 2.3.4).

use serde::{Deserialize, Serialize};

use crate::random::Stream;

/// How problems are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "strategy", deny_unknown_fields)]
pub enum Strategy {
    /// Each with the same probability.
    Uniform,
    /// Uniformly until `switch`, from then on those at least as hard as `difficulty`.
    Curriculum {
        /// The first iteration with hard problems only.
        switch: u64,
        /// What counts as hard.
        difficulty: f64,
        /// Which part of the weight the easy ones keep, so that they are not forgotten.
        easy_share: f64,
    },
    /// In proportion to `1 - s`, s the moving average of the pass rate.
    Prioritized {
        /// The smallest `1 - s` that is counted with.
        floor: f64,
    },
}

/// What is known of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProblemRecord {
    /// How hard it was thought to be.
    pub difficulty: f64,
    /// Moving average of its pass rate.
    pub pass_rate: f64,
    /// How often it was sampled.
    pub visits: u64,
}

impl ProblemRecord {
    /// Takes in the pass rate of one more group, with this much weight.
    pub fn observe(&mut self, pass_rate: f64, weight: f64) {
        self.pass_rate += weight * (pass_rate - self.pass_rate);
        self.visits += 1;
    }
}

/// The probability of each problem at an iteration: sums to 1; uniform where nothing else is left.
#[must_use]
pub fn probabilities(strategy: Strategy, records: &[ProblemRecord], iteration: u64) -> Vec<f64> {
    let weight = |record: &ProblemRecord| match strategy {
        Strategy::Uniform => 1.0,
        Strategy::Curriculum { switch, difficulty, easy_share } => {
            if iteration < switch || record.difficulty >= difficulty { 1.0 } else { easy_share }
        }
        Strategy::Prioritized { floor } => (1.0 - record.pass_rate).max(floor),
    };
    let weights: Vec<f64> = records.iter().map(weight).collect();
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 {
        weights.iter().map(|weight| weight / sum).collect()
    } else {
        vec![1.0 / records.len() as f64; records.len()]
    }
}

/// Draws `count` different problems, or all that have a chance if those are fewer: the largest of
/// `log p + Gumbel noise`, which is drawing one after the other without putting back.
#[must_use]
pub fn draw(probabilities: &[f64], count: usize, stream: &mut Stream) -> Vec<usize> {
    let mut keys: Vec<(f64, usize)> = Vec::with_capacity(probabilities.len());
    for (at, probability) in probabilities.iter().enumerate() {
        let noise = -(-(1.0 - stream.uniform()).ln()).ln();
        if *probability > 0.0 {
            keys.push((probability.ln() + noise, at));
        }
    }
    keys.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    keys.into_iter().take(count).map(|(_, at)| at).collect()
}
