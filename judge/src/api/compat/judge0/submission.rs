//! A submission of Judge0: what it asks for, and how it is run and judged.

use std::sync::Arc;
use std::time::SystemTime;

use protocol::Limits;
use sandbox::outcome::Termination;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::super::Service;
use super::super::super::error::ApiError;
use super::super::door::{self, Fault};
use super::super::program::{self, Program};
use super::languages;
use super::shown::{Done, Finished, Status};
use crate::execution::Execution;
use crate::limits::COMPAT_MEMORY;
use crate::pipeline::Judge;
use crate::plan::RunPlan;

/// What `POST /submissions` takes.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub(super) struct Request {
    source_code: Option<String>,
    language_id: u32,
    #[serde(default)]
    stdin: Option<String>,
    #[serde(default)]
    expected_output: Option<String>,
    #[serde(default)]
    cpu_time_limit: Option<Number>,
    #[serde(default)]
    wall_time_limit: Option<Number>,
    #[serde(default)]
    memory_limit: Option<Number>,
    #[serde(default)]
    stack_limit: Option<Number>,
    #[serde(default)]
    max_processes_and_or_threads: Option<Number>,
    #[serde(default)]
    max_file_size: Option<Number>,
    #[serde(default)]
    number_of_runs: Option<Number>,
    #[serde(default)]
    command_line_arguments: Option<String>,
    /// A grace before a program is killed; limits here are exact.
    #[serde(default, rename = "cpu_extra_time")]
    _cpu_extra_time: Option<Number>,
    #[serde(default)]
    compiler_options: Option<String>,
    #[serde(default)]
    callback_url: Option<String>,
    #[serde(default)]
    additional_files: Option<String>,
    #[serde(default)]
    enable_network: Option<bool>,
    #[serde(default)]
    redirect_stderr_to_stdout: Option<bool>,
    #[serde(default)]
    enable_per_process_and_thread_time_limit: Option<bool>,
    #[serde(default)]
    enable_per_process_and_thread_memory_limit: Option<bool>,
}

protocol::read_object!(Request);

/// Clients write numbers as texts too.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

/// A submission that may be run.
pub(super) struct Sent {
    plan: RunPlan,
    expected: Option<Vec<u8>>,
    pub(super) finished: Finished,
}

/// How a reply shows a submission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Texts in base64.
    pub(super) base64: bool,
    /// Which fields.
    pub(super) fields: Option<&'a str>,
}

impl Request {
    /// The request in one entry of a batch.
    pub(super) fn from_map(fields: Map<String, Value>) -> Result<Self, ApiError> {
        serde_json::from_value(Value::Object(fields))
            .map_err(|error| invalid(format!("submission: {error}")))
    }

    fn check_supported(&self) -> Result<(), ApiError> {
        let on = |flag: Option<bool>| flag.unwrap_or(false);
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let runs = value("number_of_runs", self.number_of_runs.as_ref())?;
        let refused = [
            ("compiler_options", given(&self.compiler_options)),
            ("callback_url", given(&self.callback_url)),
            ("additional_files", given(&self.additional_files)),
            ("enable_network", on(self.enable_network)),
            ("redirect_stderr_to_stdout", on(self.redirect_stderr_to_stdout)),
            (
                "enable_per_process_and_thread_time_limit",
                on(self.enable_per_process_and_thread_time_limit),
            ),
            (
                "enable_per_process_and_thread_memory_limit",
                on(self.enable_per_process_and_thread_memory_limit),
            ),
            ("number_of_runs", runs.is_some_and(|runs| (runs - 1.0).abs() > f64::EPSILON)),
        ];
        match refused.into_iter().find(|(_, asked)| *asked) {
            Some((field, _)) => Err(invalid(format!("{field} is not supported here"))),
            None => Ok(()),
        }
    }

    /// Judge0's defaults, in our units.
    fn limits(&self, service: &Service) -> Result<Limits, ApiError> {
        let cpu = value("cpu_time_limit", self.cpu_time_limit.as_ref())?.unwrap_or(5.0);
        let mut limits = program::time_limits("cpu_time_limit", cpu)?;
        if let Some(wall) = value("wall_time_limit", self.wall_time_limit.as_ref())? {
            limits.wall_time_ms = program::time_limits("wall_time_limit", wall)?.cpu_time_ms;
        }
        let kibibytes = |what, number: Option<&Number>| {
            Ok::<_, ApiError>(value(what, number)?.map(|number| whole(number * 1024.0)))
        };
        let memory = kibibytes("memory_limit", self.memory_limit.as_ref())?;
        limits.memory_bytes =
            Some(memory.unwrap_or_else(|| COMPAT_MEMORY.0.min(service.limits_max.memory.0)));
        limits.disk_bytes = kibibytes("max_file_size", self.max_file_size.as_ref())?;
        let pids =
            value("max_processes_and_or_threads", self.max_processes_and_or_threads.as_ref())?;
        limits.pids = pids.map(whole);
        Ok(limits)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}

fn value(what: &str, number: Option<&Number>) -> Result<Option<f64>, ApiError> {
    let found = match number {
        None => return Ok(None),
        Some(Number::Number(number)) => Some(*number),
        Some(Number::Text(text)) => text.trim().parse().ok(),
    };
    match found.filter(|number| *number > 0.0) {
        Some(number) => Ok(Some(number)),
        None => Err(invalid(format!("{what} must be greater than 0"))),
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::unprocessable(
        "invalid_submission",
        message,
        "judge/src/api/compat/README.md tells what is served",
    )
}

/// Checks a submission.
pub(super) fn read(service: &Service, request: Request, base64: bool) -> Result<Sent, ApiError> {
    request.check_supported()?;
    let limits = request.limits(service)?;
    let text = |what: &str, text: Option<String>| match text {
        Some(text) if base64 => program::from_base64(what, &text).map(Some),
        Some(text) => Ok(Some(text.into_bytes())),
        None => Ok(None),
    };
    let source = text("source_code", request.source_code)?.unwrap_or_default();
    if source.is_empty() {
        return Err(invalid("source_code can't be blank".to_owned()));
    }
    let source =
        String::from_utf8(source).map_err(|_| invalid("source_code is not UTF-8".to_owned()))?;
    let language = languages::name_of(request.language_id).ok_or_else(|| {
        invalid(format!("language with id {} doesn't exist", request.language_id))
    })?;
    let arguments = request.command_line_arguments.unwrap_or_default();
    let expected = text("expected_output", request.expected_output)?;
    let finished = Finished::new(request.language_id, &source);
    let program = Program {
        language: language.to_owned(),
        source,
        stdin: text("stdin", request.stdin)?.unwrap_or_default().into(),
        args: arguments.split_whitespace().map(str::to_owned).collect(),
        limits,
        compile_limits: program::time_limits("compile time", 30.0)?,
        ..Program::default()
    };
    let mut plan = program::plan(service, program)?;
    if let Some(stack) = value("stack_limit", request.stack_limit.as_ref())? {
        let mut bounds = *plan.spec.bounds();
        bounds.stack = sandbox::limits::Bytes(whole(stack * 1024.0)).min(service.limits_max.stack);
        plan.spec = plan.spec.clone().limits(bounds).map_err(|error| invalid(error.to_string()))?;
    }
    Ok(Sent { plan, expected, finished })
}

/// Runs a submission when it is admitted.
pub(super) async fn run(service: &Service, sent: Sent) -> Result<Done, Fault> {
    match door::execute(service, &sent.plan).await {
        Ok(execution) => Ok(judged(sent, &execution)),
        Err(Fault::Failure(failure)) => Ok(failed(sent, failure.message)),
        Err(fault) => Err(fault),
    }
}

/// Runs a submission that was admitted.
pub(super) async fn run_admitted(judge: &Judge, sent: Sent) -> Done {
    match judge.execute(&sent.plan).await {
        Ok(execution) => judged(sent, &execution),
        Err(failure) => failed(sent, failure.message.into_owned()),
    }
}

fn failed(sent: Sent, message: String) -> Done {
    let mut finished = sent.finished;
    finished.message = Some(message);
    done(finished, Status::InternalError)
}

fn done(mut finished: Finished, status: Status) -> Done {
    finished.status = status;
    finished.finished_at = Some(SystemTime::now());
    Done::Finished(Arc::new(finished))
}

fn judged(sent: Sent, execution: &Execution) -> Done {
    let Sent { expected, mut finished, .. } = sent;
    if let Some(compiled) = &execution.compiled {
        let said = [&compiled.stdout.bytes[..], &compiled.stderr.bytes[..]].concat();
        finished.compile_output = (!said.is_empty()).then(|| said.into());
        if let Err(reason) = &compiled.artifacts {
            finished.message = Some(reason.clone());
        }
    }
    let Some(outcome) = &execution.outcome else {
        return done(finished, Status::CompilationError);
    };
    finished.stdout = (!outcome.stdout.bytes.is_empty()).then(|| outcome.stdout.bytes.clone());
    finished.stderr = (!outcome.stderr.bytes.is_empty()).then(|| outcome.stderr.bytes.clone());
    finished.time = Some(outcome.usage.cpu_time);
    finished.wall_time = Some(outcome.usage.wall_time);
    finished.memory_bytes = Some(outcome.usage.peak_memory.0);
    finished.message = program::limit_met(outcome.termination).map(str::to_owned);
    let status = match outcome.termination {
        Termination::Exited { code } => {
            finished.exit_code = Some(code);
            match (code, &expected) {
                (0, None) => Status::Accepted,
                (0, Some(expected)) if same(expected, &outcome.stdout.bytes) => Status::Accepted,
                (0, Some(_)) => Status::WrongAnswer,
                _ => {
                    finished.message =
                        Some("Exited with error status ".to_owned() + &code.to_string());
                    Status::NonZeroExit
                }
            }
        }
        Termination::Signalled { signal } => {
            finished.exit_signal = Some(signal);
            Status::of_signal(signal)
        }
        Termination::CpuTimeLimit | Termination::WallTimeLimit => Status::TimeLimitExceeded,
        Termination::MemoryLimit => {
            finished.exit_signal = Some(9);
            Status::RuntimeOther
        }
        Termination::OutputLimit => {
            finished.exit_signal = Some(25);
            Status::FileSize
        }
    };
    done(finished, status)
}

/// Judge0's comparison: white space at the ends of lines and of the whole does not matter.
fn same(expected: &[u8], output: &[u8]) -> bool {
    let lines = |bytes: &[u8]| {
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_vec());
        let mut lines: Vec<Vec<u8>> = lines.collect();
        while lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        lines
    };
    lines(expected) == lines(output)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn white_space_at_the_ends_does_not_matter() {
        assert!(same(b"1\n2", b"1 \n2\r\n\n"));
        assert!(same(b"", b"\n\n"));
        assert!(!same(b"1\n2", b"1\n\n2"));
        assert!(!same(b"1", b" 1"));
        assert!(!same(b"a b", b"a  b"));
    }

    #[test]
    fn numbers_may_be_texts_and_must_be_positive() {
        let read = |json: &str| value("x", Some(&serde_json::from_str(json).unwrap()));
        assert_eq!(read("\"1.5\"").unwrap(), Some(1.5));
        assert_eq!(read("2").unwrap(), Some(2.0));
        for wrong in ["0", "-1", "\"x\"", "\"NaN\""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(value("x", None).unwrap(), None);
    }

    #[test]
    fn what_would_change_the_meaning_is_refused() {
        let request = |more: &str| {
            let json = format!("{{\"source_code\":\"x\",\"language_id\":71{more}}}");
            serde_json::from_str::<Request>(&json).unwrap().check_supported()
        };
        assert!(request("").is_ok());
        assert!(request(",\"enable_network\":false,\"compiler_options\":\"\"").is_ok());
        for more in [
            ",\"enable_network\":true",
            ",\"callback_url\":\"http://x\"",
            ",\"compiler_options\":\"-O3\"",
            ",\"redirect_stderr_to_stdout\":true",
            ",\"number_of_runs\":2",
        ] {
            assert!(request(more).is_err(), "{more}");
        }
    }

    #[test]
    fn a_time_limit_guards_the_clock_too() {
        let wall = Duration::from_millis(
            program::time_limits("x", 5.0).unwrap().wall_time_ms.unwrap_or_default(),
        );
        assert!(wall > Duration::from_secs(5));
    }
}
