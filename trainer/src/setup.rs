//! From a configuration to the parts of a run.

use std::path::Path;
use std::sync::Arc;

use tch::Device;

use crate::config::{ModelChoice, RunConfig};
use crate::model::files::read_model;
use crate::model::{Decoder, ModelError, Tokenizer};
use crate::policy::Policy;
use crate::rollout::engine::{Judging, LocalBackend};
use crate::rollout::judge::JudgeClient;
use crate::rollout::sampler::SamplerOptions;
use crate::task::Task;

/// What a run learns with.
#[derive(Debug)]
pub struct Learner {
    /// The policy, before its warm start.
    pub policy: Policy,
    /// The judge, the task, the tokenizer.
    pub judging: Arc<Judging>,
    /// How tokens are drawn.
    pub options: SamplerOptions,
}

/// Makes task, model and judge client.
///
/// # Errors
/// In a sentence, what cannot be made.
pub fn learner(config: &RunConfig, device: Device) -> Result<Learner, String> {
    let task = config.task.build();
    let worded = |error: ModelError| error.to_string();
    let tokenizer = tokenizer(config, task.as_ref()).map_err(worded)?;
    let prompt_max = prompt_max(task.as_ref(), &tokenizer).map_err(worded)?;
    let decoder = decoder(config, &tokenizer, (prompt_max, device)).map_err(worded)?;
    let needed = prompt_max + config.rollout.tokens_max;
    let positions = decoder.config().positions_max;
    if needed > positions {
        return Err(format!(
            "prompts and completions of {needed} tokens exceed {positions} positions"
        ));
    }
    let made_up = matches!(config.model, ModelChoice::New { .. });
    let options = SamplerOptions {
        temperature: config.rollout.temperature,
        top_p: config.rollout.top_p,
        slots: config.rollout.slots,
        stop_repetition: config.rollout.stop_repetition,
        stop_tokens: decoder.config().stop_tokens.clone(),
        suppressed: if made_up { vec![0] } else { Vec::new() },
        seed: config.seed,
    };
    let policy = Policy {
        decoder,
        version: 0,
        temperature: config.rollout.temperature,
        suppressed: options.suppressed.clone(),
    };
    let judging = Judging {
        client: JudgeClient::new(&config.judge)?,
        task,
        tokenizer,
        stop_tokens: options.stop_tokens.clone(),
    };
    Ok(Learner { policy, judging: Arc::new(judging), options })
}

/// A sampler in this process, with weights of its own.
///
/// # Errors
/// None for a policy that was made.
pub fn local_backend(
    policy: &Policy,
    options: &SamplerOptions,
) -> Result<LocalBackend, ModelError> {
    let source = &policy.decoder;
    let decoder =
        Decoder::new(source.config().clone(), source.snapshot(), source.kind(), source.device())?;
    Ok(LocalBackend { decoder, version: None, options: options.clone(), tables: 0 })
}

fn tokenizer(config: &RunConfig, task: &dyn Task) -> Result<Tokenizer, ModelError> {
    match &config.model {
        ModelChoice::Checkpoint { path, .. } => Tokenizer::read(Path::new(path)),
        ModelChoice::New { .. } => task.tokenizer(),
    }
}

fn prompt_max(task: &dyn Task, tokenizer: &Tokenizer) -> Result<usize, ModelError> {
    let mut longest = 1;
    for problem in task.problems() {
        longest = longest.max(tokenizer.encode(&problem.prompt)?.len());
    }
    Ok(longest)
}

fn decoder(
    config: &RunConfig,
    tokenizer: &Tokenizer,
    (prompt_max, device): (usize, Device),
) -> Result<Decoder, ModelError> {
    let kind = config.model.kind();
    match &config.model {
        ModelChoice::Checkpoint { path, .. } => read_model(path, kind, device),
        ModelChoice::New { .. } => {
            let shape = config.new_model(tokenizer.vocabulary(), prompt_max);
            let shape = shape.ok_or_else(|| ModelError::Config("no shape".to_owned()))?;
            Decoder::random(shape, config.seed, kind, device)
        }
    }
}
