//! What is known of a submission at the end, and how it goes on the wire.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    Closeness, CompileResult, FailureClass, Feedback, OnFlag, RunResponse, Scoring,
    SubmissionResult, TestResult,
};
use sandbox::outcome::{Captured, Termination, Usage};
use sandbox::{Limits, Outcome};

use crate::answer::AnswerReport;
use crate::companions::Pair;
use crate::compile::Compiled;
use crate::grade::{Grade, Mark, Verdict};
use crate::limits::{STREAM_HEAD_BYTES, SUBMISSION_HEAD_BYTES};
use crate::problem::TestInfo;
use crate::reward;
use crate::slots::Runtime;
use crate::submission::Reply;

mod judgement;
mod suite;

pub use judgement::{Judgement, StageNotes};

/// What is known of a submission at the end.
#[derive(Clone, Debug)]
pub struct Report {
    /// The submission's id.
    pub id: Option<String>,
    /// Its position in the request.
    pub index: usize,
    /// Its place among the results of the request, where there are several.
    pub number: Option<u64>,
    /// Its group.
    pub group: Option<String>,
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
    /// What the reply tells.
    pub reply: Reply,
    /// Whether the verdict was known from an equal submission.
    pub cached: bool,
    /// What ran the program, where there was one.
    pub runtime: Option<Runtime>,
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
    fraction: f64,
    message: Option<String>,
    name: Option<String>,
    list: Option<&'static str>,
    closeness: Closeness,
    hidden: bool,
    confirmed: bool,
    input: Head,
    answer: Head,
    transcript: Option<Bytes>,
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
    /// What ran it.
    pub runtime: Runtime,
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
    pub message: Cow<'static, str>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The sandbox or the machine under it.
    Infrastructure,
    /// The service is stopping.
    Shutdown,
    /// No rule decides, and no reward model gave a usable verdict; or the problem failed.
    Judge,
    /// There was no result within the deadline of the request.
    Deadline,
    /// The batch was cancelled.
    Cancelled,
}

impl FailureKind {
    /// Its name, as on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Infrastructure => "infrastructure",
            Self::Shutdown => "shutdown",
            Self::Judge => "judge",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
        }
    }
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
    pub fn new(outcome: Outcome, grade: Grade, limits: &Limits, budget: &mut HeadBudget) -> Self {
        let stdout = Captured { bytes: grade.stdout, truncated: outcome.stdout.truncated };
        Self {
            verdict: grade.verdict,
            termination: outcome.termination,
            usage: outcome.usage,
            closeness: closeness(&outcome, limits),
            stdout: budget.take(&stdout),
            stderr: budget.take(&outcome.stderr),
            fraction: grade.fraction,
            message: grade.message,
            name: None,
            list: None,
            hidden: false,
            confirmed: false,
            input: Head::default(),
            answer: Head::default(),
            transcript: None,
        }
    }

    /// With what holds for the test, and whether a limit was confirmed.
    #[must_use]
    pub fn with_info(mut self, info: &TestInfo, confirmed: bool) -> Self {
        (self.hidden, self.confirmed) = (info.hidden, confirmed);
        self.name.clone_from(&info.name);
        self
    }

    /// With its data, which a test that is not accepted may show.
    #[must_use]
    pub fn with_data(
        mut self,
        pair: &Pair,
        transcript: Option<Bytes>,
        budget: &mut HeadBudget,
    ) -> Self {
        if self.verdict != Verdict::Accepted && !self.hidden {
            let captured = |bytes: &Bytes| Captured { bytes: bytes.clone(), truncated: false };
            self.input = budget.take(&captured(&pair.input));
            self.answer = budget.take(&captured(&pair.answer));
        }
        self.transcript = transcript;
        self
    }

    /// What it came to.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { accepted: self.verdict == Verdict::Accepted, fraction: self.fraction }
    }

    fn bytes(&self) -> usize {
        let heads = [&self.stdout, &self.stderr, &self.input, &self.answer];
        let heads: usize = heads.iter().map(|head| head.bytes.len()).sum();
        let message = self.message.as_ref().map_or(0, String::len);
        heads + message + self.transcript.as_ref().map_or(0, Bytes::len) + size_of::<Self>()
    }

    /// The test as `show` allows.
    fn to_wire(&self, show: Show) -> TestResult {
        let (exit_code, signal) = match self.termination {
            Termination::Exited { code } => (Some(code), None),
            Termination::Signalled { signal } => (None, Some(signal)),
            Termination::CpuTimeLimit
            | Termination::WallTimeLimit
            | Termination::MemoryLimit
            | Termination::OutputLimit => (None, None),
        };
        let mut wire = TestResult {
            verdict: Some(self.verdict.into()),
            skipped: false,
            cpu_time_ms: milliseconds(self.usage.cpu_time),
            wall_time_ms: milliseconds(self.usage.wall_time),
            peak_memory_bytes: self.usage.peak_memory.0,
            exit_code,
            signal,
            name: self.name.clone(),
            list: self.list.map(str::to_owned),
            score: Some(self.fraction),
            closeness: Some(self.closeness),
            confirmed: self.confirmed,
            ..TestResult::default()
        };
        if show == Show::Verdict || self.hidden {
            return wire;
        }
        let failed = self.verdict != Verdict::Accepted;
        let text = |head: &Head| failed.then(|| head.text());
        wire.stdout = self.stdout.text();
        wire.stdout_truncated = self.stdout.truncated;
        wire.stderr = self.stderr.text();
        wire.stderr_truncated = self.stderr.truncated;
        wire.message.clone_from(&self.message);
        (wire.input, wire.answer) = (text(&self.input), text(&self.answer));
        let transcript = self.transcript.as_ref();
        wire.transcript = transcript.map(|said| String::from_utf8_lossy(said).into_owned());
        wire
    }

    /// What the test used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }
}

/// What a reply tells of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// The verdict and what was used.
    Verdict,
    /// Everything.
    All,
}

/// How close a run came to its limits.
fn closeness(outcome: &Outcome, limits: &Limits) -> Closeness {
    let share = |used: f64, limit: f64| if limit > 0.0 { used / limit } else { 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "a share of bytes needs no exact bytes")]
    let bytes = |used: u64, limit: u64| share(used as f64, limit as f64);
    let time = |used: Duration, limit: Duration| share(used.as_secs_f64(), limit.as_secs_f64());
    let output = outcome.stdout.bytes.len().max(outcome.stderr.bytes.len());
    Closeness {
        cpu_time: time(outcome.usage.cpu_time, limits.cpu_time),
        wall_time: time(outcome.usage.wall_time, limits.wall_time),
        memory: bytes(outcome.usage.peak_memory.0, limits.memory.0),
        output: bytes(output as u64, limits.output.0),
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
            number: None,
            group: None,
            extraction: None,
            judgement,
            answer: None,
            judge: None,
            value_head: None,
            reward: reward::Plan::default(),
            reply: Reply::default(),
            cached: false,
            runtime: None,
        }
    }

    /// What is found, as far as rewards are concerned. What was flagged counts as not accepted where
    /// flags say so.
    fn facts(&self, judgement: &Judgement) -> reward::Facts {
        let zero = self.reply.on_flag == OnFlag::Zero && judgement.is_flagged();
        let tests = self.answer.is_none().then(|| match self.reply.scoring {
            _ if zero => 0.0,
            Scoring::All => reward::reward(judgement.verdict),
            Scoring::Points => judgement.points.fraction(),
        });
        reward::Facts {
            accepted: judgement.verdict == Verdict::Accepted && !zero,
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
            number: self.number,
            group: self.group.clone(),
            extraction: self.extraction.map(|rule| protocol::Extraction { rule: rule.to_owned() }),
            answer: self.answer.as_ref().map(AnswerReport::to_wire),
            judge: self.judge.clone(),
            runtime: self.runtime.map(Runtime::to_wire),
            ..SubmissionResult::default()
        };
        let judgement = match &self.judgement {
            Err(failure) => {
                return SubmissionResult { failure: Some(failure.to_wire()), ..empty };
            }
            Ok(judgement) => judgement,
        };
        let feedback = self.reply.feedback;
        let mut wire = SubmissionResult {
            verdict: Some(judgement.verdict.into()),
            flags: judgement.flags.iter().map(|flag| flag.name().to_owned()).collect(),
            points: self.answer.is_none().then_some(protocol::Points {
                earned: judgement.points.earned,
                total: judgement.points.total,
            }),
            cached: self.cached,
            ..empty
        };
        if feedback != Feedback::None {
            wire.tests = tests_to_wire(&judgement.tests, feedback);
            if self.answer.is_none() {
                wire.stages = judgement.stages(self.extraction);
            }
        }
        if matches!(feedback, Feedback::FirstFailure | Feedback::Full) {
            wire.compile = judgement.compile.as_ref().map(CompileReport::to_wire);
        }
        if self.reply.on_flag == OnFlag::Invalid && judgement.is_flagged() {
            wire.verdict = None;
            wire.failure = Some(protocol::Failure {
                class: FailureClass::Flagged,
                retryable: false,
                message: format!("flagged: {}", wire.flags.join(", ")),
            });
            return wire;
        }
        let composition = reward::compose(&self.reward, &self.facts(judgement));
        (wire.reward, wire.valid) = (Some(composition.reward), true);
        wire.components = composition.parts;
        wire
    }
}

fn tests_to_wire(tests: &[Option<TestReport>], feedback: Feedback) -> Vec<TestResult> {
    let failed = |test: &TestReport| test.verdict != Verdict::Accepted;
    let first = tests.iter().position(|test| test.as_ref().is_some_and(failed));
    let one = |(at, test): (usize, &Option<TestReport>)| match test {
        None => TestResult { skipped: true, ..TestResult::default() },
        Some(test) => test.to_wire(match feedback {
            Feedback::Full => Show::All,
            Feedback::FirstFailure if Some(at) == first => Show::All,
            Feedback::FirstFailure | Feedback::Verdict | Feedback::None => Show::Verdict,
        }),
    };
    tests.iter().enumerate().map(one).collect()
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
            runtime: report.as_ref().ok().map(|report| report.runtime.to_wire()),
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
    /// The failure for the client.
    #[must_use]
    pub fn to_wire(&self) -> protocol::Failure {
        let class = match self.class {
            FailureKind::Infrastructure => FailureClass::Infrastructure,
            FailureKind::Shutdown => FailureClass::Shutdown,
            FailureKind::Judge => FailureClass::Judge,
            FailureKind::Deadline => FailureClass::Deadline,
            FailureKind::Cancelled => FailureClass::Cancelled,
        };
        let retryable = match self.retry {
            Retry::Now | Retry::Later => true,
            Retry::Never => false,
        };
        protocol::Failure { class, retryable, message: self.message.to_string() }
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
            Verdict::NotCollected => Self::NotCollected,
            Verdict::PatchError => Self::PatchError,
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
            message: Cow::Borrowed("a slot failed"),
        };
        let report = Report::new(None, 0, Err(failure));
        let wire = report.to_wire();
        assert_eq!((wire.reward, wire.valid, wire.verdict), (None, false, None));
        assert!(wire.failure.unwrap().retryable);
    }
}
