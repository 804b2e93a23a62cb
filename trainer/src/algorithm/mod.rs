//! Policy optimisation as pure functions: numbers or tensors in, numbers or tensors out.
//!
//! Nothing here reads a clock, a file or a random number that it was not handed. Every function
//! states its shapes and the equation that it implements. `k1.5` is the report "Kimi k1.5: Scaling
//! Reinforcement Learning with LLMs" (arXiv 2501.12599).
//!
//! Per-token tensors are `[sequence, token]`: `trainer_logprobs` of the policy that is trained,
//! `inference_logprobs` stored by the sampler, `loss_mask` 1 exactly at the sampled tokens that
//! train. Per-sequence tensors are `[sequence]`.

pub mod advantage;
pub mod dpo;
pub mod importance;
pub mod length_reward;
pub mod merge;
pub mod opmd;
pub mod reinforce;
pub mod repetition;
pub mod rest;
pub mod sampling;
