//! Who may be dispatched, and what became of every group: the bookkeeping of an asynchronous run as
//! a pure state machine.
//!
//! Invariants: a group is in exactly one state; it leaves `pending` once, to `trained` or
//! `dropped`; at no time are more groups dispatched and not yet settled than the staleness bound
//! admits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was part of a train step.
    Trained,
    /// Too few of its rewards are valid.
    DroppedInvalid,
    /// Its oldest tokens are too old.
    DroppedStale,
}

/// Why an event cannot have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// More groups than the staleness bound admits.
    #[error("batch {batch} was dispatched at version {version} with staleness {staleness}")]
    Admission {
        /// The batch.
        batch: u64,
        /// The version.
        version: u64,
        /// The bound.
        staleness: u64,
    },
    /// A group was dispatched twice.
    #[error("group {0} was dispatched twice")]
    Twice(u64),
    /// A group was settled that was not pending.
    #[error("group {0} was settled and was not pending")]
    NotPending(u64),
}

/// The books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    staleness: u64,
    version: u64,
    batches: u64,
    pending: BTreeMap<u64, u64>,
    settled: BTreeMap<Fate, u64>,
}

impl Ledger {
    /// Nothing dispatched, version 0.
    #[must_use]
    pub fn new(staleness: u64) -> Self {
        Self {
            staleness,
            version: 0,
            batches: 0,
            pending: BTreeMap::new(),
            settled: BTreeMap::new(),
        }
    }

    /// Whether the next batch may be dispatched: batch b needs version b - staleness.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.batches <= self.version + self.staleness
    }

    /// The next batch's number.
    #[must_use]
    pub fn next_batch(&self) -> u64 {
        self.batches
    }

    /// Published versions so far.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Groups that are dispatched and not settled.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// How many groups met each fate.
    #[must_use]
    pub fn settled(&self, fate: Fate) -> u64 {
        self.settled.get(&fate).copied().unwrap_or(0)
    }

    /// Dispatches the next batch of these new groups.
    ///
    /// # Errors
    /// A batch that is not admitted, or a group that is known; then nothing is changed.
    pub fn dispatch(&mut self, groups: &[u64]) -> Result<u64, LedgerError> {
        let batch = self.batches;
        if !self.admits() {
            let (version, staleness) = (self.version, self.staleness);
            return Err(LedgerError::Admission { batch, version, staleness });
        }
        let known = groups.iter().find(|group| self.pending.contains_key(group));
        if let Some(group) = known {
            return Err(LedgerError::Twice(*group));
        }
        self.pending.extend(groups.iter().map(|group| (*group, batch)));
        self.batches += 1;
        Ok(batch)
    }

    /// Settles a group for good.
    ///
    /// # Errors
    /// A group that is not pending: it was settled before, or never dispatched.
    pub fn settle(&mut self, group: u64, fate: Fate) -> Result<(), LedgerError> {
        self.pending.remove(&group).ok_or(LedgerError::NotPending(group))?;
        *self.settled.entry(fate).or_default() += 1;
        Ok(())
    }

    /// A new version was published.
    pub fn publish(&mut self) {
        self.version += 1;
    }
}
