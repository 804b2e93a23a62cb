//! The length reward of k1.5, section 2.3.3: shorter is better among answers to one problem, and a
//! wrong answer never gains from being short.

/// When the length reward counts, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp {
    /// Weight once it counts fully.
    pub weight: f64,
    /// The first iteration at which it counts.
    pub start: u64,
    /// Iterations over which the weight grows linearly; 0 means at once.
    pub ramp: u64,
}

impl WarmUp {
    /// `w(i)`: 0 before `start`, then growing to `weight`.
    #[must_use]
    pub fn weight_at(&self, iteration: u64) -> f64 {
        match iteration.checked_sub(self.start) {
            None => 0.0,
            Some(since) if since >= self.ramp => self.weight,
            Some(since) => self.weight * (since + 1) as f64 / (self.ramp + 1) as f64,
        }
    }
}

/// The length rewards of a group: for `lambda = 0.5 - (len - min) / (max - min)`, lambda where the
/// answer is right and `min(0, lambda)` where it is wrong; all 0 where all lengths are equal.
/// Minimum and maximum are over all answers, right or wrong. `lengths` and `correct` are per
/// rollout and equally long.
#[must_use]
pub fn length_rewards(lengths: &[usize], correct: &[bool]) -> Vec<f64> {
    assert_eq!(lengths.len(), correct.len(), "one length and one judgement for each rollout");
    let shortest = lengths.iter().copied().min().unwrap_or(0);
    let spread = lengths.iter().copied().max().unwrap_or(0) - shortest;
    if spread == 0 {
        return vec![0.0; lengths.len()];
    }
    let reward = |(length, correct): (&usize, &bool)| {
        let lambda = 0.5 - (length - shortest) as f64 / spread as f64;
        if *correct { lambda } else { lambda.min(0.0) }
    };
    lengths.iter().zip(correct).map(reward).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_0_before_the_start_and_then_grows_to_its_full_size() {
        let sudden = WarmUp { weight: 0.4, start: 3, ramp: 0 };
        let weights: Vec<f64> = (0..6).map(|i| sudden.weight_at(i)).collect();
        assert_eq!(weights, [0.0, 0.0, 0.0, 0.4, 0.4, 0.4]);
        let slow = WarmUp { weight: 0.3, start: 1, ramp: 2 };
        let weights: Vec<f64> = (0..5).map(|i| slow.weight_at(i)).collect();
        for (found, wanted) in weights.iter().zip([0.0, 0.1, 0.2, 0.3, 0.3]) {
            assert!((found - wanted).abs() < 1e-12, "{weights:?}");
        }
    }

    #[test]
    fn the_report_s_formula_on_an_example() {
        let rewards = length_rewards(&[10, 20, 30, 10], &[true, true, true, false]);
        assert_eq!(rewards, [0.5, 0.0, -0.5, 0.0]);
        assert_eq!(length_rewards(&[7, 7], &[true, false]), [0.0, 0.0]);
    }
}
