//! Sampling with a key-value cache: a table of slots that are decoded together, each refilled when
//! its sequence ends.
//!
//! Which token is drawn depends on the logits and on the key (seed, group, sample, position) alone,
//! never on what else is in the table. The log-probability of each token is stored as it is drawn.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::Finish;
use crate::algorithm::repetition;
use crate::model::decoder::Context;
use crate::model::{Decoder, KvCache, dim};
use crate::random;

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplerOptions {
    /// Divides the logits; 0 means the likeliest token.
    pub temperature: f64,
    /// Only the likeliest tokens that together have this probability are drawn; 1 means all.
    pub top_p: f64,
    /// Sequences decoded at once.
    pub slots: usize,
    /// Whether sequences that repeat themselves are stopped.
    pub stop_repetition: bool,
    /// Tokens that end a sequence.
    pub stop_tokens: Vec<u32>,
    /// Tokens that are never drawn, in training as in sampling.
    pub suppressed: Vec<u32>,
    /// Part of the key of every random number.
    pub seed: u64,
}

/// A sequence to continue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRequest {
    /// Group and sample: part of the key of every random number.
    pub key: [u64; 2],
    /// The prompt; not empty.
    pub prompt: Vec<u32>,
    /// What was sampled before.
    pub prefix: Vec<u32>,
    /// How many tokens may be sampled now.
    pub budget: usize,
    /// How long prefix and new tokens may be together.
    pub tokens_max: usize,
}

/// What was sampled now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// The tokens, a stop token included.
    pub tokens: Vec<u32>,
    /// Their log-probabilities at the sampling temperature, over all tokens.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// What is heard while sampling goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// New weights were brought to whoever samples.
    Published(Publication),
    /// One more token of every sequence that is open: the sign that sampling goes on.
    Tokens,
    /// A request, by its place among those asked, is over for now or for good.
    Ended(usize, Sampled),
}

/// How weights came to a sampler elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publication {
    /// By which way.
    pub way: Way,
    /// How many bytes.
    pub bytes: u64,
    /// From the first byte to the moment that they count.
    pub seconds: f64,
}

/// A way of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Memory that processes of one host share.
    SharedMemory,
    /// In parts over HTTP.
    Http,
    /// A folder in Hugging Face layout.
    Folder,
}

/// How many tokens the cache is read in steps of, so that few shapes occur.
const LENGTH_STEP: usize = 16;
/// How often the end of a sequence is searched for a repetition.
const REPETITION_EVERY: usize = 32;

struct Slot {
    request: usize,
    sampled: Sampled,
    /// The token that is fed next, and its position.
    token: u32,
    position: usize,
}

/// Samples all requests; `hear` gets each one's index and tokens as soon as it ends, and may end all.
///
/// # Panics
/// If a prompt is empty or longer than the model's positions: whoever makes requests checks that.
pub fn sample(
    decoder: &Decoder,
    options: &SamplerOptions,
    requests: &[SampleRequest],
    hear: &mut Hearer<'_>,
) {
    let _no_gradient = tch::no_grad_guard();
    let longest = requests.iter().map(room).max().unwrap_or(0);
    let count = options.slots.min(requests.len());
    if count == 0 {
        return;
    }
    let positions = longest.next_multiple_of(LENGTH_STEP);
    let cache =
        KvCache::new(decoder.config(), [count, positions], decoder.kind(), decoder.device());
    let mut table = Table {
        decoder,
        options,
        requests,
        cache,
        waiting: (0..requests.len()).collect(),
        slots: (0..count).map(|_| None).collect(),
    };
    // Broken off or at the end: either way nobody wants more.
    while table.round(hear).is_continue() {}
}

/// Hears of sampling, and says whether it goes on.
pub type Hearer<'a> = dyn FnMut(Heard) -> ControlFlow<()> + 'a;

fn room(request: &SampleRequest) -> usize {
    request.prompt.len() + request.prefix.len() + budget(request)
}

fn budget(request: &SampleRequest) -> usize {
    request.budget.min(request.tokens_max.saturating_sub(request.prefix.len()))
}

struct Table<'a> {
    decoder: &'a Decoder,
    options: &'a SamplerOptions,
    requests: &'a [SampleRequest],
    cache: KvCache,
    waiting: VecDeque<usize>,
    slots: Vec<Option<Slot>>,
}

impl Table<'_> {
    /// One token for each open sequence.
    fn round(&mut self, hear: &mut Hearer<'_>) -> ControlFlow<()> {
        self.refill(hear)?;
        self.shrink();
        if self.slots.iter().all(Option::is_none) {
            return ControlFlow::Break(());
        }
        self.step(hear)
    }

    /// Puts waiting requests into free slots and computes the keys and values of all but the last
    /// of their tokens.
    fn refill(&mut self, hear: &mut Hearer<'_>) -> ControlFlow<()> {
        let mut entering: Vec<(usize, Vec<u32>)> = Vec::new();
        for at in 0..self.slots.len() {
            while self.slots[at].is_none() {
                let Some(request) = self.waiting.pop_front() else { break };
                let wanted = &self.requests[request];
                let sampled =
                    Sampled { tokens: Vec::new(), logprobs: Vec::new(), finish: Finish::Budget };
                if budget(wanted) == 0 {
                    let spent = wanted.prefix.len() >= wanted.tokens_max;
                    let finish = if spent { Finish::Length } else { Finish::Budget };
                    hear(Heard::Ended(request, Sampled { finish, ..sampled }))?;
                    continue;
                }
                let mut tokens = [wanted.prompt.as_slice(), &wanted.prefix].concat();
                let token = tokens.pop().expect("prompts are not empty");
                self.slots[at] = Some(Slot { request, sampled, token, position: tokens.len() });
                if !tokens.is_empty() {
                    entering.push((at, tokens));
                }
            }
        }
        if !entering.is_empty() {
            self.prefill(&entering);
        }
        ControlFlow::Continue(())
    }

    fn prefill(&mut self, entering: &[(usize, Vec<u32>)]) {
        let time = entering.iter().map(|(_, tokens)| tokens.len()).max().unwrap_or(0);
        let mut padded = Vec::with_capacity(entering.len() * time);
        for (_, tokens) in entering {
            padded.extend(tokens.iter().map(|token| i64::from(*token)));
            padded.extend(std::iter::repeat_n(0, time - tokens.len()));
        }
        let device = self.decoder.device();
        let shape = [dim(entering.len()), dim(time)];
        let tokens = Tensor::from_slice(&padded).view(shape).to_device(device);
        let positions = Tensor::arange(shape[1], (Kind::Int64, device)).expand(shape, false);
        let slots: Vec<i64> = entering.iter().map(|(slot, _)| dim(*slot)).collect();
        let slots = Tensor::from_slice(&slots).to_device(device);
        let mut context = Context::Fill(&mut self.cache, &slots);
        let _hidden = self.decoder.hidden(&tokens, &positions, &mut context);
    }

    /// Once nothing waits and half of the slots are empty, goes on with the others only.
    fn shrink(&mut self) {
        let busy: Vec<i64> =
            (0..self.slots.len()).filter(|at| self.slots[*at].is_some()).map(dim).collect();
        if !self.waiting.is_empty() || busy.is_empty() || busy.len() * 2 > self.slots.len() {
            return;
        }
        self.cache.select(&Tensor::from_slice(&busy).to_device(self.decoder.device()));
        self.slots.retain(Option::is_some);
    }

    /// Feeds one token to each slot and draws the next.
    fn step(&mut self, hear: &mut Hearer<'_>) -> ControlFlow<()> {
        let device = self.decoder.device();
        let (mut tokens, mut positions, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for slot in &self.slots {
            let (token, position, number) = match slot {
                Some(slot) => {
                    let key = self.requests[slot.request].key;
                    let position = dim(slot.position);
                    let key = [self.options.seed, key[0], key[1], position.unsigned_abs()];
                    (i64::from(slot.token), position, random::uniform(&key))
                }
                None => (0, 0, 0.0),
            };
            tokens.push(token);
            positions.push(position);
            numbers.push(number);
        }
        let length = positions.iter().copied().max().unwrap_or(0) + 1;
        let length = (length + dim(LENGTH_STEP) - 1) / dim(LENGTH_STEP) * dim(LENGTH_STEP);
        let column = |values: &[i64]| Tensor::from_slice(values).view([-1, 1]).to_device(device);
        let mut context = Context::Append { cache: &mut self.cache, length };
        let hidden = self.decoder.hidden(&column(&tokens), &column(&positions), &mut context);
        let logits = self.decoder.logits(&hidden.squeeze_dim(1));
        let logprobs =
            log_probabilities(&logits, self.options.temperature, &self.options.suppressed);
        let numbers = Tensor::from_slice(&numbers).to_device(device);
        let drawn = draw(&logprobs, &numbers, self.options);
        let chosen = logprobs.gather(1, &drawn.unsqueeze(1), false).squeeze_dim(1);
        let drawn = Vec::<i64>::try_from(&drawn).unwrap_or_default();
        let chosen = Vec::<f32>::try_from(chosen.to_kind(Kind::Float)).unwrap_or_default();
        hear(Heard::Tokens)?;
        for (at, (token, logprob)) in drawn.into_iter().zip(chosen).enumerate() {
            self.take(at, u32::try_from(token).unwrap_or(0), logprob, hear)?;
        }
        ControlFlow::Continue(())
    }

    fn take(
        &mut self,
        at: usize,
        token: u32,
        logprob: f32,
        hear: &mut Hearer<'_>,
    ) -> ControlFlow<()> {
        let Some(slot) = self.slots[at].as_mut() else { return ControlFlow::Continue(()) };
        let request = &self.requests[slot.request];
        slot.sampled.tokens.push(token);
        slot.sampled.logprobs.push(logprob);
        slot.token = token;
        slot.position += 1;
        let sampled = slot.sampled.tokens.len();
        let all = request.prefix.len() + sampled;
        let finish = if self.options.stop_tokens.contains(&token) {
            Some(Finish::Stop)
        } else if self.options.stop_repetition
            && all.is_multiple_of(REPETITION_EVERY)
            && repeats(request, &slot.sampled)
        {
            Some(Finish::Repetition)
        } else if all >= request.tokens_max {
            Some(Finish::Length)
        } else if sampled >= request.budget {
            Some(Finish::Budget)
        } else {
            None
        };
        if let Some(finish) = finish
            && let Some(mut slot) = self.slots[at].take()
        {
            slot.sampled.finish = finish;
            hear(Heard::Ended(slot.request, slot.sampled))?;
        }
        ControlFlow::Continue(())
    }
}

fn repeats(request: &SampleRequest, sampled: &Sampled) -> bool {
    let all = [request.prefix.as_slice(), &sampled.tokens].concat();
    repetition::repeated_period(&all).is_some()
}

/// Log-probabilities of all tokens at a temperature: `[.., vocabulary]` to the same. The one place
/// where logits become probabilities, for sampling and for training; temperature 0 counts as 1.
pub fn log_probabilities(logits: &Tensor, temperature: f64, suppressed: &[u32]) -> Tensor {
    let mut scaled = if temperature > 0.0 && temperature != 1.0 {
        logits / temperature
    } else {
        logits.shallow_clone()
    };
    if !suppressed.is_empty() {
        let columns: Vec<i64> = suppressed.iter().map(|token| i64::from(*token)).collect();
        let columns = Tensor::from_slice(&columns).to_device(logits.device());
        // Not minus infinity: 0 times that would be no number in the entropy.
        scaled = scaled.index_fill(-1, &columns, -1e9);
    }
    scaled.log_softmax(-1, None)
}

/// Draws by inverting the distribution function: `logprobs` `[slot, vocabulary]`, `numbers`
/// `[slot]` in `[0, 1)`; result `[slot]`.
fn draw(logprobs: &Tensor, numbers: &Tensor, options: &SamplerOptions) -> Tensor {
    if options.temperature <= 0.0 {
        return logprobs.argmax(-1, false);
    }
    let mut probabilities = logprobs.to_kind(Kind::Double).exp();
    if options.top_p < 1.0 {
        let (sorted, order) = probabilities.sort(-1, true);
        let before = sorted.cumsum(-1, None) - &sorted;
        let kept = sorted.masked_fill(&before.ge(options.top_p), 0.0);
        probabilities = probabilities.zeros_like().scatter(-1, &order, &kept);
    }
    let below = probabilities.cumsum(-1, None);
    let total = below.narrow(-1, below.size()[1] - 1, 1);
    let threshold = numbers.unsqueeze(1) * total;
    // The token whose interval holds the number: as many as lie wholly at or below it.
    let at = below.le_tensor(&threshold).sum_dim_intlist(-1, false, Kind::Int64);
    at.clamp(0, below.size()[1] - 1)
}
