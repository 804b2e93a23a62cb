//! The policy's network: one decoder for the Llama, Qwen2 and Qwen3 families, its key-value cache,
//! its files in Hugging Face layout, and its tokenizer.
//!
//! Not here: sampling (`rollout::sampler`) and training (`policy`).

pub mod cache;
pub mod config;
pub mod decoder;
pub mod files;
pub mod rope;
pub mod tokenizer;

pub use cache::KvCache;
pub use config::{Family, ModelConfig};
pub use decoder::{Decoder, Parameter};
pub use tokenizer::Tokenizer;

use std::path::PathBuf;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read or written.
    #[error("failed to access {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not say what it should.
    #[error("{path}: {reason}", path = path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is missing, unknown, or of another shape.
    #[error("tensor {name}: {reason}")]
    Tensor {
        /// Which.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The configuration contradicts itself.
    #[error("model: {0}")]
    Config(String),
    /// The tokenizer failed.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}

/// A count as LibTorch wants it.
///
/// # Panics
/// Never for the length of anything that fits into memory.
#[must_use]
pub fn dim(count: usize) -> i64 {
    i64::try_from(count).expect("counts of things in memory are below 2^63")
}

/// A size that LibTorch gave.
///
/// # Panics
/// Never: sizes are not negative.
#[must_use]
pub fn count(size: i64) -> usize {
    usize::try_from(size).expect("sizes of tensors are not negative")
}
