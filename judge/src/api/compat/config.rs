//! Which foreign wires are served, and what they answer where they have no word for our failures.

use std::collections::BTreeSet;

use serde::Deserialize;

/// The section `[compat]` of the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompatConfig {
    /// Which wires are served. Default: all.
    pub wires: BTreeSet<Wire>,
    /// The reward that wires which know numbers only (`slime`, `openrlhf`) get in place of a failure
    /// of ours. Default none: they get HTTP 503, and try again.
    pub failure_reward: Option<f64>,
    /// The status by which `/run_code`, `/submit` and `/run_jupyter` say that trying again may help.
    /// Default 504, the only one at which verl does.
    pub sandbox_fusion_retry_status: RetryStatus,
}

impl Default for CompatConfig {
    fn default() -> Self {
        Self {
            wires: Wire::ALL.into_iter().collect(),
            failure_reward: None,
            sandbox_fusion_retry_status: RetryStatus::GatewayTimeout,
        }
    }
}

/// A wire that another service or framework speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Function calls of `AReaL`.
    Areal,
    /// go-judge.
    GoJudge,
    /// Judge0.
    Judge0,
    /// A resources server of `NeMo Gym`.
    NemoGym,
    /// A remote reward model of `OpenRLHF`.
    Openrlhf,
    /// Piston.
    Piston,
    /// `SandboxFusion`.
    SandboxFusion,
    /// A remote reward model of slime.
    Slime,
    /// A classifier behind vLLM.
    Vllm,
}

impl Wire {
    /// Every wire.
    pub const ALL: [Self; 9] = [
        Self::Areal,
        Self::GoJudge,
        Self::Judge0,
        Self::NemoGym,
        Self::Openrlhf,
        Self::Piston,
        Self::SandboxFusion,
        Self::Slime,
        Self::Vllm,
    ];
}

/// A status that means that trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub enum RetryStatus {
    /// 429
    TooManyRequests,
    /// 500
    InternalServerError,
    /// 503
    ServiceUnavailable,
    /// 504
    GatewayTimeout,
}

impl RetryStatus {
    /// The status.
    #[must_use]
    pub fn code(self) -> axum::http::StatusCode {
        use axum::http::StatusCode;
        match self {
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl TryFrom<u16> for RetryStatus {
    type Error = &'static str;

    fn try_from(code: u16) -> Result<Self, Self::Error> {
        match code {
            429 => Ok(Self::TooManyRequests),
            500 => Ok(Self::InternalServerError),
            503 => Ok(Self::ServiceUnavailable),
            504 => Ok(Self::GatewayTimeout),
            _ => Err("must be 429, 500, 503 or 504"),
        }
    }
}
