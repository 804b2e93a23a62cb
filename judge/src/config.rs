//! The configuration: one TOML file, every key optional, unknown keys refused with name and line;
//! then the environment, see [`environment`].
//!
//! [`DEFAULT`] is the whole of it with its defaults and what they mean.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::{Limits as WireLimits, Priority};
use sandbox::Limits;
use serde::Deserialize;

use crate::api::compat::CompatConfig;
use crate::batches::Bounds;
use crate::limits;
use crate::pipeline::CacheBytes;
use crate::reward_model::config::{JudgeConfig, RewardModelConfigError, ValueHeadConfig};
use crate::submission::{self, SubmissionError};
use crate::tenants::{KeyDigest, SessionShare, Tenants, Whole};

pub mod environment;

/// The whole configuration with its defaults, and what each key means.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// What an operator can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen. Default `127.0.0.1:8080`: reachable from this machine only.
    pub listen: SocketAddr,
    /// How many programs run at the same time. Default: the number of processors.
    pub slots: NonZeroUsize,
    /// Whether WebAssembly modules alone are run: for hosts that allow no namespaces. Default false.
    pub wasm_only: bool,
    /// Whether interpreters wait loaded in the slots, those of sessions among them; else every run starts
    /// cold. Each slot has one for each way of starting them that was used there, and each holds the memory of
    /// what it has loaded, beside what runs and sessions may use. Default true.
    pub warm_starts: bool,
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
    /// Sessions.
    pub sessions: SessionsConfig,
    /// What is remembered.
    pub cache: CacheConfig,
    /// A copy of `testlib.h`, which checkers and interactors in C++ may include. Default: none.
    pub testlib: Option<PathBuf>,
    /// A folder with repositories, which problems name as their base. Default: none.
    pub repositories: Option<PathBuf>,
    /// The log.
    pub log: LogConfig,
    /// TLS. Default none: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Work that outlives its connection.
    pub batches: BatchesConfig,
    /// Who may use the service. Default none: whoever can connect.
    pub tenant: Vec<TenantConfig>,
    /// Chain-of-thought judges; the first is the default. Default none.
    pub judge: Vec<JudgeConfig>,
    /// Value heads; the first is the default. Default none.
    pub value_head: Vec<ValueHeadConfig>,
    /// Interfaces of other services. Default: all of them.
    pub compat: CompatConfig,
}

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and those between it and a root, as PEM.
    pub cert: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// Work that outlives its connection.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchesConfig {
    /// Batches that run or are kept. Default 1024.
    pub count_max: NonZeroUsize,
    /// Bytes of their results, before outputs are left out. Default 256 MiB.
    pub bytes_max: usize,
    /// How long one is kept after its end. Default 600000.
    pub keep_ms: u64,
}

impl Default for BatchesConfig {
    fn default() -> Self {
        Self {
            count_max: NonZeroUsize::new(limits::BATCHES_MAX).unwrap_or(NonZeroUsize::MIN),
            bytes_max: limits::BATCHES_BYTES_MAX,
            keep_ms: u64::try_from(limits::BATCH_KEEP_TIME_MAX.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Who may use the service, and what of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// Its name in logs and metrics.
    pub name: String,
    /// The digests of its keys; `assay key new` makes one.
    pub keys: Vec<KeyDigest>,
    /// Its share of the slots beside others. Default 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// Slots that it may use at once. Default all.
    #[serde(default)]
    pub slots_max: Option<NonZeroUsize>,
    /// Submissions admitted and not yet answered; who was told to come back gets in beyond it, up to as
    /// many again. Default half of the whole queue, or all of it for the only tenant.
    #[serde(default)]
    pub queue_submissions_max: Option<NonZeroUsize>,
    /// Sessions open at once. Default half of them, or all of them for the only tenant.
    #[serde(default)]
    pub sessions_max: Option<usize>,
    /// Submissions in a second; 0 for any. Default 0.
    #[serde(default)]
    pub submissions_per_second: f64,
    /// Submissions at once after a pause. Default what a second allows.
    #[serde(default)]
    pub burst: Option<u32>,
    /// What its requests are for where they do not say. Default `train`.
    #[serde(default)]
    pub priority: Priority,
    /// Whether it may see metrics and statistics of the whole service. Default no.
    #[serde(default)]
    pub operator: bool,
}

fn one() -> u32 {
    1
}

/// Sessions, which have slots of their own beside those for judging.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// Open at once; 0 for none at all. Default 16.
    pub open_max: usize,
    /// Bytes of memory that all open sessions may use together. Default 8 GiB.
    pub memory_bytes_max: u64,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { open_max: limits::SESSIONS_MAX, memory_bytes_max: limits::SESSIONS_MEMORY_BYTES_MAX }
    }
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
    /// Submissions admitted and not yet answered; who was told to come back gets in beyond it, up to as
    /// many again. Default 16384.
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
    /// A tenant that cannot be.
    #[error("{path}: tenant {name:?}: {reason}", path = path.display())]
    Tenant {
        /// The file.
        path: PathBuf,
        /// Which.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A variable of the environment.
    #[error("environment variable {name}: {reason}")]
    Environment {
        /// Which.
        name: String,
        /// What is wrong with it.
        reason: String,
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
            wasm_only: false,
            warm_starts: true,
            cgroup_parent: None,
            state_dir: None,
            image_store: None,
            admission: AdmissionConfig::default(),
            timeouts: TimeoutConfig::default(),
            limits_max: WireLimits::default(),
            sessions: SessionsConfig::default(),
            cache: CacheConfig::default(),
            testlib: None,
            repositories: None,
            log: LogConfig::default(),
            tls: None,
            batches: BatchesConfig::default(),
            tenant: Vec::new(),
            judge: Vec::new(),
            value_head: Vec::new(),
            compat: CompatConfig::default(),
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

    /// What lets others in who should perhaps not be.
    #[must_use]
    pub fn exposure(&self) -> Option<&'static str> {
        if self.listen.ip().is_loopback() {
            return None;
        }
        match (self.tenant.is_empty(), self.tls.is_none()) {
            (true, _) => Some("whoever can reach this address may use the service: name tenants"),
            (false, true) => Some("keys cross the network unencrypted: configure tls"),
            (false, false) => None,
        }
    }

    /// Who may use the service.
    #[must_use]
    pub fn tenants(&self) -> Tenants {
        let AdmissionConfig { queue_submissions_max, bodies_bytes_max, .. } = self.admission;
        let SessionsConfig { open_max, memory_bytes_max } = self.sessions;
        let whole = Whole {
            submissions: queue_submissions_max.get(),
            bodies_bytes: bodies_bytes_max.get(),
            sessions: SessionShare { open_max, memory_bytes_max },
        };
        Tenants::new(&self.tenant, whole)
    }

    /// What may be kept of batches. Beside others, a tenant may have half of them.
    #[must_use]
    pub fn batch_bounds(&self) -> Bounds {
        let count_max = self.batches.count_max.get();
        let others = self.tenant.len() > 1;
        Bounds {
            count_max,
            tenant_count_max: if others { count_max.div_ceil(2) } else { count_max },
            bytes_max: self.batches.bytes_max,
            keep: Duration::from_millis(self.batches.keep_ms),
        }
    }

    /// This configuration with what cannot change while the service runs as `running` has it, and the
    /// keys that this concerns.
    #[must_use]
    pub fn while_running(mut self, running: &Self) -> (Self, Vec<&'static str>) {
        let mut kept = Vec::new();
        macro_rules! keep {
            ($($key:ident),+) => {$(
                if format!("{:?}", self.$key) != format!("{:?}", running.$key) {
                    kept.push(stringify!($key));
                    self.$key.clone_from(&running.$key);
                }
            )+};
        }
        keep!(
            listen,
            slots,
            cgroup_parent,
            state_dir,
            image_store,
            cache,
            testlib,
            repositories,
            log
        );
        keep!(judge, value_head, wasm_only, warm_starts, sessions);
        if self.admission.connections_max != running.admission.connections_max {
            kept.push("admission.connections_max");
            self.admission.connections_max = running.admission.connections_max;
        }
        if self.tls.is_some() != running.tls.is_some() {
            kept.push("tls");
            self.tls.clone_from(&running.tls);
        }
        (self, kept)
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

    /// Reads a file, or none, and then the variables of an environment.
    ///
    /// # Errors
    /// It cannot be read, has a key that is not known, or a value that makes no sense.
    pub fn read(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        use std::io::Read as _;
        let mut text = String::new();
        if let Some(path) = path {
            let read = |source| ConfigError::Read { path: path.to_owned(), source };
            std::fs::File::open(path)
                .map_err(read)?
                .take(limits::CONFIG_BYTES_MAX)
                .read_to_string(&mut text)
                .map_err(read)?;
        }
        let path = path.unwrap_or_else(|| Path::new("environment"));
        Self::parse(path, &text, variables)
    }

    fn parse(
        path: &Path,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let from_file: Self = toml::from_str(text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source })?;
        let overrides = environment::overrides(variables);
        let config = if overrides.is_empty() {
            from_file
        } else {
            // It was parsed a moment ago, so there is a table.
            environment::apply(toml::from_str(text).unwrap_or_default(), overrides)?
        };
        config.checked(path)
    }

    fn checked(self, path: &Path) -> Result<Self, ConfigError> {
        let (config, path) = (self, || path.to_owned());
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
        if config.sessions.open_max > sandbox::limits::SLOTS_MAX {
            let reason = "sessions.open_max is above what one pool of slots can hold";
            return Err(ConfigError::Relation { path: path(), reason });
        }
        config
            .check_reward_models()
            .map_err(|source| ConfigError::RewardModel { path: path(), source })?;
        config.check_tenants().map_err(|(name, reason)| {
            let name = name.chars().take(limits::TENANT_NAME_BYTES_MAX).collect();
            ConfigError::Tenant { path: path(), name, reason }
        })?;
        Ok(config)
    }

    fn check_tenants(&self) -> Result<(), (String, &'static str)> {
        let plain = |name: &str| {
            let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=limits::TENANT_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(byte)
        };
        for (at, tenant) in self.tenant.iter().enumerate() {
            let before = &self.tenant[..at];
            let known = |key| before.iter().any(|other| other.keys.contains(key));
            let wrong = [
                (!plain(&tenant.name), "a name is of ASCII letters, digits, `-`, `_` and `.`"),
                (before.iter().any(|other| other.name == tenant.name), "the name is there twice"),
                (tenant.keys.is_empty(), "it has no key; `assay key new` makes one"),
                (tenant.keys.len() > limits::TENANT_KEYS_MAX, "it has too many keys"),
                (tenant.keys.iter().any(known), "another tenant has the same key"),
                (!(1..=limits::TENANT_WEIGHT_MAX).contains(&tenant.weight), "weight: 1 to 1000"),
                (
                    !(0.0..=limits::TENANT_RATE_MAX).contains(&tenant.submissions_per_second),
                    "submissions_per_second: 0 to 1000000",
                ),
                (tenant.burst == Some(0), "burst: at least 1"),
                (at >= limits::TENANTS_MAX, "there are too many tenants"),
            ];
            if let Some((_, reason)) = wrong.into_iter().find(|(wrong, _)| *wrong) {
                return Err((tenant.name.clone(), reason));
            }
        }
        Ok(())
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
mod tests;
