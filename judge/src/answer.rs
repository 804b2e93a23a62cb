//! The flow of one answer: rules first, a reward model only for what no rule decides.

use std::borrow::Cow;

use math::{Decision, Verdict as Rule};
use protocol::{AnswerResult, AnswerVerdict};
use tracing::Instrument;

use crate::grade::{Flag, Points, Verdict};
use crate::pipeline::Judge;
use crate::problem::answer::{AfterUndecided, AnswerProblem, Ballot};
use crate::report::{FailureKind, JudgeFailure, Judgement, Report, Retry};
use crate::task::{Task, ValidAnswer, Work};

/// How the rules judged an answer.
#[derive(Clone, Debug)]
pub struct AnswerReport {
    /// The answer; `None` where the completion has none.
    pub answer: Option<String>,
    /// What the rules say; `None` where they were not asked.
    pub decision: Option<Decision>,
}

/// What follows from the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next<'a> {
    /// They decided.
    Decided(Verdict),
    /// A reward model is asked.
    Judge(&'a Ballot),
    /// There is no reward.
    Nothing,
}

impl Judge {
    /// Judges a program or an answer. Dropping the future ends what runs.
    pub async fn judge_task(&self, task: &Task) -> Report {
        let mut report = match &task.work {
            Work::Program(submission) => self.judge(submission).await,
            Work::Answer(answer) => {
                let id = answer.id.as_deref().unwrap_or_default();
                let span = tracing::info_span!("answer", id, index = answer.index);
                self.judge_answer(answer).instrument(span).await
            }
        };
        report.reward = task.reward.clone();
        report
    }

    async fn judge_answer(&self, answer: &ValidAnswer) -> Report {
        let decision = decide(answer);
        let next = next(answer, decision.as_ref());
        let judgement = match next {
            Next::Decided(verdict) => Ok(judgement(verdict, answer)),
            Next::Judge(ballot) => self.ask_judge(answer, ballot).await,
            Next::Nothing => Err(NO_RULE),
        };
        if let Some(decision) = &decision {
            self.metrics().decided(decision.verdict.as_str(), decision.reason.as_str());
        }
        self.metrics().judged(judgement.as_ref().map(|judgement| judgement.verdict).ok());
        let mut report = Report::new(answer.id.clone(), answer.index, judgement);
        report.extraction = answer.extraction;
        report.answer = Some(AnswerReport { answer: answer.answer.clone(), decision });
        report
    }

    async fn ask_judge(&self, _: &ValidAnswer, _: &Ballot) -> Result<Judgement, JudgeFailure> {
        Err(NO_RULE)
    }
}

const NO_RULE: JudgeFailure = JudgeFailure {
    class: FailureKind::Judge,
    retry: Retry::Never,
    message: Cow::Borrowed(
        "no rule decides whether the answer is right, and no reward model was asked",
    ),
};

/// What the rules say; `None` where there is no answer, or there are no rules.
fn decide(answer: &ValidAnswer) -> Option<Decision> {
    let given = answer.answer.as_deref()?;
    match &answer.problem {
        AnswerProblem::Math { references, policy, .. } => {
            math::compare_any(references.iter().map(String::as_str), given, policy)
        }
        AnswerProblem::Typed { kind, references, policy } => {
            let references = references.iter().map(String::as_str);
            math::compare_typed_any(kind, references, given, policy)
        }
        AnswerProblem::FreeForm { .. } => None,
    }
}

fn next<'a>(answer: &'a ValidAnswer, decision: Option<&Decision>) -> Next<'a> {
    if answer.answer.is_none() {
        return Next::Decided(Verdict::WrongAnswer);
    }
    match (decision.map(|decision| decision.verdict), &answer.problem) {
        (Some(Rule::Equal), _) => Next::Decided(Verdict::Accepted),
        (Some(Rule::Different), _) => Next::Decided(Verdict::WrongAnswer),
        (Some(Rule::Undecided) | None, AnswerProblem::Math { undecided, .. }) => match undecided {
            AfterUndecided::Judge(ballot) => Next::Judge(ballot),
            AfterUndecided::Invalid => Next::Nothing,
            AfterUndecided::Wrong => Next::Decided(Verdict::WrongAnswer),
        },
        (Some(Rule::Undecided) | None, AnswerProblem::Typed { .. }) => Next::Nothing,
        (Some(Rule::Undecided) | None, AnswerProblem::FreeForm { ballot, .. }) => {
            Next::Judge(ballot)
        }
    }
}

fn judgement(verdict: Verdict, answer: &ValidAnswer) -> Judgement {
    let flags = if answer.answer.is_none() { vec![Flag::NoAnswer] } else { Vec::new() };
    Judgement::bare(verdict, flags, Points::default())
}

impl AnswerReport {
    /// What the rules decided, where they did.
    #[must_use]
    pub fn rules(&self) -> Option<bool> {
        match self.decision.as_ref().map(|decision| decision.verdict) {
            Some(Rule::Equal) => Some(true),
            Some(Rule::Different) => Some(false),
            Some(Rule::Undecided) => None,
            None => self.answer.is_none().then_some(false),
        }
    }

    /// The part of the reply.
    #[must_use]
    pub fn to_wire(&self) -> AnswerResult {
        let answer = self.answer.clone();
        match &self.decision {
            Some(decision) => AnswerResult {
                answer,
                verdict: match decision.verdict {
                    Rule::Equal => AnswerVerdict::Equal,
                    Rule::Different => AnswerVerdict::Different,
                    Rule::Undecided => AnswerVerdict::Undecided,
                },
                reason: decision.reason.as_str().to_owned(),
                reference_reading: decision.explanation.reference.clone(),
                answer_reading: decision.explanation.answer.clone(),
            },
            None => {
                let (verdict, reason) = match &answer {
                    Some(_) => (AnswerVerdict::Undecided, "no_rules"),
                    None => (AnswerVerdict::Different, math::Reason::NotFound.as_str()),
                };
                let (reference_reading, answer_reading) = (String::new(), String::new());
                let reason = reason.to_owned();
                AnswerResult { answer, verdict, reason, reference_reading, answer_reading }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::slots::scripted::ScriptedSlots;
    use crate::task::tests::task;
    use crate::telemetry::Metrics;

    async fn judge(fields: &str, references: &str, more: &str) -> protocol::SubmissionResult {
        let json =
            format!(r#"{{{fields},"problem":{{"kind":"math","references":{references}{more}}}}}"#);
        let judge = Judge::new(
            Arc::new(ScriptedSlots::new([])),
            Arc::new(Metrics::new().unwrap()),
            crate::pipeline::Caches::none(),
        );
        judge.judge_task(&task(&json).unwrap()).await.to_wire()
    }

    #[tokio::test]
    async fn rules_decide_without_a_slot() {
        let found = judge(r#""answer":"0.5""#, r#"["\\frac{1}{2}"]"#, "").await;
        assert_eq!((found.reward, found.verdict), (Some(1.0), Some(protocol::Verdict::Accepted)));
        let answer = found.answer.unwrap();
        assert_eq!((answer.verdict, answer.reason.as_str()), (AnswerVerdict::Equal, "same_form"));
        let found = judge(r#""completion":"so \\boxed{3}""#, r#"["4","5"]"#, "").await;
        assert_eq!((found.reward, found.valid), (Some(0.0), true));
        assert_eq!(found.extraction.unwrap().rule, "box");
    }

    #[tokio::test]
    async fn a_completion_without_an_answer_is_wrong() {
        let found = judge(r#""completion":"I give up""#, r#"["4"]"#, "").await;
        assert_eq!((found.reward, found.flags), (Some(0.0), vec!["no_answer".to_owned()]));
        assert_eq!(found.answer.unwrap().reason, "not_found");
    }

    #[tokio::test]
    async fn what_no_rule_decides_is_no_verdict_unless_asked_for() {
        let odd = r#""answer":"\\oiint_{?}""#;
        let found = judge(odd, r#"["4"]"#, r#","undecided":"invalid""#).await;
        assert_eq!((found.reward, found.valid, found.verdict), (None, false, None));
        assert_eq!(found.failure.unwrap().class, protocol::FailureClass::Judge);
        let found = judge(odd, r#"["4"]"#, r#","undecided":"wrong""#).await;
        assert_eq!((found.reward, found.valid), (Some(0.0), true));
    }

    #[tokio::test]
    async fn components_come_with_the_reply() {
        let fields = r#""completion":"so \\boxed{4}","reward":{"components":[
            {"kind":"format","format":{"boxed":true},"weight":0.1},{"kind":"correctness"}]}"#;
        let found = judge(fields, r#"["4"]"#, "").await;
        assert!((found.reward.unwrap() - 1.1).abs() < 1e-12);
        assert_eq!(found.components.len(), 2);
    }
}
