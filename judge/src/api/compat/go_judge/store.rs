//! Files that clients keep between requests: bounded in number, bytes and time, each its owner's.
//!
//! An id is 128 random bits, and an owner sees only what was put under the same key.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::limits::{GO_JUDGE_BYTES_MAX, GO_JUDGE_FILES_MAX, GO_JUDGE_TIME_MAX, ID_BYTES_MAX};
use crate::reward_model::random_word;

/// Whose files these are: a digest of the key that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Owner([u8; 32]);

impl Owner {
    /// The owner who shows `key`.
    pub(super) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for more files")]
pub(in super::super) struct Full;

/// A file.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// What its owner calls it.
    pub(super) name: String,
    /// What is in it.
    pub(super) content: Bytes,
    owner: Owner,
    until: Instant,
}

/// The files.
#[derive(Debug, Default)]
pub(in super::super) struct Files(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    files: BTreeMap<String, File>,
    bytes: usize,
}

impl Files {
    /// Keeps a file and gives its id.
    ///
    /// # Errors
    /// There is no room, also after what is old has gone. Nobody's file makes room for another's.
    pub(super) fn put(&self, owner: &Owner, name: &str, content: Bytes) -> Result<String, Full> {
        let mut kept = self.lock();
        let now = Instant::now();
        kept.forget_old(now);
        let name: String = name.chars().take(ID_BYTES_MAX / 4).collect();
        let room = GO_JUDGE_BYTES_MAX.saturating_sub(kept.bytes);
        if kept.files.len() >= GO_JUDGE_FILES_MAX || content.len() > room {
            return Err(Full);
        }
        kept.bytes += content.len();
        let id = random_word();
        let until = now + GO_JUDGE_TIME_MAX;
        kept.files.insert(id.clone(), File { name, content, owner: owner.clone(), until });
        Ok(id)
    }

    /// The file with this id.
    pub(super) fn find(&self, owner: &Owner, id: &str) -> Option<File> {
        let mut kept = self.lock();
        kept.forget_old(Instant::now());
        kept.files.get(id).filter(|file| file.owner == *owner).cloned()
    }

    /// Ids and names of the owner's files.
    pub(super) fn list(&self, owner: &Owner) -> BTreeMap<String, String> {
        let mut kept = self.lock();
        kept.forget_old(Instant::now());
        let own = kept.files.iter().filter(|(_, file)| file.owner == *owner);
        own.map(|(id, file)| (id.clone(), file.name.clone())).collect()
    }

    /// Forgets a file; whether there was one.
    pub(super) fn remove(&self, owner: &Owner, id: &str) -> bool {
        let mut kept = self.lock();
        if kept.files.get(id).is_none_or(|file| file.owner != *owner) {
            return false;
        }
        if let Some(file) = kept.files.remove(id) {
            kept.bytes -= file.content.len();
        }
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget_old(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.files.retain(|_, file| {
            let stays = file.until > now;
            if !stays {
                *bytes -= file.content.len();
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_owners_alone() {
        let (files, one, other) = (Files::default(), Owner::of(b"a"), Owner::of(b"b"));
        let id = files.put(&one, "x", Bytes::from_static(b"1")).unwrap();
        assert_eq!(&files.find(&one, &id).unwrap().content[..], b"1");
        assert!(files.find(&other, &id).is_none());
        assert!(files.list(&other).is_empty() && files.list(&one).len() == 1);
        assert!(!files.remove(&other, &id));
        assert!(files.remove(&one, &id) && !files.remove(&one, &id));
        assert_eq!(files.lock().bytes, 0);
    }

    #[test]
    fn files_are_bounded_in_number_bytes_and_time() {
        let (files, owner) = (Files::default(), Owner::of(b""));
        let large = Bytes::from(vec![0; GO_JUDGE_BYTES_MAX]);
        let id = files.put(&owner, "x", large).unwrap();
        assert_eq!(files.put(&owner, "x", Bytes::from_static(b"1")), Err(Full));
        assert!(files.put(&owner, "x", Bytes::new()).is_ok());
        files.remove(&owner, &id);
        for _ in 1..GO_JUDGE_FILES_MAX {
            files.put(&owner, "x", Bytes::new()).unwrap();
        }
        assert_eq!(files.put(&owner, "x", Bytes::new()), Err(Full));
        files.lock().forget_old(Instant::now() + GO_JUDGE_TIME_MAX * 2);
        assert!(files.list(&owner).is_empty());
    }
}
