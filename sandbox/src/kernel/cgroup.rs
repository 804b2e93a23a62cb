//! Control groups: memory, pids and cpu of one slot, on version 2 and on version 1.
//!
//! Groups are made once per slot and reused: creating and removing them costs several times as much
//! as the rest of a launch. The supervisor makes and removes them ([`Parent`], [`SlotGroups`]); the
//! resident holds open files of them ([`Gauges`]). Sources: `cgroups(7)`; kernel
//! `admin-guide/cgroup-v2.rst`, `admin-guide/cgroup-v1/{memory,pids,cpuacct}.rst`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgroups_rs::Controllers;
use cgroups_rs::hierarchies::{V1, is_cgroup2_unified_mode};
use serde::{Deserialize, Serialize};

use super::delegation::{self, Delegation};
use super::gauges::{Gauges, SharedV1};
use crate::error::Error;

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

fn write_if_present(path: &Path, value: &str) -> Result<(), Error> {
    match write(path, value) {
        Err(Error::Cgroup { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
impl Parent {
    /// A folder in the place of a hierarchy, for what is about folders only.
    pub(crate) fn stand_in(folder: &Path) -> Self {
        let path = || folder.to_owned();
        Self { version: Version::V2, memory: path(), pids: path(), cpu: path() }
    }
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

    /// Makes the first of the groups, unless it is there: then it is somebody else's.
    pub(crate) fn take(&self) -> Result<bool, Error> {
        match fs::create_dir(&self.memory) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("create", &self.memory)(error)),
        }
    }

    /// Removes the first of the groups if nothing is in it; it may be another's, or not be there.
    pub(crate) fn give_up(&self) {
        fs::remove_dir(&self.memory).ok();
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
    ) -> Result<Gauges, Error> {
        match self.version {
            Version::V1 => self.settle_v1(unshare),
            Version::V2 => self.settle_v2(owner, unshare),
        }
    }

    fn settle_v1(&self, unshare: impl FnOnce() -> io::Result<()>) -> Result<Gauges, Error> {
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
    ) -> Result<Gauges, Error> {
        write(&self.memory.join("cgroup.procs"), "0")?;
        unshare().map_err(failed("make a namespace of", &self.memory))?;
        write(&self.memory.join(RESIDENT).join("cgroup.procs"), "0")?;
        delegation::hand_down(&self.memory).map_err(failed("hand down", &self.memory))?;
        for group in ROTATION.map(|name| self.memory.join(name)) {
            own(&group.join("cgroup.procs"), owner)?;
            // Absent where the kernel has no swap accounting: then there is nothing to limit.
            write_if_present(&group.join("memory.swap.max"), "0")?;
            // Who is killed for memory is not the only one: a run ends at once, and all of it.
            write_if_present(&group.join("memory.oom.group"), "1")?;
        }
        own(&self.memory.join("cgroup.procs"), owner)?;
        self.open(None)
    }

    fn open(&self, shared: Option<SharedV1>) -> Result<Gauges, Error> {
        let groups = ROTATION.map(|name| self.memory.join(name));
        Gauges::open(&groups, self.version, shared)
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

pub(super) fn open_to_write(path: &Path) -> Result<File, Error> {
    File::options().read(true).write(true).open(path).map_err(failed("open", path))
}

pub(super) fn open_to_read(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(failed("open", path))
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
