//! Verdicts that are known, and those that are being found: equal questions asked at the same time
//! are asked once. Failures are not kept. Bounded; the oldest goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// The hash of everything that a verdict depends on.
pub type Key = [u8; 32];

/// Verdicts by key.
#[derive(Debug)]
pub struct Cache<T> {
    entries_max: usize,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    cells: HashMap<Key, Arc<OnceCell<T>>>,
    /// Keys of finished cells, oldest first.
    order: VecDeque<Key>,
}

/// Where a verdict came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// It was found for this caller.
    Found,
    /// It was known, or found for another caller at the same time.
    Known,
}

impl<T: Clone> Cache<T> {
    /// An empty cache.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let state = State { cells: HashMap::new(), order: VecDeque::new() };
        Self { entries_max, state: Mutex::new(state) }
    }

    /// The verdict of `key`, found by `find` where nobody has it yet.
    ///
    /// # Errors
    /// `find` failed; who waited for it tries by itself.
    pub async fn get<E>(
        &self,
        key: Key,
        find: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<(T, From), E> {
        if self.entries_max == 0 {
            return find().await.map(|found| (found, From::Found));
        }
        let cell = Arc::clone(self.lock().cells.entry(key).or_default());
        let unused = Unused { cache: self, key };
        let mut from = From::Known;
        let value = cell
            .get_or_try_init(async || {
                from = From::Found;
                find().await
            })
            .await
            .cloned();
        if value.is_ok() && from == From::Found {
            self.keep(key);
        }
        drop(unused);
        value.map(|value| (value, from))
    }

    fn keep(&self, key: Key) {
        let mut state = self.lock();
        state.order.push_back(key);
        while state.order.len() > self.entries_max {
            if let Some(oldest) = state.order.pop_front() {
                state.cells.remove(&oldest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a cell that stays empty: its finder failed or went away, and nobody else waits.
struct Unused<'a, T: Clone> {
    cache: &'a Cache<T>,
    key: Key,
}

impl<T: Clone> Drop for Unused<'_, T> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        // Two: the map's, and that of the caller, which is dropped after this.
        let idle = state
            .cells
            .get(&self.key)
            .is_some_and(|cell| !cell.initialized() && Arc::strong_count(cell) <= 2);
        if idle {
            state.cells.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn key(n: u8) -> Key {
        [n; 32]
    }

    #[tokio::test]
    async fn equal_questions_at_the_same_time_are_asked_once() {
        let cache: Cache<u32> = Cache::new(10);
        let asked = AtomicUsize::new(0);
        let ask = || {
            cache.get(key(1), async || {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, ()>(7)
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!([a, b, c].map(|found| found.unwrap().0), [7, 7, 7]);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(ask().await.unwrap().1, From::Known);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept_and_leaves_nothing() {
        let cache: Cache<u32> = Cache::new(10);
        assert_eq!(cache.get(key(1), async || Err::<u32, _>("no")).await, Err("no"));
        assert!(cache.lock().cells.is_empty());
        assert_eq!(cache.get(key(1), async || Ok::<_, ()>(3)).await, Ok((3, From::Found)));
    }

    #[tokio::test]
    async fn the_oldest_goes_when_there_is_no_room() {
        let cache: Cache<u8> = Cache::new(2);
        for n in [1, 2, 3] {
            cache.get(key(n), async || Ok::<_, ()>(n)).await.unwrap();
        }
        assert_eq!(cache.lock().cells.len(), 2);
        let again = cache.get(key(1), async || Ok::<_, ()>(9)).await.unwrap();
        assert_eq!(again, (9, From::Found));
        let none: Cache<u8> = Cache::new(0);
        assert_eq!(none.get(key(1), async || Ok::<_, ()>(1)).await, Ok((1, From::Found)));
        assert!(none.lock().cells.is_empty());
    }
}
