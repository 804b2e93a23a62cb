//! Control groups: memory, pids and cpu of one slot, on version 2 and on version 1.
//!
//! Groups are made once per slot and reused: creating and removing them costs several times as much
//! as the rest of a launch. What a run leaves in its group (kernel memory that is freed late) is
//! kept out of the next run's figures: each slot has [`MEMORY_GROUPS`] memory groups in rotation,
//! and what is still charged at the start is added to the limit and taken from the peak.
//!
//! The supervisor makes and removes groups ([`Parent`], [`SlotGroups`]). The resident holds open
//! files of them ([`Meters`]) and needs no path. Sources: `cgroups(7)`; kernel
//! `admin-guide/cgroup-v2.rst`, `admin-guide/cgroup-v1/{memory,pids,cpuacct}.rst`.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgroups_rs::Controllers;
use cgroups_rs::hierarchies::{V1, is_cgroup2_unified_mode};
use serde::{Deserialize, Serialize};

use super::counters::{field, put, value};
use super::delegation::{self, Delegation};
use crate::error::Error;
use crate::limits::{Bytes, Limits};

/// Memory groups of one slot, used in turn.
pub(crate) const MEMORY_GROUPS: usize = 2;
const ROTATION: [&str; MEMORY_GROUPS] = ["a", "b"];
/// Where the resident stays on version 2, on the same level as its runs' groups.
const RESIDENT: &str = "resident";

/// How long the kernel may take to let go of a group whose processes have ended.
const REMOVE_TIME_MAX: Duration = Duration::from_secs(5);

/// Which of the two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    /// One hierarchy for all controllers.
    V2,
    /// A hierarchy for each controller.
    V1,
}

/// Where slots' groups are made.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    version: Version,
    memory: PathBuf,
    pids: PathBuf,
    cpu: PathBuf,
}

/// The folders of one slot's groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotGroups {
    pub(crate) version: Version,
    memory: PathBuf,
    pids: PathBuf,
    cpu: PathBuf,
}

pub(super) fn failed(operation: impl Into<String>, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let (operation, path) = (operation.into(), path.to_owned());
    move |source| Error::Cgroup { operation, path, source }
}

fn write(path: &Path, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(failed(format!("write {value} to"), path))
}

impl Parent {
    /// Finds the hierarchies and the caller's own place in them, or below `inside` where given:
    /// there the same relative path is used in every hierarchy.
    pub(crate) fn find(inside: Option<&Path>) -> Result<Self, Error> {
        if is_cgroup2_unified_mode() {
            let root = cgroups_rs::hierarchies::auto().root();
            let own = delegation::outside(own_group(&root, "", inside)?);
            return Ok(Self {
                version: Version::V2,
                memory: own.clone(),
                pids: own.clone(),
                cpu: own,
            });
        }
        let hierarchies = V1::new();
        let locate = |controller: Controllers, name: &str| {
            let root = hierarchies.get_mount_point(controller).ok_or_else(|| Error::Unfit {
                reason: format!(
                    "there is no control group controller {name}; mount it, or boot with cgroup v2"
                ),
            })?;
            own_group(&root, name, inside)
        };
        Ok(Self {
            version: Version::V1,
            memory: locate(Controllers::Mem, "memory")?,
            pids: locate(Controllers::Pids, "pids")?,
            cpu: locate(Controllers::CpuAcct, "cpuacct")?,
        })
    }

    /// Which interface is used.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Whether the caller may make groups here, as an ordinary user may where the group was delegated
    /// to it (`cgroups(7)`, delegation).
    pub(crate) fn is_delegated(&self) -> bool {
        let writable =
            |path: &Path| nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok();
        let members = if self.version == Version::V2 { "cgroup.procs" } else { "tasks" };
        let folders = [&self.memory, &self.pids, &self.cpu];
        let known = fs::read_to_string(self.memory.join("cgroup.controllers")).unwrap_or_default();
        let has = |wanted: &str| known.split_whitespace().any(|name| name == wanted);
        folders.iter().all(|path| writable(path) && writable(&path.join(members)))
            && (self.version == Version::V1 || ["memory", "pids"].into_iter().all(has))
    }

    /// Where memory groups are made, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.memory
    }

    /// Makes the groups of slots possible below. `None`: nothing had to be done, on version 1.
    pub(crate) fn delegate(&self) -> Result<Option<Delegation>, Error> {
        match self.version {
            Version::V1 => Ok(None),
            Version::V2 => Delegation::take(&self.memory).map(Some),
        }
    }

    /// The groups of slot `slot`: paths only, nothing is made.
    pub(crate) fn groups(&self, slot: u32) -> SlotGroups {
        let name = format!("assay-slot-{slot}");
        SlotGroups {
            version: self.version,
            memory: self.memory.join(&name),
            pids: self.pids.join(&name),
            cpu: self.cpu.join(&name),
        }
    }
}

/// The caller's own group in the hierarchy mounted at `root`.
fn own_group(root: &Path, controller: &str, inside: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(inside) = inside {
        let path = root.join(inside.strip_prefix("/").unwrap_or(inside));
        make(&path)?;
        return Ok(path);
    }
    let table = Path::new("/proc/self/cgroup");
    let text = fs::read_to_string(table).map_err(failed("read", table))?;
    let own = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        names.split(',').any(|name| name == controller).then_some(path)
    });
    let own = root.join(own.unwrap_or("/").trim_start_matches('/'));
    // Where a container shows only its own part of the hierarchy, the path is relative to a root
    // that cannot be seen.
    Ok(if own.is_dir() { own } else { root.to_owned() })
}

pub(super) fn make(path: &Path) -> Result<(), Error> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("create", path)(error))
        }
        _ => Ok(()),
    }
}

impl SlotGroups {
    /// Every folder, parents first, without repetition.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.memory.clone(), self.pids.clone(), self.cpu.clone()];
        folders.dedup();
        folders.extend(ROTATION.iter().map(|name| self.memory.join(name)));
        if self.version == Version::V2 {
            folders.push(self.memory.join(RESIDENT));
        }
        folders
    }

    /// Makes the groups. Those of a dead owner must have been removed before.
    pub(crate) fn create(&self) -> Result<(), Error> {
        for folder in self.folders() {
            make(&folder)?;
        }
        if self.version == Version::V1 {
            for name in ROTATION {
                write(&self.memory.join(name).join("memory.swappiness"), "0")?;
            }
        }
        Ok(())
    }

    /// Brings processes back that the owner of these groups, which died, had moved.
    pub(crate) fn restore_parent(&self) -> Result<(), Error> {
        match (self.version, self.memory.parent()) {
            (Version::V2, Some(parent)) if parent.is_dir() => delegation::restore(parent),
            (Version::V2 | Version::V1, _) => Ok(()),
        }
    }

    /// Ends what is left in the groups and removes them. Groups that are not there are fine.
    pub(crate) fn destroy(&self) -> Result<(), Error> {
        let deadline = Instant::now() + REMOVE_TIME_MAX;
        for folder in self.folders().iter().rev() {
            loop {
                match fs::remove_dir(folder) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error) if Instant::now() > deadline => {
                        return Err(failed("remove", folder)(error));
                    }
                    Err(_) => {
                        kill_members(folder)?;
                        // The kernel frees a group's last process some time after its parent has
                        // waited for it; there is no event to wait for on version 1.
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens what the resident of the slot needs, and through `unshare` makes a namespace that has
    /// the slot's group as its root. `owner` is the slot's root. Called by the builder.
    pub(crate) fn settle(
        &self,
        owner: u32,
        unshare: impl FnOnce() -> io::Result<()>,
    ) -> Result<Meters, Error> {
        match self.version {
            Version::V1 => self.settle_v1(unshare),
            Version::V2 => self.settle_v2(owner, unshare),
        }
    }

    fn settle_v1(&self, unshare: impl FnOnce() -> io::Result<()>) -> Result<Meters, Error> {
        let shared = SharedV1 {
            pids_join: open_to_write(&self.pids.join("tasks"))?,
            pids_max: open_to_write(&self.pids.join("pids.max"))?,
            pids_current: open_to_read(&self.pids.join("pids.current"))?,
            cpu_join: open_to_write(&self.cpu.join("tasks"))?,
            cpu_usage: open_to_read(&self.cpu.join("cpuacct.usage"))?,
        };
        let meters = self.open(Some(shared))?;
        let folders = [&self.memory, &self.pids, &self.cpu];
        for folder in folders {
            write(&folder.join("tasks"), "0")?;
        }
        unshare().map_err(failed("make a namespace of", &self.memory))?;
        for folder in folders {
            write(&folder.parent().unwrap_or(folder).join("tasks"), "0")?;
        }
        Ok(meters)
    }

    /// The resident stays in a child of the slot's group and clones its runs into others. For that
    /// the kernel asks that it may write `cgroup.procs` there and in the common parent, and that its
    /// namespace has both (`clone(2)`, `CLONE_INTO_CGROUP`; `cgroup-v2.rst`, Delegation Containment).
    fn settle_v2(
        &self,
        owner: u32,
        unshare: impl FnOnce() -> io::Result<()>,
    ) -> Result<Meters, Error> {
        write(&self.memory.join("cgroup.procs"), "0")?;
        unshare().map_err(failed("make a namespace of", &self.memory))?;
        write(&self.memory.join(RESIDENT).join("cgroup.procs"), "0")?;
        delegation::hand_down(&self.memory).map_err(failed("hand down", &self.memory))?;
        for group in ROTATION.map(|name| self.memory.join(name)) {
            own(&group.join("cgroup.procs"), owner)?;
            let swap = group.join("memory.swap.max");
            // Absent where the kernel has no swap accounting: then there is nothing to limit.
            match fs::write(&swap, "0") {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("write 0 to", &swap)(error));
                }
                _ => {}
            }
        }
        own(&self.memory.join("cgroup.procs"), owner)?;
        self.open(None)
    }

    fn open(&self, shared: Option<SharedV1>) -> Result<Meters, Error> {
        let memory = ROTATION
            .iter()
            .map(|name| MemoryGroup::open(&self.memory.join(name), self.version))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Meters { memory, shared, current: 0, pids_max: 0 })
    }
}

fn own(path: &Path, owner: u32) -> Result<(), Error> {
    chown(path, Some(owner), Some(owner)).map_err(failed("own", path))
}

/// Ends the processes of a group by pidfd, so that a number that was given anew is never hit.
fn kill_members(folder: &Path) -> Result<(), Error> {
    let members = folder.join("cgroup.procs");
    let Ok(list) = fs::read_to_string(&members) else {
        return Ok(());
    };
    for pid in list.lines().filter_map(|line| line.parse::<i32>().ok()) {
        let Ok(process) = super::process::open_descriptor(pid) else {
            continue;
        };
        // Still a member after the descriptor was taken: then it is the one that was listed.
        let still = fs::read_to_string(&members).unwrap_or_default();
        if still.lines().any(|line| line.parse() == Ok(pid)) {
            super::process::kill_by_descriptor(std::os::fd::AsFd::as_fd(&process))
                .map_err(failed("end the processes of", folder))?;
        }
    }
    Ok(())
}

fn open_to_write(path: &Path) -> Result<File, Error> {
    File::options().read(true).write(true).open(path).map_err(failed("open", path))
}

fn open_to_read(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(failed("open", path))
}

/// One memory group, as open files.
#[derive(Debug)]
struct MemoryGroup {
    /// Version 1: its `tasks`, where a child writes `0`. Version 2: its folder, to clone into.
    join: File,
    max: File,
    /// Version 1: memory and swap together.
    max_with_swap: Option<File>,
    usage: File,
    peak: Peak,
    events: File,
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
struct SharedV1 {
    pids_join: File,
    pids_max: File,
    pids_current: File,
    cpu_join: File,
    cpu_usage: File,
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
pub(crate) struct Meters {
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
    cpu: Duration,
}

/// Bytes that may still be charged to a group when a run starts in it; above, the other group is
/// looked at.
const LEFTOVER_BYTES_MAX: u64 = 8 << 20;

impl MemoryGroup {
    fn open(path: &Path, version: Version) -> Result<Self, Error> {
        let optional = |name: &str| open_to_write(&path.join(name)).ok();
        let of = |v2: &str, v1: &str| path.join(if version == Version::V2 { v2 } else { v1 });
        let is_v2 = version == Version::V2;
        Ok(Self {
            join: if is_v2 { open_to_read(path)? } else { open_to_write(&path.join("tasks"))? },
            max: open_to_write(&of("memory.max", "memory.limit_in_bytes"))?,
            max_with_swap: if is_v2 { None } else { optional("memory.memsw.limit_in_bytes") },
            usage: open_to_read(&of("memory.current", "memory.usage_in_bytes"))?,
            peak: Peak::open(&of("memory.peak", "memory.max_usage_in_bytes")),
            events: open_to_read(&of("memory.events", "memory.oom_control"))?,
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

    /// Processes that the kernel killed because this group was full.
    fn kills(&self) -> io::Result<u64> {
        field(&self.events, "oom_kill ")
    }
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

impl Meters {
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
        let kills = self.memory[self.current].kills()?;
        Ok(Start { usage, peak, kills, cpu: self.cpu_total()? })
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

    /// Whether the kernel killed a process of the run for memory since `start`.
    pub(crate) fn memory_exhausted(&self, start: &Start) -> io::Result<bool> {
        Ok(self.memory[self.current].kills()? > start.kills)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_a_slot_are_listed_parents_first() {
        let one = PathBuf::from("/cg/assay-slot-1");
        let groups = SlotGroups {
            version: Version::V2,
            memory: one.clone(),
            pids: one.clone(),
            cpu: one.clone(),
        };
        assert_eq!(
            groups.folders(),
            [one.clone(), one.join("a"), one.join("b"), one.join("resident")]
        );
    }
}
