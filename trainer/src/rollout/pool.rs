//! The master's side of rollout workers: deals requests out to those that answer, brings them the
//! weights that they lack, and deals out again what a worker did not finish.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tch::Tensor;
use tokio::net::TcpStream;

use super::engine::Backend;
use super::sampler::{SampleRequest, Sampled};
use super::worker::{CHECKSUM, SampleBody, SampleLine};
use crate::limits::{BUCKET_BYTES, LINE_BYTES_MAX, WORKER_ATTEMPTS_MAX, WORKER_REQUEST_TIME_MAX};
use crate::model::files::{bytes_of, hexadecimal};
use crate::policy::Weights;

/// How long a worker that did not answer is left alone.
const PAUSE: Duration = Duration::from_millis(250);

/// Workers by their addresses, `host:port`.
#[derive(Debug)]
pub struct WorkerPool {
    addresses: Vec<String>,
    runtime: tokio::runtime::Runtime,
    parts: Option<(u64, Arc<Parts>)>,
}

/// A version as it travels.
#[derive(Debug)]
struct Parts {
    version: u64,
    bodies: Vec<(Bytes, String)>,
}

impl WorkerPool {
    /// A pool; nobody is asked yet.
    ///
    /// # Errors
    /// No address, or no thread.
    pub fn new(addresses: Vec<String>) -> Result<Self, String> {
        if addresses.is_empty() {
            return Err("no rollout worker is named".to_owned());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("worker-pool")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { addresses, runtime, parts: None })
    }

    fn parts(&mut self, weights: &Weights) -> Result<Arc<Parts>, String> {
        if let Some((version, parts)) = &self.parts
            && *version == weights.version
        {
            return Ok(Arc::clone(parts));
        }
        let parts = Arc::new(Parts::of(weights)?);
        self.parts = Some((weights.version, Arc::clone(&parts)));
        Ok(parts)
    }
}

impl Backend for WorkerPool {
    fn sample(
        &mut self,
        weights: &Weights,
        requests: &[SampleRequest],
        done: &mut dyn FnMut(usize, Sampled),
    ) -> Result<(), String> {
        let parts = self.parts(weights)?;
        let mut open: Vec<usize> = (0..requests.len()).collect();
        let mut reason = String::new();
        for attempt in 0..WORKER_ATTEMPTS_MAX {
            if open.is_empty() {
                return Ok(());
            }
            if attempt > 0 {
                self.runtime.block_on(async { tokio::time::sleep(PAUSE * attempt).await });
            }
            let (lines, received) = mpsc::channel();
            let share = open.len().div_ceil(self.addresses.len());
            // Turned by one at each attempt, so that what one worker cannot do another tries.
            let turned = self.addresses.iter().cycle().skip(attempt as usize);
            for (places, address) in open.chunks(share).zip(turned) {
                let asked = places.iter().map(|at| (*at, requests[*at].clone())).collect();
                let task = ask(address.clone(), Arc::clone(&parts), asked, lines.clone());
                self.runtime.spawn(task);
            }
            drop(lines);
            let mut finished = vec![false; requests.len()];
            for line in received {
                match line {
                    Ok((at, sampled)) if open.contains(&at) && !finished[at] => {
                        finished[at] = true;
                        done(at, sampled);
                    }
                    Ok(_) => {}
                    Err(why) => reason = why,
                }
            }
            open.retain(|at| !finished[*at]);
        }
        if open.is_empty() {
            return Ok(());
        }
        let count = open.len();
        Err(format!("{count} sequences, {WORKER_ATTEMPTS_MAX} attempts: {reason}"))
    }
}

type Line = Result<(usize, Sampled), String>;

/// Asks one worker; what it does not finish is heard of as an error.
async fn ask(
    address: String,
    parts: Arc<Parts>,
    asked: Vec<(usize, SampleRequest)>,
    lines: Sender<Line>,
) {
    let work = async {
        let (places, requests): (Vec<usize>, Vec<SampleRequest>) = asked.into_iter().unzip();
        let body = SampleBody { version: parts.version, requests };
        let body: Bytes = serde_json::to_vec(&body).map_err(worded)?.into();
        let post = || send(&address, (Method::POST, "/v1/sample"), (body.clone(), None));
        let mut response = post().await?;
        if response.status() == StatusCode::CONFLICT {
            publish(&address, &parts).await?;
            response = post().await?;
        }
        if !response.status().is_success() {
            return Err(format!("answered {}", response.status()));
        }
        read(response.into_body(), &places, &lines).await
    };
    let ended = tokio::time::timeout(WORKER_REQUEST_TIME_MAX, work).await;
    let failure = match ended {
        Ok(Ok(())) => return,
        Ok(Err(reason)) => reason,
        Err(_) => "took too long".to_owned(),
    };
    // The receiver is gone only when the run is over.
    drop(lines.send(Err(format!("worker {address}: {failure}"))));
}

/// Sends all parts, one while the worker takes the one before apart, then makes them count.
async fn publish(address: &str, parts: &Parts) -> Result<(), String> {
    let path = format!("/v1/weights/{}", parts.version);
    let mut last: Option<tokio::task::JoinHandle<Result<(), String>>> = None;
    for (body, checksum) in &parts.bodies {
        let (address, path) = (address.to_owned(), format!("{path}/parts"));
        let (body, checksum) = (body.clone(), checksum.clone());
        let next = tokio::spawn(async move {
            expect_success(send(&address, (Method::PUT, &path), (body, Some(&checksum))).await?)
        });
        if let Some(before) = last.replace(next) {
            before.await.map_err(worded)??;
        }
    }
    if let Some(before) = last {
        before.await.map_err(worded)??;
    }
    let commit = (Method::POST, &*format!("{path}/commit"));
    expect_success(send(address, commit, (Bytes::new(), None)).await?)
}

fn expect_success(response: Response<Incoming>) -> Result<(), String> {
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(format!("answered {status} to weights")) }
}

async fn read(mut body: Incoming, places: &[usize], lines: &Sender<Line>) -> Result<(), String> {
    let mut pending: Vec<u8> = Vec::new();
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(worded)?.into_data() else { continue };
        pending.extend_from_slice(&data);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line: SampleLine = serde_json::from_slice(&line).map_err(worded)?;
            let at = places.get(line.index).ok_or("answered what was not asked")?;
            count += 1;
            drop(lines.send(Ok((*at, line.sampled))));
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

async fn send(
    address: &str,
    (method, path): (Method, &str),
    (body, checksum): (Bytes, Option<&str>),
) -> Result<Response<Incoming>, String> {
    let stream = TcpStream::connect(address).await.map_err(worded)?;
    stream.set_nodelay(true).map_err(worded)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(worded)?;
    // Ends with the request.
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address)
        .header(CONTENT_TYPE, "application/json");
    if let Some(checksum) = checksum {
        request = request.header(CHECKSUM, checksum);
    }
    let request = request.body(Full::new(body)).map_err(worded)?;
    sender.send_request(request).await.map_err(worded)
}

impl Parts {
    fn of(weights: &Weights) -> Result<Self, String> {
        let mut bodies = Vec::new();
        let mut start = 0;
        let mut size = 0;
        let bytes = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
        for (at, (_, tensor)) in weights.tensors.iter().enumerate() {
            if at > start && size + bytes(tensor) > BUCKET_BYTES {
                bodies.push(&weights.tensors[start..at]);
                (start, size) = (at, 0);
            }
            size += bytes(tensor);
        }
        bodies.push(&weights.tensors[start..]);
        let body = |tensors: &[(String, Tensor)]| {
            let bytes = bytes_of(tensors).map_err(worded)?;
            let checksum = hexadecimal(&Sha256::digest(&bytes));
            Ok((Bytes::from(bytes), checksum))
        };
        let bodies = bodies.into_iter().map(body).collect::<Result<_, String>>()?;
        Ok(Self { version: weights.version, bodies })
    }
}

fn worded(error: impl std::fmt::Display) -> String {
    error.to_string()
}
