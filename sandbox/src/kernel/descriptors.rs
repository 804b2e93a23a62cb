//! Descriptors: memory files, control messages with descriptors attached, standard streams.
#![expect(unsafe_code, reason = "descriptors that arrive as integers must be taken into ownership")]

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::limits::MESSAGE_FDS_MAX;

/// A memory file that holds `parts`, sealed: nobody can change or resize it any more. Positioned at
/// its start.
pub(crate) fn sealed_memory_file(parts: &[&[u8]]) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"assay", flags)?);
    for part in parts {
        file.write_all(part)?;
    }
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// An empty memory file that can be written again and again.
pub(crate) fn memory_file() -> io::Result<File> {
    Ok(memfd_create(c"assay", MFdFlags::MFD_CLOEXEC)?.into())
}

/// The same file opened once more, for reading only and with a position of its own.
pub(crate) fn reopen_read_only(fd: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(File::open(path)?.into())
}

/// Sends one message with descriptors attached.
pub(crate) fn send(socket: RawFd, bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    let sent =
        sendmsg::<()>(socket, &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one message into `buffer`; returns its length and the descriptors that came with it.
/// Length 0 is the end: the peer is gone. A message cut short is an error.
pub(crate) fn receive(
    socket: RawFd,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; MESSAGE_FDS_MAX]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut space), flags)?;
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just installed these descriptors for us alone.
            fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let cut = MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC;
    if message.flags.intersects(cut) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message cut short"));
    }
    Ok((message.bytes, fds))
}

/// A pipe: read end (does not block), write end. Both close on exec.
pub(crate) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}

/// Takes over standard input as an owned descriptor and leaves `/dev/null` on 0, 1 and 2.
pub(crate) fn take_standard_input() -> io::Result<OwnedFd> {
    let taken = fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(10))?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    // SAFETY: the duplicate has just been made for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(taken) })
}

/// Closes every descriptor from 3 on but `keep`. Only for a fresh process that owns no others.
pub(crate) fn close_others(keep: &OwnedFd) -> io::Result<()> {
    let keep = keep.as_raw_fd();
    for (first, last) in [(3, keep - 1), (keep + 1, RawFd::MAX)] {
        if first > last {
            continue;
        }
        // SAFETY: integers only; the caller owns nothing in this range.
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
