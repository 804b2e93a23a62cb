//! What a run may use, and every bound of this crate in one place.
//!
//! A [`Limits`] is what one run is given; the constants are what no run, spec or reply may exceed,
//! whoever asks. Relations between constants are checked at compile time at the end of the file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` mebibytes (2^20 bytes).
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` kibibytes (2^10 bytes).
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// The count as `usize`; saturates where `usize` is narrower than 64 bits.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            n if n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{} MiB", n >> 20),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} B"),
        }
    }
}

/// What one run may use. Each is enforced by the kernel or by the supervisor's deadline, never by
/// the program's good will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time of all processes of the run together.
    pub cpu_time: Duration,
    /// Time on the clock from launch to the end.
    pub wall_time: Duration,
    /// Memory of all processes together, files in the writable layer included; swap is off.
    pub memory: Bytes,
    /// Processes and threads alive at once.
    pub pids: u32,
    /// Bytes kept of standard output, and as many of standard error; one more ends the run.
    pub output: Bytes,
    /// Size of one file, and of the writable layer as a whole.
    pub disk: Bytes,
    /// Open file descriptors of one process.
    pub open_files: u32,
    /// Stack of the main thread.
    pub stack: Bytes,
}

impl Default for Limits {
    /// 2 s of cpu, 10 s of wall, 256 MiB of memory, 64 processes, 16 MiB of output, 64 MiB of disk,
    /// 256 open files, 64 MiB of stack.
    fn default() -> Self {
        Self {
            cpu_time: Duration::from_secs(2),
            wall_time: Duration::from_secs(10),
            memory: Bytes::mib(256),
            pids: 64,
            output: Bytes::mib(16),
            disk: Bytes::mib(64),
            open_files: 256,
            stack: Bytes::mib(64),
        }
    }
}

/// The largest limits that any run may ask for.
pub const LIMITS_MAX: Limits = Limits {
    cpu_time: Duration::from_secs(3600),
    wall_time: Duration::from_secs(2 * 3600),
    memory: Bytes::mib(64 << 10),
    pids: 4096,
    output: Bytes::mib(256),
    disk: Bytes::mib(4096),
    open_files: 4096,
    stack: Bytes::mib(1024),
};

/// The smallest limits under which a program can be started at all.
pub const LIMITS_MIN: Limits = Limits {
    cpu_time: Duration::from_millis(1),
    wall_time: Duration::from_millis(1),
    memory: Bytes::mib(4),
    pids: 1,
    output: Bytes(0),
    disk: Bytes::kib(64),
    open_files: 8,
    stack: Bytes::kib(64),
};

/// Arguments of a program.
pub const ARGUMENTS_MAX: usize = 4096;
/// Bytes of one argument or environment entry (the kernel's `MAX_ARG_STRLEN` is 128 KiB).
pub const ARGUMENT_BYTES_MAX: usize = 128 << 10;
/// Bytes of all arguments and environment entries together.
pub const ARGUMENTS_BYTES_MAX: usize = 1 << 20;
/// Environment entries of a program.
pub const ENVIRONMENT_MAX: usize = 256;
/// Bytes of standard input.
pub const STDIN_BYTES_MAX: usize = 256 << 20;
/// Files given to one lease, or to one run.
pub const FILES_MAX: usize = 1024;
/// Bytes of all files given to one lease, or to one run, together.
pub const FILES_BYTES_MAX: usize = 256 << 20;
/// Files collected from one run.
pub const COLLECT_MAX: usize = 256;
/// Bytes of a relative path inside the slot.
pub const PATH_BYTES_MAX: usize = 1024;
/// Components of a relative path inside the slot.
pub const PATH_DEPTH_MAX: usize = 32;
/// Bytes of one file that is put into, or taken out of, the slot of a session.
pub const SESSION_FILE_BYTES_MAX: usize = 64 << 20;
/// Files and folders that a session's list of files tells of.
pub const LISTED_MAX: usize = 2048;
/// Bytes of all paths of such a list.
pub const LISTED_BYTES_MAX: usize = 256 << 10;
/// Orders to one session that wait for their turn.
pub const SESSION_ORDERS_MAX: usize = 16;
/// Slots of one pool.
pub const SLOTS_MAX: usize = 512;

/// Layers of one image: their paths must fit into one page of mount options.
pub const LAYERS_MAX: usize = 24;
/// Bytes of an image's manifest or configuration, ours or another tool's.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// Bytes of a dynamic loader; what is larger is none.
pub(crate) const LOADER_BYTES_MAX: u64 = 1 << 20;
/// Inodes of a slot's writable layer.
pub(crate) const WRITABLE_INODES_MAX: u64 = 16 << 10;
/// Bytes of one control message; larger payloads travel in a memory file beside it.
pub(crate) const MESSAGE_BYTES_MAX: usize = 96 << 10;
/// Payload bytes that are put into the message itself.
pub(crate) const INLINE_BYTES_MAX: usize = 64 << 10;
/// File descriptors that one control message carries.
pub(crate) const MESSAGE_FDS_MAX: usize = 4;
/// How long the supervisor waits for a resident beyond the wall time of the run that it was given.
pub(crate) const RESIDENT_GRACE: Duration = Duration::from_secs(5);
/// How long the end of a run may take that nobody waits for any more; after it the slot is destroyed.
pub(crate) const ABANDONED_TIME_MAX: Duration = Duration::from_millis(500);
/// How long a resident may take to answer a session.
pub(crate) const SESSION_ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// How long a slot may take to become ready.
pub(crate) const SLOT_BUILD_TIME_MAX: Duration = Duration::from_secs(20);

const _: () = {
    assert!(INLINE_BYTES_MAX < MESSAGE_BYTES_MAX);
    assert!(SESSION_FILE_BYTES_MAX <= FILES_BYTES_MAX);
    assert!(ARGUMENT_BYTES_MAX <= ARGUMENTS_BYTES_MAX);
    assert!(LIMITS_MIN.memory.0 < LIMITS_MAX.memory.0);
};

/// A limit outside what may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}, allowed is {min} to {max}")]
pub struct LimitError {
    /// The field of [`Limits`].
    pub name: &'static str,
    /// What was asked for.
    pub value: String,
    /// The smallest value allowed.
    pub min: String,
    /// The largest value allowed.
    pub max: String,
}

impl Limits {
    /// Checks every field against [`LIMITS_MIN`] and [`LIMITS_MAX`].
    ///
    /// # Errors
    /// The first field that lies outside.
    pub fn check(&self) -> Result<(), LimitError> {
        fn within<T: PartialOrd + std::fmt::Debug>(
            name: &'static str,
            value: T,
            min: T,
            max: T,
        ) -> Result<(), LimitError> {
            if value >= min && value <= max {
                return Ok(());
            }
            let [value, min, max] = [value, min, max].map(|v| format!("{v:?}"));
            Err(LimitError { name, value, min, max })
        }
        let (min, max) = (&LIMITS_MIN, &LIMITS_MAX);
        within("cpu_time", self.cpu_time, min.cpu_time, max.cpu_time)?;
        within("wall_time", self.wall_time, min.wall_time, max.wall_time)?;
        within("memory", self.memory.0, min.memory.0, max.memory.0)?;
        within("pids", self.pids, min.pids, max.pids)?;
        within("output", self.output.0, min.output.0, max.output.0)?;
        within("disk", self.disk.0, min.disk.0, max.disk.0)?;
        within("open_files", self.open_files, min.open_files, max.open_files)?;
        within("stack", self.stack.0, min.stack.0, max.stack.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_accepted_at_the_bound_and_refused_beyond_it() {
        assert_eq!(LIMITS_MIN.check(), Ok(()));
        assert_eq!(LIMITS_MAX.check(), Ok(()));
        let over = Limits { pids: LIMITS_MAX.pids + 1, ..LIMITS_MAX };
        assert_eq!(over.check().unwrap_err().name, "pids");
        let under = Limits { memory: Bytes(LIMITS_MIN.memory.0 - 1), ..LIMITS_MAX };
        assert_eq!(under.check().unwrap_err().name, "memory");
    }
}
