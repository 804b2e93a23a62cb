//! The sandbox by its library: every way a run can end, and every limit.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use sandbox::RunSpec;
use sandbox::limits::{Bytes, Limits};
use sandbox::outcome::Termination;

use crate::ground::{Ground, expect_end, expect_stdout, python, shell, text};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "sandbox",
        [
            an_exit_code_is_reported,
            a_signal_is_reported,
            the_cpu_limit_ends_a_spinning_program,
            the_cpu_limit_counts_children,
            the_wall_limit_ends_a_sleeping_program,
            the_memory_limit_ends_a_growing_program,
            a_child_killed_for_memory_ends_the_run_at_once,
            memory_below_the_limit_is_granted,
            the_output_limit_holds_on_both_streams,
            the_pids_limit_holds,
            the_disk_limit_holds,
            the_open_files_limit_holds,
            a_missing_program_is_told_apart_from_a_fault,
            a_dropped_run_ends_the_program,
            an_abandoned_run_gives_its_slot_back_as_it_was,
            usage_is_plausible,
            peak_memory_is_not_that_of_an_earlier_run,
            many_runs_of_one_lease_work,
        ]
    )
}

async fn an_exit_code_is_reported() -> Result<()> {
    let ground = Ground::new(1).await?;
    for code in [0, 1, 42, 255] {
        let outcome = ground.run(shell(&format!("exit {code}"))?).await?;
        expect_end(&outcome, Termination::Exited { code })?;
        ensure!(outcome.is_success() == (code == 0), "is_success of {code}");
    }
    ground.close().await
}

async fn a_signal_is_reported() -> Result<()> {
    let ground = Ground::new(1).await?;
    for signal in [6, 9, 11, 15] {
        let code = format!("import os\nos.kill(os.getpid(), {signal})");
        let outcome = ground.run(python(&code)?).await?;
        expect_end(&outcome, Termination::Signalled { signal })?;
    }
    ground.close().await
}

async fn the_cpu_limit_ends_a_spinning_program() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { cpu_time: Duration::from_millis(300), ..Limits::default() };
    let outcome = ground.run(python("while True: pass")?.limits(limits)?).await?;
    expect_end(&outcome, Termination::CpuTimeLimit)?;
    let used = outcome.usage.cpu_time;
    ensure!(used >= Duration::from_millis(295) && used < Duration::from_millis(600), "{used:?}");
    ground.close().await
}

async fn the_cpu_limit_counts_children() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { cpu_time: Duration::from_millis(400), ..Limits::default() };
    let code = "import os, time\nwhile True:\n    if os.fork() == 0:\n        \
                while time.process_time() < 0.05: pass\n        os._exit(0)\n    os.wait()";
    let outcome = ground.run(python(code)?.limits(limits)?).await?;
    expect_end(&outcome, Termination::CpuTimeLimit)?;
    ground.close().await
}

async fn the_wall_limit_ends_a_sleeping_program() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { wall_time: Duration::from_millis(300), ..Limits::default() };
    let start = Instant::now();
    let outcome = ground.run(shell("sleep 1000")?.limits(limits)?).await?;
    expect_end(&outcome, Termination::WallTimeLimit)?;
    ensure!(outcome.usage.wall_time >= Duration::from_millis(299), "{:?}", outcome.usage);
    ensure!(outcome.usage.cpu_time < Duration::from_millis(100), "{:?}", outcome.usage);
    ensure!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    ground.close().await
}

async fn the_memory_limit_ends_a_growing_program() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { memory: Bytes::mib(64), ..Limits::default() };
    let code = "x = []\nwhile True: x.append(bytearray(1 << 20))";
    for _ in 0..3 {
        let outcome = ground.run(python(code)?.limits(limits)?).await?;
        expect_end(&outcome, Termination::MemoryLimit)?;
        // Code of the image that is mapped counts as the process's, and not against its limit.
        let peak = outcome.usage.peak_memory;
        ensure!(peak > Bytes::mib(48) && peak <= Bytes::mib(64 + 16), "peak {peak}");
    }
    ground.close().await
}

/// The program itself lives on and would wait until the wall limit, which is far off.
async fn a_child_killed_for_memory_ends_the_run_at_once() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        memory: Bytes(64 << 20),
        wall_time: Duration::from_secs(600),
        ..Limits::default()
    };
    let code = "import os, signal\nif os.fork() == 0:\n    x = []\n    \
                while True: x.append(bytearray(1 << 20))\nwhile True: signal.pause()";
    let outcome = ground.run(python(code)?.limits(limits)?).await?;
    expect_end(&outcome, Termination::MemoryLimit)?;
    ground.close().await
}

async fn memory_below_the_limit_is_granted() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { memory: Bytes::mib(128), ..Limits::default() };
    for mib in [10_u64, 80] {
        let code = format!("x = bytearray({mib} << 20)\nprint(len(x) >> 20)");
        let outcome = ground.run(python(&code)?.limits(limits)?).await?;
        expect_stdout(&outcome, &format!("{mib}\n"))?;
        let peak = outcome.usage.peak_memory;
        ensure!(peak >= Bytes::mib(mib) && peak < Bytes::mib(mib + 40), "{mib} MiB: peak {peak}");
    }
    ground.close().await
}

/// At the limit, one below, one above; and far above on either stream.
async fn the_output_limit_holds_on_both_streams() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { output: Bytes(10_000), ..Limits::default() };
    for stream in ["stdout", "stderr"] {
        for count in [9_999, 10_000, 10_001, 50_000_000] {
            let code =
                format!("import sys\nsys.{stream}.write('x' * {count})\nsys.{stream}.flush()");
            let outcome = ground.run(python(&code)?.limits(limits)?).await?;
            let captured = if stream == "stdout" { &outcome.stdout } else { &outcome.stderr };
            if count <= 10_000 {
                expect_end(&outcome, Termination::Exited { code: 0 })?;
                ensure!(captured.bytes.len() == count && !captured.truncated, "{stream} {count}");
            } else {
                expect_end(&outcome, Termination::OutputLimit)?;
                ensure!(captured.bytes.len() == 10_000 && captured.truncated, "{stream} {count}");
            }
        }
    }
    ground.close().await
}

async fn the_pids_limit_holds() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { pids: 16, ..Limits::default() };
    let code = "import os, signal\nn = 0\ntry:\n    while n < 100:\n        \
                if os.fork() == 0: signal.pause()\n        n += 1\nexcept OSError: pass\nprint(n)";
    for _ in 0..2 {
        let outcome = ground.run(python(code)?.limits(limits)?).await?;
        expect_end(&outcome, Termination::Exited { code: 0 })?;
        let children: u32 = text(&outcome).trim().parse()?;
        ensure!((12..16).contains(&children), "{children} children with 16 processes allowed");
    }
    ground.close().await
}

async fn the_disk_limit_holds() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { disk: Bytes::mib(4), ..Limits::default() };
    let code = "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\ntotal = 0\n\
                for folder in ('/w', '/tmp', '/dev/shm'):\n    for n in range(20):\n        try:\n            \
                with open(f'{folder}/{n}', 'wb', buffering=0) as f: total += f.write(bytes(1 << 20))\n        \
                except OSError: break\nprint(total >> 20)";
    let outcome = ground.run(python(code)?.limits(limits)?).await?;
    expect_end(&outcome, Termination::Exited { code: 0 })?;
    let written: u64 = text(&outcome).trim().parse()?;
    ensure!((3..=4).contains(&written), "{written} MiB were written");
    ground.close().await
}

async fn the_open_files_limit_holds() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { open_files: 20, ..Limits::default() };
    let code = "import os\nn = 0\ntry:\n    while True:\n        os.open('/dev/null', 0)\n        n += 1\n\
                except OSError as error: print(n, error.errno)";
    let outcome = ground.run(python(code)?.limits(limits)?).await?;
    expect_stdout(&outcome, "17 24\n")?;
    ground.close().await
}

async fn a_missing_program_is_told_apart_from_a_fault() -> Result<()> {
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    let missing = lease.run(&RunSpec::new(["/usr/bin/no-such-program"])?).await;
    ensure!(missing.is_err(), "a missing program ran: {missing:?}");
    drop(lease);
    expect_stdout(&ground.run(shell("echo fine")?).await?, "fine\n")?;
    ground.close().await
}

async fn a_dropped_run_ends_the_program() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits { wall_time: Duration::from_secs(600), ..Limits::default() };
    let sleeper = shell("sleep 1000")?.limits(limits)?;
    let mut lease = ground.pool.lease().await?;
    let given_up = tokio::time::timeout(Duration::from_millis(200), lease.run(&sleeper)).await;
    ensure!(given_up.is_err(), "the sleeper ended: {given_up:?}");
    drop(lease);
    let next = tokio::time::timeout(Duration::from_secs(10), ground.run(shell("echo next")?));
    expect_stdout(&next.await.context("the slot did not come back")??, "next\n")?;
    ground.close().await
}

/// Goal: a run that nobody waits for costs its slot nothing, whatever it was doing. Method: leave many
/// at any moment, busy, asleep, forking and writing, and look at what the next one sees.
async fn an_abandoned_run_gives_its_slot_back_as_it_was() -> Result<()> {
    let ground = Ground::new(1).await?;
    let programs = [
        "echo mine > /w/left; sleep 1000",
        "while :; do :; done",
        "while :; do echo output; done",
        "trap '' TERM INT HUP; (sleep 1000 & sleep 1000 & wait) & wait",
        "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo x > /dev/shm/left; wait",
        "true",
    ];
    for round in 0..60_u64 {
        let program = programs[usize::try_from(round)? % programs.len()];
        let mut lease = ground.pool.lease().await?;
        let moment = Duration::from_micros(round * 400);
        drop(tokio::time::timeout(moment, lease.run(&shell(program)?)).await);
        drop(lease);
        let seen = ground.run(shell("ls /w /dev/shm/; echo seen")?).await?;
        expect_stdout(&seen, "/dev/shm/:\n\n/w:\nseen\n")?;
    }
    ensure!(ground.pool.status().rebuilt == 0, "{:?}", ground.pool.status());
    ground.close().await
}

async fn usage_is_plausible() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import time\nwhile time.process_time() < 0.2: pass\ntime.sleep(0.2)";
    let outcome = ground.run(python(code)?).await?;
    expect_end(&outcome, Termination::Exited { code: 0 })?;
    let usage = outcome.usage;
    let (cpu, wall) = (usage.cpu_time.as_millis(), usage.wall_time.as_millis());
    ensure!((195..300).contains(&cpu), "cpu {cpu} ms");
    ensure!((395..2000).contains(&wall), "wall {wall} ms");
    let idle = ground.run(RunSpec::new(["/bin/true"])?).await?.usage;
    ensure!(idle.cpu_time < Duration::from_millis(50), "{idle:?}");
    ensure!(idle.peak_memory < Bytes::mib(16), "memory of the run before is counted: {idle:?}");
    ground.close().await
}

/// More runs than a slot has groups to take in turn.
async fn peak_memory_is_not_that_of_an_earlier_run() -> Result<()> {
    let ground = Ground::new(1).await?;
    for _ in 0..4 {
        let large = ground.run(python("x = bytearray(80 << 20)")?).await?.usage.peak_memory;
        ensure!(large >= Bytes::mib(80) && large < Bytes::mib(120), "large run: {large}");
        let small = ground.run(RunSpec::new(["/bin/true"])?).await?.usage.peak_memory;
        ensure!(small < Bytes::mib(16), "small run: {small}");
    }
    ground.close().await
}

async fn many_runs_of_one_lease_work() -> Result<()> {
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    for number in 0..200 {
        let outcome = lease.run(&shell(&format!("cat; echo {number} > /w/f; cat /w/f"))?).await?;
        expect_stdout(&outcome, &format!("{number}\n"))?;
    }
    drop(lease);
    ensure!(ground.pool.status().rebuilt == 0, "{:?}", ground.pool.status());
    ground.close().await
}
