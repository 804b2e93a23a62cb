//! REINFORCE for agents, as described for Kimi-Researcher: rewards decay with the distance to the
//! end, broken formats are punished, and some of the negative samples are left out.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::random::Stream;

/// How a trajectory of T turns ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// The answer earned this reward.
    Correct(f64),
    /// The answer was wrong; the reward for that, usually 0 or -1.
    Wrong(f64),
    /// A broken format, an invalid call or a limit: minus this penalty, and nothing for the answer.
    FormatError(f64),
}

/// The return of each turn, `[turn]`: `r * gamma^(T - i)` for i = 1 ... T where the answer is right,
/// so that shorter ways earn more; without decay where it is wrong or broken.
#[must_use]
pub fn turn_returns(ending: Ending, turns: usize, gamma: f64) -> Vec<f64> {
    match ending {
        Ending::Correct(reward) => (1..=turns)
            .map(|turn| reward * gamma.powi(i32::try_from(turns - turn).unwrap_or(i32::MAX)))
            .collect(),
        Ending::Wrong(reward) => vec![reward; turns],
        Ending::FormatError(penalty) => vec![-penalty; turns],
    }
}

/// The turn of each token, from 0, and how many turns there are. A turn is over with one of `ends`;
/// what follows the last one, such as the end of the answer, belongs to it.
#[must_use]
pub fn turns_of_tokens(tokens: &[u32], ends: &[u32]) -> (Vec<usize>, usize) {
    let last = tokens.iter().rposition(|token| ends.contains(token)).unwrap_or(tokens.len());
    let mut turn = 0;
    let mut of_token = |(at, token): (usize, &u32)| {
        let own = turn;
        turn += usize::from(at < last && ends.contains(token));
        own
    };
    let turns: Vec<usize> = tokens.iter().enumerate().map(&mut of_token).collect();
    (turns, turn + 1)
}

/// Which negatives train.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum Negatives {
    /// All of them.
    All,
    /// Each with this probability.
    Keep {
        /// The probability.
        probability: f64,
    },
    /// Dropped at random until there are at most `ratio` times as many as positives.
    Balance {
        /// The ratio.
        ratio: f64,
    },
}

/// Which samples train, as long as `rewards`; those above `threshold` are positive and stay.
/// At least one negative stays wherever there was one, so that no contrast is lost altogether.
#[must_use]
pub fn control_negatives(
    rewards: &[f64],
    threshold: f64,
    rule: Negatives,
    stream: &mut Stream,
) -> Vec<bool> {
    let mut negatives: Vec<usize> =
        (0..rewards.len()).filter(|sample| rewards[*sample] <= threshold).collect();
    let positives = rewards.len() - negatives.len();
    let mut kept = vec![true; rewards.len()];
    for at in (1..negatives.len()).rev() {
        negatives.swap(at, stream.below(at + 1));
    }
    let keep = match rule {
        Negatives::All => negatives.len(),
        Negatives::Keep { probability } => {
            negatives.iter().filter(|_| stream.uniform() < probability).count()
        }
        Negatives::Balance { ratio } => {
            let most = (ratio * positives as f64).floor().max(0.0);
            negatives.len().min(usize_below(most, negatives.len()))
        }
    };
    for dropped in &negatives[keep.max(1).min(negatives.len())..] {
        kept[*dropped] = false;
    }
    kept
}

/// `value`, but at most `most`, as a count.
fn usize_below(value: f64, most: usize) -> usize {
    (0..most).take_while(|count| ((count + 1) as f64) <= value).count()
}

/// `-sum_j weight_j * sum_t (R_jt - b) * log pi(y_jt)` with the return of the turn that a token
/// belongs to. `trainer_logprobs`, `loss_mask`, `returns`: `[sequence, token]`; `weights`:
/// `[sequence]`. Strictly on-policy: there is no importance weight.
pub fn loss(
    trainer_logprobs: &Tensor,
    loss_mask: &Tensor,
    returns: &Tensor,
    weights: &Tensor,
) -> Tensor {
    let tokens = trainer_logprobs * loss_mask * returns;
    -(tokens.sum_dim_intlist(1, false, None) * weights).sum(trainer_logprobs.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_apart() {
        assert_eq!(turn_returns(Ending::Correct(1.0), 3, 0.5), [0.25, 0.5, 1.0]);
        assert_eq!(turn_returns(Ending::Wrong(-1.0), 2, 0.5), [-1.0, -1.0]);
        assert_eq!(turn_returns(Ending::FormatError(0.2), 2, 0.5), [-0.2, -0.2]);
        assert_eq!(turn_returns(Ending::Correct(1.0), 0, 0.5), [0.0; 0]);
    }

    #[test]
    fn tokens_belong_to_turns() {
        let ends = [7, 8];
        assert_eq!(turns_of_tokens(&[7, 8, 3, 7, 1], &ends), (vec![0, 1, 2, 2, 2], 3));
        assert_eq!(turns_of_tokens(&[3, 4, 1], &ends), (vec![0, 0, 0], 1));
        assert_eq!(turns_of_tokens(&[3, 7], &[]), (vec![0, 0], 1));
        assert_eq!(turns_of_tokens(&[], &ends), (vec![], 1));
    }

    #[test]
    fn negatives_are_dropped_but_never_all_of_them() {
        let rewards = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let kept = |rule| {
            let kept = control_negatives(&rewards, 0.5, rule, &mut Stream::new(&[3]));
            assert!(kept[0], "a positive was dropped");
            kept[1..].iter().filter(|kept| **kept).count()
        };
        assert_eq!(kept(Negatives::All), 5);
        assert_eq!(kept(Negatives::Balance { ratio: 2.0 }), 2);
        assert_eq!(kept(Negatives::Balance { ratio: 0.0 }), 1);
        assert_eq!(kept(Negatives::Keep { probability: 0.0 }), 1);
        assert_eq!(kept(Negatives::Keep { probability: 1.0 }), 5);
    }
}
