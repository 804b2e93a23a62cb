//! What all wires share: a request is read within bounds, work is admitted, a reply is sent within
//! bounds. A wire decides only how things are said.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use protocol::{Failure, Submission, SubmissionResult};
use sandbox::{Outcome, RunSpec};
use serde::Serialize;

use super::super::body::{self, Received};
use super::super::error::ApiError;
use super::super::{CountedBody, Service};
use crate::batch;
use crate::execution::{Execution, Joined, Pipe};
use crate::limits::{COMPAT_REPLY_INLINE_BYTES_MAX, COMPAT_RETRY_SECONDS};
use crate::pipeline::Judge;
use crate::plan::RunPlan;
use crate::report::JudgeFailure;
use crate::reward::length::Groups;
use crate::task::Task;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// The request is wrong, or there is no room for it.
    Request(ApiError),
    /// We failed.
    Failure(Failure),
}

/// What a fault means to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The request must be changed.
    Wrong,
    /// There is no room now.
    Busy,
    /// We failed; the same may work later.
    MayPass,
    /// We failed, and will again.
    Stays,
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Request(error)
    }
}

impl Fault {
    /// What it means.
    pub(super) fn meaning(&self) -> Meaning {
        match self {
            Self::Request(error) => match error.status.as_u16() {
                429 | 503 => Meaning::Busy,
                500.. => Meaning::MayPass,
                _ => Meaning::Wrong,
            },
            Self::Failure(failure) if failure.retryable => Meaning::MayPass,
            Self::Failure(_) => Meaning::Stays,
        }
    }

    /// In words.
    pub(super) fn message(&self) -> String {
        match self {
            // The description of the native interface tells nothing of the wires.
            Self::Request(error) if error.hint.contains("/openapi.json") => error.message.clone(),
            Self::Request(error) => format!("{} ({})", error.message, error.hint),
            Self::Failure(failure) => failure.message.clone(),
        }
    }

    /// The class of the failure, in a word.
    pub(super) fn class(&self) -> &'static str {
        use protocol::FailureClass as Class;
        match self {
            Self::Request(_) => match self.meaning() {
                Meaning::Wrong => "bad_request",
                Meaning::Busy => "overloaded",
                Meaning::MayPass | Meaning::Stays => "infrastructure_failed",
            },
            Self::Failure(failure) => match failure.class {
                Class::Infrastructure => "infrastructure_failed",
                Class::Shutdown => "shutdown",
                Class::Judge => "judge_failed",
                Class::Flagged => "flagged",
                Class::Deadline => "deadline",
                Class::Cancelled => "cancelled",
            },
        }
    }

    /// A reply with `status`, and with the time after which to come back where that may help.
    pub(super) fn reply(&self, status: StatusCode, value: &impl Serialize) -> Response {
        let mut response = (status, axum::Json(value)).into_response();
        let seconds = match self {
            Self::Request(error) => error.retry_after_seconds,
            Self::Failure(failure) => failure.retryable.then_some(COMPAT_RETRY_SECONDS),
        };
        if let Some(seconds) = seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Reads the body of a request and makes something of it, beside the event loop where it is large.
pub(super) async fn read<T: Send + 'static>(
    service: &Arc<Service>,
    request: Request,
    work: impl FnOnce(&Service, &[u8]) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    service.check_open()?;
    let CountedBody(body) = CountedBody::from_request(request, service).await?;
    let Received { bytes, ticket } = body::receive(service, body).await?;
    let reader = Arc::clone(service);
    let value = body::work(bytes, move |bytes| work(&reader, bytes)).await;
    drop(ticket);
    value
}

/// Checks submissions; errors name the one that is wrong.
pub(super) fn tasks(
    service: &Service,
    submissions: Vec<Submission>,
) -> Result<Vec<Task>, ApiError> {
    let count_max = service.config.admission.batch_submissions_max.get();
    if submissions.len() > count_max {
        let message = format!("there are {} items, at most {count_max} allowed", submissions.len());
        return Err(ApiError::unprocessable("too_many_submissions", message, "split the request"));
    }
    let groups = Groups::of(&submissions)?;
    let rules = service.task_rules();
    let one = |(index, submission)| {
        rules
            .task(submission, index, &groups)
            .map_err(|error| ApiError::from(error).at(&format!("item {index}")))
    };
    submissions.into_iter().enumerate().map(one).collect()
}

/// Judges; results in the order of the tasks. Dropping the future ends what runs.
pub(super) async fn judge(
    service: &Service,
    tasks: Vec<Task>,
) -> Result<Vec<SubmissionResult>, ApiError> {
    let ticket = service.admit(tasks.len())?;
    let mut results = batch::judge(service.judge.clone(), tasks, ticket);
    let mut wire = Vec::new();
    while let Some(report) = results.next().await {
        wire.push(report.to_wire());
    }
    wire.sort_by_key(|result| result.index);
    Ok(wire)
}

/// Runs a program.
pub(super) async fn execute(service: &Service, plan: &RunPlan) -> Result<Execution, Fault> {
    admitted(service, async |judge| judge.execute(plan).await).await
}

/// Runs a command; what cannot be executed is told in words.
pub(super) async fn run_command(
    service: &Service,
    spec: &RunSpec,
) -> Result<Result<Outcome, String>, Fault> {
    admitted(service, async |judge| judge.run_command(spec).await).await
}

/// Runs two commands that are joined by pipes.
pub(super) async fn run_joined(
    service: &Service,
    specs: [&RunSpec; 2],
    pipes: &[Pipe],
) -> Result<Joined, Fault> {
    admitted(service, async |judge| judge.run_joined(specs, pipes).await).await
}

/// Does `work` when it is admitted, on behalf of whoever called.
pub(super) async fn admitted<T>(
    service: &Service,
    work: impl AsyncFnOnce(Judge) -> Result<T, JudgeFailure>,
) -> Result<T, Fault> {
    let mut ticket = service.admit(1).map_err(ApiError::from)?;
    let result = work(service.judge.clone().on_behalf(ticket.flow())).await;
    ticket.answered();
    result.map_err(|failure| Fault::Failure(failure.to_wire()))
}

/// A reply as JSON. What is large counts with the bodies that are held at once, until it is sent.
///
/// # Errors
/// There is no room for it.
pub(super) fn json(
    service: &Service,
    status: StatusCode,
    value: &impl Serialize,
) -> Result<Response, Fault> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_of(service, status, "application/json", bytes.into()),
        Err(error) => {
            tracing::error!(%error, "a reply could not be encoded");
            Err(ApiError::internal().into())
        }
    }
}

/// A reply of bytes, bounded in the same way.
///
/// # Errors
/// There is no room for it.
pub(super) fn bytes_of(
    service: &Service,
    status: StatusCode,
    content_type: &'static str,
    bytes: Bytes,
) -> Result<Response, Fault> {
    let head = [(CONTENT_TYPE, content_type)];
    if bytes.len() <= COMPAT_REPLY_INLINE_BYTES_MAX {
        return Ok((status, head, bytes).into_response());
    }
    let tenant = service.tenant();
    let ticket = service.admission.admit_body(&tenant, bytes.len()).map_err(ApiError::from)?;
    let parts = stream::unfold(Some((bytes, ticket)), |held| async {
        // The ticket lives until the next part is asked for, when this one is on its way.
        let (bytes, ticket) = held?;
        if bytes.is_empty() {
            return None;
        }
        Some((Ok::<_, Infallible>(bytes), Some((Bytes::new(), ticket))))
    });
    Ok((status, head, Body::from_stream(parts)).into_response())
}
