//! Judge0: `/submissions` (`wait`, batches, base64, `fields`), `/languages`, `/statuses`, `/about`.
//!
//! Tokens are kept for a bounded time, in a bounded number ([`store`]). Times are cpu times; a program
//! that met its limit of memory has status 12 and a message. Our failures are status 13. Options that
//! change what a program may do (`enable_network`, `callback_url` and the like) are refused, not
//! ignored.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};
use crate::limits::JUDGE0_BATCH_MAX;

mod languages;
mod shown;
pub(super) mod store;
mod submission;

use submission::{Sent, Wanted};

pub(super) const PATHS: [&str; 5] =
    ["/submissions", "/submissions/batch", "/languages", "/statuses", "/about"];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/submissions", post(create))
        .route("/submissions/batch", post(create_batch).get(show_batch))
        .route("/submissions/{token}", get(show))
        .route("/languages", get(languages::list))
        .route("/languages/{id}", get(languages::one))
        .route("/statuses", get(|| async { axum::Json(shown::statuses()) }))
        .route("/about", get(|| async { axum::Json(about()) }))
}

fn about() -> Value {
    json!({
        "version": "1.13.1",
        "homepage": "https://judge0.com",
        "source_code": "",
        "maintainer": "Assay, which speaks the interface of Judge0",
    })
}

/// What a query may say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    base64_encoded: bool,
    wait: bool,
    fields: Option<String>,
    tokens: Option<String>,
}

impl Options {
    fn read(uri: &Uri) -> Result<Self, ApiError> {
        let mut options = Self::default();
        let query = uri.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let value = unescaped(value);
            match name {
                "base64_encoded" => options.base64_encoded = value == "true",
                "wait" => options.wait = value == "true",
                "fields" => options.fields = Some(value),
                "tokens" => options.tokens = Some(value),
                other => {
                    let message = format!("query parameter {other:?} is not known");
                    let hint = "base64_encoded, wait, fields, tokens";
                    return Err(ApiError::new(StatusCode::BAD_REQUEST, "query", message, hint));
                }
            }
        }
        Ok(options)
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { base64: self.base64_encoded, fields: self.fields.as_deref() }
    }
}

/// A value of a query, with its `%` escapes undone.
fn unescaped(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let escaped = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn create(State(service): State<Arc<Service>>, request: Request) -> Response {
    let reply = async {
        let options = Options::read(request.uri())?;
        let base64 = options.base64_encoded;
        let sent = door::read(&service, request, move |service, bytes| {
            submission::read(service, body::parse(bytes)?, base64)
        });
        let sent = sent.await?;
        if !options.wait {
            let token = start(&service, sent)?;
            return Ok(created(&json!({"token": token})));
        }
        let done = submission::run(&service, sent).await?;
        let token = service.compat.judge0.put(done.clone()).map_err(busy)?;
        let shown = shown::show(&token, &done, options.wanted())?;
        door::json(&service, StatusCode::CREATED, &shown)
    };
    match reply.await {
        Ok(response) => response,
        Err(fault) => refuse(&fault),
    }
}

async fn create_batch(State(service): State<Arc<Service>>, request: Request) -> Response {
    #[derive(Deserialize)]
    #[serde(remote = "Self", deny_unknown_fields)]
    struct Batch {
        submissions: Vec<Map<String, Value>>,
    }

    protocol::read_object!(Batch);
    let base64 = match Options::read(request.uri()) {
        Ok(options) => options.base64_encoded,
        Err(error) => return refuse(&error.into()),
    };
    let sent = door::read(&service, request, move |service, bytes| {
        let Batch { submissions } = body::parse(bytes)?;
        if submissions.is_empty() || submissions.len() > JUDGE0_BATCH_MAX {
            let message =
                format!("number of submissions in a batch should be 1 to {JUDGE0_BATCH_MAX}");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "batch", message, "split it"));
        }
        let one = |fields: Map<String, Value>| {
            submission::Request::from_map(fields)
                .and_then(|request| submission::read(service, request, base64))
        };
        Ok(submissions.into_iter().map(one).collect::<Vec<_>>())
    });
    let sent = match sent.await {
        Ok(sent) => sent,
        Err(error) => return refuse(&error.into()),
    };
    let mut tokens = Vec::new();
    for one in sent {
        tokens.push(match one.map_err(Fault::from).and_then(|sent| start(&service, sent)) {
            Ok(token) => json!({"token": token}),
            Err(fault) if fault.meaning() == Meaning::Wrong => json!({"error": fault.message()}),
            Err(fault) => return refuse(&fault),
        });
    }
    created(&json!(tokens))
}

fn created(value: &Value) -> Response {
    (StatusCode::CREATED, axum::Json(value)).into_response()
}

/// Runs a submission beside the reply. Its room in the queue is taken before, so that a full queue is
/// told at once.
fn start(service: &Arc<Service>, sent: Sent) -> Result<String, Fault> {
    let ticket = service.admit(1).map_err(ApiError::from)?;
    let token = service.compat.judge0.reserve().map_err(busy)?;
    let (service, reserved) = (Arc::clone(service), token.clone());
    tokio::spawn(async move {
        let mut ticket = ticket;
        let judge = service.judge.clone().on_behalf(ticket.flow());
        let done = submission::run_admitted(&judge, sent).await;
        ticket.answered();
        service.compat.judge0.finish(&reserved, done);
    });
    Ok(token)
}

fn busy(full: store::Full) -> Fault {
    let mut error = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "queue_full",
        full.to_string(),
        "come back later, or use wait=true",
    );
    error.retry_after_seconds = Some(crate::limits::COMPAT_RETRY_SECONDS);
    error.into()
}

async fn show(
    State(service): State<Arc<Service>>,
    Path(token): Path<String>,
    uri: Uri,
) -> Response {
    let options = match Options::read(&uri) {
        Ok(options) => options,
        Err(error) => return refuse(&error.into()),
    };
    let Some(found) = service.compat.judge0.find(&token) else {
        return not_found();
    };
    let shown = shown::show(&token, &found, options.wanted());
    let reply = shown.and_then(|shown| door::json(&service, StatusCode::OK, &shown));
    reply.unwrap_or_else(|fault| refuse(&fault))
}

async fn show_batch(State(service): State<Arc<Service>>, uri: Uri) -> Response {
    let options = match Options::read(&uri) {
        Ok(options) => options,
        Err(error) => return refuse(&error.into()),
    };
    let tokens: Vec<&str> = options.tokens.as_deref().unwrap_or_default().split(',').collect();
    if tokens.len() > JUDGE0_BATCH_MAX {
        let message = format!("number of submissions in a batch should be 1 to {JUDGE0_BATCH_MAX}");
        let error = ApiError::new(StatusCode::BAD_REQUEST, "batch", message, "split it");
        return refuse(&error.into());
    }
    let one = |token: &str| match service.compat.judge0.find(token) {
        Some(found) => shown::show(token, &found, options.wanted()),
        None => Ok(Value::Null),
    };
    let shown: Result<Vec<Value>, Fault> = tokens.into_iter().map(one).collect();
    let reply = shown
        .and_then(|shown| door::json(&service, StatusCode::OK, &json!({"submissions": shown})));
    reply.unwrap_or_else(|fault| refuse(&fault))
}

fn not_found() -> Response {
    let error = json!({"error": "submission not found, or kept no longer"});
    (StatusCode::NOT_FOUND, axum::Json(error)).into_response()
}

fn refuse(fault: &Fault) -> Response {
    let status = match (fault, fault.meaning()) {
        (Fault::Request(error), Meaning::Wrong) => error.status,
        (_, Meaning::Wrong | Meaning::Busy | Meaning::MayPass | Meaning::Stays) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    fault.reply(status, &json!({"error": fault.message()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_nothing_unknown_is_ignored() {
        let read = |query: &str| Options::read(&format!("/submissions?{query}").parse().unwrap());
        let all = read("base64_encoded=true&wait=false&fields=*&tokens=a%2Cb,c%").unwrap();
        assert_eq!((all.base64_encoded, all.wait), (true, false));
        assert_eq!((all.fields.as_deref(), all.tokens.as_deref()), (Some("*"), Some("a,b,c%")));
        assert_eq!(read("").unwrap(), Options::default());
        assert!(read("wiat=true").is_err());
    }
}
