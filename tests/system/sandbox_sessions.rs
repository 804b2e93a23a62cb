//! Sessions by the sandbox's library: a program that is talked to, and what stays of it.

use std::io::pipe;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use sandbox::outcome::{Collected, Termination};
use sandbox::session::{Kind, Program, Session, Written};
use sandbox::spec::{FileMode, InputFile, RelativePath, Streams};
use sandbox::{Limits, RunSpec};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::ground::{Ground, expect_stdout, python, shell};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "sandbox_sessions",
        [
            a_program_is_talked_to_and_interrupted,
            used_processor_time_is_told_as_often_as_it_is_allowed,
            used_processor_time_is_that_of_the_moment,
            files_go_in_and_out_while_the_program_runs,
            what_a_session_may_not_write_is_refused_and_the_session_goes_on,
            files_stay_for_the_next_program_and_for_nobody_else,
            a_dropped_session_gives_its_slot_back,
            a_session_that_leaves_too_much_costs_its_slot_and_no_more,
            a_killed_program_is_told_of,
        ]
    )
}

/// A program of a session, and both ends of its streams.
struct Talk {
    program: Program,
    stdin: Sender,
    stdout: Lines<BufReader<Receiver>>,
}

impl Talk {
    async fn start(session: &Session, spec: RunSpec) -> Result<Self> {
        let (stdin, speak) = pipe()?;
        let (hear, stdout) = pipe()?;
        let streams =
            Streams { stdin: Some(stdin.into()), stdout: Some(stdout.into()), stderr: None };
        let limits = Limits { wall_time: Duration::from_secs(120), ..*spec.bounds() };
        let program = session.start(spec.limits(limits)?, streams).await?;
        let stdout = Receiver::from_owned_fd(OwnedFd::from(hear))?;
        Ok(Self {
            program,
            stdin: Sender::from_owned_fd(OwnedFd::from(speak))?,
            stdout: BufReader::new(stdout).lines(),
        })
    }

    async fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    async fn expect(&mut self, line: &str) -> Result<()> {
        let heard = self.stdout.next_line().await?;
        ensure!(heard.as_deref() == Some(line), "expected {line:?}, heard {heard:?}");
        Ok(())
    }

    async fn ended(self) -> Result<Termination> {
        Ok(self.program.ended.await.context("the session ended first")??.termination)
    }
}

/// Does what each line says, as a shell.
fn listener() -> Result<RunSpec> {
    shell("while :; do read line && eval \"$line\"; done")
}

fn file(path: &str, content: impl Into<Vec<u8>>) -> Result<InputFile> {
    let path = RelativePath::new(path)?;
    Ok(InputFile { path, content: content.into().into(), mode: FileMode::Plain })
}

async fn read(session: &Session, path: &str) -> Result<Collected> {
    Ok(session.read(&RelativePath::new(path)?, 1 << 20).await?)
}

async fn put(session: &Session, path: &str, content: &str) -> Result<()> {
    match session.write(vec![file(path, content)?]).await? {
        Written::Done => Ok(()),
        Written::Refused(error) => bail!("{path}: {error}"),
    }
}

async fn a_program_is_talked_to_and_interrupted() -> Result<()> {
    // No shell: dash forgets a signal that comes before it runs again after starting a program (vfork).
    let talker = "import os, signal, subprocess, sys\n\
                  signal.signal(signal.SIGINT, lambda *_: os.write(1, b'interrupted\\n'))\n\
                  print(input(), flush=True)\n\
                  child = subprocess.Popen(['sleep', '100'])\n\
                  print('sleeps', flush=True)\n\
                  print('slept', child.wait(), flush=True)\n\
                  sys.exit(int(input()))";
    let ground = Ground::new(1).await?;
    let session = Session::new(ground.pool.lease().await?);
    let mut talk = Talk::start(&session, python(talker)?).await?;
    talk.say("one").await?;
    talk.expect("one").await?;
    talk.expect("sleeps").await?;
    session.interrupt().await?;
    talk.expect("interrupted").await?;
    talk.expect("slept -2").await?;
    let second = session.start(shell("true")?, Streams::default()).await;
    ensure!(second.is_err(), "two programs of one session ran");
    talk.say("7").await?;
    let end = talk.ended().await?;
    ensure!(end == Termination::Exited { code: 7 }, "{end:?}");
    session.close().await;
    ground.close().await
}

async fn used_processor_time_is_told_as_often_as_it_is_allowed() -> Result<()> {
    let ground = Ground::new(1).await?;
    let session = Session::new(ground.pool.lease().await?);
    let mut talk = Talk::start(&session, python("while True: pass")?).await?;
    let mut before = Duration::ZERO;
    for _ in 0..2 {
        let allowed = Duration::from_millis(100);
        let used = session.allow(allowed).await?;
        ensure!(used >= before, "{used:?} after {before:?}");
        before = used + allowed;
        talk.program.spent.recv().await.context("nothing was told")?;
    }
    session.end().await?;
    let end = talk.ended().await?;
    ensure!(end == Termination::Signalled { signal: 9 }, "{end:?}");
    ensure!(session.allow(Duration::MAX).await? == Duration::ZERO, "an ended program used time");
    session.close().await;
    ground.close().await
}

/// What a program used while nobody asked counts as used before, not as part of the next allowance.
async fn used_processor_time_is_that_of_the_moment() -> Result<()> {
    let ground = Ground::new(1).await?;
    let session = Session::new(ground.pool.lease().await?);
    let code = "import sys, time\nfor line in sys.stdin:\n end = time.process_time() + 0.3\n \
                while time.process_time() < end: pass\n print('done', flush=True)";
    let mut talk = Talk::start(&session, python(code)?).await?;
    for _ in 0..2 {
        let before = session.allow(Duration::from_secs(100)).await?;
        talk.say("go").await?;
        talk.expect("done").await?;
        let used = session.allow(Duration::from_millis(250)).await? - before;
        ensure!(used >= Duration::from_millis(250), "{used:?}");
        ensure!(talk.program.spent.try_recv().is_err(), "what was used before was held against it");
    }
    session.close().await;
    ground.close().await
}

async fn files_go_in_and_out_while_the_program_runs() -> Result<()> {
    let ground = Ground::new(1).await?;
    let session = Session::new(ground.pool.lease().await?);
    put(&session, "early", "e").await?;
    let mut talk = Talk::start(&session, listener()?).await?;
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let written = session.write(vec![file("folder/large", large.clone())?]).await?;
    ensure!(matches!(written, Written::Done), "{written:?}");
    talk.say("cat early; echo; wc -c < folder/large; echo mine > new; ln -s /etc/passwd link")
        .await?;
    talk.expect("e").await?;
    talk.expect("3000000").await?;
    // The program overwrites what was put there, and the other way around.
    talk.say("echo changed > folder/large; echo done").await?;
    talk.expect("done").await?;
    put(&session, "new", "theirs").await?;
    ensure!(read(&session, "folder/large").await? == Collected::File("changed\n".into()), "large");
    ensure!(read(&session, "new").await? == Collected::File("theirs".into()), "new");
    for absent in ["link", "nothing", "folder", "link/passwd"] {
        ensure!(read(&session, absent).await? == Collected::Missing, "{absent} was read");
    }
    let listing = session.list().await?;
    let found: Vec<&str> = listing.entries.iter().map(|(path, _)| path.as_str()).collect();
    ensure!(found == ["early", "folder", "folder/large", "link", "new"], "{found:?}");
    ensure!(listing.entries[3].1 == Kind::Other && !listing.truncated, "{listing:?}");
    session.close().await;
    ground.close().await
}

async fn what_a_session_may_not_write_is_refused_and_the_session_goes_on() -> Result<()> {
    let ground = Ground::new(1).await?;
    let session = Session::new(ground.pool.lease().await?);
    let mut talk = Talk::start(&session, listener()?).await?;
    talk.say("mkdir folder; ln -s /tmp out; mkfifo pipe; echo ready").await?;
    talk.expect("ready").await?;
    let disk = usize::try_from(Limits::default().disk.0)?;
    for (path, bytes) in [("folder", 1), ("out/x", 1), ("large", disk + (1 << 20))] {
        let written = session.write(vec![file(path, vec![b'x'; bytes])?]).await;
        let refused = match written {
            Ok(Written::Refused(_)) => true,
            Ok(Written::Done) => false,
            // Above what may be sent at all.
            Err(error) => bail!("{path}: {error}"),
        };
        ensure!(refused, "{path} was written");
    }
    // In place of a pipe that nobody reads, a file; what did not fit takes no room.
    put(&session, "pipe", "x").await?;
    talk.say("ls /tmp | wc -l; cat pipe; echo").await?;
    talk.expect("0").await?;
    talk.expect("x").await?;
    session.close().await;
    ground.close().await
}

async fn files_stay_for_the_next_program_and_for_nobody_else() -> Result<()> {
    let ground = Ground::new(1).await?;
    let session = Session::new(ground.pool.lease().await?);
    let mut talk = Talk::start(&session, listener()?).await?;
    talk.say("echo here > kept; echo there > /tmp/kept; exit").await?;
    talk.ended().await?;
    let mut talk = Talk::start(&session, listener()?).await?;
    talk.say("cat kept /tmp/kept").await?;
    talk.expect("here").await?;
    talk.expect("there").await?;
    session.close().await;
    let outcome = ground.run(shell("ls /w /tmp /box | wc -w")?).await?;
    expect_stdout(&outcome, "3\n")?;
    ensure!(ground.pool.status().rebuilt == 0, "the slot was made anew");
    ground.close().await
}

async fn a_dropped_session_gives_its_slot_back() -> Result<()> {
    let ground = Ground::new(1).await?;
    for _ in 0..3 {
        let session = Session::new(ground.pool.lease().await?);
        let mut talk = Talk::start(&session, listener()?).await?;
        talk.say("(sleep 1000 &) ; sleep 1000").await?;
        drop((session, talk));
    }
    expect_stdout(&ground.run(shell("echo next")?).await?, "next\n")?;
    ensure!(ground.pool.status().rebuilt == 0, "the slot was made anew");
    ground.close().await
}

async fn a_session_that_leaves_too_much_costs_its_slot_and_no_more() -> Result<()> {
    let ground = Ground::new(1).await?;
    let session = Session::new(ground.pool.lease().await?);
    let code = "for n in range(3000): open(str(n), 'w')\nprint('made', flush=True)";
    let mut talk = Talk::start(&session, python(code)?).await?;
    talk.expect("made").await?;
    ensure!(session.list().await?.truncated, "the list is whole");
    session.close().await;
    expect_stdout(&ground.run(shell("ls | wc -l")?).await?, "0\n")?;
    ensure!(ground.pool.status().rebuilt == 1, "{:?}", ground.pool.status());
    ground.close().await
}

async fn a_killed_program_is_told_of() -> Result<()> {
    let ground = Ground::new(1).await?;
    let session = Session::new(ground.pool.lease().await?);
    let talk = Talk::start(&session, python("x = bytearray(1 << 40 >> 8)\nx[::4096] = x[::4096]")?);
    let end = talk.await?.ended().await?;
    ensure!(end != Termination::Exited { code: 0 }, "{end:?}");
    let code = "x = []\nwhile True: x.append(bytearray(1 << 20))";
    let end = Talk::start(&session, python(code)?).await?.ended().await?;
    ensure!(end == Termination::MemoryLimit, "{end:?}");
    let end = Talk::start(&session, RunSpec::new(["/nowhere"])?).await?.ended().await;
    ensure!(end.is_err(), "{end:?}");
    session.close().await;
    expect_stdout(&ground.run(shell("echo well")?).await?, "well\n")?;
    ground.close().await
}
