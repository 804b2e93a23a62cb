//! HTTP to the service under load: kept connections, bounded replies, one try for each call.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::limits::{PAUSE_MAX, REPLY_BYTES_MAX};

/// Speaks to one service.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    key: Option<HeaderValue>,
    time_max: Duration,
}

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The service is full, and says for how long.
    Full(Option<Duration>),
    /// Another status than 200.
    Status(u16, String),
    /// There is no connection, or it broke.
    Connection(String),
    /// It took too long.
    Timeout,
    /// What came is no answer.
    Malformed(String),
}

impl Fault {
    /// Its class in reports.
    pub(super) fn class(&self) -> String {
        match self {
            Self::Full(_) => "status_429".to_owned(),
            Self::Status(status, _) => format!("status_{status}"),
            Self::Connection(_) => "connection".to_owned(),
            Self::Timeout => "timeout".to_owned(),
            Self::Malformed(_) => "malformed".to_owned(),
        }
    }

    /// Whether the same call may succeed when made again.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Full(_) | Self::Connection(_) => true,
            Self::Status(status, _) => matches!(status, 500..=599),
            Self::Timeout | Self::Malformed(_) => false,
        }
    }

    /// What it says, for people.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Full(_) => "the queue is full".to_owned(),
            Self::Status(status, text) => format!("status {status}: {text}"),
            Self::Connection(text) | Self::Malformed(text) => text.clone(),
            Self::Timeout => "no answer in time".to_owned(),
        }
    }
}

impl Client {
    /// A client of the service at `url`.
    pub(super) fn new(url: &str, key: Option<&str>, time_max: Duration) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().with_context(|| format!("url {url:?}"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(anyhow!("url {url:?}: it must begin with http or https")),
        };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let provider = rustls::crypto::ring::default_provider();
        let https = hyper_rustls::HttpsConnectorBuilder::new();
        let https = if secure {
            https.with_provider_and_native_roots(provider).context("certificates")?
        } else {
            https.with_tls_config(
                rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(provider))
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth(),
            )
        };
        let connector = https.https_or_http().enable_http1().wrap_connector(http);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        let key = key.map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        let key = key.transpose().context("the API key is no header value")?;
        Ok(Self { pool, base, key, time_max })
    }

    /// Where it speaks to.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Gets what is at `path`.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, Fault> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Posts JSON.
    pub(super) async fn post(&self, path: &str, body: String) -> Result<Bytes, Fault> {
        self.call(Method::POST, path, body.into()).await
    }

    /// Deletes what is at `path`.
    pub(super) async fn delete(&self, path: &str) -> Result<Bytes, Fault> {
        self.call(Method::DELETE, path, Bytes::new()).await
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Fault> {
        match tokio::time::timeout(self.time_max, self.exchange(method, path, body)).await {
            Ok(reply) => reply,
            Err(_) => Err(Fault::Timeout),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.base)
            .parse()
            .map_err(|error| Fault::Malformed(format!("{path}: {error}")))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.clone());
        }
        let broken = |error: &dyn std::error::Error| Fault::Connection(causes(error));
        let reply = self.pool.request(request).await.map_err(|error| broken(&error))?;
        let status = reply.status().as_u16();
        let retry_after = reply.headers().get(RETRY_AFTER);
        let retry_after =
            retry_after.and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok());
        let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX);
        let bytes = body.collect().await.map_err(|error| broken(&*error))?.to_bytes();
        match status {
            200..=299 => Ok(bytes),
            429 => Err(Fault::Full(retry_after.map(|it| Duration::from_secs(it).min(PAUSE_MAX)))),
            _ => {
                let said = String::from_utf8_lossy(&bytes).chars().take(300).collect();
                Err(Fault::Status(status, said))
            }
        }
    }
}

/// An error with its causes: the outermost alone says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
