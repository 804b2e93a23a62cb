//! `/v1/batches`: work that goes on when its connection is gone.
//!
//! A batch runs to its end unless it is deleted, whether anybody listens or not, and is kept for
//! `batches.keep_ms` after that. Reading its events takes nothing away from it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use protocol::{BatchState, BatchStatus, ErrorBody, GroupResult, JudgeRequest, SubmissionResult};
use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{self, Received};
use super::error::ApiError;
use super::request::{self, Asked};
use super::stream::{self, Feed, Form};
use super::{CountedBody, Service};
use crate::batch;
use crate::batches::{Batch, BatchError, Request};
use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const LAST_EVENT_ID: &str = "last-event-id";

/// Begins a batch.
///
/// The body is that of `POST /v1/judge`. With the header `Idempotency-Key`, the same key and body
/// give the same batch for as long as it is kept.
#[utoipa::path(
    post,
    path = "/v1/batches",
    tag = "batches",
    request_body = JudgeRequest,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request"),
    ),
    responses(
        (status = 202, description = "Begun, or begun before by the same request", body = BatchStatus),
        (status = 400, description = "The body is not JSON", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 422, description = "A submission makes no sense, or the key was used for another \
            request", body = ErrorBody),
        (status = 429, description = "The queue is full, or too many batches run", body = ErrorBody),
        (status = 503, description = "The service is shutting down", body = ErrorBody),
    )
)]
pub(super) async fn begin(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    CountedBody(body): CountedBody,
) -> Result<Response, ApiError> {
    service.check_open()?;
    let received = body::receive(&service, body).await?;
    let batch = open(&service, &headers, received).await?;
    let location = HeaderValue::from_str(&format!("/v1/batches/{}", batch.id));
    let mut reply = (StatusCode::ACCEPTED, Json(Status::of(&batch, usize::MAX))).into_response();
    if let Ok(location) = location {
        reply.headers_mut().insert(LOCATION, location);
    }
    Ok(reply)
}

/// What a batch is doing, and its results so far.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}",
    tag = "batches",
    params(
        ("id" = String, Path, description = "The batch"),
        ("after" = Option<usize>, Query, description = "Leaves out the results up to this number"),
    ),
    responses(
        (status = 200, description = "The batch", body = BatchStatus),
        (status = 404, description = "It is not known, or not kept any more", body = ErrorBody),
    )
)]
pub(super) async fn status(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let after = after(&uri)?.unwrap_or(0);
    let batch = find(&service, &id)?;
    Ok(Json(Status::of(&batch, after)).into_response())
}

/// The results of a batch as they become ready.
///
/// Lines of JSON, or server-sent events where the client accepts those; each result carries its
/// number. `after`, or the header `Last-Event-ID`, goes on after a number.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}/events",
    tag = "batches",
    params(
        ("id" = String, Path, description = "The batch"),
        ("after" = Option<usize>, Query, description = "Goes on after the result with this number"),
        ("Last-Event-ID" = Option<usize>, Header, description = "The same, as browsers send it"),
    ),
    responses(
        (status = 200, description = "Results", content(
            (SubmissionResult = "application/x-ndjson"),
            (String = "text/event-stream"),
        )),
        (status = 404, description = "It is not known, or not kept any more", body = ErrorBody),
        (status = 422, description = "The number is none", body = ErrorBody),
    )
)]
pub(super) async fn events(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let after = match after(&uri)? {
        Some(after) => after,
        None => last_event_id(&headers)?.unwrap_or(0),
    };
    let batch = find(&service, &id)?;
    let form = match Form::of(&headers) {
        Form::Events => Form::Events,
        Form::Lines | Form::Whole => Form::Lines,
    };
    Ok(stream::respond(Feed::Batch(batch, after), form).await)
}

/// Ends a batch.
///
/// What still runs is ended and its slots are free at once; what had no result is reported with a
/// failure of class `cancelled`. The batch is kept like one that was done.
#[utoipa::path(
    delete,
    path = "/v1/batches/{id}",
    tag = "batches",
    params(("id" = String, Path, description = "The batch")),
    responses(
        (status = 200, description = "It has ended", body = BatchStatus),
        (status = 404, description = "It is not known, or not kept any more", body = ErrorBody),
    )
)]
pub(super) async fn cancel(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let batch = find(&service, &id)?;
    batch.cancel();
    batch.events.finished().await;
    Ok(Json(Status::of(&batch, usize::MAX)).into_response())
}

/// The batch of a request: the one that it began before, where it names itself, or a new one.
pub(super) async fn open(
    service: &Arc<Service>,
    headers: &HeaderMap,
    received: Received,
) -> Result<Arc<Batch>, ApiError> {
    let Received { bytes, mut ticket } = received;
    let request = idempotency_key(headers)?.map(|key| Request { key, digest: digest(&bytes) });
    let tenant = Arc::clone(&service.tenant().name);
    if let Some(request) = &request
        && let Some(batch) = service.batches.known(&tenant, request)?
    {
        return Ok(batch);
    }
    let held = bytes.len();
    let reader = Arc::clone(service);
    let asked = body::work(bytes, move |bytes| request::read(&reader, bytes)).await?;
    let Asked { tasks, priority, unfolded_bytes } = asked;
    ticket.grow(held + unfolded_bytes)?;
    let count = tasks.len();
    service.batches.begin(&tenant, request, count, || {
        let admitted = service.admit_for(priority, count)?.with_body(ticket);
        Ok(batch::judge(service.judge.clone(), tasks, admitted))
    })
}

/// Whether a request names itself.
pub(super) fn has_key(headers: &HeaderMap) -> bool {
    headers.contains_key(IDEMPOTENCY_KEY)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key =
        value.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()));
    let message = "the header Idempotency-Key cannot be used";
    let hint = format!("1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters");
    key.map(|key| Some(key.to_owned()))
        .ok_or_else(|| ApiError::unprocessable("invalid_idempotency_key", message, hint))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// The number after which results are asked for.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<usize>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    value.to_str().ok().and_then(|text| text.parse().ok()).map(Some).ok_or_else(no_number)
}

fn after(uri: &Uri) -> Result<Option<usize>, ApiError> {
    let mut after = None;
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", number)) => after = Some(number.parse().map_err(|_| no_number())?),
            Some(_) | None => {
                let message = format!("the query has {pair:?}");
                let hint = "`after` is all that it may have";
                return Err(ApiError::unprocessable("unknown_parameter", message, hint));
            }
        }
    }
    Ok(after)
}

fn no_number() -> ApiError {
    let hint = "give the number of the last result that you have, or leave it out";
    ApiError::unprocessable("invalid_number", "`after` or Last-Event-ID is not a number", hint)
}

fn find(service: &Service, id: &str) -> Result<Arc<Batch>, ApiError> {
    service.batches.find(&service.tenant().name, id).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "unknown_batch",
            "there is no such batch",
            "it ended some time ago, or before the service was started, or is not yours; begin it \
             again",
        )
    })
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::OtherRequest => Self::unprocessable(
                "idempotency_key_reused",
                error.to_string(),
                "send the same body as before, or choose another key",
            ),
            BatchError::Full => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                let hint = "wait until one of them is done, or delete one";
                let mut full = Self::new(status, "too_many_batches", error.to_string(), hint);
                full.retry_after_seconds = Some(1);
                full
            }
            BatchError::NoId => {
                tracing::error!(%error, "a batch was not begun");
                Self::internal()
            }
        }
    }
}

/// [`BatchStatus`] with results as they are kept.
#[derive(Serialize)]
struct Status {
    id: String,
    status: BatchState,
    submissions: usize,
    answered: usize,
    results: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupResult>,
}

impl Status {
    fn of(batch: &Batch, after: usize) -> Self {
        // Before the results, so that a batch that is done shows all of them.
        let status = batch.events.state();
        let results = batch.events.after(after);
        let raw = |line: &bytes::Bytes| {
            let text = String::from_utf8_lossy(line).into_owned();
            RawValue::from_string(text).ok()
        };
        Self {
            id: batch.id.clone(),
            status,
            submissions: batch.submissions,
            answered: batch.events.count(),
            results: results.iter().filter_map(raw).collect(),
            groups: batch.groups(),
        }
    }
}
