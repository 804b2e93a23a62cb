//! Runs one untrusted program in full isolation and reports the facts.
pub mod error;
pub mod image;
pub mod limits;
pub mod outcome;
pub mod pool;
pub mod preflight;
pub mod spec;

pub use error::Error;
pub use image::Image;
pub use limits::Limits;
pub use outcome::Outcome;
pub use pool::{Lease, PoolConfig, PoolStatus, SlotPool};
pub use spec::RunSpec;

/// Becomes a slot's resident process where the supervisor started this program as one, and
/// otherwise returns at once. Must be the first statement of `main`.
pub fn resident_entry() {}
