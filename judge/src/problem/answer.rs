//! Reads problems that are answered by words or formulas.

use math::{AnswerKind, Policy, TextRule, TextRules};
use protocol::{AnswerType, JudgeOptions, Normalization, Undecided, VoteMode};

use crate::limits;
use crate::policy::{self, PolicyError};

/// What an answer is compared with.
#[derive(Clone, Debug)]
pub enum AnswerProblem {
    /// By the rules of mathematics.
    Math {
        /// Right answers, at least one.
        references: Vec<String>,
        /// What counts as the same.
        policy: Box<Policy>,
        /// What was asked.
        question: Option<String>,
        /// What follows where no rule decides.
        undecided: AfterUndecided,
    },
    /// By the rules of a type.
    Typed {
        /// The type.
        kind: Box<AnswerKind>,
        /// Right answers, at least one.
        references: Vec<String>,
        /// What counts as the same number, and where the answer is looked for.
        policy: Box<Policy>,
    },
    /// By a reward model.
    FreeForm {
        /// What was asked.
        question: String,
        /// Right answers.
        references: Vec<String>,
        /// What a right answer must fulfil.
        rubric: Option<String>,
        /// Who judges, and how.
        ballot: Ballot,
    },
}

/// What follows where no rule decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterUndecided {
    /// A reward model is asked.
    Judge(Ballot),
    /// There is no reward.
    Invalid,
    /// The answer counts as wrong.
    Wrong,
}

/// How a reward model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// Its name in the configuration.
    pub model: String,
    /// How often it is asked at most; `None` for the model's own setting.
    pub votes: Option<u32>,
    /// How votes make a verdict; `None` for the model's own setting.
    pub mode: Option<VoteMode>,
}

/// What is wrong with such a problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Its policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Nothing to compare with.
    #[error("the problem has no {what}")]
    Empty {
        /// What it lacks.
        what: &'static str,
    },
    /// Something is larger, or there is more of it, than allowed.
    #[error("the problem's {what} is {value}, at most {max} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        value: usize,
        /// The bound.
        max: usize,
    },
    /// A field that another type of answer has.
    #[error("`{field}` is not for answers of type {answer_type}")]
    Field {
        /// The field.
        field: &'static str,
        /// The type.
        answer_type: &'static str,
    },
    /// A reward model that is not configured.
    #[error("reward model {name:?} is not configured")]
    UnknownJudge {
        /// What was asked for.
        name: String,
        /// What can be asked for.
        known: Vec<String>,
    },
    /// No reward model is configured.
    #[error("no reward model is configured, and this problem needs one")]
    NoJudge,
    /// A number of votes outside its bounds.
    #[error("judge.votes is {value}, allowed is 1 to {max}")]
    Votes {
        /// What was asked for.
        value: u32,
        /// The bound.
        max: u32,
    },
}

/// Checks a mathematical problem; `judges` are the configured reward models.
///
/// # Errors
/// What is wrong with it.
pub fn math(wire: protocol::MathProblem, judges: &[String]) -> Result<AnswerProblem, AnswerError> {
    check_references(&wire.references)?;
    check_text("question", wire.question.as_deref())?;
    let options = wire.judge.unwrap_or_default();
    let undecided = match (wire.undecided, judges.is_empty()) {
        (Some(Undecided::Wrong), _) => AfterUndecided::Wrong,
        (Some(Undecided::Invalid), _) | (None, true) => AfterUndecided::Invalid,
        (Some(Undecided::Judge), _) | (None, false) => {
            AfterUndecided::Judge(ballot(&options, judges)?)
        }
    };
    Ok(AnswerProblem::Math {
        references: wire.references,
        policy: Box::new(policy::read(&wire.policy)?),
        question: wire.question,
        undecided,
    })
}

/// Checks a problem with an answer of a named type.
///
/// # Errors
/// What is wrong with it.
pub fn typed(wire: protocol::AnswerProblem) -> Result<AnswerProblem, AnswerError> {
    check_references(&wire.references)?;
    let (name, normalizes, has_options) = match wire.answer_type {
        AnswerType::Choice => ("choice", false, true),
        AnswerType::Text => ("text", true, false),
        AnswerType::Number => ("number", false, false),
        AnswerType::Date => ("date", false, false),
        AnswerType::Json => ("json", false, false),
        AnswerType::Output => ("output", true, false),
    };
    if wire.normalize.is_some() && !normalizes {
        return Err(AnswerError::Field { field: "normalize", answer_type: name });
    }
    if !wire.options.is_empty() && !has_options {
        return Err(AnswerError::Field { field: "options", answer_type: name });
    }
    at_most("number of options", wire.options.len(), limits::OPTIONS_MAX)?;
    for option in &wire.options {
        check_text("option", Some(option))?;
    }
    let rules = |default: TextRules| match &wire.normalize {
        Some(rules) => rules.iter().map(|rule| text_rule(*rule)).collect(),
        None => default,
    };
    let kind = match wire.answer_type {
        AnswerType::Choice => AnswerKind::Choice { options: wire.options },
        AnswerType::Text => AnswerKind::Text(rules(TextRules::text())),
        AnswerType::Number => AnswerKind::Number,
        AnswerType::Date => AnswerKind::Date,
        AnswerType::Json => AnswerKind::Json,
        AnswerType::Output => AnswerKind::Output(rules(TextRules::output())),
    };
    Ok(AnswerProblem::Typed {
        kind: Box::new(kind),
        references: wire.references,
        policy: Box::new(policy::read(&wire.policy)?),
    })
}

/// Checks a problem that a reward model judges; `judges` are the configured ones.
///
/// # Errors
/// What is wrong with it.
pub fn free_form(
    wire: protocol::FreeFormProblem,
    judges: &[String],
) -> Result<AnswerProblem, AnswerError> {
    if wire.references.is_empty() && wire.rubric.is_none() {
        return Err(AnswerError::Empty { what: "references and no rubric" });
    }
    if !wire.references.is_empty() {
        check_references(&wire.references)?;
    }
    if wire.question.trim().is_empty() {
        return Err(AnswerError::Empty { what: "question" });
    }
    check_text("question", Some(&wire.question))?;
    check_text("rubric", wire.rubric.as_deref())?;
    Ok(AnswerProblem::FreeForm {
        question: wire.question,
        references: wire.references,
        rubric: wire.rubric,
        ballot: ballot(&wire.judge, judges)?,
    })
}

fn ballot(options: &JudgeOptions, judges: &[String]) -> Result<Ballot, AnswerError> {
    if let Some(value) = options.votes.filter(|votes| !(1..=limits::VOTES_MAX).contains(votes)) {
        return Err(AnswerError::Votes { value, max: limits::VOTES_MAX });
    }
    let model = match &options.model {
        Some(name) if judges.contains(name) => name.clone(),
        Some(name) => {
            let name = name.chars().take(64).collect();
            return Err(AnswerError::UnknownJudge { name, known: judges.to_vec() });
        }
        None => judges.first().cloned().ok_or(AnswerError::NoJudge)?,
    };
    Ok(Ballot { model, votes: options.votes, mode: options.mode })
}

fn text_rule(wire: Normalization) -> TextRule {
    match wire {
        Normalization::Unicode => TextRule::Unicode,
        Normalization::Case => TextRule::Case,
        Normalization::Whitespace => TextRule::Whitespace,
        Normalization::TrailingWhitespace => TextRule::TrailingWhitespace,
        Normalization::Punctuation => TextRule::Punctuation,
        Normalization::Articles => TextRule::Articles,
        Normalization::Diacritics => TextRule::Diacritics,
    }
}

fn check_references(references: &[String]) -> Result<(), AnswerError> {
    if references.is_empty() {
        return Err(AnswerError::Empty { what: "references" });
    }
    at_most("number of references", references.len(), limits::REFERENCES_MAX)?;
    for reference in references {
        at_most("reference", reference.len(), limits::REFERENCE_BYTES_MAX)?;
        if reference.trim().is_empty() {
            return Err(AnswerError::Empty { what: "text in a reference" });
        }
    }
    Ok(())
}

fn check_text(what: &'static str, text: Option<&str>) -> Result<(), AnswerError> {
    at_most(what, text.map_or(0, str::len), limits::QUESTION_BYTES_MAX)
}

fn at_most(what: &'static str, value: usize, max: usize) -> Result<(), AnswerError> {
    if value > max { Err(AnswerError::TooLarge { what, value, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_math(json: &str, judges: &[&str]) -> Result<AnswerProblem, AnswerError> {
        let judges: Vec<String> = judges.iter().map(|name| (*name).to_owned()).collect();
        math(serde_json::from_str(json).unwrap(), &judges)
    }

    fn after(json: &str, judges: &[&str]) -> AfterUndecided {
        match read_math(json, judges).unwrap() {
            AnswerProblem::Math { undecided, .. } => undecided,
            AnswerProblem::Typed { .. } | AnswerProblem::FreeForm { .. } => unreachable!(),
        }
    }

    #[test]
    fn references_are_needed_and_bounded() {
        assert!(read_math(r#"{"references":["1"]}"#, &[]).is_ok());
        assert!(matches!(read_math(r#"{"references":[]}"#, &[]), Err(AnswerError::Empty { .. })));
        assert!(matches!(
            read_math(r#"{"references":[" "]}"#, &[]),
            Err(AnswerError::Empty { .. })
        ));
        let many = |count: usize| {
            let references = vec!["1"; count];
            read_math(&serde_json::json!({ "references": references }).to_string(), &[])
        };
        assert!(many(limits::REFERENCES_MAX).is_ok());
        assert!(many(limits::REFERENCES_MAX + 1).is_err());
    }

    #[test]
    fn what_no_rule_decides_goes_to_the_judge_that_there_is() {
        let json = r#"{"references":["1"]}"#;
        assert_eq!(after(json, &[]), AfterUndecided::Invalid);
        assert!(
            matches!(after(json, &["a", "b"]), AfterUndecided::Judge(ballot) if ballot.model == "a")
        );
        let named = r#"{"references":["1"],"judge":{"model":"b","votes":3}}"#;
        assert!(matches!(after(named, &["a", "b"]), AfterUndecided::Judge(ballot)
            if ballot.model == "b" && ballot.votes == Some(3)));
        let asked = r#"{"references":["1"],"undecided":"judge"}"#;
        assert_eq!(read_math(asked, &[]).unwrap_err(), AnswerError::NoJudge);
        assert!(matches!(
            read_math(r#"{"references":["1"],"judge":{"model":"c"}}"#, &["a"]),
            Err(AnswerError::UnknownJudge { .. })
        ));
    }

    #[test]
    fn fields_of_other_types_are_refused() {
        let read = |json: &str| typed(serde_json::from_str(json).unwrap());
        assert!(read(r#"{"type":"choice","references":["A"],"options":["x"]}"#).is_ok());
        assert!(read(r#"{"type":"text","references":["A"],"normalize":["case"]}"#).is_ok());
        assert!(read(r#"{"type":"date","references":["2024-01-01"],"options":["x"]}"#).is_err());
        assert!(read(r#"{"type":"json","references":["1"],"normalize":["case"]}"#).is_err());
    }

    #[test]
    fn a_free_form_question_needs_a_judge_and_something_to_judge_by() {
        let read =
            |json: &str, judges: &[String]| free_form(serde_json::from_str(json).unwrap(), judges);
        let judges = ["a".to_owned()];
        assert!(read(r#"{"question":"q","references":["r"]}"#, &judges).is_ok());
        assert!(read(r#"{"question":"q","rubric":"r"}"#, &judges).is_ok());
        assert!(read(r#"{"question":"q"}"#, &judges).is_err());
        assert!(read(r#"{"question":" ","rubric":"r"}"#, &judges).is_err());
        assert_eq!(
            read(r#"{"question":"q","rubric":"r"}"#, &[]).unwrap_err(),
            AnswerError::NoJudge
        );
        let votes = |votes: u32| {
            let json = format!(r#"{{"question":"q","rubric":"r","judge":{{"votes":{votes}}}}}"#);
            read(&json, &judges).is_ok()
        };
        assert_eq!(
            [votes(0), votes(1), votes(limits::VOTES_MAX), votes(limits::VOTES_MAX + 1)],
            [false, true, true, false]
        );
    }
}
