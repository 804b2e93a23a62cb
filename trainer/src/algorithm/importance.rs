//! Which policy a token is compared with when its trajectory was sampled by several.

use serde::{Deserialize, Serialize};

/// How trajectories of several versions train (partial rollouts, k1.5 section 2.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffPolicy {
    /// Only the tokens of the newest segment train; the advantage is the whole trajectory's.
    MaskOld,
    /// All sampled tokens train against the product of the policies that sampled the segments. The
    /// product is a distribution over whole sequences, and mirror descent holds for any reference
    /// that produced the samples.
    Composite,
    /// All sampled tokens train against the policy at the start of the iteration, computed anew;
    /// each sequence weighted by `min(exp(sum_t log pi_i - log mu), truncation)`.
    Recompute,
}

/// A piece of a trajectory that one version sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Which version of the policy sampled it.
    pub version: u64,
    /// What was sampled.
    pub tokens: Vec<u32>,
    /// With which log-probability, stored when it was sampled; as long as `tokens`.
    pub inference_logprobs: Vec<f32>,
}

/// Why segments do not make a trajectory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// A later segment is of an earlier version.
    #[error("segment {at} is of version {version}, the one before of {before}")]
    Order {
        /// Which segment.
        at: usize,
        /// Its version.
        version: u64,
        /// The version before.
        before: u64,
    },
    /// Tokens and log-probabilities do not match.
    #[error("segment {at} has {tokens} tokens and {logprobs} log-probabilities")]
    Lengths {
        /// Which segment.
        at: usize,
        /// How many tokens.
        tokens: usize,
        /// How many log-probabilities.
        logprobs: usize,
    },
}

/// Checks that versions do not decrease and that every token has its log-probability.
///
/// # Errors
/// The first segment that does not fit.
pub fn check(segments: &[Segment]) -> Result<(), SegmentError> {
    for (at, segment) in segments.iter().enumerate() {
        let (tokens, logprobs) = (segment.tokens.len(), segment.inference_logprobs.len());
        if tokens != logprobs {
            return Err(SegmentError::Lengths { at, tokens, logprobs });
        }
        if at > 0 && segments[at - 1].version > segment.version {
            let before = segments[at - 1].version;
            return Err(SegmentError::Order { at, version: segment.version, before });
        }
    }
    Ok(())
}

/// The mask over the sampled tokens of a trajectory: 1 where a token trains.
#[must_use]
pub fn loss_mask(segments: &[Segment], mode: OffPolicy) -> Vec<f32> {
    let newest = segments.last().map(|segment| segment.version);
    let mut mask = Vec::new();
    for segment in segments {
        let trains = match mode {
            OffPolicy::MaskOld => Some(segment.version) == newest,
            OffPolicy::Composite | OffPolicy::Recompute => true,
        };
        let value = if trains { 1.0 } else { 0.0 };
        mask.extend(std::iter::repeat_n(value, segment.tokens.len()));
    }
    mask
}

/// `min(exp(sum_t (log pi_i - log mu)), truncation)`: the weight of a sequence in mode
/// [`OffPolicy::Recompute`]. The slices are per token and equally long.
#[must_use]
pub fn truncated_weight(reference: &[f32], inference: &[f32], truncation: f64) -> f64 {
    assert_eq!(reference.len(), inference.len(), "two log-probabilities for each token");
    let log_ratio: f64 =
        reference.iter().zip(inference).map(|(r, i)| f64::from(*r) - f64::from(*i)).sum();
    log_ratio.min(truncation.ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_truncated_and_never_overflows() {
        assert_eq!(truncated_weight(&[-1.0], &[-1.0], 2.0), 1.0);
        assert!((truncated_weight(&[-1.0], &[-900.0], 2.0) - 2.0).abs() < 1e-12);
        assert!(truncated_weight(&[-900.0], &[-1.0], 2.0) < 1e-300);
    }
}
