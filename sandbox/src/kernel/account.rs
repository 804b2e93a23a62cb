//! What the processes of a pid namespace use, where no control group counts it.
//!
//! Living processes are looked at, in `/proc/PID/stat` and by their cpu clocks (`clock_getcpuclockid(3)`);
//! ended ones are charged when they are reaped. Both hold what a process's own waited-for children
//! used. Weaker than control groups, and said so by [`crate::preflight`]:
//!
//! - What a child used whose parent ignores its end (`SIGCHLD` ignored, `wait(2)`) is in no sum. It is
//!   charged as far as the sum falls between two looks; what lives for less than some
//!   [`LOOK_INTERVAL`]s is missed, and bounded by the wall time only.
//! - Memory is what processes have mapped, found by a look every [`LOOK_INTERVAL`]. Between two looks
//!   one processor can touch some tens of mebibytes. The kernel's own memory is not counted.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::stat::Mode;
use nix::time::ClockId;
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::process::{self, Reaped};
use crate::limits::{Bytes, Limits};

/// The longest time between two looks at the memory of a run. A look takes about 0.1 ms.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The shortest time between two looks: a program that writes much wakes us often.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// By how much a process's sum of its children may be rounded down: a tick of each of two figures.
const ROUNDED_MAX: Duration = Duration::from_millis(20);
/// What a process may have mapped of its image, which is not its own memory, and is counted all the
/// same in what the kernel tells of a process that has ended.
const CODE_BYTES_MAX: u64 = 64 << 20;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Account {
    /// `/proc` with every process in it, whatever it does to hide.
    processes: OwnedFd,
    page_bytes: u64,
    ticks_per_second: u64,
    run: Run,
}

/// What is known of the run of the moment.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    memory: u64,
    /// Our own largest resident set at the start: a child that shares our memory until it execs
    /// inherits it as its own.
    inherited: u64,
    /// Of those that were reaped.
    reaped: Duration,
    /// Of those that went without being in any sum.
    lost: Duration,
    /// The most that was ever found: it never falls.
    charged: Duration,
    /// What the last look saw of the living and the reaped.
    summed: Duration,
    peak: u64,
    exhausted: bool,
    /// The last look and what it saw, until something else is learned.
    looked: Option<(Instant, Duration)>,
}

/// A sum over living processes.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    cpu: Duration,
    resident: u64,
}

impl Account {
    /// `processes` is the folder of [`super::mount::all_processes`].
    pub(crate) fn new(processes: OwnedFd) -> io::Result<Self> {
        let known = |name| -> io::Result<u64> {
            sysconf(name)?
                .and_then(|value| u64::try_from(value).ok())
                .ok_or_else(|| io::ErrorKind::Unsupported.into())
        };
        let (page_bytes, ticks_per_second) =
            (known(SysconfVar::PAGE_SIZE)?, known(SysconfVar::CLK_TCK)?);
        Ok(Self { processes, page_bytes, ticks_per_second, run: Run::default() })
    }

    /// Forgets the last run.
    pub(crate) fn start(&mut self, limits: &Limits) -> io::Result<()> {
        let own = getrusage(UsageWho::RUSAGE_SELF)?;
        let inherited = u64::try_from(own.max_rss()).unwrap_or(0) << 10;
        self.run = Run { memory: limits.memory.0, inherited, ..Run::default() };
        Ok(())
    }

    /// Whether there is any process but our own: as PID 1 of the namespace we inherit every orphan, so
    /// having no child means that there is none.
    pub(crate) fn members(&self) -> io::Result<u64> {
        Ok(u64::from(process::has_children()?))
    }

    /// Adds what a process that has been reaped used.
    pub(crate) fn charge(&mut self, reaped: &Reaped) {
        self.run.reaped += reaped.cpu_time;
        self.run.looked = None;
        if reaped.resident_bytes_max > self.run.inherited {
            self.run.peak = self.run.peak.max(reaped.resident_bytes_max);
            self.run.exhausted |= reaped.resident_bytes_max > self.run.memory + CODE_BYTES_MAX;
        }
    }

    /// Looks at all living processes. Returns the processor time of the run.
    pub(crate) fn look(&mut self) -> io::Result<Duration> {
        if let Some((at, seen)) = self.run.looked
            && at.elapsed() < LOOK_INTERVAL_MIN
        {
            return Ok(seen);
        }
        let living = self.living()?;
        let sum = living.iter().fold(Sum::default(), |sum, (_, one)| Sum {
            cpu: sum.cpu + one.cpu,
            resident: sum.resident + one.resident,
        });
        let mut resident = sum.resident;
        if resident > self.run.memory {
            // Shared pages were counted once for each process that maps them.
            resident = self.shares(&living);
        }
        if resident > self.run.memory {
            // Processes are read one after the other, so a fork in between counts pages twice: what
            // is really there is there a moment later as well.
            resident = resident.min(self.shares(&self.living()?));
        }
        self.run.peak = self.run.peak.max(resident);
        self.run.exhausted |= resident > self.run.memory;
        let summed = self.run.reaped + sum.cpu;
        let fallen = self.run.summed.saturating_sub(summed);
        // As many as may be parents of what has just gone.
        let parents = u32::try_from(living.len() / 2).unwrap_or(u32::MAX).max(1);
        let tolerance = ROUNDED_MAX.saturating_mul(parents);
        self.run.lost += fallen.saturating_sub(tolerance);
        self.run.summed = summed;
        let cpu = self.run.charged.max(summed + self.run.lost);
        self.run.charged = cpu;
        self.run.looked = Some((Instant::now(), cpu));
        Ok(cpu)
    }

    /// Whether a look saw more memory than allowed, or a single process ever had far more.
    pub(crate) fn memory_exhausted(&self) -> bool {
        self.run.exhausted
    }

    /// The largest memory that was seen.
    pub(crate) fn peak_memory(&self) -> Bytes {
        Bytes(self.run.peak)
    }

    /// Every process but our own, parents mostly before their children: a child that is reaped
    /// meanwhile is then missed for once, and not counted twice.
    fn living(&self) -> io::Result<Vec<(i32, Sum)>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut names = Dir::openat(&self.processes, c".", flags, Mode::empty())?;
        let mut living = Vec::new();
        for entry in names.iter() {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            let Ok(pid) = name.parse::<i32>() else { continue };
            if pid == 1 {
                continue;
            }
            // One that has ended is no fault.
            if let Some(sum) = self.one(pid) {
                living.push((pid, sum));
            }
        }
        Ok(living)
    }

    fn one(&self, pid: i32) -> Option<Sum> {
        let stat = parse_stat(&self.read(pid, "stat")?)?;
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid)).and_then(ClockId::now).ok()?;
        let children = stat.children_ticks * 1_000_000_000 / self.ticks_per_second;
        let cpu = Duration::from(clock) + Duration::from_nanos(children);
        Some(Sum { cpu, resident: stat.resident_pages * self.page_bytes })
    }

    /// The memory of all, shared pages once. One that has ended meanwhile has none left.
    fn shares(&self, living: &[(i32, Sum)]) -> u64 {
        let of_one = |pid| {
            let unread = || self.one(pid).map_or(0, |again| again.resident);
            self.share(pid).unwrap_or_else(unread)
        };
        living.iter().map(|(pid, _)| of_one(*pid)).sum()
    }

    /// The memory of a process, where each shared page is divided among those that map it.
    fn share(&self, pid: i32) -> Option<u64> {
        parse_share(&self.read(pid, "smaps_rollup")?)
    }

    fn read(&self, pid: i32, name: &str) -> Option<String> {
        let path = format!("{pid}/{name}");
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.processes, path.as_str(), flags, Mode::empty()).ok()?;
        let mut bytes = Vec::with_capacity(2048);
        File::from(file).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    children_ticks: u64,
    resident_pages: u64,
}

/// `proc_pid_stat(5)`. The name may hold spaces and parentheses, so fields are counted from the last
/// `)`: the state, field 3, comes first.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, tail) = text.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat { children_ticks: field(16)? + field(17)?, resident_pages: field(24)? })
}

/// `proc_pid_smaps(5)`: bytes of anonymous and shared memory. Code of the image is not the program's.
fn parse_share(text: &str) -> Option<u64> {
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kib("Pss_Anon:")? + kib("Pss_Shmem:")?) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "42 (a) b (c) R 1 42 42 0 -1 4194304 100 200 0 0 7 8 30 4 20 0 1 0 9001 1000000 55 \
                    18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n";
        assert_eq!(parse_stat(text), Some(Stat { children_ticks: 34, resident_pages: 55 }));
        assert_eq!(parse_stat("42 (cut) R 1"), None);
    }

    #[test]
    fn file_pages_are_no_memory_of_a_program() {
        let text =
            "Rss: 900 kB\nPss: 800 kB\nPss_Anon: 100 kB\nPss_File: 690 kB\nPss_Shmem: 10 kB\n";
        assert_eq!(parse_share(text), Some(110 << 10));
        assert_eq!(parse_share("Rss: 900 kB\n"), None);
    }

    #[test]
    fn the_processor_time_and_memory_of_a_child_are_seen() {
        let account = Account::new(File::open("/proc").unwrap().into()).unwrap();
        let mut child =
            std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let seen = loop {
            let seen = account.one(pid).unwrap();
            if seen.cpu >= Duration::from_millis(30) || Instant::now() > deadline {
                break seen;
            }
            std::thread::yield_now();
        };
        let share = account.share(pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen.cpu >= Duration::from_millis(30), "{seen:?}");
        assert!(
            share.is_some_and(|bytes| bytes > 0 && bytes < seen.resident),
            "{seen:?} {share:?}"
        );
        assert!(account.one(pid).is_none());
    }

    #[test]
    fn ended_processes_are_charged_and_far_too_much_memory_is_told() {
        let reaped = |resident_bytes_max| Reaped {
            pid: Pid::from_raw(2),
            signal: None,
            code: 0,
            cpu_time: Duration::from_millis(7),
            resident_bytes_max,
        };
        let limits = Limits { memory: Bytes::mib(512), ..Limits::default() };
        let mut account = Account::new(File::open("/proc").unwrap().into()).unwrap();
        account.start(&limits).unwrap();
        for (bytes, exhausted) in [
            (limits.memory.0, false),
            (limits.memory.0 + CODE_BYTES_MAX, false),
            (limits.memory.0 + CODE_BYTES_MAX + 1, true),
        ] {
            account.charge(&reaped(bytes));
            assert_eq!(account.memory_exhausted(), exhausted, "{bytes}");
            assert_eq!(account.peak_memory(), Bytes(bytes));
        }
        assert_eq!(account.run.reaped, Duration::from_millis(21));
        account.start(&limits).unwrap();
        assert!(!account.memory_exhausted());
    }
}
