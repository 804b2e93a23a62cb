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
            a_template_is_made_anew_after_two_thousand_runs,
            runs_of_a_template_draw_different_numbers,
            no_program_runs_in_a_templates_place,
            a_command_and_a_module_start_warm,
        ]
    )
}

const ARGV: [&str; 2] = ["/usr/bin/python3", "/box/main.py"];
const ENV: [&str; 5] =
    ["PATH=/usr/bin:/bin", "HOME=/w", "LANG=C.UTF-8", "PYTHONHASHSEED=0", "MARK=1"];

/// Modules are found among the files of the lease.
const MODULE_ENV: [&str; 3] = ["PATH=/usr/bin:/bin", "HOME=/w", "PYTHONPATH=/box"];

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
            folder: None,
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

/// All runs of a template see the same addresses, those of another see others.
async fn a_template_is_made_anew_after_two_thousand_runs() -> Result<()> {
    let pool = pool(Some(&[])).await?;
    let place = async || {
        let outcome = run(&pool, "print(id(None), id([].__class__), id(__import__('io')))").await?;
        Ok::<_, anyhow::Error>(outcome.stdout.bytes)
    };
    run(&pool, "pass").await?;
    let first = place().await?;
    let mut runs = 1;
    while place().await? == first {
        runs += 1;
        ensure!(runs <= 2000, "the template is still there after {runs} runs");
    }
    ensure!(runs == 2000, "the template was given up after {runs} runs");
    pool.close().await;
    Ok(())
}

async fn runs_of_a_template_draw_different_numbers() -> Result<()> {
    let pool = pool(Some(&["random", "secrets", "uuid"])).await?;
    let source = "import random, secrets, uuid, tempfile\n\
        print(random.random(), random.SystemRandom().random(), secrets.token_hex(), uuid.uuid4(),\n\
        next(tempfile._get_candidate_names()), sep='\\n')\n";
    let mut seen = std::collections::HashSet::new();
    for _ in 0..4 {
        let outcome = run(&pool, source).await?;
        for line in
            outcome.stdout.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
        {
            ensure!(seen.insert(line.to_vec()), "drawn twice: {}", brief(&outcome));
        }
    }
    ensure!(seen.len() == 20, "{}", seen.len());
    pool.close().await;
    Ok(())
}

/// While a template starts, the program of the last run still lies where the interpreter looks for it.
/// What runs in the template's place has the slot's root as its user, and could write next to it.
async fn no_program_runs_in_a_templates_place() -> Result<()> {
    let source = "import os\nprint(os.getuid(), os.path.exists('/box/mark'))\n\
        try: open('/box/mark', 'w').close()\nexcept OSError: pass\n";
    let archive = "import sys, zipfile\nwith zipfile.ZipFile('/dev/stdout', 'w') as archive:\n\
        \tarchive.writestr('__main__.py', sys.argv[1])\n";
    let archive =
        std::process::Command::new("/usr/bin/python3").args(["-c", archive, source]).output()?;
    ensure!(archive.status.success(), "{}", String::from_utf8_lossy(&archive.stderr));
    let programs = [source.as_bytes().to_vec(), archive.stdout, Vec::new()];
    for preload in [&[][..], &["no_such_module"]] {
        let pool = pool(Some(preload)).await?;
        for program in &programs {
            let mut lease = pool.lease().await?;
            let path = RelativePath::new("main.py")?;
            let content = program.clone().into();
            lease.install(&[InputFile { path, content, mode: FileMode::Plain }]).await?;
            for _ in 0..4 {
                let outcome = lease.run(&RunSpec::new(ARGV)?.env(ENV)?).await?;
                let expected = if program.is_empty() { "" } else { "1000 False\n" };
                ensure!(outcome.stdout.bytes == expected, "{preload:?}: {}", brief(&outcome));
            }
        }
        pool.close().await;
    }
    Ok(())
}

/// What is no file has no path that the interpreter would look at, and is held elsewhere.
async fn a_command_and_a_module_start_warm() -> Result<()> {
    let look = "import sys; print('fractions' in sys.modules, sys.argv, __name__)";
    for arguments in [["-c", look], ["-m", "this_module"]] {
        let argv = [ARGV[0], arguments[0], arguments[1]];
        let mut config = PoolConfig::new(Image::host()?);
        config.slots = std::num::NonZeroUsize::MIN;
        let (preload, env) = (strings(&["fractions"]), strings(&MODULE_ENV));
        config.warm = vec![Warmup { argv: strings(&argv), env, preload, folder: None }];
        let pool = SlotPool::new(config).await?;
        let mut lease = pool.lease().await?;
        let path = RelativePath::new("this_module.py")?;
        let content = look.as_bytes().to_vec().into();
        lease.install(&[InputFile { path, content, mode: FileMode::Plain }]).await?;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let outcome = lease.run(&RunSpec::new(argv)?.env(MODULE_ENV)?).await?;
            seen.push(String::from_utf8_lossy(&outcome.stdout.bytes).into_owned());
        }
        ensure!(seen[0].starts_with("False [") && seen[1].starts_with("True ["), "{seen:?}");
        ensure!(seen[0][6..] == seen[1][5..] && seen[1] == seen[2], "{seen:?}");
        drop(lease);
        pool.close().await;
    }
    Ok(())
}
