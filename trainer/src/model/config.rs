//! What a decoder looks like, read from the `config.json` of a checkpoint in Hugging Face layout.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ModelError;
use crate::limits::{CONFIG_BYTES_MAX, TRAJECTORY_TOKENS_MAX};

/// Families that differ in details of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// No bias, no norm in attention.
    Llama,
    /// Queries, keys and values have a bias.
    Qwen2,
    /// Queries and keys are normalized for each head.
    Qwen3,
}

/// How rotary frequencies are stretched for long contexts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All divided by the factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3: low frequencies divided, high ones kept, smooth in between.
    Llama3 {
        /// The factor of low frequencies.
        factor: f64,
        /// Wavelengths above `original / low` are low frequencies.
        low: f64,
        /// Wavelengths below `original / high` are high frequencies.
        high: f64,
        /// The context length of pre-training.
        original: f64,
    },
}

/// The shape of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Which family.
    pub family: Family,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward layers.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions that the model was made for.
    pub positions_max: usize,
    /// Added to the mean square in norms.
    pub norm_epsilon: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Their stretching.
    pub rope_scaling: RopeScaling,
    /// Whether the output layer is the embedding.
    pub tied: bool,
    /// Whether queries, keys and values have a bias.
    pub attention_bias: bool,
    /// Tokens that end a sequence.
    pub stop_tokens: Vec<u32>,
}

impl ModelConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// The file, its syntax, or a model that this decoder is not.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let file = |source| ModelError::File { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(file)?.len();
        let content = |reason: String| ModelError::Content { path: path.to_owned(), reason };
        if length > CONFIG_BYTES_MAX {
            return Err(content(format!("{length} bytes are too many")));
        }
        let text = std::fs::read_to_string(path).map_err(file)?;
        let value: Value = serde_json::from_str(&text).map_err(|e| content(e.to_string()))?;
        Self::from_json(&value).map_err(content)
    }

    /// Reads the parsed `config.json`, of transformers 4 or 5.
    ///
    /// # Errors
    /// In a sentence, what is missing or not supported.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let family = family(value)?;
        let number = |key: &str| {
            value[key]
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(|| format!("no {key}"))
        };
        let hidden = number("hidden_size")?;
        let heads = number("num_attention_heads")?;
        // Transformers 5 keeps everything about rotation in one table.
        let rope = if value["rope_parameters"].is_object() {
            &value["rope_parameters"]
        } else {
            &value["rope_scaling"]
        };
        let theta = value["rope_theta"].as_f64().or_else(|| rope["rope_theta"].as_f64());
        if value["use_sliding_window"].as_bool() == Some(true) {
            return Err("sliding windows are not supported".into());
        }
        let config = Self {
            family,
            vocabulary: number("vocab_size")?,
            hidden,
            intermediate: number("intermediate_size")?,
            layers: number("num_hidden_layers")?,
            heads,
            kv_heads: number("num_key_value_heads").unwrap_or(heads),
            head_dim: number("head_dim").unwrap_or_else(|_| hidden / heads.max(1)),
            positions_max: number("max_position_embeddings")?,
            norm_epsilon: value["rms_norm_eps"].as_f64().unwrap_or(1e-6),
            rope_theta: theta.unwrap_or(10_000.0),
            rope_scaling: scaling(rope)?,
            tied: value["tie_word_embeddings"].as_bool().unwrap_or(false),
            attention_bias: match family {
                Family::Qwen2 => true,
                Family::Llama | Family::Qwen3 => value["attention_bias"].as_bool().unwrap_or(false),
            },
            stop_tokens: stop_tokens(&value["eos_token_id"]),
        };
        config.check()?;
        Ok(config)
    }

    /// What [`Self::from_json`] reads back.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (kind, architecture) = match self.family {
            Family::Llama => ("llama", "LlamaForCausalLM"),
            Family::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Family::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
        };
        let scaling = match self.rope_scaling {
            RopeScaling::None => Value::Null,
            RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            RopeScaling::Llama3 { factor, low, high, original } => json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low,
                "high_freq_factor": high, "original_max_position_embeddings": original,
            }),
        };
        json!({
            "model_type": kind, "architectures": [architecture], "hidden_act": "silu",
            "vocab_size": self.vocabulary, "hidden_size": self.hidden,
            "intermediate_size": self.intermediate, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim, "max_position_embeddings": self.positions_max,
            "rms_norm_eps": self.norm_epsilon, "rope_theta": self.rope_theta,
            "rope_scaling": scaling, "tie_word_embeddings": self.tied,
            "attention_bias": self.attention_bias, "mlp_bias": false,
            "eos_token_id": self.stop_tokens,
        })
    }

    /// How many numbers the model has.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let bias = if self.attention_bias { queries + 2 * keys } else { 0 };
        let head_norms = if self.family == Family::Qwen3 { 2 * self.head_dim } else { 0 };
        let attention = 2 * self.hidden * (queries + keys) + bias + head_norms;
        let layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden;
        let embeddings = if self.tied { 1 } else { 2 } * self.vocabulary * self.hidden;
        embeddings + self.layers * layer + self.hidden
    }

    /// Whether there is such a model.
    ///
    /// # Errors
    /// In a sentence, which number cannot be.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("vocab_size", self.vocabulary),
            ("hidden_size", self.hidden),
            ("intermediate_size", self.intermediate),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("max_position_embeddings", self.positions_max),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} is 0"));
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            return Err(format!("head_dim {} is not even", self.head_dim));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let (heads, kv_heads) = (self.heads, self.kv_heads);
            return Err(format!("{heads} heads do not divide into {kv_heads}"));
        }
        if self.positions_max > TRAJECTORY_TOKENS_MAX * 16 {
            return Err(format!("{} positions are too many", self.positions_max));
        }
        Ok(())
    }
}

fn family(value: &Value) -> Result<Family, String> {
    if value["hidden_act"].as_str().is_some_and(|act| act != "silu") {
        return Err(format!("activation {} is not supported", value["hidden_act"]));
    }
    if value["mlp_bias"].as_bool() == Some(true) {
        return Err("mlp_bias is not supported".into());
    }
    match value["model_type"].as_str() {
        Some("llama") => Ok(Family::Llama),
        Some("qwen2") => Ok(Family::Qwen2),
        Some("qwen3") => Ok(Family::Qwen3),
        other => Err(format!("model_type {other:?} is none of llama, qwen2, qwen3")),
    }
}

fn scaling(rope: &Value) -> Result<RopeScaling, String> {
    let number =
        |key: &str| rope[key].as_f64().ok_or_else(|| format!("the scaling of rope has no {key}"));
    let kind = rope["rope_type"].as_str().or_else(|| rope["type"].as_str());
    match kind {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear { factor: number("factor")? }),
        Some("llama3") => Ok(RopeScaling::Llama3 {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            original: number("original_max_position_embeddings")?,
        }),
        Some(other) => Err(format!("scaling of rope by {other} is not supported")),
    }
}

fn stop_tokens(value: &Value) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value.as_array() {
        Some(several) => several.iter().filter_map(one).collect(),
        None => one(value).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Value {
        json!({
            "model_type": "qwen3", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
            "head_dim": 4, "max_position_embeddings": 32, "eos_token_id": 3,
        })
    }

    #[test]
    fn a_configuration_survives_being_written() {
        let mut value = tiny();
        value["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8.0,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16.0});
        let config = ModelConfig::from_json(&value).unwrap();
        assert_eq!(ModelConfig::from_json(&config.to_json()), Ok(config));
    }

    #[test]
    fn what_the_decoder_is_not_is_refused_by_name() {
        for (key, wrong, word) in [
            ("model_type", json!("gpt2"), "gpt2"),
            ("hidden_act", json!("gelu"), "gelu"),
            ("num_key_value_heads", json!(3), "divide"),
            ("head_dim", json!(3), "even"),
            ("hidden_size", json!(null), "hidden_size"),
            ("rope_scaling", json!({"rope_type": "yarn", "factor": 2}), "yarn"),
            ("use_sliding_window", json!(true), "sliding"),
        ] {
            let mut value = tiny();
            value[key] = wrong;
            let error = ModelConfig::from_json(&value).unwrap_err();
            assert!(error.contains(word), "{key}: {error}");
        }
    }
}
