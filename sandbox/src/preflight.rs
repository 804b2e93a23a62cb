//! Is this host fit? Layer by layer: what isolates, what limits, and what makes timings noisy.
//!
//! Looks only, but for the last check, which builds a slot and destroys it again: what the kernel
//! really does is worth more than what it says it can.

use std::fs;
use std::path::Path;

use nix::sys::utsname::uname;

use crate::image::Image;
use crate::kernel::cgroup::{Parent, Version};
use crate::kernel::delegation::Delegation;
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
    let mut layers = vec![kernel(), privileges()];
    layers.extend(NAMESPACES.map(|(name, file)| namespace(name, file)));
    layers.extend([user_namespaces_allowed(), overlay(), filter()]);
    layers.extend(control_groups());
    layers.push(core_pattern());
    layers.extend(timing_noise());
    layers.push(trial());
    layers
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel() -> Layer {
    let release = match uname() {
        Ok(found) => found.release().to_string_lossy().into_owned(),
        Err(errno) => return Layer::missing("kernel", errno.to_string(), "run on Linux"),
    };
    if kernel_version() >= KERNEL_MIN {
        Layer::on("kernel", release)
    } else {
        let (major, minor) = KERNEL_MIN;
        Layer::missing("kernel", release, &format!("boot Linux {major}.{minor} or later"))
    }
}

fn kernel_version() -> (u32, u32) {
    let release = uname().map(|found| found.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let mut parts = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn privileges() -> Layer {
    if nix::unistd::geteuid().is_root() {
        Layer::on("privileges", "root: slots get identities, groups and mounts of their own")
    } else {
        let advice = "start the service as root; what it runs is never root";
        Layer::missing("privileges", "not root", advice)
    }
}

fn namespace(name: &'static str, file: &str) -> Layer {
    if Path::new("/proc/self/ns").join(file).exists() {
        Layer::on(name, "own")
    } else {
        Layer::missing(name, "not in this kernel", "boot a kernel with all namespaces compiled in")
    }
}

fn user_namespaces_allowed() -> Layer {
    let name = "user namespaces allowed";
    match read("/proc/sys/user/max_user_namespaces").and_then(|text| text.parse::<u64>().ok()) {
        Some(0) => Layer::missing(name, "0", "sysctl user.max_user_namespaces=1024"),
        Some(count) => Layer::on(name, format!("up to {count}")),
        None => Layer::missing(name, "unknown", "boot a kernel with user namespaces"),
    }
}

fn overlay() -> Layer {
    let known = read("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        Layer::on("overlay", "writable layer in memory over a read-only root")
    } else {
        Layer::missing("overlay", "not in /proc/filesystems", "modprobe overlay")
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
    let parent = match Parent::find(None) {
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
    let built = Image::host().and_then(|image| {
        let parent = Parent::find(None)?;
        let delegation = parent.delegate()?;
        let slot = Slot::build(&Blueprint {
            image: &image,
            parent: &parent,
            state_dir: Path::new(crate::pool::STATE_DIR),
            warm: &[],
            cpu: None,
        })?;
        slot.destroy()?;
        delegation.map_or(Ok(()), Delegation::release)
    });
    match built {
        Ok(()) => Layer::on(name, "built and destroyed"),
        Err(error) => Layer::missing(name, error.to_string(), advice),
    }
}
