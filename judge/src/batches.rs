//! Batches that outlive the connection they came by, and requests that may be sent twice.
//!
//! A batch runs to its end or until it is cancelled, whoever listens; when it has ended it is kept
//! for a time, so that its results can be fetched, or fetched again. A key of idempotency names a
//! batch: whoever sends the same request with it is given that batch, and whoever sends another is
//! told so. Batches belong to a tenant, and no other knows of them.
//!
//! Bounded in number, in time and in bytes: when too much is kept, ended batches go, the longest
//! ended first; while that is not enough, results are kept without tests and outputs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::{BatchState, GroupResult, SubmissionResult};
use tokio::sync::Notify;
use tracing::Instrument as _;

use crate::batch::Results;
use crate::events::Events;
use crate::reward::group::Groups;

/// What may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Batches, of all tenants.
    pub count_max: usize,
    /// Batches of one tenant.
    pub tenant_count_max: usize,
    /// Bytes of all results.
    pub bytes_max: usize,
    /// How long after its end.
    pub keep: Duration,
}

/// The batches that run or are kept.
#[derive(Clone, Debug)]
pub struct Batches(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    bounds: Bounds,
    batches: HashMap<String, Kept>,
    keys: HashMap<Key, String>,
    bytes: usize,
    /// How many have ended; orders them by their end.
    ended: u64,
}

#[derive(Debug)]
struct Kept {
    batch: Arc<Batch>,
    bytes: usize,
    ended: Option<u64>,
}

/// One batch.
#[derive(Debug)]
pub struct Batch {
    /// Its id, which cannot be guessed.
    pub id: String,
    /// How many submissions it has.
    pub submissions: usize,
    /// Its results.
    pub events: Events,
    tenant: Arc<str>,
    request: Option<Request>,
    groups: Mutex<Groups>,
    cancelled: Notify,
}

/// A key of idempotency, of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    tenant: Arc<str>,
    name: String,
}

/// What a key of idempotency stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The key.
    pub key: String,
    /// The digest of the request's body.
    pub digest: [u8; 32],
}

/// Why a batch is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The key stands for another request.
    #[error("the idempotency key was used for another request")]
    OtherRequest,
    /// So many run that none can be let go.
    #[error("too many batches run")]
    Full,
    /// The machine gave no random number for its id.
    #[error("the machine has no random numbers")]
    NoId,
}

impl Batch {
    /// What each group came to so far.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupResult> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).to_wire()
    }

    /// Ends what still runs and frees its slots.
    pub fn cancel(&self) {
        // One permit is kept where the batch does not wait at this moment.
        self.cancelled.notify_one();
    }

    fn key(&self) -> Option<Key> {
        let name = self.request.as_ref()?.key.clone();
        Some(Key { tenant: Arc::clone(&self.tenant), name })
    }
}

impl Batches {
    /// None yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(State {
            bounds,
            batches: HashMap::new(),
            keys: HashMap::new(),
            bytes: 0,
            ended: 0,
        })))
    }

    /// Other bounds from now on.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.locked().bounds = bounds;
    }

    /// How many run and how many are kept after their end.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.locked();
        let running = state.batches.values().filter(|kept| kept.ended.is_none()).count();
        (running, state.batches.len() - running)
    }

    /// Bytes of all results.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.locked().bytes
    }

    /// The batch with this id, where it is the tenant's.
    #[must_use]
    pub fn find(&self, tenant: &str, id: &str) -> Option<Arc<Batch>> {
        let state = self.locked();
        let kept = state.batches.get(id).filter(|kept| &*kept.batch.tenant == tenant)?;
        Some(Arc::clone(&kept.batch))
    }

    /// The batch that `request` began before.
    ///
    /// # Errors
    /// Its key stands for another request.
    pub fn known(
        &self,
        tenant: &Arc<str>,
        request: &Request,
    ) -> Result<Option<Arc<Batch>>, BatchError> {
        self.locked().known(tenant, request)
    }

    /// Begins a batch of so many submissions, whose results `start` gives; or finds the one that the
    /// same request began.
    ///
    /// # Errors
    /// The key stands for another request, there is no room, or what `start` says.
    pub fn begin<E: From<BatchError>>(
        &self,
        tenant: &Arc<str>,
        request: Option<Request>,
        submissions: usize,
        start: impl FnOnce() -> Result<Results, E>,
    ) -> Result<Arc<Batch>, E> {
        let id = random_id().ok_or(BatchError::NoId)?;
        let mut state = self.locked();
        if let Some(request) = &request
            && let Some(batch) = state.known(tenant, request)?
        {
            return Ok(batch);
        }
        state.make_place(tenant)?;
        let results = start()?;
        let batch = Arc::new(Batch {
            id: id.clone(),
            submissions,
            events: Events::default(),
            tenant: Arc::clone(tenant),
            request,
            groups: Mutex::default(),
            cancelled: Notify::new(),
        });
        if let Some(key) = batch.key() {
            state.keys.insert(key, id.clone());
        }
        let kept = Kept { batch: Arc::clone(&batch), bytes: 0, ended: None };
        state.batches.insert(id, kept);
        drop(state);
        let span = tracing::info_span!("batch", id = batch.id);
        tokio::spawn(self.clone().follow(Arc::clone(&batch), results).instrument(span));
        Ok(batch)
    }

    /// Takes down the results, and forgets the batch some time after its end.
    async fn follow(self, batch: Arc<Batch>, mut results: Results) {
        let mut end = BatchState::Done;
        loop {
            tokio::select! {
                biased;
                () = batch.cancelled.notified() => {
                    end = BatchState::Cancelled;
                    break;
                }
                report = results.next() => match report {
                    Some(report) => self.note(&batch, report.to_wire()),
                    None => break,
                }
            }
        }
        results.cancel();
        while let Some(report) = results.next_cancelled() {
            self.note(&batch, report.to_wire());
        }
        drop(results);
        batch.events.finish(end);
        let keep = self.locked().end(&batch.id);
        tokio::time::sleep(keep).await;
        self.locked().forget(&batch.id);
    }

    fn note(&self, batch: &Batch, mut result: SubmissionResult) {
        batch.groups.lock().unwrap_or_else(PoisonError::into_inner).count(&result);
        let mut line = encoded(&result);
        let mut state = self.locked();
        if !state.make_room(line.len()) {
            (result.tests, result.compile, result.trimmed) = (Vec::new(), None, true);
            line = encoded(&result);
        }
        state.bytes += line.len();
        if let Some(kept) = state.batches.get_mut(&batch.id) {
            kept.bytes += line.len();
        }
        drop(state);
        batch.events.push(line);
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // What is behind the lock is consistent at every point where a panic could be.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(
        &self,
        tenant: &Arc<str>,
        request: &Request,
    ) -> Result<Option<Arc<Batch>>, BatchError> {
        let key = Key { tenant: Arc::clone(tenant), name: request.key.clone() };
        let Some(kept) = self.keys.get(&key).and_then(|id| self.batches.get(id)) else {
            return Ok(None);
        };
        if kept.batch.request.as_ref() == Some(request) {
            Ok(Some(Arc::clone(&kept.batch)))
        } else {
            Err(BatchError::OtherRequest)
        }
    }

    /// Room for one more batch of a tenant.
    fn make_place(&mut self, tenant: &Arc<str>) -> Result<(), BatchError> {
        let own = |kept: &Kept| kept.batch.tenant == *tenant;
        while self.batches.values().filter(|kept| own(kept)).count() >= self.bounds.tenant_count_max
        {
            self.forget_oldest(own).ok_or(BatchError::Full)?;
        }
        while self.batches.len() >= self.bounds.count_max {
            self.forget_oldest(|_| true).ok_or(BatchError::Full)?;
        }
        Ok(())
    }

    /// Room for so many bytes, where ended batches take enough.
    fn make_room(&mut self, bytes: usize) -> bool {
        while self.bytes.saturating_add(bytes) > self.bounds.bytes_max {
            if self.forget_oldest(|kept| kept.bytes > 0).is_none() {
                return false;
            }
        }
        true
    }

    fn forget_oldest(&mut self, among: impl Fn(&Kept) -> bool) -> Option<()> {
        let ended = self.batches.iter().filter(|(_, kept)| among(kept));
        let ended = ended.filter_map(|(id, kept)| Some((kept.ended?, id)));
        let id = ended.min()?.1.clone();
        self.forget(&id);
        Some(())
    }

    fn end(&mut self, id: &str) -> Duration {
        self.ended += 1;
        if let Some(kept) = self.batches.get_mut(id) {
            kept.ended = Some(self.ended);
        }
        self.bounds.keep
    }

    fn forget(&mut self, id: &str) {
        let Some(kept) = self.batches.remove(id) else { return };
        self.bytes = self.bytes.saturating_sub(kept.bytes);
        if let Some(key) = kept.batch.key() {
            self.keys.remove(&key);
        }
    }
}

/// A result as one line of JSON without its end.
#[must_use]
pub fn encoded(result: &SubmissionResult) -> Bytes {
    match serde_json::to_vec(result) {
        Ok(line) => line.into(),
        Err(error) => {
            tracing::error!(%error, "a result could not be encoded");
            Bytes::from_static(b"{}")
        }
    }
}

/// 128 random bits; `None` where the machine gives none.
fn random_id() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
