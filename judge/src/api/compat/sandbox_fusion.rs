//! `SandboxFusion`: `/run_code`, `/run_jupyter`, `/submit` with `provided_data`, and what its clients ask
//! besides.
//!
//! verl counts tests by comparing outputs itself, so outputs are whole up to the limit of output, and
//! times are cpu times: `TimeLimitExceeded` means the program, never the load. A program that met its
//! limit of memory has the return code -9, one that met its limit of output -25, as the signals have
//! that would end it elsewhere, and `message` says so. There are no data sets here: rows come with the
//! request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use sandbox::Outcome;
use sandbox::outcome::Termination;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};
use super::program::{self, Program};
use crate::compile::Compiled;
use crate::execution::Execution;
use crate::limits::COMPAT_MEMORY;
use crate::plan::RunPlan;

mod jupyter;
mod rows;
mod submit;

/// Languages whose names differ from ours; what is not here is called alike.
const LANGUAGES: [(&str, &str); 4] =
    [("nodejs", "javascript"), ("D_ut", "d"), ("R", "r"), ("kotlin_script", "kotlin")];
/// Languages that are test frameworks or need devices.
const NOT_HERE: [&str; 9] =
    ["go_test", "sql", "cuda", "pytest", "junit", "jest", "verilog", "python_gpu", "gtest"];

pub(super) const PATHS: [&str; 8] = [
    "/run_code",
    "/run_jupyter",
    "/submit",
    "/list_datasets",
    "/list_ids",
    "/get_prompts",
    "/get_prompt_by_id",
    "/v1/ping",
];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/run_code", post(run_code))
        .route("/run_jupyter", post(jupyter::run_jupyter))
        .route("/submit", post(submit::submit))
        .route("/list_datasets", get(rows::list_datasets))
        .route("/list_ids", post(rows::list_ids))
        .route("/get_prompts", post(rows::get_prompts))
        .route("/get_prompt_by_id", post(rows::get_prompt_by_id))
        .route("/v1/ping", get(|| async { axum::Json("pong") }))
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct RunCodeRequest {
    code: String,
    language: String,
    #[serde(default = "ten")]
    compile_timeout: f64,
    #[serde(default = "ten")]
    run_timeout: f64,
    #[serde(default = "unlimited", rename = "memory_limit_MB")]
    memory_limit_mb: i64,
    #[serde(default)]
    stdin: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, Option<String>>,
    #[serde(default)]
    fetch_files: Vec<String>,
}

protocol::read_object!(RunCodeRequest);

fn ten() -> f64 {
    10.0
}

fn unlimited() -> i64 {
    -1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum RunStatus {
    Success,
    Failed,
    SandboxError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum CommandStatus {
    Finished,
    Error,
    TimeLimitExceeded,
}

#[derive(Clone, Debug, Serialize)]
struct CommandResult {
    status: CommandStatus,
    execution_time: f64,
    cpu_time: f64,
    return_code: Option<i32>,
    stdout: String,
    stderr: String,
}

#[derive(Clone, Debug, Serialize)]
struct RunCodeReply {
    status: RunStatus,
    message: String,
    compile_result: Option<CommandResult>,
    run_result: Option<CommandResult>,
    executor_pod_name: Option<String>,
    files: BTreeMap<String, String>,
}

impl RunCodeReply {
    /// Nothing but a status and a message.
    fn bare(status: RunStatus, message: String) -> Self {
        Self {
            status,
            message,
            compile_result: None,
            run_result: None,
            executor_pod_name: None,
            files: BTreeMap::new(),
        }
    }

    /// The wire's word for a failure of the sandbox.
    fn failed(message: String) -> Self {
        let run_result = Some(CommandResult::failed(&message));
        Self { run_result, ..Self::bare(RunStatus::SandboxError, message) }
    }
}

impl CommandResult {
    /// The wire's word for a failure of the sandbox.
    fn failed(message: &str) -> Self {
        Self {
            status: CommandStatus::Error,
            execution_time: 0.0,
            cpu_time: 0.0,
            return_code: None,
            stdout: String::new(),
            stderr: message.to_owned(),
        }
    }
}

async fn run_code(State(service): State<Arc<Service>>, request: Request) -> Response {
    let reply = async {
        let (plan, fetched) = door::read(&service, request, plan_code).await?;
        let execution = door::execute(&service, &plan).await?;
        door::json(&service, StatusCode::OK, &reply(&execution, &fetched))
    };
    match reply.await {
        Ok(response) => response,
        Err(fault) => refuse(&service, &fault),
    }
}

fn plan_code(service: &Service, bytes: &[u8]) -> Result<(RunPlan, Vec<String>), ApiError> {
    let request: RunCodeRequest = body::parse(bytes)?;
    let mut limits = program::time_limits("run_timeout", request.run_timeout)?;
    limits.memory_bytes = Some(memory(service, request.memory_limit_mb));
    let files = request.files.into_iter().filter_map(|(path, content)| {
        let content = program::from_base64("files", &content?);
        Some(content.map(|content| (path, content.into())))
    });
    let program = Program {
        language: language(&request.language)?,
        source: request.code,
        stdin: request.stdin.unwrap_or_default().into(),
        files: files.collect::<Result<_, _>>()?,
        fetched: request.fetch_files.clone(),
        limits,
        compile_limits: program::time_limits("compile_timeout", request.compile_timeout)?,
        ..Program::default()
    };
    Ok((program::plan(service, program)?, request.fetch_files))
}

fn memory(service: &Service, mebibytes: i64) -> u64 {
    match u64::try_from(mebibytes) {
        Ok(mebibytes) if mebibytes > 0 => mebibytes.saturating_mul(1 << 20),
        Ok(_) | Err(_) => COMPAT_MEMORY.0.min(service.limits_max.memory.0),
    }
}

/// A language of the wire in our words.
fn language(name: &str) -> Result<String, ApiError> {
    if NOT_HERE.contains(&name) {
        return Err(ApiError::unprocessable(
            "language_unavailable",
            format!("language {name:?} is not run here"),
            "GET /v1/languages lists what is available",
        ));
    }
    let ours = LANGUAGES.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours);
    Ok(ours.to_owned())
}

fn reply(execution: &Execution, fetched: &[String]) -> RunCodeReply {
    let compile_result = execution.compiled.as_ref().map(compile_result);
    let run_result = execution.outcome.as_ref().map(run_result);
    let results = [compile_result.as_ref(), run_result.as_ref()];
    let failed = results.into_iter().flatten().any(|result| {
        result.status == CommandStatus::TimeLimitExceeded || result.return_code != Some(0)
    });
    let met = execution.outcome.as_ref().and_then(|it| program::limit_met(it.termination));
    let not_compiled = execution.compiled.as_ref().and_then(|it| it.artifacts.as_ref().err());
    let outcome = execution.outcome.as_ref();
    RunCodeReply {
        status: if failed { RunStatus::Failed } else { RunStatus::Success },
        message: met.map(str::to_owned).or_else(|| not_compiled.cloned()).unwrap_or_default(),
        compile_result,
        run_result,
        executor_pod_name: None,
        files: outcome.map(|it| program::fetched(fetched, &it.files)).unwrap_or_default(),
    }
}

fn run_result(outcome: &Outcome) -> CommandResult {
    let (status, return_code) = ending(outcome.termination);
    CommandResult {
        status,
        execution_time: outcome.usage.wall_time.as_secs_f64(),
        cpu_time: outcome.usage.cpu_time.as_secs_f64(),
        return_code,
        stdout: program::text(&outcome.stdout.bytes),
        stderr: program::text(&outcome.stderr.bytes),
    }
}

fn compile_result(compiled: &Compiled) -> CommandResult {
    let (status, return_code) = ending(compiled.termination);
    // A compiler that ends well and leaves nothing has not compiled.
    let return_code =
        if compiled.artifacts.is_err() && return_code == Some(0) { Some(1) } else { return_code };
    CommandResult {
        status,
        execution_time: compiled.usage.wall_time.as_secs_f64(),
        cpu_time: compiled.usage.cpu_time.as_secs_f64(),
        return_code,
        stdout: program::text(&compiled.stdout.bytes),
        stderr: program::text(&compiled.stderr.bytes),
    }
}

/// How the wire says how a program ended; `Error` is for failures of the sandbox.
fn ending(termination: Termination) -> (CommandStatus, Option<i32>) {
    match termination {
        Termination::Exited { code } => (CommandStatus::Finished, Some(code)),
        Termination::Signalled { signal } => (CommandStatus::Finished, Some(-signal)),
        Termination::CpuTimeLimit | Termination::WallTimeLimit => {
            (CommandStatus::TimeLimitExceeded, None)
        }
        Termination::MemoryLimit => (CommandStatus::Finished, Some(-9)),
        Termination::OutputLimit => (CommandStatus::Finished, Some(-25)),
    }
}

/// What cannot be answered: 422 where the request is wrong, the configured status where trying again
/// may help, the wire's `SandboxError` where it will not.
fn refuse(service: &Service, fault: &Fault) -> Response {
    refuse_as(service, fault, &RunCodeReply::failed(fault.message()))
}

/// The same, with what stands for a failure that stays.
fn refuse_as(service: &Service, fault: &Fault, failed: &impl Serialize) -> Response {
    let detail = json!({"detail": fault.message()});
    match (fault, fault.meaning()) {
        (Fault::Request(error), Meaning::Wrong) => fault.reply(error.status, &detail),
        (_, Meaning::Wrong | Meaning::Busy | Meaning::MayPass) => {
            fault.reply(service.config.compat.sandbox_fusion_retry_status.code(), &detail)
        }
        (_, Meaning::Stays) => fault.reply(StatusCode::OK, failed),
    }
}
