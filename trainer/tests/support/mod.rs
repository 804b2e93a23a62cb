//! What several tests need.
#![allow(dead_code, reason = "each test file uses a part")]

use tch::{Device, Kind};
use trainer::model::config::{ModelConfig, RopeScaling};
use trainer::model::{Decoder, Family};

/// The shape of a small model.
pub(crate) fn tiny_config(family: Family) -> ModelConfig {
    ModelConfig {
        family,
        vocabulary: 23,
        hidden: 16,
        intermediate: 24,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        positions_max: 96,
        norm_epsilon: 1e-6,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tied: true,
        attention_bias: family == Family::Qwen2,
        stop_tokens: vec![1],
    }
}

/// A small model with random weights.
pub(crate) fn tiny_decoder(seed: u64, kind: Kind) -> Decoder {
    Decoder::random(tiny_config(Family::Qwen3), seed, kind, Device::Cpu)
        .expect("a checked configuration")
}
