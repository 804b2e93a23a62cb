//! Looks at the service and at the machine while a run goes on: queue, slots, memory, processor time.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::client::Client;
use super::drive::Run;
use super::limits::POINTS_MAX;

/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;
/// Units of processor time in a second, as `proc(5)` counts for programs: 100 on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// What was seen at one moment.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Sample {
    /// Seconds since the run began.
    pub(super) second: f64,
    /// Requests of ours without an answer.
    pub(super) in_flight: usize,
    /// Submissions that the service has admitted and not answered.
    pub(super) queue: Option<u64>,
    /// Slots in use.
    pub(super) leased: Option<u64>,
    /// Memory of the service that is in place.
    pub(super) memory_bytes: Option<u64>,
    /// Descriptors that the service has open.
    pub(super) descriptors: Option<u64>,
}

/// Samples, as many as there is room for; of a longer run, fewer.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) all: Vec<Sample>,
    skip: u32,
    turn: u32,
}

impl Samples {
    fn push(&mut self, sample: Sample) {
        self.turn += 1;
        if self.turn <= self.skip {
            return;
        }
        self.turn = 0;
        if self.all.len() >= POINTS_MAX {
            let mut odd = false;
            self.all.retain(|_| {
                odd = !odd;
                odd
            });
            self.skip = self.skip * 2 + 1;
        }
        self.all.push(sample);
    }

    /// Medians of memory in the second tenth of the run and in the last: the first tenth fills
    /// caches. `None` where there is too little to compare.
    pub(super) fn memory_growth(&self) -> Option<(u64, u64)> {
        let memory: Vec<u64> = self.all.iter().filter_map(|sample| sample.memory_bytes).collect();
        let tenth = memory.len() / 10;
        if tenth == 0 {
            return None;
        }
        let median = |part: &[u64]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part[part.len() / 2]
        };
        Some((median(&memory[tenth..2 * tenth]), median(&memory[memory.len() - tenth..])))
    }
}

/// Takes a sample each `interval` until it is dropped.
pub(super) async fn watch(
    run: &Run,
    client: Option<&Client>,
    pid: Option<u32>,
    samples: &mut Samples,
) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let mut sample = Sample {
            second: run.record().begun().elapsed().as_secs_f64(),
            in_flight: run.in_flight(),
            ..Sample::default()
        };
        if let Some(client) = client
            && let Ok(body) = client.get("/v1/stats?recent=0&seconds=0").await
            && let Ok(stats) = serde_json::from_slice::<Value>(&body)
        {
            sample.queue = stats["queue"]["submissions"].as_u64();
            sample.leased = stats["slots"]["leased"].as_u64();
            sample.memory_bytes = stats["process"]["memory_bytes"].as_u64();
            sample.descriptors = stats["process"]["descriptors"].as_u64();
        }
        if let Some(pid) = pid {
            sample.memory_bytes = resident_bytes(pid).or(sample.memory_bytes);
            let open = fs::read_dir(format!("/proc/{pid}/fd")).map(|all| all.count() as u64);
            sample.descriptors = open.ok().or(sample.descriptors);
        }
        samples.push(sample);
    }
}

/// Memory of a process that is in place: `proc_pid_statm(5)`, second field.
fn resident_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(text.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
}

/// Processor time that was used between two moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuClock {
    machine: Option<f64>,
    own: Option<f64>,
    begun: Instant,
}

/// What was used.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct CpuUsed {
    /// Seconds of the whole machine, this program not counted.
    pub(super) others_seconds: f64,
    /// Seconds of this program.
    pub(super) own_seconds: f64,
    /// Processors that were busy on average, with what this program used.
    pub(super) processors_busy: f64,
}

impl CpuClock {
    /// Starts counting.
    pub(super) fn start() -> Self {
        Self { machine: machine_seconds(), own: own_seconds(), begun: Instant::now() }
    }

    /// What was used since; `None` where the machine does not say.
    pub(super) fn used(&self) -> Option<CpuUsed> {
        let machine = machine_seconds()? - self.machine?;
        let own = own_seconds()? - self.own?;
        let elapsed = self.begun.elapsed().as_secs_f64().max(1e-3);
        Some(CpuUsed {
            others_seconds: (machine - own).max(0.0),
            own_seconds: own,
            processors_busy: machine / elapsed,
        })
    }
}

/// Seconds that all processors were busy: `proc_stat(5)`, all but idle and iowait.
fn machine_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1).take(8);
    let ticks: Vec<u32> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let busy = ticks.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    Some(busy.map(|(_, ticks)| f64::from(*ticks)).sum::<f64>() / TICKS_A_SECOND)
}

/// Seconds of this program: `proc_pid_stat(5)`, utime and stime.
fn own_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(f64::from(user + system) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_fewer_samples_and_they_reach_its_end() {
        let mut samples = Samples::default();
        for second in 0..20_000_u32 {
            let memory_bytes = Some(u64::from(second));
            samples.push(Sample { second: second.into(), memory_bytes, ..Sample::default() });
        }
        assert!(samples.all.len() <= POINTS_MAX);
        assert!(samples.all.last().unwrap().second > 19_900.0);
        let (early, late) = samples.memory_growth().unwrap();
        assert!((2_000..4_000).contains(&early) && (18_000..20_000).contains(&late));
        assert!(Samples::default().memory_growth().is_none());
    }

    #[test]
    fn the_machine_says_what_was_used() {
        let clock = CpuClock::start();
        let used = clock.used().unwrap();
        assert!(used.others_seconds >= 0.0 && used.own_seconds >= 0.0);
        assert!(resident_bytes(std::process::id()).unwrap() > 1 << 20);
    }
}
