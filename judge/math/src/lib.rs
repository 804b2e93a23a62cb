//! Equivalence of mathematical answers by exact rules.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "under construction")]

mod fuel;
pub mod limits;
mod number;
mod reason;

pub use reason::{Decision, Explanation, Reason, Verdict};
