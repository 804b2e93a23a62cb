//! Faults of the machine and the death of a supervisor: reported as ours, cleaned up, recovered from.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::service::executable_beside_us;
use libtest_mimic::Trial;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sandbox::{Error, Image, PoolConfig, SlotPool};

use crate::ground::{Ground, expect_stdout, python, shell};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "faults",
        [
            a_supervisor_killed_at_any_point_leaves_nothing_to_its_successor,
            no_process_left_is_our_fault_and_passes,
            a_full_disk_is_our_fault,
            a_mount_that_fails_is_our_fault,
            memory_that_the_machine_lacks_is_our_fault_and_passes,
            too_many_slots_are_refused,
        ]
    )
}

/// The argument that makes this program a victim.
pub(crate) const VICTIM: &str = "--victim";

const KILLS: u64 = 200;
const VICTIM_SLOTS: usize = 4;
const VICTIM_RUNS: usize = 100;

/// A supervisor with a hundred runs in flight, until it is killed.
pub(crate) async fn victim() -> Result<()> {
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = VICTIM_SLOTS.try_into()?;
    let pool = SlotPool::new(config).await?;
    let mut runs = tokio::task::JoinSet::new();
    loop {
        while runs.len() < VICTIM_RUNS {
            let pool = pool.clone();
            // Some end at once, some spin, some leave children behind.
            let code = ["true", "while :; do :; done", "sleep 60 & exit", "sleep 60"];
            let spec = shell(code[runs.len() % code.len()])?;
            runs.spawn(async move {
                let Ok(mut lease) = pool.lease().await else { return };
                // Whatever comes of it, the victim dies.
                drop(tokio::time::timeout(Duration::from_millis(5), lease.run(&spec)).await);
            });
        }
        drop(runs.join_next().await);
    }
}

fn start_victim() -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(VICTIM).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.process_group(0).spawn()?)
}

/// A generator of numbers that look random and come again with the same seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Folders of control groups of slots that no living owner holds the lock of, anywhere.
fn orphaned_groups() -> Result<Vec<PathBuf>> {
    let mut groups = slot_groups()?;
    groups.retain(|group| !is_held(group));
    // A group may have been made or removed by a living owner while we looked.
    groups.retain(|group| group.exists() && !is_held(group));
    Ok(groups)
}

fn is_held(group: &Path) -> bool {
    let name = group.file_name().unwrap_or_default().to_string_lossy();
    let number = name.trim_start_matches("assay-slot-");
    let Ok(file) = fs::File::open(format!("/run/assay/slots/{number}.lock")) else { return false };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
}

/// Folders of control groups of slots, anywhere.
fn slot_groups() -> Result<Vec<PathBuf>> {
    fn look(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A group may go while we look.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with("assay-slot-") {
                    found.push(entry.path());
                } else if entry.path().exists() {
                    look(&entry.path(), found)?;
                }
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    look(Path::new("/sys/fs/cgroup"), &mut found)?;
    found.sort();
    Ok(found)
}

async fn a_supervisor_killed_at_any_point_leaves_nothing_to_its_successor() -> Result<()> {
    let seed = 0x5eed_0001;
    let mut numbers = Numbers(seed);
    // A living owner beside the dying ones, with a run that must not be touched.
    let bystander = Ground::new(1).await?;
    let mut lease = bystander.pool.lease().await?;
    for round in 0..KILLS {
        let mut child = start_victim()?;
        tokio::time::sleep(Duration::from_micros(numbers.below(80_000))).await;
        child.kill()?;
        child.wait()?;
        if round % 10 == 0 {
            let outcome = lease.run(&shell("echo alive")?).await.context("the bystander")?;
            expect_stdout(&outcome, "alive\n")?;
        }
        let successor =
            Ground::new(1).await.with_context(|| format!("round {round}, seed {seed}"))?;
        let outcome = successor.run(shell("echo fine")?).await?;
        expect_stdout(&outcome, "fine\n")?;
        successor.close().await?;
        let left = orphaned_groups()?;
        ensure!(left.is_empty(), "round {round}, seed {seed}: {left:?} are left");
    }
    drop(lease);
    bystander.close().await
}

/// A group of the pids controller (version 1) that this process and what it starts are in.
struct PidsGroup(PathBuf);

impl PidsGroup {
    fn enter() -> Result<Option<Self>> {
        let root = Path::new("/sys/fs/cgroup/pids");
        if !root.join("tasks").exists() {
            return Ok(None);
        }
        let group = root.join("assay-fault");
        fs::create_dir(&group)?;
        fs::write(group.join("cgroup.procs"), std::process::id().to_string())?;
        Ok(Some(Self(group)))
    }

    fn limit(&self, value: &str) -> Result<()> {
        Ok(fs::write(self.0.join("pids.max"), value)?)
    }

    fn used(&self) -> Result<u64> {
        Ok(fs::read_to_string(self.0.join("pids.current"))?.trim().parse()?)
    }

    fn leave(self) -> Result<()> {
        let root = self.0.parent().context("a group without a parent")?;
        fs::write(root.join("cgroup.procs"), std::process::id().to_string())?;
        Ok(fs::remove_dir(&self.0)?)
    }
}

async fn no_process_left_is_our_fault_and_passes() -> Result<()> {
    // Version 2 does not let a process with groups below it be limited this way.
    let Some(group) = PidsGroup::enter()? else { return Ok(()) };
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    expect_stdout(&lease.run(&shell("echo before")?).await?, "before\n")?;
    group.limit(&group.used()?.to_string())?;
    let refused = lease.run(&shell("echo meanwhile")?).await;
    group.limit("max")?;
    match refused {
        Err(Error::Launch { step, source, .. }) => {
            ensure!(step == "clone", "failed at {step}");
            ensure!(source.raw_os_error() == Some(libc::EAGAIN), "failed with {source}");
        }
        other => bail!("expected a fault of ours at clone, found {other:?}"),
    }
    expect_stdout(&lease.run(&shell("echo after")?).await?, "after\n")?;
    drop(lease);
    ground.close().await?;
    group.leave()
}

async fn a_full_disk_is_our_fault() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = Some("size=4k,nr_inodes=3");
    mount(Some("full"), folder.path(), Some("tmpfs"), MsFlags::empty(), options)?;
    let config = PoolConfig {
        slots: std::num::NonZeroUsize::MIN,
        state_dir: folder.path().join("state"),
        ..PoolConfig::new(Image::host()?)
    };
    let result = SlotPool::new(config).await;
    umount2(folder.path(), MntFlags::MNT_DETACH)?;
    match result {
        Err(Error::Io { operation, source }) => {
            ensure!(source.raw_os_error() == Some(libc::ENOSPC), "{operation}: {source}");
            Ok(())
        }
        other => bail!("expected a full disk, found {other:?}"),
    }
}

/// Starts a command with one system call made to fail (`seccomp(2)`): number, errno, command.
const DENY: &str = include_str!("../data/deny.py");

async fn a_mount_that_fails_is_our_fault() -> Result<()> {
    let sandbox = executable_beside_us("sandbox")?;
    let run = |call: libc::c_long, errno: i32| -> Result<(Option<i32>, String)> {
        let output = Command::new("/usr/bin/python3")
            .args(["-I", "-S", "-c", DENY, &call.to_string(), &errno.to_string()])
            .arg(&sandbox)
            .args(["run", "--", "/bin/true"])
            .output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    for (call, errno, step, reason) in [
        (libc::SYS_mount, libc::ENOSPC, "mount", "No space left on device"),
        (libc::SYS_pivot_root, libc::EINVAL, "root", "Invalid argument"),
        (libc::SYS_unshare, libc::ENOMEM, "namespace", "Cannot allocate memory"),
    ] {
        let (code, message) = run(call, errno)?;
        ensure!(code == Some(3), "exit {code:?}: {message}");
        for word in ["failed to build slot", step, reason] {
            ensure!(message.contains(word), "{word} is not in {message}");
        }
    }
    let (code, message) = run(libc::SYS_reboot, libc::EPERM)?;
    ensure!(code == Some(0), "exit {code:?} where nothing was made to fail: {message}");
    Ok(())
}

/// A control group above the slots' that may be given less memory than they are.
struct Shortage(PathBuf);

impl Shortage {
    const NAME: &str = "assay-shortage";

    fn new() -> Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let root = if v1.is_dir() { v1 } else { Path::new("/sys/fs/cgroup") };
        Ok(Self(root.join(Self::NAME)))
    }

    /// Bytes, or -1 for as much as there is.
    fn limit(&self, value: &str) -> Result<()> {
        let v2 = self.0.join("memory.max");
        if v2.exists() {
            return Ok(fs::write(v2, if value == "-1" { "max" } else { value })?);
        }
        // The limit with swap may never be below the limit without.
        let mut files = vec![self.0.join("memory.limit_in_bytes")];
        let with_swap = self.0.join("memory.memsw.limit_in_bytes");
        if with_swap.exists() {
            files.insert(usize::from(value != "-1"), with_swap);
        }
        files.iter().try_for_each(|file| Ok(fs::write(file, value)?))
    }

    fn remove(self) -> Result<()> {
        for controller in ["memory", "pids", "cpuacct", ""] {
            let group = Path::new("/sys/fs/cgroup").join(controller).join(Self::NAME);
            if group.is_dir() {
                fs::remove_dir(&group).with_context(|| format!("remove {}", group.display()))?;
            }
        }
        Ok(())
    }
}

/// The kernel ends a program far below its own limit: that says nothing about the program.
async fn memory_that_the_machine_lacks_is_our_fault_and_passes() -> Result<()> {
    let shortage = Shortage::new()?;
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = std::num::NonZeroUsize::MIN;
    config.cgroup_parent = Some(Path::new("/").join(Shortage::NAME));
    let pool = SlotPool::new(config).await?;
    let ground = Ground { pool };
    let grow = || python("x = bytearray(200 << 20); print(len(x))");
    expect_stdout(&ground.run(grow()?).await?, "209715200\n")?;
    shortage.limit("100663296")?;
    let found = ground.run(grow()?).await;
    shortage.limit("-1")?;
    match found {
        Err(error) if error.to_string().contains("out of memory") => {}
        other => bail!("expected a fault of ours, found {other:?}"),
    }
    expect_stdout(&ground.run(grow()?).await?, "209715200\n")?;
    ground.close().await?;
    shortage.remove()
}

async fn too_many_slots_are_refused() -> Result<()> {
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = (sandbox::limits::SLOTS_MAX + 1).try_into()?;
    match SlotPool::new(config).await {
        Err(Error::Unfit { reason }) => {
            ensure!(reason.contains("slots"), "{reason}");
            Ok(())
        }
        other => bail!("expected a refusal, found {other:?}"),
    }
}
