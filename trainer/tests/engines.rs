//! Engines of others behind the trait of our own workers, against a scripted stand-in that loads the
//! weights it is told to load. The originals were not at hand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tch::Device;
use trainer::config::RunConfig;
use trainer::metrics;
use trainer::model::files::{write, write_model};
use trainer::policy::{Sequence, Weights};
use trainer::rollout::Finish;
use trainer::rollout::engine::Backend;
use trainer::rollout::external::{EngineKind, EngineOptions, ExternalEngines};
use trainer::rollout::ledger::Fate;
use trainer::rollout::sampler::{Heard, Publication, SampleRequest, Sampled, Way};
use trainer::rollout::store::ReplayStore;
use trainer::setup::{self, Learner};

mod support;
use support::engines::{Act, Engine};
use support::{judge, parts, small_run};

const KINDS: [EngineKind; 2] = [EngineKind::Sglang, EngineKind::Vllm];

/// A learner with a model from files, which also lie where a vLLM would have been started.
struct Place {
    _folder: tempfile::TempDir,
    base: PathBuf,
    weights: PathBuf,
    config: RunConfig,
    learner: Learner,
}

fn place(settings: &[&str]) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    let made = small_run(folder.path(), settings);
    let learner = setup::learner(&made, Device::Cpu).unwrap();
    std::fs::create_dir(&base).unwrap();
    let decoder = &learner.policy.decoder;
    write_model(&base, decoder.config(), &decoder.snapshot(), 1 << 20).unwrap();
    write(&base.join("tokenizer.json"), learner.judging.tokenizer.json()).unwrap();
    let mut config = made;
    config.model =
        serde_json::from_value(serde_json::json!({"from": "checkpoint", "path": base})).unwrap();
    let learner = setup::learner(&config, Device::Cpu).unwrap();
    let weights = folder.path().join("weights");
    std::fs::create_dir(&weights).unwrap();
    std::os::unix::fs::symlink(&base, weights.join("current")).unwrap();
    Place { base, weights, config, learner, _folder: folder }
}

impl Place {
    /// Where an engine of this kind is started: vLLM reads its weights again from where it did.
    fn served(&self, kind: EngineKind) -> PathBuf {
        match kind {
            EngineKind::Sglang => self.base.clone(),
            EngineKind::Vllm => self.weights.join("current"),
        }
    }

    fn engines(&self, kind: EngineKind, engines: &[&Engine], lease: Duration) -> ExternalEngines {
        let addresses = engines.iter().map(|engine| engine.address.clone()).collect();
        let options = EngineOptions { kind, addresses, folder: self.weights.clone(), lease };
        let model = (self.learner.policy.decoder.config(), self.learner.judging.tokenizer.json());
        ExternalEngines::new(&options, &self.learner.options, model).unwrap()
    }

    /// Weights of a version, unlike those of any other.
    fn version(&self, version: u64) -> Weights {
        let mut weights = self.learner.policy.weights();
        weights.version = version;
        for (_, tensor) in &mut weights.tensors {
            *tensor = tensor.shallow_clone() * (1.0 + 0.1 * version as f64);
        }
        weights
    }
}

const LEASE: Duration = Duration::from_secs(60);

fn requests() -> Vec<SampleRequest> {
    let request = |group: u64| SampleRequest {
        key: [group, 1],
        prompt: vec![2, 5, 7],
        prefix: if group.is_multiple_of(2) { vec![4, 6] } else { Vec::new() },
        budget: 3 + usize::try_from(group).unwrap(),
        tokens_max: 9,
    };
    (0..10).map(request).collect()
}

type Heeded = (Vec<Sampled>, Vec<Publication>);

fn heed(backend: &mut ExternalEngines, weights: &Weights) -> Result<Heeded, String> {
    let mut all: Vec<Option<Sampled>> = vec![None; 10];
    let mut published = Vec::new();
    backend.sample(weights, &requests(), &mut |heard| match heard {
        Heard::Published(publication) => published.push(publication),
        Heard::Tokens => {}
        Heard::Ended(at, sampled) => {
            assert!(all[at].replace(sampled).is_none(), "request {at} ended twice");
        }
    })?;
    Ok((all.into_iter().map(|sampled| sampled.expect("every request ends")).collect(), published))
}

/// Whether the samples were drawn with these weights: their log-probabilities say so.
fn drawn_with(place: &mut Place, weights: &Weights, sampled: &[Sampled]) -> bool {
    place.learner.policy.load(weights).unwrap();
    let mut worst = 0.0_f32;
    for (request, sampled) in requests().iter().zip(sampled) {
        assert_eq!(sampled.tokens.len(), sampled.logprobs.len());
        let left = request.tokens_max - request.prefix.len();
        match sampled.finish {
            Finish::Stop => assert_eq!(sampled.tokens.last(), Some(&1)),
            Finish::Length => assert_eq!(sampled.tokens.len(), left),
            Finish::Budget => assert_eq!(sampled.tokens.len(), request.budget),
            Finish::Repetition => panic!("engines do not look for repetitions"),
        }
        let prompt = [request.prompt.as_slice(), &request.prefix].concat();
        let sequence = Sequence { prompt: &prompt, completion: &sampled.tokens };
        let logprobs = place.learner.policy.logprobs(&[sequence]).swap_remove(0);
        for (one, other) in logprobs.iter().zip(&sampled.logprobs) {
            worst = worst.max((one - other).abs());
        }
    }
    worst < 1e-4
}

#[test]
fn every_version_is_brought_once_and_samples_are_the_versions_own() {
    for kind in KINDS {
        let mut place = place(&[]);
        let (one, other) = (
            Engine::start(&place.served(kind), |_| Act::Answer),
            Engine::start(&place.served(kind), |_| Act::Answer),
        );
        let mut engines = place.engines(kind, &[&one, &other], LEASE);
        let before = place.version(1);
        for version in 1..4 {
            let weights = place.version(version);
            let (sampled, published) = heed(&mut engines, &weights).unwrap();
            assert_eq!(published.len(), 2, "{kind:?}");
            assert!(published.iter().all(|p| p.way == Way::Folder && p.bytes > 1000));
            assert!(drawn_with(&mut place, &weights, &sampled), "{kind:?}, version {version}");
            if version > 1 {
                assert!(!drawn_with(&mut place, &before, &sampled), "the check sees nothing");
            }
            assert!(heed(&mut engines, &weights).unwrap().1.is_empty(), "brought twice");
        }
        let verbs = one.verbs();
        let wanted: &[&str] = match kind {
            EngineKind::Sglang => {
                &["/pause_generation", "/update_weights_from_disk", "/continue_generation"]
            }
            EngineKind::Vllm => {
                &["/pause", "/collective_rpc", "/reset_prefix_cache", "/resume", "/v1/models"]
            }
        };
        assert_eq!(verbs, wanted.repeat(3), "{kind:?}");
        let kept = std::fs::read_dir(&place.weights).unwrap().flatten();
        let mut kept: Vec<String> =
            kept.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        kept.sort();
        assert_eq!(kept, ["current", "weight_v000002", "weight_v000003"]);
        assert!(one.samples() > 0 && other.samples() > 0);
    }
}

#[test]
fn what_an_engine_gets_wrong_is_asked_for_again() {
    for kind in KINDS {
        for act in [Act::Breaks, Act::Truncates, Act::Aborts, Act::Miscounts, Act::Forgets] {
            if kind == EngineKind::Vllm && act == Act::Forgets {
                // It does not say with which weights it samples; here it would read the right ones.
                continue;
            }
            let mut place = place(&[]);
            let script = move |n: usize| if n == 2 { act } else { Act::Answer };
            let engine = Engine::start(&place.served(kind), script);
            let mut engines = place.engines(kind, &[&engine], LEASE);
            let weights = place.version(1);
            let (sampled, published) = heed(&mut engines, &weights).unwrap();
            assert!(drawn_with(&mut place, &weights, &sampled), "{kind:?} {act:?}");
            assert!(engine.samples() > 10, "{kind:?} {act:?} was not met");
            assert!(published.len() > 1, "{kind:?} {act:?}: it was trusted to hold the weights");
        }
    }
}

#[test]
fn an_engine_that_hangs_or_is_gone_leaves_its_part_to_others() {
    for kind in KINDS {
        let mut place = place(&[]);
        let hangs = Engine::start(&place.served(kind), |_| Act::Hangs);
        let other = Engine::start(&place.served(kind), |_| Act::Answer);
        let mut engines = place.engines(kind, &[&hangs, &other], Duration::from_millis(1000));
        let weights = place.version(1);
        let (sampled, _) = heed(&mut engines, &weights).unwrap();
        assert!(drawn_with(&mut place, &weights, &sampled), "{kind:?}");
        drop(hangs);
        let (sampled, _) = heed(&mut engines, &weights).unwrap();
        assert!(drawn_with(&mut place, &weights, &sampled), "{kind:?}");
        drop(other);
        let error = heed(&mut engines, &weights).unwrap_err();
        assert!(error.contains("engine 127.0.0.1"), "{error}");
    }
}

#[test]
fn sampling_for_which_engines_report_other_probabilities_is_refused() {
    let place = place(&[]);
    let options = EngineOptions {
        kind: EngineKind::Sglang,
        addresses: vec!["127.0.0.1:1".to_owned()],
        folder: place.weights.clone(),
        lease: LEASE,
    };
    let model = (place.learner.policy.decoder.config(), place.learner.judging.tokenizer.json());
    let plain = &place.learner.options;
    assert!(ExternalEngines::new(&options, plain, model).is_ok());
    let mut warm = plain.clone();
    warm.temperature = 0.7;
    let mut suppressed = plain.clone();
    suppressed.suppressed = vec![0];
    for sampling in [warm, suppressed] {
        assert!(ExternalEngines::new(&options, &sampling, model).unwrap_err().contains("engines"));
    }
    let nobody = EngineOptions { addresses: Vec::new(), ..options };
    assert!(ExternalEngines::new(&nobody, plain, model).is_err());
}

fn trained(folder: &Path) -> usize {
    let store = ReplayStore::open(&folder.join("replay.redb")).unwrap();
    let fates = store.fates().unwrap();
    fates.iter().filter(|(_, record)| record.fate == Fate::Trained).count()
}

#[test]
fn a_run_samples_with_an_engine_and_trains_on_its_probabilities() {
    for kind in KINDS {
        let stand_in = judge::StandIn::start(|_| judge::Act::Answer);
        let url = format!("judge.url={}", stand_in.url);
        let place = place(&[&url, "rollout.staleness=0", "iterations=4"]);
        let engine = Engine::start(&place.served(kind), |_| Act::Answer);
        let mut parts = parts(place.config.clone(), &place.weights.join("../run"));
        parts.backend = Box::new(place.engines(kind, &[&engine], LEASE));
        let folder = parts.folder.clone();
        trainer::train::Run::open(parts).unwrap().train().unwrap();
        assert_eq!(trained(&folder), 4 * 4, "{kind:?}");
        for (iteration, row) in metrics::read(&folder).unwrap() {
            let difference = row.value("policy/first_logprob_difference");
            assert!(difference < 1e-4, "{kind:?}: off by {difference}");
            if iteration > 0 {
                assert_eq!(row.value("weights/by_folder"), 1.0);
                assert!(row.value("weights/first_token_seconds") > 0.0);
            }
        }
    }
}
