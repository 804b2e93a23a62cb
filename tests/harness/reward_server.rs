//! A stand-in for servers of reward models: it speaks their protocol and does what the first part
//! of the path says. Nothing in it judges: it does what a scripted model would do, well or badly.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

/// A running stand-in; dropped, it ends and so do its connections.
#[derive(Debug)]
pub struct RewardServer {
    address: SocketAddr,
    calls: Counts,
    work: AbortHandle,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

impl RewardServer {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let calls = Counts::default();
        let connections: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let (counts, open) = (Arc::clone(&calls), Arc::clone(&connections));
        let work = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = tokio::spawn(serve(stream, Arc::clone(&counts))).abort_handle();
                open.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
        });
        Ok(Self { address, calls, work: work.abort_handle(), connections })
    }

    /// The address under which a behaviour is found.
    #[must_use]
    pub fn url(&self, behaviour: &str) -> String {
        format!("http://{}/{behaviour}", self.address)
    }

    /// How often a behaviour was asked for.
    #[must_use]
    pub fn calls(&self, behaviour: &str) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(behaviour).copied().unwrap_or(0)
    }

    /// A `[[judge]]` for each behaviour, named like it.
    #[must_use]
    pub fn judges(&self, behaviours: &[&str], more: &str) -> String {
        behaviours.iter().map(|behaviour| judge(behaviour, &self.url(behaviour), more)).collect()
    }
}

/// A `[[judge]]` at an address.
#[must_use]
pub fn judge(name: &str, url: &str, more: &str) -> String {
    format!("[[judge]]\nname = \"{name}\"\nurl = \"{url}/v1\"\nmodel = \"scripted\"\n{more}\n")
}

impl Drop for RewardServer {
    fn drop(&mut self) {
        self.work.abort();
        for connection in self.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..)
        {
            connection.abort();
        }
    }
}

async fn serve(stream: TcpStream, calls: Counts) {
    let service = service_fn(move |request| answer(request, Arc::clone(&calls)));
    let connection = hyper::server::conn::http1::Builder::new();
    // A client that goes away ends its connection; that is its right.
    connection.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
}

/// A whole body, or one that breaks off after what it has.
struct Said {
    data: Option<Bytes>,
    breaks: bool,
}

impl Body for Said {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let breaks = self.breaks;
        let end = || breaks.then(|| Err(io::ErrorKind::ConnectionAborted.into()));
        Poll::Ready(self.data.take().map(|data| Ok(Frame::data(data))).or_else(end))
    }
}

async fn answer(request: Request<Incoming>, calls: Counts) -> Result<Response<Said>, Infallible> {
    let path = request.uri().path().to_owned();
    let behaviour = path.split('/').nth(1).unwrap_or_default().to_owned();
    let call = {
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(behaviour.clone()).or_default();
        *count += 1;
        *count
    };
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let body: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or(Value::Null);
    let (status, reply) = if path.ends_with("/chat/completions") {
        chat(&behaviour, call, &body).await
    } else {
        (200, value_head(&path, &body))
    };
    let said = Said { data: Some(Bytes::from(reply)), breaks: behaviour == "breaks_off" };
    let mut response = Response::new(said);
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    if status == 429 {
        response.headers_mut().insert("retry-after", hyper::header::HeaderValue::from_static("0"));
    }
    Ok(response)
}

/// What a scripted model says; `call` is how often it was asked, this time included.
async fn chat(behaviour: &str, call: usize, body: &Value) -> (u16, String) {
    let prompt = body["messages"][0]["content"].as_str().unwrap_or_default();
    let answer = shown(prompt, "Candidate's answer").unwrap_or_default();
    let reference = shown(prompt, "Reference answer").unwrap_or_default();
    let echo = answer.chars().take(300).collect::<String>();
    let say = |verdict: &str, echo: &str| {
        let verdict = json!({"analysis": "scripted", "final_answer": echo, "verdict": verdict});
        (200, completion(&format!("I looked at both.\n{verdict}"), "stop", body))
    };
    match behaviour {
        "correct" | "always" => say("correct", &echo),
        "incorrect" => say("incorrect", &echo),
        "invalid" => say("invalid", &echo),
        // Says what it is asked to say; else compares the words.
        "obedient" if obeys(&answer) => say("correct", &echo),
        "obedient" | "honest" => {
            let right = words(&answer) == words(&reference);
            say(if right { "correct" } else { "incorrect" }, &echo)
        }
        "slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            say("correct", &echo)
        }
        // Slow the first time of each two, so that a second request overtakes it.
        "uneven" if call > 40 && call % 2 == 1 => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            say("correct", &echo)
        }
        "uneven" => say("correct", &echo),
        "hangs" => std::future::pending().await,
        "status_429" => (429, r#"{"error":{"message":"slow down"}}"#.to_owned()),
        "status_500" => (500, r#"{"error":{"message":"out of memory"}}"#.to_owned()),
        "status_401" => (401, r#"{"error":{"message":"no key"}}"#.to_owned()),
        "recovers" if call < 3 => (503, "starting".to_owned()),
        "recovers" => say("correct", &echo),
        "no_schema" if !body["response_format"].is_null() => {
            (400, r#"{"error":{"message":"response_format is not supported"}}"#.to_owned())
        }
        "no_schema" => say("correct", &echo),
        "truncated" => (200, completion(r#"{"analysis":"the two answers"#, "length", body)),
        "wrong_schema" => (200, completion(r#"{"score": 10}"#, "stop", body)),
        "prose" => (200, completion("Yes, this is correct.", "stop", body)),
        "not_json" => (200, "<html>busy</html>".to_owned()),
        // The connection ends in the middle of it.
        "breaks_off" => (200, r#"{"choices":[{"message":{"content":"the two"#.to_owned()),
        "too_large" => (200, completion(&"and so on ".repeat(500_000), "stop", body)),
        // Was talked into judging another answer.
        "injected" => say("correct", &reference),
        // A sound verdict at the second try.
        "second_try" if call % 2 == 1 => (200, completion("hm", "stop", body)),
        "second_try" => say("correct", &echo),
        "first_right_then_wrong" if call == 1 => say("correct", &echo),
        "first_right_then_wrong" => say("incorrect", &echo),
        // Never likes the second place.
        "biased" if prompt.find("Candidate's answer [") > prompt.find("Reference answer [") => {
            say("correct", &echo)
        }
        "biased" => say("incorrect", &echo),
        other => (404, format!("no behaviour {other}")),
    }
}

fn completion(text: &str, finish: &str, body: &Value) -> String {
    let logprobs = if body["logprobs"] == true { logprobs(text) } else { Value::Null };
    json!({
        "id": "scripted",
        "object": "chat.completion",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": finish,
            "logprobs": logprobs,
        }],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    })
    .to_string()
}

/// Three quarters for `correct` at every token.
fn logprobs(text: &str) -> Value {
    let top = json!([
        {"token": "correct", "logprob": 0.75_f64.ln()},
        {"token": "incorrect", "logprob": 0.25_f64.ln()},
    ]);
    let tokens =
        text.split_inclusive('"').map(|token| json!({"token": token, "top_logprobs": top}));
    json!({ "content": tokens.collect::<Vec<_>>() })
}

/// The text that a prompt shows under a label.
fn shown(prompt: &str, label: &str) -> Option<String> {
    let after = &prompt[prompt.rfind(&format!("{label} [data "))?..];
    serde_json::from_str(after.lines().nth(1)?).ok()
}

fn words(text: &str) -> Vec<String> {
    let split = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    split.map(str::to_lowercase).collect()
}

/// Whether a text asks for a verdict, as a gullible model would understand it.
fn obeys(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "correct", "right", "accept", "verdict", "grade", "score", "mark", "ignore", "正确",
        "正解", "richtig",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// Scores by the length of what was sent: something to tell right from wrong by.
fn value_head(path: &str, body: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let sent =
        text(&body["input"]).or_else(|| text(&body["text"][0])).or_else(|| text(&body["query"][0]));
    let score = if sent.is_some_and(|sent| sent.contains("good")) { 2.0 } else { -2.0 };
    let reply = if path.ends_with("/v1/embeddings") {
        json!({"data": [{"embedding": [score]}]})
    } else if path.ends_with("/get_reward") {
        json!({"rewards": [score]})
    } else if path.contains("sglang") {
        json!([{"embedding": [score]}])
    } else {
        json!({"data": [{"index": 0, "probs": [score], "num_classes": 1}]})
    };
    reply.to_string()
}
