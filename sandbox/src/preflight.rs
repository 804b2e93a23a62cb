//! Is this host fit? Layer by layer: what isolates, what limits, and what makes timings noisy.
//!
//! Looks only, but for the last checks, which build a slot and a worker and destroy them again: what
//! the kernel really does is worth more than what it says it can.

use std::fs;
use std::path::Path;

use nix::sys::utsname::uname;

use crate::image::Image;
use crate::kernel::cgroup::{Parent, Version};
use crate::kernel::delegation::Delegation;
use crate::privilege::{Obstacle, Privilege, obstacle};
use crate::slot::{Blueprint, Slot};

/// Whether a layer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Active.
    On,
    /// Weaker than it could be; runs are still isolated.
    Degraded,
    /// Missing, and runs are not isolated without it.
    Off,
}

/// One isolation layer or one source of timing noise.
#[derive(Clone, Debug)]
pub struct Layer {
    /// For instance `user namespace`.
    pub name: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do where it is not on; empty otherwise.
    pub advice: String,
}

impl Layer {
    fn on(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::On, detail: detail.into(), advice: String::new() }
    }

    fn missing(name: &'static str, detail: impl Into<String>, advice: &str) -> Self {
        Self { name, state: State::Off, detail: detail.into(), advice: advice.to_owned() }
    }

    fn weak(name: &'static str, detail: impl Into<String>, advice: &str) -> Self {
        Self { name, state: State::Degraded, detail: detail.into(), advice: advice.to_owned() }
    }
}

/// The oldest kernel with everything that is used: `close_range(2)` is of Linux 5.9, hiding
/// processes by name (`hidepid=invisible`) and private instances of /proc are of 5.8.
const KERNEL_MIN: (u32, u32) = (5, 9);

/// The same without root: processes are counted for each user namespace apart since 5.14
/// (`getrlimit(2)`, RLIMIT_NPROC).
const KERNEL_MIN_ROOTLESS: (u32, u32) = (5, 14);

const AS_ROOT: &str = "start the service as root; what it runs is never root";
/// Since when `memory.peak` begins anew for each run (`cgroup-v2.rst`).
const RESET_OF_PEAK: (u32, u32) = (6, 12);

/// Namespaces that each slot or run has of its own, by their name in `/proc/self/ns`.
const NAMESPACES: [(&str, &str); 7] = [
    ("user namespace", "user"),
    ("pid namespace", "pid"),
    ("mount namespace", "mnt"),
    ("network namespace", "net"),
    ("ipc namespace", "ipc"),
    ("uts namespace", "uts"),
    ("cgroup namespace", "cgroup"),
];

/// Looks at the host. Nothing of it outlives the call.
#[must_use]
pub fn preflight() -> Vec<Layer> {
    let mut layers = vec![kernel()];
    layers.extend(privileges());
    layers.extend(NAMESPACES.map(|(name, file)| namespace(name, file)));
    layers.extend([user_namespaces_allowed(), overlay(), filter()]);
    layers.extend(control_groups());
    layers.push(core_pattern());
    layers.extend(timing_noise());
    layers.push(trial());
    layers.push(modules());
    layers
}

/// The name of the layer that runs modules, which hangs on none of the others but the filter.
pub const MODULES: &str = "wasm worker";

/// Starts a worker for modules and ends it.
fn modules() -> Layer {
    let started = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(crate::Error::io("start a runtime"))?;
        let pool = crate::WasmPool::new(std::num::NonZeroUsize::MIN)?;
        runtime.block_on(pool.lease()).map(drop)
    });
    match started.join() {
        Ok(Ok(())) => Layer::on(MODULES, "started and ended; it needs no namespaces"),
        Ok(Err(error)) => {
            Layer::weak(MODULES, error.to_string(), "boot a kernel with CONFIG_SECCOMP_FILTER")
        }
        Err(_) => Layer::weak(MODULES, "the trial failed", "report this as a fault"),
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel() -> Layer {
    let release = match uname() {
        Ok(found) => found.release().to_string_lossy().into_owned(),
        Err(errno) => return Layer::missing("kernel", errno.to_string(), "run on Linux"),
    };
    let (major, minor) = match Privilege::of_caller() {
        Privilege::Root => KERNEL_MIN,
        Privilege::Rootless => KERNEL_MIN_ROOTLESS,
    };
    if kernel_version() >= (major, minor) {
        Layer::on("kernel", release)
    } else {
        Layer::missing("kernel", release, &format!("boot Linux {major}.{minor} or later"))
    }
}

fn kernel_version() -> (u32, u32) {
    let release = uname().map(|found| found.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let mut parts = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn privileges() -> Vec<Layer> {
    match Privilege::of_caller() {
        Privilege::Root => {
            let detail = "root: slots get identities, groups and mounts of their own";
            vec![Layer::on("privileges", detail)]
        }
        Privilege::Rootless => rootless(),
    }
}

fn namespace(name: &'static str, file: &str) -> Layer {
    if Path::new("/proc/self/ns").join(file).exists() {
        Layer::on(name, "own")
    } else {
        Layer::missing(name, "not in this kernel", "boot a kernel with all namespaces compiled in")
    }
}

/// What an ordinary user's slots have in place of the layers that need root; see
/// [`crate::privilege`].
fn rootless() -> Vec<Layer> {
    vec![
        Layer::weak("privileges", "not root: rootless mode, with the weaker layers below", AS_ROOT),
        Layer::weak(
            "identities",
            "one: programs of all slots and their residents are this user outside; what the kernel \
             counts for each user (pipes, inotify, descriptors in flight) they share",
            AS_ROOT,
        ),
        Layer::weak(
            "supplementary groups",
            "kept, as the kernel lets an ordinary user drop none; they open only what the image shows",
            "start from a user in no other groups, or as root",
        ),
        Layer::weak(
            "mounts",
            "belong to the slot: a program that gained a capability in it could change them",
            AS_ROOT,
        ),
        Layer::weak(
            "device nodes",
            "the machine's own null, zero, full, random, urandom; locks on them are seen by others",
            AS_ROOT,
        ),
        Layer::weak(
            "priority and limits",
            "setpriority and ioprio_set are refused to programs: they would reach their resident",
            AS_ROOT,
        ),
        Layer::weak("warm interpreters", "off: a template needs an identity of its own", AS_ROOT),
    ]
}

fn user_namespaces_allowed() -> Layer {
    let name = "user namespaces allowed";
    if Privilege::of_caller() == Privilege::Rootless
        && let Some(Obstacle { found, advice }) = obstacle()
    {
        // AppArmor's rule may make an exception of this program: the trial slot shows.
        return Layer::weak(name, found, advice);
    }
    match read("/proc/sys/user/max_user_namespaces").and_then(|text| text.parse::<u64>().ok()) {
        Some(0) => Layer::missing(name, "0", "sysctl user.max_user_namespaces=1024"),
        Some(count) => Layer::on(name, format!("up to {count}")),
        None => Layer::missing(name, "unknown", "boot a kernel with user namespaces"),
    }
}

fn overlay() -> Layer {
    let known = read("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        Layer::on("overlay", "inodes of the slot's own for what it shows and what it writes")
    } else {
        match Privilege::of_caller() {
            Privilege::Root => {
                Layer::missing("overlay", "not in /proc/filesystems", "modprobe overlay")
            }
            Privilege::Rootless => Layer::weak(
                "overlay",
                "not in /proc/filesystems: locks on files of the image are seen by others",
                "modprobe overlay, as root",
            ),
        }
    }
}

fn filter() -> Layer {
    match read("/proc/sys/kernel/seccomp/actions_avail") {
        Some(actions) if actions.contains("kill_process") => {
            Layer::on("seccomp filter", "allow-list of system calls")
        }
        _ => Layer::missing(
            "seccomp filter",
            "not in this kernel",
            "boot a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn control_groups() -> Vec<Layer> {
    let name = "control groups";
    let found = match Privilege::of_caller() {
        Privilege::Root => Parent::find(None),
        Privilege::Rootless => match Parent::find(None) {
            Ok(parent) if parent.is_delegated() => Ok(parent),
            Ok(_) | Err(_) => return without_groups(),
        },
    };
    let parent = match found {
        Ok(parent) => parent,
        Err(error) => {
            let advice = "mount the memory, pids and cpu controllers, or boot with cgroup v2";
            return vec![Layer::missing(name, error.to_string(), advice)];
        }
    };
    let (version, peak) = match parent.version() {
        Version::V2 if kernel_version() < RESET_OF_PEAK => {
            ("v2", "memory.peak where a run's is a slot's highest, else from its largest process")
        }
        Version::V2 => ("v2", "memory.peak"),
        Version::V1 => ("v1", "memory.max_usage_in_bytes"),
    };
    let detail = format!("{version}, below {}", parent.path().display());
    vec![Layer::on(name, format!("{detail}: memory, pids, cpu time; peaks from {peak}")), swap()]
}

/// What stands in for control groups; see [`crate::kernel::account`].
fn without_groups() -> Vec<Layer> {
    const DELEGATED: &str = "start in a group of this user's own, for instance: \
                             systemd-run --user --scope -p Delegate=yes COMMAND";
    vec![
        Layer::weak("control groups", "none delegated to this user", DELEGATED),
        Layer::weak(
            "memory limit",
            "by a look at the processes every 10 ms: some tens of MiB may be exceeded, and memory of \
             the kernel's own or in files is not counted; memfd_create and shmget are refused",
            DELEGATED,
        ),
        Layer::weak(
            "cpu time limit",
            "by the processes' clocks: short-lived children whose parent ignores their end are missed, \
             the wall time bounds them",
            DELEGATED,
        ),
        Layer::weak("pids limit", "RLIMIT_NPROC, of the slot's user namespace", DELEGATED),
    ]
}

fn swap() -> Layer {
    let used = read("/proc/swaps").is_some_and(|text| text.lines().count() > 1);
    let counted = Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
        || Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if !used {
        Layer::on("swap", "none on this host")
    } else if counted {
        Layer::on("swap", "forbidden to runs")
    } else {
        let advice = "boot with swapaccount=1, or turn swap off";
        Layer::weak("swap", "the kernel does not count it for groups", advice)
    }
}

/// A pipe handler runs with full privileges in the host, for any program that can crash.
fn core_pattern() -> Layer {
    match read("/proc/sys/kernel/core_pattern") {
        Some(pattern) if pattern.starts_with('|') => Layer::weak(
            "core dumps",
            "limited to 0 bytes, but a pipe handler is still started by crashes",
            "sysctl kernel.core_pattern=core",
        ),
        _ => Layer::on("core dumps", "off"),
    }
}

fn timing_noise() -> Vec<Layer> {
    let mut layers = Vec::new();
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    layers.push(match governor.as_deref() {
        None | Some("performance") => Layer::on("cpu frequency", "not scaled by this system"),
        Some(other) => Layer::weak(
            "cpu frequency",
            format!("governor {other}"),
            "cpupower frequency-set -g performance, for even timings",
        ),
    });
    let threads = read("/sys/devices/system/cpu/smt/active");
    layers.push(match threads.as_deref() {
        Some("1") => Layer::weak(
            "hyper-threads",
            "two slots may share one core's units",
            "echo off > /sys/devices/system/cpu/smt/control, for even timings",
        ),
        _ => Layer::on("hyper-threads", "off or none"),
    });
    layers
}

/// Builds a slot and destroys it.
fn trial() -> Layer {
    let name = "trial slot";
    let advice = "see the layers above; the message names the step that failed";
    if !crate::entered() {
        let error = crate::Error::EntryMissing;
        return Layer::missing(name, error.to_string(), "call it first in main");
    }
    let privilege = Privilege::of_caller();
    let built = Image::host().and_then(|image| {
        let (parent, delegation) = privilege.groups(None)?;
        let state_dir = privilege.state_dir();
        privilege.make_state_dir(&state_dir)?;
        let slot = Slot::build(&Blueprint {
            image: &image,
            privilege,
            parent: parent.as_ref(),
            state_dir: &state_dir,
            warm: &[],
            cpu: None,
            on_reset: None,
        })?;
        slot.destroy()?;
        delegation.map_or(Ok(()), Delegation::release)
    });
    match built {
        Ok(()) => Layer::on(name, "built and destroyed"),
        Err(error) => Layer::missing(name, privilege.explain(error).to_string(), advice),
    }
}
