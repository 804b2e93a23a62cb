//! What comes back for a submission.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::AnswerResult;
use crate::batch::GroupResult;
use crate::language::Runtime;
use crate::reward::{ComponentResult, JudgeResult};

/// Reply of `POST /v1/judge` without streaming: results in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgeResponse {
    /// One result for each submission.
    pub results: Vec<SubmissionResult>,
    /// What each group came to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupResult>,
}

/// What was found about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did what the test asks.
    Accepted,
    /// It ended well with a wrong answer, failed an assertion, or left before the assertions did.
    WrongAnswer,
    /// It used more processor time than allowed.
    TimeLimitExceeded,
    /// It took longer on the clock than allowed.
    WallTimeLimitExceeded,
    /// It used more memory than allowed.
    MemoryLimitExceeded,
    /// It wrote more than allowed.
    OutputLimitExceeded,
    /// It ended with a signal or an exit code other than 0.
    RuntimeError,
    /// It could not be compiled.
    CompileError,
    /// A test that must be there was not.
    NotCollected,
    /// It is a patch that could not be applied.
    PatchError,
}

/// The result of one submission.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionResult {
    /// The submission's id, null where it had none.
    pub id: Option<String>,
    /// The submission's position in the request, from 0.
    pub index: usize,
    /// The place of this result in a stream, from 1: a stream of a batch goes on after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The submission's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The reward; null exactly where `valid` is false.
    pub reward: Option<f64>,
    /// Whether the reward may be used. False means that the judge failed, not the program.
    pub valid: bool,
    /// The verdict of the first test that was not accepted; null exactly where `valid` is false.
    pub verdict: Option<Verdict>,
    /// One entry for each test, in order.
    pub tests: Vec<TestResult>,
    /// What the compiler said; null where the language has none, or nothing was compiled.
    pub compile: Option<CompileResult>,
    /// How the judge failed; null where it did not.
    pub failure: Option<Failure>,
    /// Observations beside the verdict, such as `incomplete` and `no_code`.
    pub flags: Vec<String>,
    /// How program or answer was taken from the completion; null where it was given as it is.
    pub extraction: Option<Extraction>,
    /// How the rules judged an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerResult>,
    /// How a reward model judged it, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeResult>,
    /// The parts of the reward, where the submission says how it is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentResult>,
    /// What became of each stage, in order.
    pub stages: Vec<StageResult>,
    /// The points of all tests together; null where nothing was judged.
    pub points: Option<Points>,
    /// Whether the verdict was known from an equal submission.
    pub cached: bool,
    /// Whether tests and compiler output were left out because too many results were kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trimmed: bool,
    /// What ran the program; null where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
}

/// Points of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Points {
    /// What it earned.
    pub earned: f64,
    /// What there was to earn.
    pub total: f64,
}

/// What became of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageResult {
    /// `extract`, `apply`, `compile`, `run` or `grade`.
    pub stage: String,
    /// `ok`, `failed`, or `skipped` because an earlier one failed.
    pub outcome: String,
    /// How it failed, as a word that does not change: `patch_does_not_apply`, `build_failed`,
    /// `tests_not_collected`, `newly_passing_failed`, `still_passing_broken`, `tests_failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What went wrong, for whoever wrote the program.
    pub message: Option<String>,
}

/// How close a run came to its limits, each as a part of the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Closeness {
    /// Processor time.
    pub cpu_time: f64,
    /// Time on the clock.
    pub wall_time: f64,
    /// Memory.
    pub memory: f64,
    /// The longer of the two output streams.
    pub output: f64,
}

/// The result of one test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestResult {
    /// Null where the test was skipped.
    pub verdict: Option<Verdict>,
    /// Whether the test was not run, because an earlier one failed and `stop_early` was asked for.
    pub skipped: bool,
    /// Processor time of all processes.
    pub cpu_time_ms: f64,
    /// Time on the clock.
    pub wall_time_ms: f64,
    /// Largest memory at any moment.
    pub peak_memory_bytes: u64,
    /// Exit code, where the program ended by itself.
    pub exit_code: Option<i32>,
    /// Signal, where one ended the program.
    pub signal: Option<i32>,
    /// The first part of standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Whether there was more standard output than is shown.
    pub stdout_truncated: bool,
    /// The first part of standard error; bytes that are no UTF-8 are replaced.
    pub stderr: String,
    /// Whether there was more standard error than is shown.
    pub stderr_truncated: bool,
    /// Its name, where tests have names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `fail_to_pass` or `pass_to_pass`, where the problem has such lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The part of its points that it earned; null where it was skipped.
    pub score: Option<f64>,
    /// What the checker said to the program's author, or why the result is not the right one.
    pub message: Option<String>,
    /// How close the run came to its limits; null where it was skipped.
    pub closeness: Option<Closeness>,
    /// Whether a limit was met while the machine was busy, and the run made again alone.
    pub confirmed: bool,
    /// The first part of its input; null where it is hidden or not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The first part of its answer; null where it is hidden or not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What the program and the interactor said to each other; null where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
}

/// What the compiler said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CompileResult {
    /// Whether there is a program to run.
    pub ok: bool,
    /// Which limit the compiler met, or how else it failed; null where it did not.
    pub message: Option<String>,
    /// Processor time of all processes.
    pub cpu_time_ms: f64,
    /// Time on the clock.
    pub wall_time_ms: f64,
    /// Largest memory at any moment.
    pub peak_memory_bytes: u64,
    /// The first part of standard output.
    pub stdout: String,
    /// Whether there was more standard output than is shown.
    pub stdout_truncated: bool,
    /// The first part of standard error.
    pub stderr: String,
    /// Whether there was more standard error than is shown.
    pub stderr_truncated: bool,
}

/// A failure of the judge: never a verdict, never a reward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// What kind of failure.
    pub class: FailureClass,
    /// Whether the same submission may succeed when sent again.
    pub retryable: bool,
    /// A sentence for people.
    pub message: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The sandbox or the machine under it failed.
    Infrastructure,
    /// The service was stopped before the submission was judged.
    Shutdown,
    /// No rule decides and no reward model gave a usable verdict; or the problem failed: its checker,
    /// interactor or generator did not do its work.
    Judge,
    /// A flag was raised, and flags make results invalid.
    Flagged,
    /// There was no result within the deadline that the request gave.
    Deadline,
    /// The batch was cancelled before the submission was judged.
    Cancelled,
}

/// How program or answer was taken from the completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Extraction {
    /// The rule that found it, such as `tagged_fence`, or why none was found.
    #[schema(examples("tagged_fence"))]
    pub rule: String,
}
