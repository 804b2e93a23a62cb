//! What supervisor and resident say to each other, over one `SOCK_SEQPACKET` pair.
//!
//! A message is a header (postcard) followed by a payload (file contents, outputs). A small message
//! travels as it is; a larger one lies in a memory file whose descriptor is attached. Either way the
//! receiver checks every length before it believes it: the resident is outside the run's reach, and
//! still its replies are read like those of a stranger.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::sys::socket::MsgFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kernel::cgroup::SlotGroups;
use crate::kernel::descriptors;
use crate::limits::{INLINE_BYTES_MAX, Limits, MESSAGE_BYTES_MAX};
use crate::outcome::{Termination, Usage};
use crate::privilege::Privilege;
use crate::resets::ResetTimes;

/// The first message to a new process: what to become.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BuildRequest {
    pub(crate) slot: u32,
    pub(crate) privilege: Privilege,
    /// With root, the first of the slot's ids outside.
    pub(crate) id_base: u32,
    pub(crate) groups: Option<SlotGroups>,
    /// Folders shown one above the other as the root, uppermost first.
    pub(crate) layers: Vec<std::path::PathBuf>,
    /// What lies above them.
    pub(crate) entries: Vec<crate::image::Entry>,
    pub(crate) disk_bytes: u64,
    /// Interpreters that are kept warm.
    pub(crate) warm: Vec<crate::warm::Warmup>,
    /// The processor that the slot runs on.
    pub(crate) cpu: Option<usize>,
}

/// What the resident is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Put files below `/box`. Payload: their contents.
    Install { files: Vec<FileHeader> },
    /// Run a program. Payload: the contents of `files`.
    Run(RunRequest),
    /// Something to do for a session, whether its program runs or not.
    Session(SessionRequest),
    /// End the program that runs, as nobody waits for it any more; its end is told like any. Nothing
    /// happens where it has ended. Has no reply.
    Abandon,
    /// The lease has ended: forget what was installed. Has no reply.
    EndLease,
}

/// What a resident does for a session, while its program runs and between two of them. Each has one
/// reply, which comes in turn; that a program ended is told beside them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SessionRequest {
    /// Send the interrupt signal to the program, as a terminal would.
    Interrupt,
    /// Tell the processor time used so far; from now on the program may use so much more before
    /// [`SessionReply::Spent`] is told.
    Allow { cpu_time: Duration },
    /// Put files into the work folder, in place of those that are there. Payload: their contents.
    Write { files: Vec<FileHeader> },
    /// Take one file out of the work folder.
    Read { path: String, bytes_max: u64 },
    /// List what is in the work folder.
    List,
    /// End the program.
    End,
    /// Remove all that the programs of the session left.
    Forget,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FileHeader {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) executable: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunRequest {
    /// Without their NUL.
    pub(crate) argv: Vec<Vec<u8>>,
    pub(crate) env: Vec<Vec<u8>>,
    pub(crate) files: Vec<FileHeader>,
    /// Path and largest size of each file to collect.
    pub(crate) collect: Vec<(String, u64)>,
    pub(crate) limits: Limits,
    /// Whether its processes may not open their memory.
    pub(crate) has_closed_memory: bool,
    /// Whether a descriptor for standard input is attached.
    pub(crate) has_stdin: bool,
    /// Whether one for standard output is, after it.
    pub(crate) has_stdout: bool,
    /// Whether one for standard error is, after those.
    pub(crate) has_stderr: bool,
    /// Whether requests are heard while it runs, and its files stay until they are to be forgotten.
    pub(crate) is_session: bool,
}

/// What the resident answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The slot is ready; sent once.
    Ready,
    /// The files are in place.
    Installed,
    /// The program ended. Payload: stdout, stderr, collected files.
    Ended(Ended),
    /// The program could not be started.
    NotLaunched { step: u8, errno: i32 },
    /// The answer to a [`SessionRequest`], but for [`SessionReply::Spent`]. Payload: a file's content.
    Session(SessionReply),
    /// A fault of ours; the slot must be destroyed.
    Failed { step: String, reason: String },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) termination: Termination,
    pub(crate) usage: Usage,
    /// Bytes kept, and whether there was more.
    pub(crate) stdout: (u64, bool),
    pub(crate) stderr: (u64, bool),
    pub(crate) files: Vec<CollectedHeader>,
    pub(crate) resets: ResetTimes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CollectedHeader {
    File { bytes: u64 },
    Missing,
    TooLarge,
}

/// What a session hears beside the end of its program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SessionReply {
    /// It is done.
    Done,
    /// It could not be done, for a reason that lies with the session's files.
    Refused { errno: i32 },
    /// Processor time that the program has used.
    Used { cpu_time: Duration },
    /// A file, or that there is none.
    Content(CollectedHeader),
    /// What is in the work folder; whether there is more.
    Listed { entries: Vec<(String, ListedKind)>, truncated: bool },
    /// The program has used the processor time that it was allowed. Answers nothing.
    Spent,
}

/// What an entry of a work folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListedKind {
    /// A regular file.
    File {
        /// Its size.
        bytes: u64,
    },
    /// A folder.
    Folder,
    /// Something else, which can neither be read nor written from outside.
    Other,
}

/// What the supervisor hears while a slot is built.
#[derive(Debug)]
pub(crate) enum BuildReply {
    /// From the builder: the resident's pidfd, and a hold on the writable layer's options.
    Resident { pidfd: OwnedFd, writable: OwnedFd },
    /// From either: a fault; from the resident: that it serves.
    Reply(Reply),
}

/// Hands the resident's pidfd and the hold on its writable layer to the supervisor.
pub(crate) fn send_resident(
    socket: &impl AsRawFd,
    pidfd: &OwnedFd,
    writable: &OwnedFd,
) -> io::Result<()> {
    let fds = [pidfd.as_raw_fd(), writable.as_raw_fd()];
    descriptors::send(socket.as_raw_fd(), &[RESIDENT], &fds)
}

/// Receives one message of a build. The peer's end is an error.
pub(crate) fn receive_build_reply(socket: &impl AsRawFd) -> io::Result<BuildReply> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let (length, fds) = descriptors::receive(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    buffer.truncate(length);
    if buffer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if buffer != [RESIDENT] {
        return Ok(BuildReply::Reply(decode(buffer, fds)?.header));
    }
    let [pidfd, writable] =
        <[OwnedFd; 2]>::try_from(fds).map_err(|_| invalid("a missing descriptor"))?;
    Ok(BuildReply::Resident { pidfd, writable })
}

/// The first byte of a datagram.
const INLINE: u8 = 0;
const ATTACHED: u8 = 1;
/// The only byte of the builder's message.
const RESIDENT: u8 = 2;

/// A received message: its header has been read, its payload not yet.
#[derive(Debug)]
pub(crate) struct Payload {
    source: Source,
    position: u64,
    end: u64,
}

#[derive(Debug)]
enum Source {
    Inline(Vec<u8>),
    Attached(File),
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn header_bytes<T: Serialize>(header: &T) -> io::Result<Vec<u8>> {
    postcard::to_allocvec(header).map_err(|_| invalid("a header that cannot be encoded"))
}

/// The datagram of a message and, where it is large, the memory file that holds it.
pub(crate) fn encode<T: Serialize>(
    header: &T,
    parts: &[&[u8]],
    make_file: impl FnOnce(&[&[u8]]) -> io::Result<OwnedFd>,
) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let header = header_bytes(header)?;
    let length = u32::try_from(header.len()).map_err(|_| invalid("a header too large"))?;
    let total = header.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut datagram = Vec::with_capacity(5 + total.min(INLINE_BYTES_MAX));
    if total <= INLINE_BYTES_MAX {
        datagram.push(INLINE);
        datagram.extend(length.to_le_bytes());
        datagram.extend(header);
        for part in parts {
            datagram.extend_from_slice(part);
        }
        return Ok((datagram, None));
    }
    datagram.push(ATTACHED);
    datagram.extend(length.to_le_bytes());
    let mut all: Vec<&[u8]> = vec![&header];
    all.extend(parts);
    Ok((datagram, Some(make_file(&all)?)))
}

/// Sends a message. Descriptors: the memory file first where there is one, then `extra`.
pub(crate) fn send<T: Serialize>(
    socket: &impl AsRawFd,
    header: &T,
    parts: &[&[u8]],
    extra: &[RawFd],
) -> io::Result<()> {
    let (datagram, attached) = encode(header, parts, descriptors::sealed_memory_file)?;
    let fds: Vec<RawFd> =
        attached.iter().map(AsRawFd::as_raw_fd).chain(extra.iter().copied()).collect();
    descriptors::send(socket.as_raw_fd(), &datagram, &fds)
}

/// Sends a message where no memory file can be made: a large one goes into `file`, in place of what
/// was there, which the receiver must have read.
pub(crate) fn send_by_file<T: Serialize>(
    socket: &impl AsRawFd,
    header: &T,
    parts: &[&[u8]],
    file: &File,
) -> io::Result<()> {
    let (datagram, attached) = encode(header, parts, |parts| {
        file.set_len(0)?;
        let mut position = 0;
        for part in parts {
            file.write_all_at(part, position)?;
            position += part.len() as u64;
        }
        Ok(file.try_clone()?.into())
    })?;
    let fds: Vec<RawFd> = attached.iter().map(AsRawFd::as_raw_fd).collect();
    descriptors::send(socket.as_raw_fd(), &datagram, &fds)
}

/// A received message with the descriptors that came with it.
#[derive(Debug)]
pub(crate) struct Message<T> {
    pub(crate) header: T,
    pub(crate) payload: Payload,
    /// The descriptors that the sender attached for themselves.
    pub(crate) extra: Vec<OwnedFd>,
}

/// Receives one message; `Ok(None)` when the peer is gone.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: &impl AsRawFd,
    flags: MsgFlags,
) -> io::Result<Option<Message<T>>> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let (length, fds) = descriptors::receive(socket.as_raw_fd(), &mut buffer, flags)?;
    if length == 0 {
        return Ok(None);
    }
    buffer.truncate(length);
    decode(buffer, fds).map(Some)
}

fn decode<T: DeserializeOwned>(datagram: Vec<u8>, fds: Vec<OwnedFd>) -> io::Result<Message<T>> {
    let mut fds = fds.into_iter();
    let (&[kind, a, b, c, d], rest) =
        datagram.split_first_chunk::<5>().ok_or_else(|| invalid("a message too short"))?;
    let header_length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let mut payload = match kind {
        INLINE => {
            let end = rest.len() as u64;
            Payload { source: Source::Inline(rest.to_vec()), position: 0, end }
        }
        ATTACHED => {
            let file = File::from(fds.next().ok_or_else(|| invalid("a missing descriptor"))?);
            let end = file.metadata()?.len();
            Payload { source: Source::Attached(file), position: 0, end }
        }
        _ => return Err(invalid("an unknown kind of message")),
    };
    let header = payload.take(header_length)?;
    let header =
        postcard::from_bytes(&header).map_err(|_| invalid("a header that cannot be decoded"))?;
    Ok(Message { header, payload, extra: fds.collect() })
}

impl Payload {
    /// Bytes not yet taken.
    pub(crate) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    fn advance(&mut self, bytes: u64) -> io::Result<u64> {
        if bytes > self.remaining() {
            return Err(invalid("a length beyond the message"));
        }
        let start = self.position;
        self.position += bytes;
        Ok(start)
    }

    /// The next `bytes` bytes.
    pub(crate) fn take(&mut self, bytes: u64) -> io::Result<Vec<u8>> {
        let start = self.advance(bytes)?;
        let length = usize::try_from(bytes).map_err(|_| invalid("a length beyond memory"))?;
        match &self.source {
            Source::Inline(data) => {
                let start =
                    usize::try_from(start).map_err(|_| invalid("a length beyond memory"))?;
                Ok(data[start..start + length].to_vec())
            }
            Source::Attached(file) => {
                let mut data = vec![0; length];
                file.read_exact_at(&mut data, start)?;
                Ok(data)
            }
        }
    }

    /// Writes the next `bytes` bytes to a file, without a copy in memory where the kernel can.
    pub(crate) fn copy_to(&mut self, target: &mut File, bytes: u64) -> io::Result<()> {
        if let Source::Inline(_) = self.source {
            return io::Write::write_all(target, &self.take(bytes)?);
        }
        let mut position = libc::off64_t::try_from(self.advance(bytes)?)
            .map_err(|_| invalid("a length beyond a file"))?;
        let Source::Attached(file) = &self.source else {
            return Err(invalid("a payload that changed its kind"));
        };
        let mut left = usize::try_from(bytes).map_err(|_| invalid("a length beyond memory"))?;
        while left > 0 {
            let sent = nix::sys::sendfile::sendfile64(
                target.as_fd(),
                file.as_fd(),
                Some(&mut position),
                left,
            )?;
            if sent == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= sent;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through_a_socket(parts: &[&[u8]]) -> Message<Request> {
        let (left, right) = std::os::unix::net::UnixDatagram::pair().unwrap();
        send(&left, &Request::EndLease, parts, &[]).unwrap();
        receive(&right, MsgFlags::empty()).unwrap().unwrap()
    }

    #[test]
    fn payload_arrives_whole_at_the_inline_bound_and_beyond_it() {
        for length in [0, 1, INLINE_BYTES_MAX - 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 5 << 20]
        {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let mut message = through_a_socket(&[&bytes[..length / 2], &bytes[length / 2..]]);
            assert_eq!(message.payload.remaining(), length as u64);
            assert_eq!(message.payload.take(length as u64).unwrap(), bytes);
            assert!(message.payload.take(1).is_err());
        }
    }

    #[test]
    fn a_file_used_again_carries_only_the_last_message() {
        let (left, right) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        for length in [5 << 20, INLINE_BYTES_MAX + 1, 10, INLINE_BYTES_MAX + 2] {
            let bytes = vec![u8::try_from(length % 251).unwrap(); length];
            send_by_file(&left, &Request::EndLease, &[&bytes], &file).unwrap();
            let mut message = receive::<Request>(&right, MsgFlags::empty()).unwrap().unwrap();
            assert_eq!(message.payload.remaining(), length as u64);
            assert_eq!(message.payload.take(length as u64).unwrap(), bytes);
        }
    }

    #[test]
    fn copying_to_a_file_equals_taking() {
        for length in [10, 1 << 20] {
            let bytes = vec![7; length];
            let mut message = through_a_socket(&[&bytes]);
            let mut file = tempfile::tempfile().unwrap();
            message.payload.copy_to(&mut file, length as u64).unwrap();
            assert_eq!(file.metadata().unwrap().len(), length as u64);
        }
    }

    /// A valid datagram of each kind that carries lengths, and what is done to it.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let file = ("[a-z./]{0,12}", any::<u64>(), any::<bool>());
        let files = proptest::collection::vec(file, 0..4).prop_map(|files| {
            let header = |(path, bytes, executable)| FileHeader { path, bytes, executable };
            Request::Install { files: files.into_iter().map(header).collect() }
        });
        let damage =
            proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6);
        (files, damage, any::<proptest::sample::Index>(), any::<bool>()).prop_map(
            |(request, damage, end, cut)| {
                let make_file = descriptors::sealed_memory_file;
                let (mut datagram, _) = encode(&request, &[b"payload"], make_file).unwrap();
                for (at, value) in damage {
                    let at = at.index(datagram.len());
                    datagram[at] = value;
                }
                if cut {
                    datagram.truncate(end.index(datagram.len()));
                }
                datagram
            },
        )
    }

    proptest! {
        /// What is decoded of a damaged message never gives more bytes than it has.
        #[test]
        fn a_damaged_message_is_refused_or_bounded(datagram in damaged()) {
            let bytes = datagram.len() as u64;
            if let Ok(mut message) = decode::<Request>(datagram, Vec::new()) {
                if let Request::Install { files } = &message.header {
                    for file in files {
                        let left = message.payload.remaining();
                        let taken = message.payload.take(file.bytes);
                        prop_assert_eq!(taken.is_ok(), file.bytes <= left);
                    }
                }
                prop_assert!(message.payload.remaining() <= bytes);
            }
        }

        #[test]
        fn any_datagram_is_decoded_or_refused(datagram in proptest::collection::vec(any::<u8>(), 0..512)) {
            drop(decode::<Request>(datagram.clone(), Vec::new()));
            drop(decode::<Reply>(datagram, Vec::new()));
        }
    }
}
