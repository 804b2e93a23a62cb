//! Requests of many submissions: groups of rollouts, priorities, and batches that outlive a
//! connection.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::object;

use crate::result::SubmissionResult;
use crate::submission::Submission;

/// Completions of one prompt, judged against one problem that is sent once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RolloutGroup {
    /// Its name, unique within a request; comes back with each result.
    pub group: String,
    /// What all have in common: a submission without `id`, `source`, `answer`, `completion`, `group`
    /// and `length_tokens`.
    pub submission: Box<Submission>,
    /// What the model wrote, each judged as a `completion`.
    pub completions: Vec<String>,
    /// Tokens of each completion, for the component `length`; where left out, characters count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_tokens: Option<Vec<u64>>,
}

object!(RolloutGroup);

/// What a request is for. It divides slots among the requests of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Rollouts of a training run.
    #[default]
    Train,
    /// An evaluation that somebody waits for.
    Eval,
    /// A person who waits.
    Interactive,
}

/// What a group came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupResult {
    /// The group.
    pub group: String,
    /// Its submissions that have a result.
    pub submissions: u64,
    /// Those of them that have a reward; mean and deviation are over these alone.
    pub valid: u64,
    /// Those of them that were accepted.
    pub accepted: u64,
    /// Those of them whose verdict was known from an equal submission.
    pub cached: u64,
    /// Mean of the rewards; null where none is valid.
    pub reward_mean: Option<f64>,
    /// Standard deviation of the rewards, of the group as a whole; null where none is valid.
    pub reward_deviation: Option<f64>,
}

/// What a batch is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Some submissions have no result yet.
    Running,
    /// Each has one.
    Done,
    /// It was ended; what had no result then is reported with a failure of class `cancelled`.
    Cancelled,
}

/// Reply of `POST /v1/batches` and `GET /v1/batches/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchStatus {
    /// Its id.
    pub id: String,
    /// What it is doing.
    pub status: BatchState,
    /// How many submissions it has.
    pub submissions: u64,
    /// How many of them have a result; the number of the last result.
    pub answered: u64,
    /// The results after the number that was asked for, in the order in which they became ready.
    pub results: Vec<SubmissionResult>,
    /// What each group came to so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupResult>,
}
