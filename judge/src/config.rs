//! The configuration: one TOML file, every key optional, unknown keys refused with name and line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Limits as WireLimits;
use sandbox::Limits;
use serde::Deserialize;

use crate::limits;
use crate::pipeline::CacheBytes;
use crate::reward_model::config::{JudgeConfig, RewardModelConfigError, ValueHeadConfig};
use crate::submission::{self, SubmissionError};

/// What an operator can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen. Default `127.0.0.1:8080`: reachable from this machine only.
    pub listen: SocketAddr,
    /// How many programs run at the same time. Default: the number of processors.
    pub slots: NonZeroUsize,
    /// Under which control group the slots' groups are made. Default: the service's own.
    pub cgroup_parent: Option<PathBuf>,
    /// Where the locks of slots in use are kept. Default `/run/assay` for root, else a folder of the
    /// user's own.
    pub state_dir: Option<PathBuf>,
    /// Where images are kept. Default `/var/lib/assay` for root, else `~/.local/share/assay`.
    pub image_store: Option<PathBuf>,
    /// What is admitted.
    pub admission: AdmissionConfig,
    /// How long things may take.
    pub timeouts: TimeoutConfig,
    /// The largest limits that a submission may ask for.
    pub limits_max: WireLimits,
    /// What is remembered.
    pub cache: CacheConfig,
    /// A copy of `testlib.h`, which checkers and interactors in C++ may include. Default: none.
    pub testlib: Option<PathBuf>,
    /// The log.
    pub log: LogConfig,
    /// Chain-of-thought judges; the first is the default. Default none.
    pub judge: Vec<JudgeConfig>,
    /// Value heads; the first is the default. Default none.
    pub value_head: Vec<ValueHeadConfig>,
}

/// Bytes of what is remembered; 0 remembers nothing.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Verdicts of submissions that can only be judged the same again. Default 64 MiB.
    pub verdicts_bytes_max: usize,
    /// Compiled programs. Default 256 MiB.
    pub artifacts_bytes_max: usize,
    /// Generated inputs and answers. Default 128 MiB.
    pub generated_bytes_max: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            verdicts_bytes_max: limits::VERDICTS_BYTES_MAX,
            artifacts_bytes_max: limits::ARTIFACTS_BYTES_MAX,
            generated_bytes_max: limits::GENERATED_BYTES_MAX,
        }
    }
}

/// What is admitted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionConfig {
    /// Submissions admitted and not yet answered. Default 16384.
    pub queue_submissions_max: NonZeroUsize,
    /// Submissions in one request. Default 4096.
    pub batch_submissions_max: NonZeroUsize,
    /// Bytes of one request body. Default 64 MiB.
    pub body_bytes_max: NonZeroUsize,
    /// Bytes of all request bodies held at once. Default 512 MiB.
    pub bodies_bytes_max: NonZeroUsize,
    /// Connections open at once. Default 1024.
    pub connections_max: NonZeroUsize,
}

/// How long things may take, in milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutConfig {
    /// Reading a request's head. Default 10000.
    pub header_read_ms: u64,
    /// Reading a request's body. Default 60000.
    pub body_read_ms: u64,
    /// Finishing what was admitted when the service is asked to stop. Default 30000.
    pub drain_ms: u64,
}

/// The log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` or `json`. Default `text`.
    pub format: LogFormat,
    /// What is logged, as `level` or `module=level`. Default `info`.
    pub filter: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
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
    #[error("{path}: {source}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: toml::de::Error,
    },
    /// A limit that no program can have.
    #[error("{path}: limits_max: {source}", path = path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// Which.
        source: SubmissionError,
    },
    /// A reward model that cannot be.
    #[error("{path}: {source}", path = path.display())]
    RewardModel {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        source: RewardModelConfigError,
    },
    /// Two keys contradict each other.
    #[error("{path}: {reason}", path = path.display())]
    Relation {
        /// The file.
        path: PathBuf,
        /// Which.
        reason: &'static str,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            slots: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            cgroup_parent: None,
            state_dir: None,
            image_store: None,
            admission: AdmissionConfig::default(),
            timeouts: TimeoutConfig::default(),
            limits_max: WireLimits::default(),
            cache: CacheConfig::default(),
            testlib: None,
            log: LogConfig::default(),
            judge: Vec::new(),
            value_head: Vec::new(),
        }
    }
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        let count = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            queue_submissions_max: count(limits::QUEUE_SUBMISSIONS_MAX),
            batch_submissions_max: count(limits::BATCH_SUBMISSIONS_MAX),
            body_bytes_max: count(limits::BODY_BYTES_MAX),
            bodies_bytes_max: count(limits::BODIES_BYTES_MAX),
            connections_max: count(limits::CONNECTIONS_MAX),
        }
    }
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        let milliseconds =
            |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            header_read_ms: milliseconds(limits::HEADER_READ_TIME_MAX),
            body_read_ms: milliseconds(limits::BODY_READ_TIME_MAX),
            drain_ms: milliseconds(limits::DRAIN_TIME_MAX),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

impl Config {
    /// What each cache may hold.
    #[must_use]
    pub fn cache_bytes(&self) -> CacheBytes {
        CacheBytes {
            verdicts: self.cache.verdicts_bytes_max,
            artifacts: self.cache.artifacts_bytes_max,
            generated: self.cache.generated_bytes_max,
        }
    }

    /// Reads the copy of `testlib.h`, where there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_testlib(&self) -> Result<Option<bytes::Bytes>, ConfigError> {
        use std::io::Read as _;
        let Some(path) = &self.testlib else { return Ok(None) };
        let read = |source| ConfigError::Read { path: path.clone(), source };
        let mut content = Vec::new();
        let file = std::fs::File::open(path).map_err(read)?;
        file.take(limits::CONFIG_BYTES_MAX).read_to_end(&mut content).map_err(read)?;
        Ok(Some(content.into()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, has a key that is not known, or a value that makes no sense.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        use std::io::Read as _;
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        std::fs::File::open(path)
            .map_err(read)?
            .take(limits::CONFIG_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(read)?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let path = || path.to_owned();
        let config: Self =
            toml::from_str(text).map_err(|source| ConfigError::Parse { path: path(), source })?;
        submission::check_limits(&config.limits_max, &sandbox::limits::LIMITS_MAX)
            .map_err(|source| ConfigError::Limit { path: path(), source })?;
        let admission = &config.admission;
        if admission.body_bytes_max > admission.bodies_bytes_max {
            let reason = "admission.body_bytes_max is above admission.bodies_bytes_max";
            return Err(ConfigError::Relation { path: path(), reason });
        }
        if admission.batch_submissions_max > admission.queue_submissions_max {
            let reason = "admission.batch_submissions_max is above admission.queue_submissions_max";
            return Err(ConfigError::Relation { path: path(), reason });
        }
        config
            .check_reward_models()
            .map_err(|source| ConfigError::RewardModel { path: path(), source })?;
        Ok(config)
    }

    fn check_reward_models(&self) -> Result<(), RewardModelConfigError> {
        self.judge.iter().try_for_each(JudgeConfig::check)?;
        self.value_head.iter().try_for_each(ValueHeadConfig::check)?;
        let judges = self.judge.iter().map(|judge| &judge.name);
        let names: Vec<&String> = judges.chain(self.value_head.iter().map(|h| &h.name)).collect();
        let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
        let wrong = |name: &str, reason: &str| {
            let (name, reason) = (name.to_owned(), reason.to_owned());
            Err(RewardModelConfigError { name, reason })
        };
        if let Some((_, name)) = twice {
            return wrong(name, "the name is there twice");
        }
        if names.len() > limits::REWARD_MODELS_MAX {
            return wrong("judge, value_head", "there are too many");
        }
        Ok(())
    }

    /// The largest limits that a submission may ask for.
    #[must_use]
    pub fn program_limits_max(&self) -> Limits {
        submission::apply(&limits::PROGRAM_LIMITS_MAX, &self.limits_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("assay.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = parse("").unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.program_limits_max(), limits::PROGRAM_LIMITS_MAX);
    }

    #[test]
    fn an_unknown_key_is_refused_with_name_and_line() {
        let error = parse("slots = 1\nslot = 2\n").unwrap_err();
        assert!(error.contains("slot") && error.contains("line 2"), "{error}");
        let error = parse("[admission]\nqueue = 1\n").unwrap_err();
        assert!(error.contains("queue") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for text in [
            "slots = 0",
            "listen = \"nowhere\"",
            "log.format = \"xml\"",
            "limits_max.pids = 0",
            "admission.body_bytes_max = 10000000000",
            "admission.batch_submissions_max = 20000",
            "[[judge]]\nname = \"a\"\nurl = \"nowhere\"\nmodel = \"m\"",
            "[[judge]]\nname = \"a b\"\nurl = \"http://x/v1\"\nmodel = \"m\"",
            "[[judge]]\nname = \"a\"\nurl = \"http://x/v1\"\nmodel = \"m\"\nvotes = 0",
            "[[judge]]\nname = \"a\"\nurl = \"http://x/v1\"\nmodel = \"m\"\ntemprature = 0.1",
            "[[judge]]\nname = \"a\"\nurl = \"http://x/v1\"\nmodel = \"m\"\ncalls.tries_max = 0",
            "[[value_head]]\nname = \"a\"\nurl = \"http://x\"\nshape = \"tgi\"",
            "[[value_head]]\nname = \"a\"\nurl = \"http://x\"\nshape = \"openrlhf\"\nprompt = \"x\"",
        ] {
            assert!(parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn reward_models_have_names_of_their_own() {
        let judge = "[[judge]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\n";
        assert_eq!(parse(judge).unwrap().judge[0].votes, 1);
        assert!(parse(&judge.repeat(2)).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_limit_can_be_lowered_and_raised() {
        let config = parse("limits_max.memory_bytes = 8589934592").unwrap();
        assert_eq!(config.program_limits_max().memory.0, 8 << 30);
    }
}
