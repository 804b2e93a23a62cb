//! Data-parallel ranks: two of them make the steps that one makes on the joined batch.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::TcpListener;

use tch::{Device, Kind};
use trainer::metrics::Metrics;
use trainer::model::files;
use trainer::optimizer::AdamW;
use trainer::parallel::{Reduce, Single, TcpRanks};
use trainer::policy::Policy;
use trainer::random::Stream;
use trainer::rollout::{Finish, Group, Outcome};
use trainer::update::Updater;

mod support;
use support::{small_run, tiny_decoder};

fn policy() -> Policy {
    let decoder = tiny_decoder(5, Kind::Double);
    Policy { decoder, version: 0, temperature: 1.0, suppressed: vec![0] }
}

/// Judged groups, as if the policy had sampled them.
fn groups(policy: &Policy, seed: u64) -> Vec<Group> {
    let mut stream = Stream::new(&[seed]);
    (0..5)
        .map(|id| {
            let mut group = Group::new(id, 0, vec![3, 4, 5], 3);
            for rollout in &mut group.rollouts {
                let length = 2 + stream.below(5);
                let tokens: Vec<u32> =
                    (0..length).map(|_| 2 + u32::try_from(stream.below(20)).unwrap()).collect();
                let sequence =
                    trainer::policy::Sequence { prompt: &group.prompt, completion: &tokens };
                let inference_logprobs = policy.logprobs(&[sequence]).swap_remove(0);
                rollout.segments.push(trainer::algorithm::importance::Segment {
                    version: 0,
                    tokens,
                    inference_logprobs,
                });
                rollout.finish = Finish::Stop;
                rollout.outcome = Some(Outcome::Reward(stream.uniform()));
            }
            group
        })
        .collect()
}

fn train(ranks: &mut dyn Reduce) -> Policy {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let config = small_run(folder.path(), &["algorithm.steps=2", "optimizer.learning_rate=0.01"]);
    let mut policy = policy();
    let mut optimizer = AdamW::new(config.optimizer, &policy.decoder);
    for iteration in 0..3 {
        let groups = groups(&self::policy(), iteration);
        let updater = Updater { config: &config, iteration, turn_ends: Vec::new() };
        let parts = (&mut policy, &mut optimizer);
        updater.run(parts, &groups, ranks, &mut Metrics::default()).unwrap();
    }
    policy
}

#[test]
fn p12_two_ranks_equal_one_on_the_joined_batch_and_hold_the_same_bits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        let mut ranks = TcpRanks::join(&address, 1, 2).unwrap();
        files::digest(&train(&mut ranks).decoder.snapshot()).unwrap()
    });
    let first = train(&mut TcpRanks::lead(&listener, 2).unwrap()).decoder.snapshot();
    assert_eq!(other.join().unwrap(), files::digest(&first).unwrap());
    let alone = train(&mut Single).decoder.snapshot();
    let start = policy().decoder.snapshot();
    let mut moved = 0.0_f64;
    for ((one, both), start) in alone.iter().zip(&first).zip(&start) {
        let difference = (&one.1 - &both.1).abs().max().double_value(&[]);
        assert!(difference < 1e-9, "{}: off by {difference}", one.0);
        moved = moved.max((&one.1 - &start.1).abs().max().double_value(&[]));
    }
    assert!(moved > 1e-3, "nothing was trained");
    assert_eq!(policy().decoder.device(), Device::Cpu);
}
