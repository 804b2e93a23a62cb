//! The trainer: improves a language model by rewards from programs that really ran.
//!
//! ```text
//! problems ─► prompts ─► rollout: sample ─► judge (HTTP) ─► groups ─► advantage ─► loss ─► optimizer
//!     ▲                     ▲                                                              │
//!     └── pass rates        └────────────────────── weights of version + 1 ◄───────────────┘
//! ```
//!
//! | where | what |
//! |---|---|
//! | [`train`] | the loop: assign, wait, update, publish, record |
//! | [`task`], [`problems`] | what is learnt, and which problem comes next |
//! | [`rollout`] | sampling, judging, the replay store, the books |
//! | [`algorithm`] | pure functions: mirror descent, baselines, length reward and the rest |
//! | [`update`] | rewards to advantages to train steps |
//! | [`model`], [`policy`] | the network, its files, its tokenizer; log-probabilities |
//! | [`optimizer`], [`checkpoint`] | AdamW; what a run goes on from |
//! | [`metrics`], [`tensorboard`], [`exporter`], [`view`], [`mod@plot`] | what people look at |
//!
//! A reward that is not valid is masked and counted, never trained as 0. Every random number belongs
//! to a key, so that a run is a function of its configuration and of the rewards it is given.
#![deny(unsafe_code)]

pub mod algorithm;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod evaluate;
pub mod experiment;
pub mod exporter;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod optimizer;
pub mod parallel;
pub mod plot;
pub mod policy;
pub mod problems;
pub mod random;
pub mod rollout;
pub mod selftest;
pub mod setup;
pub mod task;
pub mod tensorboard;
pub mod train;
pub mod update;
pub mod view;
pub mod warm_start;
