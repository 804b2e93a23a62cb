//! How busy the machine is: whether a program may have waited for a processor that it should have had.
//!
//! Read from the kernel's own counters: time in which somebody waited for a processor
//! (`/proc/pressure/cpu`, where the kernel has it), time stolen by the machine around a virtual one,
//! and how many are ready to run for each processor (`/proc/stat`). Where none of them can be read the
//! machine counts as busy, so that a doubtful verdict is looked at twice.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Share of the time in which somebody waited, above which the machine is busy.
const WAITED_SHARE_MAX: f64 = 0.10;
/// Share of processor time that was stolen, above which it is.
const STOLEN_SHARE_MAX: f64 = 0.02;
/// Programs ready to run for each processor, above which it is.
const READY_SHARE_MAX: f64 = 1.5;
/// How old the counters may be that a run begins with: reading them takes as long as a small program.
const RECENT_MAX: Duration = Duration::from_millis(20);
/// By how much a deadline on the clock is stretched at most.
const STRETCH_MAX: f64 = 8.0;

/// The counters at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: Instant,
    counters: Option<Counters>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Counters {
    waited: Option<Duration>,
    /// Ticks of all processors: stolen, and all together.
    stolen: u64,
    total: u64,
    ready: f64,
    processors: f64,
}

/// What held between two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contention {
    busy: bool,
    stretch: f64,
}

impl Moment {
    /// The counters now.
    #[must_use]
    pub fn now() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let counters =
            read("/proc/stat").and_then(|stat| parse(&stat, read("/proc/pressure/cpu").as_deref()));
        Self { at: Instant::now(), counters }
    }

    /// The counters a moment ago, shared by all who ask within it. What held so shortly before a run
    /// counts as well.
    #[must_use]
    pub fn recent() -> Self {
        static LAST: Mutex<Option<Moment>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some(moment) if moment.at.elapsed() <= RECENT_MAX => moment,
            Some(_) | None => *last.insert(Self::now()),
        }
    }

    /// What has held since this moment.
    #[must_use]
    pub fn until_now(&self) -> Contention {
        let now = Self::now();
        let (Some(before), Some(after)) = (self.counters, now.counters) else {
            return Contention { busy: true, stretch: STRETCH_MAX };
        };
        between(&before, &after, now.at - self.at)
    }
}

impl Contention {
    /// Whether a program may have waited for a processor.
    #[must_use]
    pub fn is_busy(self) -> bool {
        self.busy
    }

    /// `wall_time`, as much longer as the machine was slower.
    #[must_use]
    pub fn stretched(self, wall_time: Duration) -> Duration {
        wall_time.mul_f64(self.stretch)
    }
}

fn between(before: &Counters, after: &Counters, elapsed: Duration) -> Contention {
    let waited = match (before.waited, after.waited) {
        (Some(before), Some(after)) if !elapsed.is_zero() => {
            after.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64()
        }
        _ => 0.0,
    };
    let ticks = after.total.saturating_sub(before.total);
    let stolen = after.stolen.saturating_sub(before.stolen);
    #[expect(clippy::cast_precision_loss, reason = "ticks of an interval are few")]
    let stolen = if ticks == 0 { 0.0 } else { stolen as f64 / ticks as f64 };
    let ready = after.ready.max(before.ready) / after.processors.max(1.0);
    let busy = waited > WAITED_SHARE_MAX || stolen > STOLEN_SHARE_MAX || ready > READY_SHARE_MAX;
    let stretch = (1.0 / (1.0 - waited - stolen).max(0.01)).max(ready).clamp(1.0, STRETCH_MAX);
    Contention { busy, stretch }
}

fn parse(stat: &str, pressure: Option<&str>) -> Option<Counters> {
    let line = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name));
    let ticks: Vec<u64> = line("cpu ")?.split_whitespace().map_while(|n| n.parse().ok()).collect();
    let processors =
        stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    let waited = pressure.and_then(|text| {
        let some = text.lines().find(|line| line.starts_with("some "))?;
        let total = some.split_whitespace().find_map(|word| word.strip_prefix("total="))?;
        total.parse().ok().map(Duration::from_micros)
    });
    Some(Counters {
        waited,
        stolen: ticks.get(7).copied().unwrap_or(0),
        // What guests use is part of user and nice.
        total: ticks.iter().take(8).sum(),
        ready: line("procs_running ")?.trim().parse().ok()?,
        processors: f64::from(u32::try_from(processors).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(waited_ms: u64, stolen: u64, total: u64, ready: f64) -> Counters {
        let waited = Some(Duration::from_millis(waited_ms));
        Counters { waited, stolen, total, ready, processors: 2.0 }
    }

    fn found(after: Counters) -> Contention {
        between(&counters(0, 0, 0, 1.0), &after, Duration::from_secs(1))
    }

    #[test]
    fn waiting_stealing_and_crowding_each_make_a_machine_busy() {
        assert!(!found(counters(100, 0, 200, 3.0)).is_busy());
        assert!(found(counters(101, 0, 200, 1.0)).is_busy());
        assert!(found(counters(0, 5, 200, 1.0)).is_busy());
        assert!(found(counters(0, 0, 200, 3.5)).is_busy());
    }

    #[test]
    fn a_deadline_is_stretched_by_what_was_lost() {
        let second = Duration::from_secs(1);
        assert_eq!(found(counters(0, 0, 200, 1.0)).stretched(second), second);
        assert_eq!(found(counters(500, 0, 200, 1.0)).stretched(second), 2 * second);
        assert_eq!(found(counters(0, 0, 200, 8.0)).stretched(second), 4 * second);
        assert_eq!(found(counters(999, 0, 200, 1.0)).stretched(second), 8 * second);
    }

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "cpu  10 0 20 30 0 0 0 5 1 1\ncpu0 1\ncpu1 1\nprocs_running 3\n";
        let pressure = "some avg10=1.00 avg60=1.00 avg300=1.00 total=1500\nfull total=0\n";
        let found = parse(stat, Some(pressure)).unwrap();
        assert_eq!((found.stolen, found.total, found.processors), (5, 65, 2.0));
        assert_eq!(found.waited, Some(Duration::from_micros(1500)));
        assert_eq!(parse(stat, None).unwrap().waited, None);
        assert_eq!(parse("", None), None);
        let found = Moment::now().until_now();
        assert!(found.stretched(Duration::from_secs(1)) >= Duration::from_secs(1));
    }
}
