//! What each group of a request came to: the figures that a group's advantages are made of.
//!
//! Only valid rewards count towards mean and deviation: a failure of ours is no reward of 0.

use std::collections::BTreeMap;

use protocol::{GroupResult, SubmissionResult, Verdict};

/// The groups of a request so far.
#[derive(Clone, Debug, Default)]
pub struct Groups(BTreeMap<String, Tally>);

#[derive(Clone, Debug, Default)]
struct Tally {
    submissions: u64,
    accepted: u64,
    cached: u64,
    /// Of the valid rewards, by Welford's method.
    valid: u64,
    mean: f64,
    squares: f64,
}

impl Groups {
    /// Counts a result.
    pub fn count(&mut self, result: &SubmissionResult) {
        let Some(group) = &result.group else { return };
        if !self.0.contains_key(group) {
            self.0.insert(group.clone(), Tally::default());
        }
        if let Some(tally) = self.0.get_mut(group) {
            tally.count(result);
        }
    }

    /// All groups, by name.
    #[must_use]
    pub fn to_wire(&self) -> Vec<GroupResult> {
        self.0.iter().map(|(group, tally)| tally.to_wire(group)).collect()
    }
}

impl Tally {
    fn count(&mut self, result: &SubmissionResult) {
        self.submissions += 1;
        self.accepted += u64::from(result.verdict == Some(Verdict::Accepted));
        self.cached += u64::from(result.cached);
        let (true, Some(reward)) = (result.valid, result.reward) else { return };
        self.valid += 1;
        let before = reward - self.mean;
        self.mean += before / self.count_of_valid();
        self.squares += before * (reward - self.mean);
    }

    #[expect(clippy::cast_precision_loss, reason = "a request has fewer than 2^52 submissions")]
    fn count_of_valid(&self) -> f64 {
        self.valid as f64
    }

    fn to_wire(&self, group: &str) -> GroupResult {
        let any = self.valid > 0;
        GroupResult {
            group: group.to_owned(),
            submissions: self.submissions,
            valid: self.valid,
            accepted: self.accepted,
            cached: self.cached,
            reward_mean: any.then_some(self.mean),
            reward_deviation: any.then(|| (self.squares / self.count_of_valid()).sqrt()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(group: Option<&str>, reward: Option<f64>) -> SubmissionResult {
        SubmissionResult {
            group: group.map(str::to_owned),
            reward,
            valid: reward.is_some(),
            verdict: reward.map(|r| if r > 0.0 { Verdict::Accepted } else { Verdict::WrongAnswer }),
            ..SubmissionResult::default()
        }
    }

    #[test]
    fn only_valid_rewards_make_mean_and_deviation() {
        let mut groups = Groups::default();
        for (group, reward) in [
            (Some("b"), Some(1.0)),
            (Some("a"), None),
            (Some("b"), None),
            (None, Some(1.0)),
            (Some("b"), Some(0.0)),
        ] {
            groups.count(&result(group, reward));
        }
        let wire = groups.to_wire();
        assert_eq!(wire.len(), 2);
        assert_eq!(
            (wire[0].submissions, wire[0].reward_mean, wire[0].reward_deviation),
            (1, None, None)
        );
        let b = &wire[1];
        assert_eq!((b.submissions, b.valid, b.accepted), (3, 2, 1));
        assert_eq!((b.reward_mean, b.reward_deviation), (Some(0.5), Some(0.5)));
    }
}
