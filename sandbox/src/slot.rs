//! A slot as the supervisor sees it: a socket to its resident, a pidfd, groups, a number.
//!
//! A slot that failed or was left in the middle of a request is *doubtful*: it is never used again,
//! only destroyed. The exception is a run that its caller stopped waiting for: it is ended, the slot is
//! reset and proven clean as after any other, and only where that is not heard of in time it is in doubt.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes as Buffer;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socketpair};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use tokio::io::unix::AsyncFd;

use crate::child::SetupStep;
use crate::control::{
    self, BuildRequest, CollectedHeader, Ended, FileHeader, Message, Payload, Reply, Request,
    RunRequest,
};
use crate::error::Error;
use crate::image::Image;
use crate::kernel::cgroup::{Parent, SlotGroups};
use crate::kernel::{descriptors, mount, process};
use crate::limits::{ABANDONED_TIME_MAX, Limits, RESIDENT_GRACE, SLOT_BUILD_TIME_MAX};
use crate::outcome::{Captured, Collected, Outcome};
use crate::privilege::Privilege;
use crate::registry::{self, Claim};
use crate::resets::OnReset;
use crate::spec::{FileMode, InputFile, Memory, RunSpec, Streams};
use crate::warm::Warmup;

/// The name under which this program is started to become a slot.
pub(crate) const RESIDENT_NAME: &str = "assay-slot";

/// What a program is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To run to its end.
    Run,
    /// To be talked to; see [`crate::session`].
    Session,
}

/// What a slot is built from.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint<'a> {
    pub(crate) image: &'a Image,
    pub(crate) privilege: Privilege,
    pub(crate) parent: Option<&'a Parent>,
    pub(crate) state_dir: &'a Path,
    pub(crate) warm: &'a [Warmup],
    pub(crate) cpu: Option<usize>,
    pub(crate) on_reset: Option<&'a OnReset>,
}

/// See the module's documentation.
pub(crate) struct Slot {
    socket: AsyncSocket,
    resident: OwnedFd,
    /// A hold on the writable layer's options.
    writable: OwnedFd,
    /// Size of the writable layer now, and how much of it the lease's own files take.
    disk_bytes: u64,
    installed_bytes: u64,
    claim: Claim,
    pub(crate) image: Image,
    pub(crate) cpu: Option<usize>,
    on_reset: Option<OnReset>,
    /// A plain run was asked for, and its end not yet heard of.
    is_running: bool,
    /// A request was sent and its reply not yet received, or something failed.
    doubtful: bool,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("number", &self.claim.number)
            .field("doubtful", &self.doubtful)
            .finish_non_exhaustive()
    }
}

/// The socket, registered with the runtime only while it is leased: slots are built and destroyed on
/// threads that belong to no runtime.
#[derive(Debug)]
enum AsyncSocket {
    Idle(OwnedFd),
    Registered(AsyncFd<OwnedFd>),
    /// Only between two of the others.
    Moving,
}

impl AsRawFd for AsyncSocket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Idle(socket) => socket.as_raw_fd(),
            Self::Registered(socket) => socket.as_raw_fd(),
            Self::Moving => -1,
        }
    }
}

impl Slot {
    /// Builds a slot. Blocks for some milliseconds.
    pub(crate) fn build(blueprint: &Blueprint<'_>) -> Result<Self, Error> {
        let claim = registry::claim(blueprint.state_dir, blueprint.parent)?;
        // Removed again by the drop of `Unfinished` unless the slot comes to stand.
        claim.groups.as_ref().map_or(Ok(()), SlotGroups::create)?;
        match start_resident(blueprint, &claim) {
            Ok(Started { socket, resident, writable }) => Ok(Self {
                socket: AsyncSocket::Idle(socket),
                resident,
                writable,
                disk_bytes: Limits::default().disk.0,
                installed_bytes: 0,
                claim,
                image: blueprint.image.clone(),
                cpu: blueprint.cpu,
                on_reset: blueprint.on_reset.cloned(),
                is_running: false,
                doubtful: false,
            }),
            Err(error) => {
                claim.remove_groups()?;
                Err(error)
            }
        }
    }

    /// Whether the slot must be destroyed.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Registers the socket with the caller's runtime.
    pub(crate) fn register(&mut self) -> Result<(), Error> {
        self.socket = match std::mem::replace(&mut self.socket, AsyncSocket::Moving) {
            AsyncSocket::Idle(socket) => {
                #[expect(deprecated, reason = "safe here: an OwnedFd keeps its descriptor open")]
                let registered = AsyncFd::new(socket);
                AsyncSocket::Registered(
                    registered.map_err(Error::io("register a slot with the runtime"))?,
                )
            }
            other @ (AsyncSocket::Registered(_) | AsyncSocket::Moving) => other,
        };
        Ok(())
    }

    /// Takes the socket back from the runtime and forgets what the lease installed. The resident does
    /// that while nobody waits.
    pub(crate) fn end_lease(&mut self) {
        self.socket = match std::mem::replace(&mut self.socket, AsyncSocket::Moving) {
            AsyncSocket::Registered(socket) => AsyncSocket::Idle(socket.into_inner()),
            other @ (AsyncSocket::Idle(_) | AsyncSocket::Moving) => other,
        };
        self.installed_bytes = 0;
        if !self.doubtful && control::send(&self.socket, &Request::EndLease, &[], &[]).is_err() {
            self.doubtful = true;
        }
    }

    /// Puts files below `/box`.
    pub(crate) async fn install(&mut self, files: &[InputFile]) -> Result<(), Error> {
        let request = Request::Install { files: headers(files) };
        self.installed_bytes += files.iter().map(bytes_on_disk).sum::<u64>();
        self.fit_disk(self.disk_bytes)?;
        let contents: Vec<&[u8]> = files.iter().map(|file| &*file.content).collect();
        let message = self.exchange(&request, &contents, &[], Duration::ZERO).await?;
        match message.header {
            Reply::Installed => Ok(()),
            other @ (Reply::Ready
            | Reply::Ended(_)
            | Reply::NotLaunched { .. }
            | Reply::Session(_)
            | Reply::Failed { .. }) => Err(self.unexpected("install", &other)),
        }
    }

    /// Makes the writable layer hold `bytes` beside the lease's own files.
    fn fit_disk(&mut self, bytes: u64) -> Result<(), Error> {
        let bytes = bytes + self.installed_bytes;
        if bytes != self.disk_bytes {
            mount::resize_memory(&self.writable, bytes).map_err(|error| {
                self.doubtful = true;
                self.fault("resize the writable layer", error.to_string())
            })?;
            self.disk_bytes = bytes;
        }
        Ok(())
    }

    /// Runs a program to its end.
    pub(crate) async fn run(&mut self, spec: &RunSpec, streams: Streams) -> Result<Outcome, Error> {
        self.launch(spec, streams, Purpose::Run)?;
        // A caller that stops waiting leaves it so: see `abandon`.
        self.is_running = true;
        let message = self.reply(spec.limits.wall_time).await;
        self.is_running = false;
        self.ending(spec, message?)
    }

    /// Has a run ended that nobody waits for any more. Whether there is one: then its end is to be
    /// waited for by [`Self::await_end`].
    pub(crate) fn abandon(&self) -> bool {
        self.is_running && control::send(&self.socket, &Request::Abandon, &[], &[]).is_ok()
    }

    /// Waits until the abandoned run has ended, and trusts the slot again: the resident resets it as
    /// after any run. Blocks. A slot that does not answer in time stays doubtful.
    pub(crate) fn await_end(&mut self) {
        let deadline = Instant::now() + ABANDONED_TIME_MAX;
        while self.is_running {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let AsyncSocket::Idle(socket) = &self.socket else { return };
            let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, timeout) {
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            match control::receive::<Reply>(socket, MsgFlags::MSG_DONTWAIT) {
                Ok(Some(message)) => match message.header {
                    Reply::Ended(ended) => {
                        if let Some(on_reset) = &self.on_reset {
                            on_reset.tell(&ended.resets);
                        }
                        (self.is_running, self.doubtful) = (false, false);
                    }
                    Reply::NotLaunched { .. } => (self.is_running, self.doubtful) = (false, false),
                    Reply::Ready | Reply::Installed | Reply::Session(_) | Reply::Failed { .. } => {
                        return;
                    }
                },
                Ok(None) | Err(_) => return,
            }
        }
        self.end_lease();
    }

    /// Has a program started. What becomes of it comes as a message.
    pub(crate) fn launch(
        &mut self,
        spec: &RunSpec,
        streams: Streams,
        purpose: Purpose,
    ) -> Result<(), Error> {
        self.fit_disk(spec.limits.disk.0 + FOLDER_BYTES)?;
        let Streams { stdin, stdout, stderr } = streams;
        let stdin = match stdin {
            Some(stdin) => Some(stdin),
            None => stdin_file(&spec.stdin).map_err(Error::io("prepare standard input"))?,
        };
        let request = Request::Run(RunRequest {
            argv: spec.argv.iter().map(|item| item.as_bytes().to_vec()).collect(),
            env: spec.env.iter().map(|item| item.as_bytes().to_vec()).collect(),
            files: headers(&spec.files),
            collect: spec
                .collect
                .iter()
                .map(|file| (file.path.as_str().to_owned(), file.bytes_max))
                .collect(),
            limits: spec.limits,
            has_closed_memory: spec.memory == Memory::Closed,
            has_stdin: stdin.is_some(),
            has_stdout: stdout.is_some(),
            has_stderr: stderr.is_some(),
            is_session: purpose == Purpose::Session,
        });
        let contents: Vec<&[u8]> = spec.files.iter().map(|file| &*file.content).collect();
        let streams = stdin.iter().chain(&stdout).chain(&stderr);
        let attached: Vec<RawFd> = streams.map(AsRawFd::as_raw_fd).collect();
        self.send(&request, &contents, &attached)
        // The streams close here: kept open, they would keep whoever is at the other end waiting.
    }

    /// How a program ended, by the message that says so.
    pub(crate) fn ending(
        &mut self,
        spec: &RunSpec,
        message: Message<Reply>,
    ) -> Result<Outcome, Error> {
        match message.header {
            Reply::Ended(ended) => {
                if let Some(on_reset) = &self.on_reset {
                    on_reset.tell(&ended.resets);
                }
                outcome(spec, ended, message.payload).map_err(|error| {
                    self.doubtful = true;
                    self.fault("run", error.to_string())
                })
            }
            Reply::NotLaunched { step, errno } => Err(Error::Launch {
                program: spec.argv[0].to_string_lossy().into_owned(),
                step: SetupStep::name(step),
                source: io::Error::from_raw_os_error(errno),
            }),
            other
            @ (Reply::Ready | Reply::Installed | Reply::Session(_) | Reply::Failed { .. }) => {
                Err(self.unexpected("run", &other))
            }
        }
    }

    /// Sends a request and waits for its reply. A caller that stops waiting leaves the slot doubtful.
    async fn exchange(
        &mut self,
        request: &Request,
        contents: &[&[u8]],
        attached: &[RawFd],
        patience: Duration,
    ) -> Result<Message<Reply>, Error> {
        self.send(request, contents, attached)?;
        self.reply(patience).await
    }

    /// Sends a request; until its reply is there the slot is doubtful.
    pub(crate) fn send(
        &mut self,
        request: &Request,
        contents: &[&[u8]],
        attached: &[RawFd],
    ) -> Result<(), Error> {
        self.doubtful = true;
        control::send(&self.socket, request, contents, attached)
            .map_err(|error| self.fault("send a request", error.to_string()))
    }

    async fn reply(&mut self, patience: Duration) -> Result<Message<Reply>, Error> {
        let reply = tokio::time::timeout(patience + RESIDENT_GRACE, self.receive());
        let reply = match reply.await {
            Ok(reply) => reply.map_err(|error| self.fault("receive a reply", error.to_string())),
            Err(_) => {
                Err(self.fault("wait for a reply", "the resident does not answer".to_owned()))
            }
        }?;
        match reply {
            Some(message) => {
                self.doubtful = matches!(message.header, Reply::Failed { .. });
                Ok(message)
            }
            None => Err(self.fault("wait for a reply", "the resident has ended".to_owned())),
        }
    }

    /// The next message; `Ok(None)` when the resident is gone. A caller may stop waiting for it.
    pub(crate) async fn receive(&self) -> io::Result<Option<Message<Reply>>> {
        let AsyncSocket::Registered(socket) = &self.socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        loop {
            let mut ready = socket.readable().await?;
            match control::receive(socket, MsgFlags::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                result => return result,
            }
        }
    }

    /// Trusts the slot again, because all that was asked of it is answered and it was proven clean.
    pub(crate) fn settle(&mut self) {
        self.doubtful = false;
    }

    pub(crate) fn fault(&self, step: &'static str, reason: String) -> Error {
        Error::Slot { slot: self.claim.number, step, reason }
    }

    pub(crate) fn unexpected(&mut self, step: &'static str, reply: &Reply) -> Error {
        self.doubtful = true;
        let reason = match reply {
            Reply::Failed { step, reason } => format!("{step}: {reason}"),
            Reply::Ready
            | Reply::Installed
            | Reply::Ended(_)
            | Reply::NotLaunched { .. }
            | Reply::Session(_) => "the resident gave an answer to another question".to_owned(),
        };
        self.fault(step, reason)
    }

    /// Ends everything in the slot and removes what it has on the machine. Blocks until the kernel
    /// has let go of it.
    pub(crate) fn destroy(self) -> Result<(), Error> {
        end_process(&self.resident).map_err(Error::io("end a resident"))?;
        self.claim.remove_groups()
    }
}

/// Kills a child of ours by its pidfd and waits until it is gone. As PID 1 it takes its whole pid
/// namespace with it (`pid_namespaces(7)`).
fn end_process(pidfd: &OwnedFd) -> io::Result<()> {
    process::kill_by_descriptor(pidfd.as_fd())?;
    match waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED) {
        Ok(_) | Err(nix::errno::Errno::ECHILD) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// What the folders of an empty writable layer take.
const FOLDER_BYTES: u64 = 64 << 10;

/// Memory pages that a file takes.
fn bytes_on_disk(file: &InputFile) -> u64 {
    const PAGE: u64 = 4096;
    (file.content.len() as u64).next_multiple_of(PAGE) + PAGE
}

pub(crate) fn headers(files: &[InputFile]) -> Vec<FileHeader> {
    files
        .iter()
        .map(|file| FileHeader {
            path: file.path.as_str().to_owned(),
            bytes: file.content.len() as u64,
            executable: file.mode == FileMode::Executable,
        })
        .collect()
}

/// Standard input as a sealed file opened for reading only; `None` where it is empty.
///
/// A file and not a pipe: nobody has to feed it, so a program that does not read cannot block us,
/// and a busy machine cannot make it wait.
pub(crate) fn stdin_file(content: &Buffer) -> io::Result<Option<OwnedFd>> {
    if content.is_empty() {
        return Ok(None);
    }
    let file = descriptors::sealed_memory_file(&[content])?;
    descriptors::reopen_read_only(&file).map(Some)
}

/// Puts a reply together, and believes none of its lengths before they are checked.
pub(crate) fn outcome(spec: &RunSpec, ended: Ended, mut payload: Payload) -> io::Result<Outcome> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidData, "a reply beyond its limits");
    let mut captured = |(bytes, truncated): (u64, bool)| {
        if bytes > spec.limits.output.0 {
            return Err(too_long());
        }
        Ok(Captured { bytes: payload.take(bytes)?.into(), truncated })
    };
    let (stdout, stderr) = (captured(ended.stdout)?, captured(ended.stderr)?);
    if ended.files.len() != spec.collect.len() {
        return Err(too_long());
    }
    let mut files = Vec::with_capacity(ended.files.len());
    for (header, wanted) in ended.files.iter().zip(&spec.collect) {
        files.push(match header {
            CollectedHeader::File { bytes } if *bytes <= wanted.bytes_max => {
                Collected::File(payload.take(*bytes)?.into())
            }
            CollectedHeader::File { .. } => return Err(too_long()),
            CollectedHeader::Missing => Collected::Missing,
            CollectedHeader::TooLarge => Collected::TooLarge,
        });
    }
    Ok(Outcome { termination: ended.termination, usage: ended.usage, stdout, stderr, files })
}

/// A resident that serves.
struct Started {
    socket: OwnedFd,
    resident: OwnedFd,
    writable: OwnedFd,
}

/// Starts this program as a builder and waits until its resident serves.
fn start_resident(blueprint: &Blueprint<'_>, claim: &Claim) -> Result<Started, Error> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|errno| Error::io("make a socket pair")(errno.into()))?;
    let mut builder = Command::new("/proc/self/exe")
        .arg0(RESIDENT_NAME)
        .env_clear()
        .current_dir("/")
        .stdin(theirs)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io("start a builder"))?;
    let request = BuildRequest {
        slot: claim.number,
        privilege: blueprint.privilege,
        id_base: claim.id_base(),
        groups: claim.groups.clone(),
        layers: blueprint.image.layers().to_vec(),
        entries: blueprint.image.entries().to_vec(),
        disk_bytes: Limits::default().disk.0,
        warm: blueprint.warm.to_vec(),
        cpu: blueprint.cpu,
    };
    let handed_over = control::send(&ours, &request, &[], &[])
        .map_err(Error::io("send a build request"))
        .and_then(|()| await_resident(&ours, claim.number));
    end_builder(&mut builder, handed_over.is_ok())?;
    let (resident, writable) = handed_over?;
    Ok(Started { socket: ours, resident, writable })
}

fn end_builder(builder: &mut Child, done: bool) -> Result<(), Error> {
    if !done {
        builder.kill().map_err(Error::io("end a builder"))?;
    }
    builder.wait().map(drop).map_err(Error::io("wait for a builder"))
}

/// Waits for both messages of a successful build, in either order: the resident's pidfd from the
/// builder, and `Ready` from the resident.
fn await_resident(socket: &OwnedFd, slot: u32) -> Result<(OwnedFd, OwnedFd), Error> {
    let deadline = Instant::now() + SLOT_BUILD_TIME_MAX;
    let failed = |step: &str, source| Error::Build { slot, step: step.to_owned(), source };
    let (mut resident, mut ready) = (None, false);
    let result = loop {
        if ready && let Some(resident) = resident.take() {
            return Ok(resident);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout) {
            Ok(0) => break failed("wait for the resident", io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => break failed("wait for the resident", errno.into()),
        }
        match control::receive_build_reply(socket) {
            Ok(control::BuildReply::Resident { pidfd, writable }) => {
                resident = Some((pidfd, writable));
            }
            Ok(control::BuildReply::Reply(Reply::Ready)) => ready = true,
            Ok(control::BuildReply::Reply(Reply::Failed { step, reason })) => {
                break failed(&step, io::Error::other(reason));
            }
            Ok(control::BuildReply::Reply(_)) => {
                break failed("wait for the resident", io::ErrorKind::InvalidData.into());
            }
            Err(error) => break failed("wait for the resident", error),
        }
    };
    if let Some((resident, _)) = resident {
        end_process(&resident).map_err(Error::io("end a resident"))?;
    }
    Err(result)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::Bytes;
    use crate::outcome::{Termination, Usage};
    use crate::spec::{CollectFile, RelativePath};

    fn header() -> impl Strategy<Value = CollectedHeader> {
        prop_oneof![
            (0..2000u64).prop_map(|bytes| CollectedHeader::File { bytes }),
            any::<u64>().prop_map(|bytes| CollectedHeader::File { bytes }),
            Just(CollectedHeader::Missing),
            Just(CollectedHeader::TooLarge),
        ]
    }

    fn spec(files: usize) -> RunSpec {
        let path = RelativePath::new("f").unwrap();
        let collect = vec![CollectFile { path, bytes_max: 1000 }; files];
        let limits = Limits { output: Bytes(1024), ..Limits::default() };
        RunSpec::new(["/bin/true"]).unwrap().collect(collect).unwrap().limits(limits).unwrap()
    }

    proptest! {
        /// Whatever a resident says of its lengths, an outcome is within what was asked for.
        #[test]
        fn any_reply_becomes_a_bounded_outcome_or_is_refused(
            stdout in prop_oneof![0..1500u64, any::<u64>()],
            stderr in prop_oneof![0..1500u64, any::<u64>()],
            files in proptest::collection::vec(header(), 0..4),
            wanted in 0..4usize,
            payload in 0..4000usize,
        ) {
            let (termination, zero) = (Termination::Exited { code: 0 }, Duration::ZERO);
            let usage = Usage { cpu_time: zero, wall_time: zero, peak_memory: Bytes(0) };
            let told = files.len();
            let (stdout, stderr) = ((stdout, false), (stderr, false));
            let resets = crate::resets::ResetTimes::default();
            let ended = Ended { termination, usage, stdout, stderr, files, resets };
            let (left, right) = std::os::unix::net::UnixDatagram::pair().unwrap();
            control::send(&left, &Reply::Ended(ended), &[&vec![0; payload]], &[]).unwrap();
            let message = control::receive::<Reply>(&right, MsgFlags::empty()).unwrap().unwrap();
            let Reply::Ended(ended) = message.header else { panic!("another reply arrived") };
            if let Ok(outcome) = outcome(&spec(wanted), ended, message.payload) {
                let mut bytes = outcome.stdout.bytes.len() + outcome.stderr.bytes.len();
                prop_assert!(outcome.stdout.bytes.len() <= 1024 && outcome.stderr.bytes.len() <= 1024);
                prop_assert_eq!(told, wanted);
                for file in &outcome.files {
                    if let Collected::File(content) = file {
                        prop_assert!(content.len() <= 1000);
                        bytes += content.len();
                    }
                }
                prop_assert!(bytes <= payload);
            }
        }
    }
}
