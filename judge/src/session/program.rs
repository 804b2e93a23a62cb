//! The engine's program in its slot, and the pipes that lead to it.

use std::io::{self, pipe};
use std::os::fd::OwnedFd;

use protocol::StopReason;
use sandbox::outcome::Termination;
use sandbox::spec::Streams;
use sandbox::{Error, Outcome, session};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::{Receiver, Sender};

use super::dialogue::{Heard, Protocol, Source};
use super::spec::{Engine, ValidSession};
use crate::limits::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, SESSION_START_TIME_MAX};
use crate::reward_model::random_word;

/// Bytes that are read at once: what a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// Why an engine does not run.
#[derive(Debug)]
pub enum Failure {
    /// The slot failed.
    Sandbox(Error),
    /// The engine cannot start, with what it says.
    Engine(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sandbox(error)
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Program {
    /// How it ends, and whether it has used its processor time.
    pub inner: session::Program,
    /// What it reads.
    pub stdin: Sender,
    outputs: Vec<Output>,
    protocol: Protocol,
    /// The number of its last cell.
    number: u64,
    chunk: Vec<u8>,
}

#[derive(Debug)]
struct Output {
    source: Source,
    pipe: Receiver,
    is_open: bool,
}

impl Program {
    /// Starts the engine of a session and waits until it is ready.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn start(session: &session::Session, valid: &ValidSession) -> Result<Self, Failure> {
        let mut program = Self::launch(session, valid).await?;
        let failed = match tokio::time::timeout(SESSION_START_TIME_MAX, program.ready()).await {
            Ok(Ok(())) => return Ok(program),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Engine("it was not ready in time".to_owned()),
        };
        session.end().await?;
        Err(failed)
    }

    async fn launch(session: &session::Session, valid: &ValidSession) -> Result<Self, Failure> {
        let failed = |source| Error::Io { operation: "make a pipe".into(), source };
        let (stdin, ours) = pipe().map_err(failed)?;
        let (stdout, theirs) = output_pipe(Source::Stdout).map_err(failed)?;
        let mut outputs = vec![stdout];
        // Interpreters lead their standard error through their answers; what is left is their own.
        let stderr = match valid.engine {
            Engine::Bash => {
                let (stderr, theirs) = output_pipe(Source::Stderr).map_err(failed)?;
                outputs.push(stderr);
                Some(theirs)
            }
            Engine::Python | Engine::Kernel(_) => None,
        };
        let streams = Streams { stdin: Some(stdin.into()), stdout: Some(theirs), stderr };
        let inner = session.start(valid.spec.clone(), streams).await?;
        Ok(Self {
            inner,
            stdin: Sender::from_owned_fd(OwnedFd::from(ours)).map_err(failed)?,
            outputs,
            protocol: valid.engine.protocol(&random_word()),
            number: 0,
            chunk: vec![0; CHUNK_BYTES],
        })
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        let opening = self.protocol.opening();
        // A program that has ended already is told of below.
        self.stdin.write_all(&opening).await.ok();
        loop {
            tokio::select! {
                ended = &mut self.inner.ended => {
                    return Err(match ended {
                        Ok(Ok(outcome)) => Failure::Engine(last_words(&outcome)),
                        Ok(Err(error)) => Failure::Sandbox(error),
                        Err(_) => Failure::Sandbox(Error::Closed),
                    });
                }
                heard = hear(&mut self.outputs, &mut self.protocol, &mut self.chunk) => {
                    for heard in heard {
                        match heard {
                            Heard::Ready => return Ok(()),
                            Heard::Failed(message) => {
                                return Err(Failure::Engine(shortened(&message)));
                            }
                            Heard::Event(..) | Heard::End(_) => {}
                        }
                    }
                }
            }
        }
    }

    /// A cell as it is to be written.
    pub fn request(&mut self, code: &str, silent: bool) -> Vec<u8> {
        self.number += 1;
        let word = random_word();
        let asked = super::dialogue::Asked { number: self.number, word: &word, code, silent };
        self.protocol.request(&asked)
    }

    /// Cells that were asked for.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What there is to hear; waits for it. Without any writer left it waits for ever.
    pub async fn hear(&mut self) -> Vec<Heard> {
        hear(&mut self.outputs, &mut self.protocol, &mut self.chunk).await
    }

    /// The parts that can be waited for at the same time.
    pub fn parts(&mut self) -> Parts<'_> {
        let Self { inner, stdin, outputs, protocol, chunk, .. } = self;
        Parts { inner, stdin, outputs: Outputs { outputs, protocol, chunk } }
    }

    /// All that is left to hear of a program that has ended, up to what an answer may be.
    pub fn last_heard(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        for output in &mut self.outputs {
            let mut bytes = 0;
            while let Ok(length @ 1..) = output.pipe.try_read(&mut self.chunk) {
                heard.extend(self.protocol.hear(output.source, &self.chunk[..length]));
                bytes += length;
                if bytes > FRAME_BYTES_MAX {
                    break;
                }
            }
        }
        heard.extend(self.protocol.rest());
        heard
    }
}

/// See [`Program::parts`].
#[derive(Debug)]
pub struct Parts<'a> {
    /// Its end and its processor time.
    pub inner: &'a mut session::Program,
    /// What it reads.
    pub stdin: &'a mut Sender,
    /// What it says.
    pub outputs: Outputs<'a>,
}

/// What a program says.
#[derive(Debug)]
pub struct Outputs<'a> {
    outputs: &'a mut Vec<Output>,
    protocol: &'a mut Protocol,
    chunk: &'a mut Vec<u8>,
}

impl Outputs<'_> {
    /// As [`Program::hear`].
    pub async fn hear(self) -> Vec<Heard> {
        hear(self.outputs, self.protocol, self.chunk).await
    }
}

/// Waits for output and takes what is there of it. Nothing is lost where the wait is given up.
async fn hear(outputs: &mut [Output], protocol: &mut Protocol, chunk: &mut [u8]) -> Vec<Heard> {
    loop {
        let waits: Vec<_> = outputs
            .iter()
            .enumerate()
            .filter(|(_, output)| output.is_open)
            .map(|(index, output)| {
                Box::pin(async move {
                    output.pipe.readable().await.ok();
                    index
                })
            })
            .collect();
        if waits.is_empty() {
            return std::future::pending().await;
        }
        let (index, ..) = futures_util::future::select_all(waits).await;
        let output = &mut outputs[index];
        match output.pipe.try_read(chunk) {
            Ok(0) => output.is_open = false,
            Ok(length) => return protocol.hear(output.source, &chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => output.is_open = false,
        }
    }
}

fn output_pipe(source: Source) -> io::Result<(Output, OwnedFd)> {
    let (ours, theirs) = pipe()?;
    let pipe = Receiver::from_owned_fd(OwnedFd::from(ours))?;
    Ok((Output { source, pipe, is_open: true }, theirs.into()))
}

/// The limit that ended a program, if one did.
#[must_use]
pub fn end_reason(outcome: &Outcome) -> Option<StopReason> {
    match outcome.termination {
        Termination::MemoryLimit => Some(StopReason::MemoryLimit),
        Termination::CpuTimeLimit => Some(StopReason::CpuTimeLimit),
        Termination::WallTimeLimit => Some(StopReason::TimeToLive),
        Termination::OutputLimit => Some(StopReason::OutputLimit),
        Termination::Exited { .. } | Termination::Signalled { .. } => None,
    }
}

fn last_words(outcome: &Outcome) -> String {
    let words = [&*outcome.stderr.bytes, &*outcome.stdout.bytes].concat();
    let words = String::from_utf8_lossy(&words);
    let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if outcome.termination == Termination::MemoryLimit {
        return "it needs more memory than it may use".to_owned();
    }
    shortened(&format!("it ended at once: {last}"))
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_BYTES_MAX / 4).collect()
}
