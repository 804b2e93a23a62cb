//! A submission as it arrives.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::object;

use crate::batch::{Priority, RolloutGroup};
use crate::problem::{Problem, ProblemSchema};
use crate::reward::RewardSpec;

/// Body of `POST /v1/judge` and `POST /v1/batches`. A single submission object is accepted in its
/// place. Submissions come first in the order of results, then each group in turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct JudgeRequest {
    /// At least one submission, unless there are groups.
    #[serde(default)]
    pub submissions: Vec<Submission>,
    /// Completions of one prompt each, whose problem is sent once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<RolloutGroup>,
    /// After how long whatever has no result is reported as not judged, with a failure of class
    /// `deadline`; from the moment at which the request was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// What the request is for; where left out, what the header `assay-priority` or else the tenant's
    /// configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

object!(JudgeRequest);

/// Code in a language, or an answer, and the problem that it should solve. A program is given as
/// `source`, an answer as `answer`, and either as a model's whole `completion`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Submission {
    /// Comes back with the result; unique within a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A name or alias of `GET /v1/languages`; of a program only, and needed there.
    #[schema(examples("python"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The image that it runs in; where left out, the first of `GET /v1/languages` that has the
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The answer to a problem of kind `math`, `answer` or `free_form`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// A whole model completion: its last fenced code block is the program, or its final answer the
    /// answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<String>,
    /// What the program should do.
    #[schema(value_type = ProblemSchema)]
    pub problem: Problem,
    /// Limits of each test; those left out have the language's defaults.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Whether to skip the tests after the first that is not accepted.
    #[serde(default)]
    pub stop_early: bool,
    /// How the reward is made; where left out, it is 1.0 for an accepted submission and else 0.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<RewardSpec>,
    /// Submissions of a request with the same group answer the same prompt; their lengths are
    /// compared by the component `length`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Tokens of the response, for the component `length`; where left out, its characters count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_tokens: Option<u64>,
    /// What the reply tells about tests and stages.
    #[serde(default)]
    pub feedback: Feedback,
    /// What a flag does to the reward.
    #[serde(default)]
    pub on_flag: OnFlag,
    /// What the reward counts.
    #[serde(default)]
    pub scoring: Scoring,
    /// Whether to judge anew even where the verdict is known.
    #[serde(default)]
    pub fresh: bool,
    /// After how long it is reported as not judged, with a failure of class `deadline`; from the
    /// moment at which the request was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

object!(Submission);

/// What the reply tells about tests and stages. A test that is `hidden` never shows its input, its
/// answer or what the program wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// Verdict and reward only.
    None,
    /// The outcome of each stage and the verdict of each test, too.
    Verdict,
    /// What the compiler said and the first test that failed, too, with its input and answer.
    FirstFailure,
    /// Everything of every test.
    #[default]
    Full,
}

/// What a flag of a cheat does to the reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFlag {
    /// Nothing.
    Ignore,
    /// The reward is 0.
    #[default]
    Zero,
    /// There is no reward, and the result is not valid.
    Invalid,
}

/// What the reward counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// 1 where every test was accepted, else 0.
    #[default]
    All,
    /// The part of the points that was earned.
    Points,
}

/// What one run may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Limits {
    /// Processor time of all processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_time_ms: Option<u64>,
    /// Time on the clock; where left out, it follows the cpu time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_time_ms: Option<u64>,
    /// Memory of all processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads alive at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// Bytes of standard output, and as many of standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Bytes of files written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Open files of one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
}

object!(Limits);

impl Limits {
    /// Whether no limit is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
