//! What a group of rollouts of one problem expects of itself, and how each differs from it.

use serde::{Deserialize, Serialize};

/// What is subtracted from the rewards of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The mean of the rewards: the report's choice, k1.5 section 2.3.2, after equation (3).
    Mean,
    /// `tau * log((1/k) * sum_j exp(r_j / tau))`: the estimate of `tau * log Z` in equation (2).
    LogMeanExp,
    /// Nothing.
    None,
}

impl Baseline {
    /// The baseline of one group. `rewards` is not empty; `tau` is positive.
    #[must_use]
    pub fn of(self, rewards: &[f64], tau: f64) -> f64 {
        match self {
            Self::Mean => rewards.iter().sum::<f64>() / rewards.len() as f64,
            Self::LogMeanExp => log_mean_exp(rewards, tau),
            Self::None => 0.0,
        }
    }
}

/// `A_j = r_j - baseline(r)`; the same length as `rewards`.
#[must_use]
pub fn advantages(rewards: &[f64], baseline: Baseline, tau: f64) -> Vec<f64> {
    let expected = baseline.of(rewards, tau);
    rewards.iter().map(|reward| reward - expected).collect()
}

/// `tau * log(mean(exp(x / tau)))`, between mean and maximum of `x`; stable for any size of `x`.
#[must_use]
pub fn log_mean_exp(values: &[f64], tau: f64) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|value| ((value - largest) / tau).exp()).sum();
    largest + tau * (sum / values.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_equal_rewards_has_no_advantage() {
        for baseline in [Baseline::Mean, Baseline::LogMeanExp] {
            let advantages = advantages(&[1.0; 5], baseline, 0.1);
            assert!(advantages.iter().all(|a| a.abs() < 1e-12), "{advantages:?}");
        }
    }

    #[test]
    fn the_soft_baseline_does_not_overflow() {
        assert!((log_mean_exp(&[1e6, 1e6], 1e-3) - 1e6).abs() < 1e-6);
    }
}
