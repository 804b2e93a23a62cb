//! HTTP: routes, and what they share. Handlers are thin; what they decide lives elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware;
use axum::routing::{get, post};
use axum::{Router, http};
use protocol::Priority;
use sandbox::Limits;
use sandbox::preflight::Layer;

use crate::admission::{Admission, Full, Ticket};
use crate::batches::Batches;
use crate::config::Config;
use crate::language::Languages;
use crate::pipeline::Judge;
use crate::session::{SessionRules, Sessions};
use crate::submission::Rules;
use crate::task::TaskRules;
use crate::telemetry::{Metrics, Moment};
use crate::tenants::{Tenant, Tenants};

mod batches;
pub mod body;
mod caller;
pub mod compat;
mod encoding;
pub mod error;
mod info;
mod judge;
pub mod notebooks;
pub mod openapi;
mod page;
mod request;
pub mod server;
mod sessions;
mod stats;
mod stream;
pub mod tls;

use caller::Caller;
use error::ApiError;

const ROUTES: [&str; 20] = [
    "/v1/judge",
    "/v1/run",
    "/v1/sessions",
    "/v1/sessions/{id}",
    "/v1/sessions/{id}/execute",
    "/v1/sessions/{id}/interrupt",
    "/v1/sessions/{id}/restart",
    "/v1/sessions/{id}/files",
    "/v1/sessions/{id}/files/{path}",
    "/v1/notebooks/run",
    "/v1/batches",
    "/v1/batches/{id}",
    "/v1/batches/{id}/events",
    "/v1/languages",
    "/v1/stats",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/",
];

/// What the handlers share. Its configuration does not change: when it is read again, another
/// service takes the place of this one, with the same slots, queue and batches.
#[derive(Clone, Debug)]
pub struct Service {
    /// How it was set up.
    pub config: Config,
    /// What it can run.
    pub languages: Arc<Languages>,
    /// Where programs run.
    pub judge: Judge,
    /// Who may enter.
    pub admission: Admission,
    /// What outlives its connection.
    pub batches: Batches,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    tenants: Tenants,
    limits_max: Limits,
    testlib: Option<bytes::Bytes>,
    isolation: Vec<Layer>,
    sessions: Option<Sessions>,
    closing: Arc<AtomicBool>,
    compat: Arc<compat::Kept>,
}

impl Service {
    /// A service that takes requests.
    #[must_use]
    pub fn new(config: Config, languages: Languages, judge: Judge, metrics: Arc<Metrics>) -> Self {
        let admission = Admission::new(
            config.admission.queue_submissions_max.get(),
            config.admission.bodies_bytes_max.get(),
            judge.slots().status().slots,
        );
        let tenants = config.tenants();
        let batches = Batches::new(config.batch_bounds());
        let limits_max = config.program_limits_max();
        let (languages, closing, compat) = (Arc::new(languages), Arc::default(), Arc::default());
        let (testlib, isolation, sessions) = (None, Vec::new(), None);
        Self {
            config,
            languages,
            judge,
            admission,
            batches,
            metrics,
            tenants,
            limits_max,
            testlib,
            isolation,
            sessions,
            closing,
            compat,
        }
    }

    /// The same service under another configuration, as far as it can change while slots stand.
    /// What was admitted stays so.
    #[must_use]
    pub fn reconfigured(&self, config: Config) -> Self {
        let (tenants, limits_max) = (config.tenants(), config.program_limits_max());
        Self { tenants, limits_max, config, ..self.clone() }
    }

    /// Sets the bounds of what it shares with the service before it.
    fn take_over(&self) {
        let admission = &self.config.admission;
        self.admission
            .set_bounds(admission.queue_submissions_max.get(), admission.bodies_bytes_max.get());
        self.batches.set_bounds(self.config.batch_bounds());
    }

    /// With sessions.
    #[must_use]
    pub fn with_sessions(mut self, sessions: Option<Sessions>) -> Self {
        self.sessions = sessions;
        self
    }

    /// Ends all sessions and waits for that.
    pub async fn close_sessions(&self) {
        if let Some(sessions) = &self.sessions {
            sessions.close_all().await;
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
            repositories: self.config.repositories.as_deref(),
        }
    }

    fn session_rules(&self) -> SessionRules<'_> {
        SessionRules { languages: &self.languages, limits_max: &self.limits_max }
    }

    fn task_rules(&self) -> TaskRules<'_> {
        TaskRules { programs: self.rules(), reward_models: self.judge.reward_model_names() }
    }

    /// Whose request is answered.
    fn tenant(&self) -> Arc<Tenant> {
        Caller::current().tenant
    }

    /// Lets `count` submissions of whoever called in.
    fn admit(&self, count: usize) -> Result<Ticket, Full> {
        self.admit_for(None, count)
    }

    /// The same, where the request says what it is for.
    fn admit_for(&self, priority: Option<Priority>, count: usize) -> Result<Ticket, Full> {
        let caller = Caller::current();
        let tenant = &caller.tenant;
        let asker = caller.asker(priority.unwrap_or(caller.priority));
        let admitted = self.admission.admit_of(&asker, count);
        match &admitted {
            Ok(_) => self.metrics.operation().admitted(&tenant.name, count),
            Err(full) => {
                self.metrics.refused();
                self.metrics.operation().refused(&tenant.name, full.what.name());
            }
        }
        admitted
    }

    fn moment(&self) -> Moment {
        Moment {
            slots: self.judge.slots().status(),
            queued: self.admission.queued(),
            returns: self.admission.returns(),
            batches: self.batches.counts(),
            batches_bytes: self.batches.bytes(),
        }
    }
}

/// All routes.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/judge", post(judge::judge))
        .route("/v1/run", post(judge::run))
        .route("/v1/batches", post(batches::begin))
        .route("/v1/batches/{id}", get(batches::status).delete(batches::cancel))
        .route("/v1/batches/{id}/events", get(batches::events))
        .route("/v1/sessions", get(sessions::list).post(sessions::open))
        .route("/v1/sessions/{id}", get(sessions::show).delete(sessions::close))
        .route("/v1/sessions/{id}/execute", post(sessions::execute))
        .route("/v1/sessions/{id}/interrupt", post(sessions::interrupt))
        .route("/v1/sessions/{id}/restart", post(sessions::restart))
        .route("/v1/sessions/{id}/files", get(sessions::files))
        .route("/v1/sessions/{id}/files/{*path}", get(sessions::fetch).put(sessions::put))
        .route("/v1/notebooks/run", post(notebooks::run))
        .route("/v1/languages", get(info::languages))
        .route("/v1/stats", get(stats::stats))
        .route("/v1/stats/recent/{number}", get(stats::recent))
        .route("/", get(page::index))
        .route("/web/page.css", get(page::style))
        .route("/web/page.js", get(page::script))
        .route("/healthz", get(info::healthz))
        .route("/readyz", get(info::readyz))
        .route("/metrics", get(info::metrics))
        .route("/openapi.json", get(info::openapi))
        .merge(compat::routes(&service.config.compat))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&service), caller::identify))
        .with_state(service)
}

/// A body whose announced length is within the bound.
struct CountedBody(body::Incoming);

impl FromRequest<Arc<Service>> for CountedBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, ApiError> {
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        body::check_length(service, length)?;
        let encoding = encoding::Encoding::of(request.headers())?;
        Ok(Self(body::Incoming { body: request.into_body(), encoding }))
    }
}

/// The route of a path, as metrics name it.
fn endpoint(path: &str) -> &'static str {
    let same = |route: &str| {
        let (mut parts, mut of_path) = (route.split('/'), path.split('/'));
        loop {
            match (parts.next(), of_path.next()) {
                (None, None) => return true,
                (Some(part), Some(_)) if part.starts_with('{') => {}
                (Some(part), Some(of_path)) if part == of_path => {}
                (Some(_) | None, Some(_) | None) => return false,
            }
        }
    };
    let ours = ROUTES.into_iter().find(|route| same(route));
    ours.or_else(|| compat::endpoint(path)).unwrap_or("other")
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
