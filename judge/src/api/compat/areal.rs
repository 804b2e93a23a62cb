//! `AReaL`: `/apis/functioncalls`, its remote judge of programs.
//!
//! Test cases are pairs of input and expected output, for standard input, or for `entryFunction`. The
//! client tries a `SystemError` again and counts anything else as wrong, so that every failure of ours
//! is one. Its mathematical calls carry a program of the client and are not served.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use protocol::{InputOutputProblem, Problem, SubmissionResult, TestResult, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};
use super::{label, program};
use crate::task::Task;

pub(super) const PATHS: [&str; 1] = ["/apis/functioncalls"];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/apis/functioncalls", post(function_call))
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
struct CallRequest {
    uid: String,
    language: String,
    #[serde(default, rename = "runtime")]
    _runtime: Option<String>,
    code: String,
    #[serde(default)]
    entry_function: Option<String>,
    #[serde(default)]
    is_fast_fail: bool,
    #[serde(default)]
    is_remote: bool,
    testcases: Vec<Case>,
    #[serde(default)]
    timeout: Option<f64>,
    #[serde(default)]
    memory: Option<f64>,
    #[serde(default, rename = "query_index")]
    _query_index: Option<i64>,
    #[serde(default)]
    extra_info: Option<Value>,
}

protocol::read_object!(CallRequest);

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    #[serde(default)]
    input: String,
    #[serde(default)]
    expected_output: String,
}

protocol::read_object!(Case);

async fn function_call(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (uid, tasks) = match door::read(&service, request, read).await {
        Ok(read) => read,
        Err(error) => return refuse("", &error.into()),
    };
    let result = async {
        let result = door::judge(&service, tasks).await?.pop().unwrap_or_default();
        match result.failure.clone() {
            Some(failure) => Err(Fault::Failure(failure)),
            None => door::json(&service, StatusCode::OK, &reply(&uid, &result)),
        }
    };
    match result.await {
        Ok(response) => response,
        Err(fault) => refuse(&uid, &fault),
    }
}

fn read(service: &Service, bytes: &[u8]) -> Result<(String, Vec<Task>), ApiError> {
    let request: CallRequest = body::parse(bytes)?;
    let unsupported = |what: &str| {
        Err(ApiError::unprocessable(
            "unsupported",
            format!("{what} is not served here"),
            "leave it out",
        ))
    };
    if request.is_remote {
        return unsupported("`isRemote`, test cases behind addresses,");
    }
    if request.extra_info.is_some() {
        return unsupported("`extraInfo`, of calls that judge no program,");
    }
    let (inputs, outputs) = request
        .testcases
        .into_iter()
        .map(|case| (Value::String(case.input), Value::String(case.expected_output)))
        .unzip();
    let fn_name = request.entry_function.filter(|name| !name.is_empty());
    let preset = Some("apps".to_owned());
    let problem = InputOutputProblem { inputs, outputs, fn_name, preset };
    let mut submission = label::empty(Problem::InputOutput(problem));
    submission.language = Some(request.language.to_lowercase());
    submission.source = Some(request.code);
    submission.stop_early = request.is_fast_fail;
    if let Some(seconds) = request.timeout.filter(|seconds| *seconds != 0.0) {
        submission.limits = program::time_limits("timeout", seconds)?;
    }
    if let Some(mebibytes) = request.memory.filter(|memory| *memory > 0.0) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let bytes = (mebibytes * 1_048_576.0) as u64;
        submission.limits.memory_bytes = Some(bytes);
    }
    Ok((request.uid, door::tasks(service, vec![submission])?))
}

fn reply(uid: &str, result: &SubmissionResult) -> Value {
    let one = |test: &TestResult| {
        let success = test.verdict == Some(Verdict::Accepted);
        json!({"success": success, "reason": reason(test.verdict), "errorType": kind(test.verdict)})
    };
    let mut results: Vec<Value> =
        result.tests.iter().filter(|test| !test.skipped).map(one).collect();
    if results.is_empty() {
        let (reason, kind) = (reason(result.verdict), kind(result.verdict));
        results.push(json!({"success": false, "reason": reason, "errorType": kind}));
    }
    json!({"uid": uid, "success": result.reward == Some(1.0), "results": results})
}

fn reason(verdict: Option<Verdict>) -> Value {
    match verdict {
        Some(Verdict::Accepted) | None => Value::String(String::new()),
        Some(verdict) => json!(verdict),
    }
}

/// The wire's word for what went wrong; `SystemError` is for failures of ours.
fn kind(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Accepted) | None => "",
        Some(_) => "UnknownError",
    }
}

fn refuse(uid: &str, fault: &Fault) -> Response {
    let (status, kind) = match (fault, fault.meaning()) {
        (Fault::Request(error), Meaning::Wrong) => (error.status, "UnknownError"),
        (_, Meaning::Wrong | Meaning::Busy | Meaning::MayPass | Meaning::Stays) => {
            (StatusCode::OK, "SystemError")
        }
    };
    let result = json!({"success": false, "reason": fault.message(), "errorType": kind});
    fault.reply(status, &json!({"uid": uid, "success": false, "results": [result]}))
}
