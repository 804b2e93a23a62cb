//! How good the policy is on problems that it never trained on: the likeliest completion of each,
//! run by the judge.

use std::ops::ControlFlow;
use std::sync::mpsc;

use crate::algorithm::importance::Segment;
use crate::metrics::Metrics;
use crate::policy::{Policy, Sequence};
use crate::rollout::engine::Judging;
use crate::rollout::sampler::{self, Heard, SampleRequest, SamplerOptions};
use crate::rollout::{Finish, Group, Outcome};

/// Evaluated problems handed to the judge together.
const PART: usize = 16;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Which part of the valid rewards is a success.
    pub success: f64,
    /// Rewards that are not valid.
    pub invalid: usize,
    /// Rewards that the judge gave; completions without an end earn 0 without it.
    pub judged: usize,
    /// The mean length of completions.
    pub length: f64,
    /// The largest difference between the sampler's and the trainer's log-probability of a token.
    pub mismatch: f64,
    /// Success by difficulty, with the number of problems.
    pub by_difficulty: Vec<(f64, f64, usize)>,
}

impl Evaluation {
    /// As figures.
    pub fn write(&self, metrics: &mut Metrics) {
        metrics.set("held_out/success", self.success);
        metrics.set("held_out/invalid", self.invalid as f64);
        metrics.set("held_out/tokens_mean", self.length);
        metrics.set("policy/sampler_mismatch", self.mismatch);
        for (difficulty, success, _) in &self.by_difficulty {
            metrics.set(&format!("held_out/success_at_{difficulty:.2}"), *success);
        }
    }
}

/// Evaluates on at most `most` held-out problems, always the same ones.
#[must_use]
pub fn run(
    policy: &Policy,
    judging: &Judging,
    options: &SamplerOptions,
    (most, tokens_max): (usize, usize),
) -> Evaluation {
    let problems = judging.task.problems();
    let held_out = (0..problems.len()).filter(|at| problems[*at].held_out);
    let mut groups: Vec<Group> = Vec::new();
    // Every so many of all, so that each difficulty has its part.
    let held_out: Vec<usize> = held_out.collect();
    let stride = held_out.len().div_ceil(most.max(1)).max(1);
    for problem in held_out.into_iter().step_by(stride) {
        if let Ok(prompt) = judging.tokenizer.encode(&problems[problem].prompt) {
            groups.push(Group::new(u64::MAX - problem as u64, problem, prompt, 1));
        }
    }
    let request = |group: &Group| SampleRequest {
        key: [group.id, 0],
        prompt: group.prompt.clone(),
        prefix: Vec::new(),
        budget: tokens_max,
        tokens_max,
    };
    let requests: Vec<SampleRequest> = groups.iter().map(request).collect();
    let options = SamplerOptions { temperature: 0.0, ..options.clone() };
    sampler::sample(&policy.decoder, &options, &requests, &mut |heard| {
        let Heard::Ended(at, sampled) = heard else { return ControlFlow::Continue(()) };
        let rollout = &mut groups[at].rollouts[0];
        rollout.finish = sampled.finish;
        rollout.segments.push(Segment {
            version: policy.version,
            tokens: sampled.tokens,
            inference_logprobs: sampled.logprobs,
        });
        ControlFlow::Continue(())
    });
    let mismatch = mismatch(policy, &groups);
    judge(judging, &mut groups);
    let mut evaluation = summary(judging, &groups);
    evaluation.mismatch = mismatch;
    evaluation
}

/// The largest difference between the stored and the recomputed log-probability of a token.
fn mismatch(policy: &Policy, groups: &[Group]) -> f64 {
    let completions: Vec<Vec<u32>> = groups.iter().map(|g| g.rollouts[0].tokens()).collect();
    let mut largest = 0.0_f64;
    // The sampler counted with temperature 1 to choose the likeliest.
    if policy.temperature != 1.0 {
        return largest;
    }
    for (groups, completions) in groups.chunks(PART).zip(completions.chunks(PART)) {
        let sequences: Vec<Sequence<'_>> = groups
            .iter()
            .zip(completions)
            .map(|(group, completion)| Sequence { prompt: &group.prompt, completion })
            .collect();
        for (trained, group) in policy.logprobs(&sequences).iter().zip(groups) {
            for (one, other) in trained.iter().zip(group.rollouts[0].inference_logprobs()) {
                largest = largest.max(f64::from((one - other).abs()));
            }
        }
    }
    largest
}

fn judge(judging: &Judging, groups: &mut [Group]) {
    let (results, judged) = mpsc::channel();
    for group in groups.iter() {
        judging.submit(group, results.clone(), |judged| judged);
    }
    drop(results);
    for judged in judged {
        if let Some(group) = groups.iter_mut().find(|group| group.id == judged.group) {
            group.rollouts[0].outcome = judged.outcomes.first().copied();
        }
    }
}

fn summary(judging: &Judging, groups: &[Group]) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let mut levels: Vec<(f64, f64, usize)> = Vec::new();
    let (mut successes, mut valid) = (0.0, 0_usize);
    for group in groups {
        let rollout = &group.rollouts[0];
        evaluation.length += rollout.length() as f64 / groups.len() as f64;
        let Some(Outcome::Reward(reward)) = rollout.outcome else {
            evaluation.invalid += 1;
            continue;
        };
        evaluation.judged += usize::from(rollout.finish == Finish::Stop);
        let success = if reward >= 0.5 { 1.0 } else { 0.0 };
        (successes, valid) = (successes + success, valid + 1);
        let difficulty = judging.task.problems()[group.problem].difficulty;
        match levels.iter_mut().find(|level| level.0.total_cmp(&difficulty).is_eq()) {
            Some(level) => (level.1, level.2) = (level.1 + success, level.2 + 1),
            None => levels.push((difficulty, success, 1)),
        }
    }
    evaluation.success = successes / valid.max(1) as f64;
    levels.sort_by(|left, right| left.0.total_cmp(&right.0));
    evaluation.by_difficulty =
        levels.into_iter().map(|(level, sum, count)| (level, sum / count as f64, count)).collect();
    evaluation
}
