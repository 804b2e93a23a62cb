//! Stateful sessions: an interpreter or a shell that is kept, and what it says in Jupyter's shapes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::object::object;

use crate::checker::Checker;
use crate::problem::FileContent;
use crate::result::Failure;
use crate::submission::Limits;

/// Body of `POST /v1/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct OpenRequest {
    /// `python` (the default) or `bash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// In place of a language: the name of a Jupyter kernel that the image has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(examples("python3"))]
    pub kernel: Option<String>,
    /// The image that it runs in; where left out, the first of `GET /v1/languages` that has the
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it may use: cpu time, wall time and output are for each cell, the others for the session.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// How long it lives at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live_ms: Option<u64>,
    /// How long it lives when nobody asks anything of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_time_ms: Option<u64>,
    /// Files in the folder in which it starts: relative path to content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileContent>,
}

object!(OpenRequest);

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Waits for a cell.
    Idle,
    /// Runs a cell.
    Busy,
    /// Its interpreter has ended and its state is lost; its files are there, and it can be restarted.
    Dead,
}

/// Why an interpreter, or a cell before its time, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The cell used its processor time.
    CpuTimeLimit,
    /// The cell used its time on the clock.
    WallTimeLimit,
    /// All processes together used the memory of the session.
    MemoryLimit,
    /// The cell said more than it may.
    OutputLimit,
    /// Processor time was used while no cell ran.
    IdleCpuTimeLimit,
    /// The client asked for it.
    Interrupted,
    /// The client of the cell closed its connection.
    ClientGone,
    /// The client restarted the interpreter.
    Restarted,
    /// The session was closed.
    Closed,
    /// The session's time to live was over.
    TimeToLive,
    /// Nobody asked anything of the session for too long.
    IdleTime,
    /// The interpreter ended by itself, or one of its cells ended it.
    Exited,
    /// The slot failed, through no fault of the session.
    SlotFailed,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionInfo {
    /// Names it in paths.
    pub id: String,
    /// `python`, `bash`, or the kernel's name.
    pub engine: String,
    /// The image that it runs in.
    pub image: String,
    /// What it is doing.
    pub state: SessionState,
    /// Why it is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<StopReason>,
    /// Cells that have run.
    pub cells: u64,
    /// Cells that wait for their turn.
    pub queued: usize,
    /// Time until it is closed whatever it does.
    pub time_to_live_ms: u64,
    /// Time until it is closed where nobody asks anything of it.
    pub idle_time_ms: u64,
    /// What it may use.
    pub limits: Limits,
}

/// Reply of `GET /v1/sessions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionsResponse {
    /// The open sessions, oldest first.
    pub sessions: Vec<SessionInfo>,
    /// How many can be open at once.
    pub open_max: usize,
}

/// Body of `POST /v1/sessions/{id}/execute`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ExecuteRequest {
    /// A cell, or a command of a shell.
    pub code: String,
    /// Whether it is left out of the count of cells.
    #[serde(default)]
    pub silent: bool,
    /// Processor time of this cell, where it differs from the session's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_time_ms: Option<u64>,
    /// Time on the clock of this cell, where it differs from the session's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_time_ms: Option<u64>,
}

object!(ExecuteRequest);

/// Data by mime type, as Jupyter has it: text, images in base64, JSON.
pub type MimeBundle = Map<String, Value>;

/// One line of a cell's stream: a message in Jupyter's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "msg_type", content = "content", rename_all = "snake_case")]
pub enum SessionEvent {
    /// What the session does.
    Status {
        /// `busy` when the cell begins, `idle` when it has ended, `dead` where the interpreter has.
        execution_state: String,
    },
    /// Text that was printed.
    Stream {
        /// `stdout` or `stderr`.
        name: String,
        /// The text.
        text: String,
    },
    /// Something shown.
    DisplayData(Display),
    /// Something shown anew.
    UpdateDisplayData(Display),
    /// The value of the cell's last expression.
    ExecuteResult(Display),
    /// What was shown before is to be removed.
    ClearOutput {
        /// Whether only when there is something in its place.
        wait: bool,
    },
    /// An error that ended the cell.
    Error(CellError),
    /// The last line: how the cell ended.
    ExecuteReply(ExecuteReply),
}

/// An object in the formats that it has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Display {
    /// By mime type.
    #[schema(value_type = Object)]
    pub data: MimeBundle,
    /// What is said of them.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: MimeBundle,
    /// The count of the cell whose value it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_count: Option<u64>,
    /// What is not kept in a notebook: the id by which it is shown anew.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub transient: MimeBundle,
}

/// An error that ended a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CellError {
    /// Its name.
    pub ename: String,
    /// What it says.
    pub evalue: String,
    /// Where it happened, a line each.
    pub traceback: Vec<String>,
}

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellStatus {
    /// To its end.
    Ok,
    /// With an error, or a command with an exit code that is not 0.
    Error,
    /// The interpreter ended, or the cell did not run at all.
    Aborted,
}

/// The end of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExecuteReply {
    /// How it ended.
    pub status: CellStatus,
    /// Cells of the interpreter so far; for a shell, of the session.
    pub execution_count: u64,
    /// The exit code of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it was stopped; null where it ended by itself.
    pub stopped: Option<StopReason>,
    /// Whether output was left out.
    pub truncated: bool,
    /// What the session is doing now.
    pub state: SessionState,
    /// Processor time that was used.
    pub cpu_time_ms: f64,
    /// Time on the clock.
    pub wall_time_ms: f64,
}

/// Reply of `POST /v1/sessions/{id}/execute` where it is not streamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExecuteResponse {
    /// How it ended.
    #[serde(flatten)]
    pub reply: ExecuteReply,
    /// What it showed, as a notebook keeps it.
    pub outputs: Vec<CellOutput>,
}

/// An output as a notebook keeps it (nbformat 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "output_type", rename_all = "snake_case")]
pub enum CellOutput {
    /// Text that was printed.
    Stream {
        /// `stdout` or `stderr`.
        name: String,
        /// The text.
        text: String,
    },
    /// Something shown.
    DisplayData {
        /// By mime type.
        #[schema(value_type = Object)]
        data: MimeBundle,
        /// What is said of them.
        #[schema(value_type = Object)]
        metadata: MimeBundle,
    },
    /// The value of the cell's last expression.
    ExecuteResult {
        /// By mime type.
        #[schema(value_type = Object)]
        data: MimeBundle,
        /// What is said of them.
        #[schema(value_type = Object)]
        metadata: MimeBundle,
        /// The count of the cell.
        execution_count: Option<u64>,
    },
    /// An error that ended the cell.
    Error(CellError),
}

/// What an entry of a session's folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A file that can be fetched.
    File,
    /// A folder.
    Folder,
    /// Something else: a link, a pipe, a socket.
    Other,
}

/// A file of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileInfo {
    /// Below the folder in which the session started.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Its size; null where it is no file.
    pub bytes: Option<u64>,
}

/// Reply of `GET /v1/sessions/{id}/files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilesResponse {
    /// Each folder before what is in it.
    pub files: Vec<FileInfo>,
    /// Whether there are more than are listed.
    pub truncated: bool,
}

/// What happens to the cells after one that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// They do not run.
    #[default]
    Stop,
    /// They run.
    Continue,
}

/// Body of `POST /v1/notebooks/run`: a session for one notebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NotebookRequest {
    /// The notebook, as JSON (nbformat 4).
    #[schema(value_type = Object)]
    pub notebook: Value,
    /// `python` or `bash`; where left out, what the notebook's kernelspec says, or `python`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// In place of a language: the name of a Jupyter kernel that the image has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The image that it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it may use: cpu time, wall time and output are for each cell, the others for all.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Time on the clock of all cells together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_time_ms: Option<u64>,
    /// What happens to the cells after one that failed.
    #[serde(default)]
    pub on_error: OnError,
    /// Files in the folder in which it starts: relative path to content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileContent>,
    /// Files to hand back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetch_files: Vec<String>,
    /// What grades it: cells that run after the notebook's own, which it does not see beforehand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<NotebookCheck>,
}

object!(NotebookRequest);

/// A cell that runs after a notebook's own. What it shows is compared outside with what is expected,
/// which never comes near the notebook: a cell that shares its interpreter can pretend to anything but
/// to what it does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NotebookCheck {
    /// Its code, such as `solve(12)`.
    pub code: String,
    /// What it must show: its standard output, and the text of its value after it.
    pub expected: String,
    /// How the two are compared.
    #[serde(default)]
    #[schema(value_type = crate::checker::CheckerSchema)]
    pub checker: Checker,
    /// What it counts.
    #[serde(default = "one")]
    pub points: f64,
}

object!(NotebookCheck);

fn one() -> f64 {
    1.0
}

/// What became of a cell of a notebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotebookCell {
    /// Its position among all cells of the notebook.
    pub index: usize,
    /// How it ended; null where it did not run.
    pub reply: Option<ExecuteReply>,
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckResult {
    /// Whether it showed what was expected.
    pub passed: bool,
    /// How its cell ended; null where it did not run.
    pub reply: Option<ExecuteReply>,
    /// What it showed.
    pub shown: String,
}

/// What the checks found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotebookGrade {
    /// The part of the points that was earned.
    pub fraction: f64,
    /// Points that were earned.
    pub points: f64,
    /// Points that there were.
    pub points_max: f64,
    /// In the order of the request.
    pub checks: Vec<CheckResult>,
}

/// Reply of `POST /v1/notebooks/run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotebookResponse {
    /// The notebook, with the outputs of the cells that ran.
    #[schema(value_type = Object)]
    pub notebook: Value,
    /// Its code cells.
    pub cells: Vec<NotebookCell>,
    /// The files that were asked for and are there.
    pub files: BTreeMap<String, FileContent>,
    /// What the checks found; null where there were none, or where we failed.
    pub grade: Option<NotebookGrade>,
    /// 1 where every check passed, else 0; null without checks, or where we failed.
    pub reward: Option<f64>,
    /// Whether the reward may be used.
    pub valid: bool,
    /// How we failed; null where we did not.
    pub failure: Option<Failure>,
}
