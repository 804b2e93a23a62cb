//! `POST /v1/judge` and `POST /v1/run`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use protocol::{ErrorBody, JudgeRequest, JudgeResponse, RunRequest, RunResponse, SubmissionResult};

use super::body::{self, Received};
use super::error::ApiError;
use super::request::{self, Asked};
use super::stream::{self, Feed, Form};
use super::{CountedBody, Service, batches};
use crate::batch;
use crate::report::RunReport;

/// Judges one submission or many.
///
/// The body is `{"submissions":[...]}`, or one submission in its place; `groups` are completions of
/// one prompt. With `Accept: application/x-ndjson` each result is sent as one line the moment it is
/// ready, in completion order, with `Accept: text/event-stream` as an event; otherwise all come in
/// one JSON object, in the order of the request. When the client goes away, what still runs is
/// ended, unless the request names itself by the header `Idempotency-Key`: then it is a batch, and
/// the same request finds it again, after the number that `Last-Event-ID` gives.
#[utoipa::path(
    post,
    path = "/v1/judge",
    tag = "judge",
    request_body = JudgeRequest,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request"),
        ("assay-priority" = Option<String>, Header, description = "train, eval or interactive"),
    ),
    responses(
        (status = 200, description = "Results", content(
            (JudgeResponse = "application/json"),
            (SubmissionResult = "application/x-ndjson"),
            (String = "text/event-stream"),
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
    let received = body::receive(&service, body).await?;
    let form = Form::of(&headers);
    if batches::has_key(&headers) {
        let after = batches::last_event_id(&headers)?.unwrap_or(0);
        let batch = batches::open(&service, &headers, received).await?;
        return Ok(stream::respond(Feed::Batch(batch, after), form).await);
    }
    let Received { bytes, mut ticket } = received;
    let (reader, held) = (Arc::clone(&service), bytes.len());
    let asked = body::work(bytes, move |bytes| request::read(&reader, bytes)).await?;
    let Asked { tasks, priority, unfolded_bytes } = asked;
    ticket.grow(held + unfolded_bytes)?;
    let admitted = service.admit_for(priority, tasks.len())?;
    let results = batch::judge(service.judge.clone(), tasks, admitted);
    Ok(stream::respond(Feed::of(results, ticket), form).await)
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
    let judge = service.judge.clone().on_behalf(admitted.flow());
    let report = judge.run(&run).await;
    admitted.answered();
    drop(ticket);
    Ok(Json(RunReport::to_wire(&report)))
}
