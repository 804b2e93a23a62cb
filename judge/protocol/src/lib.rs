//! Wire types of the judge: what clients, the judge and the trainer share.
//!
//! Only shapes live here: no validation beyond what the types say, no I/O, no verdict rules. Every
//! request type refuses unknown fields, so that a misspelt option is an error and not a silent
//! default. Numbers carry their unit in the name; times are milliseconds, sizes are bytes.
#![forbid(unsafe_code)]

mod answer;
mod batch;
mod checker;
mod error;
mod language;
pub mod object;
mod problem;
mod result;
mod reward;
mod run;
mod session;
mod stats;
mod submission;
mod suite;

pub use answer::{
    AnswerProblem, AnswerResult, AnswerType, AnswerVerdict, ExtractionRule, FreeFormProblem,
    JudgeOptions, ListOrderRule, MathPolicy, MathProblem, Normalization, NumericRule, PercentRule,
    SymbolRule, Undecided, UnitRule, VoteMode,
};
pub use batch::{BatchState, BatchStatus, GroupResult, Priority, RolloutGroup};
pub use checker::{Checker, CheckerSchema};
pub use error::{ErrorBody, ErrorDetail};
pub use language::{AssertionProof, LanguageInfo, LanguagesResponse, Runtime};
pub use problem::{
    AssertionsProblem, CallCase, DmojProblem, FileContent, FunctionProblem, HelperProgram,
    InputOutputProblem, LivecodebenchProblem, LivecodebenchTest, Problem, ProblemSchema,
    StdioProblem, TestCase, TestGroup,
};
pub use result::{
    Closeness, CompileResult, Extraction, Failure, FailureClass, JudgeResponse, Points,
    StageResult, SubmissionResult, TestResult, Verdict,
};
pub use reward::{
    ComponentKind, ComponentResult, ComponentSpec, FormatSpec, JudgeResult, JudgeVote,
    JudgeVoteVerdict, RewardSpec,
};
pub use run::{RunRequest, RunResponse, Termination};
pub use session::{
    CellError, CellOutput, CellStatus, CheckResult, Display, ExecuteReply, ExecuteRequest,
    ExecuteResponse, FileInfo, FileKind, FilesResponse, MimeBundle, NotebookCell, NotebookCheck,
    NotebookGrade, NotebookRequest, NotebookResponse, OnError, OpenRequest, SessionEvent,
    SessionInfo, SessionState, SessionsResponse, StopReason,
};
pub use stats::{
    CacheStats, JudgeStats, LayerStats, ProcessStats, QueueStats, RecentResponse, RecentSummary,
    SecondStats, SlotStats, StageStats, StatsResponse, ThroughputStats,
};
pub use submission::{Feedback, JudgeRequest, Limits, OnFlag, Scoring, Submission};
pub use suite::{
    BaseTree, ExpectedTest, NamedTest, OnProtected, RepositoryProblem, TestRun, UnitTestsProblem,
};
