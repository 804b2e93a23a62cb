//! What is known of a submission at the end, and how it goes on the wire.

use std::time::Duration;

use bytes::Bytes;
use protocol::{CompileResult, FailureClass, RunResponse, SubmissionResult, TestResult};
use sandbox::Outcome;
use sandbox::outcome::{Captured, Termination, Usage};

use crate::answer::AnswerReport;
use crate::compile::Compiled;
use crate::grade::{Flag, Grade, Verdict};
use crate::limits::{STREAM_HEAD_BYTES, SUBMISSION_HEAD_BYTES};
use crate::reward;

/// What is known of a submission at the end.
#[derive(Clone, Debug)]
pub struct Report {
    /// The submission's id.
    pub id: Option<String>,
    /// Its position in the request.
    pub index: usize,
    /// How its program or answer was found, where it was a completion.
    pub extraction: Option<&'static str>,
    /// The verdict, or how we failed: never both, never neither.
    pub judgement: Result<Judgement, JudgeFailure>,
    /// How rules judged it, where it is an answer.
    pub answer: Option<AnswerReport>,
    /// How a reward model judged it, where one was asked.
    pub judge: Option<protocol::JudgeResult>,
    /// What a value head says of it, where one was asked.
    pub value_head: Option<f64>,
    /// How its reward is made.
    pub reward: reward::Plan,
}

/// What was found about a program.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// One entry for each test; `None` where it was skipped.
    pub tests: Vec<Option<TestReport>>,
    /// What the compiler said.
    pub compile: Option<CompileReport>,
    /// Observations, sorted, each once.
    pub flags: Vec<Flag>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct TestReport {
    /// The verdict.
    pub verdict: Verdict,
    termination: Termination,
    usage: Usage,
    stdout: Head,
    stderr: Head,
}

/// What the compiler said.
#[derive(Clone, Debug)]
pub struct CompileReport {
    message: Option<String>,
    usage: Usage,
    stdout: Head,
    stderr: Head,
}

/// A program that was run without judging.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// How it ended, what it used and wrote; `None` where it was not run.
    pub ran: Option<(Termination, Usage, Head, Head)>,
    /// What the compiler said.
    pub compile: Option<CompileReport>,
}

/// How we failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JudgeFailure {
    /// What kind of failure.
    pub class: FailureKind,
    /// Whether trying again may help.
    pub retry: Retry,
    /// For the client.
    pub message: &'static str,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The sandbox or the machine under it.
    Infrastructure,
    /// The service is stopping.
    Shutdown,
    /// No rule decides, and no reward model gave a usable verdict.
    Judge,
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// At once, in another slot.
    Now,
    /// Later, by the client.
    Later,
    /// Not before something is repaired.
    Never,
}

/// The first part of an output stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    bytes: Bytes,
    truncated: bool,
}

/// How much output the reply to one submission may still show.
#[derive(Debug)]
pub struct HeadBudget(usize);

impl Default for HeadBudget {
    fn default() -> Self {
        Self(SUBMISSION_HEAD_BYTES)
    }
}

impl HeadBudget {
    /// The first part of `captured`, as far as the budget goes.
    pub fn take(&mut self, captured: &Captured) -> Head {
        let length = captured.bytes.len().min(STREAM_HEAD_BYTES).min(self.0);
        self.0 -= length;
        // A copy, so that the reply does not hold the whole of a large output in memory.
        let bytes = Bytes::copy_from_slice(&captured.bytes[..length]);
        Head { bytes, truncated: captured.truncated || length < captured.bytes.len() }
    }
}

impl Head {
    /// The text; a character that the cut went through is left out.
    fn text(&self) -> String {
        let whole = match std::str::from_utf8(&self.bytes) {
            Err(error) if self.truncated && error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.bytes.len(),
        };
        String::from_utf8_lossy(&self.bytes[..whole]).into_owned()
    }
}

impl TestReport {
    /// What is kept of a graded outcome.
    pub fn new(outcome: &Outcome, grade: Grade, budget: &mut HeadBudget) -> Self {
        let stdout = Captured { bytes: grade.stdout, truncated: outcome.stdout.truncated };
        Self {
            verdict: grade.verdict,
            termination: outcome.termination,
            usage: outcome.usage,
            stdout: budget.take(&stdout),
            stderr: budget.take(&outcome.stderr),
        }
    }

    fn to_wire(&self) -> TestResult {
        let (exit_code, signal) = match self.termination {
            Termination::Exited { code } => (Some(code), None),
            Termination::Signalled { signal } => (None, Some(signal)),
            Termination::CpuTimeLimit
            | Termination::WallTimeLimit
            | Termination::MemoryLimit
            | Termination::OutputLimit => (None, None),
        };
        TestResult {
            verdict: Some(self.verdict.into()),
            skipped: false,
            cpu_time_ms: milliseconds(self.usage.cpu_time),
            wall_time_ms: milliseconds(self.usage.wall_time),
            peak_memory_bytes: self.usage.peak_memory.0,
            exit_code,
            signal,
            stdout: self.stdout.text(),
            stdout_truncated: self.stdout.truncated,
            stderr: self.stderr.text(),
            stderr_truncated: self.stderr.truncated,
        }
    }

    /// What the test used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }
}

impl CompileReport {
    /// What is kept of a compilation.
    pub fn new(compiled: &Compiled, budget: &mut HeadBudget) -> Self {
        Self {
            message: compiled.artifacts.as_ref().err().cloned(),
            usage: compiled.usage,
            stdout: budget.take(&compiled.stdout),
            stderr: budget.take(&compiled.stderr),
        }
    }

    fn to_wire(&self) -> CompileResult {
        CompileResult {
            ok: self.message.is_none(),
            message: self.message.clone(),
            cpu_time_ms: milliseconds(self.usage.cpu_time),
            wall_time_ms: milliseconds(self.usage.wall_time),
            peak_memory_bytes: self.usage.peak_memory.0,
            stdout: self.stdout.text(),
            stdout_truncated: self.stdout.truncated,
            stderr: self.stderr.text(),
            stderr_truncated: self.stderr.truncated,
        }
    }
}

impl Report {
    /// A report with nothing beside its judgement.
    #[must_use]
    pub fn new(
        id: Option<String>,
        index: usize,
        judgement: Result<Judgement, JudgeFailure>,
    ) -> Self {
        Self {
            id,
            index,
            extraction: None,
            judgement,
            answer: None,
            judge: None,
            value_head: None,
            reward: reward::Plan::default(),
        }
    }

    /// What is found, as far as rewards are concerned.
    fn facts(&self, judgement: &Judgement) -> reward::Facts {
        let tests = self.answer.is_none().then(|| reward::reward(judgement.verdict));
        reward::Facts {
            accepted: judgement.verdict == Verdict::Accepted,
            tests,
            rules: self.answer.as_ref().and_then(AnswerReport::rules),
            judge: self.judge.as_ref().map(|judge| judge.score),
            value_head: self.value_head,
        }
    }

    /// The result for the client.
    #[must_use]
    pub fn to_wire(&self) -> SubmissionResult {
        let empty = SubmissionResult {
            id: self.id.clone(),
            index: self.index,
            extraction: self.extraction.map(|rule| protocol::Extraction { rule: rule.to_owned() }),
            answer: self.answer.as_ref().map(AnswerReport::to_wire),
            judge: self.judge.clone(),
            ..SubmissionResult::default()
        };
        match &self.judgement {
            Err(failure) => SubmissionResult { failure: Some(failure.to_wire()), ..empty },
            Ok(judgement) => {
                let composition = reward::compose(&self.reward, &self.facts(judgement));
                SubmissionResult {
                    reward: Some(composition.reward),
                    valid: true,
                    verdict: Some(judgement.verdict.into()),
                    tests: judgement.tests.iter().map(test_to_wire).collect(),
                    compile: judgement.compile.as_ref().map(CompileReport::to_wire),
                    flags: judgement.flags.iter().map(|flag| flag.name().to_owned()).collect(),
                    components: composition.parts,
                    ..empty
                }
            }
        }
    }
}

fn test_to_wire(test: &Option<TestReport>) -> TestResult {
    let skipped = || TestResult { skipped: true, ..TestResult::default() };
    test.as_ref().map_or_else(skipped, TestReport::to_wire)
}

impl RunReport {
    /// The reply for the client; `failure` where the run could not be made.
    #[must_use]
    pub fn to_wire(report: &Result<Self, JudgeFailure>) -> RunResponse {
        let ran = report.as_ref().ok().and_then(|report| report.ran.clone());
        let (termination, usage, stdout, stderr) = match ran {
            Some((termination, usage, stdout, stderr)) => {
                (Some(termination), usage, stdout, stderr)
            }
            None => (None, Usage::default(), Head::default(), Head::default()),
        };
        let compile = report.as_ref().ok().and_then(|report| report.compile.as_ref());
        RunResponse {
            termination: termination.map(termination_to_wire),
            cpu_time_ms: milliseconds(usage.cpu_time),
            wall_time_ms: milliseconds(usage.wall_time),
            peak_memory_bytes: usage.peak_memory.0,
            stdout: stdout.text(),
            stdout_truncated: stdout.truncated,
            stderr: stderr.text(),
            stderr_truncated: stderr.truncated,
            compile: compile.map(CompileReport::to_wire),
            failure: report.as_ref().err().map(JudgeFailure::to_wire),
        }
    }
}

impl JudgeFailure {
    fn to_wire(&self) -> protocol::Failure {
        let class = match self.class {
            FailureKind::Infrastructure => FailureClass::Infrastructure,
            FailureKind::Shutdown => FailureClass::Shutdown,
            FailureKind::Judge => FailureClass::Judge,
        };
        let retryable = match self.retry {
            Retry::Now | Retry::Later => true,
            Retry::Never => false,
        };
        protocol::Failure { class, retryable, message: self.message.to_owned() }
    }
}

impl From<Verdict> for protocol::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accepted => Self::Accepted,
            Verdict::WrongAnswer => Self::WrongAnswer,
            Verdict::TimeLimitExceeded => Self::TimeLimitExceeded,
            Verdict::WallTimeLimitExceeded => Self::WallTimeLimitExceeded,
            Verdict::MemoryLimitExceeded => Self::MemoryLimitExceeded,
            Verdict::OutputLimitExceeded => Self::OutputLimitExceeded,
            Verdict::RuntimeError => Self::RuntimeError,
            Verdict::CompileError => Self::CompileError,
        }
    }
}

fn termination_to_wire(termination: Termination) -> protocol::Termination {
    match termination {
        Termination::Exited { code } => protocol::Termination::Exited { code },
        Termination::Signalled { signal } => protocol::Termination::Signalled { signal },
        Termination::CpuTimeLimit => protocol::Termination::CpuTimeLimit,
        Termination::WallTimeLimit => protocol::Termination::WallTimeLimit,
        Termination::MemoryLimit => protocol::Termination::MemoryLimit,
        Termination::OutputLimit => protocol::Termination::OutputLimit,
    }
}

/// Milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(bytes: usize) -> Captured {
        Captured { bytes: Bytes::from(vec![b'a'; bytes]), truncated: false }
    }

    #[test]
    fn a_stream_is_shown_up_to_its_bound() {
        let mut budget = HeadBudget::default();
        assert!(!budget.take(&captured(STREAM_HEAD_BYTES)).truncated);
        let head = budget.take(&captured(STREAM_HEAD_BYTES + 1));
        assert!(head.truncated);
        assert_eq!(head.bytes.len(), STREAM_HEAD_BYTES);
    }

    #[test]
    fn all_streams_of_a_submission_share_a_budget() {
        let mut budget = HeadBudget::default();
        for _ in 0..SUBMISSION_HEAD_BYTES / STREAM_HEAD_BYTES {
            assert!(!budget.take(&captured(STREAM_HEAD_BYTES)).truncated);
        }
        let head = budget.take(&captured(1));
        assert!(head.truncated && head.bytes.is_empty());
        assert!(!budget.take(&captured(0)).truncated);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_a_cut_character_is_left_out() {
        let head =
            |bytes: &'static [u8], truncated| Head { bytes: Bytes::from_static(bytes), truncated };
        assert_eq!(head(b"a\xffb", false).text(), "a\u{fffd}b");
        assert_eq!(head(b"a\xc3", true).text(), "a");
        assert_eq!(head(b"a\xc3", false).text(), "a\u{fffd}");
    }

    #[test]
    fn a_failure_of_ours_has_no_verdict_and_no_reward() {
        let failure = JudgeFailure {
            class: FailureKind::Infrastructure,
            retry: Retry::Now,
            message: "a slot failed",
        };
        let report = Report::new(None, 0, Err(failure));
        let wire = report.to_wire();
        assert_eq!((wire.reward, wire.valid, wire.verdict), (None, false, None));
        assert!(wire.failure.unwrap().retryable);
    }
}
