//! Other sandboxes: how each is told to run one program with what it has of isolation and limits.
//!
//! All show the same read-only root, made of the machine's `/usr`, and are asked for 256 MiB of
//! memory, 64 processes and one processor where they know such limits.
#![expect(clippy::print_stderr, reason = "what could not be removed is said")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

const MEMORY_BYTES: u64 = 256 << 20;
const PIDS: u64 = 64;
const GROUPS: &str = "/sys/fs/cgroup";
/// Version 2 beside version 1, which OCI runtimes refuse to work with.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Another sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Bubblewrap,
    Crun,
    Runc,
    Isolate,
    Nsjail,
}

/// What peers work in: a root to show, and names that are ours alone.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: tempfile::TempDir,
    /// Names the containers, and the group that theirs are made in.
    name: String,
}

/// One worker's share of the ground, and what it runs.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) worker: usize,
    pub(crate) argv: &'a [&'a str],
}

impl Ground {
    /// Makes the root, with `program` in it as `/box/true`.
    pub(crate) fn new(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let ground = Self { folder, name: format!("assay-bench-{}", std::process::id()) };
        let root = ground.root();
        for name in ["usr", "proc", "dev", "sys", "tmp", "box"] {
            fs::create_dir_all(root.join(name))?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
                std::os::unix::fs::symlink(target, root.join(name))?;
            }
        }
        fs::copy(program, root.join("box/true"))?;
        // Programs run as another user, who has to get there.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(ground.folder.path(), mode)?;
        Ok(ground)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The group's folder in each hierarchy.
    fn groups(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir(GROUPS).into_iter().flatten().flatten();
        let folders = hierarchies.map(|entry| entry.path().join(&self.name));
        folders.chain([Path::new(GROUPS).join(&self.name)]).filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for group in self.groups() {
            let inner = fs::read_dir(&group).into_iter().flatten().flatten();
            let inner = inner.map(|entry| entry.path()).filter(|path| path.is_dir());
            for folder in inner.chain([group.clone()]) {
                if let Err(error) = fs::remove_dir(&folder) {
                    eprintln!("left behind: {}: {error}", folder.display());
                }
            }
        }
    }
}

impl Place<'_> {
    fn bundle(&self) -> PathBuf {
        self.ground.folder.path().join(format!("bundle-{}", self.worker))
    }

    fn container(&self) -> String {
        format!("{}-{}", self.ground.name, self.worker)
    }
}

impl Peer {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bubblewrap, Self::Crun, Self::Runc, Self::Isolate, Self::Nsjail];

    /// The program, which is also its name here.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bwrap",
            Self::Crun => "crun",
            Self::Runc => "runc",
            Self::Isolate => "isolate",
            Self::Nsjail => "nsjail",
        }
    }

    /// What it gives as it is called here.
    pub(crate) fn isolation(self) -> &'static str {
        match self {
            Self::Bubblewrap => "namespaces; no limits, no seccomp",
            Self::Crun | Self::Runc => "namespaces, groups: memory, pids, cpu; no user namespace",
            Self::Isolate => "namespaces, limits; set-up and clean-up not counted",
            Self::Nsjail => "namespaces, user namespace, groups: memory, pids, cpu",
        }
    }

    /// The first line of what it says about itself; `None` where it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        let output =
            Command::new(self.program()).arg("--version").stdin(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("?").to_owned())
    }

    /// What a worker's thread, and what it starts, has to see otherwise.
    pub(crate) fn enter_thread(self) -> Result<()> {
        match self {
            Self::Crun | Self::Runc => without_unified_groups(),
            Self::Bubblewrap | Self::Isolate | Self::Nsjail => Ok(()),
        }
    }

    /// Does once what need not be done for each run.
    pub(crate) fn prepare(self, place: &Place<'_>) -> Result<()> {
        match self {
            Self::Bubblewrap => Ok(()),
            Self::Crun | Self::Runc => self.write_bundle(place),
            Self::Isolate => self.succeed(&[&box_id(place), "--init"]),
            Self::Nsjail => ["memory", "pids", "cpu"].into_iter().try_for_each(|controller| {
                let hierarchy = Path::new(GROUPS).join(controller);
                ensure!(hierarchy.is_dir(), "{} is missing", hierarchy.display());
                Ok(fs::create_dir_all(hierarchy.join(&place.ground.name))?)
            }),
        }
    }

    /// One run.
    pub(crate) fn command(self, place: &Place<'_>) -> Command {
        let mut command = Command::new(self.program());
        let root = place.ground.root();
        match self {
            Self::Bubblewrap => {
                command.args(["--unshare-all", "--die-with-parent", "--new-session", "--ro-bind"]);
                command.arg(root).arg("/").args(["--ro-bind", "/usr", "/usr", "--proc", "/proc"]);
                command.args(["--dev", "/dev", "--tmpfs", "/tmp", "--uid", "1000"]);
                command.args(["--gid", "1000", "--cap-drop", "ALL", "--"]).args(place.argv);
            }
            Self::Crun | Self::Runc => {
                command.args(["run", "-b"]).arg(place.bundle()).arg(place.container());
            }
            Self::Isolate => {
                let kibibytes = MEMORY_BYTES >> 10;
                command.args([box_id(place), "-s".to_owned()]);
                command.arg(format!("--dir=box={}", root.join("box").display()));
                command.arg(format!("--mem={kibibytes}")).arg(format!("--processes={PIDS}"));
                command.args(["--time=10", "--run", "--"]).args(place.argv);
            }
            Self::Nsjail => {
                command.args(["-Mo", "-Q", "-T", "/tmp", "--user", "1000", "--group", "1000"]);
                command.arg("--chroot").arg(root).args(["-R", "/usr"]).args(nsjail_limits(place));
                command.arg("--").args(place.argv);
            }
        }
        command
    }

    /// Removes what [`Self::prepare`] made, and what a run left that failed.
    pub(crate) fn clean(self, place: &Place<'_>) -> Result<()> {
        match self {
            Self::Bubblewrap | Self::Nsjail => Ok(()),
            Self::Crun | Self::Runc => {
                // Refused where the run has removed its container itself.
                let mut delete = Command::new(self.program());
                delete.args(["delete", "--force"]).arg(place.container());
                delete.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
                Ok(())
            }
            Self::Isolate => self.succeed(&[&box_id(place), "--cleanup"]),
        }
    }

    fn succeed(self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(self.program()).args(arguments).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} {arguments:?}: {}", self.program(), said.trim());
        Ok(())
    }

    /// The runtime's own example of a container, with limits, without rights, around the program.
    fn write_bundle(self, place: &Place<'_>) -> Result<()> {
        let bundle = place.bundle();
        let path = bundle.join("config.json");
        fs::create_dir_all(&bundle)?;
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let made = Command::new(self.program()).arg("spec").current_dir(&bundle).status()?;
        ensure!(made.success(), "{} spec failed", self.program());
        let text = fs::read_to_string(&path)?;
        let mut config: Value = serde_json::from_str(&text).context("read the example")?;
        let process = &mut config["process"];
        process["terminal"] = false.into();
        process["user"] = json!({"uid": 1000, "gid": 1000});
        process["args"] = json!(place.argv);
        process["capabilities"] = json!({});
        process["noNewPrivileges"] = true.into();
        config["root"] = json!({"path": place.ground.root(), "readonly": true});
        config["linux"]["cgroupsPath"] = format!("/{}/{}", place.ground.name, place.worker).into();
        let resources = &mut config["linux"]["resources"];
        resources["memory"] = json!({"limit": MEMORY_BYTES});
        resources["pids"] = json!({"limit": PIDS});
        resources["cpu"] = json!({"quota": 100_000, "period": 100_000});
        let mounts = config["mounts"].as_array_mut().context("the example has no mounts")?;
        mounts.push(json!({
            "destination": "/usr",
            "type": "bind",
            "source": "/usr",
            "options": ["rbind", "ro", "nosuid", "nodev"],
        }));
        Ok(fs::write(&path, config.to_string())?)
    }
}

fn box_id(place: &Place<'_>) -> String {
    // Low numbers are those that others would take.
    format!("--box-id={}", 900 + place.worker)
}

fn nsjail_limits(place: &Place<'_>) -> Vec<String> {
    let limits = [
        ("mem", "memory", "max", MEMORY_BYTES),
        ("pids", "pids", "max", PIDS),
        ("cpu", "cpu", "ms_per_sec", 1000),
    ];
    let options = limits.map(|(name, controller, unit, value)| {
        [
            (format!("--cgroup_{name}_{unit}"), value.to_string()),
            (format!("--cgroup_{name}_mount"), format!("{GROUPS}/{controller}")),
            (format!("--cgroup_{name}_parent"), place.ground.name.clone()),
        ]
    });
    options.into_iter().flatten().flat_map(|(name, value)| [name, value]).collect()
}

/// Gives this thread, and what it starts, mounts of its own in which only version 1 is there.
fn without_unified_groups() -> Result<()> {
    if !Path::new(UNIFIED).is_dir() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context("leave the machine's mounts")?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("part the mounts")?;
    umount2(UNIFIED, MntFlags::MNT_DETACH).context("hide version 2")
}
