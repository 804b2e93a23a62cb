//! The replay store: one redb file with the groups that are sampled and judged, what became of each
//! group, and which checkpoint is the latest.
//!
//! The fates of an iteration's groups and the pointer to its checkpoint change in one transaction,
//! after the checkpoint's files are on the disk. So a run that is killed at any moment finds either
//! both or neither, and no group is trained twice.

use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

use super::Group;
use super::ledger::Fate;

const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
const FATES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("fates");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LATEST: &str = "latest";

/// The groups of one iteration, sampled and judged, and those that go on in the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredBatch {
    /// Finished groups with their outcomes.
    pub groups: Vec<Group>,
    /// Groups with unfinished rollouts.
    pub carry: Vec<Group>,
}

/// Which checkpoint a run goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Its version.
    pub version: u64,
    /// Its folder's name.
    pub folder: String,
}

/// What became of a group, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FateRecord {
    /// What.
    pub fate: Fate,
    /// In which iteration.
    pub iteration: u64,
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("{path} is in use: another run has this folder", path = .0.display())]
    InUse(PathBuf),
    /// The database.
    #[error("replay store: {0}")]
    Database(String),
    /// A record that is not ours.
    #[error("replay store: record {0} cannot be read")]
    Record(String),
    /// A group that was settled before.
    #[error("replay store: group {0} was settled before")]
    Twice(u64),
}

/// The store.
#[derive(Debug)]
pub struct ReplayStore {
    database: Database,
}

impl ReplayStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// A file that is locked by another run, broken, or cannot be made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(|error| {
            if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
                return StoreError::InUse(path.to_owned());
            }
            StoreError::Database(format!("{}: {error}", path.display()))
        })?;
        let transaction = database.begin_write().map_err(failed)?;
        transaction.open_table(BATCHES).map_err(failed)?;
        transaction.open_table(FATES).map_err(failed)?;
        transaction.open_table(META).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Self { database })
    }

    /// Keeps a judged batch until it is trained.
    ///
    /// # Errors
    /// The database.
    pub fn put_batch(&self, batch: u64, stored: &StoredBatch) -> Result<(), StoreError> {
        let bytes = encode(stored, "batch")?;
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut table = transaction.open_table(BATCHES).map_err(failed)?;
            table.insert(batch, bytes.as_slice()).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// A batch that was judged before the run was ended.
    ///
    /// # Errors
    /// The database, or a record that is not ours.
    pub fn batch(&self, batch: u64) -> Result<Option<StoredBatch>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(BATCHES).map_err(failed)?;
        let found = table.get(batch).map_err(failed)?;
        found.map(|bytes| decode(bytes.value(), "batch")).transpose()
    }

    /// In one transaction: the fates of groups, the latest checkpoint, and the end of the batches
    /// that are trained.
    ///
    /// # Errors
    /// The database, or a group that was settled before; then nothing is changed.
    pub fn commit(&self, latest: &Latest, fates: &[(u64, FateRecord)]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let mut table = transaction.open_table(FATES).map_err(failed)?;
            for (group, record) in fates {
                let bytes = encode(record, "fate")?;
                let before = table.insert(group, bytes.as_slice()).map_err(failed)?;
                if before.is_some() {
                    return Err(StoreError::Twice(*group));
                }
            }
            let mut table = transaction.open_table(META).map_err(failed)?;
            table.insert(LATEST, encode(latest, LATEST)?.as_slice()).map_err(failed)?;
            let mut table = transaction.open_table(BATCHES).map_err(failed)?;
            table.retain(|batch, _| batch >= latest.version).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// The checkpoint to go on from.
    ///
    /// # Errors
    /// The database, or a record that is not ours.
    pub fn latest(&self) -> Result<Option<Latest>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(META).map_err(failed)?;
        let found = table.get(LATEST).map_err(failed)?;
        found.map(|bytes| decode(bytes.value(), LATEST)).transpose()
    }

    /// What became of all groups that are settled, by their number.
    ///
    /// # Errors
    /// The database, or a record that is not ours.
    pub fn fates(&self) -> Result<Vec<(u64, FateRecord)>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(FATES).map_err(failed)?;
        let mut fates = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (group, bytes) = entry.map_err(failed)?;
            fates.push((group.value(), decode(bytes.value(), "fate")?));
        }
        Ok(fates)
    }
}

fn encode<T: Serialize>(value: &T, what: &str) -> Result<Vec<u8>, StoreError> {
    postcard::to_allocvec(value).map_err(|_| StoreError::Record(what.to_owned()))
}

fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8], what: &str) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Record(what.to_owned()))
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Database(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_settled_once_and_a_refused_commit_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = ReplayStore::open(&folder.path().join("replay.redb")).unwrap();
        let batch = StoredBatch { groups: vec![Group::new(4, 0, vec![1], 2)], carry: Vec::new() };
        store.put_batch(0, &batch).unwrap();
        assert_eq!(store.batch(0).unwrap(), Some(batch));
        let record = FateRecord { fate: Fate::Trained, iteration: 0 };
        let first = Latest { version: 1, folder: "one".into() };
        store.commit(&first, &[(4, record)]).unwrap();
        assert_eq!(store.batch(0).unwrap(), None);
        let second = Latest { version: 2, folder: "two".into() };
        let refused = store.commit(&second, &[(5, record), (4, record)]);
        assert!(matches!(refused, Err(StoreError::Twice(4))));
        assert_eq!(store.latest().unwrap(), Some(first));
        assert_eq!(store.fates().unwrap(), [(4, record)]);
    }
}
