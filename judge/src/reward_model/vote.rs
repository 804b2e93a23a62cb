//! Votes become a verdict, as early as they can. Pure.

use protocol::{JudgeVoteVerdict, VoteMode};

/// What the votes so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Another is needed.
    Open,
    /// The answer is right.
    Right,
    /// It is not.
    Wrong,
}

/// Counts votes: `max` is how many there may be. A vote that is not for the answer is against it;
/// a tie is against it.
#[must_use]
pub fn count(votes: &[JudgeVoteVerdict], mode: VoteMode, max: u32) -> Count {
    let max = usize::try_from(max).unwrap_or(usize::MAX).max(1);
    let right = votes.iter().filter(|vote| **vote == JudgeVoteVerdict::Correct).count();
    let wrong = votes.len() - right;
    match mode {
        VoteMode::All if wrong > 0 => Count::Wrong,
        VoteMode::All if right >= max => Count::Right,
        VoteMode::Majority if right * 2 > max => Count::Right,
        VoteMode::Majority if wrong * 2 >= max => Count::Wrong,
        VoteMode::All | VoteMode::Majority => Count::Open,
    }
}

/// How sure the votes are that the answer is right: the mean of a majority, the least of `all`.
#[must_use]
pub fn score(votes: &[(JudgeVoteVerdict, Option<f64>)], mode: VoteMode) -> f64 {
    let sure = |(verdict, probability): &(JudgeVoteVerdict, Option<f64>)| {
        probability.unwrap_or(if *verdict == JudgeVoteVerdict::Correct { 1.0 } else { 0.0 })
    };
    let count = u32::try_from(votes.len()).unwrap_or(u32::MAX);
    match mode {
        _ if votes.is_empty() => 0.0,
        VoteMode::All => votes.iter().map(sure).fold(1.0, f64::min),
        VoteMode::Majority => votes.iter().map(sure).sum::<f64>() / f64::from(count),
    }
}

#[cfg(test)]
mod tests {
    use JudgeVoteVerdict::{Correct, Incorrect, Invalid};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_ends_with_the_first_against_and_majority_when_it_is_reached() {
        assert_eq!(count(&[], VoteMode::All, 3), Count::Open);
        assert_eq!(count(&[Correct, Correct], VoteMode::All, 3), Count::Open);
        assert_eq!(count(&[Correct; 3], VoteMode::All, 3), Count::Right);
        assert_eq!(count(&[Invalid], VoteMode::All, 3), Count::Wrong);
        assert_eq!(count(&[Correct, Correct], VoteMode::Majority, 3), Count::Right);
        assert_eq!(count(&[Correct, Incorrect], VoteMode::Majority, 3), Count::Open);
        assert_eq!(count(&[Correct, Incorrect], VoteMode::Majority, 2), Count::Wrong);
    }

    #[test]
    fn the_score_of_all_is_its_least() {
        let votes = [(Correct, Some(0.9)), (Correct, Some(0.6)), (Correct, None)];
        assert_eq!(score(&votes, VoteMode::All), 0.6);
        assert!((score(&votes, VoteMode::Majority) - 2.5 / 3.0).abs() < 1e-12);
        assert_eq!(score(&[], VoteMode::All), 0.0);
    }

    proptest! {
        #[test]
        fn a_vote_always_ends_and_never_changes_its_mind(
            right in prop::collection::vec(any::<bool>(), 1..12), all: bool,
        ) {
            let votes: Vec<_> = right.iter().map(|right| if *right { Correct } else { Incorrect }).collect();
            let mode = if all { VoteMode::All } else { VoteMode::Majority };
            let max = u32::try_from(votes.len()).unwrap();
            let end = count(&votes, mode, max);
            prop_assert_ne!(end, Count::Open);
            let early = (0..votes.len()).map(|n| count(&votes[..n], mode, max)).find(|c| *c != Count::Open);
            prop_assert_eq!(early.unwrap_or(end), end);
        }
    }
}
