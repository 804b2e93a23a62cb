//! Asks the judge for rewards over HTTP.
//!
//! One request for each group, answered as a stream whose lines are taken as they come. Programs
//! that are the same within a group run once. What the judge could not decide is tried again within
//! the deadline; what is then still open is invalid: counted, masked, and never a reward of 0.
//! Cancelling a group closes its connection, upon which the judge ends what still runs.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use protocol::{JudgeRequest, Submission, SubmissionResult};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::{Invalid, Outcome};
use crate::config::JudgeConfig;
use crate::limits::{HEARD_TIME_MAX, JUDGE_ATTEMPTS_MAX, JUDGE_PAUSE_MAX, LINE_BYTES_MAX};

/// What came of judging a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The group.
    pub group: u64,
    /// One for each submission, in their order.
    pub outcomes: Vec<Outcome>,
    /// From handing in to the last outcome.
    pub latency: Duration,
    /// Programs that ran: fewer than the outcomes where some were the same.
    pub programs: usize,
    /// Requests beyond the first.
    pub retries: u32,
}

/// A handle on the thread that talks to the judge. Dropping it cancels everything.
#[derive(Debug)]
pub struct JudgeClient {
    runtime: tokio::runtime::Runtime,
    shared: Arc<Shared>,
    open: Mutex<HashMap<u64, AbortHandle>>,
}

#[derive(Debug)]
struct Shared {
    authority: String,
    address: String,
    deadline: Duration,
    permits: Semaphore,
}

impl JudgeClient {
    /// Starts the thread. Nothing is sent yet.
    ///
    /// # Errors
    /// An address that is not `http://host:port`, or no thread.
    pub fn new(config: &JudgeConfig) -> Result<Self, String> {
        let wrong = |reason: &str| format!("judge.url {}: {reason}", config.url);
        let uri: Uri = config.url.parse().map_err(|_| wrong("not an address"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("must start with http://"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        let shared = Shared {
            authority: authority.to_string(),
            address: format!("{}:{port}", authority.host()),
            deadline: Duration::from_millis(config.deadline_ms),
            permits: Semaphore::new(config.requests),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("judge-client")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { runtime, shared: Arc::new(shared), open: Mutex::default() })
    }

    /// Whether anybody accepts connections there at this moment.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        let connection = TcpStream::connect(&self.shared.address);
        let connected = async { tokio::time::timeout(HEARD_TIME_MAX, connection).await };
        matches!(self.runtime.block_on(connected), Ok(Ok(_)))
    }

    /// Hands in a group. Exactly one [`Judged`] follows, unless the group is cancelled.
    pub fn submit<E: Send + 'static>(
        &self,
        group: u64,
        submissions: Vec<Submission>,
        results: Sender<E>,
        event: impl FnOnce(Judged) -> E + Send + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        let task = self.runtime.spawn(async move {
            let judged = judge(&shared, group, submissions).await;
            // Nobody is listening any more only when the run is over.
            drop(results.send(event(judged)));
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, handle| !handle.is_finished());
        open.insert(group, task.abort_handle());
    }

    /// Forgets a group and closes its connection.
    pub fn cancel(&self, group: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = open.remove(&group) {
            handle.abort();
        }
    }
}

async fn judge(shared: &Shared, group: u64, submissions: Vec<Submission>) -> Judged {
    let start = Instant::now();
    let mut ask = Ask::new(submissions);
    let finished = tokio::time::timeout(shared.deadline, ask.run(shared)).await.is_ok();
    if !finished && ask.failure == Invalid::JudgeFailed {
        ask.failure = Invalid::Deadline;
    }
    Judged {
        group,
        programs: ask.unique.len(),
        retries: ask.attempts.saturating_sub(1),
        outcomes: ask.outcomes(),
        latency: start.elapsed(),
    }
}

/// The distinct programs of a group, and what is known of each.
struct Ask {
    unique: Vec<Submission>,
    /// For each submission of the group, which distinct one it is.
    places: Vec<usize>,
    found: Vec<Option<Outcome>>,
    /// Why those that are still open would be invalid.
    failure: Invalid,
    attempts: u32,
}

/// What an attempt was worth.
enum Attempt {
    /// Everything is known, or asking again is no use.
    Over,
    /// Worth another try, after this pause where the judge asked for one.
    Again(Option<Duration>),
}

impl Ask {
    fn new(submissions: Vec<Submission>) -> Self {
        let mut unique: Vec<Submission> = Vec::new();
        let mut places = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let known = unique.iter().position(|other| *other == submission);
            places.push(known.unwrap_or(unique.len()));
            if known.is_none() {
                unique.push(submission);
            }
        }
        let found = vec![None; unique.len()];
        Self { unique, places, found, failure: Invalid::Deadline, attempts: 0 }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |at: &usize| self.found[*at].unwrap_or(Outcome::Invalid(self.failure));
        self.places.iter().map(outcome).collect()
    }

    async fn run(&mut self, shared: &Shared) {
        let mut pause = Duration::from_millis(20);
        while self.attempts < JUDGE_ATTEMPTS_MAX && self.found.iter().any(Option::is_none) {
            self.attempts += 1;
            let attempt = {
                // Waiting for a turn and asking are both within the deadline.
                let Ok(_permit) = shared.permits.acquire().await else { return };
                self.attempt(shared).await
            };
            match attempt {
                Attempt::Over => return,
                Attempt::Again(asked) => {
                    tokio::time::sleep(asked.unwrap_or(pause).min(JUDGE_PAUSE_MAX)).await;
                    pause = (pause * 2).min(JUDGE_PAUSE_MAX);
                }
            }
        }
    }

    async fn attempt(&mut self, shared: &Shared) -> Attempt {
        let missing: Vec<usize> =
            (0..self.found.len()).filter(|at| self.found[*at].is_none()).collect();
        let submissions = missing.iter().map(|at| self.unique[*at].clone()).collect();
        let request = JudgeRequest { submissions, ..JudgeRequest::default() };
        let Ok(body) = serde_json::to_vec(&request) else {
            self.failure = Invalid::Refused;
            return Attempt::Over;
        };
        self.failure = Invalid::Unreachable;
        let Some(response) = send(shared, body).await else {
            return Attempt::Again(None);
        };
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Attempt::Again(retry_after(&response));
        }
        if !status.is_success() {
            self.failure = Invalid::Refused;
            return Attempt::Over;
        }
        self.failure = Invalid::JudgeFailed;
        if self.read(&missing, response.into_body()).await {
            if self.found.iter().all(Option::is_some) {
                Attempt::Over
            } else {
                Attempt::Again(None)
            }
        } else {
            Attempt::Again(None)
        }
    }

    /// Takes the lines of a reply; false if it broke off or made no sense.
    async fn read(&mut self, missing: &[usize], mut body: Incoming) -> bool {
        let mut pending: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let Ok(data) = frame.into_data() else { continue };
            pending.extend_from_slice(&data);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                if !self.take(missing, &line) {
                    self.failure = Invalid::Garbled;
                    return false;
                }
            }
            if pending.len() > LINE_BYTES_MAX {
                self.failure = Invalid::Garbled;
                return false;
            }
        }
        pending.is_empty()
    }

    /// Takes one result; false if it is none of ours.
    fn take(&mut self, missing: &[usize], line: &[u8]) -> bool {
        let Ok(result) = serde_json::from_slice::<SubmissionResult>(line) else { return false };
        let Some(at) = missing.get(result.index) else { return false };
        match (result.valid, result.reward) {
            (true, Some(reward)) if reward.is_finite() => {
                self.found[*at] = Some(Outcome::Reward(reward));
                true
            }
            (true, _) => false,
            (false, _) => {
                let retryable = result.failure.is_some_and(|failure| failure.retryable);
                if !retryable {
                    self.found[*at] = Some(Outcome::Invalid(Invalid::JudgeFailed));
                }
                true
            }
        }
    }
}

async fn send(shared: &Shared, body: Vec<u8>) -> Option<Response<Incoming>> {
    let stream = TcpStream::connect(&shared.address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.ok()?;
    // Ends with the request: the body, once dropped, closes the connection.
    tokio::spawn(connection);
    let request = Request::post("/v1/judge")
        .header(HOST, &shared.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/x-ndjson")
        .body(Full::new(Bytes::from(body)))
        .ok()?;
    sender.send_request(request).await.ok()
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
