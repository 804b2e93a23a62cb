//! The network of a slot: a loopback of its own and nothing else.
#![expect(unsafe_code, reason = "interface flags are set by an ioctl")]

use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Brings up `lo` in the caller's network namespace (`netdevice(7)`), and lets closed connections
/// leave no trace for the next run: with no place for them, TIME_WAIT ends at once (`tcp(7)`,
/// `tcp_max_tw_buckets`).
pub(crate) fn prepare_loopback() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0")?;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = libc::c_char::try_from(*byte).unwrap_or_default();
    }
    let up = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
