//! One POST of JSON to a server, and what can go wrong with it. No retries here.
//!
//! Connections are kept and shared; replies are bounded in bytes; the time is the caller's to
//! bound. Keys stand in a header and are never printed.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::limits::JUDGE_REPLY_BYTES_MAX;

/// What can go wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// There is no connection, or it broke.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// It took too long.
    #[error("no reply within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The server answered with an error.
    #[error("the server answered {status}: {message}")]
    Status {
        /// The status.
        status: u16,
        /// How long to wait, where it says so.
        retry_after: Option<Duration>,
        /// The first part of what it said.
        message: String,
    },
    /// The reply is not what this interface has.
    #[error("the reply cannot be read: {0}")]
    Malformed(String),
    /// The reply is larger than any honest one.
    #[error("the reply is larger than {JUDGE_REPLY_BYTES_MAX} bytes")]
    TooLarge,
}

impl CallFault {
    /// Whether the same call may succeed when made again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Timeout(_) | Self::Malformed(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::TooLarge => false,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connection(_) => "connection",
            Self::Timeout(_) => "timeout",
            Self::Status { status: 429, .. } => "status_429",
            Self::Status { status: 500..=599, .. } => "status_5xx",
            Self::Status { .. } => "status_4xx",
            Self::Malformed(_) => "malformed",
            Self::TooLarge => "too_large",
        }
    }
}

/// Posts to one address.
#[derive(Clone)]
pub struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Transport {
    /// A transport to `url`, with the key of an environment variable.
    ///
    /// # Errors
    /// The address is none, the variable is not set, or the machine has no certificates for https.
    pub fn new(url: &str, api_key_env: Option<&str>) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("url {url:?}: {error}"))?;
        let authorization = api_key_env.map(authorization).transpose()?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let https = hyper_rustls::HttpsConnectorBuilder::new();
        let https = if uri.scheme_str() == Some("https") {
            https.with_native_roots().map_err(|error| format!("certificates: {error}"))?
        } else {
            // Without https nothing is trusted, and nothing needs to be.
            https.with_tls_config(no_certificates()?)
        };
        let connector = https.https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, uri, authorization })
    }

    /// Posts `body` and returns the reply's JSON.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn post(
        &self,
        body: &serde_json::Value,
        time_max: Duration,
    ) -> Result<serde_json::Value, CallFault> {
        match tokio::time::timeout(time_max, self.exchange(body)).await {
            Ok(reply) => reply,
            Err(_) => Err(CallFault::Timeout(time_max)),
        }
    }

    async fn exchange(&self, body: &serde_json::Value) -> Result<serde_json::Value, CallFault> {
        let broken = |error: &dyn std::error::Error| CallFault::Connection(causes(error));
        let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let reply = self.client.request(request).await.map_err(|error| broken(&error))?;
        let status = reply.status().as_u16();
        let retry_after = reply
            .headers()
            .get(RETRY_AFTER)
            .and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let body = Limited::new(reply.into_body(), JUDGE_REPLY_BYTES_MAX);
        let bytes = match body.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(CallFault::TooLarge);
            }
            Err(error) => return Err(broken(&*error)),
        };
        if !(200..300).contains(&status) {
            let message = String::from_utf8_lossy(&bytes).chars().take(300).collect();
            return Err(CallFault::Status { status, retry_after, message });
        }
        serde_json::from_slice(&bytes).map_err(|error| CallFault::Malformed(error.to_string()))
    }
}

fn authorization(variable: &str) -> Result<HeaderValue, String> {
    let key = std::env::var(variable)
        .map_err(|_| format!("the environment variable {variable} is not set"))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim()))
        .map_err(|_| format!("the environment variable {variable} is no key"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn no_certificates() -> Result<rustls::ClientConfig, String> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

/// An error with its causes: the outermost alone says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
