//! The flow of one answer: rules first, then guards, a reward model only for what neither decides.

use std::borrow::Cow;
use std::time::Instant;

use math::{Decision, Verdict as Rule};
use protocol::{AnswerResult, AnswerVerdict};
use tracing::Instrument;

use crate::grade::{Flag, Points, Verdict};
use crate::pipeline::Judge;
use crate::problem::answer::{AfterUndecided, AnswerProblem, Ballot};
use crate::report::{FailureKind, JudgeFailure, Judgement, Report, Retry};
use crate::reward_model::Ruling;
use crate::reward_model::calls::CallsFault;
use crate::reward_model::guard::{self, Case, Form, Guard};
use crate::reward_model::judge::JudgeFault;
use crate::reward_model::prompt::{self, Question};
use crate::reward_model::reply::ReplyFault;
use crate::reward_model::transport::CallFault;
use crate::reward_model::value_head::Subject;
use crate::task::{Task, ValidAnswer, Work};

/// How the rules judged an answer.
#[derive(Clone, Debug)]
pub struct AnswerReport {
    /// The answer; `None` where the completion has none.
    pub answer: Option<String>,
    /// What the rules say; `None` where they were not asked, or say nothing.
    pub decision: Option<Decision>,
    /// Why it is wrong without asking a reward model.
    pub guard: Option<Guard>,
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
        let begun = Instant::now();
        let mut report = match &task.work {
            Work::Program(submission) => self.judge(submission).await,
            Work::Answer(answer) => {
                let id = answer.id.as_deref().unwrap_or_default();
                let span = tracing::info_span!("answer", id, index = answer.index);
                self.judge_answer(answer).instrument(span).await
            }
        };
        if let (Some(name), Some(response), Ok(_)) =
            (task.reward.value_head(), &task.response, &report.judgement)
        {
            match self.reward_models().score(name, subject(&task.work, response)).await {
                Ok(score) => report.value_head = Some(score),
                Err(fault) => report.judgement = Err(self.judge_failed(&JudgeFault::Calls(fault))),
            }
        }
        report.reward = task.reward.clone();
        self.stats().note(task, &report, begun.elapsed());
        report
    }

    async fn judge_answer(&self, answer: &ValidAnswer) -> Report {
        let decision = decide(answer);
        if let Some(decision) = &decision {
            self.metrics().decided(decision.verdict.as_str(), decision.reason.as_str());
        }
        let mut found = AnswerReport { answer: answer.answer.clone(), decision, guard: None };
        let mut result = None;
        let judgement = match next(answer, found.decision.as_ref()) {
            Next::Decided(verdict) => Ok(judgement(verdict, answer)),
            Next::Judge(ballot) => match self.rule(answer, ballot).await {
                Ok(Ruling::Guarded(guard)) => {
                    found.guard = Some(guard);
                    Ok(judgement(Verdict::WrongAnswer, answer))
                }
                Ok(Ruling::Judged { right, result: said }) => {
                    result = Some(said);
                    let verdict = if right { Verdict::Accepted } else { Verdict::WrongAnswer };
                    Ok(judgement(verdict, answer))
                }
                Err(fault) => Err(self.judge_failed(&fault)),
            },
            // What fools judges is no answer, whether there is a judge or not.
            Next::Nothing => match guarded(answer) {
                Some(guard) => {
                    found.guard = Some(guard);
                    Ok(judgement(Verdict::WrongAnswer, answer))
                }
                None => Err(NO_RULE),
            },
        };
        self.metrics().judged(judgement.as_ref().map(|judgement| judgement.verdict).ok());
        let mut report = Report::new(answer.id.clone(), answer.index, judgement);
        report.extraction = answer.extraction;
        report.answer = Some(found);
        report.judge = result;
        report
    }

    async fn rule(&self, answer: &ValidAnswer, ballot: &Ballot) -> Result<Ruling, JudgeFault> {
        let (question, form) = question(answer);
        self.reward_models().rule(&question, form, ballot).await
    }

    /// Logs a failure of a reward model, counts it, and words it for the client.
    fn judge_failed(&self, fault: &JudgeFault) -> JudgeFailure {
        self.metrics().failed("judge");
        tracing::warn!(%fault, "a reward model gave no verdict");
        let (retry, message) = match fault {
            JudgeFault::Reply(ReplyFault::Unparsable | ReplyFault::Truncated) => {
                (Retry::Later, "the reward model's replies hold no verdict")
            }
            JudgeFault::Reply(ReplyFault::Echo) => {
                (Retry::Later, "the reward model's verdict is about another answer than this one")
            }
            JudgeFault::Calls(CallsFault::Busy) => {
                (Retry::Later, "too many calls wait for the reward model")
            }
            JudgeFault::Calls(CallsFault::Open) => {
                (Retry::Later, "the reward model does not answer; calls are stopped for a while")
            }
            JudgeFault::Calls(CallsFault::Distrusted) => {
                (Retry::Later, "the reward model judged known answers wrongly; calls are stopped")
            }
            JudgeFault::Calls(CallsFault::Deadline) => {
                (Retry::Later, "the reward model did not answer in time")
            }
            JudgeFault::Calls(CallsFault::Call(fault)) if fault.may_pass() => {
                (Retry::Later, "calls to the reward model failed")
            }
            JudgeFault::Calls(CallsFault::Call(CallFault::TooLarge)) => {
                (Retry::Never, "the reward model's reply is too large")
            }
            JudgeFault::Calls(CallsFault::Call(_)) => {
                (Retry::Never, "the reward model's server refuses our calls")
            }
        };
        JudgeFailure { class: FailureKind::Judge, retry, message: message.into() }
    }
}

/// What a reward model is asked about an answer.
fn question(answer: &ValidAnswer) -> (Question, Form) {
    let given = answer.answer.clone().unwrap_or_default();
    let ask = |template, question: &str, references: Vec<String>| Question {
        template,
        question: question.to_owned(),
        references,
        answer: given.clone(),
    };
    match &answer.problem {
        AnswerProblem::Math { references, question, .. } => {
            let question = question.as_deref().unwrap_or_default();
            (ask(prompt::EQUIVALENCE, question, references.clone()), Form::Value)
        }
        AnswerProblem::Typed { references, .. } => {
            (ask(prompt::EQUIVALENCE, "", references.clone()), Form::Value)
        }
        AnswerProblem::FreeForm { question, references, rubric: None, .. } => {
            (ask(prompt::FREE_FORM_REFERENCE, question, references.clone()), Form::Prose)
        }
        AnswerProblem::FreeForm { question, references, rubric: Some(rubric), .. } => {
            let references = references.iter().map(|one| format!("A right answer is: {one}"));
            let rubric = std::iter::once(rubric.clone()).chain(references).collect();
            (ask(prompt::FREE_FORM_RUBRIC, question, rubric), Form::Prose)
        }
    }
}

fn guarded(answer: &ValidAnswer) -> Option<Guard> {
    let (question, form) = question(answer);
    guard::check(&Case {
        question: &question.question,
        references: &question.references,
        answer: &question.answer,
        chars_max: math::limits::INPUT_BYTES_MAX,
        form,
    })
}

/// What a value head is asked about.
fn subject<'a>(work: &'a Work, response: &'a str) -> Subject<'a> {
    let (question, reference) = match work {
        Work::Program(_) => ("", ""),
        Work::Answer(answer) => match &answer.problem {
            AnswerProblem::Math { references, question, .. } => {
                (question.as_deref().unwrap_or_default(), first(references))
            }
            AnswerProblem::Typed { references, .. } => ("", first(references)),
            AnswerProblem::FreeForm { references, question, .. } => {
                (question.as_str(), first(references))
            }
        },
    };
    Subject { question, reference, response }
}

fn first(references: &[String]) -> &str {
    references.first().map_or("", String::as_str)
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
        // The words of a reference are right without asking; other words say nothing.
        AnswerProblem::FreeForm { references, rubric: None, .. } => {
            let kind = math::AnswerKind::Text(math::TextRules::text());
            let references = references.iter().map(String::as_str);
            math::compare_typed_any(&kind, references, given, &math::Policy::default())
                .filter(|decision| decision.verdict == Rule::Equal)
        }
        AnswerProblem::FreeForm { rubric: Some(_), .. } => None,
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
        if self.guard.is_some() {
            return Some(false);
        }
        match self.decision.as_ref().map(|decision| decision.verdict) {
            Some(Rule::Equal) => Some(true),
            Some(Rule::Different) => Some(false),
            Some(Rule::Undecided) => None,
            None => self.answer.is_none().then_some(false),
        }
    }

    /// The guard that stopped it, else the rule.
    fn reason(&self, rule: &str) -> String {
        self.guard.map_or_else(|| rule.to_owned(), |guard| guard.name().to_owned())
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
                reason: self.reason(decision.reason.as_str()),
                reference_reading: decision.explanation.reference.clone(),
                answer_reading: decision.explanation.answer.clone(),
            },
            None => {
                let (verdict, reason) = match &answer {
                    Some(_) => (AnswerVerdict::Undecided, "no_rules"),
                    None => (AnswerVerdict::Different, math::Reason::NotFound.as_str()),
                };
                let (reference_reading, answer_reading) = (String::new(), String::new());
                let reason = self.reason(reason);
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
