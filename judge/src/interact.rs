//! A submission and an interactor that talk, each in a slot of its own and under its own limits.
//!
//! Two pipes lead from each to us and from us to the other, so that what is said is counted and can
//! be shown. Who is to blame where both wait: the submission meets its wall time first, and its end
//! closes its side. An interactor that was waiting for it then ends by itself, and the submission is
//! to blame; one that does not was stuck, and the problem failed.

use std::io::pipe;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::outcome::Termination;
use sandbox::spec::{InputFile, Streams};
use sandbox::{Outcome, RunSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::companions::{Companions, Looked, arguments, failed};
use crate::grade::checker::Marks;
use crate::grade::exit::Said;
use crate::limits::{STREAM_HEAD_BYTES, TRANSCRIPT_BYTES_MAX};
use crate::pipeline::Trouble;
use crate::plan::input_files;
use crate::problem::HelperUse;
use crate::slots::{Place, Slots};

/// How long an interactor may go on after the submission's wall time.
const INTERACTOR_WALL_GRACE: Duration = Duration::from_secs(10);

/// What came of a conversation.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// How the submission ended. What it said stands in the transcript.
    pub outcome: Outcome,
    /// What the interactor says.
    pub marks: Marks,
    /// Whether the interactor had decided before the submission ended.
    pub decided_first: bool,
    /// What both said, the interactor's lines after `<`, the submission's after `>`.
    pub transcript: Bytes,
}

/// The submission's side.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Where it runs.
    pub place: Place<'a>,
    /// The program.
    pub spec: &'a RunSpec,
    /// Its files.
    pub files: &'a [InputFile],
    /// Bytes that it may say.
    pub output_max: u64,
    /// Its wall time.
    pub wall_time: Duration,
}

/// Lets both talk to their ends.
///
/// # Errors
/// A slot failed, or the interactor did.
pub async fn talk(
    slots: &dyn Slots,
    side: Side<'_>,
    helpers: &Companions<'_>,
    used: &HelperUse,
    looked: &Looked<'_>,
) -> Result<Conversation, Trouble> {
    let plan = helpers.plan(used.helper)?;
    let helper_files = helpers.files(plan).await?;
    let files = [
        ("input.txt".to_owned(), looked.pair.input.clone()),
        ("answer.txt".to_owned(), looked.pair.answer.clone()),
    ];
    let args = arguments(used, looked.points);
    let wall_time = side.wall_time + INTERACTOR_WALL_GRACE;
    let spec = plan.spec(&args, Bytes::new(), input_files(&files)?)?.wall_time(wall_time)?;
    let [mut ours, mut theirs] = slots.lease_pair([side.place, plan.place()]).await?;
    ours.install(side.files).await?;
    theirs.install(&helper_files).await?;

    let transcript = Arc::new(Mutex::new(Transcript::default()));
    let (our_streams, said, to_us) = streams()?;
    let (their_streams, answered, to_them) = streams()?;
    let forward = relay(said, to_them, Voice::Submission, side.output_max, &transcript);
    let back = relay(answered, to_us, Voice::Interactor, u64::MAX, &transcript);
    let mut decided_first = false;
    let start = Instant::now();
    let mut our_end = None;
    let mut their_end = None;
    {
        let ours = ours.run_with(side.spec, our_streams);
        let theirs = theirs.run_with(&spec, their_streams);
        let (mut ours, mut theirs) = (std::pin::pin!(ours), std::pin::pin!(theirs));
        let mut relays = std::pin::pin!(async { tokio::join!(forward, back) });
        let mut relayed = None;
        while our_end.is_none() || their_end.is_none() || relayed.is_none() {
            tokio::select! {
                end = &mut ours, if our_end.is_none() => our_end = Some(end?),
                end = &mut theirs, if their_end.is_none() => {
                    // Where its wall time has ended the submission, its end is only not told yet.
                    decided_first = our_end.is_none() && start.elapsed() < side.wall_time;
                    their_end = Some(end?);
                }
                ends = &mut relays, if relayed.is_none() => relayed = Some(ends),
            }
        }
    }
    let (Some(mut outcome), Some(decision)) = (our_end, their_end) else {
        return Err(Trouble::Problem("a conversation ended without its ends".to_owned()));
    };
    let transcript = transcript.lock().unwrap_or_else(PoisonError::into_inner);
    if transcript.too_much {
        outcome.termination = Termination::OutputLimit;
        // Cut off by us, the interactor could only give up.
        decided_first = false;
    }
    let marks = decision_of(used, &decision, &outcome, decided_first, looked.points)?;
    let transcript = Bytes::copy_from_slice(&transcript.text);
    Ok(Conversation { outcome, marks, decided_first, transcript })
}

/// What the interactor says, where it is to be asked at all.
fn decision_of(
    used: &HelperUse,
    decision: &Outcome,
    outcome: &Outcome,
    decided_first: bool,
    points: f64,
) -> Result<Marks, Trouble> {
    let ended_well = outcome.termination == Termination::Exited { code: 0 };
    let Termination::Exited { code } = decision.termination else {
        let is_limit =
            matches!(decision.termination, Termination::CpuTimeLimit | Termination::WallTimeLimit);
        // After a submission that broke off, an interactor may break down; it may not be stuck.
        let waited_for_it = outcome.termination == Termination::WallTimeLimit && is_limit;
        if decided_first || ended_well || waited_for_it {
            return Err(failed("the interactor", decision));
        }
        return Ok(Marks::of(false));
    };
    let stdout = String::new();
    let stderr = String::from_utf8_lossy(&decision.stderr.bytes);
    let said: String = stderr.chars().take(1000).collect();
    let feedback = used.feedback.then_some(said.as_str());
    let said = Said { code, stdout: &stdout, stderr: &stderr, feedback, points };
    match used.convention.marks(&said) {
        Ok(marks) => Ok(marks),
        Err(_) if !ended_well && !decided_first => Ok(Marks::of(false)),
        Err(fault) => Err(fault.into()),
    }
}

/// Pipes for one program: what it gets, where we hear it, and where we speak to it.
fn streams() -> Result<(Streams, Receiver, Sender), Trouble> {
    let failed = |source| sandbox::Error::Io { operation: "make a pipe".into(), source };
    let (stdin, speak) = pipe().map_err(failed)?;
    let (hear, stdout) = pipe().map_err(failed)?;
    let hear = Receiver::from_owned_fd(OwnedFd::from(hear)).map_err(failed)?;
    let speak = Sender::from_owned_fd(OwnedFd::from(speak)).map_err(failed)?;
    let streams = Streams { stdin: Some(stdin.into()), stdout: Some(stdout.into()), stderr: None };
    Ok((streams, hear, speak))
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Submission,
    Interactor,
}

#[derive(Debug, Default)]
struct Transcript {
    text: Vec<u8>,
    last: Option<Voice>,
    /// Whether the submission said more than it may.
    too_much: bool,
}

impl Transcript {
    fn note(&mut self, voice: Voice, said: &[u8]) {
        let room = TRANSCRIPT_BYTES_MAX.saturating_sub(self.text.len());
        let mark: &[u8] = match voice {
            Voice::Submission => b"> ",
            Voice::Interactor => b"< ",
        };
        if room == 0 {
            return;
        }
        if self.last != Some(voice) {
            if self.text.last().is_some_and(|byte| *byte != b'\n') {
                self.text.push(b'\n');
            }
            self.text.extend_from_slice(mark);
            self.last = Some(voice);
        } else if self.text.last() == Some(&b'\n') {
            self.text.extend_from_slice(mark);
        }
        let said = &said[..said.len().min(room)];
        for (at, line) in said.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                self.text.extend_from_slice(mark);
            }
            self.text.extend_from_slice(line);
        }
    }
}

/// Passes on what is said until there is no more. Where the other does not listen any longer, it is
/// heard to its end all the same, so that nobody is ended by a broken pipe.
async fn relay(
    mut from: Receiver,
    to: Sender,
    voice: Voice,
    bytes_max: u64,
    transcript: &Mutex<Transcript>,
) {
    let mut to = Some(to);
    let mut bytes = 0;
    let mut buffer = vec![0; STREAM_HEAD_BYTES];
    loop {
        // A pipe that cannot be read has no more to say.
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        bytes += length as u64;
        let said = &buffer[..length];
        {
            let mut transcript = transcript.lock().unwrap_or_else(PoisonError::into_inner);
            if bytes > bytes_max {
                transcript.too_much = true;
                return;
            }
            transcript.note(voice, said);
        }
        if let Some(open) = &mut to
            && open.write_all(said).await.is_err()
        {
            to = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_says_who_said_what_and_is_bounded() {
        let mut transcript = Transcript::default();
        transcript.note(Voice::Interactor, b"5\n7\n");
        transcript.note(Voice::Submission, b"ask");
        transcript.note(Voice::Submission, b" 1\n");
        transcript.note(Voice::Interactor, b"yes");
        transcript.note(Voice::Submission, b"!");
        assert_eq!(transcript.text, b"< 5\n< 7\n> ask 1\n< yes\n> !");
        transcript.note(Voice::Submission, &vec![b'x'; 2 * TRANSCRIPT_BYTES_MAX]);
        assert!(transcript.text.len() <= TRANSCRIPT_BYTES_MAX + 3);
    }
}
