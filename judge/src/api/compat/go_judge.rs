//! go-judge: `/run` and `/file`, `/version`.
//!
//! Commands name absolute programs of the image that slots show by default, or files copied in; they
//! run in our slots. The cpu time decides: `clockLimit` is a limit of its own where it is given, and a
//! wide guard where it is not. What would need another sandbox (`tty`, `symlink`, files of the host,
//! processor sets, more than two commands joined by pipes) is an error that says so. Files are kept for
//! a bounded time ([`store`]).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};

mod command;
mod form;
mod result;
pub(super) mod store;

use command::{Run, Wiring};
use result::CommandResult;
use store::Owner;

pub(super) const PATHS: [&str; 3] = ["/run", "/file", "/version"];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/run", post(run))
        .route("/file", post(add_file).get(list_files))
        .route("/file/{id}", get(file).delete(remove_file))
        .route("/version", get(|| async { axum::Json(version()) }))
}

fn version() -> serde_json::Value {
    json!({
        "buildVersion": concat!("assay-", env!("CARGO_PKG_VERSION")),
        "goVersion": "none",
        "platform": std::env::consts::ARCH,
        "os": std::env::consts::OS,
        "copyOutOptional": true,
        "pipeProxy": true,
    })
}

/// Whose files these are: whoever shows the same key.
fn owner(headers: &HeaderMap) -> Owner {
    Owner::of(headers.get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes()))
}

async fn run(State(service): State<Arc<Service>>, request: Request) -> Response {
    let owner = owner(request.headers());
    let reply = async {
        let reader = owner.clone();
        let read = door::read(&service, request, move |service, bytes| {
            command::read(service, &reader, body::parse(bytes)?)
        });
        let Run { commands, wiring } = read.await?;
        let mut results = Vec::new();
        match wiring {
            Wiring::Apart => {
                for command in &commands {
                    let outcome = door::run_command(&service, &command.spec).await;
                    results.push(match outcome {
                        Ok(Ok(outcome)) => command.result(&service.compat.files, &owner, &outcome),
                        Ok(Err(reason)) => CommandResult::failed(reason),
                        Err(Fault::Failure(failure)) => CommandResult::failed(failure.message),
                        Err(fault) => return Err(fault),
                    });
                }
            }
            Wiring::Joined { pipes, names } => {
                let [first, second] = &commands[..] else {
                    return Err(ApiError::internal().into());
                };
                let specs = [&first.spec, &second.spec];
                match door::run_joined(&service, specs, &pipes).await {
                    Ok(joined) => {
                        let store = &service.compat.files;
                        for (command, outcome) in commands.iter().zip(&joined.outcomes) {
                            results.push(command.result(store, &owner, outcome));
                        }
                        for ((pipe, name), passed) in pipes.iter().zip(names).zip(&joined.passed) {
                            results[pipe.from].note(name, passed);
                        }
                    }
                    Err(Fault::Failure(failure)) => {
                        results.extend(
                            commands.iter().map(|_| CommandResult::failed(failure.message.clone())),
                        );
                    }
                    Err(fault) => return Err(fault),
                }
            }
        }
        door::json(&service, StatusCode::OK, &results)
    };
    match reply.await {
        Ok(response) => response,
        Err(fault) => refuse(&fault),
    }
}

async fn add_file(State(service): State<Arc<Service>>, request: Request) -> Response {
    let owner = owner(request.headers());
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let id = door::read(&service, request, move |service, bytes| {
        let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
        let file = form::file(content_type.unwrap_or_default(), bytes)?;
        service.compat.files.put(&owner, &file.name, file.content).map_err(full)
    });
    match id.await {
        Ok(id) => axum::Json(id).into_response(),
        Err(error) => refuse(&error.into()),
    }
}

fn full(full: store::Full) -> ApiError {
    ApiError::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "files_full",
        full.to_string(),
        "delete files that are not needed, or wait until old ones go",
    )
}

async fn list_files(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    axum::Json(service.compat.files.list(&owner(&headers))).into_response()
}

async fn file(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match service.compat.files.find(&owner(&headers), &id) {
        Some(file) => {
            let kind = "application/octet-stream";
            let reply = door::bytes_of(&service, StatusCode::OK, kind, file.content);
            reply.unwrap_or_else(|fault| refuse(&fault))
        }
        None => not_found(),
    }
}

async fn remove_file(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match service.compat.files.remove(&owner(&headers), &id) {
        true => StatusCode::OK.into_response(),
        false => not_found(),
    }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, axum::Json("file not found, or kept no longer")).into_response()
}

/// Errors are texts. A full queue is 503 where the original says 500: both are errors to its clients,
/// and one says when to come back.
fn refuse(fault: &Fault) -> Response {
    let status = match (fault, fault.meaning()) {
        (Fault::Request(error), Meaning::Wrong)
            if error.status != StatusCode::UNPROCESSABLE_ENTITY =>
        {
            error.status
        }
        (_, Meaning::Wrong) => StatusCode::BAD_REQUEST,
        (Fault::Request(error), Meaning::MayPass) => error.status,
        (_, Meaning::Busy | Meaning::MayPass | Meaning::Stays) => StatusCode::SERVICE_UNAVAILABLE,
    };
    fault.reply(status, &fault.message())
}
