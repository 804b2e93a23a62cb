//! What an operator says about reward models: `[[judge]]` and `[[value_head]]` of the
//! configuration. Unknown keys are refused; relations between values are checked once.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use protocol::VoteMode;
use serde::Deserialize;

use crate::limits;

/// A chain-of-thought judge behind an OpenAI-compatible chat endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeConfig {
    /// Its name in requests, metrics and logs.
    pub name: String,
    /// Where the interface begins, such as `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// The environment variable that holds the key, where one is needed.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// How a verdict is held to its form.
    #[serde(default)]
    pub structured: Structured,
    /// Whether to ask for log probabilities, which make the score soft.
    #[serde(default)]
    pub logprobs: bool,
    /// How often it is asked at most for one verdict. Default 1.
    #[serde(default = "default_votes")]
    pub votes: u32,
    /// How votes make a verdict. Default `all`.
    #[serde(default = "default_mode")]
    pub mode: VoteMode,
    /// Temperature of sampling. Default 0.
    #[serde(default)]
    pub temperature: f64,
    /// Tokens of a reply. Default 2048.
    #[serde(default = "default_reply_tokens")]
    pub reply_tokens_max: u32,
    /// Characters of an answer; longer ones are wrong without being shown. Default 512, and 4000
    /// for free-form answers.
    #[serde(default = "default_answer_chars")]
    pub answer_chars_max: usize,
    /// The same for free-form answers.
    #[serde(default = "default_free_form_chars")]
    pub free_form_chars_max: usize,
    /// How it is called.
    #[serde(default)]
    pub calls: CallConfig,
    /// Verdicts that are kept. Default 65536; 0 keeps none.
    #[serde(default = "default_cache")]
    pub cache_entries_max: usize,
    /// What it costs.
    #[serde(default)]
    pub price: PriceConfig,
    /// Known answers that it is tried on.
    #[serde(default)]
    pub canaries: CanaryConfig,
    /// A file to which every reply is appended, so that a run can be scored again.
    #[serde(default)]
    pub replay_log: Option<PathBuf>,
}

/// How a verdict is held to its form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Structured {
    /// By a JSON schema, until the server says that it does not know it.
    #[default]
    Auto,
    /// By a JSON schema.
    JsonSchema,
    /// By the prompt alone.
    None,
}

/// How a server is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallConfig {
    /// Calls at the same time. Default 32.
    pub concurrency: NonZeroUsize,
    /// Calls that wait for their turn; more are refused. Default 1024.
    pub waiting_max: usize,
    /// Requests a second; 0 for any number. Default 0.
    pub requests_per_second: f64,
    /// Tokens a second, prompts and replies together; 0 for any number. Default 0.
    pub tokens_per_second: f64,
    /// How long one try may take. Default 60000.
    pub try_timeout_ms: u64,
    /// How long a verdict may take, with all tries, votes and waits. Default 180000.
    pub deadline_ms: u64,
    /// Tries of one call. Default 4.
    pub tries_max: u32,
    /// The longest pause before the second try; it doubles with each. Default 250.
    pub backoff_ms: u64,
    /// The longest pause at all. Default 8000.
    pub backoff_max_ms: u64,
    /// Whether a call that takes longer than most is sent a second time. Default false.
    pub hedge: bool,
    /// Failures in a row that open the breaker. Default 8.
    pub breaker_failures: u32,
    /// How long it stays open before a call is tried again. Default 15000.
    pub breaker_open_ms: u64,
}

/// What a judge costs, in any currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriceConfig {
    /// A million tokens of prompts.
    pub prompt_million: f64,
    /// A million tokens of replies.
    pub completion_million: f64,
}

/// Known answers that a judge is tried on.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryConfig {
    /// How often, in seconds; 0 for never. Default 3600.
    pub interval_s: u64,
    /// The share of wrong answers that it may take for right. Default 0.05.
    pub false_positive_rate_max: f64,
    /// The share of right answers that it may take for wrong. Default 0.25.
    pub false_negative_rate_max: f64,
}

/// A classic reward model: a number for a question and an answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueHeadConfig {
    /// Its name in requests, metrics and logs.
    pub name: String,
    /// Where it answers, path included, such as `http://127.0.0.1:8001/classify`.
    pub url: String,
    /// The model's name there, where the server wants one.
    #[serde(default)]
    pub model: Option<String>,
    /// The environment variable that holds the key, where one is needed.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// What requests and replies look like.
    pub shape: ValueHeadShape,
    /// A file that `assay calibrate` wrote; without it the score is the logistic function of what
    /// the server says.
    #[serde(default)]
    pub calibration: Option<PathBuf>,
    /// The calibrated score from which an answer counts as right, in reports. Default 0.5.
    #[serde(default = "default_threshold")]
    pub threshold: f64,
    /// How question and answer are joined: `{question}`, `{reference}` and `{response}` stand for
    /// them.
    #[serde(default = "default_prompt")]
    pub prompt: String,
    /// How it is called.
    #[serde(default)]
    pub calls: CallConfig,
}

/// What requests to a value head and its replies look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueHeadShape {
    /// vLLM `/classify` with `use_activation: false`: `data[0].probs`.
    VllmClassify,
    /// SGLang `/v1/embeddings`: the last number of `data[0].embedding`.
    SglangEmbeddings,
    /// SGLang `/classify`: the last number of `[0].embedding`.
    SglangClassify,
    /// OpenRLHF `/get_reward`: `rewards[0]`.
    Openrlhf,
}

/// What is wrong with the configuration of a reward model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct RewardModelConfigError {
    /// Which.
    pub name: String,
    /// What.
    pub reason: String,
}

fn default_votes() -> u32 {
    1
}

fn default_mode() -> VoteMode {
    VoteMode::All
}

fn default_reply_tokens() -> u32 {
    2048
}

fn default_answer_chars() -> usize {
    512
}

fn default_free_form_chars() -> usize {
    4000
}

fn default_cache() -> usize {
    65_536
}

fn default_threshold() -> f64 {
    0.5
}

fn default_prompt() -> String {
    "Question:\n{question}\n\nReference answer:\n{reference}\n\nResponse:\n{response}".to_owned()
}

impl Default for CallConfig {
    fn default() -> Self {
        Self {
            concurrency: NonZeroUsize::new(32).unwrap_or(NonZeroUsize::MIN),
            waiting_max: 1024,
            requests_per_second: 0.0,
            tokens_per_second: 0.0,
            try_timeout_ms: 60_000,
            deadline_ms: 180_000,
            tries_max: 4,
            backoff_ms: 250,
            backoff_max_ms: 8_000,
            hedge: false,
            breaker_failures: 8,
            breaker_open_ms: 15_000,
        }
    }
}

impl Default for CanaryConfig {
    fn default() -> Self {
        Self { interval_s: 3600, false_positive_rate_max: 0.05, false_negative_rate_max: 0.25 }
    }
}

impl JudgeConfig {
    /// Checks what a type cannot.
    ///
    /// # Errors
    /// A value out of its bounds.
    pub fn check(&self) -> Result<(), RewardModelConfigError> {
        let wrong = |reason: &str| Err(self.wrong(reason));
        check_name(&self.name)?;
        check_url(&self.name, &self.url)?;
        self.calls.check(&self.name)?;
        if !(1..=limits::VOTES_MAX).contains(&self.votes) {
            return wrong(&format!("votes must be 1 to {}", limits::VOTES_MAX));
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            return wrong("temperature must be 0 to 2");
        }
        if self.reply_tokens_max == 0 || self.reply_tokens_max > limits::REPLY_TOKENS_MAX {
            return wrong("reply_tokens_max is out of bounds");
        }
        let chars = self.answer_chars_max.max(self.free_form_chars_max);
        if self.answer_chars_max == 0
            || self.free_form_chars_max == 0
            || chars > limits::JUDGED_CHARS_MAX
        {
            return wrong("answer_chars_max or free_form_chars_max is out of bounds");
        }
        if self.cache_entries_max > limits::JUDGE_CACHE_ENTRIES_MAX {
            return wrong("cache_entries_max is out of bounds");
        }
        let price = [self.price.prompt_million, self.price.completion_million];
        if !price.iter().all(|price| price.is_finite() && *price >= 0.0) {
            return wrong("prices must be finite and not negative");
        }
        let rates = [self.canaries.false_positive_rate_max, self.canaries.false_negative_rate_max];
        if !rates.iter().all(|rate| (0.0..=1.0).contains(rate)) {
            return wrong("canary rates must be 0 to 1");
        }
        Ok(())
    }

    fn wrong(&self, reason: &str) -> RewardModelConfigError {
        RewardModelConfigError { name: self.name.clone(), reason: reason.to_owned() }
    }
}

impl ValueHeadConfig {
    /// Checks what a type cannot.
    ///
    /// # Errors
    /// A value out of its bounds.
    pub fn check(&self) -> Result<(), RewardModelConfigError> {
        check_name(&self.name)?;
        check_url(&self.name, &self.url)?;
        self.calls.check(&self.name)?;
        let wrong = |reason: &str| {
            Err(RewardModelConfigError { name: self.name.clone(), reason: reason.to_owned() })
        };
        if !(0.0..=1.0).contains(&self.threshold) {
            return wrong("threshold must be 0 to 1");
        }
        if !self.prompt.contains("{response}") {
            return wrong("prompt has no {response}");
        }
        Ok(())
    }
}

impl CallConfig {
    fn check(&self, name: &str) -> Result<(), RewardModelConfigError> {
        let wrong = |reason: &str| {
            Err(RewardModelConfigError { name: name.to_owned(), reason: reason.to_owned() })
        };
        let rates = [self.requests_per_second, self.tokens_per_second];
        if !rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0) {
            return wrong("rates must be finite and not negative");
        }
        if !(1..=limits::JUDGE_TRIES_MAX).contains(&self.tries_max) {
            return wrong(&format!("tries_max must be 1 to {}", limits::JUDGE_TRIES_MAX));
        }
        if self.try_timeout_ms == 0 || self.deadline_ms < self.try_timeout_ms {
            return wrong("deadline_ms must be at least try_timeout_ms, which is at least 1");
        }
        if self.deadline_ms > limits::JUDGE_DEADLINE_MS_MAX {
            return wrong("deadline_ms is above an hour");
        }
        if self.concurrency.get() > limits::JUDGE_CONCURRENCY_MAX {
            return wrong("concurrency is out of bounds");
        }
        if self.breaker_failures == 0 || self.backoff_ms > self.backoff_max_ms {
            return wrong("breaker_failures must be at least 1, backoff_ms at most backoff_max_ms");
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), RewardModelConfigError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        let reason = "a name is made of up to 64 letters, digits, `-`, `_` and `.`".to_owned();
        return Err(RewardModelConfigError { name: name.chars().take(64).collect(), reason });
    }
    Ok(())
}

fn check_url(name: &str, url: &str) -> Result<(), RewardModelConfigError> {
    let parsed: Result<axum::http::Uri, _> = url.parse();
    let known = parsed.is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.authority().is_some()
    });
    if known {
        return Ok(());
    }
    let reason = format!("url {url:?} is no http or https address");
    Err(RewardModelConfigError { name: name.to_owned(), reason })
}
