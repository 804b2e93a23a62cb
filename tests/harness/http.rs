//! A small HTTP client: one connection for each request, so that dropping a request closes it.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Speaks to one service.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// The body and why it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {}: not JSON: {}", self.status, self.text()))
    }

    /// The body as text, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON body of a 200 reply.
    ///
    /// # Errors
    /// Another status, with the body.
    pub fn ok_json(&self) -> Result<Value> {
        ensure!(self.status == 200, "status {}: {}", self.status, self.text());
        self.json()
    }
}

/// What a request says besides its path.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// The body.
    pub body: Bytes,
    /// `content-type`, if any.
    pub content_type: Option<&'static str>,
    /// `accept`, if any.
    pub accept: Option<&'static str>,
}

impl Content {
    /// A JSON body.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        let body = Bytes::from(value.to_string());
        Self { body, content_type: Some("application/json"), accept: None }
    }
}

/// A connection that closes when dropped.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An NDJSON answer that is still coming.
#[derive(Debug)]
pub struct Lines {
    /// The status code.
    pub status: u16,
    body: Incoming,
    buffer: BytesMut,
    _connection: Connection,
}

impl Lines {
    /// The next line as JSON, or `None` at the end.
    ///
    /// # Errors
    /// A broken connection, or a line that is not JSON.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let text = String::from_utf8_lossy(&line).into_owned();
                return Ok(Some(serde_json::from_slice(&line).context(text)?));
            }
            match self.body.frame().await {
                Some(frame) => {
                    let frame = frame.context("the stream broke")?;
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                None => {
                    let rest = String::from_utf8_lossy(&self.buffer).into_owned();
                    ensure!(rest.is_empty(), "the last line has no end: {rest}");
                    return Ok(None);
                }
            }
        }
    }

    /// All lines that are left.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn collect(mut self) -> Result<Vec<Value>> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await? {
            lines.push(line);
        }
        Ok(lines)
    }
}

impl Client {
    /// A client of the service at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// `GET path`.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.request(Method::GET, path, Content::default()).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.request(Method::POST, path, Content::json(body)).await
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn delete(&self, path: &str) -> Result<Reply> {
        self.request(Method::DELETE, path, Content::default()).await
    }

    /// Any request, whole.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn request(&self, method: Method, path: &str, content: Content) -> Result<Reply> {
        self.request_with(method, path, content, &[]).await
    }

    /// Any request with more headers, whole.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn request_with(
        &self,
        method: Method,
        path: &str,
        content: Content,
        headers: &[(&str, &str)],
    ) -> Result<Reply> {
        let (response, _connection) = self.send(method, path, content, headers).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.with_context(|| format!("body of {path}"))?.to_bytes();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// `POST path`, asking for one JSON object a line.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn stream(&self, path: &str, body: &Value) -> Result<Lines> {
        let content = Content { accept: Some("application/x-ndjson"), ..Content::json(body) };
        self.lines(Method::POST, path, content).await
    }

    /// `GET path`, whose answer is one JSON object a line.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn follow(&self, path: &str) -> Result<Lines> {
        self.lines(Method::GET, path, Content::default()).await
    }

    async fn lines(&self, method: Method, path: &str, content: Content) -> Result<Lines> {
        let (response, connection) = self.send(method, path, content, &[]).await?;
        Ok(Lines {
            status: response.status().as_u16(),
            body: response.into_body(),
            buffer: BytesMut::new(),
            _connection: connection,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: Content,
        headers: &[(&str, &str)],
    ) -> Result<(Response<Incoming>, Connection)> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("failed to connect to {}", self.address))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // An error of the connection shows in the request that waits for it.
        let connection = Connection(tokio::spawn(async move {
            connection.await.ok();
        }));
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(content_type) = content.content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(accept) = content.accept {
            request = request.header("accept", accept);
        }
        let response = sender
            .send_request(request.body(Full::new(content.body))?)
            .await
            .with_context(|| format!("failed to send to {path}"))?;
        Ok((response, connection))
    }
}
