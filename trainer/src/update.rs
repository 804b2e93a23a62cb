//! What an iteration does with its judged groups: rewards to advantages, advantages to train steps.

use tch::{Kind, Tensor};

use crate::algorithm::importance::{self, OffPolicy};
use crate::algorithm::length_reward::{WarmUp, length_rewards};
use crate::algorithm::opmd::{self, OpmdBatch, OpmdOptions};
use crate::algorithm::reinforce::{self, Ending};
use crate::algorithm::{advantage, rest};
use crate::config::{AlgorithmName, Norm, RunConfig};
use crate::metrics::Metrics;
use crate::optimizer::AdamW;
use crate::parallel::Reduce;
use crate::policy::{Policy, Sequence, SequenceBatch};
use crate::random::Stream;
use crate::rollout::ledger::Fate;
use crate::rollout::{Finish, Group, Outcome, Rollout};

/// Tokens of one forward pass; larger steps are computed in parts.
const PASS_TOKENS_MAX: usize = 1 << 15;

/// What happened to the groups of an iteration.
#[derive(Debug, Default)]
pub struct Report {
    /// Each group's fate, in their order.
    pub fates: Vec<(u64, Fate)>,
    /// Each trained group's problem and pass rate.
    pub pass_rates: Vec<(usize, f64)>,
    /// Rewards that the judge gave; not those of completions without an end, which it never sees.
    pub judged: usize,
    /// Rewards that are not valid.
    pub invalid: usize,
}

/// A rollout that trains.
#[derive(Debug)]
struct Example<'a> {
    prompt: &'a [u32],
    tokens: Vec<u32>,
    reference_logprobs: Vec<f32>,
    mask: Vec<f32>,
    /// `A_j` for OPMD, 1 for ReST, the answer's return for REINFORCE.
    advantage: f64,
    /// For REINFORCE, the return of each token's turn without the baseline.
    returns: Vec<f32>,
    /// Its share in the mean over samples; the mean over groups is taken by train step.
    share: f64,
}

/// What a rollout is worth, and what was subtracted for it.
#[derive(Clone, Copy, Debug)]
struct Advantage {
    value: f64,
    baseline: f64,
}

/// The part of training that does not change within a run.
#[derive(Debug)]
pub struct Updater<'a> {
    /// The run.
    pub config: &'a RunConfig,
    /// Which iteration.
    pub iteration: u64,
    /// Tokens that end a turn.
    pub turn_ends: Vec<u32>,
}

impl Updater<'_> {
    /// Trains on the groups that may be trained on, and says what became of all.
    ///
    /// # Errors
    /// In a sentence, which rank is gone.
    pub fn run(
        &self,
        (policy, optimizer): (&mut Policy, &mut AdamW),
        groups: &[Group],
        ranks: &mut dyn Reduce,
        metrics: &mut Metrics,
    ) -> Result<Report, String> {
        let mut report = Report::default();
        let mut examples: Vec<Vec<Example<'_>>> = Vec::new();
        for group in groups {
            let fate = self.fate(group, policy.version);
            report.fates.push((group.id, fate));
            let rewards = valid_rewards(group);
            let ended = |(at, _): &&(usize, f64)| group.rollouts[*at].finish == Finish::Stop;
            report.judged += rewards.iter().filter(ended).count();
            let invalid = |rollout: &&Rollout| matches!(rollout.outcome, Some(Outcome::Invalid(_)));
            report.invalid += group.rollouts.iter().filter(invalid).count();
            if fate == Fate::Trained {
                let passed = rewards.iter().filter(|(_, reward)| *reward >= 0.5).count();
                report.pass_rates.push((group.problem, passed as f64 / rewards.len() as f64));
                examples.push(self.examples(group, &rewards));
            }
        }
        count(groups, metrics);
        self.recompute(policy, &mut examples);
        optimizer.start_iteration();
        let steps = self.config.algorithm.steps;
        let mut totals = Totals::default();
        for _ in 0..self.config.algorithm.epochs {
            for step in 0..steps {
                let dealt: Vec<&Example<'_>> =
                    examples.iter().skip(step).step_by(steps).flatten().collect();
                let groups = examples.iter().skip(step).step_by(steps).count();
                if groups > 0 {
                    self.step((policy, optimizer), (&dealt, groups), ranks, &mut totals)?;
                }
            }
        }
        totals.write(metrics);
        Ok(report)
    }

    fn fate(&self, group: &Group, version: u64) -> Fate {
        let rollout = &self.config.rollout;
        let oldest = group.oldest_version().unwrap_or(version);
        if version.saturating_sub(oldest) > rollout.staleness + rollout.span_max {
            Fate::DroppedStale
        } else if valid_rewards(group).len() < 2 {
            Fate::DroppedInvalid
        } else {
            Fate::Trained
        }
    }

    fn examples<'a>(&self, group: &'a Group, rewards: &[(usize, f64)]) -> Vec<Example<'a>> {
        let advantages = self.advantages(group, rewards);
        let mode = self.config.rollout.off_policy;
        let example = |((at, reward), advantage): (&(usize, f64), Option<Advantage>)| {
            let rollout = &group.rollouts[*at];
            let Advantage { value, baseline } = advantage?;
            Some(Example {
                prompt: &group.prompt,
                tokens: rollout.tokens(),
                reference_logprobs: rollout.inference_logprobs(),
                mask: importance::loss_mask(&rollout.segments, mode),
                advantage: value,
                returns: self.returns(rollout, *reward, value, baseline),
                share: 1.0 / rewards.len() as f64,
            })
        };
        rewards.iter().zip(advantages).filter_map(example).collect()
    }

    /// For REINFORCE, what each token earns: the return of its turn, less the baseline.
    fn returns(&self, rollout: &Rollout, reward: f64, value: f64, baseline: f64) -> Vec<f32> {
        let algorithm = &self.config.algorithm;
        if algorithm.name != AlgorithmName::Reinforce {
            return vec![0.0; rollout.length()];
        }
        let ending = if rollout.finish != Finish::Stop {
            Ending::FormatError(algorithm.format_penalty)
        } else if reward >= 0.5 {
            Ending::Correct(value + baseline)
        } else {
            Ending::Wrong(value + baseline)
        };
        let (turns, count) = reinforce::turns_of_tokens(&rollout.tokens(), &self.turn_ends);
        let returns = reinforce::turn_returns(ending, count, algorithm.gamma);
        turns.into_iter().map(|turn| narrowed(returns[turn] - baseline)).collect()
    }

    /// One for each valid reward; none where the rollout does not train.
    fn advantages(&self, group: &Group, rewards: &[(usize, f64)]) -> Vec<Option<Advantage>> {
        let algorithm = &self.config.algorithm;
        let totals = self.total_rewards(group, rewards);
        match algorithm.name {
            AlgorithmName::Opmd => {
                let all = advantage::advantages(&totals, algorithm.baseline, algorithm.tau);
                let plain = |value| Some(Advantage { value, baseline: 0.0 });
                all.into_iter().map(plain).collect()
            }
            AlgorithmName::Rest => rest::select(&totals, algorithm.threshold, algorithm.keep)
                .into_iter()
                .map(|selected| selected.then_some(Advantage { value: 1.0, baseline: 0.0 }))
                .collect(),
            AlgorithmName::Reinforce => {
                let mut stream = Stream::new(&[self.config.seed, 0xeef, group.id]);
                let kept =
                    reinforce::control_negatives(&totals, 0.0, algorithm.negatives, &mut stream);
                let kept_rewards: Vec<f64> =
                    totals.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(r, _)| *r).collect();
                let baseline = algorithm.baseline.of(&kept_rewards, algorithm.tau);
                let less = |reward: &f64| Advantage { value: reward - baseline, baseline };
                totals.iter().zip(kept).map(|(reward, kept)| kept.then(|| less(reward))).collect()
            }
        }
    }

    /// Rewards with the length reward and the format penalty.
    fn total_rewards(&self, group: &Group, rewards: &[(usize, f64)]) -> Vec<f64> {
        let algorithm = &self.config.algorithm;
        let warm_up = WarmUp {
            weight: algorithm.length_weight,
            start: algorithm.length_start,
            ramp: algorithm.length_ramp,
        };
        let weight = warm_up.weight_at(self.iteration);
        let lengths: Vec<usize> =
            rewards.iter().map(|(at, _)| group.rollouts[*at].length()).collect();
        let correct: Vec<bool> = rewards.iter().map(|(_, reward)| *reward >= 0.5).collect();
        let of_length = length_rewards(&lengths, &correct);
        let total = |((at, reward), length): (&(usize, f64), f64)| {
            let broken = group.rollouts[*at].finish != Finish::Stop;
            let penalty = if broken { algorithm.format_penalty } else { 0.0 };
            reward + weight * length - penalty
        };
        rewards.iter().zip(of_length).map(total).collect()
    }

    /// In mode `recompute`, the reference is the policy as it is now, and each sequence is weighted.
    fn recompute(&self, policy: &Policy, examples: &mut [Vec<Example<'_>>]) {
        if self.config.rollout.off_policy != OffPolicy::Recompute {
            return;
        }
        for example in examples.iter_mut().flatten() {
            let sequence = Sequence { prompt: example.prompt, completion: &example.tokens };
            let reference = policy.logprobs(&[sequence]).swap_remove(0);
            let truncation = self.config.rollout.truncation;
            let weight =
                importance::truncated_weight(&reference, &example.reference_logprobs, truncation);
            example.share *= weight;
            example.reference_logprobs = reference;
        }
    }

    fn step(
        &self,
        (policy, optimizer): (&mut Policy, &mut AdamW),
        (examples, groups): (&[&Example<'_>], usize),
        ranks: &mut dyn Reduce,
        totals: &mut Totals,
    ) -> Result<(), String> {
        let tokens: usize = examples.iter().map(|example| example.tokens.len()).sum();
        let mean_length = tokens as f64 / examples.len().max(1) as f64;
        let divisor = match self.config.algorithm.norm {
            Norm::Sequence => groups as f64,
            Norm::TokenMean => groups as f64 * mean_length.max(1.0),
        };
        let mine: Vec<&Example<'_>> = examples
            .iter()
            .enumerate()
            .filter(|(at, _)| at % ranks.size() == ranks.rank())
            .map(|(_, example)| *example)
            .collect();
        let mut start = 0;
        while start < mine.len() {
            let end = start + pass_length(&mine[start..]);
            self.pass(policy, &mine[start..end], (divisor, examples.len()), totals);
            start = end;
        }
        ranks.sum_gradients(&policy.decoder)?;
        totals.gradient_norms.push(optimizer.step(&policy.decoder));
        Ok(())
    }

    /// Adds the gradient of some of a step's sequences.
    fn pass(
        &self,
        policy: &Policy,
        examples: &[&Example<'_>],
        (divisor, of): (f64, usize),
        totals: &mut Totals,
    ) {
        let device = policy.decoder.device();
        let sequences: Vec<Sequence<'_>> = examples
            .iter()
            .map(|example| Sequence { prompt: example.prompt, completion: &example.tokens })
            .collect();
        let batch = SequenceBatch::new(&sequences, device);
        let scores = policy.score(&batch);
        let kind = scores.logprobs.kind();
        let rows = |row: fn(&Example<'_>) -> Vec<f32>| {
            let rows: Vec<Vec<f32>> = examples.iter().map(|example| row(example)).collect();
            batch.layout(&rows).to_kind(kind)
        };
        let column = |value: &dyn Fn(&Example<'_>) -> f64| {
            let values: Vec<f64> = examples.iter().map(|example| value(example)).collect();
            Tensor::from_slice(&values).to_kind(kind).to_device(device)
        };
        let mask = rows(|example| example.mask.clone());
        let reference = rows(|example| example.reference_logprobs.clone());
        let advantages = column(&|example| example.advantage);
        let weights = column(&|example| example.share / divisor);
        let opmd = OpmdBatch {
            trainer_logprobs: &scores.logprobs,
            inference_logprobs: &reference,
            loss_mask: &mask,
            advantages: &advantages,
            weights: &weights,
        };
        let algorithm = &self.config.algorithm;
        let loss = match algorithm.name {
            AlgorithmName::Opmd => {
                let options = OpmdOptions {
                    tau: algorithm.tau,
                    log_ratio_clip: algorithm.log_ratio_clip,
                    log_ratio_max: algorithm.log_ratio_max,
                };
                let result = opmd::loss(&opmd, options);
                totals.skipped += result.skipped.double_value(&[]);
                result.loss
            }
            AlgorithmName::Rest => {
                let share = examples.len() as f64 / of.max(1) as f64;
                rest::loss(&scores.logprobs, &mask, &advantages) * share
            }
            AlgorithmName::Reinforce => {
                let returns = rows(|example| example.returns.clone());
                reinforce::loss(&scores.logprobs, &mask, &returns, &weights)
            }
        };
        loss.backward();
        totals.take(&opmd, &scores.entropies, &loss);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the tensors of training have 32 bits")]
fn narrowed(value: f64) -> f32 {
    value as f32
}

/// How many of the first examples fit into one forward pass; at least one.
fn pass_length(examples: &[&Example<'_>]) -> usize {
    let mut longest = 0;
    let fits = |(at, example): (usize, &&Example<'_>)| {
        longest = longest.max(example.prompt.len() + example.tokens.len());
        at == 0 || longest * (at + 1) <= PASS_TOKENS_MAX
    };
    examples.iter().enumerate().map(fits).take_while(|fits| *fits).count()
}

/// Which rollouts have a reward that may be used.
fn valid_rewards(group: &Group) -> Vec<(usize, f64)> {
    let valid = |(at, rollout): (usize, &Rollout)| match rollout.outcome {
        Some(Outcome::Reward(reward)) if !rollout.tokens().is_empty() => Some((at, reward)),
        Some(Outcome::Reward(_) | Outcome::Invalid(_)) | None => None,
    };
    group.rollouts.iter().enumerate().filter_map(valid).collect()
}

/// Figures of the groups themselves.
fn count(groups: &[Group], metrics: &mut Metrics) {
    let rollouts: Vec<&Rollout> = groups.iter().flat_map(|group| &group.rollouts).collect();
    let rewards: Vec<Vec<f64>> = groups
        .iter()
        .map(|group| valid_rewards(group).into_iter().map(|(_, reward)| reward).collect())
        .collect();
    let all: Vec<f64> = rewards.iter().flatten().copied().collect();
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    metrics.spread("reward/value", all.iter().copied());
    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
    let variance = all.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>();
    metrics.set("reward/value_std", (variance / all.len().max(1) as f64).sqrt());
    metrics.set("reward/invalid", (rollouts.len() - all.len()) as f64);
    let groups_with = |test: &dyn Fn(&Vec<f64>) -> bool| {
        share(
            rewards.iter().filter(|rewards| !rewards.is_empty() && test(rewards)).count(),
            groups.len(),
        )
    };
    metrics.set("reward/groups_all_0", groups_with(&|r| r.iter().all(|x| *x < 0.5)));
    metrics.set("reward/groups_all_1", groups_with(&|r| r.iter().all(|x| *x >= 0.5)));
    metrics.set("reward/pass_at_k", groups_with(&|r| r.iter().any(|x| *x >= 0.5)));
    metrics.spread("length/tokens", rollouts.iter().map(|rollout| rollout.length() as f64));
    let finish = |finish: Finish| {
        share(rollouts.iter().filter(|rollout| rollout.finish == finish).count(), rollouts.len())
    };
    metrics.set("length/stopped_share", finish(Finish::Stop));
    metrics.set("length/truncated_share", finish(Finish::Length));
    metrics.set("length/repetition_share", finish(Finish::Repetition));
    let partial = rollouts.iter().filter(|rollout| rollout.segments.len() > 1).count();
    metrics.set("partial/share", share(partial, rollouts.len()));
    metrics.spread("partial/segments", rollouts.iter().map(|r| r.segments.len() as f64));
}

/// Sums over the train steps of an iteration.
#[derive(Debug, Default)]
struct Totals {
    loss: f64,
    passes: f64,
    entropy: f64,
    tokens: f64,
    log_ratio_square: f64,
    first_difference: Option<f64>,
    sequences: f64,
    skipped: f64,
    gradient_norms: Vec<f64>,
}

impl Totals {
    fn take(&mut self, batch: &OpmdBatch<'_>, entropies: &Tensor, loss: &Tensor) {
        let _no_gradient = tch::no_grad_guard();
        let ratios = opmd::log_ratios(batch).square().sum(Kind::Double);
        let tokens = batch.loss_mask.sum(Kind::Double);
        let entropy = (entropies * batch.loss_mask).sum(Kind::Double);
        let all = Tensor::stack(&[ratios, tokens, entropy, loss.to_kind(Kind::Double)], 0);
        let all = Vec::<f64>::try_from(all).unwrap_or_default();
        if let [ratios, tokens, entropy, loss] = all[..] {
            self.log_ratio_square += ratios;
            self.tokens += tokens;
            self.entropy += entropy;
            self.loss += loss;
        }
        self.passes += 1.0;
        self.sequences += batch.advantages.numel() as f64;
        if self.first_difference.is_none() {
            let difference = (batch.trainer_logprobs - batch.inference_logprobs).abs();
            let largest = (difference * batch.loss_mask).max();
            self.first_difference = Some(largest.to_kind(Kind::Double).double_value(&[]));
        }
    }

    fn write(&self, metrics: &mut Metrics) {
        let per = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
        metrics.set("policy/loss", per(self.loss, self.passes));
        metrics.set("policy/entropy", per(self.entropy, self.tokens));
        metrics.set("policy/log_ratio_square", per(self.log_ratio_square, self.sequences));
        metrics.set("policy/skipped_sequences", self.skipped);
        metrics.set("policy/first_logprob_difference", self.first_difference.unwrap_or(0.0));
        metrics.spread("policy/gradient_norm", self.gradient_norms.iter().copied());
        metrics.set("policy/train_tokens", self.tokens);
    }
}
