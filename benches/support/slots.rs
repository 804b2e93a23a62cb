//! Programs run in slots through the public interface of the sandbox, over and over.
//!
//! Each worker is a thread pinned to a processor, as a user with a thread for each slot would do it: waking an
//! idle virtual processor costs more than the launch.

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sandbox::spec::{BOX_DIR, FileMode, InputFile, RelativePath, WORK_DIR};
use sandbox::warm::Warmup;
use sandbox::{Image, PoolConfig, RunSpec, SlotPool};
use tokio::runtime::{Builder, Runtime};

use crate::Times;

/// The interpreter that is measured.
pub const PYTHON: &str = "/usr/bin/python3";
const ENVIRONMENT: [&str; 3] = ["PATH=/usr/bin:/bin", "HOME=/w", "PYTHONHASHSEED=0"];

/// What is run in slots: a program, and how leases are used for it.
#[derive(Clone, Debug)]
pub struct Work {
    spec: RunSpec,
    installed: Vec<InputFile>,
    runs_per_lease: usize,
}

/// How an interpreter is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As any other program.
    Cold,
    /// From the template of [`warmup`].
    Warm,
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Builds slots that show the machine's own programs.
///
/// # Errors
/// The host refuses something that isolation needs.
pub fn pool(slots: usize, warm: Vec<Warmup>) -> Result<SlotPool> {
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = NonZeroUsize::new(slots).context("no slots")?;
    config.warm = warm;
    Ok(runtime()?.block_on(SlotPool::new(config))?)
}

/// Destroys the slots.
///
/// # Errors
/// There is no runtime to wait in.
pub fn close(pool: &SlotPool) -> Result<()> {
    runtime()?.block_on(pool.close());
    Ok(())
}

/// The template for the warm starts of `script`, with `modules` loaded.
#[must_use]
pub fn warmup(script: &str, modules: &[&str]) -> Warmup {
    let owned = |strings: &[&str]| strings.iter().map(|&string| string.to_owned()).collect();
    let argv = vec![PYTHON.to_owned(), format!("{BOX_DIR}/{script}")];
    Warmup { argv, env: owned(&ENVIRONMENT), preload: owned(modules), folder: None }
}

fn file(name: &str, content: impl Into<Vec<u8>>, mode: FileMode) -> Result<InputFile> {
    Ok(InputFile { path: RelativePath::new(name)?, content: content.into().into(), mode })
}

fn executable(program: &Path) -> Result<(&str, InputFile)> {
    let name = program.file_name().and_then(|name| name.to_str()).context("no name")?;
    Ok((name, file(name, std::fs::read(program)?, FileMode::Executable)?))
}

impl Work {
    /// A lease for each run, the program brought along with the run.
    ///
    /// # Errors
    /// The program cannot be read.
    pub fn brought(program: &Path) -> Result<Self> {
        let (name, file) = executable(program)?;
        let spec = RunSpec::new([format!("{WORK_DIR}/{name}")])?.files(vec![file])?;
        Ok(Self { spec, installed: Vec::new(), runs_per_lease: 1 })
    }

    /// The program installed in a lease, and run there `runs_per_lease` times.
    ///
    /// # Errors
    /// The program cannot be read.
    pub fn installed(program: &Path, runs_per_lease: usize) -> Result<Self> {
        let (name, file) = executable(program)?;
        let spec = RunSpec::new([format!("{BOX_DIR}/{name}")])?;
        Ok(Self { spec, installed: vec![file], runs_per_lease })
    }

    /// A lease for each run, the Python program `source` installed in it as `script`.
    ///
    /// # Errors
    /// `script` is no name.
    pub fn python(script: &str, source: &str, start: Start) -> Result<Self> {
        let path = format!("{BOX_DIR}/{script}");
        let mut argv = vec![PYTHON, &path];
        match start {
            // A start with other arguments than the template's is cold.
            Start::Cold => argv.push("cold"),
            Start::Warm => {}
        }
        let spec = RunSpec::new(argv)?.env(ENVIRONMENT)?;
        let installed = vec![file(script, source, FileMode::Plain)?];
        Ok(Self { spec, installed, runs_per_lease: 1 })
    }

    /// Runs it again and again. Each time is of one run, with its share of the lease.
    ///
    /// # Errors
    /// A run that does not succeed.
    pub fn start<'a>(&'a self, pool: &'a SlotPool) -> Result<impl FnMut() -> Result<()> + use<'a>> {
        let runtime = runtime()?;
        let (mut held, mut used) = (None, 0);
        Ok(move || {
            runtime.block_on(async {
                let mut lease = match held.take() {
                    Some(lease) => lease,
                    None => {
                        let mut lease = pool.lease().await?;
                        if !self.installed.is_empty() {
                            lease.install(&self.installed).await?;
                        }
                        used = 0;
                        lease
                    }
                };
                let outcome = lease.run(&self.spec).await?;
                ensure!(outcome.is_success(), "{outcome:?}");
                used += 1;
                held = (used < self.runs_per_lease).then_some(lease);
                Ok(())
            })
        })
    }
}

/// Runs `work` on `workers` threads at once, each pinned to a processor.
///
/// # Errors
/// The first failure of `work`.
pub fn side_by_side(workers: usize, work: impl Fn(usize) -> Result<Times> + Sync) -> Result<Times> {
    let work = &work;
    let times: Vec<_> = thread::scope(|scope| {
        let start = |worker| {
            scope.spawn(move || {
                pin(worker)?;
                work(worker)
            })
        };
        let threads: Vec<_> = (0..workers).map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Times>>| {
            thread.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?
        };
        threads.into_iter().map(join).collect()
    });
    Ok(Times::side_by_side(times.into_iter().collect::<Result<_>>()?))
}

fn pin(worker: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(worker)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
