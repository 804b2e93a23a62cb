//! What benches share: medians, programs to measure with, facts of the machine.

pub mod slots;
pub mod table;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::unistd::{SysconfVar, sysconf};
use serde_json::{Value, json};

/// A program that exits at once, with no C library: what it costs is what launching costs.
const STATIC_TRUE: &str = "void _start(void) { \
    __asm__ volatile(\"mov $60, %eax; xor %edi, %edi; syscall\"); }";

/// Compiles `source` with the system's C or C++ compiler.
///
/// # Errors
/// There is no compiler, or it refuses.
pub fn compile(compiler: &str, flags: &[&str], source: &str, output: &Path) -> anyhow::Result<()> {
    let file = output.with_extension(if compiler == "c++" { "cc" } else { "c" });
    std::fs::write(&file, source).with_context(|| format!("write {}", file.display()))?;
    let status = Command::new(compiler)
        .args(flags)
        .arg("-o")
        .args([output, &file])
        .status()
        .with_context(|| format!("start {compiler}"))?;
    ensure!(status.success(), "{compiler} failed on {}", file.display());
    Ok(())
}

/// The static program that exits at once.
///
/// # Errors
/// As [`compile`].
pub fn static_true(output: &Path) -> anyhow::Result<()> {
    compile("cc", &["-static", "-nostdlib", "-O2"], STATIC_TRUE, output)
}

/// Starts a program with no isolation and waits for it: the baseline.
///
/// # Errors
/// It cannot be started, or fails.
pub fn bare(program: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("start {}", program.display()))?;
    ensure!(status.success(), "{} failed", program.display());
    Ok(())
}

/// Times of repeated work by one or more workers.
#[derive(Clone, Debug, Default)]
pub struct Times {
    each: Vec<Duration>,
    elapsed: Duration,
}

impl Times {
    /// Runs `work` `count` times.
    ///
    /// # Errors
    /// The first failure of `work`.
    pub fn of(count: usize, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Self> {
        // Written to before the start: a page touched for the first time would be memory and time of
        // the work.
        let mut each = vec![Duration::MAX; count];
        let begun = Instant::now();
        for time in &mut each {
            let start = Instant::now();
            work()?;
            *time = start.elapsed();
        }
        Ok(Self { each, elapsed: begun.elapsed() })
    }

    /// Runs `work` until `enough` has passed.
    ///
    /// # Errors
    /// The first failure of `work`.
    pub fn within(
        enough: Duration,
        mut work: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut clock = Clock::start();
        while clock.begun.elapsed() < enough {
            work()?;
            clock.lap();
        }
        Ok(clock.stop())
    }

    /// Puts workers that ran side by side together, in the order of their work.
    #[must_use]
    pub fn side_by_side(workers: Vec<Self>) -> Self {
        let elapsed = workers.iter().map(|times| times.elapsed).max().unwrap_or_default();
        let longest = workers.iter().map(|times| times.each.len()).max().unwrap_or_default();
        let turn = |index: usize| workers.iter().filter_map(move |times| times.each.get(index));
        Self { each: (0..longest).flat_map(turn).copied().collect(), elapsed }
    }

    /// The time that half of the work stayed below.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// The time that `share` of the work stayed below; 0.5 is the median.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.each.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into some thousand samples"
        )]
        let index = (share * sorted.len().saturating_sub(1) as f64) as usize;
        sorted.get(index).copied().unwrap_or_default()
    }

    /// Pieces of work per second, all workers together.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let count = u32::try_from(self.each.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.elapsed.as_secs_f64()
    }

    /// Medians of the first and of the last tenth.
    #[must_use]
    pub fn tenths(&self) -> [Duration; 2] {
        let tenth = self.each.len() / 10;
        let part = |each: &[Duration]| Self { each: each.to_vec(), ..Self::default() }.median();
        [&self.each[..tenth], &self.each[self.each.len() - tenth..]].map(part)
    }

    /// The figures, next to those of a baseline of the same run.
    #[must_use]
    pub fn report(&self, baseline: Option<&Self>) -> Value {
        let mut figures = json!({
            "median_us": microseconds(self.median()),
            "p99_us": microseconds(self.quantile(0.99)),
            "per_second": self.per_second().round(),
        });
        if let Some(baseline) = baseline {
            let ratio = self.median().as_secs_f64() / baseline.median().as_secs_f64();
            figures["ratio_to_bare"] = json!((ratio * 100.0).round() / 100.0);
        }
        figures
    }
}

/// A time for a machine to read.
#[must_use]
pub fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

/// Takes the times of work that is not a plain function, such as an asynchronous request.
#[derive(Debug)]
pub struct Clock {
    each: Vec<Duration>,
    begun: Instant,
    lap: Instant,
}

impl Clock {
    /// Starts the first piece of work.
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        Self { each: Vec::new(), begun: now, lap: now }
    }

    /// Ends a piece of work and starts the next.
    pub fn lap(&mut self) {
        let now = Instant::now();
        self.each.push(now - self.lap);
        self.lap = now;
    }

    /// The times of all that ended.
    #[must_use]
    pub fn stop(self) -> Times {
        Times { each: self.each, elapsed: self.lap - self.begun }
    }
}

/// Memory of this process that is in place, in bytes: `proc_pid_statm(5)`, second field.
///
/// # Errors
/// There is no /proc.
pub fn resident_set() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").context("read /proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).context("statm has no second field")?.parse()?;
    let page = sysconf(SysconfVar::PAGE_SIZE)?.context("pages have no size")?;
    Ok(pages * u64::try_from(page)?)
}

/// Where a figure was measured, and how busy the machine was with other things.
#[must_use]
pub fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let field = |path: &str, name: &str| {
        read(path).lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let version2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    json!({
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": field("/proc/cpuinfo", "model name"),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": field("/proc/meminfo", "MemTotal"),
        "cgroup": if version2 { "v2" } else { "v1" },
        "load": read("/proc/loadavg").split(' ').next(),
    })
}

/// The commit that was measured, `-dirty` with changes on top of it; `None` outside a checkout.
#[must_use]
pub fn commit() -> Option<String> {
    let arguments = ["describe", "--always", "--dirty", "--exclude=*"];
    let output = Command::new("git").args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
