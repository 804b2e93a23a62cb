//! What the service says of itself: languages, health, metrics, its own description.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use protocol::{ErrorBody, LanguagesResponse};

use super::Service;
use super::error::ApiError;

/// Lists the languages, available or not.
#[utoipa::path(
    get,
    path = "/v1/languages",
    tag = "judge",
    responses((status = 200, description = "Every language", body = LanguagesResponse))
)]
pub(super) async fn languages(State(service): State<Arc<Service>>) -> Json<LanguagesResponse> {
    Json(service.languages.describe())
}

/// Says that the process is alive.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses((status = 200, description = "Alive", body = String))
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Says whether new requests are taken.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "Ready", body = String),
        (status = 503, description = "Shutting down", body = ErrorBody),
    )
)]
pub(super) async fn readyz(State(service): State<Arc<Service>>) -> Result<&'static str, ApiError> {
    service.check_open()?;
    Ok(match service.config.wasm_only {
        false => "ready\n",
        true => "ready, for WebAssembly modules alone\n",
    })
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((status = 200, description = "Metrics", body = String))
)]
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Result<Response, ApiError> {
    match service.metrics.encode(service.moment()) {
        Ok(text) => {
            let content_type = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            Ok((StatusCode::OK, content_type, text).into_response())
        }
        Err(error) => {
            tracing::error!(%error, "metrics could not be encoded");
            Err(ApiError::internal())
        }
    }
}

/// Describes this interface.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operation",
    responses((status = 200, description = "The description", body = serde_json::Value))
)]
pub(super) async fn openapi() -> Response {
    Json(super::openapi::describe()).into_response()
}
