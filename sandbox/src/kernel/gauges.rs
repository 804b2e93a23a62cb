//! The open files of a slot's control groups: what limits and measures its runs. Held by the resident,
//! which needs no path.
//!
//! What a run leaves in its group (kernel memory that is freed late) is kept out of the next run's
//! figures: memory groups are used in turn, and what is still charged at the start is added to the
//! limit and taken from the peak.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::cgroup::{MEMORY_GROUPS, Version, failed, open_to_read, open_to_write};
use super::counters::{field, put, value};
use crate::error::Error;
use crate::limits::{Bytes, Limits};

/// One memory group, as open files.
#[derive(Debug)]
struct MemoryGroup {
    version: Version,
    /// Version 1: its `tasks`, where a child writes `0`. Version 2: its folder, to clone into.
    join: File,
    max: File,
    /// Version 1: memory and swap together.
    max_with_swap: Option<File>,
    usage: File,
    peak: Peak,
    /// How often a process was killed in it; version 2: and how often its own limit was why.
    events: File,
    /// Version 1: becomes readable when the kernel is about to kill.
    alarm: Option<EventFd>,
    /// Version 2: here, and not in a hierarchy of their own.
    pids_max: Option<File>,
    pids_current: Option<File>,
    cpu: Option<File>,
    limit: u64,
    pids: u32,
}

/// The most that was ever charged to a group.
#[derive(Debug)]
enum Peak {
    /// Since it was last written.
    Reset(File),
    /// Since the group was made: `memory.peak` before Linux 6.12. To make a new group for each run
    /// would help, but the old one lives on in the kernel until the last page of the image that was
    /// charged to it is dropped.
    Lasting(File),
    /// Before Linux 5.19.
    Untold,
}

#[derive(Debug)]
pub(super) struct SharedV1 {
    pub(super) pids_join: File,
    pub(super) pids_max: File,
    pub(super) pids_current: File,
    pub(super) cpu_join: File,
    pub(super) cpu_usage: File,
}

/// How a child comes into its groups.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door<'a> {
    /// Version 1: it writes `0` to each of these; the memory group comes last, so that nothing of the
    /// launch is charged to it but the program's own.
    Write([RawFd; 3]),
    /// Version 2: it is cloned into this folder. Joining by a write would wait for an RCU grace period
    /// whenever nobody has done so for a while, which takes longer than all else in a launch. The
    /// group's `cgroup.kill` must never be written: the kernel would kill whoever is cloned into it
    /// later.
    Clone(BorrowedFd<'a>),
}

impl<'a> Door<'a> {
    /// Where to write `0`.
    pub(crate) fn files(self) -> Option<[RawFd; 3]> {
        match self {
            Self::Write(files) => Some(files),
            Self::Clone(_) => None,
        }
    }

    /// What to clone into.
    pub(crate) fn folder(self) -> Option<BorrowedFd<'a>> {
        match self {
            Self::Write(_) => None,
            Self::Clone(folder) => Some(folder),
        }
    }
}

/// What limits and measures the runs of a slot. Held by the resident.
#[derive(Debug)]
pub(crate) struct Gauges {
    memory: Vec<MemoryGroup>,
    shared: Option<SharedV1>,
    current: usize,
    pids_max: u32,
}

/// Counters at the start of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    usage: u64,
    /// Only of [`Peak::Lasting`].
    peak: u64,
    kills: u64,
    hits: u64,
    cpu: Duration,
}

/// Whether a run had the memory that it wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verge {
    /// Nothing was killed.
    Within,
    /// A process of it was killed, as its limit was reached.
    Exhausted,
    /// A process of it was killed below its limit: the machine had no memory left, or a group above.
    Starved,
}

/// Version 1, which does not count whose limit was reached (`memory.failcnt` stays 0 on Linux 6.18): a
/// group whose peak is this close to its limit has reached it. Memory is charged in pieces of at most
/// 2 MiB.
const NEAR_LIMIT_BYTES: u64 = 8 << 20;

/// Bytes that may still be charged to a group when a run starts in it; above, the other group is
/// looked at.
const LEFTOVER_BYTES_MAX: u64 = 8 << 20;

impl MemoryGroup {
    fn open(path: &Path, version: Version) -> Result<Self, Error> {
        let optional = |name: &str| open_to_write(&path.join(name)).ok();
        let of = |v2: &str, v1: &str| path.join(if version == Version::V2 { v2 } else { v1 });
        let is_v2 = version == Version::V2;
        let events = open_to_read(&of("memory.events", "memory.oom_control"))?;
        Ok(Self {
            version,
            join: if is_v2 { open_to_read(path)? } else { open_to_write(&path.join("tasks"))? },
            max: open_to_write(&of("memory.max", "memory.limit_in_bytes"))?,
            max_with_swap: if is_v2 { None } else { optional("memory.memsw.limit_in_bytes") },
            usage: open_to_read(&of("memory.current", "memory.usage_in_bytes"))?,
            peak: Peak::open(&of("memory.peak", "memory.max_usage_in_bytes")),
            alarm: if is_v2 { None } else { alarm(path, &events)? },
            events,
            pids_max: if is_v2 { Some(open_to_write(&path.join("pids.max"))?) } else { None },
            pids_current: if is_v2 {
                Some(open_to_read(&path.join("pids.current"))?)
            } else {
                None
            },
            cpu: if is_v2 { Some(open_to_read(&path.join("cpu.stat"))?) } else { None },
            limit: u64::MAX,
            pids: 0,
        })
    }

    fn set_limit(&mut self, bytes: u64) -> io::Result<()> {
        if self.limit == bytes {
            return Ok(());
        }
        let value = bytes.to_string();
        // The limit with swap may never be below the limit without: it rises first and falls last.
        let rises = bytes > self.limit;
        if rises && let Some(with_swap) = &self.max_with_swap {
            put(with_swap, &value)?;
        }
        put(&self.max, &value)?;
        if !rises && let Some(with_swap) = &self.max_with_swap {
            put(with_swap, &value)?;
        }
        self.limit = bytes;
        Ok(())
    }

    /// Processes in this group that the kernel killed for lack of memory, here or above.
    fn kills(&self) -> io::Result<u64> {
        field(&self.events, "oom_kill ")
    }

    /// How often this group's own limit was what lacked, where the kernel counts that.
    fn hits(&self) -> io::Result<u64> {
        match self.version {
            Version::V2 => field(&self.events, "oom "),
            Version::V1 => Ok(0),
        }
    }

    /// Whether its own limit was reached since `start`.
    fn was_full(&self, start: &Start) -> io::Result<bool> {
        match self.version {
            Version::V2 => Ok(self.hits()? > start.hits),
            Version::V1 => {
                let peak = self.peak.since(start.peak)?.unwrap_or(u64::MAX);
                Ok(peak.saturating_add(NEAR_LIMIT_BYTES) >= self.limit)
            }
        }
    }
}

/// Makes the kernel tell when it is about to kill in the group `path`. Version 2 needs no alarm: there
/// the whole group is killed, with the first process, whose end is seen.
fn alarm(path: &Path, oom_control: &File) -> Result<Option<EventFd>, Error> {
    let Ok(control) = open_to_write(&path.join("cgroup.event_control")) else {
        return Ok(None);
    };
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    EventFd::from_flags(flags)
        .map_err(io::Error::from)
        .and_then(|alarm| {
            put(&control, &format!("{} {}", alarm.as_fd().as_raw_fd(), oom_control.as_raw_fd()))?;
            Ok(Some(alarm))
        })
        .map_err(failed("be told of kills in", path))
}

impl Peak {
    fn open(path: &Path) -> Self {
        let written = open_to_write(path).ok().filter(|file| put(file, "0").is_ok());
        match (written, open_to_read(path)) {
            (Some(file), _) => Self::Reset(file),
            (None, Ok(file)) => Self::Lasting(file),
            (None, Err(_)) => Self::Untold,
        }
    }

    /// Begins anew where that can be. Returns the peak that later ones can be told from.
    fn start(&self) -> io::Result<u64> {
        match self {
            Self::Reset(file) => put(file, "0").map(|()| 0),
            Self::Lasting(file) => value(file),
            Self::Untold => Ok(u64::MAX),
        }
    }

    /// The peak since `start` returned `before`, if the kernel can tell.
    fn since(&self, before: u64) -> io::Result<Option<u64>> {
        match self {
            Self::Reset(file) => value(file).map(Some),
            Self::Lasting(file) => Ok(Some(value(file)?).filter(|peak| *peak > before)),
            Self::Untold => Ok(None),
        }
    }
}

impl Gauges {
    /// Opens the files of the memory `groups`.
    pub(super) fn open(
        groups: &[PathBuf; MEMORY_GROUPS],
        version: Version,
        shared: Option<SharedV1>,
    ) -> Result<Self, Error> {
        let memory = groups
            .iter()
            .map(|path| MemoryGroup::open(path, version))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { memory, shared, current: 0, pids_max: 0 })
    }

    /// How a child comes into the groups of this run.
    pub(crate) fn door(&self) -> Door<'_> {
        let memory = &self.memory[self.current].join;
        match &self.shared {
            Some(shared) => {
                Door::Write([&shared.pids_join, &shared.cpu_join, memory].map(AsRawFd::as_raw_fd))
            }
            None => Door::Clone(memory.as_fd()),
        }
    }

    /// Chooses a memory group, sets the limits and notes the counters.
    pub(crate) fn start(&mut self, limits: &Limits) -> io::Result<Start> {
        let mut usage = u64::MAX;
        for _ in 0..MEMORY_GROUPS {
            self.current = (self.current + 1) % MEMORY_GROUPS;
            usage = value(&self.memory[self.current].usage)?;
            if usage <= LEFTOVER_BYTES_MAX {
                break;
            }
        }
        let group = &mut self.memory[self.current];
        // Rounded up, so that the file is rarely written.
        group.set_limit(limits.memory.0 + usage.next_multiple_of(4 << 20))?;
        let peak = group.peak.start()?;
        if let Some(pids_max) = &group.pids_max
            && group.pids != limits.pids
        {
            put(pids_max, &limits.pids.to_string())?;
            group.pids = limits.pids;
        }
        if let Some(shared) = &self.shared
            && self.pids_max != limits.pids
        {
            put(&shared.pids_max, &limits.pids.to_string())?;
            self.pids_max = limits.pids;
        }
        let group = &self.memory[self.current];
        // Whatever rang before does not concern this run.
        self.silence()?;
        let (kills, hits) = (group.kills()?, group.hits()?);
        Ok(Start { usage, peak, kills, hits, cpu: self.cpu_total()? })
    }

    fn cpu_total(&self) -> io::Result<Duration> {
        match (&self.shared, &self.memory[self.current].cpu) {
            (Some(shared), _) => Ok(Duration::from_nanos(value(&shared.cpu_usage)?)),
            (None, Some(stat)) => Ok(Duration::from_micros(field(stat, "usage_usec ")?)),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Processes and threads of the run that are alive or not yet reaped.
    pub(crate) fn members(&self) -> io::Result<u64> {
        match (&self.shared, &self.memory[self.current].pids_current) {
            (Some(shared), _) => value(&shared.pids_current),
            (None, Some(current)) => value(current),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Processor time since `start`.
    pub(crate) fn cpu_time(&self, start: &Start) -> io::Result<Duration> {
        Ok(self.cpu_total()?.saturating_sub(start.cpu))
    }

    /// Whether the kernel killed a process of the run since `start`, and why.
    pub(crate) fn memory(&self, start: &Start) -> io::Result<Verge> {
        let group = &self.memory[self.current];
        if group.kills()? <= start.kills {
            return Ok(Verge::Within);
        }
        Ok(if group.was_full(start)? { Verge::Exhausted } else { Verge::Starved })
    }

    /// Readable when the kernel is about to kill a process of the run.
    pub(crate) fn alarm(&self) -> Option<BorrowedFd<'_>> {
        self.memory[self.current].alarm.as_ref().map(EventFd::as_fd)
    }

    /// Makes the alarm ready to ring again.
    pub(crate) fn silence(&self) -> io::Result<()> {
        match self.memory[self.current].alarm.as_ref().map(EventFd::read) {
            None | Some(Ok(_) | Err(Errno::EAGAIN)) => Ok(()),
            Some(Err(errno)) => Err(errno.into()),
        }
    }

    /// Largest memory of all processes together since `start`, as far as the kernel tells; else what
    /// they left charged, files in the writable layer for instance.
    pub(crate) fn peak_memory(&self, start: &Start) -> io::Result<Bytes> {
        let group = &self.memory[self.current];
        let peak = match group.peak.since(start.peak)? {
            Some(peak) => peak,
            None => value(&group.usage)?,
        };
        Ok(Bytes(peak.saturating_sub(start.usage)))
    }
}
