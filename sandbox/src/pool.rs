//! A fixed number of slots. A lease waits for a free one; the pool never grows.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::error::Error;
use crate::image::Image;
use crate::outcome::Outcome;
use crate::spec::{InputFile, RunSpec};

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How many programs may run at the same time.
    pub slots: NonZeroUsize,
    /// The read-only root that all slots show.
    pub image: Image,
    /// Under which control group the slots' groups are made; the caller's own where `None`.
    pub cgroup_parent: Option<PathBuf>,
    /// Where the locks of slots in use are kept.
    pub state_dir: PathBuf,
}

/// A fixed number of slots.
#[derive(Clone, Debug)]
pub struct SlotPool {}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Slots of the pool.
    pub slots: usize,
    /// Slots that are leased.
    pub leased: usize,
    /// Slots destroyed and built again since the start.
    pub rebuilt: u64,
}

/// The right to use one slot until dropped.
#[derive(Debug)]
pub struct Lease {}

impl SlotPool {
    /// Builds all slots.
    pub async fn new(config: PoolConfig) -> Result<Self, Error> { todo!() }
    /// Waits for a free slot.
    pub async fn lease(&self) -> Result<Lease, Error> { todo!() }
    /// What the pool is doing now.
    pub fn status(&self) -> PoolStatus { todo!() }
    /// Waits for leases to end and destroys all slots.
    pub async fn close(&self) { todo!() }
}

impl Lease {
    /// Puts files below `/box`, readable and not writable by programs, for all runs of the lease.
    pub async fn install(&mut self, files: &[InputFile]) -> Result<(), Error> { todo!() }
    /// Runs one program to its end. Dropping the future kills it and destroys the slot.
    pub async fn run(&mut self, spec: &RunSpec) -> Result<Outcome, Error> { todo!() }
}
