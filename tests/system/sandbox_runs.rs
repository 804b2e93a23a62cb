//! The sandbox by its library: every termination, every limit, every stream, and what a program
//! sees of the machine and of the run before it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use sandbox::limits::{Bytes, Limits};
use sandbox::outcome::{Collected, Outcome, Termination};
use sandbox::spec::{CollectFile, FileMode, InputFile, RelativePath, RunSpec};
use sandbox::{Image, Lease, PoolConfig, SlotPool};

use crate::{Needs, named};

const PYTHON: &str = "/usr/bin/python3";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = terminations();
    trials.extend(streams());
    trials.extend(views());
    trials
}

fn terminations() -> Vec<Trial> {
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
            memory_below_the_limit_is_granted,
            the_output_limit_holds_on_both_streams,
            the_pids_limit_holds,
            the_disk_limit_holds,
            the_open_files_limit_holds,
            a_missing_program_is_told_apart_from_a_fault,
            a_dropped_run_ends_the_program,
            usage_is_plausible,
            many_runs_of_one_lease_work,
        ]
    )
}

fn streams() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "sandbox",
        [
            standard_input_is_delivered_whole,
            a_program_that_never_reads_is_not_held_up,
            both_outputs_beyond_the_pipe_size_are_captured,
            files_go_in_and_come_out,
            a_collected_symlink_is_refused,
            a_collected_fifo_or_folder_is_refused,
            a_leased_file_cannot_be_changed,
        ]
    )
}

fn views() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "sandbox",
        [
            nothing_of_the_previous_run_is_visible,
            nothing_of_a_previous_lease_is_visible,
            the_environment_is_what_was_asked_for,
            only_three_descriptors_are_open,
            the_program_has_no_privilege,
            the_program_sees_its_own_processes_only,
            the_root_is_read_only,
            there_is_no_network,
            the_host_name_is_not_the_hosts,
            parallel_runs_do_not_see_each_other,
        ]
    )
}

/// A pool; its folder of locks is the machine's, as all pools must name the same.
struct Ground {
    pool: SlotPool,
}

impl Ground {
    async fn new(slots: usize) -> Result<Self> {
        let slots = NonZeroUsize::new(slots).context("no slots")?;
        let config = PoolConfig {
            slots,
            ..PoolConfig::new(Image::host()?)
        };
        Ok(Self {
            pool: SlotPool::new(config).await?,
        })
    }

    /// One run in a lease of its own.
    async fn run(&self, spec: RunSpec) -> Result<Outcome> {
        let mut lease: Lease = self.pool.lease().await?;
        Ok(lease.run(&spec).await?)
    }

    async fn close(self) -> Result<()> {
        ensure!(self.pool.status().leased == 0, "a lease is left");
        self.pool.close().await;
        Ok(())
    }
}

fn python(code: &str) -> Result<RunSpec> {
    Ok(RunSpec::new([PYTHON, "-I", "-S", "-c", code])?)
}

fn shell(code: &str) -> Result<RunSpec> {
    Ok(RunSpec::new(["/bin/sh", "-c", code])?.env(["PATH=/usr/bin:/bin"])?)
}

fn text(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout.bytes).into_owned()
}

/// The outcome without the bulk of its output.
fn brief(outcome: &Outcome) -> String {
    let head = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
    format!(
        "{:?} {:?} stdout {:?} stderr {:?}",
        outcome.termination,
        outcome.usage,
        head(&outcome.stdout.bytes),
        head(&outcome.stderr.bytes)
    )
}

fn expect_end(outcome: &Outcome, termination: Termination) -> Result<()> {
    ensure!(
        outcome.termination == termination,
        "expected {termination:?}, got {}",
        brief(outcome)
    );
    Ok(())
}

fn expect_stdout(outcome: &Outcome, stdout: &str) -> Result<()> {
    expect_end(outcome, Termination::Exited { code: 0 })?;
    ensure!(
        text(outcome) == stdout,
        "expected {stdout:?}, got {}",
        brief(outcome)
    );
    Ok(())
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
    let limits = Limits {
        cpu_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let outcome = ground
        .run(python("while True: pass")?.limits(limits)?)
        .await?;
    expect_end(&outcome, Termination::CpuTimeLimit)?;
    let used = outcome.usage.cpu_time;
    ensure!(
        used >= Duration::from_millis(295) && used < Duration::from_millis(600),
        "{used:?}"
    );
    ground.close().await
}

async fn the_cpu_limit_counts_children() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        cpu_time: Duration::from_millis(400),
        ..Limits::default()
    };
    let code = "import os, time\nwhile True:\n    if os.fork() == 0:\n        \
                while time.process_time() < 0.05: pass\n        os._exit(0)\n    os.wait()";
    let outcome = ground.run(python(code)?.limits(limits)?).await?;
    expect_end(&outcome, Termination::CpuTimeLimit)?;
    ground.close().await
}

async fn the_wall_limit_ends_a_sleeping_program() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        wall_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let start = Instant::now();
    let outcome = ground.run(shell("sleep 1000")?.limits(limits)?).await?;
    expect_end(&outcome, Termination::WallTimeLimit)?;
    ensure!(
        outcome.usage.wall_time >= Duration::from_millis(299),
        "{:?}",
        outcome.usage
    );
    ensure!(
        outcome.usage.cpu_time < Duration::from_millis(100),
        "{:?}",
        outcome.usage
    );
    ensure!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    ground.close().await
}

async fn the_memory_limit_ends_a_growing_program() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        memory: Bytes::mib(64),
        ..Limits::default()
    };
    let code = "x = []\nwhile True: x.append(bytearray(1 << 20))";
    for _ in 0..3 {
        let outcome = ground.run(python(code)?.limits(limits)?).await?;
        expect_end(&outcome, Termination::MemoryLimit)?;
        let peak = outcome.usage.peak_memory;
        ensure!(
            peak > Bytes::mib(48) && peak <= Bytes::mib(65),
            "peak {peak}"
        );
    }
    ground.close().await
}

async fn memory_below_the_limit_is_granted() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        memory: Bytes::mib(128),
        ..Limits::default()
    };
    for mib in [10_u64, 80] {
        let code = format!("x = bytearray({mib} << 20)\nprint(len(x) >> 20)");
        let outcome = ground.run(python(&code)?.limits(limits)?).await?;
        expect_stdout(&outcome, &format!("{mib}\n"))?;
        let peak = outcome.usage.peak_memory;
        ensure!(
            peak >= Bytes::mib(mib) && peak < Bytes::mib(mib + 40),
            "{mib} MiB: peak {peak}"
        );
    }
    ground.close().await
}

/// At the limit, one below, one above; and far above on either stream.
async fn the_output_limit_holds_on_both_streams() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        output: Bytes(10_000),
        ..Limits::default()
    };
    for stream in ["stdout", "stderr"] {
        for count in [9_999, 10_000, 10_001, 50_000_000] {
            let code =
                format!("import sys\nsys.{stream}.write('x' * {count})\nsys.{stream}.flush()");
            let outcome = ground.run(python(&code)?.limits(limits)?).await?;
            let captured = if stream == "stdout" {
                &outcome.stdout
            } else {
                &outcome.stderr
            };
            if count <= 10_000 {
                expect_end(&outcome, Termination::Exited { code: 0 })?;
                ensure!(
                    captured.bytes.len() == count && !captured.truncated,
                    "{stream} {count}"
                );
            } else {
                expect_end(&outcome, Termination::OutputLimit)?;
                ensure!(
                    captured.bytes.len() == 10_000 && captured.truncated,
                    "{stream} {count}"
                );
            }
        }
    }
    ground.close().await
}

async fn the_pids_limit_holds() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        pids: 16,
        ..Limits::default()
    };
    let code = "import os, signal\nn = 0\ntry:\n    while n < 100:\n        \
                if os.fork() == 0: signal.pause()\n        n += 1\nexcept OSError: pass\nprint(n)";
    for _ in 0..2 {
        let outcome = ground.run(python(code)?.limits(limits)?).await?;
        expect_end(&outcome, Termination::Exited { code: 0 })?;
        let children: u32 = text(&outcome).trim().parse()?;
        ensure!(
            (12..16).contains(&children),
            "{children} children with 16 processes allowed"
        );
    }
    ground.close().await
}

async fn the_disk_limit_holds() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        disk: Bytes::mib(4),
        ..Limits::default()
    };
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
    let limits = Limits {
        open_files: 20,
        ..Limits::default()
    };
    let code = "import os\nn = 0\ntry:\n    while True:\n        os.open('/dev/null', 0)\n        n += 1\n\
                except OSError as error: print(n, error.errno)";
    let outcome = ground.run(python(code)?.limits(limits)?).await?;
    expect_stdout(&outcome, "17 24\n")?;
    ground.close().await
}

async fn a_missing_program_is_told_apart_from_a_fault() -> Result<()> {
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    let missing = lease
        .run(&RunSpec::new(["/usr/bin/no-such-program"])?)
        .await;
    ensure!(missing.is_err(), "a missing program ran: {missing:?}");
    drop(lease);
    expect_stdout(&ground.run(shell("echo fine")?).await?, "fine\n")?;
    ground.close().await
}

async fn a_dropped_run_ends_the_program() -> Result<()> {
    let ground = Ground::new(1).await?;
    let limits = Limits {
        wall_time: Duration::from_secs(600),
        ..Limits::default()
    };
    let sleeper = shell("sleep 1000")?.limits(limits)?;
    let mut lease = ground.pool.lease().await?;
    let given_up = tokio::time::timeout(Duration::from_millis(200), lease.run(&sleeper)).await;
    ensure!(given_up.is_err(), "the sleeper ended: {given_up:?}");
    drop(lease);
    let next = tokio::time::timeout(Duration::from_secs(10), ground.run(shell("echo next")?));
    expect_stdout(
        &next.await.context("the slot did not come back")??,
        "next\n",
    )?;
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
    ensure!(
        idle.peak_memory < Bytes::mib(16),
        "memory of the run before is counted: {idle:?}"
    );
    ground.close().await
}

async fn many_runs_of_one_lease_work() -> Result<()> {
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    for number in 0..200 {
        let outcome = lease
            .run(&shell(&format!("cat; echo {number} > /w/f; cat /w/f"))?)
            .await?;
        expect_stdout(&outcome, &format!("{number}\n"))?;
    }
    drop(lease);
    ensure!(
        ground.pool.status().rebuilt == 0,
        "{:?}",
        ground.pool.status()
    );
    ground.close().await
}

async fn standard_input_is_delivered_whole() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import hashlib, sys\ndata = sys.stdin.buffer.read()\n\
                print(len(data), sum(data) % 1000003)";
    for size in [0_usize, 1, 64 << 10, (64 << 10) + 1, 10 << 20] {
        let input: Vec<u8> = (0..size)
            .map(|i| u8::try_from(i * 31 % 251).unwrap_or(0))
            .collect();
        let sum: u64 = input.iter().map(|&byte| u64::from(byte)).sum();
        let outcome = ground.run(python(code)?.stdin(input)?).await?;
        expect_stdout(&outcome, &format!("{size} {}\n", sum % 1_000_003))?;
    }
    ground.close().await
}

async fn a_program_that_never_reads_is_not_held_up() -> Result<()> {
    let ground = Ground::new(1).await?;
    let spec = shell("echo deaf")?.stdin(vec![b'x'; 10 << 20])?;
    expect_stdout(&ground.run(spec).await?, "deaf\n")?;
    let spec = shell("exec 0<&-; echo closed")?.stdin(vec![b'x'; 10 << 20])?;
    expect_stdout(&ground.run(spec).await?, "closed\n")?;
    ground.close().await
}

async fn both_outputs_beyond_the_pipe_size_are_captured() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os\nfor n in range(300):\n    \
                os.write(1, b'o' * 4096)\n    os.write(2, b'e' * 4096)";
    let outcome = ground.run(python(code)?).await?;
    expect_end(&outcome, Termination::Exited { code: 0 })?;
    for (stream, byte) in [(&outcome.stdout, b'o'), (&outcome.stderr, b'e')] {
        ensure!(
            stream.bytes.len() == 300 * 4096,
            "{} bytes",
            stream.bytes.len()
        );
        ensure!(
            stream.bytes.iter().all(|&b| b == byte) && !stream.truncated,
            "mixed"
        );
    }
    ground.close().await
}

fn collect(paths: &[&str]) -> Result<Vec<CollectFile>> {
    paths
        .iter()
        .map(|path| {
            Ok(CollectFile {
                path: RelativePath::new(*path)?,
                bytes_max: 1000,
            })
        })
        .collect()
}

fn input(path: &str, content: &str) -> Result<InputFile> {
    let path = RelativePath::new(path)?;
    Ok(InputFile {
        path,
        content: content.to_owned().into(),
        mode: FileMode::Plain,
    })
}

async fn files_go_in_and_come_out() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "cat a/b/in.txt > out.txt; head -c 1000 /dev/zero > exact; \
                head -c 1001 /dev/zero > large; mkdir -p deep/er; echo x > deep/er/file; : > empty";
    let spec = shell(code)?
        .files(vec![input("a/b/in.txt", "content\n")?])?
        .collect(collect(&[
            "out.txt",
            "exact",
            "large",
            "missing",
            "deep/er/file",
            "empty",
        ])?)?;
    let outcome = ground.run(spec).await?;
    expect_end(&outcome, Termination::Exited { code: 0 })?;
    let expected = [
        Collected::File("content\n".into()),
        Collected::File(vec![0; 1000].into()),
        Collected::TooLarge,
        Collected::Missing,
        Collected::File("x\n".into()),
        Collected::File("".into()),
    ];
    ensure!(outcome.files == expected, "{:?}", outcome.files);
    ground.close().await
}

async fn a_collected_symlink_is_refused() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "ln -s /etc/shadow out; ln -s /etc folder; echo x > real; ln -s real inside; \
                ln real hard; ln -s /proc/self/environ env";
    let paths = ["out", "folder/passwd", "inside", "hard", "env"];
    let outcome = ground.run(shell(code)?.collect(collect(&paths)?)?).await?;
    let file = Collected::File("x\n".into());
    let expected = [
        Collected::Missing,
        Collected::Missing,
        Collected::Missing,
        file,
        Collected::Missing,
    ];
    ensure!(outcome.files == expected, "{:?}", outcome.files);
    ground.close().await
}

async fn a_collected_fifo_or_folder_is_refused() -> Result<()> {
    let ground = Ground::new(1).await?;
    let spec = shell("mkfifo fifo; mkdir folder")?.collect(collect(&["fifo", "folder"])?)?;
    let run = tokio::time::timeout(Duration::from_secs(20), ground.run(spec));
    let outcome = run.await.context("a fifo held up the collection")??;
    ensure!(
        outcome.files == [Collected::Missing, Collected::Missing],
        "{:?}",
        outcome.files
    );
    ground.close().await
}

async fn a_leased_file_cannot_be_changed() -> Result<()> {
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    lease.install(&[input("program.txt", "original")?]).await?;
    let attack = "echo evil > /box/program.txt; rm -f /box/program.txt; \
                  mv /box/program.txt /w/x; chmod 777 /box /box/program.txt; echo y > /box/new; \
                  ls /box; cat /box/program.txt";
    for _ in 0..2 {
        let outcome = lease.run(&shell(attack)?).await?;
        expect_stdout(&outcome, "program.txt\noriginal")?;
    }
    drop(lease);
    let outcome = ground.run(shell("ls -A /box | wc -l")?).await?;
    expect_stdout(&outcome, "0\n").context("files of a lease outlive it")?;
    ground.close().await
}

/// Leaves every kind of trace that outlives a process.
const LEAVE: &str = "\
import ctypes, os, signal
for folder in ('/w', '/tmp', '/dev/shm'):
    os.makedirs(folder + '/left/deep')
    open(folder + '/left/file', 'w').write('secret')
libc = ctypes.CDLL(None, use_errno=True)
libc.shmget(0x1234, 4096, 0o1666)
libc.semget(0x1234, 1, 0o1666)
libc.msgget(0x1234, 0o1666)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in (0, 1, 2): os.close(fd)
        while True: signal.pause()
    os._exit(0)
print('left')
";

/// Looks for each of them.
const LOOK: &str = "\
import ctypes, os
found = []
for folder in ('/w', '/tmp', '/dev/shm'):
    found += [folder + '/' + name for name in os.listdir(folder)]
libc = ctypes.CDLL(None, use_errno=True)
found += [name for name, id in (('shm', libc.shmget(0x1234, 4096, 0)), ('sem', libc.semget(0x1234, 1, 0)), ('msg', libc.msgget(0x1234, 0))) if id >= 0]
for pid in os.listdir('/proc'):
    if pid.isdigit() and int(pid) not in (1, os.getpid(), os.getppid()):
        found.append('process ' + pid)
print(found)
";

async fn nothing_of_the_previous_run_is_visible() -> Result<()> {
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    for _ in 0..3 {
        expect_stdout(&lease.run(&python(LOOK)?).await?, "[]\n")?;
        expect_stdout(&lease.run(&python(LEAVE)?).await?, "left\n")?;
    }
    expect_stdout(&lease.run(&python(LOOK)?).await?, "[]\n")?;
    drop(lease);
    ground.close().await
}

async fn nothing_of_a_previous_lease_is_visible() -> Result<()> {
    let ground = Ground::new(1).await?;
    expect_stdout(&ground.run(python(LEAVE)?).await?, "left\n")?;
    expect_stdout(&ground.run(python(LOOK)?).await?, "[]\n")?;
    ground.close().await
}

async fn the_environment_is_what_was_asked_for() -> Result<()> {
    let ground = Ground::new(1).await?;
    let outcome = ground.run(RunSpec::new(["/usr/bin/env"])?).await?;
    expect_stdout(&outcome, "")?;
    let spec = RunSpec::new(["/usr/bin/env"])?.env(["A=1", "B=two words"])?;
    expect_stdout(&ground.run(spec).await?, "A=1\nB=two words\n")?;
    ground.close().await
}

async fn only_three_descriptors_are_open() -> Result<()> {
    let ground = Ground::new(2).await?;
    let code = "import os\nopen_fds = []\nfor fd in range(4096):\n    try: os.fstat(fd)\n    \
                except OSError: continue\n    open_fds.append(fd)\nprint(open_fds)";
    expect_stdout(&ground.run(python(code)?).await?, "[0, 1, 2]\n")?;
    ground.close().await
}

async fn the_program_has_no_privilege() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os\nprint(os.getuid() != 0, os.getgid() != 0, os.getgroups())\n\
                keep = ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp')\n\
                for line in open('/proc/self/status'):\n    name, value = line.split(':', 1)\n    \
                if name in keep: print(name, value.strip())";
    let none = "0000000000000000";
    let expected = format!(
        "True True []\nCapInh {none}\nCapPrm {none}\nCapEff {none}\nCapBnd {none}\n\
         CapAmb {none}\nNoNewPrivs 1\nSeccomp 2\n"
    );
    expect_stdout(&ground.run(python(code)?).await?, &expected)?;
    ground.close().await
}

async fn the_program_sees_its_own_processes_only() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os\nprint(sorted(int(p) for p in os.listdir('/proc') if p.isdigit() \
                and int(p) not in (1, os.getpid(), os.getppid())), os.getpid() < 100)";
    expect_stdout(&ground.run(python(code)?).await?, "[] True\n")?;
    ground.close().await
}

async fn the_root_is_read_only() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os\nfound = []\nfor folder in ('/', '/usr', '/usr/bin', '/usr/lib', '/etc', '/bin', \
                '/lib', '/box', '/proc', '/sys', '/dev', '/var', '/root', '/home', '/run'):\n    try:\n        \
                open(os.path.join(folder, 'probe'), 'w')\n    except OSError: continue\n    \
                found.append(folder)\nprint(found)";
    expect_stdout(&ground.run(python(code)?).await?, "[]\n")?;
    let code = "for line in open('/proc/self/mountinfo'):\n    fields = line.split()\n    \
                options = fields[5].split(',')\n    \
                if fields[4] not in ('/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom') \
                and not ('nosuid' in options and ('nodev' in options or fields[4].startswith('/dev'))): \
                print(fields[4], options)";
    expect_stdout(&ground.run(python(code)?).await?, "")?;
    ground.close().await
}

async fn there_is_no_network() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os, socket\ntry: print(sorted(os.listdir('/sys/class/net')))\n\
                except OSError: print(['lo'])\n\
                for address in (('1.1.1.1', 53), ('127.0.0.1', 22)):\n    try:\n        \
                socket.create_connection(address, timeout=5)\n        print('connected')\n    \
                except OSError: print('refused')";
    expect_stdout(
        &ground.run(python(code)?).await?,
        "['lo']\nrefused\nrefused\n",
    )?;
    ground.close().await
}

async fn the_host_name_is_not_the_hosts() -> Result<()> {
    let ground = Ground::new(1).await?;
    let outcome = ground
        .run(python("import os\nprint(os.uname().nodename)")?)
        .await?;
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    ensure!(text(&outcome).trim() != host, "{}", text(&outcome));
    ground.close().await
}

async fn parallel_runs_do_not_see_each_other() -> Result<()> {
    let ground = Ground::new(2).await?;
    let limits = Limits {
        wall_time: Duration::from_secs(2),
        ..Limits::default()
    };
    let stay = python(&LEAVE.replace("print('left')", "signal.pause()"))?.limits(limits)?;
    let stay = ground.run(stay);
    let look = async {
        let mut finds = Vec::new();
        for _ in 0..20 {
            finds.push(text(&ground.run(python(LOOK)?).await?));
        }
        anyhow::Ok(finds)
    };
    let (stayed, finds) = tokio::try_join!(stay, look)?;
    expect_end(&stayed, Termination::WallTimeLimit)?;
    ensure!(finds.iter().all(|find| find == "[]\n"), "{finds:?}");
    ground.close().await
}
