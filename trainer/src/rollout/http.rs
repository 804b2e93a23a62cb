//! One request over a connection of its own, for talking to samplers elsewhere. Every wait is
//! bounded by the caller's patience with one part, never by the length of the whole.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::limits::LINE_BYTES_MAX;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Bytes,
    /// One more header.
    pub(super) header: Option<(&'static str, &'a str)>,
}

impl<'a> Call<'a> {
    /// A POST of JSON.
    pub(super) fn post(path: &'a str, body: &serde_json::Value) -> Self {
        Self { method: Method::POST, path, body: body.to_string().into(), header: None }
    }

    /// A GET.
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: Bytes::new(), header: None }
    }
}

/// Sends to `host:port`; the reply's head is there within `patience`.
pub(super) async fn send(
    address: &str,
    call: Call<'_>,
    patience: Duration,
) -> Result<Response<Incoming>, String> {
    let sent = async {
        let stream = TcpStream::connect(address).await.map_err(worded)?;
        stream.set_nodelay(true).map_err(worded)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(worded)?;
        // Ends with the request: the body, once dropped, closes the connection.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(HOST, address)
            .header(CONTENT_TYPE, "application/json");
        if let Some((name, value)) = call.header {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body)).map_err(worded)?;
        sender.send_request(request).await.map_err(worded)
    };
    let late = |_| format!("did not answer within {} ms", patience.as_millis());
    tokio::time::timeout(patience, sent).await.map_err(late)?
}

/// The next bytes of a body, within `patience`; absent at its end.
pub(super) async fn next(body: &mut Incoming, patience: Duration) -> Result<Option<Bytes>, String> {
    let late = |_| format!("said nothing for {} ms", patience.as_millis());
    loop {
        let frame = tokio::time::timeout(patience, body.frame()).await.map_err(late)?;
        let Some(frame) = frame else { return Ok(None) };
        if let Ok(data) = frame.map_err(worded)?.into_data() {
            return Ok(Some(data));
        }
    }
}

/// A whole body, bounded.
pub(super) async fn whole(mut body: Incoming, patience: Duration) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(data) = next(&mut body, patience).await? {
        bytes.extend_from_slice(&data);
        if bytes.len() > LINE_BYTES_MAX {
            return Err("answered too much".to_owned());
        }
    }
    Ok(bytes)
}

/// An error in words.
pub(super) fn worded(error: impl std::fmt::Display) -> String {
    error.to_string()
}
