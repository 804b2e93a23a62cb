//! The configuration of a run: one TOML file, unknown keys refused, single keys set from the
//! command line. Its hash goes into every checkpoint.

mod check;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::algorithm::advantage::Baseline;
use crate::algorithm::importance::OffPolicy;
use crate::algorithm::reinforce::Negatives;
use crate::algorithm::rest::Keep;
use crate::algorithm::sampling::Strategy;
use crate::limits;
use crate::model::Family;
use crate::model::config::{ModelConfig, RopeScaling};
use crate::model::files::hexadecimal;
use crate::optimizer::{OptimizerConfig, Reset};
use crate::task::TaskConfig;

/// Everything about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Part of the key of every random number.
    pub seed: u64,
    /// Iterations of reinforcement learning.
    pub iterations: u64,
    /// What is learnt.
    pub task: TaskConfig,
    /// Who learns.
    pub model: ModelChoice,
    /// Supervised learning before.
    #[serde(default)]
    pub warm_start: WarmStartConfig,
    /// Sampling.
    #[serde(default)]
    pub rollout: RolloutConfig,
    /// Learning from rewards.
    #[serde(default)]
    pub algorithm: AlgorithmConfig,
    /// The optimizer of reinforcement learning.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Which problems are sampled.
    #[serde(default = "uniform")]
    pub problems: Strategy,
    /// The judge.
    #[serde(default)]
    pub judge: JudgeConfig,
    /// Evaluation on held-out problems.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// Checkpoints.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// Data-parallel ranks, where there are any.
    #[serde(default)]
    pub ranks: RanksConfig,
}

/// A model from files, or a new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from", deny_unknown_fields)]
pub enum ModelChoice {
    /// A checkpoint in Hugging Face layout.
    Checkpoint {
        /// Its folder.
        path: PathBuf,
        /// Bits of its weights.
        #[serde(default)]
        precision: Precision,
    },
    /// A new model with the task's own vocabulary.
    New {
        /// Which family.
        family: Family,
        /// Width.
        hidden: usize,
        /// Width of the feed-forward layers.
        intermediate: usize,
        /// Layers.
        layers: usize,
        /// Heads of queries.
        heads: usize,
        /// Heads of keys and values.
        kv_heads: usize,
        /// Bits of its weights.
        #[serde(default)]
        precision: Precision,
    },
}

/// Bits of the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 64.
    Double,
    /// 32.
    #[default]
    Single,
    /// 16, with 32 in the optimizer.
    Bfloat16,
}

/// Supervised learning on what the task's author writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmStartConfig {
    /// Train steps; 0 means none.
    pub steps: u64,
    /// Answers in a step.
    pub batch: usize,
    /// Step size.
    pub learning_rate: f64,
}

/// Sampling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// New groups in an iteration.
    pub groups: usize,
    /// Rollouts in a group: k.
    pub samples: usize,
    /// Divides the logits.
    pub temperature: f64,
    /// Only the likeliest tokens that together have this probability are drawn.
    pub top_p: f64,
    /// The longest completion.
    pub tokens_max: usize,
    /// Tokens of one trajectory in one iteration; more are sampled by the next version. 0: no limit.
    pub tokens_per_iteration: usize,
    /// Sequences decoded at once.
    pub slots: usize,
    /// In how many tables an iteration's sequences are sampled, each by one sampler as a whole: then the
    /// bytes of a run do not depend on who samples. 0: as many as there are samplers at the time.
    pub tables: usize,
    /// Train steps by which sampling may be behind training: eta. 0 is the synchronous run.
    pub staleness: u64,
    /// Versions that one group may span beyond that before it is dropped.
    pub span_max: u64,
    /// How trajectories of several versions train.
    pub off_policy: OffPolicy,
    /// The largest weight in mode `recompute`.
    pub truncation: f64,
    /// Whether sequences that repeat themselves are stopped.
    pub stop_repetition: bool,
    /// How long a sampler elsewhere may be silent before its part is dealt out again.
    pub lease_ms: usize,
}

/// Learning from rewards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlgorithmConfig {
    /// Which one.
    pub name: AlgorithmName,
    /// Pull towards the reference.
    pub tau: f64,
    /// What is subtracted from rewards.
    pub baseline: Baseline,
    /// Train steps in an iteration; the groups are dealt out to them.
    pub steps: usize,
    /// Passes over the groups of an iteration.
    pub epochs: usize,
    /// Bound of the log-ratio in gradient weights.
    pub log_ratio_clip: f64,
    /// Log-ratio beyond which a sequence does not train.
    pub log_ratio_max: f64,
    /// Divides each sequence by the mean length of the step's sequences: another objective.
    pub norm: Norm,
    /// Weight of the length reward.
    pub length_weight: f64,
    /// Iteration at which it starts.
    pub length_start: u64,
    /// Iterations over which it grows.
    pub length_ramp: u64,
    /// Subtracted from the reward of what repeats itself or ran out of tokens.
    pub format_penalty: f64,
    /// Decay of rewards with the distance to the end, for REINFORCE.
    pub gamma: f64,
    /// Which negatives train, for REINFORCE.
    pub negatives: Negatives,
    /// Reward that is good enough, for ReST.
    pub threshold: f64,
    /// Which good ones train, for ReST.
    pub keep: Keep,
}

/// Algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlgorithmName {
    /// Online policy mirror descent.
    Opmd,
    /// Reinforced self-training.
    Rest,
    /// REINFORCE; strictly on-policy.
    Reinforce,
}

/// What a sequence's log-probability is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Nothing: the report's objective.
    Sequence,
    /// The mean length of the step's sequences.
    TokenMean,
}

/// The judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeConfig {
    /// Where it listens.
    pub url: String,
    /// How long a group may take, retries included, before its rewards are invalid.
    pub deadline_ms: u64,
    /// Requests open at once.
    pub requests: usize,
}

/// Evaluation on held-out problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Every how many iterations; 0 means only before and after.
    pub every: u64,
    /// How many held-out problems at most.
    pub problems: usize,
    /// Success at which the run ends early; above 1 means never.
    pub stop_at: f64,
}

/// Checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Every how many iterations; 0 means only at the end.
    pub every: u64,
    /// How many are kept.
    pub keep: usize,
}

/// Data-parallel ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RanksConfig {
    /// How long one may be silent while rank 0 waits for its gradients; then the run ends.
    pub silence_ms: usize,
}

impl RanksConfig {
    /// The same as a duration.
    #[must_use]
    pub fn silence(&self) -> Duration {
        milliseconds(self.silence_ms)
    }
}

impl Default for WarmStartConfig {
    fn default() -> Self {
        Self { steps: 0, batch: 64, learning_rate: 1e-3 }
    }
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self {
            groups: 16,
            samples: 8,
            temperature: 1.0,
            top_p: 1.0,
            tokens_max: 64,
            tokens_per_iteration: 0,
            slots: 256,
            tables: 0,
            staleness: 1,
            span_max: 8,
            off_policy: OffPolicy::Composite,
            truncation: 2.0,
            stop_repetition: true,
            lease_ms: 60_000,
        }
    }
}

impl Default for AlgorithmConfig {
    fn default() -> Self {
        Self {
            name: AlgorithmName::Opmd,
            tau: 0.1,
            baseline: Baseline::Mean,
            steps: 4,
            epochs: 1,
            log_ratio_clip: 10.0,
            log_ratio_max: 50.0,
            norm: Norm::Sequence,
            length_weight: 0.0,
            length_start: 0,
            length_ramp: 0,
            format_penalty: 0.0,
            gamma: 1.0,
            negatives: Negatives::All,
            threshold: 1.0,
            keep: Keep::Positives,
        }
    }
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:8080".to_owned(), deadline_ms: 60_000, requests: 16 }
    }
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { every: 10, problems: 128, stop_at: 2.0 }
    }
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 10, keep: 2 }
    }
}

impl Default for RanksConfig {
    fn default() -> Self {
        Self { silence_ms: 600_000 }
    }
}

fn uniform() -> Strategy {
    Strategy::Uniform
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("failed to read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no configuration.
    #[error("{path}: {reason}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What and where.
        reason: String,
    },
    /// A setting from the command line is not `key=value`.
    #[error("--set {0}: not of the form key.key=value")]
    Set(String),
    /// A value makes no sense.
    #[error("{key}: {reason}")]
    Value {
        /// Which.
        key: &'static str,
        /// Why.
        reason: String,
    },
}

impl RunConfig {
    /// Reads a file, then `key.key=value` settings over it.
    ///
    /// # Errors
    /// The file, its syntax, a key that is not known, or a value that makes no sense.
    pub fn read(path: &Path, settings: &[String]) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let parse = |reason: String| ConfigError::Parse { path: path.to_owned(), reason };
        let length = std::fs::metadata(path).map_err(read)?.len();
        if length > limits::CONFIG_BYTES_MAX {
            return Err(parse(format!("{length} bytes are too many")));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        if settings.is_empty() {
            // Parsed from the text itself, so that errors name the line.
            let config: Self = toml::from_str(&text).map_err(|e| parse(e.to_string()))?;
            return config.checked();
        }
        let mut table: toml::Table = toml::from_str(&text).map_err(|e| parse(e.to_string()))?;
        for setting in settings {
            set(&mut table, setting)?;
        }
        let config: Self = table.try_into().map_err(|e: toml::de::Error| parse(e.to_string()))?;
        config.checked()
    }

    /// The configuration with every default filled in, as TOML.
    #[must_use]
    pub fn resolved(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// SHA-256 of all that decides what is learnt: everything but how long, and where the judge is.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut same = self.clone();
        same.iterations = 0;
        same.judge = JudgeConfig::default();
        same.checkpoint = CheckpointConfig::default();
        same.rollout.lease_ms = RolloutConfig::default().lease_ms;
        same.ranks = RanksConfig::default();
        hexadecimal(&Sha256::digest(same.resolved().as_bytes()))
    }

    fn checked(self) -> Result<Self, ConfigError> {
        check::check(&self)?;
        Ok(self)
    }

    /// The shape of a new model for a vocabulary; absent where the model comes from files.
    #[must_use]
    pub fn new_model(&self, vocabulary: usize, prompt_max: usize) -> Option<ModelConfig> {
        let ModelChoice::New { family, hidden, intermediate, layers, heads, kv_heads, .. } =
            self.model
        else {
            return None;
        };
        let positions = (prompt_max + self.rollout.tokens_max).next_multiple_of(64);
        Some(ModelConfig {
            family,
            vocabulary,
            hidden,
            intermediate,
            layers,
            heads,
            kv_heads,
            head_dim: hidden / heads.max(1),
            positions_max: positions,
            norm_epsilon: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            tied: true,
            attention_bias: family == Family::Qwen2,
            stop_tokens: vec![1],
        })
    }

    /// The optimizer of the warm start.
    #[must_use]
    pub fn warm_start_optimizer(&self) -> OptimizerConfig {
        OptimizerConfig {
            learning_rate: self.warm_start.learning_rate,
            reset: Reset::Never,
            ..self.optimizer
        }
    }
}

impl RolloutConfig {
    /// How long a sampler elsewhere may be silent.
    #[must_use]
    pub fn lease(&self) -> Duration {
        milliseconds(self.lease_ms)
    }
}

fn milliseconds(count: usize) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(u64::MAX))
}

impl ModelChoice {
    /// Bits of its weights.
    #[must_use]
    pub fn kind(&self) -> tch::Kind {
        let (Self::Checkpoint { precision, .. } | Self::New { precision, .. }) = self;
        match precision {
            Precision::Double => tch::Kind::Double,
            Precision::Single => tch::Kind::Float,
            Precision::Bfloat16 => tch::Kind::BFloat16,
        }
    }
}

fn set(table: &mut toml::Table, setting: &str) -> Result<(), ConfigError> {
    let wrong = || ConfigError::Set(setting.to_owned());
    let (path, value) = setting.split_once('=').ok_or_else(wrong)?;
    // What is no TOML value is a string, so that paths need no quotes.
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut keys: Vec<&str> = path.split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(wrong)?;
    let mut place = table;
    for key in keys {
        let empty = || toml::Value::Table(toml::Table::new());
        let next = place.entry(key).or_insert_with(empty);
        place = next.as_table_mut().ok_or_else(wrong)?;
    }
    place.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#"
        seed = 1
        iterations = 2
        task = { name = "python_expr", author_right = 0.5 }
        model = { from = "new", family = "llama", hidden = 16, intermediate = 32, layers = 1, heads = 2, kv_heads = 1 }
    "#;

    fn read(text: &str, settings: &[&str]) -> Result<RunConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        RunConfig::read(&path, &settings).map_err(|error| error.to_string())
    }

    #[test]
    fn the_resolved_configuration_reads_back_as_itself() {
        let config = read(SMALLEST, &[]).unwrap();
        assert_eq!(read(&config.resolved(), &[]).unwrap(), config);
    }

    #[test]
    fn settings_go_over_the_file_and_change_the_hash_where_they_matter() {
        let plain = read(SMALLEST, &[]).unwrap();
        let set = read(SMALLEST, &["algorithm.tau=0.5", "judge.url=http://h:1"]).unwrap();
        assert_eq!((set.algorithm.tau, set.judge.url.as_str()), (0.5, "http://h:1"));
        assert_ne!(set.hash(), plain.hash());
        assert_eq!(read(SMALLEST, &["iterations=9"]).unwrap().hash(), plain.hash());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (setting, word) in [
            ("rollout.grups=3", "grups"),
            ("rollout.samples=1", "rollout.samples"),
            ("algorithm.tau=0", "algorithm.tau"),
            ("algorithm.tau=nan", "algorithm.tau"),
            ("optimizer.beta2=1", "optimizer.beta2"),
            ("task.author_right=1.5", "task.author_right"),
            ("model.heads=0", "model.heads"),
            ("model.kv_heads=3", "model.kv_heads"),
            ("model.heads=3", "head_dim"),
            ("judge.deadline_ms=0", "judge.deadline_ms"),
            ("warm_start.batch=0", "warm_start.batch"),
            ("iterations=-1", "iterations"),
            ("problems={strategy=\"prioritized\",floor=-1}", "problems.floor"),
            ("algorithm.name=reinforce", "on-policy"),
            ("algorithm.name=ppo", "ppo"),
            ("nonsense", "key.key=value"),
        ] {
            let error = read(SMALLEST, &[setting]).unwrap_err();
            assert!(error.contains(word), "{setting}: {error}");
        }
    }
}
