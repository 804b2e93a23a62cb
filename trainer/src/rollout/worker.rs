//! A rollout worker: a process that holds a copy of the policy and samples for a master over HTTP.
//!
//! Weights come through shared memory where master and worker are on one host, else in parts, each
//! with its SHA-256; a part is taken apart while the next one is under way, and a version counts only
//! once all of it is there. A request for another version than the
//! one held is answered 409 with the version that is: that is how a worker that died or came late is
//! found and brought up to date.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Json, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tch::Tensor;
use tokio::sync::mpsc;

use super::sampler::{self, Heard, SampleRequest, Sampled, SamplerOptions};
use super::shared_memory::{self, Offer};
use crate::limits::{ALIVE_EVERY, BODY_BYTES_MAX, BUCKET_BYTES, GROUP_SAMPLES_MAX, TENSORS_MAX};
use crate::model::Decoder;
use crate::model::files::{hexadecimal, tensors_of};

/// The header with a part's checksum.
pub const CHECKSUM: &str = "x-sha256";

/// What a worker is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleBody {
    /// With which version.
    pub version: u64,
    /// What to continue.
    pub requests: Vec<SampleRequest>,
}

/// One line of its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SampleLine {
    /// Sampling goes on: sent with the first token, then every second.
    Alive,
    /// A request is over.
    Ended {
        /// Which request.
        index: usize,
        /// What was sampled.
        sampled: Sampled,
    },
}

/// What a worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The version; absent before the first.
    pub version: Option<u64>,
}

struct Worker {
    model: Mutex<Model>,
    staged: Mutex<Staged>,
    options: SamplerOptions,
}

struct Model {
    decoder: Decoder,
    version: Option<u64>,
}

/// A version of which not everything is there.
#[derive(Default)]
struct Staged {
    version: u64,
    tensors: BTreeMap<String, Tensor>,
}

/// The routes of a worker.
pub fn routes(decoder: Decoder, options: SamplerOptions) -> Router {
    let worker = Worker {
        model: Mutex::new(Model { decoder, version: None }),
        staged: Mutex::default(),
        options,
    };
    Router::new()
        .route("/v1/held", get(held))
        .route("/v1/weights/{version}/parts", put(part))
        .route("/v1/weights/{version}/commit", post(commit))
        .route("/v1/weights/{version}/shared", post(shared))
        .route("/v1/sample", post(sample))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX.min(BUCKET_BYTES * 64)))
        .with_state(Arc::new(worker))
}

async fn held(State(worker): State<Arc<Worker>>) -> Json<Held> {
    // Sampling holds the model for long; asking waits off the reactor.
    let version = tokio::task::spawn_blocking(move || lock(&worker.model).version).await;
    Json(Held { version: version.unwrap_or(None) })
}

async fn part(
    State(worker): State<Arc<Worker>>,
    Path(version): Path<u64>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let wanted = headers.get(CHECKSUM).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let taken = tokio::task::spawn_blocking(move || {
        if wanted != Some(hexadecimal(&Sha256::digest(&body))) {
            return Err("the checksum does not match".to_owned());
        }
        let tensors = tensors_of(&body)?;
        let mut staged = lock(&worker.staged);
        if staged.version != version {
            *staged = Staged { version, tensors: BTreeMap::new() };
        }
        if staged.tensors.len() + tensors.len() > TENSORS_MAX {
            return Err("too many tensors".to_owned());
        }
        staged.tensors.extend(tensors);
        Ok(())
    });
    answer(taken.await)
}

async fn commit(State(worker): State<Arc<Worker>>, Path(version): Path<u64>) -> Response {
    let loaded = tokio::task::spawn_blocking(move || {
        let staged = std::mem::take(&mut *lock(&worker.staged));
        if staged.version != version {
            return Err(format!("version {version} is not here"));
        }
        lock(&worker.model).load(version, staged.tensors)
    });
    answer(loaded.await)
}

async fn shared(
    State(worker): State<Arc<Worker>>,
    Path(version): Path<u64>,
    Json(offer): Json<Offer>,
) -> Response {
    let loaded = tokio::task::spawn_blocking(move || {
        let tensors = shared_memory::read(&offer)?.into_iter().collect();
        lock(&worker.model).load(version, tensors)
    });
    answer(loaded.await)
}

impl Model {
    fn load(&mut self, version: u64, mut tensors: BTreeMap<String, Tensor>) -> Result<(), String> {
        let take = |parameter: &crate::model::Parameter| {
            let name = parameter.name.clone();
            tensors.remove(&name).map(|tensor| (name, tensor))
        };
        let ordered: Vec<_> = self.decoder.parameters().iter().filter_map(take).collect();
        self.decoder.load(&ordered).map_err(|error| error.to_string())?;
        self.version = Some(version);
        Ok(())
    }
}

async fn sample(State(worker): State<Arc<Worker>>, Json(body): Json<SampleBody>) -> Response {
    let (lines, mut stream) = mpsc::channel::<Bytes>(GROUP_SAMPLES_MAX);
    let (accept, accepted) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let model = lock(&worker.model);
        let held = Held { version: model.version };
        let positions = model.decoder.config().positions_max;
        let fits = |request: &SampleRequest| {
            !request.prompt.is_empty() && request.prompt.len() + request.tokens_max <= positions
        };
        let verdict = if model.version != Some(body.version) {
            Err((StatusCode::CONFLICT, serde_json::to_string(&held).unwrap_or_default()))
        } else if !body.requests.iter().all(fits) {
            let reason = "a prompt is empty or too long".to_owned();
            Err((StatusCode::UNPROCESSABLE_ENTITY, reason))
        } else {
            Ok(())
        };
        let go = verdict.is_ok();
        if accept.send(verdict).is_err() || !go {
            return;
        }
        let mut alive: Option<Instant> = None;
        sampler::sample(&model.decoder, &worker.options, &body.requests, &mut |heard| {
            let line = match heard {
                Heard::Ended(index, sampled) => SampleLine::Ended { index, sampled },
                Heard::Tokens if alive.is_none_or(|last| last.elapsed() >= ALIVE_EVERY) => {
                    alive = Some(Instant::now());
                    SampleLine::Alive
                }
                Heard::Tokens | Heard::Published(_) if !lines.is_closed() => {
                    return ControlFlow::Continue(());
                }
                // A master that is gone needs nothing more.
                Heard::Tokens | Heard::Published(_) => return ControlFlow::Break(()),
            };
            let mut line = serde_json::to_vec(&line).unwrap_or_default();
            line.push(b'\n');
            match lines.blocking_send(line.into()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
    });
    match accepted.await {
        Ok(Ok(())) => {
            let lines = futures_util::stream::poll_fn(move |context| stream.poll_recv(context));
            let lines = futures_util::StreamExt::map(lines, Ok::<_, std::convert::Infallible>);
            Body::from_stream(lines).into_response()
        }
        Ok(Err(refused)) => refused.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn answer(result: Result<Result<(), String>, tokio::task::JoinError>) -> Response {
    match result {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(reason)) => (StatusCode::UNPROCESSABLE_ENTITY, reason).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
