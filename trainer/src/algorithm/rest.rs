//! Reinforced self-training (ReST, arXiv 2308.08998), the baseline of k1.5's figure 10: sample,
//! keep what is good enough, raise its likelihood.

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Which rollouts of a group train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Every one whose reward reaches the threshold.
    Positives,
    /// The best one, if it reaches the threshold; the first among equals.
    Best,
}

/// Which rollouts of a group train; as long as `rewards`.
#[must_use]
pub fn select(rewards: &[f64], threshold: f64, keep: Keep) -> Vec<bool> {
    let good = |reward: &f64| *reward >= threshold;
    match keep {
        Keep::Positives => rewards.iter().map(good).collect(),
        Keep::Best => {
            let mut selected = vec![false; rewards.len()];
            let best = (0..rewards.len())
                .reduce(|best, next| if rewards[next] > rewards[best] { next } else { best });
            if let Some(best) = best.filter(|best| good(&rewards[*best])) {
                selected[best] = true;
            }
            selected
        }
    }
}

/// `-(1/n) sum over selected j of log pi(y_j)`, with n the number selected; 0 where none is.
/// `trainer_logprobs`, `loss_mask`: `[sequence, token]`; `selected`: `[sequence]` of 0 and 1.
pub fn loss(trainer_logprobs: &Tensor, loss_mask: &Tensor, selected: &Tensor) -> Tensor {
    let sequences = (trainer_logprobs * loss_mask).sum_dim_intlist(1, false, None);
    let kind = trainer_logprobs.kind();
    -(sequences * selected).sum(kind) / selected.sum(kind).clamp_min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reaches_the_threshold_is_kept() {
        let rewards = [0.0, 1.0, 0.5, 1.0];
        assert_eq!(select(&rewards, 0.5, Keep::Positives), [false, true, true, true]);
        assert_eq!(select(&rewards, 0.5, Keep::Best), [false, true, false, false]);
        assert_eq!(select(&rewards, 1.1, Keep::Best), [false; 4]);
        assert_eq!(select(&[], 0.5, Keep::Best), [false; 0]);
    }

    #[test]
    fn the_loss_is_the_mean_of_the_selected_sequences() {
        let logprobs = Tensor::from_slice(&[-1.0, -2.0, -3.0, -4.0]).view([2, 2]);
        let mask = Tensor::from_slice(&[1.0, 1.0, 1.0, 0.0]).view([2, 2]);
        let value = |selected: &[f64]| loss(&logprobs, &mask, &Tensor::from_slice(selected));
        assert_eq!(value(&[1.0, 0.0]).double_value(&[]), 3.0);
        assert_eq!(value(&[1.0, 1.0]).double_value(&[]), 3.0);
        assert_eq!(value(&[0.0, 1.0]).double_value(&[]), 3.0);
        assert_eq!(value(&[0.0, 0.0]).double_value(&[]), 0.0);
    }
}
