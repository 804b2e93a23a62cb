//! Running a program without judging it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::object;

use crate::language::Runtime;
use crate::result::{CompileResult, Failure};
use crate::submission::Limits;

/// Body of `POST /v1/run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RunRequest {
    /// A name or alias of `GET /v1/languages`.
    #[schema(examples("python"))]
    pub language: String,
    /// The image that it runs in; where left out, the first of `GET /v1/languages` that has the
    /// language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The program.
    pub source: String,
    /// What it reads.
    #[serde(default)]
    pub stdin: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Files in the folder in which it starts: relative path to content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

object!(RunRequest);

/// Reply of `POST /v1/run`: the facts of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunResponse {
    /// What ran it; null where nothing was run.
    pub runtime: Option<Runtime>,
    /// How the program ended; null where it was not run.
    pub termination: Option<Termination>,
    /// Processor time of all processes.
    pub cpu_time_ms: f64,
    /// Time on the clock.
    pub wall_time_ms: f64,
    /// Largest memory at any moment.
    pub peak_memory_bytes: u64,
    /// The first part of standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Whether there was more standard output than is shown.
    pub stdout_truncated: bool,
    /// The first part of standard error; bytes that are no UTF-8 are replaced.
    pub stderr: String,
    /// Whether there was more standard error than is shown.
    pub stderr_truncated: bool,
    /// What the compiler said; null where the language has none.
    pub compile: Option<CompileResult>,
    /// How the judge failed; null where it did not.
    pub failure: Option<Failure>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Termination {
    /// By itself.
    Exited {
        /// Exit code.
        code: i32,
    },
    /// By a signal.
    Signalled {
        /// Signal number.
        signal: i32,
    },
    /// Stopped at the limit of processor time.
    CpuTimeLimit,
    /// Stopped at the limit of time on the clock.
    WallTimeLimit,
    /// Stopped at the limit of memory.
    MemoryLimit,
    /// Stopped at the limit of output.
    OutputLimit,
}
