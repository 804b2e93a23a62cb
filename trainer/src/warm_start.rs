//! Supervised learning on what the task's author writes, so that rewards have something to choose
//! from.

use tch::Kind;

use crate::config::RunConfig;
use crate::limits::WARM_STARTS_KEPT;
use crate::model::{ModelError, Tokenizer};
use crate::optimizer::AdamW;
use crate::policy::{Policy, Sequence, SequenceBatch, Weights};
use crate::random::Stream;
use crate::task::Task;

/// Warm starts of this process: runs that start alike, such as the arms of an experiment, start
/// from the same weights.
#[derive(Debug, Default)]
pub struct WarmStarts(Vec<(String, Weights)>);

impl WarmStarts {
    /// As [`run`], unless a run before had the same start.
    ///
    /// # Errors
    /// As [`run`].
    pub fn run(
        &mut self,
        config: &RunConfig,
        policy: &mut Policy,
        corpus: (&dyn Task, &Tokenizer),
        report: &mut dyn FnMut(u64, f64),
    ) -> Result<(), ModelError> {
        let optimizer = config.warm_start_optimizer();
        let decides = (config.seed, &config.task, &config.model, &config.warm_start, &optimizer);
        let key = serde_json::to_string(&decides).map_err(|e| ModelError::Config(e.to_string()))?;
        if let Some((_, weights)) = self.0.iter().find(|(other, _)| *other == key) {
            return policy.load(weights);
        }
        run(config, policy, corpus, report)?;
        self.0.truncate(WARM_STARTS_KEPT - 1);
        self.0.insert(0, (key, policy.weights()));
        Ok(())
    }
}

/// Trains the policy; `report` hears of each step's number and loss (nats per token).
///
/// # Errors
/// A text that the tokenizer refuses.
pub fn run(
    config: &RunConfig,
    policy: &mut Policy,
    (task, tokenizer): (&dyn Task, &Tokenizer),
    report: &mut dyn FnMut(u64, f64),
) -> Result<(), ModelError> {
    let problems: Vec<usize> =
        (0..task.problems().len()).filter(|at| !task.problems()[*at].held_out).collect();
    let stop = policy.decoder.config().stop_tokens.first().copied();
    let mut optimizer = AdamW::new(config.warm_start_optimizer(), &policy.decoder);
    let temperature = std::mem::replace(&mut policy.temperature, 1.0);
    for step in 0..config.warm_start.steps {
        let mut stream = Stream::new(&[config.seed, 0x5f7, step]);
        let mut texts = Vec::with_capacity(config.warm_start.batch);
        for _ in 0..config.warm_start.batch {
            let problem = *stream.choice(&problems);
            let prompt = tokenizer.encode(&task.problems()[problem].prompt)?;
            let mut answer = tokenizer.encode(&task.author(problem, &mut stream))?;
            answer.extend(stop);
            texts.push((prompt, answer));
        }
        let sequences: Vec<Sequence<'_>> =
            texts.iter().map(|(prompt, completion)| Sequence { prompt, completion }).collect();
        let tokens: usize = texts.iter().map(|(_, answer)| answer.len()).sum();
        let batch = SequenceBatch::new(&sequences, policy.decoder.device());
        let loss = -policy.score(&batch).logprobs.sum(Kind::Float) / tokens as f64;
        loss.backward();
        optimizer.step(&policy.decoder);
        report(step, loss.double_value(&[]));
    }
    policy.temperature = temperature;
    Ok(())
}
