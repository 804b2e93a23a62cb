//! A stand-in for the engines of others, scripted: it speaks the verbs of SGLang and of vLLM that
//! the trainer uses, loads the weights that it is told to load, samples with them, and fails on
//! demand.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tch::{Device, Kind};
use trainer::model::Decoder;
use trainer::model::files::read_model;
use trainer::rollout::Finish;
use trainer::rollout::sampler::{Heard, SampleRequest, Sampled, SamplerOptions, sample};

/// What the stand-in does with a request to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Answers.
    Answer,
    /// Answers 500.
    Breaks,
    /// Sends half of its JSON.
    Truncates,
    /// Forgets its weights, as after a restart, and answers all the same.
    Forgets,
    /// Says that the request was aborted.
    Aborts,
    /// Leaves out one log-probability.
    Miscounts,
    /// Never answers.
    Hangs,
}

type Script = Box<dyn Fn(usize) -> Act + Send + Sync>;

struct Inner {
    base: PathBuf,
    decoder: Decoder,
    version: String,
    paused: bool,
    /// Verbs so far; samples are not among them.
    verbs: Vec<String>,
    samples: usize,
}

struct Shared {
    script: Script,
    inner: Mutex<Inner>,
}

/// The stand-in; it ends when dropped.
pub(crate) struct Engine {
    pub(crate) address: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Engine {
    /// Serves the model of a folder, as the original would be started with it.
    pub(crate) fn start(
        base: &Path,
        script: impl Fn(usize) -> Act + Send + Sync + 'static,
    ) -> Self {
        let decoder = read_model(base, Kind::Float, Device::Cpu).expect("a model");
        let version = "default".to_owned();
        let inner = Inner {
            base: base.to_owned(),
            decoder,
            version,
            paused: false,
            verbs: Vec::new(),
            samples: 0,
        };
        let shared = Arc::new(Shared { script: Box::new(script), inner: Mutex::new(inner) });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread");
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { address, shared, _runtime: runtime }
    }

    /// The verbs that it was told, samples left out.
    pub(crate) fn verbs(&self) -> Vec<String> {
        self.shared.inner.lock().expect("no panic").verbs.clone()
    }

    /// How many requests to sample there were.
    pub(crate) fn samples(&self) -> usize {
        self.shared.inner.lock().expect("no panic").samples
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let act = {
        let mut inner = shared.inner.lock().expect("no panic");
        if !matches!(path.as_str(), "/generate" | "/v1/completions") {
            inner.verbs.push(path.clone());
            return inner.verb(&path, &body);
        }
        assert!(!inner.paused, "sampled while it is paused");
        inner.samples += 1;
        (shared.script)(inner.samples - 1)
    };
    match act {
        Act::Hangs => std::future::pending().await,
        Act::Breaks => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Act::Answer | Act::Truncates | Act::Forgets | Act::Aborts | Act::Miscounts => {
            let mut inner = shared.inner.lock().expect("no panic");
            if act == Act::Forgets {
                inner.decoder = read_model(&inner.base, Kind::Float, Device::Cpu).expect("a model");
                inner.version = "default".to_owned();
            }
            let reply = inner.sample(&path, &body, act).to_string();
            let length = if act == Act::Truncates { reply.len() / 2 } else { reply.len() };
            reply[..length].to_owned().into_response()
        }
    }
}

impl Inner {
    fn verb(&mut self, path: &str, body: &Value) -> Response {
        match path {
            "/pause_generation" | "/pause" => self.paused = true,
            "/continue_generation" | "/resume" => self.paused = false,
            "/update_weights_from_disk" => {
                let folder = body["model_path"].as_str().expect("a path");
                let version = body["weight_version"].as_str().expect("a version");
                return match read_model(Path::new(folder), Kind::Float, Device::Cpu) {
                    Ok(decoder) => {
                        (self.decoder, self.version) = (decoder, version.to_owned());
                        json!({"success": true, "message": "loaded"}).to_string().into_response()
                    }
                    Err(error) => {
                        let reply = json!({"success": false, "message": error.to_string()});
                        reply.to_string().into_response()
                    }
                };
            }
            "/collective_rpc" => {
                assert_eq!(body["method"], "reload_weights");
                self.decoder = read_model(&self.base, Kind::Float, Device::Cpu).expect("a model");
            }
            "/reset_prefix_cache" => {}
            "/v1/models" => {
                return json!({"data": [{"id": "policy"}]}).to_string().into_response();
            }
            _ => return StatusCode::NOT_FOUND.into_response(),
        }
        StatusCode::OK.into_response()
    }

    fn sample(&self, path: &str, body: &Value, act: Act) -> Value {
        let sglang = path == "/generate";
        let sampling = if sglang { &body["sampling_params"] } else { body };
        let numbers = |value: &Value| -> Vec<u32> {
            let numbers = value.as_array().expect("a list").iter();
            numbers
                .map(|n| u32::try_from(n.as_u64().expect("a number")).expect("a token"))
                .collect()
        };
        let stop_tokens = numbers(&sampling["stop_token_ids"]);
        let (prompt, budget) = if sglang {
            (numbers(&body["input_ids"]), &sampling["max_new_tokens"])
        } else {
            assert_eq!(body["model"], "policy");
            (numbers(&body["prompt"]), &body["max_tokens"])
        };
        let budget = usize::try_from(budget.as_u64().expect("a number")).expect("a length");
        let key = [self.samples as u64, prompt.len() as u64];
        let request = SampleRequest { key, prompt, prefix: Vec::new(), budget, tokens_max: budget };
        let options = SamplerOptions {
            temperature: 1.0,
            top_p: 1.0,
            slots: 1,
            stop_repetition: false,
            stop_tokens,
            suppressed: Vec::new(),
            seed: 1,
        };
        let mut sampled = None;
        sample(&self.decoder, &options, &[request], &mut |heard| {
            if let Heard::Ended(_, ended) = heard {
                sampled = Some(ended);
            }
            ControlFlow::Continue(())
        });
        let sampled = sampled.expect("it ends");
        if sglang { self.sglang(&sampled, act) } else { vllm(&sampled, act) }
    }

    fn sglang(&self, sampled: &Sampled, act: Act) -> Value {
        let pairs = sampled.tokens.iter().zip(&sampled.logprobs);
        let mut listed: Vec<Value> =
            pairs.map(|(token, logprob)| json!([logprob, token, null])).collect();
        if act == Act::Miscounts {
            listed.pop();
        }
        json!({
            "text": "", "output_ids": sampled.tokens,
            "meta_info": {
                "finish_reason": {"type": reason(sampled, act)}, "weight_version": self.version,
                "output_token_logprobs": listed,
            },
        })
    }
}

fn vllm(sampled: &Sampled, act: Act) -> Value {
    let words: Vec<String> =
        sampled.tokens.iter().map(|token| format!("token_id:{token}")).collect();
    let mut logprobs = sampled.logprobs.clone();
    if act == Act::Miscounts {
        logprobs.pop();
    }
    json!({
        "choices": [{
            "text": "", "finish_reason": reason(sampled, act),
            "logprobs": {"tokens": words, "token_logprobs": logprobs},
        }],
    })
}

fn reason(sampled: &Sampled, act: Act) -> &'static str {
    match (act, sampled.finish) {
        (Act::Aborts, _) => "abort",
        (_, Finish::Stop) => "stop",
        (_, Finish::Budget | Finish::Length | Finish::Repetition) => "length",
    }
}
