//! A stand-in for the service, scripted: it speaks the wire format, runs nothing, and fails on
//! demand. Rewards are a function of the submission, so that runs can be compared.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use protocol::{Failure, FailureClass, JudgeRequest, SubmissionResult, Verdict};
use trainer::random;

/// What the stand-in does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Answers.
    Answer,
    /// Says that every submission failed, for good.
    Invalid,
    /// Says that every submission failed, and may be sent again.
    InvalidRetryable,
    /// Is full.
    Full,
    /// Sends half of a line and closes.
    Breaks,
    /// Sends a line that is no result.
    Garbles,
    /// Refuses the request.
    Refuses,
    /// Never answers.
    Hangs,
}

/// Decides by the number of the request, from 0.
type Script = Box<dyn Fn(usize) -> Act + Send + Sync>;

struct Shared {
    script: Script,
    requests: AtomicUsize,
    programs: Mutex<Vec<usize>>,
}

/// The stand-in; it ends when dropped.
pub(crate) struct StandIn {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl StandIn {
    /// Listens on a free port.
    pub(crate) fn start(script: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            script: Box::new(script),
            requests: AtomicUsize::new(0),
            programs: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread");
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = Router::new().route("/v1/judge", post(judge)).with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { url, shared, _runtime: runtime }
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// How many submissions each request had.
    pub(crate) fn programs(&self) -> Vec<usize> {
        self.shared.programs.lock().expect("no panic").clone()
    }
}

async fn judge(State(shared): State<Arc<Shared>>, body: String) -> Response {
    let number = shared.requests.fetch_add(1, Ordering::SeqCst);
    let request: JudgeRequest = serde_json::from_str(&body).expect("the wire format");
    shared.programs.lock().expect("no panic").push(request.submissions.len());
    let lines = |valid: bool, retryable: bool| -> String {
        let results = request.submissions.iter().enumerate().map(|(index, submission)| {
            let text = serde_json::to_string(submission).expect("JSON");
            result(index, reward(&text), (valid, retryable))
        });
        results.map(|line| serde_json::to_string(&line).expect("JSON") + "\n").collect()
    };
    match (shared.script)(number) {
        Act::Answer => lines(true, false).into_response(),
        Act::Invalid => lines(false, false).into_response(),
        Act::InvalidRetryable => lines(false, true).into_response(),
        Act::Full => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Act::Refuses => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        Act::Garbles => "{\"reward\": \"much\"}\n".into_response(),
        Act::Breaks => {
            let whole = lines(true, false);
            whole[..whole.len() / 2].to_owned().into_response()
        }
        Act::Hangs => std::future::pending().await,
    }
}

/// 1 or 0, by the bytes of the submission.
fn reward(text: &str) -> f64 {
    let words: Vec<u64> = text.bytes().map(u64::from).collect();
    if random::bits(&words).is_multiple_of(3) { 1.0 } else { 0.0 }
}

fn result(index: usize, reward: f64, (valid, retryable): (bool, bool)) -> SubmissionResult {
    let verdict = if reward > 0.5 { Verdict::Accepted } else { Verdict::WrongAnswer };
    let failure =
        Failure { class: FailureClass::Infrastructure, retryable, message: "scripted".to_owned() };
    let value = serde_json::json!({
        "id": null, "index": index, "reward": valid.then_some(reward), "valid": valid,
        "verdict": valid.then_some(verdict), "tests": [], "compile": null,
        "failure": (!valid).then_some(failure), "flags": [], "extraction": null,
        "stages": [], "points": null, "cached": false,
    });
    serde_json::from_value(value).expect("a result of the protocol")
}
