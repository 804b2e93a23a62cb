//! What a request asks to be judged: a program or an answer, and how its reward is made. Parsed
//! once, at the edge, as [`crate::submission`] does for programs.

use std::time::Duration;

use math::Extraction;
use protocol::{Problem as WireProblem, Submission};

use crate::extract;
use crate::limits;
use crate::problem::answer::{self, AnswerError, AnswerProblem};
use crate::reward::length::Groups;
use crate::reward::{Plan, Response, RewardError, Subject};
use crate::submission::{Rules, SubmissionError, ValidSubmission};

/// Something that may be judged.
#[derive(Clone, Debug)]
pub struct Task {
    /// What is judged.
    pub work: Work,
    /// How its reward is made.
    pub reward: Plan,
    /// What the model wrote, where a value head is to see it.
    pub response: Option<String>,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// After how long without a result it is reported as not judged.
    pub deadline: Option<Duration>,
}

impl Task {
    /// Comes back with the result.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match &self.work {
            Work::Program(submission) => submission.id.as_deref(),
            Work::Answer(answer) => answer.id.as_deref(),
        }
    }

    /// Its position in the request.
    #[must_use]
    pub fn index(&self) -> usize {
        match &self.work {
            Work::Program(submission) => submission.index,
            Work::Answer(answer) => answer.index,
        }
    }
}

/// What is judged.
#[derive(Clone, Debug)]
pub enum Work {
    /// A program.
    Program(Box<ValidSubmission>),
    /// An answer.
    Answer(Box<ValidAnswer>),
}

/// An answer that may be judged.
#[derive(Clone, Debug)]
pub struct ValidAnswer {
    /// Comes back with the result.
    pub id: Option<String>,
    /// Its position in the request.
    pub index: usize,
    /// The answer; `None` where a completion has none.
    pub answer: Option<String>,
    /// How it was taken from the completion; `None` where it was given as it is.
    pub extraction: Option<&'static str>,
    /// What it is compared with.
    pub problem: AnswerProblem,
}

/// Names of what the configuration offers.
#[derive(Clone, Debug, Default)]
pub struct RewardModelNames {
    /// Chain-of-thought judges; the first is the default.
    pub judges: Vec<String>,
    /// Value heads; the first is the default.
    pub value_heads: Vec<String>,
}

/// What tasks are checked against.
#[derive(Clone, Copy, Debug)]
pub struct TaskRules<'a> {
    /// For programs.
    pub programs: Rules<'a>,
    /// Reward models that may be asked.
    pub reward_models: &'a RewardModelNames,
}

/// What is wrong with a task.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TaskError {
    /// As a program.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// As a problem that is answered.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// How its reward is made.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// A field that such a problem has not.
    #[error("`{field}` is not for problems of kind {kind}")]
    Field {
        /// The field.
        field: &'static str,
        /// The kind.
        kind: &'static str,
    },
    /// A deadline that cannot be.
    #[error("`deadline_ms` is {ms}, not from 1 to {}", limits::DEADLINE_MAX.as_millis())]
    Deadline {
        /// What was given.
        ms: u64,
    },
    /// No answer, or two.
    #[error("exactly one of `answer` and `completion` must be given, not {given}")]
    Given {
        /// What was given.
        given: &'static str,
    },
}

impl TaskRules<'_> {
    /// Checks a submission; `index` is its position in the request, `groups` are the request's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn task(&self, wire: Submission, index: usize, groups: &Groups) -> Result<Task, TaskError> {
        let subject = match &wire.problem {
            WireProblem::Math(_) | WireProblem::Answer(_) | WireProblem::FreeForm(_) => {
                Subject::Answer
            }
            WireProblem::Stdio(_)
            | WireProblem::Assertions(_)
            | WireProblem::Function(_)
            | WireProblem::InputOutput(_)
            | WireProblem::Livecodebench(_)
            | WireProblem::Dmoj(_)
            | WireProblem::UnitTests(_)
            | WireProblem::Repository(_)
            | WireProblem::Unsupported { .. } => Subject::Program,
        };
        at_most("group", wire.group.as_ref().map_or(0, String::len), limits::ID_BYTES_MAX)?;
        let deadline = wire.deadline_ms.map(deadline).transpose()?;
        let group = wire.group.clone();
        let reward = match &wire.reward {
            None => Plan::default(),
            Some(spec) => {
                let given = [&wire.completion, &wire.source, &wire.answer];
                let text = given.into_iter().flatten().next().map_or("", String::as_str);
                let response = Response { text, subject, length: groups.place(&wire) };
                Plan::read(spec, response, &self.reward_models.value_heads)?
            }
        };
        let response = reward.value_head().map(|_| {
            let given = [&wire.completion, &wire.source, &wire.answer];
            given.into_iter().flatten().next().cloned().unwrap_or_default()
        });
        let work = match subject {
            Subject::Program if wire.answer.is_some() => {
                return Err(TaskError::Field {
                    field: "answer",
                    kind: "stdio, assertions and the like",
                });
            }
            Subject::Program => Work::Program(Box::new(self.programs.submission(wire, index)?)),
            Subject::Answer => Work::Answer(Box::new(self.answer(wire, index)?)),
        };
        Ok(Task { work, reward, response, group, deadline })
    }

    fn answer(&self, wire: Submission, index: usize) -> Result<ValidAnswer, TaskError> {
        if let Some(id) = &wire.id {
            at_most("id", id.len(), limits::ID_BYTES_MAX)?;
        }
        check_no_program(&wire)?;
        let judges = &self.reward_models.judges;
        let problem = match wire.problem {
            WireProblem::Math(problem) => answer::math(problem, judges)?,
            WireProblem::Answer(problem) => answer::typed(problem)?,
            WireProblem::FreeForm(problem) => answer::free_form(problem, judges)?,
            WireProblem::Stdio(_)
            | WireProblem::Assertions(_)
            | WireProblem::Function(_)
            | WireProblem::InputOutput(_)
            | WireProblem::Livecodebench(_)
            | WireProblem::Dmoj(_)
            | WireProblem::UnitTests(_)
            | WireProblem::Repository(_)
            | WireProblem::Unsupported { .. } => {
                return Err(TaskError::Field {
                    field: "answer",
                    kind: "stdio, assertions and the like",
                });
            }
        };
        let (answer, extraction) = match (wire.answer, wire.completion) {
            (Some(answer), None) => {
                at_most("answer", answer.len(), limits::SOURCE_BYTES_MAX)?;
                (Some(answer), None)
            }
            (None, Some(completion)) => {
                at_most("completion", completion.len(), limits::SOURCE_BYTES_MAX)?;
                let (answer, rule) = extracted(&problem, &completion);
                (answer, Some(rule))
            }
            (None, None) => return Err(TaskError::Given { given: "neither" }),
            (Some(_), Some(_)) => return Err(TaskError::Given { given: "both" }),
        };
        Ok(ValidAnswer { id: wire.id, index, answer, extraction, problem })
    }
}

/// Checks `deadline_ms` of a submission or of a request.
///
/// # Errors
/// It is 0, or longer than anything may take.
pub fn deadline(ms: u64) -> Result<Duration, TaskError> {
    match Duration::from_millis(ms) {
        given if (Duration::from_millis(1)..=limits::DEADLINE_MAX).contains(&given) => Ok(given),
        _ => Err(TaskError::Deadline { ms }),
    }
}

/// An answer is not run, so what says how to run it is a mistake.
fn check_no_program(wire: &Submission) -> Result<(), TaskError> {
    let given = [
        ("language", wire.language.is_some()),
        ("image", wire.image.is_some()),
        ("source", wire.source.is_some()),
        ("limits", !wire.limits.is_empty()),
        ("stop_early", wire.stop_early),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((field, _)) => Err(TaskError::Field { field, kind: "math, answer or free_form" }),
        None => Ok(()),
    }
}

fn at_most(what: &'static str, value: usize, max: usize) -> Result<(), TaskError> {
    if value > max { Err(SubmissionError::TooLarge { what, value, max }.into()) } else { Ok(()) }
}

/// The answer of a completion, and the rule that found it.
fn extracted(problem: &AnswerProblem, completion: &str) -> (Option<String>, &'static str) {
    let by = |extraction| match math::extract(completion, extraction) {
        Some(found) => (Some(found.text), found.rule.as_str()),
        None => (None, "not_found"),
    };
    match problem {
        AnswerProblem::Math { policy, .. } => by(policy.extraction),
        AnswerProblem::Typed { kind, policy, .. } => match **kind {
            math::AnswerKind::Json | math::AnswerKind::Output(_) => block_or_all(completion),
            math::AnswerKind::Choice { .. }
            | math::AnswerKind::Text(_)
            | math::AnswerKind::Number
            | math::AnswerKind::Date => by(policy.extraction),
        },
        AnswerProblem::FreeForm { .. } => match by(Extraction::BoxOrPhrase) {
            (Some(answer), rule) => (Some(answer), rule),
            (None, _) => after_reasoning(completion),
        },
    }
}

/// The last fenced block, or all that stands after the reasoning.
fn block_or_all(completion: &str) -> (Option<String>, &'static str) {
    let block = extract::extract(completion, &[]);
    match block.source {
        Some(source) => (Some(source), block.rule.name()),
        None => after_reasoning(completion),
    }
}

fn after_reasoning(completion: &str) -> (Option<String>, &'static str) {
    let text = match completion.rfind("</think>") {
        Some(at) => &completion[at + "</think>".len()..],
        None if completion.trim_start().starts_with("<think>") => {
            return (None, "unfinished_reasoning");
        }
        None => completion,
    };
    if text.trim().is_empty() { (None, "not_found") } else { (Some(text.trim().to_owned()), "all") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::language::Languages;

    pub(crate) fn task(json: &str) -> Result<Task, TaskError> {
        let languages = Languages::resolve(|_| true).unwrap();
        let names = RewardModelNames {
            judges: vec!["judge".to_owned()],
            value_heads: vec!["head".to_owned()],
        };
        let programs = Rules {
            languages: &languages,
            limits_max: &limits::PROGRAM_LIMITS_MAX,
            testlib: None,
            repositories: None,
        };
        let rules = TaskRules { programs, reward_models: &names };
        let wire: Submission = serde_json::from_str(json).unwrap();
        let groups = Groups::of(std::slice::from_ref(&wire)).unwrap();
        rules.task(wire, 0, &groups)
    }

    fn answer(fields: &str) -> Result<ValidAnswer, TaskError> {
        match task(&format!("{{{fields}}}"))?.work {
            Work::Answer(answer) => Ok(*answer),
            Work::Program(_) => unreachable!("the problem is answered"),
        }
    }

    const MATH: &str = r#""problem":{"kind":"math","references":["4"]}"#;

    #[test]
    fn an_answer_is_given_or_taken_from_a_completion() {
        assert_eq!(answer(&format!(r#""answer":"4",{MATH}"#)).unwrap().extraction, None);
        let found = answer(&format!(r#""completion":"so \\boxed{{4}}",{MATH}"#)).unwrap();
        assert_eq!((found.answer.as_deref(), found.extraction), (Some("4"), Some("box")));
        let none = answer(&format!(r#""completion":"I give up",{MATH}"#)).unwrap();
        assert_eq!((none.answer, none.extraction), (None, Some("not_found")));
        assert!(matches!(answer(MATH), Err(TaskError::Given { given: "neither" })));
        let both = answer(&format!(r#""answer":"4","completion":"4",{MATH}"#));
        assert!(matches!(both, Err(TaskError::Given { given: "both" })));
    }

    #[test]
    fn what_belongs_to_programs_is_refused_for_answers_and_the_other_way_round() {
        for field in [r#""language":"c""#, r#""stop_early":true"#, r#""limits":{"pids":9}"#] {
            let wrong = answer(&format!(r#""answer":"4",{field},{MATH}"#));
            assert!(matches!(wrong, Err(TaskError::Field { .. })), "{field}");
        }
        let program = r#"{"language":"python","source":"x","answer":"4","problem":
            {"kind":"assertions","code":"x"}}"#;
        assert!(matches!(task(program), Err(TaskError::Field { field: "answer", .. })));
        let no_language = r#"{"source":"x","problem":{"kind":"assertions","code":"x"}}"#;
        assert!(matches!(task(no_language), Err(TaskError::Submission(_))));
    }

    #[test]
    fn each_type_looks_for_its_answer_where_it_stands() {
        let of = |kind: &str, completion: &str| {
            let json = serde_json::json!({
                "completion": completion,
                "problem": {"kind": "answer", "type": kind, "references": ["x"]},
            });
            match task(&json.to_string()).unwrap().work {
                Work::Answer(answer) => answer.answer,
                Work::Program(_) => None,
            }
        };
        assert_eq!(of("json", "<think>[1]</think>```json\n[2]\n```").as_deref(), Some("[2]\n"));
        assert_eq!(of("json", "[3]").as_deref(), Some("[3]"));
        assert_eq!(of("output", "<think>a</think> b ").as_deref(), Some("b"));
        assert_eq!(of("output", "<think>a"), None);
        assert_eq!(of("choice", "Answer: (B)").as_deref(), Some("(B)"));
        assert_eq!(of("text", "no idea"), None);
    }
}
