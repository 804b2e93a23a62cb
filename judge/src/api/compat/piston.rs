//! Piston: `/api/v2/runtimes` and `/api/v2/execute`.
//!
//! The first file is the program, the others lie beside it. Outputs are whole up to the limit of
//! output, a limit that was met is named in `status` and `message`, and times are cpu times. The
//! original's limits are larger here where it has none: memory -1 is 1 GiB.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use protocol::{LanguageInfo, Limits};
use sandbox::outcome::{Captured, Termination, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};
use super::program::{self, Program};
use super::signal::name_of;
use crate::execution::Execution;
use crate::limits::COMPAT_MEMORY;
use crate::plan::RunPlan;

pub(super) const PATHS: [&str; 2] = ["/api/v2/execute", "/api/v2/runtimes"];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/api/v2/execute", post(execute)).route("/api/v2/runtimes", get(runtimes))
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct ExecuteRequest {
    language: String,
    version: String,
    files: Vec<FileRequest>,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    run_timeout: Option<f64>,
    #[serde(default)]
    compile_timeout: Option<f64>,
    #[serde(default)]
    run_cpu_time: Option<f64>,
    #[serde(default)]
    compile_cpu_time: Option<f64>,
    #[serde(default)]
    run_memory_limit: Option<i64>,
    #[serde(default)]
    compile_memory_limit: Option<i64>,
}

protocol::read_object!(ExecuteRequest);

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct FileRequest {
    #[serde(default)]
    name: Option<String>,
    content: String,
    #[serde(default)]
    encoding: Encoding,
}

protocol::read_object!(FileRequest);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Utf8,
    Base64,
    Hex,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Runtime {
    language: String,
    version: String,
    aliases: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StageReply {
    stdout: String,
    stderr: String,
    output: String,
    code: Option<i32>,
    signal: Option<String>,
    message: Option<String>,
    status: Option<&'static str>,
    cpu_time: u128,
    wall_time: u128,
    memory: u64,
}

async fn runtimes(State(service): State<Arc<Service>>) -> axum::Json<Vec<Runtime>> {
    let languages = service.languages.describe().languages;
    axum::Json(languages.iter().filter(|it| it.available).map(runtime).collect())
}

fn runtime(language: &LanguageInfo) -> Runtime {
    Runtime {
        language: language.name.clone(),
        version: version(language.version.as_deref().unwrap_or_default()),
        aliases: language.aliases.clone(),
    }
}

/// The version in what a toolchain says of itself, as three numbers.
fn version(said: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let words = said.split(|c: char| !is_part(c)).map(|word| word.trim_matches('.'));
    let numbers = words.filter(|word| word.contains('.')).map(|word| {
        let parts: Vec<&str> = word.split('.').chain(["0", "0"]).take(3).collect();
        parts.join(".")
    });
    numbers.into_iter().next().unwrap_or_else(|| "0.0.0".to_owned())
}

async fn execute(State(service): State<Arc<Service>>, request: Request) -> Response {
    let reply = async {
        let (plan, runtime) = door::read(&service, request, plan).await?;
        let execution = door::execute(&service, &plan).await?;
        door::json(&service, StatusCode::OK, &reply(&runtime, &execution))
    };
    match reply.await {
        Ok(response) => response,
        Err(fault) => refuse(&fault),
    }
}

fn plan(service: &Service, bytes: &[u8]) -> Result<(RunPlan, Runtime), ApiError> {
    let request: ExecuteRequest = body::parse(bytes)?;
    let runtime = chosen(service, &request.language, &request.version)?;
    let mut files = Vec::new();
    for (at, file) in request.files.into_iter().enumerate() {
        let name = file.name.unwrap_or_else(|| format!("file{at}.code"));
        files.push((name, decoded(file.encoding, file.content)?));
    }
    if files.is_empty() {
        return Err(wrong("files must include at least one file".to_owned()));
    }
    let (_, source) = files.remove(0);
    let source = String::from_utf8(source.into())
        .map_err(|_| wrong("the first file must be UTF-8".to_owned()))?;
    let memory = |given: Option<i64>| match given.map(u64::try_from) {
        Some(Ok(bytes)) => bytes,
        Some(Err(_)) | None => COMPAT_MEMORY.0.min(service.limits_max.memory.0),
    };
    let times = |wall: Option<f64>, cpu: Option<f64>, default: f64| {
        program::time_limits("timeout", cpu.or(wall).unwrap_or(default) / 1000.0)
    };
    let limits = times(request.run_timeout, request.run_cpu_time, 3000.0)?;
    let compile_limits = times(request.compile_timeout, request.compile_cpu_time, 10_000.0)?;
    let compile_memory = request.compile_memory_limit.and_then(|bytes| u64::try_from(bytes).ok());
    let program = Program {
        language: runtime.language.clone(),
        source,
        stdin: request.stdin.into(),
        args: request.args,
        files,
        fetched: Vec::new(),
        limits: Limits { memory_bytes: Some(memory(request.run_memory_limit)), ..limits },
        compile_limits: Limits { memory_bytes: compile_memory, ..compile_limits },
    };
    Ok((program::plan(service, program)?, runtime))
}

/// The runtime of this name whose version `wanted` is: all of it, its beginning, or `*`.
fn chosen(service: &Service, name: &str, wanted: &str) -> Result<Runtime, ApiError> {
    let languages = service.languages.describe().languages;
    let lower = name.to_lowercase();
    let named = |it: &&LanguageInfo| it.name == lower || it.aliases.contains(&lower);
    let found = languages.iter().filter(|it| it.available).find(named).map(runtime);
    let fits = |version: &str| {
        let wanted = wanted.trim_end_matches(['x', '*', '.']).trim_start_matches(['^', '~', '=']);
        wanted.is_empty() || version == wanted || version.starts_with(&format!("{wanted}."))
    };
    found
        .filter(|runtime| fits(&runtime.version))
        .ok_or_else(|| wrong(format!("{name}-{wanted} runtime is unknown")))
}

fn decoded(encoding: Encoding, content: String) -> Result<Bytes, ApiError> {
    match encoding {
        Encoding::Utf8 => Ok(content.into()),
        Encoding::Base64 => Ok(program::from_base64("files", &content)?.into()),
        Encoding::Hex => {
            let digits: Option<Vec<u32>> = content.chars().map(|c| c.to_digit(16)).collect();
            let digits = digits.filter(|digits| digits.len() % 2 == 0);
            let digits = digits.ok_or_else(|| wrong("files: not hexadecimal".to_owned()))?;
            let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap_or_default();
            Ok(digits.chunks_exact(2).map(byte).collect::<Vec<u8>>().into())
        }
    }
}

fn wrong(message: String) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        message,
        "GET /api/v2/runtimes lists what is available",
    )
}

fn reply(runtime: &Runtime, execution: &Execution) -> Value {
    let mut reply = json!({"language": runtime.language, "version": runtime.version});
    if let Some(compiled) = &execution.compiled {
        let mut stage =
            stage(compiled.termination, compiled.usage, (&compiled.stdout, &compiled.stderr));
        if let Err(reason) = &compiled.artifacts {
            stage.message = Some(reason.clone());
            stage.code = stage.code.map(|code| if code == 0 { 1 } else { code });
        }
        reply["compile"] = json!(stage);
    }
    reply["run"] = match &execution.outcome {
        Some(outcome) => {
            json!(stage(outcome.termination, outcome.usage, (&outcome.stdout, &outcome.stderr)))
        }
        // The original runs what did not compile; its clients read `run` whatever happened.
        None => json!(stage(
            Termination::Exited { code: 1 },
            Usage::default(),
            (&Captured::default(), &Captured::default()),
        )),
    };
    reply
}

fn stage(
    termination: Termination,
    usage: Usage,
    (stdout, stderr): (&Captured, &Captured),
) -> StageReply {
    let (stdout, stderr) = (program::text(&stdout.bytes), program::text(&stderr.bytes));
    let (code, signal, status) = match termination {
        Termination::Exited { code } => (Some(code), None, (code != 0).then_some("RE")),
        Termination::Signalled { signal } => (None, Some(name_of(signal)), Some("SG")),
        Termination::CpuTimeLimit | Termination::WallTimeLimit => (None, killed(), Some("TO")),
        Termination::MemoryLimit => (None, killed(), Some("SG")),
        Termination::OutputLimit => (None, killed(), Some("OL")),
    };
    StageReply {
        output: format!("{stdout}{stderr}"),
        stdout,
        stderr,
        code,
        signal,
        message: program::limit_met(termination).map(str::to_owned),
        status,
        cpu_time: usage.cpu_time.as_millis(),
        wall_time: usage.wall_time.as_millis(),
        memory: usage.peak_memory.0,
    }
}

fn killed() -> Option<String> {
    Some("SIGKILL".to_owned())
}

/// What cannot be answered: open-r1 tries anything but 200 again.
fn refuse(fault: &Fault) -> Response {
    let status = match (fault, fault.meaning()) {
        (Fault::Request(error), Meaning::Wrong)
            if error.status == StatusCode::PAYLOAD_TOO_LARGE =>
        {
            error.status
        }
        (_, Meaning::Wrong) => StatusCode::BAD_REQUEST,
        (_, Meaning::Busy | Meaning::MayPass) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Meaning::Stays) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    fault.reply(status, &json!({"message": fault.message()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_toolchains_say() {
        for (said, found) in [
            ("Python 3.11.2", "3.11.2"),
            ("gcc (Debian 12.2.0-14) 12.2.0", "12.2.0"),
            ("v18.19.0", "18.19.0"),
            ("GNU bash, version 5.2.15(1)-release", "5.2.15"),
            ("openjdk 17", "0.0.0"),
            ("lua 5.4", "5.4.0"),
            ("", "0.0.0"),
        ] {
            assert_eq!(version(said), found, "{said}");
        }
    }

    #[test]
    fn files_come_in_three_encodings() {
        assert_eq!(decoded(Encoding::Hex, "6a0B".into()).unwrap()[..], [0x6a, 0x0b]);
        assert!(decoded(Encoding::Hex, "6a0".into()).is_err());
        assert!(decoded(Encoding::Hex, "zz".into()).is_err());
        assert_eq!(decoded(Encoding::Base64, "YQ==".into()).unwrap()[..], *b"a");
        assert_eq!(decoded(Encoding::Utf8, "é".into()).unwrap()[..], *"é".as_bytes());
    }
}
