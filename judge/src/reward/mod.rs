//! The reward of a verdict, and its composition of parts. Pure, and versioned: a change of a rule
//! changes [`VERSION`].
//!
//! [`compose`] adds the components of a [`Plan`], each times its weight; a gate whose value does
//! not reach 1 closes what stands after it. [`format`](mod@format), [`length`] and [`repetition`]
//! look at the response alone and are measured when the submission is read. A failure of the judge
//! has no verdict, so it cannot be given to these functions: it has no reward.

use protocol::{ComponentKind, ComponentResult, ComponentSpec, RewardSpec};

use crate::grade::Verdict;
use crate::limits::{COMPONENTS_MAX, FORMAT_TAGS_MAX, WEIGHT_MAX};

pub mod format;
pub mod group;
pub mod length;
pub mod repetition;

/// Name and version of the rules.
pub const VERSION: &str = "all-accepted/1 composition/1";

/// 1 where every test was accepted, else 0.
#[must_use]
pub fn reward(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Accepted => 1.0,
        Verdict::WrongAnswer
        | Verdict::TimeLimitExceeded
        | Verdict::WallTimeLimitExceeded
        | Verdict::MemoryLimitExceeded
        | Verdict::OutputLimitExceeded
        | Verdict::RuntimeError
        | Verdict::CompileError
        | Verdict::NotCollected
        | Verdict::PatchError => 0.0,
    }
}

/// How the reward of one submission is made. Without components it is [`reward`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    components: Vec<Component>,
}

#[derive(Clone, Debug, PartialEq)]
struct Component {
    kind: ComponentKind,
    weight: f64,
    gate: bool,
    source: Source,
}

/// Where a component's value comes from.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// The response alone, measured already.
    Measured(f64),
    /// The response's length within its group, before it is known whether it is right.
    Length(f64),
    /// What is found about the submission.
    Facts,
    /// A value head of the configuration.
    ValueHead(String),
}

/// What is found about a submission, as far as rewards are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// Whether it is accepted.
    pub accepted: bool,
    /// The value of its tests.
    pub tests: Option<f64>,
    /// What rules decided of an answer.
    pub rules: Option<bool>,
    /// The score that a reward model gave.
    pub judge: Option<f64>,
    /// The calibrated score that a value head gave.
    pub value_head: Option<f64>,
}

/// A reward and its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Composition {
    /// The sum.
    pub reward: f64,
    /// The parts, in the order of the plan; empty where the plan has none.
    pub parts: Vec<ComponentResult>,
}

/// What a plan needs to know of a submission before it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// What the model wrote.
    pub text: &'a str,
    /// Whether it is an answer; else it is a program.
    pub subject: Subject,
    /// Its length within its group.
    pub length: length::Place,
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A program.
    Program,
    /// An answer.
    Answer,
}

/// What is wrong with a reward.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RewardError {
    /// There is nothing to add, or too much.
    #[error("reward.components has {count} entries, allowed is 1 to {COMPONENTS_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
    /// A weight that makes no sense.
    #[error("reward.components[{index}]: weight is {weight}, its size may be up to {WEIGHT_MAX}")]
    Weight {
        /// Which component.
        index: usize,
        /// Its weight.
        weight: f64,
    },
    /// A component that such a submission has not, or a field that such a component has not.
    #[error("reward.components[{index}]: {reason}")]
    Component {
        /// Which component.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A value head that is not configured.
    #[error("reward.components[{index}]: value head {name:?} is not configured")]
    UnknownValueHead {
        /// Which component.
        index: usize,
        /// What was asked for.
        name: String,
    },
    /// Lengths of a group cannot be compared.
    #[error("group {group:?}: give `length_tokens` for all of its submissions or for none")]
    Lengths {
        /// The group.
        group: String,
    },
}

impl Plan {
    /// Reads a reward and measures what the response alone decides; `value_heads` are the names of
    /// the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(
        spec: &RewardSpec,
        response: Response<'_>,
        value_heads: &[String],
    ) -> Result<Self, RewardError> {
        let count = spec.components.len();
        if count == 0 || count > COMPONENTS_MAX {
            return Err(RewardError::Count { count });
        }
        let component = |(index, spec)| read_component(index, spec, response, value_heads);
        let components = spec.components.iter().enumerate().map(component);
        let plan = Self { components: components.collect::<Result<_, _>>()? };
        let first = plan.value_head().map(str::to_owned);
        let other = |component: &Component| matches!(&component.source, Source::ValueHead(name) if Some(name) != first.as_ref());
        match plan.components.iter().position(other) {
            Some(index) => {
                let reason = "all components of kind value_head must ask the same one";
                Err(RewardError::Component { index, reason })
            }
            None => Ok(plan),
        }
    }

    /// The value head that must be asked.
    #[must_use]
    pub fn value_head(&self) -> Option<&str> {
        self.components.iter().find_map(|component| match &component.source {
            Source::ValueHead(name) => Some(name.as_str()),
            Source::Measured(_) | Source::Length(_) | Source::Facts => None,
        })
    }
}

fn read_component(
    index: usize,
    spec: &ComponentSpec,
    response: Response<'_>,
    value_heads: &[String],
) -> Result<Component, RewardError> {
    let wrong = |reason| Err(RewardError::Component { index, reason });
    if !spec.weight.is_finite() || spec.weight.abs() > WEIGHT_MAX {
        return Err(RewardError::Weight { index, weight: spec.weight });
    }
    if spec.format.is_some() != (spec.kind == ComponentKind::Format) {
        return wrong("`format` is needed by components of kind format, and not for others");
    }
    if spec.model.is_some() && spec.kind != ComponentKind::ValueHead {
        return wrong("`model` is not for this kind");
    }
    if spec.gate && matches!(spec.kind, ComponentKind::Length | ComponentKind::Repetition) {
        return wrong("this kind never reaches 1, so it cannot be a gate");
    }
    let source = match (spec.kind, response.subject) {
        (ComponentKind::Tests, Subject::Answer) => {
            return wrong("an answer has no tests; use correctness, math or judge");
        }
        (ComponentKind::Math | ComponentKind::Judge, Subject::Program) => {
            return wrong("a program is judged by its tests; use correctness or tests");
        }
        (ComponentKind::Correctness, _)
        | (ComponentKind::Tests, Subject::Program)
        | (ComponentKind::Math | ComponentKind::Judge, Subject::Answer) => Source::Facts,
        (ComponentKind::ValueHead, _) => value_head(index, spec.model.as_deref(), value_heads)?,
        (ComponentKind::Format, _) => match &spec.format {
            Some(format) if format.tags.len() > FORMAT_TAGS_MAX => {
                return wrong("there are too many tags");
            }
            Some(format) if format::is_empty(format) => return wrong("`format` requires nothing"),
            Some(format) if !format.tags.iter().all(|tag| format::is_tag_name(tag)) => {
                return wrong("a tag's name is made of letters, digits, `-` and `_`");
            }
            Some(format) => Source::Measured(format::measure(format, response.text)),
            None => return wrong("`format` is missing"),
        },
        (ComponentKind::Length, _) => Source::Length(response.length.lambda()),
        (ComponentKind::Repetition, _) => Source::Measured(repetition::measure(response.text)),
    };
    Ok(Component { kind: spec.kind, weight: spec.weight, gate: spec.gate, source })
}

fn value_head(
    index: usize,
    asked: Option<&str>,
    value_heads: &[String],
) -> Result<Source, RewardError> {
    let found = match asked {
        Some(name) => value_heads.iter().find(|known| known.as_str() == name),
        None => value_heads.first(),
    };
    found.cloned().map(Source::ValueHead).ok_or_else(|| RewardError::UnknownValueHead {
        index,
        name: asked.unwrap_or("(the first)").chars().take(64).collect(),
    })
}

/// The reward of a submission that was judged.
#[must_use]
pub fn compose(plan: &Plan, facts: &Facts) -> Composition {
    if plan.components.is_empty() {
        let reward = facts.tests.unwrap_or(if facts.accepted { 1.0 } else { 0.0 });
        return Composition { reward, parts: Vec::new() };
    }
    let mut gated = false;
    let mut parts = Vec::with_capacity(plan.components.len());
    for component in &plan.components {
        let value = value(component, facts);
        // Adding zero turns a negative zero, which nobody expects to read, into a plain one.
        let contribution = if gated { 0.0 } else { component.weight * value.unwrap_or(0.0) + 0.0 };
        let (kind, weight) = (component.kind, component.weight);
        parts.push(ComponentResult { kind, value, weight, contribution, gated });
        gated |= component.gate && value.is_none_or(|value| value < 1.0);
    }
    Composition { reward: parts.iter().map(|part| part.contribution).sum(), parts }
}

fn value(component: &Component, facts: &Facts) -> Option<f64> {
    let number = |holds: bool| if holds { 1.0 } else { 0.0 };
    match (&component.source, component.kind) {
        (Source::Measured(value), _) => Some(*value),
        (Source::Length(lambda), _) => Some(length::reward(*lambda, facts.accepted)),
        (Source::ValueHead(_), _) => facts.value_head,
        (Source::Facts, ComponentKind::Tests) => facts.tests,
        (Source::Facts, ComponentKind::Math) => facts.rules.map(number),
        (Source::Facts, ComponentKind::Judge) => facts.judge,
        (
            Source::Facts,
            ComponentKind::Correctness
            | ComponentKind::ValueHead
            | ComponentKind::Format
            | ComponentKind::Length
            | ComponentKind::Repetition,
        ) => Some(number(facts.accepted)),
    }
}

#[cfg(test)]
mod tests;
