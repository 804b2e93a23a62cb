//! Engines of others that sample: SGLang and vLLM, behind the same trait as our own workers.
//!
//! A version of the weights is written once, as a folder in Hugging Face layout that trainer and
//! engines both see, and each engine is told to load it in place:
//!
//! | | SGLang | vLLM, with `VLLM_SERVER_DEV_MODE=1` |
//! |---|---|---|
//! | stop | `/pause_generation` | `/pause` |
//! | load | `/update_weights_from_disk` of the version's folder | `/collective_rpc` `reload_weights`, from the link `current` that it serves, then `/reset_prefix_cache` |
//! | go on | `/continue_generation` | `/resume` |
//! | sample | `/generate`, which says with which version | `/v1/completions` |
//!
//! Tokens go in and tokens come out: text is never cut anew. An engine that failed is taken to hold
//! nothing and is brought the weights again before it is asked. What an engine says is checked: a
//! token without a finite log-probability, or one after a stop token, is no sample.
//!
//! `/update_weights_from_distributed` is not spoken: it needs NCCL between trainer and engine.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Finish;
use super::deal::{self, Line, Part};
use super::engine::Backend;
use super::http::{self, Call, worded};
use super::sampler::{Heard, Publication, SampleRequest, Sampled, SamplerOptions, Way};
use crate::limits::{ENGINE_FOLDERS_KEPT, ENGINE_REQUESTS_MAX, SHARD_BYTES_MAX};
use crate::model::{ModelConfig, files};
use crate::policy::Weights;

/// Whose engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// SGLang.
    Sglang,
    /// vLLM.
    Vllm,
}

/// What engines are and where.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Whose.
    pub kind: EngineKind,
    /// Their addresses, `host:port`.
    pub addresses: Vec<String>,
    /// The folder that trainer and engines see under the same name.
    pub folder: PathBuf,
    /// How long an engine may be silent.
    pub lease: Duration,
}

/// Engines of one kind.
#[derive(Debug)]
pub struct ExternalEngines {
    engines: Vec<Arc<Engine>>,
    folder: PathBuf,
    config: ModelConfig,
    tokenizer: Vec<u8>,
    written: Option<(u64, u64)>,
    runtime: tokio::runtime::Runtime,
}

#[derive(Debug)]
struct Engine {
    kind: EngineKind,
    address: String,
    lease: Duration,
    sampling: SamplerOptions,
    vocabulary: usize,
    /// The version that it was last brought, and vLLM's name for the model.
    held: std::sync::Mutex<Held>,
    permits: Semaphore,
}

#[derive(Clone, Debug, Default)]
struct Held {
    version: Option<u64>,
    model: Option<String>,
}

impl ExternalEngines {
    /// Engines; nobody is asked yet.
    ///
    /// # Errors
    /// In a sentence: no address, or sampling for which an engine's log-probabilities are not the
    /// policy's.
    pub fn new(
        options: &EngineOptions,
        sampling: &SamplerOptions,
        (config, tokenizer): (&ModelConfig, &[u8]),
    ) -> Result<Self, String> {
        if options.addresses.is_empty() {
            return Err("no engine is named".to_owned());
        }
        let plain = sampling.temperature == 1.0 && sampling.top_p == 1.0;
        if !plain || !sampling.suppressed.is_empty() {
            return Err("engines report log-probabilities that are the policy's only at \
                        rollout.temperature = 1, rollout.top_p = 1 and with a model from files"
                .to_owned());
        }
        std::fs::create_dir_all(&options.folder).map_err(worded)?;
        let folder = options.folder.canonicalize().map_err(worded)?;
        let engine = |address: &String| {
            Arc::new(Engine {
                kind: options.kind,
                address: address.clone(),
                lease: options.lease,
                sampling: sampling.clone(),
                vocabulary: config.vocabulary,
                held: std::sync::Mutex::default(),
                permits: Semaphore::new(ENGINE_REQUESTS_MAX),
            })
        };
        let engines = options.addresses.iter().map(engine).collect();
        let (config, tokenizer) = (config.clone(), tokenizer.to_owned());
        let runtime = deal::runtime("engines")?;
        Ok(Self { engines, folder, config, tokenizer, written: None, runtime })
    }

    /// Writes the version's folder, unless it is there; returns its path and size.
    fn write(&mut self, weights: &Weights) -> Result<(PathBuf, u64), String> {
        let path = self.folder.join(folder_name(weights.version));
        if let Some((_, bytes)) = self.written.filter(|(version, _)| *version == weights.version) {
            return Ok((path, bytes));
        }
        let temporary = self.folder.join(format!("{}.tmp", folder_name(weights.version)));
        for old in [&path, &temporary] {
            if old.exists() {
                std::fs::remove_dir_all(old).map_err(worded)?;
            }
        }
        std::fs::create_dir(&temporary).map_err(worded)?;
        files::write_model(&temporary, &self.config, &weights.tensors, SHARD_BYTES_MAX)
            .map_err(worded)?;
        files::write(&temporary.join("tokenizer.json"), &self.tokenizer).map_err(worded)?;
        std::fs::rename(&temporary, &path).map_err(worded)?;
        point(&self.folder, &path).map_err(worded)?;
        prune(&self.folder, &path);
        let size = |entry: std::fs::DirEntry| entry.metadata().map_or(0, |found| found.len());
        let bytes = std::fs::read_dir(&path).map_err(worded)?.flatten().map(size).sum();
        self.written = Some((weights.version, bytes));
        Ok((path, bytes))
    }
}

fn folder_name(version: u64) -> String {
    format!("weight_v{version:06}")
}

/// Makes the link `current` point to a version, at once.
fn point(folder: &Path, version: &Path) -> std::io::Result<()> {
    let temporary = folder.join("current.tmp");
    if temporary.is_symlink() {
        std::fs::remove_file(&temporary)?;
    }
    std::os::unix::fs::symlink(version, &temporary)?;
    std::fs::rename(&temporary, folder.join("current"))
}

/// Removes all but the newest versions; `newest` stays.
fn prune(folder: &Path, newest: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("weight_v") && path != newest
    };
    let mut old: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(ours).collect();
    old.sort();
    let kept = ENGINE_FOLDERS_KEPT - 1;
    for path in &old[..old.len().saturating_sub(kept)] {
        // One that stays costs room and nothing else.
        drop(std::fs::remove_dir_all(path));
    }
}

impl Backend for ExternalEngines {
    fn sample(
        &mut self,
        weights: &Weights,
        requests: &[SampleRequest],
        hear: &mut dyn FnMut(Heard),
    ) -> Result<(), String> {
        let (path, bytes) = self.write(weights)?;
        let target = Target { version: weights.version, path, bytes };
        let ask = |at: usize, share: Vec<Part>, lines: Sender<Line>| {
            let engine = Arc::clone(&self.engines[at]);
            self.runtime.spawn(engine.work(target.clone(), share.concat(), lines));
        };
        // Which sequences an engine decodes together is its own affair.
        let table = deal::Table { runtime: &self.runtime, samplers: self.engines.len(), parts: 0 };
        deal::deal(&table, requests, &ask, hear)
    }
}

/// A version, where it lies, and how large it is.
#[derive(Clone, Debug)]
struct Target {
    version: u64,
    path: PathBuf,
    bytes: u64,
}

impl Engine {
    /// Brings the weights if need be, then asks for all sequences at once, as many as are allowed.
    async fn work(self: Arc<Self>, target: Target, part: Part, lines: Sender<Line>) {
        if self.held().version != Some(target.version) {
            let start = Instant::now();
            if let Err(reason) = self.publish(&target).await {
                self.failed(&lines, &reason);
                return;
            }
            let (way, bytes) = (Way::Folder, target.bytes);
            let seconds = start.elapsed().as_secs_f64();
            drop(lines.send(Ok(Heard::Published(Publication { way, bytes, seconds }))));
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (at, request) in part {
            let (engine, lines, version) = (Arc::clone(&self), lines.clone(), target.version);
            tasks.spawn(async move {
                let Ok(_permit) = engine.permits.acquire().await else { return };
                match engine.generate(version, &request).await {
                    // Its tokens come all at once. The receiver is gone only when the run is over.
                    Ok(sampled) => {
                        drop(lines.send(Ok(Heard::Tokens)));
                        drop(lines.send(Ok(Heard::Ended(at, sampled))));
                    }
                    Err(reason) => engine.failed(&lines, &reason),
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    fn held(&self) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whatever it holds, it is brought the weights before it is asked again.
    fn failed(&self, lines: &Sender<Line>, reason: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).version = None;
        drop(lines.send(Err(format!("engine {}: {reason}", self.address))));
    }

    async fn publish(&self, target: &Target) -> Result<(), String> {
        let model = match self.kind {
            EngineKind::Sglang => {
                self.post("/pause_generation", &json!({"mode": "abort"})).await?;
                let loaded = self
                    .post(
                        "/update_weights_from_disk",
                        &json!({
                            "model_path": target.path, "weight_version": target.version.to_string(),
                            "flush_cache": true,
                        }),
                    )
                    .await;
                // Paused for good would be worse than the weights of before.
                self.post("/continue_generation", &json!({})).await?;
                let loaded = loaded?;
                if loaded["success"] != json!(true) {
                    return Err(format!("did not load the weights: {}", loaded["message"]));
                }
                None
            }
            EngineKind::Vllm => {
                self.post("/pause", &json!({})).await?;
                let loaded =
                    self.post("/collective_rpc", &json!({"method": "reload_weights"})).await;
                let emptied = self.post("/reset_prefix_cache", &json!({})).await;
                self.post("/resume", &json!({})).await?;
                loaded?;
                emptied?;
                let models = self.call(Call::get("/v1/models")).await?;
                let name = models["data"][0]["id"].as_str().ok_or("serves no model")?;
                Some(name.to_owned())
            }
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Held { version: Some(target.version), model };
        Ok(())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.call(Call::post(path, body)).await
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, String> {
        let path = call.path.to_owned();
        let response = http::send(&self.address, call, self.lease).await?;
        let status = response.status();
        let body = http::whole(response.into_body(), self.lease).await?;
        if !status.is_success() {
            let start: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(format!("answered {status} to {path}: {start}"));
        }
        // Some verbs answer with a word, or with nothing.
        let value = serde_json::from_slice(&body);
        if path.starts_with("/v1/") || path == "/generate" || path == "/update_weights_from_disk" {
            return value.map_err(|error| format!("{path}: {error}"));
        }
        Ok(value.unwrap_or(Value::Null))
    }

    async fn generate(&self, version: u64, request: &SampleRequest) -> Result<Sampled, String> {
        let left = request.tokens_max.saturating_sub(request.prefix.len());
        let budget = request.budget.min(left);
        if budget == 0 {
            let finish = if left == 0 { Finish::Length } else { Finish::Budget };
            return Ok(Sampled { tokens: Vec::new(), logprobs: Vec::new(), finish });
        }
        let prompt: Vec<u32> = request.prompt.iter().chain(&request.prefix).copied().collect();
        let (reason, pairs) = match self.kind {
            EngineKind::Sglang => {
                let body = json!({
                    "input_ids": prompt, "return_logprob": true,
                    "sampling_params": {
                        "max_new_tokens": budget, "temperature": 1.0, "top_p": 1.0,
                        "stop_token_ids": self.sampling.stop_tokens,
                    },
                });
                sglang(&self.post("/generate", &body).await?, version)?
            }
            EngineKind::Vllm => {
                let seed =
                    crate::random::bits(&[self.sampling.seed, request.key[0], request.key[1]]);
                let body = json!({
                    "model": self.held().model, "prompt": prompt, "max_tokens": budget,
                    "temperature": 1.0, "top_p": 1.0, "logprobs": 1, "seed": seed >> 33,
                    "stop_token_ids": self.sampling.stop_tokens,
                    "return_token_ids": true, "return_tokens_as_token_ids": true,
                });
                vllm(&self.post("/v1/completions", &body).await?)?
            }
        };
        self.checked(&reason, pairs, (budget, left))
    }

    /// A reply as a sample, if it can be one.
    fn checked(
        &self,
        reason: &str,
        pairs: Vec<(u32, f32)>,
        (budget, left): (usize, usize),
    ) -> Result<Sampled, String> {
        let stops = |token: &u32| self.sampling.stop_tokens.contains(token);
        let (tokens, logprobs): (Vec<u32>, Vec<f32>) = pairs.into_iter().unzip();
        let possible = |token: &u32| (*token as usize) < self.vocabulary;
        let probable = |logprob: &f32| logprob.is_finite() && *logprob <= 1e-4;
        if !tokens.iter().all(possible) || !logprobs.iter().all(probable) {
            return Err("answered a token that cannot be".to_owned());
        }
        let stop = tokens.iter().position(stops);
        let finish = match (reason, stop) {
            ("stop", Some(at)) if at + 1 == tokens.len() => Finish::Stop,
            ("length", None) if tokens.len() == budget && budget == left => Finish::Length,
            ("length", None) if tokens.len() == budget => Finish::Budget,
            _ => return Err(format!("ended with {reason} after {} tokens", tokens.len())),
        };
        if tokens.len() > budget {
            return Err(format!("answered {} tokens of {budget}", tokens.len()));
        }
        Ok(Sampled { tokens, logprobs, finish })
    }
}

/// Why it ended, and tokens with log-probabilities, of a reply to `/generate`.
fn sglang(reply: &Value, version: u64) -> Result<(String, Vec<(u32, f32)>), String> {
    let meta = &reply["meta_info"];
    let said = meta["weight_version"].as_str().unwrap_or("none");
    if said != version.to_string() {
        return Err(format!("sampled with version {said}, not {version}"));
    }
    let reason = meta["finish_reason"]["type"].as_str().unwrap_or("nothing").to_owned();
    let listed = meta["output_token_logprobs"].as_array().ok_or("answered no log-probabilities")?;
    let pairs = listed.iter().map(|entry| pair(&entry[1], &entry[0])).collect::<Result<_, _>>()?;
    Ok((reason, pairs))
}

/// The same of a reply to `/v1/completions`.
fn vllm(reply: &Value) -> Result<(String, Vec<(u32, f32)>), String> {
    let choice = &reply["choices"][0];
    let reason = choice["finish_reason"].as_str().unwrap_or("nothing").to_owned();
    let logprobs = &choice["logprobs"];
    let values = logprobs["token_logprobs"].as_array().ok_or("answered no log-probabilities")?;
    let ids = choice["token_ids"].as_array();
    // Older servers know only the second of the two ways to answer with numbers.
    let words = logprobs["tokens"].as_array();
    let of_word = |word: &Value| {
        let digits = word.as_str()?.strip_prefix("token_id:")?;
        Some(Value::from(digits.parse::<u32>().ok()?))
    };
    let ids: Vec<Value> = match (ids, words) {
        (Some(ids), _) => ids.clone(),
        (None, Some(words)) => words.iter().map(|word| of_word(word).unwrap_or_default()).collect(),
        (None, None) => return Err("answered no tokens".to_owned()),
    };
    if ids.len() != values.len() {
        return Err(format!("{} tokens, {} log-probabilities", ids.len(), values.len()));
    }
    let pairs =
        ids.iter().zip(values).map(|(id, value)| pair(id, value)).collect::<Result<_, _>>()?;
    Ok((reason, pairs))
}

#[expect(clippy::cast_possible_truncation, reason = "log-probabilities are kept in 32 bits")]
fn pair(token: &Value, logprob: &Value) -> Result<(u32, f32), String> {
    let token = token.as_u64().and_then(|token| u32::try_from(token).ok());
    let both = token.zip(logprob.as_f64());
    both.map(|(token, logprob)| (token, logprob as f32))
        .ok_or_else(|| "answered a token without its number or log-probability".to_owned())
}
