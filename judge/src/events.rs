//! The numbered results of a batch: a reader that lost its connection goes on after a number.
//!
//! A result is kept as the JSON that readers are sent, so that what is kept is counted by what it
//! takes. Numbers begin at 1 and leave nothing out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use protocol::BatchState;
use tokio::sync::Notify;

/// What became known of a batch, in its order.
#[derive(Debug, Default)]
pub struct Events {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<Bytes>,
    end: Option<BatchState>,
}

impl Events {
    /// Adds a result.
    pub fn push(&self, line: Bytes) {
        self.locked().lines.push(line);
        self.changed.notify_waiters();
    }

    /// Says that nothing follows.
    pub fn finish(&self, end: BatchState) {
        self.locked().end = Some(end);
        self.changed.notify_waiters();
    }

    /// What the batch is doing.
    #[must_use]
    pub fn state(&self) -> BatchState {
        self.locked().end.unwrap_or(BatchState::Running)
    }

    /// How many results there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.locked().lines.len()
    }

    /// Bytes of all results.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.locked().lines.iter().map(Bytes::len).sum()
    }

    /// The results after `number`.
    #[must_use]
    pub fn after(&self, number: usize) -> Vec<Bytes> {
        self.locked().lines.get(number..).unwrap_or_default().to_vec()
    }

    /// Waits for the result after `number`; `None` where none will follow.
    pub async fn next(&self, number: usize) -> Option<Bytes> {
        loop {
            let changed = self.changed.notified();
            {
                let log = self.locked();
                if let Some(line) = log.lines.get(number) {
                    return Some(line.clone());
                }
                if log.end.is_some() {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Waits until nothing follows.
    pub async fn finished(&self) {
        loop {
            let changed = self.changed.notified();
            if self.locked().end.is_some() {
                return;
            }
            changed.await;
        }
    }

    fn locked(&self) -> MutexGuard<'_, Log> {
        // What is behind the lock is consistent at every point where a panic could be.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn readers_that_come_late_or_come_back_see_each_result_once() {
        let events = Arc::new(Events::default());
        let reader = |after: usize| {
            let events = Arc::clone(&events);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Some(line) = events.next(after + seen.len()).await {
                    seen.push(line);
                }
                seen
            })
        };
        let early = reader(0);
        for line in ["a", "b", "c"] {
            tokio::task::yield_now().await;
            events.push(Bytes::from_static(line.as_bytes()));
        }
        let (again, beyond) = (reader(1), reader(7));
        events.finish(BatchState::Done);
        assert_eq!(early.await.unwrap(), ["a", "b", "c"]);
        assert_eq!(again.await.unwrap(), ["b", "c"]);
        assert!(beyond.await.unwrap().is_empty());
        assert_eq!((events.after(2), events.bytes()), (vec![Bytes::from_static(b"c")], 3));
    }
}
