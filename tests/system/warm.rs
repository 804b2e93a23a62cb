//! Warm interpreters: what they run ends as a cold start of the same program does.
//!
//! The same programs are run cold and warm in pools of their own, and everything a caller can see is
//! compared: termination, both streams. The programs are the 164 right solutions of HumanEval with
//! their tests, and those of `tests/data/start_up.py`, each of which looks at one thing that a
//! start-up decides.

use anyhow::{Context, Result, ensure};
use harness::humaneval;
use libtest_mimic::Trial;
use sandbox::outcome::{Outcome, Termination};
use sandbox::spec::{FileMode, InputFile, RelativePath};
use sandbox::warm::Warmup;
use sandbox::{Image, Limits, PoolConfig, RunSpec, SlotPool};

use crate::ground::brief;
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "warm",
        [
            programs_end_warm_as_they_end_cold,
            a_warm_start_is_a_start_from_the_template,
            a_run_cannot_reach_its_template,
            what_a_warm_run_leaves_is_gone,
            a_template_that_cannot_load_is_done_without,
            a_template_that_grows_is_made_anew,
        ]
    )
}

const ARGV: [&str; 2] = ["/usr/bin/python3", "/box/main.py"];
const ENV: [&str; 5] =
    ["PATH=/usr/bin:/bin", "HOME=/w", "LANG=C.UTF-8", "PYTHONHASHSEED=0", "MARK=1"];

/// Grows the template by 1 MiB with each run.
const LEAK: &str = "import os\nkept = []\n\
                    os.register_at_fork(before=lambda: kept.append(b'x' * (1 << 20)))\n";
const LEAK_ENV: [&str; 3] = ["PATH=/usr/bin:/bin", "HOME=/w", "PYTHONPATH=/box"];

const START_UP: &str = include_str!("../data/start_up.py");

/// Between two programs of the file.
const SEPARATOR: &str = "#---\n";

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

async fn pool(preload: Option<&[&str]>) -> Result<SlotPool> {
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = std::num::NonZeroUsize::MIN;
    config.warm = preload
        .map(|preload| Warmup {
            argv: strings(&ARGV),
            env: strings(&ENV),
            preload: strings(preload),
        })
        .into_iter()
        .collect();
    Ok(SlotPool::new(config).await?)
}

/// Runs a program in a lease of its own.
async fn run(pool: &SlotPool, source: &str) -> Result<Outcome> {
    let mut lease = pool.lease().await?;
    let path = RelativePath::new("main.py")?;
    let content = source.as_bytes().to_vec().into();
    lease.install(&[InputFile { path, content, mode: FileMode::Plain }]).await?;
    let limits = Limits { wall_time: std::time::Duration::from_secs(30), ..Limits::default() };
    let spec =
        RunSpec::new(ARGV)?.env(ENV)?.stdin(&b"first line\nsecond line\n"[..])?.limits(limits)?;
    Ok(lease.run(&spec).await?)
}

fn programs() -> Result<Vec<String>> {
    let mut programs: Vec<String> = humaneval::problems()?
        .iter()
        .map(|problem| {
            let (test, entry) = (&problem.test, &problem.entry_point);
            format!("{}\n{test}\ncheck({entry})\nprint('ended')\n", problem.canonical())
        })
        .collect();
    programs.extend(START_UP.split(SEPARATOR).skip(1).map(str::to_owned));
    Ok(programs)
}

async fn programs_end_warm_as_they_end_cold() -> Result<()> {
    let (cold, warm) = (pool(None).await?, pool(Some(&["re", "math", "collections"])).await?);
    let programs = programs()?;
    ensure!(programs.len() >= 200, "only {} programs", programs.len());
    // Starts the template.
    run(&warm, "pass").await?;
    let mut differing = Vec::new();
    for source in &programs {
        let (expected, found) = (run(&cold, source).await?, run(&warm, source).await?);
        let equal = expected.termination == found.termination
            && expected.stdout == found.stdout
            && expected.stderr == found.stderr;
        if !equal {
            differing.push(format!(
                "cold {}\nwarm {}\nof {source}",
                brief(&expected),
                brief(&found)
            ));
        }
    }
    ensure!(differing.is_empty(), "{}", differing.join("\n\n"));
    let rebuilt = warm.status().rebuilt;
    ensure!(rebuilt == 0, "{rebuilt} slots were lost");
    cold.close().await;
    warm.close().await;
    Ok(())
}

/// A module that only the template has loaded tells where a run started.
async fn a_warm_start_is_a_start_from_the_template() -> Result<()> {
    let pool = pool(Some(&["fractions"])).await?;
    let source = "import sys; print('fractions' in sys.modules)";
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(String::from_utf8_lossy(&run(&pool, source).await?.stdout.bytes).into_owned());
    }
    ensure!(seen == ["False\n", "True\n", "True\n"], "{seen:?}");
    pool.close().await;
    Ok(())
}

async fn a_run_cannot_reach_its_template() -> Result<()> {
    let pool = pool(Some(&[])).await?;
    run(&pool, "pass").await?;
    // The template's number is below the run's; every number is tried.
    let attack = "import os, signal\n\
        for pid in range(2, os.getpid()):\n\
        \tfor number in (signal.SIGKILL, signal.SIGSTOP, 0):\n\
        \t\ttry: os.kill(pid, number); print('signalled', pid)\n\
        \t\texcept (PermissionError, ProcessLookupError): pass\n\
        \tfor name in ('mem', 'environ', 'maps', 'fd', 'root', 'cwd'):\n\
        \t\ttry: os.stat(f'/proc/{pid}/{name}'); print('seen', pid, name)\n\
        \t\texcept OSError: pass\n\
        try: os.kill(-1, signal.SIGKILL)\n\
        except OSError: pass\n\
        print('done')\n";
    for _ in 0..3 {
        let outcome = run(&pool, attack).await?;
        ensure!(&outcome.stdout.bytes[..] == b"done\n", "{}", brief(&outcome));
    }
    ensure!(pool.status().rebuilt == 0, "the slot was lost");
    pool.close().await;
    Ok(())
}

async fn what_a_warm_run_leaves_is_gone() -> Result<()> {
    let pool = pool(Some(&[])).await?;
    run(&pool, "pass").await?;
    let leave = "import os, subprocess\n\
        open('/w/left', 'w').write('x'); open('/tmp/left', 'w').write('x')\n\
        os.makedirs('/dev/shm/a/b')\n\
        if os.fork() == 0:\n\
        \tos.setsid()\n\
        \tif os.fork() == 0:\n\
        \t\timport time; time.sleep(1000)\n\
        \tos._exit(0)\n\
        print('left')\n";
    let look = "import os\n\
        print(os.listdir('/w'), os.listdir('/tmp'), os.listdir('/dev/shm'),\n\
        sorted(int(name) for name in os.listdir('/proc') if name.isdigit()) == [os.getpid()])\n";
    for _ in 0..2 {
        let outcome = run(&pool, leave).await?;
        ensure!(outcome.termination == Termination::Exited { code: 0 }, "{}", brief(&outcome));
        let outcome = run(&pool, look).await?;
        ensure!(&outcome.stdout.bytes[..] == b"[] [] [] True\n", "{}", brief(&outcome));
    }
    pool.close().await;
    Ok(())
}

async fn a_template_that_cannot_load_is_done_without() -> Result<()> {
    let pool = pool(Some(&["no_such_module"])).await?;
    for _ in 0..5 {
        let outcome = run(&pool, "print('ran')").await.context("a run")?;
        ensure!(&outcome.stdout.bytes[..] == b"ran\n", "{}", brief(&outcome));
    }
    pool.close().await;
    Ok(())
}

/// How often the template has served shows in how much it has kept.
async fn a_template_that_grows_is_made_anew() -> Result<()> {
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = std::num::NonZeroUsize::MIN;
    let preload = strings(&["leak"]);
    config.warm = vec![Warmup { argv: strings(&ARGV), env: strings(&LEAK_ENV), preload }];
    let pool = SlotPool::new(config).await?;
    let mut lease = pool.lease().await?;
    let program = "import sys; m = sys.modules.get('leak'); print(len(m.kept) if m else 0)";
    for (name, content) in [("main.py", program), ("leak.py", LEAK)] {
        let (path, content) = (RelativePath::new(name)?, content.as_bytes().to_vec().into());
        lease.install(&[InputFile { path, content, mode: FileMode::Plain }]).await?;
    }
    let spec = RunSpec::new(ARGV)?.env(LEAK_ENV)?;
    let mut seen = Vec::new();
    for _ in 0..130 {
        let outcome = lease.run(&spec).await?;
        seen.push(String::from_utf8_lossy(&outcome.stdout.bytes).trim().parse::<u32>()?);
    }
    drop(lease);
    pool.close().await;
    let most = seen.iter().max().copied().unwrap_or_default();
    ensure!((90..=101).contains(&most), "the template was kept after {most} runs: {seen:?}");
    ensure!(seen.last() < Some(&40), "there is no new one: {seen:?}");
    Ok(())
}
