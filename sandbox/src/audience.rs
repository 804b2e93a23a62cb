//! Who is at the other end of the resident's socket while a program runs, and what is done for them.
//!
//! A plain run has a supervisor that waits: all that it says is that it waits no more. A session's
//! supervisor talks: its requests are carried out by the resident and not by the program, so that a
//! program that is busy, broken or hostile can neither refuse an interrupt nor change what
//! becomes of a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::MsgFlags;
use nix::unistd::Pid;

use crate::control::{
    self, CollectedHeader, FileHeader, Payload, Reply, Request, SessionReply, SessionRequest,
};
use crate::kernel::tree::{self, Owner};
use crate::limits::SESSION_FILE_BYTES_MAX;
use crate::spec::RelativePath;

/// What an audience wanted.
pub(crate) enum Attended {
    /// It has had its answer, and nothing changes for the program.
    Answered,
    /// So much more processor time until it wants to be told.
    Allowed(Duration),
    /// The program is to be ended.
    Ended,
    /// Nobody is there any more.
    Gone,
}

/// See the module's documentation.
pub(crate) trait Audience {
    /// Readable when there is something to attend to.
    fn socket(&self) -> &OwnedFd;
    /// Attends to what is there. `program` is the first process, which is not yet reaped; `used` the
    /// processor time so far.
    fn attend(&mut self, program: Pid, used: Duration) -> io::Result<Attended>;
    /// Tells that the program used what it was allowed.
    fn tell_spent(&mut self) -> io::Result<()>;
}

/// The supervisor of a plain run.
pub(crate) struct Waiting<'a>(pub(crate) &'a OwnedFd);

impl Audience for Waiting<'_> {
    fn socket(&self) -> &OwnedFd {
        self.0
    }

    fn attend(&mut self, _: Pid, _: Duration) -> io::Result<Attended> {
        let Some(message) = control::receive::<Request>(self.0, MsgFlags::empty())? else {
            return Ok(Attended::Gone);
        };
        match message.header {
            Request::Abandon => Ok(Attended::Ended),
            Request::Install { .. } | Request::Run(_) | Request::Session(_) | Request::EndLease => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a request while a program runs"))
            }
        }
    }

    fn tell_spent(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The supervisor of a session.
pub(crate) struct Talking<'a> {
    pub(crate) socket: &'a OwnedFd,
    /// For large replies, where no memory file can be made.
    pub(crate) large: Option<&'a File>,
    /// The folder in which programs start, and whose its files are.
    pub(crate) work: &'a OwnedFd,
    pub(crate) owner: Owner,
}

impl Audience for Talking<'_> {
    fn socket(&self) -> &OwnedFd {
        self.socket
    }

    fn attend(&mut self, program: Pid, used: Duration) -> io::Result<Attended> {
        let Some(mut message) = control::receive::<Request>(self.socket, MsgFlags::empty())? else {
            return Ok(Attended::Gone);
        };
        let Request::Session(request) = message.header else {
            let what = "a request that is not for a session";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        self.carry_out(request, &mut message.payload, Some((program, used)))
    }

    fn tell_spent(&mut self) -> io::Result<()> {
        self.answer(SessionReply::Spent, &[])
    }
}

impl Talking<'_> {
    /// Carries a request out and answers it. Without a program there is none to interrupt or to end.
    pub(crate) fn carry_out(
        &self,
        request: SessionRequest,
        payload: &mut Payload,
        program: Option<(Pid, Duration)>,
    ) -> io::Result<Attended> {
        if let Some(large) = self.large {
            large.set_len(0)?;
        }
        let mut attended = Attended::Answered;
        let mut content = Vec::new();
        let reply = match request {
            SessionRequest::Interrupt => {
                program.map_or(Ok(()), |(first, _)| interrupt(first))?;
                SessionReply::Done
            }
            SessionRequest::Allow { cpu_time } => {
                attended = Attended::Allowed(cpu_time);
                SessionReply::Used { cpu_time: program.map_or(Duration::ZERO, |(_, used)| used) }
            }
            SessionRequest::Write { files } => match self.write(&files, payload) {
                Ok(()) => SessionReply::Done,
                Err(error) => refused(error)?,
            },
            SessionRequest::Read { path, bytes_max } => match self.read(&path, bytes_max) {
                Ok(Some(found)) => {
                    content = found;
                    SessionReply::Content(CollectedHeader::File { bytes: content.len() as u64 })
                }
                Ok(None) => SessionReply::Content(CollectedHeader::Missing),
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    SessionReply::Content(CollectedHeader::TooLarge)
                }
                Err(error) => refused(error)?,
            },
            SessionRequest::List => match tree::list(self.work) {
                Ok((entries, truncated)) => SessionReply::Listed { entries, truncated },
                Err(error) => refused(error)?,
            },
            SessionRequest::End => {
                attended = Attended::Ended;
                SessionReply::Done
            }
            // The resident does that itself, and not while a program runs.
            SessionRequest::Forget => return Err(io::ErrorKind::InvalidData.into()),
        };
        self.answer(reply, &[&content])?;
        Ok(attended)
    }

    pub(crate) fn answer(&self, reply: SessionReply, parts: &[&[u8]]) -> io::Result<()> {
        let reply = Reply::Session(reply);
        match self.large {
            None => control::send(self.socket, &reply, parts, &[]),
            Some(file) => control::send_by_file(self.socket, &reply, parts, file),
        }
    }

    fn write(&self, files: &[FileHeader], payload: &mut Payload) -> io::Result<()> {
        for header in files {
            let mode = if header.executable { 0o755 } else { 0o644 };
            let mut file =
                tree::replace_file(self.work, &relative(&header.path)?, self.owner, mode)?;
            if let Err(error) = payload.copy_to(&mut file, header.bytes) {
                // What is there of it must not take the room of others.
                file.set_len(0)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// A file that grows while it is read is as good as one that is too large.
    fn read(&self, path: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let bytes_max = bytes_max.min(SESSION_FILE_BYTES_MAX as u64);
        let Some(file) = tree::open_file(self.work, &relative(path)?)? else { return Ok(None) };
        if file.metadata()?.len() > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut content = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut content)?;
        if content.len() as u64 > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(content))
    }
}

/// What the kernel says of files that a program can change is the session's affair; all else is ours.
fn refused(error: io::Error) -> io::Result<SessionReply> {
    error.raw_os_error().map(|errno| SessionReply::Refused { errno }).ok_or(error)
}

/// As a terminal does: the first process and those that it started, but for those that left its
/// process group.
fn interrupt(first: Pid) -> io::Result<()> {
    match killpg(first, Signal::SIGINT) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn relative(path: &str) -> io::Result<RelativePath> {
    RelativePath::new(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}
