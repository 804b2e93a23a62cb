//! Online policy mirror descent, k1.5 section 2.3.2.
//!
//! At each iteration the current policy is the reference, and for a problem x with k samples y_j
//! the gradient (equation 3) is
//!
//! ```text
//! (1/k) sum_j [ grad log pi(y_j|x) * (r_j - r̄) - (tau/2) grad (log (pi(y_j|x) / pi_i(y_j|x)))^2 ]
//! ```
//!
//! Both logarithms are of whole sequences: sums over the sampled tokens, not means.

use tch::{Kind, Tensor};

/// Sequences of one train step, any number of groups together.
#[derive(Debug)]
pub struct OpmdBatch<'a> {
    /// `[sequence, token]`, of the policy that is trained; with gradient.
    pub trainer_logprobs: &'a Tensor,
    /// `[sequence, token]`, of the policy or policies that sampled; without gradient.
    pub inference_logprobs: &'a Tensor,
    /// `[sequence, token]`, 1 where a token trains, else 0.
    pub loss_mask: &'a Tensor,
    /// `[sequence]`, `r_j - r̄`.
    pub advantages: &'a Tensor,
    /// `[sequence]`, `1 / (k * groups)`: the mean over samples and problems.
    pub weights: &'a Tensor,
}

/// The knobs of the loss.
#[derive(Clone, Copy, Debug)]
pub struct OpmdOptions {
    /// Strength of the pull towards the reference.
    pub tau: f64,
    /// The log-ratio in the gradient weight is kept within plus and minus this.
    pub log_ratio_clip: f64,
    /// A sequence whose log-ratio is beyond plus or minus this does not train at all.
    pub log_ratio_max: f64,
}

/// A loss to differentiate, and what was seen on the way.
#[derive(Debug)]
pub struct OpmdLoss {
    /// `[]`.
    pub loss: Tensor,
    /// `[sequence]`, `rho_j`, without gradient.
    pub log_ratios: Tensor,
    /// `[]`, how many sequences were beyond `log_ratio_max`.
    pub skipped: Tensor,
}

/// `rho_j = sum over masked t of (log pi(y_jt) - log mu(y_jt))`: `[sequence]`.
pub fn log_ratios(batch: &OpmdBatch<'_>) -> Tensor {
    let differences = batch.trainer_logprobs - batch.inference_logprobs;
    (differences * batch.loss_mask).sum_dim_intlist(1, false, None)
}

/// The loss whose gradient is minus equation (3), with one backward pass:
/// `-sum_j weight_j * stop(A_j - tau * clip(rho_j)) * log pi(y_j)`.
#[must_use]
pub fn loss(batch: &OpmdBatch<'_>, options: OpmdOptions) -> OpmdLoss {
    let log_ratios = log_ratios(batch).detach();
    let clip = options.log_ratio_clip;
    let keep = log_ratios.abs().le(options.log_ratio_max).to_kind(log_ratios.kind());
    let pull = log_ratios.clamp(-clip, clip) * options.tau;
    let coefficients = (batch.advantages - pull) * batch.weights * &keep;
    let loss = -(coefficients.detach() * sequence_logprobs(batch)).sum(batch.loss_mask.kind());
    let skipped = keep.numel() as f64 - keep.sum(Kind::Double);
    OpmdLoss { loss, log_ratios, skipped }
}

/// The same loss written out, without guards:
/// `sum_j weight_j * [ -A_j * log pi(y_j) + (tau/2) * rho_j^2 ]`.
pub fn plain_loss(batch: &OpmdBatch<'_>, tau: f64) -> Tensor {
    let rho = log_ratios(batch);
    let policy = batch.advantages * sequence_logprobs(batch);
    ((rho.square() * (tau / 2.0) - policy) * batch.weights).sum(batch.loss_mask.kind())
}

/// `sum_j weight_j * (A_j - tau * rho_j)^2`, the square of equation (2). Its gradient is `2 tau`
/// times that of [`plain_loss`].
pub fn squared_surrogate(batch: &OpmdBatch<'_>, tau: f64) -> Tensor {
    let residuals = batch.advantages - log_ratios(batch) * tau;
    (residuals.square() * batch.weights).sum(batch.loss_mask.kind())
}

fn sequence_logprobs(batch: &OpmdBatch<'_>) -> Tensor {
    (batch.trainer_logprobs * batch.loss_mask).sum_dim_intlist(1, false, None)
}
