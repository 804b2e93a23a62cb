//! From problems to rewarded rollouts: sampling, judging, and the store in between.

mod deal;
pub mod engine;
pub mod external;
mod http;
pub mod inbox;
pub mod judge;
pub mod ledger;
pub mod pool;
pub mod sampler;
pub mod shared_memory;
pub mod store;
pub mod worker;

use serde::{Deserialize, Serialize};

use crate::algorithm::importance::Segment;

/// Why no more tokens are sampled for a rollout, for now or for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The iteration's budget is used up; a later version continues.
    Budget,
    /// A stop token.
    Stop,
    /// The longest that a trajectory may be.
    Length,
    /// It repeats itself.
    Repetition,
}

/// One completion of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// What was sampled, version by version.
    pub segments: Vec<Segment>,
    /// Why it ended; [`Finish::Budget`] means that it has not.
    pub finish: Finish,
    /// What the judge said; absent until it has.
    pub outcome: Option<Outcome>,
}

impl Rollout {
    /// All sampled tokens.
    #[must_use]
    pub fn tokens(&self) -> Vec<u32> {
        self.segments.iter().flat_map(|segment| segment.tokens.iter().copied()).collect()
    }

    /// The log-probabilities with which they were sampled.
    #[must_use]
    pub fn inference_logprobs(&self) -> Vec<f32> {
        let logprobs = |segment: &Segment| segment.inference_logprobs.clone();
        self.segments.iter().flat_map(logprobs).collect()
    }

    /// How many tokens were sampled.
    #[must_use]
    pub fn length(&self) -> usize {
        self.segments.iter().map(|segment| segment.tokens.len()).sum()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finish != Finish::Budget
    }
}

/// What came of judging a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A reward that may be used.
    Reward(f64),
    /// The judge failed; there is nothing to learn from.
    Invalid(Invalid),
}

/// Why there is no reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invalid {
    /// The judge says that it failed.
    JudgeFailed,
    /// The judge refused the submission.
    Refused,
    /// The judge was not reached, for as long as it was tried.
    Unreachable,
    /// The reply did not come in time.
    Deadline,
    /// The reply made no sense.
    Garbled,
}

/// The rollouts of one prompt: the unit that is trained, exactly once or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Counted from the start of the run.
    pub id: u64,
    /// Which problem.
    pub problem: usize,
    /// Its tokens.
    pub prompt: Vec<u32>,
    /// One for each sample.
    pub rollouts: Vec<Rollout>,
}

impl Group {
    /// A group of which nothing is sampled yet.
    #[must_use]
    pub fn new(id: u64, problem: usize, prompt: Vec<u32>, samples: usize) -> Self {
        let rollout = Rollout { segments: Vec::new(), finish: Finish::Budget, outcome: None };
        Self { id, problem, prompt, rollouts: vec![rollout; samples] }
    }

    /// Whether all rollouts have ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.rollouts.iter().all(Rollout::finished)
    }

    /// The oldest version that sampled a token of it.
    #[must_use]
    pub fn oldest_version(&self) -> Option<u64> {
        let segments = self.rollouts.iter().flat_map(|rollout| &rollout.segments);
        segments.map(|segment| segment.version).min()
    }
}
