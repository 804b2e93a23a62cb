//! Direct preference optimisation for long2short, k1.5 section 2.4: short right answers preferred.

use tch::Tensor;

/// An answer to a problem, for pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its tokens.
    pub length: usize,
    /// Whether it is right.
    pub correct: bool,
}

/// Which answer is preferred to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Index of the preferred one.
    pub chosen: usize,
    /// Index of the other.
    pub rejected: usize,
}

/// How much longer a right answer must be to be rejected.
const LONGER: f64 = 1.5;

/// Pairs among the answers to one problem: the shortest right one against every longer wrong one
/// and against every right one at least 1.5 times as long. No right answer, no pair.
#[must_use]
pub fn pairs(answers: &[Answer]) -> Vec<Pair> {
    let right = (0..answers.len()).filter(|at| answers[*at].correct);
    let Some(chosen) = right.min_by_key(|at| answers[*at].length) else {
        return Vec::new();
    };
    let shortest = answers[chosen].length;
    let rejected = |answer: &Answer| {
        answer.length > shortest
            && (!answer.correct || answer.length as f64 >= LONGER * shortest as f64)
    };
    (0..answers.len())
        .filter(|at| rejected(&answers[*at]))
        .map(|rejected| Pair { chosen, rejected })
        .collect()
}

/// Log-probabilities of whole sequences, each `[pair]`.
#[derive(Debug)]
pub struct PairLogprobs<'a> {
    /// Of the chosen ones, by the policy; with gradient.
    pub chosen: &'a Tensor,
    /// Of the rejected ones, by the policy; with gradient.
    pub rejected: &'a Tensor,
    /// Of the chosen ones, by the reference.
    pub ref_chosen: &'a Tensor,
    /// Of the rejected ones, by the reference.
    pub ref_rejected: &'a Tensor,
}

/// `mean of -log sigmoid(beta * ((chosen - ref_chosen) - (rejected - ref_rejected)))`
/// (arXiv 2305.18290, equation 7).
pub fn loss(logprobs: &PairLogprobs<'_>, beta: f64) -> Tensor {
    let chosen = logprobs.chosen - logprobs.ref_chosen;
    let rejected = logprobs.rejected - logprobs.ref_rejected;
    let margin = (chosen - rejected) * beta;
    -margin.log_sigmoid().mean(margin.kind())
}

/// The shortest right answer, of n that were sampled: shortest rejection sampling.
#[must_use]
pub fn shortest_correct(answers: &[Answer]) -> Option<usize> {
    (0..answers.len()).filter(|at| answers[*at].correct).min_by_key(|at| answers[*at].length)
}
