//! Submissions that are kept for whoever has their token: bounded in number, bytes and time.
//!
//! A token is 128 random bits, and there is no list of them: who does not know one does not find it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::shown::Done;
use crate::limits::{JUDGE0_BYTES_MAX, JUDGE0_TIME_MAX, JUDGE0_TOKENS_MAX};
use crate::reward_model::random_word;

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue is full")]
pub(in super::super) struct Full;

/// What is kept.
#[derive(Debug, Default)]
pub(in super::super) struct Store(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<String, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    state: Done,
    bytes: usize,
    /// When it may go; `None` while it runs.
    until: Option<Instant>,
}

impl Store {
    /// A token for what will run.
    ///
    /// # Errors
    /// Too many are kept, and none of them may go.
    pub(super) fn reserve(&self) -> Result<String, Full> {
        let mut kept = self.lock();
        kept.make_room(0)?;
        Ok(kept.insert(Done::Processing, None))
    }

    /// Keeps what has run.
    ///
    /// # Errors
    /// Too many are kept, and none of them may go.
    pub(super) fn put(&self, done: Done) -> Result<String, Full> {
        let mut kept = self.lock();
        kept.make_room(done.bytes())?;
        Ok(kept.insert(done, Some(Instant::now() + JUDGE0_TIME_MAX)))
    }

    /// Notes how what has a token ended.
    pub(super) fn finish(&self, token: &str, done: Done) {
        let mut kept = self.lock();
        let bytes = done.bytes();
        // Without room the outputs are lost, and the caller is told; the submission is not.
        let done = if kept.make_room(bytes).is_ok() { done } else { Done::lost() };
        let bytes = done.bytes();
        kept.bytes += bytes;
        if let Some(entry) = kept.entries.get_mut(token) {
            let until = Some(Instant::now() + JUDGE0_TIME_MAX);
            *entry = Entry { state: done, bytes, until };
        } else {
            kept.bytes -= bytes;
        }
    }

    /// What has this token.
    pub(super) fn find(&self, token: &str) -> Option<Done> {
        let mut kept = self.lock();
        kept.forget_old(Instant::now());
        kept.entries.get(token).map(|entry| entry.state.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn insert(&mut self, state: Done, until: Option<Instant>) -> String {
        let (token, bytes) = (random_word(), state.bytes());
        self.bytes += bytes;
        self.entries.insert(token.clone(), Entry { state, bytes, until });
        token
    }

    fn forget_old(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let stays = entry.until.is_none_or(|until| until > now);
            if !stays {
                *bytes -= entry.bytes;
            }
            stays
        });
    }

    /// Makes room for one more of `bytes`: what is old goes, then what ended first.
    fn make_room(&mut self, bytes: usize) -> Result<(), Full> {
        self.forget_old(Instant::now());
        while self.entries.len() >= JUDGE0_TOKENS_MAX || self.bytes + bytes > JUDGE0_BYTES_MAX {
            let ended = self.entries.iter().filter_map(|(token, it)| Some((it.until?, token)));
            let Some(first) = ended.min().map(|(_, token)| token.clone()) else {
                return Err(Full);
            };
            if let Some(entry) = self.entries.remove(&first) {
                self.bytes -= entry.bytes;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_first_goes_first_and_what_runs_stays() {
        let store = Store::default();
        let running: Vec<String> =
            (0..JUDGE0_TOKENS_MAX - 1).map(|_| store.reserve().unwrap()).collect();
        let first = store.put(Done::lost()).unwrap();
        let second = store.put(Done::lost()).unwrap();
        assert!(store.find(&first).is_none() && store.find(&second).is_some());
        store.reserve().unwrap();
        assert!(store.find(&second).is_none());
        assert_eq!(store.reserve(), Err(Full));
        store.finish(&running[0], Done::lost());
        assert!(store.reserve().is_ok());
    }

    #[test]
    fn an_entry_goes_when_its_time_is_over_and_gives_its_bytes_back() {
        let store = Store::default();
        let token = store.put(Done::lost()).unwrap();
        store.lock().forget_old(Instant::now() + JUDGE0_TIME_MAX * 2);
        assert!(store.find(&token).is_none());
        assert_eq!(store.lock().bytes, 0);
    }
}
