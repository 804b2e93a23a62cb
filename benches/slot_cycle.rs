//! What a launch costs: from `RunSpec` to `Outcome` through the public API, isolation complete, next
//! to a bare start of the same program in the same run. Prints one JSON line.
//!
//! Workers are pinned to the processor of their slot, as a user with a thread for each slot would do it: waking an
//! idle virtual processor costs more than the launch.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use anyhow::{Context, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sandbox::spec::{FileMode, InputFile, RelativePath};
use sandbox::warm::Warmup;
use sandbox::{Image, Lease, PoolConfig, RunSpec, SlotPool};
use serde_json::json;
use support::Times;

const RUNS: usize = 5000;
const RUNS_OF_PYTHON: usize = 200;
const RUNS_PER_LEASE: usize = 10;

fn main() -> anyhow::Result<()> {
    sandbox::resident_entry();
    let folder = tempfile::tempdir()?;
    let trivial = folder.path().join("true");
    support::static_true(&trivial)?;
    let python = Path::new("/usr/bin/python3");
    let mut figures = serde_json::Map::new();
    for workers in [1, 2] {
        let bare = side_by_side(workers, |_| Times::of(RUNS, || support::bare(&trivial, &[])))?;
        let pool = pool(workers)?;
        let installed = installed(&trivial)?;
        let leased = side_by_side(workers, |_| one_per_lease(&pool, &installed))?;
        let repeated = side_by_side(workers, |_| ten_per_lease(&pool, &installed))?;
        let bare_python = side_by_side(workers, |_| {
            Times::of(RUNS_OF_PYTHON, || support::bare(python, &["-c", "pass"]))
        })?;
        let python = side_by_side(workers, |_| run_python(&pool, Start::Cold))?;
        let warm = side_by_side(workers, |_| run_python(&pool, Start::Warm))?;
        runtime()?.block_on(pool.close());
        figures.insert(
            format!("workers_{workers}"),
            json!({
                "static_true_bare": bare.report(None),
                "static_true": leased.report(Some(&bare)),
                "static_true_in_one_lease": repeated.report(Some(&bare)),
                "static_true_drift": (leased.drift() * 100.0).round() / 100.0,
                "python_pass_bare": bare_python.report(None),
                "python_pass": python.report(Some(&bare_python)),
                "python_pass_warm": warm.report(Some(&bare_python)),
            }),
        );
    }
    println!(
        "{}",
        json!({"bench": "slot_cycle", "machine": support::machine(), "figures": figures})
    );
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn pool(slots: usize) -> anyhow::Result<SlotPool> {
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = NonZeroUsize::new(slots).context("no slots")?;
    let strings = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    let (argv, env) = (strings(&INTERPRETER), strings(&ENVIRONMENT));
    config.warm = vec![Warmup { argv, env, preload: Vec::new() }];
    Ok(runtime()?.block_on(SlotPool::new(config))?)
}

fn installed(program: &Path) -> anyhow::Result<Vec<InputFile>> {
    let content = std::fs::read(program)?.into();
    let (path, mode) = (RelativePath::new("true")?, FileMode::Executable);
    Ok(vec![InputFile { path, content, mode }])
}

/// Runs `work` on `workers` threads at once, each pinned to a processor.
fn side_by_side(
    workers: usize,
    work: impl Fn(usize) -> anyhow::Result<Times> + Sync,
) -> anyhow::Result<Times> {
    let work = &work;
    let times: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    pin(worker)?;
                    work(worker)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("panic")))
            .collect()
    });
    let times = times.into_iter().map(|result| result?).collect::<anyhow::Result<_>>()?;
    Ok(Times::side_by_side(times))
}

fn pin(worker: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(worker)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

async fn check(lease: &mut Lease, spec: &RunSpec) -> anyhow::Result<()> {
    let outcome = lease.run(spec).await?;
    ensure!(outcome.is_success(), "{outcome:?}");
    Ok(())
}

/// A new lease for each run, the program brought along.
fn one_per_lease(pool: &SlotPool, files: &[InputFile]) -> anyhow::Result<Times> {
    let runtime = runtime()?;
    let spec = RunSpec::new(["/w/true"])?.files(files.to_vec())?;
    Times::of(RUNS, || {
        runtime.block_on(async {
            let mut lease = pool.lease().await?;
            check(&mut lease, &spec).await
        })
    })
}

/// Ten runs of one installed program in each lease. Times are of one run, the lease's share included.
fn ten_per_lease(pool: &SlotPool, files: &[InputFile]) -> anyhow::Result<Times> {
    let runtime = runtime()?;
    let spec = RunSpec::new(["/box/true"])?;
    let (mut lease, mut used) = (None, RUNS_PER_LEASE);
    Times::of(RUNS, || {
        runtime.block_on(async {
            if used == RUNS_PER_LEASE {
                drop(lease.take());
                let mut fresh = pool.lease().await?;
                fresh.install(files).await?;
                (lease, used) = (Some(fresh), 0);
            }
            used += 1;
            check(lease.as_mut().context("no lease")?, &spec).await
        })
    })
}

/// How an interpreter is started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Cold,
    Warm,
}

const ENVIRONMENT: [&str; 3] = ["PATH=/usr/bin:/bin", "HOME=/w", "PYTHONHASHSEED=0"];
const INTERPRETER: [&str; 2] = ["/usr/bin/python3", "/box/main.py"];

fn run_python(pool: &SlotPool, start: Start) -> anyhow::Result<Times> {
    let runtime = runtime()?;
    // A start with other arguments than the template's is cold.
    let argv = INTERPRETER.into_iter().chain((start == Start::Cold).then_some("cold"));
    let spec = RunSpec::new(argv)?.env(ENVIRONMENT)?;
    let path = RelativePath::new("main.py")?;
    let program = InputFile { path, content: "pass\n".into(), mode: FileMode::Plain };
    let run = || {
        runtime.block_on(async {
            let mut lease = pool.lease().await?;
            lease.install(std::slice::from_ref(&program)).await?;
            check(&mut lease, &spec).await
        })
    };
    run()?;
    Times::of(RUNS_OF_PYTHON, run)
}
