//! The policy: a decoder, a version that counts its train steps, and the log-probabilities that it
//! gives to sequences.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use crate::limits::LOGIT_ELEMENTS_MAX;
use crate::model::decoder::Context;
use crate::model::{Decoder, ModelError, count, dim};
use crate::rollout::sampler::log_probabilities;

/// A model that is trained.
#[derive(Debug)]
pub struct Policy {
    /// The network.
    pub decoder: Decoder,
    /// Published versions so far; 0 is the start of reinforcement learning.
    pub version: u64,
    /// The temperature at which it samples, and hence is trained.
    pub temperature: f64,
    /// Tokens that it never samples.
    pub suppressed: Vec<u32>,
}

/// A prompt and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// The prompt; not empty.
    pub prompt: &'a [u32],
    /// The sampled tokens.
    pub completion: &'a [u32],
}

/// Sequences of one forward pass, padded on the right.
#[derive(Debug)]
pub struct SequenceBatch {
    tokens: Tensor,
    positions: Tensor,
    /// Where in `[sequence * time]` each sampled token is predicted, which it is, and where in
    /// `[sequence * completion]` it goes.
    sources: Tensor,
    targets: Tensor,
    places: Tensor,
    sequences: i64,
    longest: i64,
}

/// Log-probabilities and entropies, `[sequence, token]`, 0 at padding.
#[derive(Debug)]
pub struct TokenScores {
    /// Of the sampled tokens; with gradient where gradients are on.
    pub logprobs: Tensor,
    /// Of the distributions that they were sampled from; without gradient.
    pub entropies: Tensor,
}

impl SequenceBatch {
    /// Lays out sequences; there is at least one.
    #[must_use]
    pub fn new(sequences: &[Sequence<'_>], device: Device) -> Self {
        let length = |s: &Sequence<'_>| s.prompt.len() + s.completion.len();
        let time = sequences.iter().map(length).max().unwrap_or(1);
        let longest = sequences.iter().map(|s| s.completion.len()).max().unwrap_or(0).max(1);
        let (mut tokens, mut sources) = (Vec::new(), Vec::new());
        let (mut targets, mut places) = (Vec::new(), Vec::new());
        for (row, sequence) in sequences.iter().enumerate() {
            let both = sequence.prompt.iter().chain(sequence.completion);
            tokens.extend(both.map(|token| i64::from(*token)));
            tokens.resize((row + 1) * time, 0);
            for (at, token) in sequence.completion.iter().enumerate() {
                sources.push(dim(row * time + sequence.prompt.len() + at - 1));
                targets.push(i64::from(*token));
                places.push(dim(row * longest + at));
            }
        }
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        let shape = [dim(sequences.len()), dim(time)];
        Self {
            tokens: tensor(&tokens).view(shape),
            positions: Tensor::arange(shape[1], (Kind::Int64, device)).expand(shape, false),
            sources: tensor(&sources),
            targets: tensor(&targets),
            places: tensor(&places),
            sequences: shape[0],
            longest: dim(longest),
        }
    }

    /// Values of the sampled tokens as `[sequence, token]`, 0 at padding. `rows` are the values of
    /// each sequence.
    pub fn layout(&self, rows: &[Vec<f32>]) -> Tensor {
        let mut flat = vec![0.0_f32; count(self.sequences * self.longest)];
        for (row, values) in rows.iter().enumerate() {
            let start = row * count(self.longest);
            flat[start..start + values.len()].copy_from_slice(values);
        }
        let device = self.tokens.device();
        Tensor::from_slice(&flat).view([self.sequences, self.longest]).to_device(device)
    }
}

impl Policy {
    /// The scores of a batch. Logits exist for so many rows at a time that
    /// `[rows, vocabulary]` stays bounded.
    #[must_use]
    pub fn score(&self, batch: &SequenceBatch) -> TokenScores {
        let hidden = self.decoder.hidden(&batch.tokens, &batch.positions, &mut Context::Whole);
        let rows = hidden.flatten(0, 1).index_select(0, &batch.sources);
        let chunk = dim(LOGIT_ELEMENTS_MAX / self.decoder.config().vocabulary).max(1);
        let (mut logprobs, mut entropies) = (Vec::new(), Vec::new());
        let total = batch.sources.size()[0];
        let mut start = 0;
        while start < total {
            let length = chunk.min(total - start);
            let logits = self.decoder.logits(&rows.narrow(0, start, length));
            let all = log_probabilities(&logits, self.temperature, &self.suppressed);
            let targets = batch.targets.narrow(0, start, length).unsqueeze(1);
            logprobs.push(all.gather(1, &targets, false).squeeze_dim(1));
            let entropy = |all: Tensor| -(all.exp() * all).sum_dim_intlist(1, false, None);
            entropies.push(tch::no_grad(|| entropy(all.detach())));
            start += length;
        }
        let spread = |values: &[Tensor]| {
            let values = Tensor::cat(values, 0);
            let size = batch.sequences * batch.longest;
            let zeros = Tensor::zeros([size], (values.kind(), values.device()));
            zeros.index_copy(0, &batch.places, &values).view([batch.sequences, batch.longest])
        };
        TokenScores { logprobs: spread(&logprobs), entropies: spread(&entropies) }
    }

    /// The log-probabilities of the sampled tokens of each sequence, without gradient.
    #[must_use]
    pub fn logprobs(&self, sequences: &[Sequence<'_>]) -> Vec<Vec<f32>> {
        let _no_gradient = tch::no_grad_guard();
        let batch = SequenceBatch::new(sequences, self.decoder.device());
        let flat = self.score(&batch).logprobs.to_kind(Kind::Float).flatten(0, 1);
        let flat = Vec::<f32>::try_from(flat).unwrap_or_default();
        let longest = count(batch.longest);
        let row = |(row, sequence): (usize, &Sequence<'_>)| {
            flat[row * longest..row * longest + sequence.completion.len()].to_vec()
        };
        sequences.iter().enumerate().map(row).collect()
    }

    /// Takes over published weights.
    ///
    /// # Errors
    /// Weights of another model.
    pub fn load(&mut self, weights: &Weights) -> Result<(), ModelError> {
        self.decoder.load(&weights.tensors)?;
        self.version = weights.version;
        Ok(())
    }

    /// Its weights as they are now.
    #[must_use]
    pub fn weights(&self) -> Weights {
        Weights { version: self.version, tensors: self.decoder.snapshot(), made: Instant::now() }
    }
}

/// The weights of one version.
#[derive(Debug)]
pub struct Weights {
    /// Which.
    pub version: u64,
    /// Names and values, in the order of the model.
    pub tensors: Vec<(String, Tensor)>,
    /// When they were made or read.
    pub made: Instant,
}

impl Clone for Weights {
    fn clone(&self) -> Self {
        let share = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.shallow_clone());
        let tensors = self.tensors.iter().map(share).collect();
        Self { version: self.version, tensors, made: self.made }
    }
}
