//! What must hold of the algorithms whatever the numbers: one test for each invariant, in the order
//! in which the trainer's documentation lists them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use tch::{Device, Kind, Tensor};
use trainer::algorithm::advantage::{Baseline, advantages, log_mean_exp};
use trainer::algorithm::importance::{self, OffPolicy, Segment};
use trainer::algorithm::length_reward::length_rewards;
use trainer::algorithm::opmd::{self, OpmdBatch, OpmdOptions};
use trainer::algorithm::reinforce::{self, Ending, turn_returns};
use trainer::algorithm::repetition::repeated_period;
use trainer::algorithm::sampling::{self, ProblemRecord, Strategy as Draw};
use trainer::algorithm::{dpo, merge};
use trainer::model::{dim, files};
use trainer::random::Stream;

mod support;
use support::tiny_decoder;

const NO_GUARDS: OpmdOptions = OpmdOptions { tau: 0.3, log_ratio_clip: 1e9, log_ratio_max: 1e9 };

fn rewards() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-2.0..2.0_f64, 2..10)
}

/// Random sequences: (trainer, inference, mask, advantages, weights), all in 64 bits.
struct Case {
    trainer: Tensor,
    inference: Tensor,
    mask: Tensor,
    advantages: Tensor,
    weights: Tensor,
}

impl Case {
    fn new(seed: u64, sequences: usize, tokens: usize) -> Self {
        let mut stream = Stream::new(&[seed]);
        let shape = [dim(sequences), dim(tokens)];
        let mut table = |low: f64, high: f64| {
            let values: Vec<f64> =
                (0..sequences * tokens).map(|_| low + (high - low) * stream.uniform()).collect();
            Tensor::from_slice(&values).view(shape)
        };
        let trainer = table(-3.0, 0.0).set_requires_grad(true);
        let inference = table(-3.0, 0.0);
        let mask = table(0.0, 1.0).ge(0.3).to_kind(Kind::Double);
        let rewards: Vec<f64> = (0..sequences).map(|_| stream.uniform()).collect();
        let advantages = Tensor::from_slice(&advantages(&rewards, Baseline::Mean, 1.0));
        let weights = Tensor::full([shape[0]], 1.0 / sequences as f64, (Kind::Double, Device::Cpu));
        Self { trainer, inference, mask, advantages, weights }
    }

    fn batch(&self) -> OpmdBatch<'_> {
        OpmdBatch {
            trainer_logprobs: &self.trainer,
            inference_logprobs: &self.inference,
            loss_mask: &self.mask,
            advantages: &self.advantages,
            weights: &self.weights,
        }
    }

    fn gradient(&self, loss: &Tensor) -> Tensor {
        Tensor::run_backward(&[loss], &[&self.trainer], false, false).swap_remove(0)
    }
}

fn close(left: &Tensor, right: &Tensor) -> bool {
    (left - right).abs().max().double_value(&[]) < 1e-9
}

proptest! {
    #[test]
    fn p01_advantages_sum_to_0_and_do_not_see_a_shift(rewards in rewards(), shift in -5.0..5.0_f64) {
        let plain = advantages(&rewards, Baseline::Mean, 0.1);
        prop_assert!(plain.iter().sum::<f64>().abs() < 1e-9);
        let shifted: Vec<f64> = rewards.iter().map(|reward| reward + shift).collect();
        for baseline in [Baseline::Mean, Baseline::LogMeanExp] {
            let pairs = advantages(&rewards, baseline, 0.5)
                .into_iter()
                .zip(advantages(&shifted, baseline, 0.5));
            for (one, other) in pairs {
                prop_assert!((one - other).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn p01_at_the_reference_only_the_policy_gradient_is_left(seed in 0..1000_u64) {
        let mut case = Case::new(seed, 4, 5);
        case.inference = case.trainer.detach().copy();
        let batch = case.batch();
        prop_assert!(opmd::log_ratios(&batch).abs().max().double_value(&[]) == 0.0);
        let policy_only = -(&case.advantages
            * &case.weights
            * (&case.trainer * &case.mask).sum_dim_intlist(1, false, None))
        .sum(Kind::Double);
        let gradient = case.gradient(&opmd::loss(&batch, NO_GUARDS).loss);
        prop_assert!(close(&gradient, &case.gradient(&policy_only)));
        case.advantages = Tensor::zeros([4], (Kind::Double, Device::Cpu));
        let equal = opmd::loss(&case.batch(), NO_GUARDS).loss;
        prop_assert!(case.gradient(&equal).abs().max().double_value(&[]) == 0.0);
    }

    #[test]
    fn p02_one_backward_pass_equals_both_forms_of_the_objective(seed in 0..1000_u64) {
        let case = Case::new(seed, 5, 6);
        let batch = case.batch();
        let tau = NO_GUARDS.tau;
        let one_pass = case.gradient(&opmd::loss(&batch, NO_GUARDS).loss);
        prop_assert!(close(&one_pass, &case.gradient(&opmd::plain_loss(&batch, tau))));
        let squared = case.gradient(&opmd::squared_surrogate(&batch, tau)) / (2.0 * tau);
        prop_assert!(close(&one_pass, &squared));
    }

    #[test]
    fn p02_the_soft_baseline_lies_between_mean_and_largest(rewards in rewards(), tau in 0.01..3.0_f64) {
        let mean = Baseline::Mean.of(&rewards, 1.0);
        let largest = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let soft = log_mean_exp(&rewards, tau);
        prop_assert!(mean - 1e-9 <= soft && soft <= largest + 1e-9);
        prop_assert!(log_mean_exp(&rewards, tau * 1.5) <= soft + 1e-9);
        prop_assert!((log_mean_exp(&rewards, 1e6) - mean).abs() < 1e-4);
        prop_assert!((log_mean_exp(&rewards, 1e-4) - largest).abs() < 1e-3);
    }

    #[test]
    fn p03_length_rewards_are_bounded_and_see_only_relative_length(
        answers in proptest::collection::vec((1..200_usize, any::<bool>()), 1..12),
        scale in 1..5_usize,
        offset in 0..50_usize,
    ) {
        let lengths: Vec<usize> = answers.iter().map(|(length, _)| *length).collect();
        let correct: Vec<bool> = answers.iter().map(|(_, correct)| *correct).collect();
        let rewards = length_rewards(&lengths, &correct);
        let moved: Vec<usize> = lengths.iter().map(|length| scale * length + offset).collect();
        for (one, other) in rewards.iter().zip(length_rewards(&moved, &correct)) {
            prop_assert!((one - other).abs() < 1e-9);
        }
        for at in 0..rewards.len() {
            prop_assert!((-0.5..=0.5).contains(&rewards[at]));
            prop_assert!(correct[at] || rewards[at] <= 0.0);
            for other in 0..rewards.len() {
                if correct[at] == correct[other] && lengths[at] < lengths[other] {
                    prop_assert!(rewards[at] >= rewards[other]);
                }
            }
        }
    }

    #[test]
    fn p04_priorities_sum_to_1_and_grow_with_failure(rates in proptest::collection::vec(0.0..=1.0_f64, 1..40)) {
        let records: Vec<ProblemRecord> = rates
            .iter()
            .map(|pass_rate| ProblemRecord { difficulty: 0.5, pass_rate: *pass_rate, visits: 1 })
            .collect();
        let chances = sampling::probabilities(Draw::Prioritized { floor: 0.01 }, &records, 0);
        prop_assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        for one in 0..rates.len() {
            for other in 0..rates.len() {
                prop_assert!(rates[one] > rates[other] || chances[one] >= chances[other]);
            }
        }
        let drawn = sampling::draw(&chances, rates.len() / 2, &mut Stream::new(&[1]));
        let distinct: std::collections::HashSet<_> = drawn.iter().collect();
        prop_assert_eq!(distinct.len(), rates.len() / 2);
    }

    #[test]
    fn p08_masks_cover_sampled_tokens_and_versions_do_not_go_back(
        pieces in proptest::collection::vec((0..4_u64, 1..6_usize), 1..6)
    ) {
        let mut version = 0;
        let segments: Vec<Segment> = pieces
            .iter()
            .map(|(step, count)| {
                version += step;
                Segment { version, tokens: vec![7; *count], inference_logprobs: vec![-1.0; *count] }
            })
            .collect();
        prop_assert_eq!(importance::check(&segments), Ok(()));
        let total: usize = pieces.iter().map(|(_, count)| count).sum();
        for mode in [OffPolicy::MaskOld, OffPolicy::Composite, OffPolicy::Recompute] {
            prop_assert_eq!(importance::loss_mask(&segments, mode).len(), total);
        }
        let newest: usize = segments.iter().filter(|s| s.version == version).map(|s| s.tokens.len()).sum();
        let masked = importance::loss_mask(&segments, OffPolicy::MaskOld);
        prop_assert_eq!(masked.iter().filter(|mask| **mask == 1.0).count(), newest);
        prop_assert!(masked[total - newest..].iter().all(|mask| *mask == 1.0));
        let mut backwards = segments;
        backwards.push(Segment { version: version + 1, tokens: vec![1], inference_logprobs: vec![-1.0] });
        backwards.push(Segment { version, tokens: vec![1], inference_logprobs: vec![-1.0] });
        prop_assert!(importance::check(&backwards).is_err());
        backwards.truncate(1);
        backwards[0].inference_logprobs.pop();
        prop_assert!(importance::check(&backwards).is_err());
    }

    #[test]
    fn p09_returns_grow_towards_the_end_and_gamma_1_is_plain(turns in 1..20_usize, gamma in 0.1..1.0_f64) {
        prop_assert_eq!(turn_returns(Ending::Correct(1.0), turns, 1.0), vec![1.0; turns]);
        let returns = turn_returns(Ending::Correct(1.0), turns, gamma);
        prop_assert_eq!(returns[turns - 1], 1.0);
        prop_assert!(returns.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert_eq!(turn_returns(Ending::Wrong(0.0), turns, gamma), vec![0.0; turns]);
    }

    #[test]
    fn p10_the_chosen_answer_is_right_and_shorter(
        answers in proptest::collection::vec((1..60_usize, any::<bool>()), 0..12)
    ) {
        let answers: Vec<dpo::Answer> =
            answers.into_iter().map(|(length, correct)| dpo::Answer { length, correct }).collect();
        let pairs = dpo::pairs(&answers);
        for pair in &pairs {
            let (chosen, rejected) = (answers[pair.chosen], answers[pair.rejected]);
            prop_assert!(chosen.correct && chosen.length < rejected.length);
            prop_assert!(!rejected.correct || 2 * rejected.length >= 3 * chosen.length);
            prop_assert_eq!(Some(pair.chosen), dpo::shortest_correct(&answers));
        }
        prop_assert!(!pairs.is_empty() || !answers.iter().any(|a| a.correct)
            || answers.iter().all(|a| a.correct || a.length <= 60));
    }

    #[test]
    fn p13_repeated_ends_are_found(
        start in proptest::collection::vec(0..50_u32, 0..40),
        period in proptest::collection::vec(0..50_u32, 1..=128),
        extra in 0..3_usize,
    ) {
        let repeats = 4_usize.max(64_usize.div_ceil(period.len())) + extra;
        prop_assume!(repeats * period.len() <= 512);
        let text = [start, period.repeat(repeats)].concat();
        let found = repeated_period(&text);
        prop_assert!(found.is_some_and(|found| found <= period.len()));
    }
}

/// A bandit whose policy is a table: mirror descent with the exact normalizer has a closed form.
#[test]
fn p02_a_bandit_converges_to_the_tilted_reference() {
    let (tau, rewards) = (0.5, [1.0, 0.2, 0.0, 0.6]);
    let reference = Tensor::from_slice(&[0.3, -0.2, 0.5, 0.0]).log_softmax(-1, None);
    let tilted = &reference + Tensor::from_slice(&rewards) / tau;
    let wanted = tilted.log_softmax(-1, None);
    let normalizer = tau * tilted.logsumexp([0], false).double_value(&[]);
    let advantages = Tensor::from_slice(&rewards.map(|reward| reward - normalizer));
    let logits = Tensor::zeros([4], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let mask = Tensor::ones([4, 1], (Kind::Double, Device::Cpu));
    for _ in 0..4000 {
        let logprobs = logits.log_softmax(-1, None).unsqueeze(1);
        let batch = OpmdBatch {
            trainer_logprobs: &logprobs,
            inference_logprobs: &reference.unsqueeze(1),
            loss_mask: &mask,
            advantages: &advantages,
            // All arms, weighted by the reference: the exact expectation.
            weights: &reference.exp(),
        };
        let loss = opmd::loss(&batch, OpmdOptions { tau, ..NO_GUARDS }).loss;
        let gradient = Tensor::run_backward(&[&loss], &[&logits], false, false).swap_remove(0);
        tch::no_grad(|| logits.detach().copy_(&(&logits - gradient * 0.5)));
    }
    let difference = (logits.log_softmax(-1, None) - wanted).abs().max().double_value(&[]);
    assert!(difference < 1e-3, "log-probabilities are off by {difference}");
}

#[test]
fn p04_draws_follow_the_priorities() {
    let records: Vec<ProblemRecord> = [0.0, 0.5, 0.75, 0.9]
        .map(|pass_rate| ProblemRecord { difficulty: 0.5, pass_rate, visits: 1 })
        .to_vec();
    let chances = sampling::probabilities(Draw::Prioritized { floor: 0.01 }, &records, 0);
    let mut counts = [0.0_f64; 4];
    for trial in 0..20_000 {
        counts[sampling::draw(&chances, 1, &mut Stream::new(&[9, trial]))[0]] += 1.0;
    }
    let chi2: f64 = (0..4)
        .map(|at| (counts[at] - 20_000.0 * chances[at]).powi(2) / (20_000.0 * chances[at]))
        .sum();
    // 3 degrees of freedom: 16.3 is met once in a thousand fair tries.
    assert!(chi2 < 16.3, "chi-square {chi2}: {counts:?} for {chances:?}");
}

#[test]
fn p04_a_curriculum_leaves_the_easy_ones_their_share() {
    let record = |difficulty| ProblemRecord { difficulty, pass_rate: 0.5, visits: 0 };
    let records = [record(0.2), record(0.9)];
    let rule = Draw::Curriculum { switch: 5, difficulty: 0.5, easy_share: 0.25 };
    assert_eq!(sampling::probabilities(rule, &records, 4), [0.5, 0.5]);
    assert_eq!(sampling::probabilities(rule, &records, 5), [0.2, 0.8]);
    let all_passed = [ProblemRecord { difficulty: 0.1, pass_rate: 1.0, visits: 3 }; 2];
    let chances = sampling::probabilities(Draw::Prioritized { floor: 0.0 }, &all_passed, 0);
    assert_eq!(chances, [0.5, 0.5]);
}

#[test]
fn p09_gamma_1_gives_the_gradient_of_plain_reinforce() {
    let case = Case::new(3, 3, 4);
    let rewards = Tensor::from_slice(&[1.0, 0.0, 1.0]);
    let returns = rewards.unsqueeze(1).expand([3, 4], false);
    let loss = reinforce::loss(&case.trainer, &case.mask, &returns, &case.weights);
    let sequences = (&case.trainer * &case.mask).sum_dim_intlist(1, false, None);
    let plain = -(sequences * rewards * &case.weights).sum(Kind::Double);
    assert!(close(&case.gradient(&loss), &case.gradient(&plain)));
}

#[test]
fn p10_the_preference_loss_is_log_2_at_the_reference() {
    let (chosen, rejected) = (Tensor::from_slice(&[-3.0, -1.0]), Tensor::from_slice(&[-2.0, -9.0]));
    let value = |chosen: &Tensor| {
        let logprobs = dpo::PairLogprobs {
            chosen,
            rejected: &rejected,
            ref_chosen: &Tensor::from_slice(&[-3.0, -1.0]),
            ref_rejected: &rejected,
        };
        dpo::loss(&logprobs, 0.1).double_value(&[])
    };
    assert!((value(&chosen) - 2.0_f64.ln()).abs() < 1e-12);
    assert!(value(&(chosen + 1.0)) < 2.0_f64.ln());
}

#[test]
fn p11_merging_is_symmetric_and_keeps_what_is_the_same() {
    let (one, other) = (tiny_decoder(1, Kind::Float), tiny_decoder(2, Kind::Float));
    let (left, right) = (one.snapshot(), other.snapshot());
    let digest = |tensors: &[(String, Tensor)]| files::digest(tensors).unwrap();
    assert_eq!(digest(&merge::average(&left, &left).unwrap()), digest(&left));
    let both = merge::average(&left, &right).unwrap();
    assert_eq!(digest(&both), digest(&merge::average(&right, &left).unwrap()));
    assert_ne!(digest(&both), digest(&left));
    assert!(merge::average(&left[1..], &right).is_err());
    assert!(merge::average(&left, &right[1..]).is_err());
}

#[test]
fn p11_a_model_survives_its_files_whole_or_in_shards() {
    let decoder = tiny_decoder(3, Kind::Float);
    for shard_bytes in [usize::MAX, 4096] {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = decoder.snapshot();
        files::write_model(folder.path(), decoder.config(), &snapshot, shard_bytes).unwrap();
        let sharded = folder.path().join("model.safetensors.index.json").exists();
        assert_eq!(sharded, shard_bytes == 4096);
        let read = files::read_model(folder.path(), Kind::Float, Device::Cpu).unwrap();
        assert_eq!(files::digest(&read.snapshot()).unwrap(), files::digest(&snapshot).unwrap());
    }
}

#[test]
fn p13_a_sequence_without_repetition_is_never_flagged() {
    // A de Bruijn sequence holds every pair of 40 letters exactly once.
    let mut text = Vec::new();
    for first in 0..40_u32 {
        text.push(first);
        for second in first + 1..40 {
            text.extend([first, second]);
        }
    }
    for end in 1..=text.len() {
        assert_eq!(repeated_period(&text[..end]), None, "the first {end}");
    }
    // One repeat too few, and one token too few.
    let period: Vec<u32> = (0..30).collect();
    assert_eq!(repeated_period(&period.repeat(3)), None);
    assert_eq!(repeated_period(&[5; 63]), None);
    assert_eq!(repeated_period(&[5; 64]), Some(1));
}
