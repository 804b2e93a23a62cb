//! What the keys of the configuration do to a train step: each is reachable and each matters.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tch::Kind;
use trainer::algorithm::importance::Segment;
use trainer::metrics::Metrics;
use trainer::model::files;
use trainer::optimizer::AdamW;
use trainer::parallel::Single;
use trainer::policy::{Policy, Sequence};
use trainer::rollout::{Finish, Group, Outcome};
use trainer::update::Updater;

mod support;
use support::{small_run, tiny_decoder};

const END_OF_TURN: u32 = 9;

fn policy() -> Policy {
    let decoder = tiny_decoder(5, Kind::Double);
    Policy { decoder, version: 1, temperature: 1.0, suppressed: vec![0] }
}

/// One right answer and three wrong ones, the last without an end; of two versions where `old`.
fn group(old: bool) -> Group {
    let policy = policy();
    let mut group = Group::new(0, 0, vec![3, 4, 5], 4);
    let completions = [vec![6, 9, 7, 9, 1], vec![7, 9, 8, 1], vec![8, 6, 1], vec![6, 6, 6, 6]];
    for (at, (rollout, tokens)) in group.rollouts.iter_mut().zip(completions).enumerate() {
        let sequence = Sequence { prompt: &group.prompt, completion: &tokens };
        let mut logprobs = policy.logprobs(&[sequence]).swap_remove(0);
        if old {
            // The version before gave the first tokens another probability.
            logprobs[0] -= 0.5;
        }
        let (first, later) = tokens.split_at(if old { 2 } else { 0 });
        let (of_first, of_later) = logprobs.split_at(first.len());
        for (version, tokens, logprobs) in [(0, first, of_first), (1, later, of_later)] {
            if !tokens.is_empty() {
                let (tokens, inference_logprobs) = (tokens.to_vec(), logprobs.to_vec());
                rollout.segments.push(Segment { version, tokens, inference_logprobs });
            }
        }
        rollout.finish = if at == 3 { Finish::Length } else { Finish::Stop };
        rollout.outcome = Some(Outcome::Reward(if at == 0 { 1.0 } else { 0.0 }));
    }
    group
}

/// The digest of the weights after one iteration.
fn after(settings: &[&str], group: &Group) -> String {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let own = ["algorithm.steps=1", "optimizer.learning_rate=0.01", "rollout.staleness=0"];
    let all: Vec<&str> = own.iter().chain(settings).copied().collect();
    let config = small_run(folder.path(), &all);
    let mut policy = policy();
    let mut optimizer = AdamW::new(config.optimizer, &policy.decoder);
    let updater = Updater { config: &config, iteration: 0, turn_ends: vec![END_OF_TURN] };
    let parts = (&mut policy, &mut optimizer);
    updater.run(parts, std::slice::from_ref(group), &mut Single, &mut Metrics::default()).unwrap();
    files::digest(&policy.decoder.snapshot()).unwrap()
}

fn all_different(cases: &[&[&str]], group: &Group) {
    let mut digests: Vec<String> = cases.iter().map(|settings| after(settings, group)).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), cases.len(), "two of {cases:?} make the same step");
}

#[test]
fn off_policy_modes_are_three_different_steps_and_one_where_nothing_is_old() {
    let modes: [&[&str]; 3] = [
        &["rollout.off_policy=mask_old"],
        &["rollout.off_policy=composite"],
        &["rollout.off_policy=recompute"],
    ];
    all_different(&modes, &group(true));
    let fresh = group(false);
    let composite = after(modes[1], &fresh);
    assert_eq!(after(modes[0], &fresh), composite);
}

#[test]
fn reinforce_decays_by_turns_and_drops_negatives_as_it_is_told() {
    let reinforce = "algorithm.name=reinforce";
    let group = group(false);
    all_different(
        &[
            &[reinforce],
            &[reinforce, "algorithm.gamma=0.5"],
            &[reinforce, "algorithm.format_penalty=0.5"],
            &[reinforce, "algorithm.negatives={ rule = \"balance\", ratio = 1.0 }"],
            &[reinforce, "algorithm.negatives={ rule = \"balance\", ratio = 2.0 }"],
            &["algorithm.name=opmd"],
            &["algorithm.name=rest"],
        ],
        &group,
    );
    // Answers of a single turn have nothing that decays.
    let mut single = group.clone();
    single.rollouts.drain(..2);
    single.rollouts[0].outcome = Some(Outcome::Reward(1.0));
    assert_eq!(after(&[reinforce], &single), after(&[reinforce, "algorithm.gamma=0.5"], &single));
    let kept_all = "algorithm.negatives={ rule = \"keep\", probability = 1.0 }";
    assert_eq!(after(&[reinforce], &group), after(&[reinforce, kept_all], &group));
}

#[test]
fn the_keys_of_mirror_descent_each_change_the_step() {
    all_different(
        &[
            &[],
            &["algorithm.tau=0.5"],
            &["algorithm.baseline=log_mean_exp"],
            &["algorithm.norm=token_mean"],
            &["algorithm.length_weight=0.5"],
            &["algorithm.epochs=2"],
        ],
        &group(true),
    );
    // Before its warm-up the length reward is not there.
    let later = ["algorithm.length_weight=0.5", "algorithm.length_start=1"];
    assert_eq!(after(&later, &group(true)), after(&[], &group(true)));
}
