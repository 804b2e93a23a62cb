//! Rollout workers as processes of their own: sampling by them, one that is killed, one that comes
//! back without weights.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use trainer::metrics;
use trainer::policy::Weights;
use trainer::rollout::engine::Backend;
use trainer::rollout::ledger::Fate;
use trainer::rollout::pool::WorkerPool;
use trainer::rollout::sampler::{Heard, Publication, SampleRequest, Way};
use trainer::setup;

mod support;
use support::judge::{Act, StandIn};
use support::{SMALL_RUN, run_command, settled, small_run, weights_digest};

/// Long enough for a worker on a busy machine.
const LEASE: Duration = Duration::from_secs(120);

/// A worker process; killed when dropped.
struct Worker {
    process: Child,
    address: String,
}

impl Worker {
    fn start(folder: &Path, listen: &str) -> Self {
        let config = folder.join("worker.toml");
        std::fs::write(&config, SMALL_RUN).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_assay-train"))
            .arg("worker")
            .arg(config)
            .args(["--listen", listen])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { process, address }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn requests() -> Vec<SampleRequest> {
    let request = |group| SampleRequest {
        key: [group, 1],
        prompt: vec![2, 5, 7],
        prefix: Vec::new(),
        budget: 12,
        tokens_max: 12,
    };
    (0..12).map(request).collect()
}

/// The tokens of each request, and how weights came.
type Heeded = (Vec<Vec<u32>>, Vec<Publication>);

fn heed(backend: &mut dyn Backend, weights: &Weights) -> Result<Heeded, String> {
    let (mut all, mut published) = (vec![Vec::new(); 12], Vec::new());
    let mut first = None;
    backend.sample(weights, &requests(), &mut |heard| match heard {
        Heard::Published(publication) => published.push(publication),
        Heard::Tokens => first = Some(true),
        Heard::Ended(at, sampled) => {
            assert!(first.is_some(), "a sequence ended before its first token was heard of");
            assert!(all[at].is_empty(), "request {at} ended twice");
            all[at] = sampled.tokens;
        }
    })?;
    Ok((all, published))
}

fn sample(backend: &mut dyn Backend, weights: &Weights) -> Result<Vec<Vec<u32>>, String> {
    heed(backend, weights).map(|(all, _)| all)
}

/// A learner, weights of its policy, and what this process samples with them.
fn wanted(folder: &Path) -> (Weights, Vec<Vec<u32>>) {
    let config = small_run(folder, &[]);
    let learner = setup::learner(&config, tch::Device::Cpu).unwrap();
    let mut local = setup::local_backend(&learner.policy, &learner.options).unwrap();
    let weights = learner.policy.weights();
    let wanted = sample(&mut local, &weights).unwrap();
    (weights, wanted)
}

#[test]
fn weights_come_through_shared_memory_on_one_host_and_over_http_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (mut weights, wanted) = wanted(folder.path());
    let worker = Worker::start(folder.path(), "127.0.0.1:0");
    let port = worker.address.rsplit(':').next().unwrap();
    // The same worker by an address that does not say that it is this host.
    let elsewhere = format!("0.0.0.0:{port}");
    for (address, way) in [(worker.address.clone(), Way::SharedMemory), (elsewhere, Way::Http)] {
        weights.version += 1;
        let mut pool = WorkerPool::new(vec![address], LEASE).unwrap();
        let (sampled, published) = heed(&mut pool, &weights).unwrap();
        assert_eq!(sampled, wanted);
        let ways: Vec<Way> = published.iter().map(|publication| publication.way).collect();
        assert_eq!(ways, [way]);
        assert!(published[0].bytes > 1000 && published[0].seconds > 0.0);
        // The second time it has them.
        assert_eq!(heed(&mut pool, &weights).unwrap(), (wanted.clone(), Vec::new()));
    }
}

/// A worker that cannot see the master's memory, as in a container of its own: what it was asked.
fn without_shared_memory() -> (String, tokio::runtime::Runtime, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let answer = move |request: axum::extract::Request| {
        let path = request.uri().path().to_owned();
        heard.lock().unwrap().push(path.clone());
        let committed = heard.lock().unwrap().iter().any(|path| path.ends_with("/commit"));
        async move {
            match path.as_str() {
                "/v1/sample" if !committed => StatusCode::CONFLICT.into_response(),
                "/v1/sample" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                path if path.ends_with("/shared") => {
                    StatusCode::UNPROCESSABLE_ENTITY.into_response()
                }
                _ => StatusCode::NO_CONTENT.into_response(),
            }
        }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = axum::Router::new().fallback(answer);
    runtime.spawn(async move { axum::serve(listener, routes).await });
    (address, runtime, asked)
}

#[test]
fn a_worker_that_cannot_see_the_memory_is_brought_the_weights_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, _) = wanted(folder.path());
    let (address, _runtime, asked) = without_shared_memory();
    let mut pool = WorkerPool::new(vec![address], LEASE).unwrap();
    let error = heed(&mut pool, &weights).unwrap_err();
    assert!(error.contains("503"), "{error}");
    let asked = asked.lock().unwrap();
    let first: Vec<&str> = asked.iter().take(5).map(String::as_str).collect();
    let path = |end: &str| format!("/v1/weights/0/{end}");
    let (shared, parts, commit) = (path("shared"), path("parts"), path("commit"));
    assert_eq!(first, ["/v1/sample", &*shared, &*parts, &*commit, "/v1/sample"]);
}

fn signal(worker: &Worker, name: &str) {
    let process = worker.process.id().to_string();
    assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
}

#[test]
fn a_worker_that_stands_still_loses_its_lease_and_serves_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, wanted) = wanted(folder.path());
    let (still, other) =
        (Worker::start(folder.path(), "127.0.0.1:0"), Worker::start(folder.path(), "127.0.0.1:0"));
    let addresses = vec![still.address.clone(), other.address.clone()];
    let mut pool = WorkerPool::new(addresses, Duration::from_millis(1500)).unwrap();
    assert_eq!(sample(&mut pool, &weights).unwrap(), wanted);
    // Stopped, it keeps its connections open and says nothing.
    signal(&still, "-STOP");
    assert_eq!(sample(&mut pool, &weights).unwrap(), wanted);
    signal(&still, "-CONT");
    let mut alone = WorkerPool::new(vec![still.address.clone()], LEASE).unwrap();
    let second = Weights { version: weights.version + 2, ..weights };
    assert_eq!(sample(&mut alone, &second).unwrap(), wanted);
}

#[test]
fn workers_sample_what_this_process_samples_through_death_and_return() {
    let folder = tempfile::tempdir().unwrap();
    let config = small_run(folder.path(), &[]);
    let learner = setup::learner(&config, tch::Device::Cpu).unwrap();
    let mut local = setup::local_backend(&learner.policy, &learner.options).unwrap();
    let first = learner.policy.weights();
    let wanted = sample(&mut local, &first).unwrap();
    assert!(wanted.iter().all(|tokens| !tokens.is_empty()));
    let one = Worker::start(folder.path(), "127.0.0.1:0");
    let other = Worker::start(folder.path(), "127.0.0.1:0");
    let address = other.address.clone();
    let mut pool = WorkerPool::new(vec![one.address.clone(), address.clone()], LEASE).unwrap();
    assert_eq!(sample(&mut pool, &first).unwrap(), wanted);
    // One dies: the one that is left does its part.
    drop(other);
    assert_eq!(sample(&mut pool, &first).unwrap(), wanted);
    // It comes back at the same place and holds nothing: it is brought up to date.
    let other = Worker::start(folder.path(), &address);
    let mut second = learner.policy.weights();
    second.version = 1;
    for (_, tensor) in &mut second.tensors {
        *tensor = tensor.shallow_clone() * 0.5;
    }
    let changed = sample(&mut local, &second).unwrap();
    assert_ne!(changed, wanted);
    assert_eq!(sample(&mut pool, &second).unwrap(), changed);
    drop((one, other));
    let error = sample(&mut pool, &second).unwrap_err();
    assert!(error.contains("worker 127.0.0.1"), "{error}");
}

/// One of two workers is killed in the midst of a run and comes back with nothing: no group is lost,
/// none is trained twice, and the run ends with the bytes of one that had no workers.
#[test]
fn a_run_with_workers_outlives_one_of_them_and_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let one = Worker::start(folder.path(), "127.0.0.1:0");
    let other = Worker::start(folder.path(), "127.0.0.1:0");
    let (strike, struck) = std::sync::mpsc::channel();
    let judge = StandIn::start(move |request| {
        if request == 15 || request == 60 {
            strike.send(()).ok();
        }
        Act::Answer
    });
    let settings = ["iterations=40", "rollout.tables=2"];
    let mut command = run_command(folder.path(), &judge.url, &settings);
    command.args(["--workers", &format!("{},{}", one.address, other.address)]);
    let mut run = command.stdout(Stdio::null()).spawn().unwrap();
    struck.recv().unwrap();
    let address = other.address.clone();
    drop(other);
    struck.recv().unwrap();
    let back = Worker::start(folder.path(), &address);
    assert!(run.wait().unwrap().success());
    drop((one, back));
    let run = folder.path().join("run");
    let fates = settled(&run);
    assert_eq!(fates.len(), 40 * 4, "every group meets one fate");
    assert!(fates.iter().all(|(_, fate)| *fate == Fate::Trained), "{fates:?}");
    for (_, row) in metrics::read(&run).unwrap() {
        assert!(row.value("staleness/versions_max") <= 1.0);
    }
    let alone = tempfile::tempdir().unwrap();
    let judge = StandIn::start(|_| Act::Answer);
    let mut command = run_command(alone.path(), &judge.url, &settings);
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(weights_digest(&run), weights_digest(&alone.path().join("run")));
}
