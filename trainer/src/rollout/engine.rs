//! The thread that samples: takes assignments in order, continues what earlier versions left
//! unfinished, hands finished groups to the judge at once, and reports.
//!
//! Which version samples which batch is part of the assignment, so what is sampled does not depend
//! on how fast anything is. Training of earlier batches and judging go on meanwhile.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use super::judge::{JudgeClient, Judged};
use super::sampler::{self, Heard, Publication, SampleRequest, Sampled, SamplerOptions};
use super::store::StoredBatch;
use super::{Finish, Group, Outcome, deal};
use crate::algorithm::importance::Segment;
use crate::config::RolloutConfig;
use crate::model::{Decoder, Tokenizer};
use crate::policy::Weights;
use crate::task::Task;

/// What is to be sampled next.
#[derive(Debug)]
pub struct Assignment {
    /// Batches are numbered from 0 and come in order.
    pub batch: u64,
    /// With which weights.
    pub weights: Weights,
    /// New groups.
    pub groups: Vec<Group>,
    /// At the start of a run, what the batch before left unfinished.
    pub carry: Option<Vec<Group>>,
    /// The batch as it was sampled and judged before the run was ended.
    pub stored: Option<StoredBatch>,
}

/// A sampled batch; its finished groups are being judged.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledBatch {
    /// Which.
    pub batch: u64,
    /// The version that sampled.
    pub version: u64,
    /// Groups that finished, by their number.
    pub groups: Vec<Group>,
    /// Groups that go on in the next batch.
    pub carry: Vec<Group>,
    /// Tokens that were sampled.
    pub tokens: usize,
    /// For how long.
    pub seconds: f64,
    /// How long the thread had waited for the assignment.
    pub idle_seconds: f64,
    /// From the train step that made the weights to the first token that they sampled.
    pub first_token_seconds: f64,
    /// From the start of sampling to its first token: bringing the weights, and the prompts.
    pub load_seconds: f64,
    /// How weights came to samplers elsewhere.
    pub published: Vec<Publication>,
    /// Whether it comes from the store, outcomes included.
    pub stored: bool,
}

/// What the trainer hears.
#[derive(Debug)]
pub enum Event {
    /// A batch was sampled.
    Sampled(SampledBatch),
    /// A group was judged.
    Judged(Judged),
    /// Sampling is over, for this reason.
    Failed(String),
}

/// Who samples: this process, or workers elsewhere.
pub trait Backend: Send {
    /// Samples all requests with these weights, bringing them to whoever lacks them; `hear` hears of
    /// each request as it ends.
    ///
    /// # Errors
    /// In a sentence, why it is impossible.
    fn sample(
        &mut self,
        weights: &Weights,
        requests: &[SampleRequest],
        hear: &mut dyn FnMut(Heard),
    ) -> Result<(), String>;
}

/// Sampling in this process.
#[derive(Debug)]
pub struct LocalBackend {
    /// A decoder of its own: training changes the other one meanwhile.
    pub decoder: Decoder,
    /// Which version it holds.
    pub version: Option<u64>,
    /// How tokens are drawn.
    pub options: SamplerOptions,
    /// In how many tables all is sampled, one after the other; 0 is one.
    pub tables: usize,
}

impl LocalBackend {
    /// Samples the sequences of each table by themselves (`rollout.tables`).
    #[must_use]
    pub fn in_tables(self, tables: usize) -> Self {
        Self { tables, ..self }
    }
}

impl Backend for LocalBackend {
    fn sample(
        &mut self,
        weights: &Weights,
        requests: &[SampleRequest],
        hear: &mut dyn FnMut(Heard),
    ) -> Result<(), String> {
        if self.version != Some(weights.version) {
            self.decoder.load(&weights.tensors).map_err(|error| error.to_string())?;
            self.version = Some(weights.version);
        }
        let all: Vec<usize> = (0..requests.len()).collect();
        for places in deal::cut(&all, self.tables) {
            let part = &requests[places[0]..places[0] + places.len()];
            sampler::sample(&self.decoder, &self.options, part, &mut |heard| {
                hear(match heard {
                    Heard::Ended(at, sampled) => Heard::Ended(places[at], sampled),
                    Heard::Tokens | Heard::Published(_) => heard,
                });
                ControlFlow::Continue(())
            });
        }
        Ok(())
    }
}

/// Turns finished groups into submissions.
#[derive(Debug)]
pub struct Judging {
    /// The judge.
    pub client: JudgeClient,
    /// What is judged.
    pub task: Box<dyn Task>,
    /// Tokens to text.
    pub tokenizer: Tokenizer,
    /// Tokens that end a completion.
    pub stop_tokens: Vec<u32>,
}

impl Judging {
    /// Hands a group to the judge. What has no end is not run: it earns 0.
    pub fn submit<E: Send + 'static>(
        &self,
        group: &Group,
        results: Sender<E>,
        event: impl FnOnce(Judged) -> E + Send + 'static,
    ) {
        let ended: Vec<bool> =
            group.rollouts.iter().map(|rollout| rollout.finish == Finish::Stop).collect();
        let finished = group.rollouts.iter().filter(|rollout| rollout.finish == Finish::Stop);
        let submissions = finished
            .map(|rollout| self.task.submission(group.problem, &self.text(&rollout.tokens())))
            .collect();
        self.client.submit(group.id, submissions, results, move |mut judged| {
            let mut of_ended = std::mem::take(&mut judged.outcomes).into_iter();
            let outcome = |ended: &bool| {
                let judged = ended.then(|| of_ended.next()).flatten();
                judged.unwrap_or(Outcome::Reward(0.0))
            };
            judged.outcomes = ended.iter().map(outcome).collect();
            event(judged)
        });
    }

    /// Tokens that end a turn.
    #[must_use]
    pub fn turn_ends(&self) -> Vec<u32> {
        let words = self.task.turn_ends().iter();
        words.filter_map(|word| self.tokenizer.token(word)).collect()
    }

    /// The text of a completion, without its stop token.
    #[must_use]
    pub fn text(&self, tokens: &[u32]) -> String {
        let end = tokens.iter().position(|token| self.stop_tokens.contains(token));
        let tokens = &tokens[..end.unwrap_or(tokens.len())];
        self.tokenizer.decode(tokens).unwrap_or_default()
    }
}

/// Serves assignments until their sender is gone.
pub fn serve(
    mut backend: Box<dyn Backend>,
    config: &RolloutConfig,
    judging: &Arc<Judging>,
    (assignments, events): (&Receiver<Assignment>, &Sender<Event>),
) {
    let mut carry: Vec<Group> = Vec::new();
    loop {
        let waiting = Instant::now();
        let Ok(mut assignment) = assignments.recv() else { return };
        let idle_seconds = waiting.elapsed().as_secs_f64();
        if let Some(start) = assignment.carry.take() {
            carry = start;
        }
        let sampled = if let Some(stored) = assignment.stored.take() {
            carry.clone_from(&stored.carry);
            Ok(restored(&assignment, stored))
        } else {
            let groups = carry.drain(..).chain(assignment.groups.drain(..)).collect();
            let work = Work { config, judging, events, version: assignment.weights.version };
            work.run(backend.as_mut(), &assignment, groups)
        };
        let event = match sampled {
            Ok(batch) => {
                carry.clone_from(&batch.carry);
                Event::Sampled(SampledBatch { idle_seconds, ..batch })
            }
            Err(reason) => Event::Failed(reason),
        };
        let failed = matches!(event, Event::Failed(_));
        if events.send(event).is_err() || failed {
            return;
        }
    }
}

fn restored(assignment: &Assignment, stored: StoredBatch) -> SampledBatch {
    SampledBatch {
        batch: assignment.batch,
        version: assignment.weights.version,
        groups: stored.groups,
        carry: stored.carry,
        tokens: 0,
        seconds: 0.0,
        idle_seconds: 0.0,
        first_token_seconds: 0.0,
        load_seconds: 0.0,
        published: Vec::new(),
        stored: true,
    }
}

struct Work<'a> {
    config: &'a RolloutConfig,
    judging: &'a Arc<Judging>,
    events: &'a Sender<Event>,
    version: u64,
}

impl Work<'_> {
    fn run(
        &self,
        backend: &mut dyn Backend,
        assignment: &Assignment,
        mut groups: Vec<Group>,
    ) -> Result<SampledBatch, String> {
        let start = Instant::now();
        let (mut places, mut requests) = (Vec::new(), Vec::new());
        for (at, group) in groups.iter().enumerate() {
            for (sample, rollout) in group.rollouts.iter().enumerate() {
                if !rollout.finished() {
                    places.push((at, sample));
                    requests.push(self.request(group, sample));
                }
            }
        }
        let (mut tokens, mut first, mut published) = (0, None, Vec::new());
        let made = assignment.weights.made;
        let mut open = vec![0_usize; groups.len()];
        for (at, _) in &places {
            open[*at] += 1;
        }
        backend.sample(&assignment.weights, &requests, &mut |heard| {
            let (request, sampled) = match heard {
                Heard::Published(publication) => return published.push(publication),
                Heard::Tokens => {
                    first.get_or_insert_with(|| (made.elapsed(), start.elapsed()));
                    return;
                }
                Heard::Ended(request, sampled) => (request, sampled),
            };
            let (at, sample) = places[request];
            tokens += sampled.tokens.len();
            self.take(&mut groups[at], sample, sampled);
            open[at] -= 1;
            if open[at] == 0 && groups[at].finished() {
                self.judging.submit(&groups[at], self.events.clone(), Event::Judged);
            }
        })?;
        let (groups, carry) = groups.into_iter().partition(Group::finished);
        let (since_made, since_start) = first.unwrap_or_default();
        Ok(SampledBatch {
            batch: assignment.batch,
            version: self.version,
            groups,
            carry,
            tokens,
            seconds: start.elapsed().as_secs_f64(),
            idle_seconds: 0.0,
            first_token_seconds: since_made.as_secs_f64(),
            load_seconds: since_start.as_secs_f64(),
            published,
            stored: false,
        })
    }

    fn request(&self, group: &Group, sample: usize) -> SampleRequest {
        let limit = self.config.tokens_per_iteration;
        SampleRequest {
            key: [group.id, u64::try_from(sample).unwrap_or(u64::MAX)],
            prompt: group.prompt.clone(),
            prefix: group.rollouts[sample].tokens(),
            budget: if limit == 0 { self.config.tokens_max } else { limit },
            tokens_max: self.config.tokens_max,
        }
    }

    fn take(&self, group: &mut Group, sample: usize, sampled: Sampled) {
        let rollout = &mut group.rollouts[sample];
        rollout.finish = sampled.finish;
        if !sampled.tokens.is_empty() {
            rollout.segments.push(Segment {
                version: self.version,
                tokens: sampled.tokens,
                inference_logprobs: sampled.logprobs,
            });
        }
    }
}
