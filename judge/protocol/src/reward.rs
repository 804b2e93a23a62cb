//! How a reward is made of parts, and what each part came to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::object;

/// A reward: the sum of its components, each times its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RewardSpec {
    /// At least one, in order: a gate that is not passed closes those after it.
    pub components: Vec<ComponentSpec>,
}

object!(RewardSpec);

/// One part of a reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ComponentSpec {
    /// What is measured.
    pub kind: ComponentKind,
    /// Its value is multiplied by this; 1 where left out.
    #[serde(default = "one")]
    pub weight: f64,
    /// Whether the components after it count only where its value reaches 1.
    #[serde(default)]
    pub gate: bool,
    /// What `format` requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatSpec>,
    /// Which value head `value_head` asks; where left out, the first of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

object!(ComponentSpec);

fn one() -> f64 {
    1.0
}

/// What a component measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// 1 where the submission is accepted, by whatever decided it, else 0.
    Correctness,
    /// The value of the tests; of programs only.
    Tests,
    /// 1 or 0 where rules decided; of answers only.
    Math,
    /// The score of the reward model where it decided, from 0 to 1; of answers only.
    Judge,
    /// The calibrated score of a value head, from 0 to 1.
    ValueHead,
    /// 1 where the completion has the required form, else 0.
    Format,
    /// From -0.5 to 0.5: shorter than others of its group is better; at most 0 where not accepted.
    Length,
    /// From -1 to 0: how much the completion repeats itself.
    Repetition,
}

/// The form that a completion must have. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct FormatSpec {
    /// Tags that must stand in this order, each opened and closed once, such as `think`, `answer`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// There must be a complete `\boxed{}` after the reasoning.
    pub boxed: bool,
    /// What stands after the reasoning must be JSON, with or without a code fence.
    pub json: bool,
    /// There must be `<tool_call>` blocks, and each must hold a JSON object with a `name` and
    /// `arguments` that are an object.
    pub tool_calls: bool,
}

object!(FormatSpec);

/// What one part of a reward came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentResult {
    /// What is measured.
    pub kind: ComponentKind,
    /// What was measured; null where it does not apply, which counts as 0.
    pub value: Option<f64>,
    /// The weight.
    pub weight: f64,
    /// What it adds to the reward.
    pub contribution: f64,
    /// Whether a gate before it was not passed, so that it adds nothing.
    pub gated: bool,
}

/// What a reward model said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgeResult {
    /// Its name in the configuration.
    pub model: String,
    /// Name and version of the prompt.
    #[schema(examples("equivalence/1"))]
    pub template: String,
    /// From 0 to 1: how sure it is that the answer is right.
    pub score: f64,
    /// Its votes, in the order in which they were asked for.
    pub votes: Vec<JudgeVote>,
    /// Whether the verdict was in the cache.
    pub cached: bool,
    /// Tokens of all prompts.
    pub prompt_tokens: u64,
    /// Tokens of all replies.
    pub completion_tokens: u64,
    /// What it cost at the configured prices.
    pub cost: f64,
}

/// One vote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgeVote {
    /// What it says.
    pub verdict: JudgeVoteVerdict,
    /// The probability of `correct` against `incorrect`; null where the server does not give it.
    pub probability: Option<f64>,
    /// Whether the two answers were shown in the other order.
    pub swapped: bool,
}

/// What a vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgeVoteVerdict {
    /// The answer is right.
    Correct,
    /// It is wrong.
    Incorrect,
    /// It is no answer.
    Invalid,
}
