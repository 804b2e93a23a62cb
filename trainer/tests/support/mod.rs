//! What several tests need.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod engines;
pub(crate) mod judge;

use tch::{Device, Kind};
use trainer::model::config::{ModelConfig, RopeScaling};
use trainer::model::{Decoder, Family};

/// The shape of a small model.
pub(crate) fn tiny_config(family: Family) -> ModelConfig {
    ModelConfig {
        family,
        vocabulary: 23,
        hidden: 16,
        intermediate: 24,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        positions_max: 96,
        norm_epsilon: 1e-6,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tied: true,
        attention_bias: family == Family::Qwen2,
        stop_tokens: vec![1],
    }
}

/// A small model with random weights.
pub(crate) fn tiny_decoder(seed: u64, kind: Kind) -> Decoder {
    Decoder::random(tiny_config(Family::Qwen3), seed, kind, Device::Cpu)
        .expect("a checked configuration")
}

/// A run that is over in seconds: its model learns nothing worth knowing, its books must balance.
pub(crate) const SMALL_RUN: &str = r#"
seed = 3
iterations = 12

[task]
name = "named_ops"
levels = 2
problems = 60
author_right = 0.5

[model]
from = "new"
family = "qwen2"
hidden = 16
intermediate = 32
layers = 1
heads = 2
kv_heads = 1

[warm_start]
steps = 60
batch = 16
learning_rate = 5e-3

[rollout]
groups = 4
samples = 4
tokens_max = 12

[algorithm]
steps = 2

[judge]
deadline_ms = 20000

[evaluation]
every = 0
problems = 2

[checkpoint]
every = 1
"#;

/// The small run with settings over it.
pub(crate) fn small_run(folder: &std::path::Path, settings: &[&str]) -> trainer::config::RunConfig {
    let path = folder.join("run.toml");
    std::fs::write(&path, SMALL_RUN).expect("a folder that can be written");
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    trainer::config::RunConfig::read(&path, &settings).expect("a configuration")
}

/// `assay-train run` of the small run, in `folder/run`.
pub(crate) fn run_command(
    folder: &std::path::Path,
    url: &str,
    settings: &[&str],
) -> std::process::Command {
    let config = folder.join("run.toml");
    std::fs::write(&config, SMALL_RUN).expect("a folder that can be written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_assay-train"));
    command.arg("run").arg(config).arg("--out").arg(folder.join("run"));
    command.args(["--set", &format!("judge.url={url}")]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command
}

/// What became of each group of a run.
pub(crate) fn settled(folder: &std::path::Path) -> Vec<(u64, trainer::rollout::ledger::Fate)> {
    let store = trainer::rollout::store::ReplayStore::open(&folder.join("replay.redb"));
    let fates = store.expect("a run's folder").fates().expect("a store that can be read");
    fates.into_iter().map(|(group, record)| (group, record.fate)).collect()
}

/// The parts of a run in this process, after its warm start.
pub(crate) fn parts(
    config: trainer::config::RunConfig,
    folder: &std::path::Path,
) -> trainer::train::Parts {
    tch::set_num_threads(1);
    let tables = config.rollout.tables;
    let mut learner = trainer::setup::learner(&config, Device::Cpu).expect("a learner");
    let corpus = (learner.judging.task.as_ref(), &learner.judging.tokenizer);
    trainer::warm_start::run(&config, &mut learner.policy, corpus, &mut |_, _| {})
        .expect("a corpus");
    let backend =
        trainer::setup::local_backend(&learner.policy, &learner.options).expect("a sampler");
    trainer::train::Parts {
        config,
        folder: folder.to_owned(),
        judging: learner.judging,
        backend: Box::new(backend.in_tables(tables)),
        policy: learner.policy,
        options: learner.options,
        ranks: Box::new(trainer::parallel::Single),
        observer: Box::new(|_, _| {}),
        alarm: Box::new(|_| {}),
        patience: trainer::limits::SILENT_WAIT_MAX,
    }
}

/// Runs to the end in this process; returns the digest of the last weights.
pub(crate) fn run_to_end(
    config: trainer::config::RunConfig,
    folder: &std::path::Path,
) -> Result<String, trainer::train::TrainError> {
    trainer::train::Run::open(parts(config, folder))?.train()?;
    Ok(weights_digest(folder))
}

/// The bytes of the newest checkpoint's weights, as a digest.
pub(crate) fn weights_digest(folder: &std::path::Path) -> String {
    let newest = trainer::train::newest_checkpoint(folder).expect("a checkpoint");
    let tensors = trainer::model::files::read_shards(&newest).expect("weights");
    trainer::model::files::digest(&tensors).expect("a digest")
}
