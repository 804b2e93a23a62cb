//! What the machine looked like before a test, and what is still there after it.
//!
//! The test process makes itself a subreaper, so whatever the service forked, however it tried to
//! get away, is a descendant of ours and nobody else's. Control groups, mounts and ipc objects are
//! the machine's: only those that appeared during the test count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::{deadline, process};

/// How long teardown may take after the test's last statement.
const TEARDOWN_TIME_MAX: Duration = Duration::from_secs(5);

/// A record of everything a test could leave behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    root: i32,
    processes: BTreeSet<String>,
    mounts: BTreeMap<String, usize>,
    cgroups: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
    ipc: BTreeSet<String>,
    descriptors: BTreeMap<String, usize>,
}

impl Baseline {
    /// Makes this process inherit orphans, so that none escapes the record. Once, at the start.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn adopt_orphans() -> Result<()> {
        nix::sys::prctl::set_child_subreaper(true).context("failed to become a subreaper")
    }

    /// Records this process, its descendants, and `folders` with all below them.
    #[must_use]
    pub fn record(folders: &[&Path]) -> Self {
        Self::of(i32::try_from(std::process::id()).unwrap_or_default(), folders)
    }

    /// The same as seen from another process: its descendants and its descriptors.
    #[must_use]
    pub fn of(root: i32, folders: &[&Path]) -> Self {
        let mut files = BTreeSet::new();
        for folder in folders.iter().chain(&[Path::new("/dev/shm")]) {
            list_files(folder, &mut files);
        }
        let descendants = process::descendants(root);
        let foreign = foreign_slots(root, &descendants);
        files.extend(slot_locks().filter(|path| !foreign.contains(&slot_number(path))));
        Self {
            root,
            processes: descendants
                .into_iter()
                .map(|process| format!("{} {} {}", process.pid, process.name, process.started))
                .collect(),
            mounts: mounts(),
            cgroups: cgroups(&foreign),
            files,
            ipc: ipc_objects(),
            descriptors: process::descriptors(root),
        }
    }

    /// Waits until nothing is left that was not there before.
    ///
    /// # Errors
    /// After a bounded wait: everything that is left, one line each.
    pub fn assert_restored(&self, folders: &[&Path]) -> Result<()> {
        let mut left = Vec::new();
        let clean = deadline::poll_blocking(TEARDOWN_TIME_MAX, || {
            reap_orphans(self.root);
            left = self.leftovers(&Self::of(self.root, folders));
            left.is_empty().then_some(())
        });
        if clean.is_some() {
            return Ok(());
        }
        let mut message = String::from("left behind:");
        for line in &left {
            write!(message, "\n  {line}")?;
        }
        bail!(message)
    }

    /// What an idle service consists of, without the numbers that change when a slot is built again.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let mut counts = self.mounts.clone();
        for process in &self.processes {
            let name = process.split(' ').nth(1).unwrap_or_default();
            *counts.entry(format!("process {name}")).or_insert(0) += 1;
        }
        for (kind, count) in &self.descriptors {
            if matches!(kind.as_str(), "socket" | "pipe") {
                *counts.entry("sockets and pipes".to_owned()).or_insert(0) += count;
            }
        }
        counts.insert("control groups".to_owned(), self.cgroups.len());
        counts.extend(self.ipc.iter().map(|object| (object.clone(), 1)));
        Shape(counts)
    }

    fn leftovers(&self, now: &Self) -> Vec<String> {
        let mut left = Vec::new();
        let processes = now.processes.difference(&self.processes);
        left.extend(processes.map(|process| format!("process {process}")));
        left.extend(counted("mount", &self.mounts, &now.mounts));
        let cgroups = now.cgroups.difference(&self.cgroups);
        left.extend(cgroups.map(|path| format!("cgroup {}", path.display())));
        let files = now.files.difference(&self.files);
        left.extend(files.map(|path| format!("file {}", path.display())));
        left.extend(now.ipc.difference(&self.ipc).map(|object| format!("ipc {object}")));
        left.extend(counted("descriptor", &self.descriptors, &now.descriptors));
        left
    }
}

/// How often each thing is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(BTreeMap<String, usize>);

impl Shape {
    /// What `self` has more or less of than `before`, in words.
    #[must_use]
    pub fn difference(&self, before: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        names
            .into_iter()
            .filter_map(|name| {
                let count = |shape: &Self| shape.0.get(name).copied().unwrap_or(0);
                let (then, now) = (count(before), count(self));
                // A connection that was still closing when the first look was taken is no loss.
                let is_less = name == "sockets and pipes" && now < then;
                (then != now && !is_less).then(|| format!("{name}: {then} before, {now} now"))
            })
            .collect()
    }
}

fn counted(
    what: &str,
    before: &BTreeMap<String, usize>,
    now: &BTreeMap<String, usize>,
) -> Vec<String> {
    now.iter()
        .filter_map(|(name, count)| {
            let more = count.saturating_sub(before.get(name).copied().unwrap_or(0));
            (more > 0).then(|| format!("{what} {name} (+{more})"))
        })
        .collect()
}

/// Takes the exit status of orphans that came to us; a child that a test started is not touched,
/// because its own handle waits for it, and a stopped test has dropped that handle.
fn reap_orphans(root: i32) {
    let me = i32::try_from(std::process::id()).unwrap_or_default();
    if root != me {
        return;
    }
    let zombies = process::descendants(me)
        .into_iter()
        .filter(|process| process.state == 'Z' && process.parent == me);
    for zombie in zombies {
        // An error means that somebody else was faster, which is what we want.
        waitpid(Pid::from_raw(zombie.pid), Some(WaitPidFlag::WNOHANG)).ok();
    }
}

/// Mount points and what is on them, without the numbers that differ from mount to mount.
fn mounts() -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let point = fields.get(4).copied().unwrap_or_default();
        let kind = line.split_once(" - ").map_or("", |(_, tail)| tail);
        *counts.entry(format!("{point} {kind}")).or_insert(0) += 1;
    }
    counts
}

/// Where slots note that they are in use, each by a locked file `NUMBER.lock`.
const SLOT_LOCKS: &str = "/run/assay/slots";

fn slot_locks() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(SLOT_LOCKS).into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path())
}

/// `7` of `7.lock` and of `assay-slot-7`.
fn slot_number(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned()
}

/// Numbers of slots whose lock is held by a living process that is not ours: somebody else on this
/// machine runs a service or tests of their own.
fn foreign_slots(root: i32, descendants: &[process::Process]) -> BTreeSet<String> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    // `1: FLOCK  ADVISORY  WRITE 123 00:1a:456 0 EOF`, proc_locks(5): process, then device and inode.
    let holders: BTreeMap<u64, i32> = locks
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let inode = fields.get(5)?.rsplit(':').next()?.parse().ok()?;
            Some((inode, fields.get(4)?.parse().ok()?))
        })
        .collect();
    let is_ours = |pid: i32| {
        let me = i32::try_from(std::process::id()).unwrap_or_default();
        pid == root || pid == me || descendants.iter().any(|process| process.pid == pid)
    };
    slot_locks()
        .filter(|path| {
            let inode = fs::metadata(path).map(|about| about.ino()).unwrap_or_default();
            holders.get(&inode).is_some_and(|&pid| !is_ours(pid))
        })
        .map(|path| slot_number(&path))
        .collect()
}

/// Every control group whose path names us, in every hierarchy, but for those of foreign slots.
fn cgroups(foreign: &BTreeSet<String>) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![(PathBuf::from("/sys/fs/cgroup"), false)];
    while let Some((folder, ours)) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.filter_map(Result::ok) {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("assay-slot-") && foreign.contains(&slot_number(&entry.path())) {
                continue;
            }
            let ours = ours || name.starts_with("assay");
            if ours {
                found.insert(entry.path());
            }
            open.push((entry.path(), ours));
        }
    }
    found
}

fn list_files(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list_files(&entry.path(), files);
        }
        files.insert(entry.path());
    }
}

/// Identifiers of System V shared memory, semaphores and message queues in our ipc namespace.
fn ipc_objects() -> BTreeSet<String> {
    let mut objects = BTreeSet::new();
    for kind in ["shm", "sem", "msg"] {
        let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let identity: Vec<&str> = line.split_whitespace().take(2).collect();
            objects.insert(format!("{kind} {}", identity.join(" ")));
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_left_in_a_watched_folder_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let before = Baseline::record(&[folder.path()]);
        let path = folder.path().join("left");
        fs::write(&path, "").unwrap();
        let left = before.leftovers(&Baseline::record(&[folder.path()]));
        assert!(left.contains(&format!("file {}", path.display())), "{left:?}");
    }

    #[test]
    fn a_descriptor_left_open_is_reported_with_its_kind() {
        let before = Baseline::record(&[]);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let left = before.leftovers(&Baseline::record(&[]));
        assert!(left.iter().any(|line| line.starts_with("descriptor socket")), "{left:?}");
        drop(socket);
    }
}
