//! Every bound of the load generator.

use std::time::Duration;

/// Submissions of one request.
pub(super) const BATCH_MAX: usize = 4096;
/// Items of a mix.
pub(super) const ITEMS_MAX: usize = 4096;
/// Bytes by which a source may be made longer.
pub(super) const PAD_BYTES_MAX: usize = 1 << 20;
/// Submissions of one run.
pub(super) const COUNT_MAX: u64 = 100_000_000;
/// Requests a second.
pub(super) const RATE_MAX: f64 = 1_000_000.0;
/// Requests at the same time: sent and not answered, or waiting to be sent again.
pub(super) const IN_FLIGHT_MAX: usize = 65_536;
/// How long one request may take.
pub(super) const REQUEST_TIME_MAX: Duration = Duration::from_secs(600);
/// Bytes of a reply.
pub(super) const REPLY_BYTES_MAX: usize = 256 << 20;
/// How often one request is sent: a service that is away for a minute is waited for.
pub(super) const TRIES_MAX: u32 = 256;
/// The shortest pause before a request is sent again.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause that a `Retry-After` can ask for.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(120);
/// Wrong verdicts that are shown.
pub(super) const WRONG_SHOWN_MAX: usize = 100;
/// Points of a curve; a longer run has coarser points.
pub(super) const POINTS_MAX: usize = 1024;
/// How long a run for finding the sustainable rate takes.
pub(super) const CALIBRATION_TIME: Duration = Duration::from_secs(10);
