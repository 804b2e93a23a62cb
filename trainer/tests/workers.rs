//! Rollout workers as processes of their own: sampling by them, one that is killed, one that comes
//! back without weights.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use trainer::metrics;
use trainer::policy::Weights;
use trainer::rollout::engine::Backend;
use trainer::rollout::pool::WorkerPool;
use trainer::rollout::sampler::SampleRequest;
use trainer::rollout::store::ReplayStore;
use trainer::setup;

mod support;
use support::judge::{Act, StandIn};
use support::{SMALL_RUN, small_run};

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

fn sample(backend: &mut dyn Backend, weights: &Weights) -> Result<Vec<Vec<u32>>, String> {
    let mut all = vec![Vec::new(); 12];
    backend.sample(weights, &requests(), &mut |at, sampled| {
        assert!(all[at].is_empty(), "request {at} ended twice");
        all[at] = sampled.tokens;
    })?;
    Ok(all)
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
    let mut pool = WorkerPool::new(vec![one.address.clone(), address.clone()]).unwrap();
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

#[test]
fn a_run_with_workers_outlives_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let one = Worker::start(folder.path(), "127.0.0.1:0");
    let (strike, struck) = std::sync::mpsc::channel();
    let judge = StandIn::start(move |request| {
        if request == 15 {
            strike.send(()).ok();
        }
        Act::Answer
    });
    let other = Worker::start(folder.path(), "127.0.0.1:0");
    let config = folder.path().join("run.toml");
    std::fs::write(&config, SMALL_RUN).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_assay-train"))
        .arg("run")
        .arg(config)
        .arg("--out")
        .arg(folder.path().join("run"))
        .args(["--set", &format!("judge.url={}", judge.url)])
        .args(["--workers", &format!("{},{}", one.address, other.address)])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    struck.recv().unwrap();
    drop(other);
    assert!(run.wait().unwrap().success());
    let store = ReplayStore::open(&folder.path().join("run/replay.redb")).unwrap();
    assert_eq!(store.fates().unwrap().len(), 12 * 4, "every group meets one fate");
    for (_, row) in metrics::read(&folder.path().join("run")).unwrap() {
        assert!(row.value("staleness/versions_max") <= 1.0);
    }
}
