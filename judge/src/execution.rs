//! Runs programs for callers that judge for themselves: whole outputs, files in and out, pipes
//! between two programs. Facts only; no verdict is made here.
//!
//! Compilers, caches, retries and the second look at a time limit are the pipeline's. What a caller
//! holds of an [`Execution`] is bounded by the limits of its runs.

use std::io::pipe;
use std::os::fd::OwnedFd;

use sandbox::outcome::Termination;
use sandbox::spec::Streams;
use sandbox::{Error, Outcome, RunSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::compile::Compiled;
use crate::pipeline::{Judge, Trouble};
use crate::plan::RunPlan;
use crate::report::JudgeFailure;
use crate::run::Runner;
use crate::slots::Place;

/// Bytes that are passed on at once.
const PASS_BYTES: usize = 64 << 10;

/// What came of a program.
#[derive(Clone, Debug)]
pub struct Execution {
    /// What the compiler did; `None` where the language has none.
    pub compiled: Option<Compiled>,
    /// What the program did; `None` where it did not compile.
    pub outcome: Option<Outcome>,
}

/// A pipe from the standard output of one program to the standard input of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipe {
    /// Who writes: 0 or 1.
    pub from: usize,
    /// Who reads: 0 or 1.
    pub to: usize,
    /// Bytes of what passes that are kept.
    pub kept_bytes_max: usize,
}

/// What two programs that were joined by pipes did.
#[derive(Debug)]
pub struct Joined {
    /// How each ended.
    pub outcomes: [Outcome; 2],
    /// The beginning of what passed through each pipe.
    pub passed: Vec<Vec<u8>>,
}

impl Judge {
    /// Compiles a program where that is needed, and runs it.
    ///
    /// # Errors
    /// We failed.
    pub async fn execute(&self, plan: &RunPlan) -> Result<Execution, JudgeFailure> {
        self.with_retries(|| self.attempt_execution(plan)).await
    }

    async fn attempt_execution(&self, plan: &RunPlan) -> Result<Execution, Trouble> {
        let mut files = plan.box_files.clone();
        let mut compiled = None;
        if let Some(stage) = &plan.compile {
            let found = self.compile(stage).await?;
            let artifacts = found.artifacts.clone();
            compiled = Some(found);
            match artifacts {
                Ok(artifacts) => files.extend(artifacts),
                Err(_) => return Ok(Execution { compiled, outcome: None }),
            }
        }
        let mut runner = Runner::new(self.slots(), plan.place(), &files).await?;
        let (outcome, _) = self.run_confirmed(&mut runner, plan.spec.clone(), false).await?;
        Ok(Execution { compiled, outcome: Some(outcome) })
    }

    /// Runs a command as it is, in the image that slots show by default. A program that is not there, or
    /// cannot be executed, is the caller's affair, told in words.
    ///
    /// # Errors
    /// We failed.
    pub async fn run_command(
        &self,
        spec: &RunSpec,
    ) -> Result<Result<Outcome, String>, JudgeFailure> {
        self.with_retries(|| async {
            let mut runner = Runner::new(self.slots(), Place::Slot(None), &[]).await?;
            match self.run_confirmed(&mut runner, spec.clone(), false).await {
                Ok((outcome, _)) => Ok(Ok(outcome)),
                Err(Trouble::Sandbox(Error::Launch { program, step: "exec", source }))
                    if is_of_the_program(&source) =>
                {
                    Ok(Err(format!("failed to execute {program}: {source}")))
                }
                Err(trouble) => Err(trouble),
            }
        })
        .await
    }

    /// Runs two commands at the same time, joined by `pipes`.
    ///
    /// # Errors
    /// We failed.
    pub async fn run_joined(
        &self,
        specs: [&RunSpec; 2],
        pipes: &[Pipe],
    ) -> Result<Joined, JudgeFailure> {
        self.with_retries(|| self.attempt_joined(specs, pipes)).await
    }

    async fn attempt_joined(
        &self,
        specs: [&RunSpec; 2],
        pipes: &[Pipe],
    ) -> Result<Joined, Trouble> {
        let mut streams = [Streams::default(), Streams::default()];
        let mut relays = Vec::new();
        for joint in pipes {
            let (hear, speak) = connect(&mut streams, joint)?;
            let bytes_max = specs[joint.from].bounds().output.0;
            relays.push(relay(hear, speak, joint.kept_bytes_max, bytes_max));
        }
        let [mut first, mut second] = self.slots().lease_pair([Place::Slot(None); 2]).await?;
        let _shared = self.beside_others().await;
        let [first_streams, second_streams] = streams;
        let (first, second, relayed) = tokio::join!(
            first.run_with(specs[0], first_streams),
            second.run_with(specs[1], second_streams),
            futures_util::future::join_all(relays),
        );
        let mut outcomes = [first?, second?];
        let mut passed = Vec::new();
        for (joint, relayed) in pipes.iter().zip(relayed) {
            if relayed.too_much {
                outcomes[joint.from].termination = Termination::OutputLimit;
            }
            passed.push(relayed.kept);
        }
        Ok(Joined { outcomes, passed })
    }
}

/// Whether executing failed because of what was to be executed.
fn is_of_the_program(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    // No such executable format has no kind of its own.
    const EXEC_FORMAT: i32 = 8;
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory
    ) || error.raw_os_error() == Some(EXEC_FORMAT)
}

/// Two pipes, from the writer to us and from us to the reader, so that what passes is counted.
fn connect(streams: &mut [Streams; 2], joint: &Pipe) -> Result<(Receiver, Sender), Trouble> {
    let failed = |source| Error::Io { operation: "make a pipe".into(), source };
    let (hear, stdout) = pipe().map_err(failed)?;
    let (stdin, speak) = pipe().map_err(failed)?;
    let hear = Receiver::from_owned_fd(OwnedFd::from(hear)).map_err(failed)?;
    let speak = Sender::from_owned_fd(OwnedFd::from(speak)).map_err(failed)?;
    streams[joint.from].stdout = Some(stdout.into());
    streams[joint.to].stdin = Some(stdin.into());
    Ok((hear, speak))
}

#[derive(Debug, Default)]
struct Relayed {
    kept: Vec<u8>,
    too_much: bool,
}

/// Passes on what is said until either end closes, or more was said than may be.
async fn relay(
    mut hear: Receiver,
    mut speak: Sender,
    kept_bytes_max: usize,
    bytes_max: u64,
) -> Relayed {
    let mut relayed = Relayed::default();
    let mut left = bytes_max;
    let mut buffer = vec![0; PASS_BYTES];
    loop {
        let count = match hear.read(&mut buffer).await {
            Ok(0) | Err(_) => return relayed,
            Ok(count) => count,
        };
        if left < count as u64 {
            relayed.too_much = true;
            return relayed;
        }
        left -= count as u64;
        let room = kept_bytes_max.saturating_sub(relayed.kept.len()).min(count);
        relayed.kept.extend_from_slice(&buffer[..room]);
        if speak.write_all(&buffer[..count]).await.is_err() {
            return relayed;
        }
    }
}
