//! Interfaces of other services and of trainers, each in a file of its own, at its native paths.
//!
//! A client that speaks one of them needs no change but the address. What is judged is judged as by
//! `POST /v1/judge`; what is run is run as by `POST /v1/run`, with whole outputs. A request that asks
//! for something that is not done here is refused, and unknown fields are, too. How each wire says that
//! we failed is told in `README.md` beside this file; every row of its table has a test.
//!
//! [`door`] reads, admits and replies; [`label`] reads what trainers call a label; [`program`] plans
//! programs. No wire judges by itself, and none changes what a submission means.

use std::sync::Arc;

use axum::Router;

use super::Service;

mod areal;
pub mod config;
mod door;
mod go_judge;
mod judge0;
mod label;
mod nemo_gym;
mod openrlhf;
mod piston;
mod program;
mod sandbox_fusion;
mod signal;
mod slime;
mod vllm;

pub use config::{CompatConfig, Wire};

/// What clients of these wires leave here between requests.
#[derive(Debug, Default)]
pub(super) struct Kept {
    files: go_judge::store::Files,
    judge0: judge0::store::Store,
}

/// The routes of the wires that are switched on.
pub(super) fn routes(config: &CompatConfig) -> Router<Arc<Service>> {
    config.wires.iter().fold(Router::new(), |router, wire| router.merge(wire.routes()))
}

/// The path of a wire by which a request is counted; what follows it is the client's.
pub(super) fn endpoint(path: &str) -> Option<&'static str> {
    let is_of = |known: &str| {
        path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let paths = Wire::ALL.into_iter().flat_map(|wire| wire.paths().iter().copied());
    paths.filter(|known| is_of(known)).max_by_key(|known| known.len())
}

impl Wire {
    fn routes(self) -> Router<Arc<Service>> {
        match self {
            Self::Areal => areal::routes(),
            Self::GoJudge => go_judge::routes(),
            Self::Judge0 => judge0::routes(),
            Self::NemoGym => nemo_gym::routes(),
            Self::Openrlhf => openrlhf::routes(),
            Self::Piston => piston::routes(),
            Self::SandboxFusion => sandbox_fusion::routes(),
            Self::Slime => slime::routes(),
            Self::Vllm => vllm::routes(),
        }
    }

    /// Where it is spoken.
    pub(super) fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Areal => &areal::PATHS,
            Self::GoJudge => &go_judge::PATHS,
            Self::Judge0 => &judge0::PATHS,
            Self::NemoGym => &nemo_gym::PATHS,
            Self::Openrlhf => &openrlhf::PATHS,
            Self::Piston => &piston::PATHS,
            Self::SandboxFusion => &sandbox_fusion::PATHS,
            Self::Slime => &slime::PATHS,
            Self::Vllm => &vllm::PATHS,
        }
    }
}

#[cfg(test)]
mod tests;
