//! Calls to one server: how many at once, how fast, how often again, and when not at all.
//!
//! A call waits for its turn (bounded), for the rate, and is tried again where that may help:
//! connection, time, 408, 429 and 5xx, with full jitter and `Retry-After`; other 4xx never. Every
//! wait ends at the deadline of the verdict.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::breaker::{Breaker, State};
use super::bucket::Bucket;
use super::config::CallConfig;
use super::metrics::Metrics;
use super::transport::{CallFault, Transport};

/// Latencies that are remembered.
const LATENCIES: usize = 128;
/// Latencies from which the time to hedge is known.
const LATENCIES_MIN: usize = 20;

/// Why a call has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallsFault {
    /// Too many wait already.
    #[error("too many calls are waiting")]
    Busy,
    /// The breaker is open.
    #[error("calls are stopped after failures")]
    Open,
    /// Canaries found the judge to be wrong too often.
    #[error("calls are stopped because known answers were judged wrongly")]
    Distrusted,
    /// The deadline came first.
    #[error("the deadline passed")]
    Deadline,
    /// All tries failed; this is how the last did.
    #[error(transparent)]
    Call(#[from] CallFault),
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A verdict.
    Verdict,
    /// Finding out whether verdicts can be trusted.
    Canary,
}

/// One server.
#[derive(Debug)]
pub struct Calls {
    transport: Transport,
    config: CallConfig,
    permits: Semaphore,
    waiting: AtomicUsize,
    requests: Mutex<Bucket>,
    tokens: Mutex<Bucket>,
    breaker: Mutex<Breaker>,
    latencies: Mutex<VecDeque<Duration>>,
    metrics: Metrics,
    name: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Calls {
    /// Calls by `transport`, as `config` says; `name` is for metrics.
    #[must_use]
    pub fn new(name: &str, transport: Transport, config: CallConfig, metrics: Metrics) -> Self {
        let now = Instant::now();
        let open_for = Duration::from_millis(config.breaker_open_ms);
        Self {
            transport,
            permits: Semaphore::new(config.concurrency.get()),
            waiting: AtomicUsize::new(0),
            requests: Mutex::new(Bucket::new(config.requests_per_second, now)),
            tokens: Mutex::new(Bucket::new(config.tokens_per_second, now)),
            breaker: Mutex::new(Breaker::new(config.breaker_failures, open_for)),
            latencies: Mutex::default(),
            metrics,
            name: name.to_owned(),
            config,
        }
    }

    /// When a verdict that begins now must be there.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.config.deadline_ms)
    }

    /// What the breaker does.
    #[must_use]
    pub fn state(&self) -> State {
        lock(&self.breaker).state(Instant::now())
    }

    /// Whether verdicts can be trusted, as canaries found.
    pub fn trust(&self, trusted: bool) {
        lock(&self.breaker).trust(trusted);
    }

    /// Notes how many tokens a call took beyond those that it was admitted with.
    pub fn settle_tokens(&self, more: f64) {
        lock(&self.tokens).settle(more, Instant::now());
    }

    /// Posts `body` until there is a reply or no hope; `tokens` is about what it takes.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn call(
        &self,
        body: &Value,
        tokens: f64,
        deadline: Instant,
        purpose: Purpose,
    ) -> Result<Value, CallsFault> {
        let mut tries = 1;
        loop {
            let fault = match self.attempt(body, tokens, deadline, purpose).await {
                Ok(reply) => {
                    self.metrics.called(&self.name, "ok");
                    return Ok(reply);
                }
                Err(CallsFault::Call(fault)) => fault,
                Err(fault) => {
                    self.metrics.called(&self.name, refusal(&fault));
                    return Err(fault);
                }
            };
            self.metrics.called(&self.name, fault.name());
            tracing::debug!(judge = self.name, %fault, tries, "a call failed");
            if !fault.may_pass() || tries >= self.config.tries_max {
                return Err(fault.into());
            }
            let pause = self.pause(tries, &fault);
            if Instant::now() + pause >= deadline {
                return Err(fault.into());
            }
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    async fn attempt(
        &self,
        body: &Value,
        tokens: f64,
        deadline: Instant,
        purpose: Purpose,
    ) -> Result<Value, CallsFault> {
        let _permit = self.permit(deadline).await?;
        self.await_rate(tokens, deadline).await?;
        let mut trial = self.admit(purpose)?;
        let time_max = Duration::from_millis(self.config.try_timeout_ms)
            .min(deadline.saturating_duration_since(Instant::now()));
        if time_max.is_zero() {
            return Err(CallsFault::Deadline);
        }
        let start = Instant::now();
        let result = self.hedged(body, time_max).await;
        match &result {
            Ok(_) => {
                trial.end(Breaker::succeeded);
                self.remember(start.elapsed());
            }
            // The server is there and says no: that is no reason to leave it alone.
            Err(CallFault::Status { status: 400..=499, .. }) => trial.end(Breaker::succeeded),
            Err(_) => trial.end(|breaker| breaker.failed(Instant::now())),
        }
        self.metrics.breaker(&self.name, self.state());
        result.map_err(CallsFault::Call)
    }

    async fn permit(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, CallsFault> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.config.waiting_max)?;
        match tokio::time::timeout_at(deadline.into(), self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(CallsFault::Deadline),
        }
    }

    async fn await_rate(&self, tokens: f64, deadline: Instant) -> Result<(), CallsFault> {
        let now = Instant::now();
        let wait = lock(&self.requests).take(1.0, now).max(lock(&self.tokens).take(tokens, now));
        if now + wait >= deadline {
            // What was taken and is not used goes back.
            lock(&self.requests).settle(-1.0, now);
            lock(&self.tokens).settle(-tokens, now);
            return Err(CallsFault::Deadline);
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn admit(&self, purpose: Purpose) -> Result<Trial<'_>, CallsFault> {
        let mut breaker = lock(&self.breaker);
        let now = Instant::now();
        let distrusted = breaker.state(now) == State::Distrusted;
        if (purpose == Purpose::Canary && distrusted) || breaker.admit(now) {
            return Ok(Trial { breaker: &self.breaker, ended: false });
        }
        Err(if distrusted { CallsFault::Distrusted } else { CallsFault::Open })
    }

    /// One call, or two where the first takes longer than most: the first reply counts.
    async fn hedged(&self, body: &Value, time_max: Duration) -> Result<Value, CallFault> {
        let Some(patience) = self.patience().filter(|patience| *patience < time_max) else {
            return self.transport.post(body, time_max).await;
        };
        let first = std::pin::pin!(self.transport.post(body, time_max));
        let late = std::pin::pin!(tokio::time::sleep(patience));
        let first = match select(first, late).await {
            Either::Left((reply, _)) => return reply,
            Either::Right(((), first)) => first,
        };
        self.metrics.called(&self.name, "hedged");
        let second = std::pin::pin!(self.transport.post(body, time_max.saturating_sub(patience)));
        match select(first, second).await {
            Either::Left((Ok(reply), _)) | Either::Right((Ok(reply), _)) => Ok(reply),
            Either::Left((Err(_), other)) => other.await,
            Either::Right((Err(_), other)) => other.await,
        }
    }

    /// How long most calls take, where hedging is on and enough were seen.
    fn patience(&self) -> Option<Duration> {
        let latencies = lock(&self.latencies);
        if !self.config.hedge || latencies.len() < LATENCIES_MIN {
            return None;
        }
        let mut sorted: Vec<Duration> = latencies.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 95 / 100).copied()
    }

    fn remember(&self, latency: Duration) {
        let mut latencies = lock(&self.latencies);
        if latencies.len() == LATENCIES {
            latencies.pop_front();
        }
        latencies.push_back(latency);
        self.metrics.answered(&self.name, latency);
    }

    /// What the server asks for, else a random part of a time that doubles with each try.
    fn pause(&self, tries: u32, fault: &CallFault) -> Duration {
        let longest = Duration::from_millis(self.config.backoff_max_ms);
        if let CallFault::Status { retry_after: Some(asked), .. } = fault {
            return (*asked).min(longest);
        }
        let doubled = self.config.backoff_ms.saturating_mul(1 << tries.saturating_sub(1).min(32));
        Duration::from_millis(doubled).min(longest).mul_f64(super::random_share())
    }
}

fn refusal(fault: &CallsFault) -> &'static str {
    match fault {
        CallsFault::Busy => "busy",
        CallsFault::Open => "open",
        CallsFault::Distrusted => "distrusted",
        CallsFault::Deadline => "deadline",
        CallsFault::Call(fault) => fault.name(),
    }
}

/// A place among those that wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, max: usize) -> Result<Self, CallsFault> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= max {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(CallsFault::Busy);
        }
        Ok(Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that the breaker let through; dropped before its end, nothing is known of it.
struct Trial<'a> {
    breaker: &'a Mutex<Breaker>,
    ended: bool,
}

impl Trial<'_> {
    fn end(&mut self, note: impl FnOnce(&mut Breaker)) {
        self.ended = true;
        note(&mut lock(self.breaker));
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.ended {
            lock(self.breaker).abandoned();
        }
    }
}
