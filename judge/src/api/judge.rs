//! `POST /v1/judge` and `POST /v1/run`.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use protocol::{
    ErrorBody, JudgeRequest, JudgeResponse, RunRequest, RunResponse, Submission, SubmissionResult,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::body::{self, Received};
use super::error::ApiError;
use super::{CountedBody, Service};
use crate::admission::BodyTicket;
use crate::batch::{self, Results};
use crate::report::RunReport;
use crate::reward::length::Groups;
use crate::task::{Task, TaskRules};

const NDJSON: &str = "application/x-ndjson";

/// Judges one submission or many.
///
/// The body is `{"submissions":[...]}`, or one submission in its place. With `Accept:
/// application/x-ndjson` each result is sent as one line the moment it is ready, in completion
/// order; otherwise all come in one JSON object, in the order of the request. When the client goes
/// away, what still runs is ended.
#[utoipa::path(
    post,
    path = "/v1/judge",
    tag = "judge",
    request_body = JudgeRequest,
    responses(
        (status = 200, description = "Results", content(
            (JudgeResponse = "application/json"),
            (SubmissionResult = "application/x-ndjson"),
        )),
        (status = 400, description = "The body is not JSON", body = ErrorBody),
        (status = 408, description = "The body came too slowly", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 422, description = "A submission makes no sense", body = ErrorBody),
        (status = 429, description = "The queue is full; Retry-After says when it should have room",
            body = ErrorBody),
        (status = 503, description = "The service is shutting down", body = ErrorBody),
    )
)]
pub(super) async fn judge(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    CountedBody(body): CountedBody,
) -> Result<Response, ApiError> {
    service.check_open()?;
    let Received { bytes, ticket } = body::receive(&service, body).await?;
    let reader = Arc::clone(&service);
    let tasks = body::work(bytes, move |bytes| read(&reader, bytes)).await?;
    let admitted = service.admit(tasks.len())?;
    let results = batch::judge(service.judge.clone(), tasks, admitted);
    let streamed = headers
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(NDJSON)));
    if streamed { Ok(stream_results(results, ticket)) } else { Ok(collect(results).await) }
}

/// Runs one program and returns the facts, without judging them.
#[utoipa::path(
    post,
    path = "/v1/run",
    tag = "judge",
    request_body = RunRequest,
    responses(
        (status = 200, description = "The facts of the run", body = RunResponse),
        (status = 400, description = "The body is not JSON", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 422, description = "The request makes no sense", body = ErrorBody),
        (status = 429, description = "The queue is full", body = ErrorBody),
        (status = 503, description = "The service is shutting down", body = ErrorBody),
    )
)]
pub(super) async fn run(
    State(service): State<Arc<Service>>,
    CountedBody(body): CountedBody,
) -> Result<Json<RunResponse>, ApiError> {
    service.check_open()?;
    let Received { bytes, ticket } = body::receive(&service, body).await?;
    let reader = Arc::clone(&service);
    let run = body::work(bytes, move |bytes| {
        let request: RunRequest = body::parse(bytes)?;
        reader.rules().run(request).map_err(ApiError::from)
    })
    .await?;
    let mut admitted = service.admit(1)?;
    let report = service.judge.run(&run).await;
    admitted.answered();
    drop(ticket);
    Ok(Json(RunReport::to_wire(&report)))
}

/// Parses and checks the submissions of a body.
fn read(service: &Service, bytes: &[u8]) -> Result<Vec<Task>, ApiError> {
    /// Tells a batch from a single submission before either is parsed, so that the error is about
    /// the one that was meant.
    #[derive(Deserialize)]
    struct Shape {
        submissions: Option<IgnoredAny>,
    }
    let shape: Shape = body::parse(bytes)?;
    if shape.submissions.is_none() {
        let submission: Submission = body::parse(bytes)?;
        let groups = Groups::of(std::slice::from_ref(&submission))?;
        return Ok(vec![service.task_rules().task(submission, 0, &groups)?]);
    }
    let request: JudgeRequest = body::parse(bytes)?;
    check_batch(&request.submissions, service.config.admission.batch_submissions_max.get())?;
    read_batch(&service.task_rules(), request.submissions)
}

fn check_batch(submissions: &[Submission], count_max: usize) -> Result<(), ApiError> {
    if submissions.is_empty() {
        return Err(ApiError::unprocessable(
            "empty_batch",
            "`submissions` is empty",
            "send at least one submission",
        ));
    }
    if submissions.len() > count_max {
        return Err(ApiError::unprocessable(
            "too_many_submissions",
            format!("`submissions` has {} entries, at most {count_max} allowed", submissions.len()),
            "split the batch",
        ));
    }
    let mut ids = HashSet::new();
    for (index, submission) in submissions.iter().enumerate() {
        if let Some(id) = submission.id.as_deref().filter(|id| !ids.insert(*id)) {
            return Err(ApiError::unprocessable(
                "duplicate_id",
                format!("submissions[{index}]: id {id:?} is there twice"),
                "give each submission of a request its own id, or none",
            ));
        }
    }
    Ok(())
}

fn read_batch(rules: &TaskRules<'_>, submissions: Vec<Submission>) -> Result<Vec<Task>, ApiError> {
    let groups = Groups::of(&submissions)?;
    let check = |(index, submission)| {
        rules
            .task(submission, index, &groups)
            .map_err(|error| ApiError::from(error).at(&format!("submissions[{index}]")))
    };
    submissions.into_iter().enumerate().map(check).collect()
}

async fn collect(mut results: Results) -> Response {
    let mut wire = Vec::new();
    while let Some(report) = results.next().await {
        wire.push(report.to_wire());
    }
    wire.sort_by_key(|result| result.index);
    Json(JudgeResponse { results: wire }).into_response()
}

fn stream_results(results: Results, ticket: BodyTicket) -> Response {
    let lines = stream::unfold((results, ticket), |(mut results, ticket)| async {
        let report = results.next().await?;
        let line = match serde_json::to_vec(&report.to_wire()) {
            Ok(mut line) => {
                line.push(b'\n');
                line
            }
            Err(error) => {
                tracing::error!(%error, "a result could not be encoded");
                Vec::new()
            }
        };
        Some((Ok::<_, Infallible>(Bytes::from(line)), (results, ticket)))
    });
    (StatusCode::OK, [(CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
}
