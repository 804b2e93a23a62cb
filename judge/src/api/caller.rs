//! Who calls: the tenant of the key, what the request is for, and the id by which it is found again
//! in logs and replies.
//!
//! Before any handler runs it is known whose request it is; handlers cannot forget to ask, because
//! [`Service::admit`](super::Service::admit) admits on behalf of who called. Where no tenant is
//! configured, everybody is the open one.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::Priority;
use tracing::Instrument as _;

use super::Service;
use super::error::ApiError;
use crate::admission::Asker;
use crate::limits::REQUEST_ID_BYTES_MAX;
use crate::tenants::{Role, Tenant, Tenants};

/// Paths that need no key: they tell nothing of any tenant.
const OPEN_PATHS: [&str; 6] =
    ["/", "/web/page.css", "/web/page.js", "/healthz", "/readyz", "/openapi.json"];
/// Paths that tell of all tenants.
const OPERATOR_PATHS: [&str; 2] = ["/metrics", "/v1/stats"];

const PRIORITY: &str = "assay-priority";
const REQUEST_ID: &str = "x-request-id";
/// Where clients of Judge0 put their key.
const JUDGE0_KEY: &str = "x-auth-token";

/// Keyed anew in each process, so that nobody can send a body that passes for another's.
static MARKS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

tokio::task_local! {
    static CALLER: Caller;
}

/// Who calls, and what for.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) tenant: Arc<Tenant>,
    pub(super) priority: Priority,
    /// By what the request is known when it comes again.
    mark: Arc<OnceLock<u64>>,
}

/// The digest of a body.
pub(super) fn mark_of(body: &[u8]) -> u64 {
    MARKS.hash_one(body)
}

impl Caller {
    fn new(tenant: Arc<Tenant>, priority: Priority) -> Self {
        Self { tenant, priority, mark: Arc::default() }
    }

    /// Notes the digest of the request's body; the first counts.
    pub(super) fn set_mark(&self, mark: u64) {
        self.mark.set(mark).ok();
    }

    /// Who asks to be let in, for `priority`.
    pub(super) fn asker(&self, priority: Priority) -> Asker<'_> {
        Asker { tenant: &self.tenant, priority, mark: self.mark.get().copied() }
    }

    /// Who called the handler that runs; nobody outside of one.
    pub(super) fn current() -> Self {
        CALLER.try_with(Self::clone).unwrap_or_else(|_| Self::nobody())
    }

    fn nobody() -> Self {
        Self::new(Arc::new(Tenant::nobody()), Priority::default())
    }
}

/// Finds out who calls, gives the request an id, and counts it.
pub(super) async fn identify(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let path = request.uri().path().to_owned();
    let id = request_id(request.headers());
    let caller = caller(&service.tenants, request.headers(), &path);
    let tenant = caller.as_ref().map_or("", |caller| &*caller.tenant.name);
    let span = tracing::info_span!("request", id, tenant, path);
    let mut response = match caller {
        Ok(caller) => CALLER.scope(caller, next.run(request)).instrument(span.clone()).await,
        Err(refusal) => refuse(refusal),
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let (status, time) = (response.status().as_u16(), start.elapsed());
    service.metrics.requested(super::endpoint(&path), status, time.as_secs_f64());
    tracing::debug!(parent: &span, status, ms = time.as_secs_f64() * 1e3, "answered");
    response
}

/// The client's own id where it can stand in a log, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    let given = headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain));
    given.map_or_else(new_id, str::to_owned)
}

fn new_id() -> String {
    let mut random = [0; 8];
    // Without random numbers ids are all the same, and requests are answered all the same.
    getrandom::fill(&mut random).unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(random))
}

fn caller(tenants: &Tenants, headers: &HeaderMap, path: &str) -> Result<Caller, ApiError> {
    if let Some(tenant) = tenants.open() {
        let priority = priority(headers)?.unwrap_or(tenant.priority);
        return Ok(Caller::new(Arc::clone(tenant), priority));
    }
    if OPEN_PATHS.contains(&path) {
        return Ok(Caller::nobody());
    }
    let tenant = presented_key(headers).and_then(|key| tenants.by_key(&key).cloned());
    let tenant = tenant.ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "there is no key that the service knows",
            "send one as `Authorization: Bearer KEY`; who runs the service makes them with \
             `assay key new`",
        )
    })?;
    if OPERATOR_PATHS.iter().any(|operators| path.starts_with(operators))
        && tenant.role != Role::Operator
    {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("{path} tells of all tenants"),
            "use the key of a tenant with `operator = true` in the configuration",
        ));
    }
    let priority = priority(headers)?.unwrap_or(tenant.priority);
    Ok(Caller::new(tenant, priority))
}

/// The key, as a bearer's, as the password of a URL, which is all that some clients can send, or as
/// those of Judge0 send it.
fn presented_key(headers: &HeaderMap) -> Option<String> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Some(headers.get(JUDGE0_KEY)?.to_str().ok()?.trim().to_owned());
    };
    let value = value.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        return Some(decoded.split_once(':')?.1.to_owned());
    }
    None
}

fn priority(headers: &HeaderMap) -> Result<Option<Priority>, ApiError> {
    let Some(value) = headers.get(PRIORITY) else { return Ok(None) };
    match value.as_bytes() {
        b"train" => Ok(Some(Priority::Train)),
        b"eval" => Ok(Some(Priority::Eval)),
        b"interactive" => Ok(Some(Priority::Interactive)),
        _ => Err(ApiError::unprocessable(
            "unknown_priority",
            "the header assay-priority says something unknown",
            "train, eval or interactive",
        )),
    }
}

fn refuse(refusal: ApiError) -> Response {
    let unauthorized = refusal.status == StatusCode::UNAUTHORIZED;
    let mut response = refusal.into_response();
    if unauthorized {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (axum::http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn an_id_is_taken_over_where_it_can_stand_in_a_log() {
        assert_eq!(request_id(&headers(&[("x-request-id", "run-7/step.3")])), "run-7/step.3");
        let long = "a".repeat(REQUEST_ID_BYTES_MAX + 1);
        for bad in ["", "a b", "a\"b", &long] {
            let id = request_id(&headers(&[("x-request-id", bad)]));
            assert_eq!(id.len(), 16, "{bad}");
            assert_ne!(id, bad);
        }
        assert_eq!(request_id(&headers(&[("x-request-id", &long[1..])])), long[1..]);
    }

    #[test]
    fn a_key_is_a_bearers_or_a_password_or_a_token() {
        let token = |pairs| presented_key(&headers(pairs));
        assert_eq!(token(&[("x-auth-token", " abc ")]).as_deref(), Some("abc"));
        let both = [("authorization", "Bearer abc"), ("x-auth-token", "other")];
        assert_eq!(token(&both).as_deref(), Some("abc"));
        let key = |value: &str| presented_key(&headers(&[("authorization", value)]));
        assert_eq!(key("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(key("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(key(&format!("Basic {}", STANDARD.encode("me:a:b"))).as_deref(), Some("a:b"));
        for wrong in ["abc", "Digest abc", "Basic !!", "Basic YWJj", ""] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
    }
}
