//! HTTP: routes, and what they share. Handlers are thin; what they decide lives elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, http};
use sandbox::Limits;
use sandbox::preflight::Layer;

use crate::admission::{Admission, Full, Ticket};
use crate::config::Config;
use crate::language::Languages;
use crate::pipeline::Judge;
use crate::submission::Rules;
use crate::task::TaskRules;
use crate::telemetry::Metrics;

pub mod body;
pub mod error;
mod info;
mod judge;
pub mod openapi;
mod page;
pub mod server;
mod stats;

use error::ApiError;

const ROUTES: [&str; 9] = [
    "/v1/judge",
    "/v1/run",
    "/v1/languages",
    "/v1/stats",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/",
];

/// What the handlers share.
#[derive(Debug)]
pub struct Service {
    /// How it was set up.
    pub config: Config,
    /// What it can run.
    pub languages: Languages,
    /// Where programs run.
    pub judge: Judge,
    /// Who may enter.
    pub admission: Admission,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    limits_max: Limits,
    testlib: Option<bytes::Bytes>,
    isolation: Vec<Layer>,
    closing: AtomicBool,
}

impl Service {
    /// A service that takes requests.
    #[must_use]
    pub fn new(config: Config, languages: Languages, judge: Judge, metrics: Arc<Metrics>) -> Self {
        let admission = Admission::new(
            config.admission.queue_submissions_max.get(),
            config.admission.bodies_bytes_max.get(),
        );
        let limits_max = config.program_limits_max();
        let closing = AtomicBool::new(false);
        let (testlib, isolation) = (None, Vec::new());
        Self {
            config,
            languages,
            judge,
            admission,
            metrics,
            limits_max,
            testlib,
            isolation,
            closing,
        }
    }

    /// With the operator's copy of `testlib.h`.
    #[must_use]
    pub fn with_testlib(mut self, testlib: Option<bytes::Bytes>) -> Self {
        self.testlib = testlib;
        self
    }

    /// With what was found to isolate programs.
    #[must_use]
    pub fn with_isolation(mut self, isolation: Vec<Layer>) -> Self {
        self.isolation = isolation;
        self
    }

    fn isolation(&self) -> &[Layer] {
        &self.isolation
    }

    /// Takes no new requests from now on; what was admitted is finished.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn check_open(&self) -> Result<(), ApiError> {
        if self.closing.load(Ordering::Relaxed) { Err(ApiError::shutting_down()) } else { Ok(()) }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            languages: &self.languages,
            limits_max: &self.limits_max,
            testlib: self.testlib.as_ref(),
        }
    }

    fn task_rules(&self) -> TaskRules<'_> {
        TaskRules { programs: self.rules(), reward_models: self.judge.reward_model_names() }
    }

    fn admit(&self, count: usize) -> Result<Ticket, Full> {
        self.admission.admit(count).inspect_err(|_| self.metrics.refused())
    }
}

/// All routes.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/judge", post(judge::judge))
        .route("/v1/run", post(judge::run))
        .route("/v1/languages", get(info::languages))
        .route("/v1/stats", get(stats::stats))
        .route("/v1/stats/recent/{number}", get(stats::recent))
        .route("/", get(page::index))
        .route("/page.css", get(page::style))
        .route("/page.js", get(page::script))
        .route("/healthz", get(info::healthz))
        .route("/readyz", get(info::readyz))
        .route("/metrics", get(info::metrics))
        .route("/openapi.json", get(info::openapi))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&service), count))
        .with_state(service)
}

/// A body whose announced length is within the bound.
struct CountedBody(Body);

impl FromRequest<Arc<Service>> for CountedBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, ApiError> {
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        body::check_length(service, length)?;
        Ok(Self(request.into_body()))
    }
}

async fn count(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let endpoint =
        ROUTES.iter().find(|route| **route == request.uri().path()).copied().unwrap_or("other");
    let start = Instant::now();
    let response = next.run(request).await;
    let seconds = start.elapsed().as_secs_f64();
    service.metrics.requested(endpoint, response.status().as_u16(), seconds);
    response
}

async fn not_found(uri: http::Uri) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is nothing at {}", uri.path()),
        format!("paths: {}", ROUTES.join(", ")),
    )
}

async fn method_not_allowed(method: http::Method, uri: http::Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} is not for {}", uri.path()),
        "GET /openapi.json describes the methods of each path",
    )
}

#[cfg(test)]
mod tests;
