//! The sampler against the trainer: the same tokens however they are split, the same probabilities
//! whoever computes them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ops::ControlFlow;

use tch::Kind;
use trainer::policy::{Policy, Sequence};
use trainer::rollout::Finish;
use trainer::rollout::sampler::{Heard, SampleRequest, Sampled, SamplerOptions, sample};

mod support;
use support::tiny_decoder;

fn options() -> SamplerOptions {
    SamplerOptions {
        temperature: 1.0,
        top_p: 1.0,
        slots: 4,
        stop_repetition: false,
        stop_tokens: vec![1],
        suppressed: vec![0],
        seed: 11,
    }
}

fn request(group: u64, budget: usize) -> SampleRequest {
    let word = |at: u64| u32::try_from(2 + (at * 7 + group) % 20).expect("a small number");
    let prompt = (0..=group % 5).map(word).collect();
    SampleRequest { key: [group, group % 3], prompt, prefix: Vec::new(), budget, tokens_max: 40 }
}

fn policy(kind: Kind) -> Policy {
    let decoder = tiny_decoder(5, kind);
    Policy { decoder, version: 0, temperature: 1.0, suppressed: vec![0] }
}

fn run(policy: &Policy, options: &SamplerOptions, requests: &[SampleRequest]) -> Vec<Sampled> {
    let mut all: Vec<Option<Sampled>> = requests.iter().map(|_| None).collect();
    sample(&policy.decoder, options, requests, &mut |heard| {
        if let Heard::Ended(at, sampled) = heard {
            assert!(all[at].replace(sampled).is_none(), "request {at} ended twice");
        }
        ControlFlow::Continue(())
    });
    all.into_iter().map(|sampled| sampled.expect("every request ends")).collect()
}

#[test]
fn p05_partial_rollouts_with_frozen_weights_equal_those_in_one_go() {
    let policy = policy(Kind::Double);
    let whole: Vec<SampleRequest> = (0..12).map(|group| request(group, 40)).collect();
    let wanted = run(&policy, &options(), &whole);
    assert!(wanted.iter().any(|sampled| sampled.tokens.len() > 10), "too short to be split");
    for budget in [1, 3, 7, 39] {
        let mut requests: Vec<SampleRequest> =
            (0..12).map(|group| request(group, budget)).collect();
        let mut logprobs = vec![Vec::new(); 12];
        loop {
            let open: Vec<usize> = (0..12)
                .filter(|at| wanted[*at].tokens.len() > requests[*at].prefix.len())
                .collect();
            if open.is_empty() {
                break;
            }
            let asked: Vec<SampleRequest> = open.iter().map(|at| requests[*at].clone()).collect();
            for (at, sampled) in open.into_iter().zip(run(&policy, &options(), &asked)) {
                requests[at].prefix.extend(&sampled.tokens);
                logprobs[at].extend(sampled.logprobs);
                let over = requests[at].prefix.len() == wanted[at].tokens.len();
                assert_eq!(over, sampled.finish != Finish::Budget || budget == 40);
            }
        }
        for at in 0..12 {
            assert_eq!(requests[at].prefix, wanted[at].tokens, "budget {budget}, request {at}");
            for (one, other) in logprobs[at].iter().zip(&wanted[at].logprobs) {
                assert!((one - other).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn p06_sampled_log_probabilities_are_those_of_the_trainer() {
    let policy = policy(Kind::Float);
    let requests: Vec<SampleRequest> = (0..20).map(|group| request(group, 40)).collect();
    let sampled = run(&policy, &options(), &requests);
    let sequences: Vec<Sequence<'_>> = requests
        .iter()
        .zip(&sampled)
        .map(|(request, sampled)| Sequence { prompt: &request.prompt, completion: &sampled.tokens })
        .collect();
    let together = policy.logprobs(&sequences);
    for (at, sampled) in sampled.iter().enumerate() {
        let alone = policy.logprobs(&sequences[at..=at]).swap_remove(0);
        assert_eq!(alone.len(), sampled.tokens.len());
        for (token, logprob) in sampled.logprobs.iter().enumerate() {
            assert!((logprob - together[at][token]).abs() < 1e-4, "request {at}, token {token}");
            assert!((alone[token] - together[at][token]).abs() < 1e-4, "padding was seen");
        }
    }
    let reversed: Vec<Sequence<'_>> = sequences.iter().rev().copied().collect();
    for (one, other) in policy.logprobs(&reversed).iter().rev().zip(&together) {
        assert!(one.iter().zip(other).all(|(x, y)| (x - y).abs() < 1e-4), "order was seen");
    }
}

#[test]
fn what_is_sampled_does_not_depend_on_slots_or_order() {
    let policy = policy(Kind::Double);
    let requests: Vec<SampleRequest> = (0..12).map(|group| request(group, 40)).collect();
    let few = run(&policy, &options(), &requests);
    let many = run(&policy, &SamplerOptions { slots: 64, ..options() }, &requests);
    let reversed: Vec<SampleRequest> = requests.iter().rev().cloned().collect();
    let mut backwards = run(&policy, &options(), &reversed);
    backwards.reverse();
    for at in 0..12 {
        assert_eq!(few[at].tokens, many[at].tokens);
        assert_eq!(few[at].tokens, backwards[at].tokens);
    }
}

/// Which sequences share a table decides how products are rounded, and nothing else. Sampled by
/// themselves, those of one table give the same bits wherever: `rollout.tables` rests on that.
#[test]
fn in_another_table_tokens_are_the_same_and_probabilities_within_rounding() {
    let policy = policy(Kind::Float);
    let options = SamplerOptions { slots: 64, ..options() };
    let requests: Vec<SampleRequest> = (0..48).map(|group| request(group, 40)).collect();
    let whole = run(&policy, &options, &requests);
    let mut largest = 0.0_f32;
    for size in [1, 5, 16, 24, 47] {
        let parts = || requests.chunks(size).flat_map(|part| run(&policy, &options, part));
        let sampled: Vec<Sampled> = parts().collect();
        assert_eq!(parts().collect::<Vec<Sampled>>(), sampled, "the same table, twice");
        for (one, other) in sampled.iter().zip(&whole) {
            assert_eq!((&one.tokens, one.finish), (&other.tokens, other.finish));
            let differences = one.logprobs.iter().zip(&other.logprobs).map(|(x, y)| (x - y).abs());
            largest = differences.fold(largest, f32::max);
        }
    }
    assert!(largest < 1e-5, "{largest}");
}

#[test]
fn suppressed_tokens_are_never_drawn_and_stop_tokens_end() {
    let policy = policy(Kind::Float);
    let requests: Vec<SampleRequest> = (0..64).map(|group| request(group, 40)).collect();
    for sampled in run(&policy, &SamplerOptions { slots: 64, ..options() }, &requests) {
        assert!(!sampled.tokens.contains(&0));
        let stop = sampled.tokens.iter().position(|token| *token == 1);
        match sampled.finish {
            Finish::Stop => assert_eq!(stop, Some(sampled.tokens.len() - 1)),
            Finish::Length => assert_eq!((stop, sampled.tokens.len()), (None, 40)),
            Finish::Budget | Finish::Repetition => panic!("{:?}", sampled.finish),
        }
    }
}

#[test]
fn draws_follow_the_probabilities_and_top_p_cuts_the_unlikely() {
    let policy = policy(Kind::Double);
    let one = |group: u64| SampleRequest {
        key: [group, 0],
        prompt: vec![5, 9],
        prefix: Vec::new(),
        budget: 1,
        tokens_max: 40,
    };
    let requests: Vec<SampleRequest> = (0..8000).map(one).collect();
    let options = SamplerOptions { slots: 1000, ..options() };
    let mut counts = [0.0_f64; 23];
    for sampled in run(&policy, &options, &requests) {
        counts[sampled.tokens[0] as usize] += 1.0;
    }
    let mut chi2 = 0.0;
    let mut chances = [0.0_f64; 23];
    for token in 1..23_u32 {
        let sequence = Sequence { prompt: &[5, 9], completion: &[token] };
        let chance = f64::from(policy.logprobs(&[sequence])[0][0]).exp();
        chances[token as usize] = chance;
        chi2 += (counts[token as usize] - 8000.0 * chance).powi(2) / (8000.0 * chance);
    }
    // 21 degrees of freedom: 46.8 is met once in a thousand fair tries.
    assert!(chi2 < 46.8, "chi-square {chi2}");
    let mut order: Vec<usize> = (0..23).collect();
    order.sort_by(|one, other| chances[*other].total_cmp(&chances[*one]));
    let top = SamplerOptions { top_p: chances[order[0]] + 1e-9, ..options };
    for sampled in run(&policy, &top, &requests[..500]) {
        assert!(order[..2].contains(&(sampled.tokens[0] as usize)));
    }
}

#[test]
fn what_repeats_itself_is_stopped() {
    let policy = policy(Kind::Float);
    let mut asked = request(0, 200);
    asked.tokens_max = 90;
    asked.prefix = vec![7; 63];
    asked.prompt = vec![7];
    let options = SamplerOptions {
        stop_repetition: true,
        suppressed: (0..23).filter(|t| *t != 7).collect(),
        ..options()
    };
    let sampled = run(&policy, &options, &[asked]).swap_remove(0);
    assert_eq!((sampled.finish, sampled.tokens), (Finish::Repetition, vec![7]));
}
