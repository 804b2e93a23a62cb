//! `NeMo Gym`: a resources server with `/verify`, `/seed_session`, `/aggregate_metrics` and
//! `/reverify_mode`.
//!
//! `/verify` gives the body back with a `reward`, whatever else stands in it. What is judged, in this
//! order: `verifier_metadata.problem` (with `language`, `limits`), `verifier_metadata.unit_tests`
//! (`inputs`, `outputs`, `fn_name`), `expected_answer` (with `question`). A failure of ours answers 200
//! with `_ng_failure_class`, which the collector keeps apart from what is trained on; where trying
//! again cannot help, `_ng_failure_terminal` says so. It answers so when overloaded too: an HTTP error
//! would end the whole collection.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use protocol::{InputOutputProblem, Submission, SubmissionResult};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};
use super::label;
use crate::limits::COMPAT_AGGREGATED_MAX;
use crate::task::Task;

mod aggregate;

pub(super) const PATHS: [&str; 4] =
    ["/verify", "/seed_session", "/aggregate_metrics", "/reverify_mode"];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/verify", post(verify))
        // Judging keeps nothing from one request to the next, so a session is nothing either.
        .route("/seed_session", post(|| async { axum::Json(json!({})) }))
        .route("/aggregate_metrics", post(aggregate_metrics))
        .route("/reverify_mode", get(|| async { axum::Json("stateless") }))
}

type Object = Map<String, Value>;

/// What is judged, and the body that goes back.
struct Read {
    body: Object,
    text: String,
    tasks: Vec<Task>,
}

async fn verify(State(service): State<Arc<Service>>, request: Request) -> Response {
    let read = match door::read(&service, request, read).await {
        Ok(read) => read,
        Err(error) => {
            let fault = Fault::from(error);
            return refuse(&fault);
        }
    };
    let Read { mut body, text, tasks } = read;
    body.insert("extracted_model_output".to_owned(), json!(text));
    match door::judge(&service, tasks).await {
        Ok(mut results) => note(&mut body, results.pop().unwrap_or_default()),
        Err(error) => note_failure(&mut body, &error.into()),
    }
    match door::json(&service, StatusCode::OK, &body) {
        Ok(response) => response,
        Err(fault) => refuse(&fault),
    }
}

fn read(service: &Service, bytes: &[u8]) -> Result<Read, ApiError> {
    let body: Object = body::parse(bytes)?;
    let Some(response) = body.get("response") else {
        return Err(wrong("`response` is missing"));
    };
    let text = output_text(response);
    let submission = submission(&body, label::without_end_tokens(&text).to_owned())?;
    let tasks = door::tasks(service, vec![submission])?;
    Ok(Read { body, text, tasks })
}

fn wrong(message: &str) -> ApiError {
    ApiError::unprocessable(
        "invalid_request",
        message,
        "verifier_metadata.problem, verifier_metadata.unit_tests, or expected_answer",
    )
}

fn submission(body: &Object, text: String) -> Result<Submission, ApiError> {
    let metadata = body.get("verifier_metadata").and_then(Value::as_object);
    if let Some(metadata) = metadata.filter(|metadata| metadata.contains_key("problem")) {
        let fields = ["problem", "language", "limits", "reward", "scoring", "stop_early"];
        let given =
            fields.iter().filter_map(|name| Some(((*name).to_owned(), metadata.get(*name)?)));
        let given: Object = given.map(|(name, value)| (name, value.clone())).collect();
        return label::submission(Value::Object(given), text);
    }
    if let Some(tests) = metadata.and_then(|metadata| metadata.get("unit_tests")) {
        let problem: InputOutputProblem = serde_json::from_value(tests.clone())
            .map_err(|error| wrong(&format!("verifier_metadata.unit_tests: {error}")))?;
        let mut submission = label::of_problem(protocol::Problem::InputOutput(problem));
        submission.completion = Some(text);
        return Ok(submission);
    }
    let text_of = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(expected) = text_of("expected_answer") {
        let problem = label::mathematical(vec![expected], text_of("question"));
        let mut submission = label::of_problem(problem);
        submission.completion = Some(text);
        return Ok(submission);
    }
    Err(wrong("the body names no problem"))
}

/// The text of an `OpenAI` response object: all that its messages say.
fn output_text(response: &Value) -> String {
    let items = response.get("output").and_then(Value::as_array);
    let messages = items.into_iter().flatten().filter(|item| item["type"] == "message");
    let parts = messages.filter_map(|item| item.get("content")?.as_array()).flatten();
    let texts = parts.filter(|part| part["type"] == "output_text");
    texts.filter_map(|part| part.get("text")?.as_str()).collect()
}

fn note(body: &mut Object, result: SubmissionResult) {
    let Some(reward) = result.reward else {
        let fault = match result.failure {
            Some(failure) => Fault::Failure(failure),
            None => ApiError::internal().into(),
        };
        return note_failure(body, &fault);
    };
    body.insert("reward".to_owned(), json!(reward));
    body.insert("verdict".to_owned(), json!(result.verdict));
    body.insert("flags".to_owned(), json!(result.flags));
    if !result.components.is_empty() {
        body.insert("reward_components".to_owned(), json!(result.components));
    }
}

fn note_failure(body: &mut Object, fault: &Fault) {
    body.insert("reward".to_owned(), json!(0.0));
    body.insert("_ng_failure_class".to_owned(), json!(fault.class()));
    body.insert("failure_reason".to_owned(), json!(fault.message()));
    if fault.meaning() == Meaning::Stays {
        body.insert("_ng_failure_terminal".to_owned(), json!(true));
    }
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct AggregateRequest {
    verify_responses: Vec<Object>,
}

protocol::read_object!(AggregateRequest);

async fn aggregate_metrics(State(service): State<Arc<Service>>, request: Request) -> Response {
    let metrics = door::read(&service, request, |_, bytes| {
        let request: AggregateRequest = body::parse(bytes)?;
        if request.verify_responses.len() > COMPAT_AGGREGATED_MAX {
            let message = format!("at most {COMPAT_AGGREGATED_MAX} responses are aggregated");
            return Err(ApiError::unprocessable("too_large", message, "aggregate in parts"));
        }
        Ok(aggregate::aggregate(&request.verify_responses))
    });
    match metrics.await {
        Ok(metrics) => axum::Json(metrics).into_response(),
        Err(error) => refuse(&error.into()),
    }
}

fn refuse(fault: &Fault) -> Response {
    let status = match fault {
        Fault::Request(error) => error.status,
        Fault::Failure(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    fault.reply(status, &json!({"detail": fault.message()}))
}

#[cfg(test)]
mod tests {
    use protocol::{Failure, FailureClass};

    use super::*;

    fn noted(class: FailureClass, retryable: bool) -> Object {
        let mut body = Object::new();
        let failure = Failure { class, retryable, message: "why".into() };
        note(&mut body, SubmissionResult { failure: Some(failure), ..SubmissionResult::default() });
        body
    }

    #[test]
    fn a_failure_has_a_class_that_keeps_it_out_of_training() {
        let body = noted(FailureClass::Judge, false);
        assert_eq!(body["_ng_failure_class"], "judge_failed");
        assert_eq!(body["_ng_failure_terminal"], true);
        assert_eq!(body["failure_reason"], "why");
        let body = noted(FailureClass::Infrastructure, true);
        assert_eq!(body["_ng_failure_class"], "infrastructure_failed");
        assert_eq!(body.get("_ng_failure_terminal"), None);
    }

    #[test]
    fn only_what_messages_say_is_the_answer() {
        let response = json!({"output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "4"},
                {"type": "refusal", "refusal": "no"}, {"type": "output_text", "text": "2"}]},
            {"type": "function_call", "arguments": "{}"},
        ]});
        assert_eq!(output_text(&response), "42");
        assert_eq!(output_text(&json!({})), "");
    }
}
