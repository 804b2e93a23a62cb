//! Sends the work: so many at the same time, or so many a second, until count or time is over.
//!
//! Open loop: requests are due at fixed times, whatever the service does; latency counts from when a
//! request was due, also where it had to wait here for room. A service that stalls hence shows in the
//! latencies of all that were due meanwhile, and not in one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Client, Fault};
use super::limits::{PAUSE_MAX, PAUSE_MIN, TRIES_MAX};
use super::mix::Mix;
use super::record::{Answered, Record};
use super::wire::{Wire, Work};

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many requests at the same time; the next goes when one is answered.
    Closed(usize),
    /// So many submissions a second, whatever the service does.
    Open(f64),
}

/// Until when.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Extent {
    /// Submissions.
    pub(super) count: Option<u64>,
    /// Time in which submissions are begun.
    pub(super) time: Option<Duration>,
}

/// What becomes of a request that may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It is, for at most so long where there is no connection.
    Within(Duration),
    /// It is not.
    Never,
}

/// What is sent and where.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) mix: Mix,
    pub(super) wire: Wire,
    pub(super) client: Client,
    /// Submissions of one request.
    pub(super) batch: usize,
    pub(super) again: Again,
    pub(super) in_flight_max: usize,
    /// What makes the texts of this run differ from those of all others.
    pub(super) run: String,
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    load: Arc<Load>,
    record: Arc<Record>,
    extent: Extent,
    taken: AtomicU64,
    in_flight: AtomicUsize,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All was sent and answered.
    Done,
    /// It was interrupted.
    Interrupted,
}

impl Run {
    /// A run that has not begun.
    pub(super) fn new(load: &Arc<Load>, extent: Extent) -> Arc<Self> {
        Arc::new(Self {
            record: Arc::new(Record::new(&load.mix)),
            load: Arc::clone(load),
            extent,
            taken: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// What is recorded.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Requests that wait for their answer, or to be sent again.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Submissions that are to be sent, where that is known.
    pub(super) fn count(&self) -> Option<u64> {
        self.extent.count
    }

    /// Sends everything, unless `stop` is ready before.
    pub(super) async fn drive(
        self: &Arc<Self>,
        pace: Pace,
        stop: impl Future<Output = ()>,
    ) -> Ended {
        let mut tasks = JoinSet::new();
        let ended = {
            let all = async {
                match pace {
                    Pace::Closed(concurrency) => self.closed(concurrency, &mut tasks),
                    Pace::Open(rate) => self.open(rate, &mut tasks).await,
                }
                while tasks.join_next().await.is_some() {}
            };
            tokio::select! {
                () = all => Ended::Done,
                () = stop => Ended::Interrupted,
            }
        };
        // What is under way is dropped, and counted as cancelled when it is.
        tasks.shutdown().await;
        ended
    }

    fn closed(self: &Arc<Self>, concurrency: usize, tasks: &mut JoinSet<()>) {
        for _ in 0..concurrency {
            let run = Arc::clone(self);
            tasks.spawn(async move {
                while let Some(batch) = run.take() {
                    run.send(batch, Instant::now()).await;
                }
            });
        }
    }

    async fn open(self: &Arc<Self>, rate: f64, tasks: &mut JoinSet<()>) {
        let room = Arc::new(Semaphore::new(self.load.in_flight_max));
        let begun = self.record.begun();
        let mut sent = 0.0;
        while let Some(batch) = self.take() {
            let due = begun + Duration::from_secs_f64(sent / rate);
            #[expect(clippy::cast_precision_loss, reason = "a batch has some thousands at most")]
            {
                sent += batch.len() as f64;
            }
            let under_way = Underway::new(self, batch);
            tokio::time::sleep_until(due.into()).await;
            while tasks.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let run = Arc::clone(self);
            tasks.spawn(async move {
                run.answer(under_way, due).await;
                drop(permit);
            });
        }
    }

    /// The next submissions; `None` when count or time is over.
    fn take(&self) -> Option<Vec<Work>> {
        if self.extent.time.is_some_and(|time| self.record.begun().elapsed() >= time) {
            return None;
        }
        let batch = self.load.batch as u64;
        let first = self.taken.fetch_add(batch, Ordering::Relaxed);
        let end = self.extent.count.map_or(first + batch, |count| count.min(first + batch));
        if first >= end {
            return None;
        }
        let work = |number| {
            let item = self.load.mix.draw(number);
            let text = self.load.mix.items[item].next_text();
            let run = &self.load.run;
            Work { item, text: format!("{run}-{item}-{text}"), id: format!("{run}-{number}") }
        };
        Some((first..end).map(work).collect())
    }

    async fn send(self: &Arc<Self>, batch: Vec<Work>, due: Instant) {
        let under_way = Underway::new(self, batch);
        self.answer(under_way, due).await;
    }

    /// Sends a request until it is answered or given up.
    async fn answer(&self, mut under_way: Underway, due: Instant) {
        let (load, record) = (&self.load, &self.record);
        let mut refused = false;
        let mut first_fault = None;
        for attempt in 1.. {
            record.sent();
            let sent = Instant::now();
            let fault = match load.wire.send(&load.client, &under_way.batch).await {
                Ok(answers) => {
                    if refused {
                        record.came_back(false);
                    }
                    let (latency, service) = (due.elapsed(), sent.elapsed());
                    let batch = std::mem::take(&mut under_way.batch);
                    let answered = Answered { batch: &batch, answers: &answers, latency, service };
                    record.answered(&load.mix, &answered);
                    return;
                }
                Err(fault) => fault,
            };
            record.failed(&fault);
            let is_full = matches!(fault, Fault::Full(_));
            if refused && is_full {
                record.came_back(true);
            }
            refused = is_full;
            let away = first_fault.get_or_insert(sent).elapsed();
            let patient = match load.again {
                Again::Never => false,
                Again::Within(patience) => is_full || away <= patience,
            };
            if is_full {
                first_fault = None;
            }
            if !fault.may_pass() || !patient || attempt >= TRIES_MAX {
                record.gave_up(std::mem::take(&mut under_way.batch).len());
                return;
            }
            tokio::time::sleep(pause(&fault, attempt)).await;
        }
    }
}

/// How long to wait before a request is sent again: as long as the service says and a little more,
/// longer each time, and not the same for all who were refused together.
fn pause(fault: &Fault, attempt: u32) -> Duration {
    let backoff = PAUSE_MIN.saturating_mul(1 << attempt.min(5));
    let asked = match fault {
        Fault::Full(Some(retry_after)) => *retry_after,
        Fault::Full(None)
        | Fault::Status(..)
        | Fault::Connection(_)
        | Fault::Timeout
        | Fault::Malformed(_) => Duration::ZERO,
    };
    asked.max(backoff / 2).min(PAUSE_MAX) + backoff.mul_f64(random_share())
}

/// A random number from 0 to 1.
fn random_share() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

/// Submissions without an end yet. Whatever is left when it is dropped was cancelled.
#[derive(Debug)]
struct Underway {
    run: Arc<Run>,
    batch: Vec<Work>,
}

impl Underway {
    fn new(run: &Arc<Run>, batch: Vec<Work>) -> Self {
        run.record.issued(batch.len());
        run.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { run: Arc::clone(run), batch }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.run.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.batch.is_empty() {
            self.run.record.cancelled(self.batch.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_never_shorter_than_what_was_asked_and_has_a_bound() {
        for attempt in 1..300 {
            let asked = pause(&Fault::Full(Some(Duration::from_secs(7))), attempt);
            assert!(asked >= Duration::from_secs(7), "{asked:?}");
            let longest = pause(&Fault::Connection(String::new()), attempt);
            assert!(longest >= PAUSE_MIN && longest <= Duration::from_secs(4), "{longest:?}");
        }
    }
}
