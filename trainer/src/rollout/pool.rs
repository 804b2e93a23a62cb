//! The master's side of rollout workers: asks them for their parts and brings them the weights that
//! they lack. A worker has its part by lease: one that is silent for longer than that has lost it,
//! whatever it is doing.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tch::Tensor;

use super::deal::{self, Line, Part};
use super::engine::Backend;
use super::http::{self, Call, worded};
use super::sampler::{Heard, Publication, SampleRequest, Way};
use super::shared_memory::{self, SharedWeights};
use super::worker::{CHECKSUM, SampleBody, SampleLine};
use crate::limits::{BUCKET_BYTES, LINE_BYTES_MAX};
use crate::model::files::{bytes_of, hexadecimal};
use crate::policy::Weights;

/// Workers by their addresses, `host:port`.
#[derive(Debug)]
pub struct WorkerPool {
    addresses: Vec<String>,
    lease: Duration,
    runtime: tokio::runtime::Runtime,
    /// In how many tables all is sampled; 0: as it comes.
    tables: usize,
    parts: Option<Arc<Parts>>,
}

/// A version as it travels.
#[derive(Debug)]
struct Parts {
    version: u64,
    weights: Mutex<Weights>,
    /// Made for the first worker that needs them.
    bodies: OnceLock<Result<Vec<(Bytes, String)>, String>>,
    /// For workers on this host, where there are any and there is room.
    shared: Option<SharedWeights>,
}

impl WorkerPool {
    /// A pool; nobody is asked yet. A worker that says nothing for a `lease` has lost its part.
    ///
    /// # Errors
    /// No address, or no thread.
    pub fn new(addresses: Vec<String>, lease: Duration) -> Result<Self, String> {
        if addresses.is_empty() {
            return Err("no rollout worker is named".to_owned());
        }
        let runtime = deal::runtime("worker-pool")?;
        Ok(Self { addresses, lease, runtime, tables: 0, parts: None })
    }

    /// Asks for the sequences of each table together, and together again where one was not finished
    /// (`rollout.tables`).
    #[must_use]
    pub fn in_tables(self, tables: usize) -> Self {
        Self { tables, ..self }
    }

    fn parts(&mut self, weights: &Weights) -> Result<Arc<Parts>, String> {
        if let Some(parts) = self.parts.as_ref().filter(|parts| parts.version == weights.version) {
            return Ok(Arc::clone(parts));
        }
        // The memory of the version before is given back first.
        self.parts = None;
        let local = self.addresses.iter().any(|address| shared_memory::is_local(address));
        let parts = Arc::new(Parts::of(weights, local));
        self.parts = Some(Arc::clone(&parts));
        Ok(parts)
    }
}

impl Backend for WorkerPool {
    fn sample(
        &mut self,
        weights: &Weights,
        requests: &[SampleRequest],
        hear: &mut dyn FnMut(Heard),
    ) -> Result<(), String> {
        let parts = self.parts(weights)?;
        let ask = |at: usize, share: Vec<Part>, lines: Sender<Line>| {
            let (address, parts) = (self.addresses[at].clone(), Arc::clone(&parts));
            let worker = Worker { address, parts, lease: self.lease, lines };
            self.runtime.spawn(worker.ask(share));
        };
        let samplers = self.addresses.len();
        let table = deal::Table { runtime: &self.runtime, samplers, parts: self.tables };
        deal::deal(&table, requests, &ask, hear)
    }
}

/// One worker and its share of one attempt.
struct Worker {
    address: String,
    parts: Arc<Parts>,
    lease: Duration,
    lines: Sender<Line>,
}

impl Worker {
    /// Asks for one part after the other; what is not finished is heard of as an error.
    async fn ask(self, share: Vec<Part>) {
        for part in share {
            if let Err(reason) = self.work(part).await {
                return self.tell(Err(format!("worker {}: {reason}", self.address)));
            }
        }
    }

    async fn work(&self, part: Part) -> Result<(), String> {
        let (places, requests): (Vec<usize>, Vec<SampleRequest>) = part.into_iter().unzip();
        let body = SampleBody { version: self.parts.version, requests };
        let body: Bytes = serde_json::to_vec(&body).map_err(worded)?.into();
        let path = "/v1/sample";
        let post =
            || self.send(Call { method: Method::POST, path, body: body.clone(), header: None });
        let mut response = post().await?;
        if response.status() == StatusCode::CONFLICT {
            let publication = self.publish().await?;
            self.tell(Ok(Heard::Published(publication)));
            response = post().await?;
        }
        if !response.status().is_success() {
            return Err(format!("answered {}", response.status()));
        }
        self.read(response.into_body(), &places).await
    }

    async fn send(&self, call: Call<'_>) -> Result<Response<Incoming>, String> {
        http::send(&self.address, call, self.lease).await
    }

    fn tell(&self, line: Line) {
        // The receiver is gone only when the run is over.
        drop(self.lines.send(line));
    }

    /// Through shared memory where the worker can see it, else in parts.
    async fn publish(&self) -> Result<Publication, String> {
        let start = Instant::now();
        let publication =
            |way, bytes| Publication { way, bytes, seconds: start.elapsed().as_secs_f64() };
        if let Some(shared) = &self.parts.shared
            && shared_memory::is_local(&self.address)
        {
            let offer = shared.offer();
            let path = format!("/v1/weights/{}/shared", self.parts.version);
            let body = serde_json::to_value(&offer).map_err(worded)?;
            // One behind a forwarded port, or in a container, sees another host's processes.
            if self.send(Call::post(&path, &body)).await?.status().is_success() {
                return Ok(publication(Way::SharedMemory, offer.bytes));
            }
        }
        let bodies = self.parts.bodies()?;
        self.publish_parts(bodies).await?;
        let bytes = bodies.iter().map(|(body, _)| body.len() as u64).sum();
        Ok(publication(Way::Http, bytes))
    }

    /// Sends all parts, one while the worker takes the one before apart, then makes them count.
    async fn publish_parts(&self, bodies: &[(Bytes, String)]) -> Result<(), String> {
        let path = format!("/v1/weights/{}", self.parts.version);
        let mut last: Option<tokio::task::JoinHandle<Result<(), String>>> = None;
        for (body, checksum) in bodies {
            let (address, path) = (self.address.clone(), format!("{path}/parts"));
            let (body, checksum, lease) = (body.clone(), checksum.clone(), self.lease);
            let next = tokio::spawn(async move {
                let header = Some((CHECKSUM, checksum.as_str()));
                let call = Call { method: Method::PUT, path: &path, body, header };
                expect_success(&http::send(&address, call, lease).await?)
            });
            if let Some(before) = last.replace(next) {
                before.await.map_err(worded)??;
            }
        }
        if let Some(before) = last {
            before.await.map_err(worded)??;
        }
        let path = format!("{path}/commit");
        let call = Call { method: Method::POST, path: &path, body: Bytes::new(), header: None };
        expect_success(&self.send(call).await?)
    }

    async fn read(&self, mut body: Incoming, places: &[usize]) -> Result<(), String> {
        let mut pending: Vec<u8> = Vec::new();
        let mut count = 0;
        while let Some(data) = http::next(&mut body, self.lease).await? {
            pending.extend_from_slice(&data);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                match serde_json::from_slice(&line).map_err(worded)? {
                    SampleLine::Alive => self.tell(Ok(Heard::Tokens)),
                    SampleLine::Ended { index, sampled } => {
                        let at = places.get(index).ok_or("answered what was not asked")?;
                        count += 1;
                        self.tell(Ok(Heard::Ended(*at, sampled)));
                    }
                }
            }
            if pending.len() > LINE_BYTES_MAX {
                return Err("sent a line that is too long".to_owned());
            }
        }
        if count == places.len() {
            Ok(())
        } else {
            Err(format!("finished {count} of {}", places.len()))
        }
    }
}

fn expect_success(response: &Response<Incoming>) -> Result<(), String> {
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(format!("answered {status} to weights")) }
}

impl Parts {
    fn of(weights: &Weights, local: bool) -> Self {
        // A host without such memory, or without room in it, has the other way.
        let shared = if local { SharedWeights::of(weights).ok() } else { None };
        let (version, weights) = (weights.version, Mutex::new(weights.clone()));
        Self { version, weights, bodies: OnceLock::new(), shared }
    }

    fn bodies(&self) -> Result<&[(Bytes, String)], String> {
        let made = self.bodies.get_or_init(|| {
            let weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
            bodies(&weights.tensors)
        });
        made.as_deref().map_err(Clone::clone)
    }
}

/// Tensors in parts, each with its checksum.
fn bodies(tensors: &[(String, Tensor)]) -> Result<Vec<(Bytes, String)>, String> {
    let mut parts = Vec::new();
    let (mut start, mut size) = (0, 0);
    let bytes = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
    for (at, (_, tensor)) in tensors.iter().enumerate() {
        if at > start && size + bytes(tensor) > BUCKET_BYTES {
            parts.push(&tensors[start..at]);
            (start, size) = (at, 0);
        }
        size += bytes(tensor);
    }
    parts.push(&tensors[start..]);
    let body = |tensors: &[(String, Tensor)]| {
        let bytes = bytes_of(tensors).map_err(worded)?;
        let checksum = hexadecimal(&Sha256::digest(&bytes));
        Ok((Bytes::from(bytes), checksum))
    };
    parts.into_iter().map(body).collect()
}
