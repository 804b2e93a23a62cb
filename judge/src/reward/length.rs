//! The length reward of the Kimi k1.5 report, over the responses to one prompt.
//!
//! With the shortest length `min` and the longest `max` of the group, right or wrong:
//! `lambda = 0.5 - (length - min) / (max - min)`; a right response gets `lambda`, a wrong one
//! `min(0, lambda)`; where all are of one length, everybody gets 0. So being short pays only where
//! the answer is right, and being long costs always.

use std::collections::HashMap;

use protocol::Submission;

use super::RewardError;

/// Shortest and longest length of each group of a request.
#[derive(Clone, Debug, Default)]
pub struct Groups(HashMap<String, (u64, u64)>);

/// A response's length, and those of its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its own.
    pub length: u64,
    /// The shortest of the group.
    pub min: u64,
    /// The longest of the group.
    pub max: u64,
}

impl Groups {
    /// Measures the groups of a request.
    ///
    /// # Errors
    /// Some members of a group give tokens and others do not.
    pub fn of(submissions: &[Submission]) -> Result<Self, RewardError> {
        let mut groups = HashMap::new();
        let mut counted: HashMap<&str, bool> = HashMap::new();
        for submission in submissions {
            let Some(group) = &submission.group else {
                continue;
            };
            let tokens = submission.length_tokens.is_some();
            if *counted.entry(group).or_insert(tokens) != tokens {
                return Err(RewardError::Lengths { group: group.chars().take(64).collect() });
            }
            let length = length(submission);
            let (min, max) = groups.entry(group.clone()).or_insert((length, length));
            *min = length.min(*min);
            *max = length.max(*max);
        }
        Ok(Self(groups))
    }

    /// Where a submission stands in its group; alone where it has none.
    #[must_use]
    pub fn place(&self, submission: &Submission) -> Place {
        let length = length(submission);
        let group = submission.group.as_ref().and_then(|group| self.0.get(group));
        let (min, max) = group.copied().unwrap_or((length, length));
        Place { length, min, max }
    }
}

/// Tokens where they are given, else characters of what the model wrote.
fn length(submission: &Submission) -> u64 {
    let text = [&submission.completion, &submission.source, &submission.answer];
    let characters =
        || text.into_iter().flatten().next().map_or(0, |text| text.chars().count() as u64);
    submission.length_tokens.unwrap_or_else(characters)
}

impl Place {
    /// From 0.5 for the shortest to -0.5 for the longest; 0 where all are of one length.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio of lengths needs no more than 52 bits")]
    pub fn lambda(self) -> f64 {
        if self.max <= self.min {
            return 0.0;
        }
        0.5 - self.length.saturating_sub(self.min) as f64 / (self.max - self.min) as f64
    }
}

/// The reward of a response.
#[must_use]
pub fn reward(lambda: f64, accepted: bool) -> f64 {
    if accepted { lambda } else { lambda.min(0.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn submissions(members: &[(&str, Option<u64>)]) -> Vec<Submission> {
        members
            .iter()
            .map(|(group, tokens)| {
                let json = serde_json::json!({
                    "answer": "four", "group": group, "length_tokens": tokens,
                    "problem": {"kind": "math", "references": ["4"]},
                });
                serde_json::from_value(json).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_group_is_measured_over_its_own_members() {
        let members =
            submissions(&[("a", Some(10)), ("b", Some(7)), ("a", Some(30)), ("a", Some(20))]);
        let groups = Groups::of(&members).unwrap();
        let lambdas: Vec<f64> =
            members.iter().map(|member| groups.place(member).lambda()).collect();
        assert_eq!(lambdas, [0.5, 0.0, -0.5, 0.0]);
    }

    #[test]
    fn characters_count_where_no_tokens_are_given_and_are_never_mixed_with_them() {
        let members = submissions(&[("a", None), ("a", None)]);
        assert_eq!(Groups::of(&members).unwrap().place(&members[0]).length, 4);
        let mixed = submissions(&[("a", None), ("a", Some(4))]);
        assert!(matches!(Groups::of(&mixed), Err(RewardError::Lengths { .. })));
    }

    proptest! {
        #[test]
        fn lengths_pay_as_the_report_says(lengths in prop::collection::vec(0_u64..100_000, 1..20)) {
            let (min, max) = (*lengths.iter().min().unwrap(), *lengths.iter().max().unwrap());
            for length in &lengths {
                let lambda = Place { length: *length, min, max }.lambda();
                prop_assert!((-0.5..=0.5).contains(&lambda));
                // A wrong response never gains, and never does better than a right one.
                prop_assert!(reward(lambda, false) <= 0.0);
                prop_assert!(reward(lambda, false) <= reward(lambda, true));
                // Longer is never better.
                for other in lengths.iter().filter(|other| *other > length) {
                    let longer = Place { length: *other, min, max }.lambda();
                    prop_assert!(longer < lambda);
                }
            }
            if min == max {
                prop_assert_eq!(Place { length: min, min, max }.lambda(), 0.0);
            }
        }

        #[test]
        fn an_absurd_length_is_still_a_number(length: u64, min: u64, max: u64) {
            let lambda = Place { length, min, max }.lambda();
            prop_assert!(lambda.is_finite());
        }
    }
}
