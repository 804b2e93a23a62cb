//! What was found before: bounded caches, addressed by content, with single flight.
//!
//! Those who ask for the same thing while it is being found wait for the one who finds it. If that one
//! goes away, another of them takes over. Whether a finding is kept, its finder says; those who waited
//! get it either way. The entries that were not asked for longest make room for new ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::plan::Identity;

/// A cache of values that are cheap to clone.
#[derive(Debug)]
pub struct Cache<V> {
    bytes_max: usize,
    state: Mutex<State<V>>,
}

#[derive(Debug)]
struct State<V> {
    entries: HashMap<Identity, Entry<V>>,
    /// Which entry was used when, oldest first.
    used: BTreeMap<u64, Identity>,
    clock: u64,
    bytes: usize,
    flights: HashMap<Identity, Arc<OnceCell<V>>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

/// What the finder says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It may be kept; it takes about this many bytes.
    Bytes(usize),
    /// It may not.
    No,
}

/// How a value was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was kept.
    Kept,
    /// Another found it meanwhile.
    Shared,
    /// It was found now.
    Found,
}

impl<V: Clone> Cache<V> {
    /// An empty cache that holds at most `bytes_max` bytes; with 0 it keeps nothing.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let state = State {
            entries: HashMap::new(),
            used: BTreeMap::new(),
            clock: 0,
            bytes: 0,
            flights: HashMap::new(),
        };
        Self { bytes_max, state: Mutex::new(state) }
    }

    /// How many bytes its entries take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.locked().bytes
    }

    /// The value of `identity`: kept, shared with who finds it now, or found by `find`.
    ///
    /// # Errors
    /// What `find` returns; others who wait then find for themselves.
    pub async fn get<E, F: Future<Output = Result<V, E>>>(
        &self,
        identity: Identity,
        keep: impl Fn(&V) -> Keep,
        find: impl FnOnce() -> F,
    ) -> Result<(V, Source), E> {
        let flight = {
            let mut state = self.locked();
            if let Some(value) = state.kept(identity) {
                return Ok((value, Source::Kept));
            }
            let cell = Arc::clone(state.flights.entry(identity).or_default());
            Flight { cache: self, identity, cell }
        };
        let mut source = Source::Shared;
        let value = flight
            .cell
            .get_or_try_init(|| {
                source = Source::Found;
                find()
            })
            .await?
            .clone();
        if source == Source::Found
            && let Keep::Bytes(bytes) = keep(&value)
        {
            self.locked().insert(identity, value.clone(), bytes, self.bytes_max);
        }
        drop(flight);
        Ok((value, source))
    }

    fn locked(&self) -> MutexGuard<'_, State<V>> {
        // What is behind the lock is consistent at every point where a panic could be.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone> State<V> {
    fn kept(&mut self, identity: Identity) -> Option<V> {
        let entry = self.entries.get_mut(&identity)?;
        self.used.remove(&entry.used);
        self.clock += 1;
        entry.used = self.clock;
        self.used.insert(self.clock, identity);
        Some(entry.value.clone())
    }

    fn insert(&mut self, identity: Identity, value: V, bytes: usize, bytes_max: usize) {
        if bytes > bytes_max || self.entries.contains_key(&identity) {
            return;
        }
        while self.bytes + bytes > bytes_max {
            let Some((_, oldest)) = self.used.pop_first() else { return };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
        self.clock += 1;
        self.bytes += bytes;
        self.used.insert(self.clock, identity);
        self.entries.insert(identity, Entry { value, bytes, used: self.clock });
    }
}

/// Taking part in a search; the last to leave forgets it.
struct Flight<'a, V: Clone> {
    cache: &'a Cache<V>,
    identity: Identity,
    cell: Arc<OnceCell<V>>,
}

impl<V: Clone> Drop for Flight<'_, V> {
    fn drop(&mut self) {
        let mut state = self.cache.locked();
        let ours =
            state.flights.get(&self.identity).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // The map's own and ours; whoever comes later begins anew, or finds the value kept.
        if ours && (Arc::strong_count(&self.cell) == 2 || self.cell.initialized()) {
            state.flights.remove(&self.identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn id(n: u8) -> Identity {
        Identity([n; 32])
    }

    async fn put(cache: &Cache<u8>, n: u8, bytes: usize) -> Source {
        let found = cache.get(id(n), |_| Keep::Bytes(bytes), || async { Ok::<_, ()>(n) }).await;
        let (value, source) = found.unwrap();
        assert_eq!(value, n);
        source
    }

    #[tokio::test]
    async fn what_was_used_longest_ago_makes_room() {
        let cache = Cache::new(10);
        assert_eq!(put(&cache, 1, 4).await, Source::Found);
        assert_eq!(put(&cache, 2, 4).await, Source::Found);
        assert_eq!(put(&cache, 1, 4).await, Source::Kept);
        assert_eq!(put(&cache, 3, 4).await, Source::Found);
        assert_eq!(cache.bytes(), 8);
        assert_eq!(put(&cache, 1, 4).await, Source::Kept);
        assert_eq!(put(&cache, 2, 4).await, Source::Found);
        assert_eq!(put(&cache, 9, 11).await, Source::Found);
        assert_eq!(put(&cache, 9, 11).await, Source::Found);
        assert!(cache.bytes() <= 10);
    }

    #[tokio::test]
    async fn what_may_not_be_kept_is_shared_only_while_it_is_found() {
        let cache = Cache::new(10);
        let found = Cell::new(0);
        let one = || {
            cache.get(
                id(1),
                |_| Keep::No,
                || async {
                    found.set(found.get() + 1);
                    tokio::task::yield_now().await;
                    Ok::<_, ()>(7)
                },
            )
        };
        let (a, b, c) = tokio::join!(one(), one(), one());
        assert_eq!(found.get(), 1);
        let sources = [a, b, c].map(|found| found.unwrap().1);
        assert_eq!(sources.iter().filter(|source| **source == Source::Shared).count(), 2);
        assert_eq!(one().await.unwrap().1, Source::Found);
        assert!(cache.locked().flights.is_empty());
    }

    #[tokio::test]
    async fn when_the_finder_goes_away_another_takes_over() {
        let cache = Arc::new(Cache::new(10));
        let never = {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                cache.get(id(1), |_| Keep::No, std::future::pending::<Result<u8, ()>>).await
            })
        };
        while cache.locked().flights.is_empty() {
            tokio::task::yield_now().await;
        }
        never.abort();
        assert_eq!(put(&cache, 1, 1).await, Source::Found);
        assert!(never.await.unwrap_err().is_cancelled());
        assert!(cache.locked().flights.is_empty());
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let cache: Cache<u8> = Cache::new(10);
        let failed = cache.get(id(1), |_| Keep::Bytes(1), || async { Err("no") }).await;
        assert_eq!(failed.unwrap_err(), "no");
        assert_eq!(put(&cache, 1, 1).await, Source::Found);
    }
}
