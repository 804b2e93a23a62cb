//! Supervised learning on what the task's author writes, so that rewards have something to choose
//! from.

use tch::Kind;

use crate::config::RunConfig;
use crate::model::{ModelError, Tokenizer};
use crate::optimizer::AdamW;
use crate::policy::{Policy, Sequence, SequenceBatch};
use crate::random::Stream;
use crate::task::Task;

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
