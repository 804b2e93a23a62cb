//! From a fresh process to a slot: namespaces, mounts, identities, in an order that matters.
//!
//! Two processes take part. The *builder* is what the supervisor starts: single-threaded, still with
//! the service's privileges. It makes the mount, network and uts namespaces, so these belong to the
//! machine's user namespace and nothing inside a slot can change them. Then it forks the *resident*
//! as PID 1 of a new pid namespace, and the two finish together, since each can do what the other
//! cannot:
//!
//! | builder | resident |
//! |---|---|
//! | groups, mounts, pivot, loopback | |
//! | | mounts /proc of its pid namespace |
//! | | makes the user namespace |
//! | writes the identity maps | |
//! | | becomes the slot's root; forbids further user namespaces |
//! | masks /proc | |
//! | exits | gives up what it no longer needs, installs the filter, serves |
//!
//! Refused: making the user namespace first, as rootless tools do. The mounts would then belong to
//! the slot, and a program that ever gained a capability there could change them.
//!
//! An ordinary user has no choice: there the builder makes the user namespace first of all, and the
//! resident does the rest alone. What holds in place of the identities: [`crate::privilege`].

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;

use crate::child::{CLOSED_ID, RUN_ID};
use crate::control::{self, BuildRequest, Reply};
use crate::image::Entry;
use crate::kernel::gauges::{Door, Gauges};
use crate::kernel::process::{self, Fork, fork_into_pid_namespace};
use crate::kernel::seccomp::{Filter, Section};
use crate::kernel::{credentials, descriptors, mount, network};
use crate::limits::{LOADER_BYTES_MAX, WRITABLE_INODES_MAX};
use crate::meters::Meters;
use crate::privilege::Privilege;
use crate::resident::{Footprint, PLACES, Place, Resident, SHARED_MEMORY_DIR, Use};
use crate::run::Launcher;

/// An empty folder in every slot, shown in place of what programs may not see.
const EMPTY_DIR: &str = "/.empty";

/// The dynamic loaders of the C libraries, glibc's and musl's: what executables name as theirs.
const LOADERS: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"];

/// A step that failed. Its name travels to the supervisor.
pub(crate) struct Fault {
    step: String,
    source: io::Error,
}

/// Names the step in an I/O result.
trait Step<T> {
    fn step(self, name: impl Into<String>) -> Result<T, Fault>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, name: impl Into<String>) -> Result<T, Fault> {
        self.map_err(|source| Fault { step: name.into(), source: source.into() })
    }
}

/// Folders that the builder works in. The new root is put together over `/sys`, which no image needs
/// and no layer lies in; only this mount namespace sees it.
struct Stage {
    base: PathBuf,
    skeleton: PathBuf,
    empty_folder: PathBuf,
    empty_file: PathBuf,
    writable: PathBuf,
    root: PathBuf,
}

/// The life of a process that was started to become a slot. Returns when the slot has ended.
pub(crate) fn main() {
    let Ok(socket) = descriptors::take_standard_input() else {
        return;
    };
    // Whatever else the supervisor's other libraries left open on exec.
    if descriptors::close_others(&socket).is_err() {
        return;
    }
    let request =
        match control::receive::<BuildRequest>(&socket, nix::sys::socket::MsgFlags::empty()) {
            Ok(Some(message)) => message.header,
            Ok(None) | Err(_) => return,
        };
    match build(&request, &socket) {
        Ok(Some(resident)) => resident.serve(),
        Ok(None) => {}
        Err(fault) => {
            let reply = Reply::Failed { step: fault.step, reason: fault.source.to_string() };
            // The supervisor is gone if this fails, and then nobody is left to tell.
            drop(control::send(&socket, &reply, &[], &[]));
        }
    }
}

/// Builds the slot. `Ok(None)`: this is the builder, and its work is done.
fn build(request: &BuildRequest, socket: &OwnedFd) -> Result<Option<Resident>, Fault> {
    let stage = Stage::at(Path::new("/sys"));
    let groups = open_groups(request)?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNET)
        .step("make namespaces")?;
    nix::unistd::sethostname("assay").step("set the host name")?;
    network::prepare_loopback().step("prepare the loopback")?;
    mount::make_private().step("make mounts private")?;
    stage.prepare(request)?;
    stage.fill(request)?;
    stage.assemble(request)?;
    let writable = mount::hold_options(&stage.writable).step("hold the writable layer")?;
    if request.privilege == Privilege::Rootless {
        return match fork_into_pid_namespace().step("fork into a pid namespace")? {
            Fork::Parent { child } => {
                control::send_resident(socket, &child, &writable).step("hand over the resident")?;
                Ok(None)
            }
            Fork::Child => {
                drop(writable);
                settle_rootless(request, &stage, groups, socket).map(Some)
            }
        };
    }
    mount::pivot(&stage.root).step("pivot to the new root")?;
    let (ours, theirs) = nix::sys::socket::socketpair(
        nix::sys::socket::AddressFamily::Unix,
        nix::sys::socket::SockType::SeqPacket,
        None,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
    )
    .step("make a socket pair")?;
    match fork_into_pid_namespace().step("fork into a pid namespace")? {
        Fork::Parent { child } => {
            drop(theirs);
            let done = assist(request, &ours);
            if done.is_err() {
                drop(crate::kernel::process::kill_by_descriptor(std::os::fd::AsFd::as_fd(&child)));
            }
            // The supervisor holds the resident by this descriptor.
            control::send_resident(socket, &child, &writable).step("hand over the resident")?;
            done.map(|()| None)
        }
        Fork::Child => {
            drop((ours, writable));
            settle(request, &theirs, groups, socket).map(Some)
        }
    }
}

/// Opens the slot's groups with the service's privileges, and makes the namespace that hides where they
/// are. An ordinary user leaves those privileges here.
fn open_groups(request: &BuildRequest) -> Result<Option<Gauges>, Fault> {
    let enter = || {
        if request.privilege == Privilege::Rootless {
            credentials::enter_user_namespace(RUN_ID)?;
        }
        Ok(unshare(CloneFlags::CLONE_NEWCGROUP)?)
    };
    // As the builder calls it when the groups change hands.
    let owner = match request.privilege {
        Privilege::Root => request.id_base,
        Privilege::Rootless => RUN_ID,
    };
    match &request.groups {
        Some(groups) => groups.settle(owner, enter).map(Some).map_err(|error| Fault {
            step: error.to_string(),
            source: io::ErrorKind::Other.into(),
        }),
        None => enter().map(|()| None).step("make a cgroup namespace"),
    }
}

impl Stage {
    fn at(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            skeleton: base.join("skeleton"),
            empty_folder: base.join("empty"),
            empty_file: base.join("nothing"),
            writable: base.join("writable"),
            root: base.join("root"),
        }
    }

    /// Makes the stage and the writable layer.
    fn prepare(&self, request: &BuildRequest) -> Result<(), Fault> {
        mount::memory(&self.base, 4 << 20, 4096, MsFlags::empty()).step("mount the stage")?;
        for folder in [&self.skeleton, &self.empty_folder, &self.writable, &self.root] {
            fs::create_dir(folder).step("make the stage's folders")?;
        }
        fs::write(&self.empty_file, "").step("make an empty file")?;
        mount::memory(&self.writable, request.disk_bytes, WRITABLE_INODES_MAX, MsFlags::MS_NODEV)
            .step("mount the writable layer")
    }

    /// Writes the image's skeleton and the writable layer's folders, owned by the slot's root.
    fn fill(&self, request: &BuildRequest) -> Result<(), Fault> {
        let owner = match request.privilege {
            Privilege::Root => request.id_base,
            Privilege::Rootless => RUN_ID,
        };
        let own = |path: &Path| chown(path, Some(owner), Some(owner));
        own(&self.skeleton).step("own the skeleton")?;
        fs::create_dir(beneath(&self.skeleton, Path::new(EMPTY_DIR))).step("make a mask")?;
        for entry in &request.entries {
            let step = || format!("put {entry:?} into the skeleton");
            match entry {
                Entry::Folder { path } => {
                    let path = beneath(&self.skeleton, path);
                    fs::create_dir_all(&path).and_then(|()| own(&path)).step(step())?;
                }
                Entry::Link { path, target } => {
                    symlink(target, beneath(&self.skeleton, path)).step(step())?;
                }
                Entry::File { path, content } => {
                    fs::write(beneath(&self.skeleton, path), content).step(step())?;
                }
                Entry::ReadOnly { source, path } => {
                    let path = beneath(&self.skeleton, path);
                    let made = if source.is_dir() {
                        fs::create_dir_all(&path)
                    } else {
                        fs::write(&path, "")
                    };
                    made.step(step())?;
                }
            }
        }
        if request.privilege == Privilege::Rootless {
            return self.fill_rootless();
        }
        for name in ["upper", "work"] {
            let path = self.writable.join(name);
            fs::DirBuilder::new().mode(0o755).create(&path).step("make the upper layer")?;
            own(&path).step("own the upper layer")?;
        }
        Ok(())
    }

    /// Makes the folders of the writable layer, and where they will be shown.
    fn fill_rootless(&self) -> Result<(), Fault> {
        for place in &PLACES {
            let (folder, shown) = (self.writable.join(place.folder()), place.shown());
            fs::DirBuilder::new().create(&folder).step("make the writable layer")?;
            let mode = PermissionsExt::from_mode(place.mode());
            fs::set_permissions(&folder, mode).step("make the writable layer")?;
            fs::create_dir_all(beneath(&self.skeleton, &shown)).step("make its places")?;
        }
        Ok(())
    }

    /// Mounts everything below the new root but /proc.
    fn assemble(&self, request: &BuildRequest) -> Result<(), Fault> {
        let lower: Vec<&Path> =
            std::iter::once(&self.skeleton).chain(&request.layers).map(PathBuf::as_path).collect();
        match request.privilege {
            Privilege::Root => {
                let (upper, work) = (self.writable.join("upper"), self.writable.join("work"));
                mount::overlay(&lower, Some((&upper, &work)), &self.root)
            }
            Privilege::Rootless if request.layers.is_empty() => {
                mount::bind_folder(&self.skeleton, &self.root, MsFlags::empty())
            }
            Privilege::Rootless => mount::overlay(&lower, None, &self.root),
        }
        .step("mount the root")?;
        for entry in &request.entries {
            if let Entry::ReadOnly { source, path } = entry {
                let target = beneath(&self.root, path);
                let mounted = if source.is_dir() {
                    mount::private_read_only(source, &self.empty_folder, &target)
                } else {
                    mount::bind_read_only(source, &target)
                };
                mounted.step(format!("show {}", source.display()))?;
            }
        }
        let devices = self.root.join("dev");
        mount::memory(&devices, 64 << 10, 64, MsFlags::MS_NOEXEC).step("mount /dev")?;
        match request.privilege {
            Privilege::Root => mount::device_nodes(&devices),
            Privilege::Rootless => mount::device_binds(&devices),
        }
        .step("make device nodes")?;
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("shm", SHARED_MEMORY_DIR),
        ] {
            symlink(target, devices.join(name)).step("make links in /dev")?;
        }
        mount::make_read_only(&devices, MsFlags::MS_NOEXEC).step("make /dev read-only")?;
        match request.privilege {
            Privilege::Root => self.close_loaders(request),
            Privilege::Rootless => self.assemble_rootless(),
        }
    }

    /// Shows each loader as a copy that runs with closed memory may execute and not read. Compilers read
    /// them, so the right hangs on a group, and not on the file alone.
    fn close_loaders(&self, request: &BuildRequest) -> Result<(), Fault> {
        for loader in LOADERS {
            let found = mount::file_inside(&self.root, Path::new(loader));
            let Some(target) = found.step(format!("look for {loader}"))? else { continue };
            let step = || format!("show {loader}");
            let bytes = fs::metadata(&target).step(step())?.len();
            if bytes > LOADER_BYTES_MAX {
                continue;
            }
            let copy = self.base.join(loader.replace('/', "_"));
            fs::copy(&target, &copy).step(step())?;
            let (owner, group) = (request.id_base, request.id_base + CLOSED_ID);
            chown(&copy, Some(owner), Some(group)).step(step())?;
            fs::set_permissions(&copy, PermissionsExt::from_mode(0o715)).step(step())?;
            mount::bind_read_only(&copy, &target).step(step())?;
        }
        Ok(())
    }

    /// Shows the folders of the writable layer in a root that is otherwise read-only.
    fn assemble_rootless(&self) -> Result<(), Fault> {
        for place in &PLACES {
            let target = beneath(&self.root, &place.shown());
            let restrictions = match place.use_of_programs() {
                Use::Read => MsFlags::MS_RDONLY,
                Use::ReadAndWrite => MsFlags::empty(),
            };
            mount::bind_folder(&self.writable.join(place.folder()), &target, restrictions)
                .step(format!("show {}", target.display()))?;
        }
        mount::make_read_only(&self.root, MsFlags::MS_NODEV).step("make the root read-only")
    }

    /// The folders of the writable layer, in the order of [`PLACES`], by a way that no program has.
    fn hold_folders(&self) -> io::Result<Vec<OwnedFd>> {
        let open = |place: &Place| Ok(fs::File::open(self.writable.join(place.folder()))?.into());
        PLACES.iter().map(open).collect()
    }
}

/// `path`, which is absolute inside the slot, below `root`.
fn beneath(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Tells the other side that a step is done, or waits to be told.
mod turn {
    use super::{OwnedFd, Step, descriptors};
    use std::os::fd::AsRawFd;

    pub(super) fn give(socket: &OwnedFd) -> Result<(), super::Fault> {
        descriptors::send(socket.as_raw_fd(), b"t", &[]).step("give the turn")
    }

    pub(super) fn wait(socket: &OwnedFd) -> Result<(), super::Fault> {
        let mut byte = [0];
        let flags = nix::sys::socket::MsgFlags::empty();
        match descriptors::receive(socket.as_raw_fd(), &mut byte, flags) {
            Ok((1, _)) => Ok(()),
            Ok(_) => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
                .step("wait for the turn"),
            Err(error) => Err(error).step("wait for the turn"),
        }
    }
}

/// The builder's part while the resident settles. Both are in the same mount namespace, where the
/// resident is process 1 of /proc.
fn assist(request: &BuildRequest, resident: &OwnedFd) -> Result<(), Fault> {
    turn::wait(resident)?;
    let map = credentials::identity_map(request.id_base);
    fs::write("/proc/1/uid_map", &map).step("write the user map")?;
    fs::write("/proc/1/gid_map", &map).step("write the group map")?;
    turn::give(resident)?;
    turn::wait(resident)?;
    mask_process_files().step("mask /proc")?;
    turn::give(resident)
}

/// What a program may see of /proc beside processes. All else is hidden, also what a later kernel
/// may add.
const PROCESS_FILES: [&str; 12] = [
    "cpuinfo",
    "filesystems",
    "loadavg",
    "meminfo",
    "mounts",
    "net",
    "self",
    "stat",
    "thread-self",
    "uptime",
    "version",
    "vmstat",
];

fn mask_process_files() -> io::Result<()> {
    // In the new root the stage is out of sight; /dev/null and an empty folder serve as masks.
    let (empty_file, empty_folder) = (Path::new("/dev/null"), Path::new(EMPTY_DIR));
    let sysctl = Path::new("/proc/sys");
    mount::bind_read_only(sysctl, sysctl)?;
    for found in fs::read_dir("/proc")? {
        let found = found?;
        let name = found.file_name();
        let name = name.to_string_lossy();
        let is_process = name.bytes().all(|byte| byte.is_ascii_digit());
        if is_process || name == "sys" || PROCESS_FILES.contains(&&*name) {
            continue;
        }
        if found.file_type()?.is_symlink() {
            continue;
        }
        mount::mask(&found.path(), empty_file, empty_folder)?;
    }
    Ok(())
}

/// The resident's part: from a copy of the builder to the slot's root with nothing left to lose.
fn settle(
    request: &BuildRequest,
    builder: &OwnedFd,
    groups: Option<Gauges>,
    socket: &OwnedFd,
) -> Result<Resident, Fault> {
    mount::process_files(Path::new("/proc")).step("mount /proc")?;
    become_session_leader(request)?;
    let footprint = Footprint::open().step("hold the own memory's counters")?;
    unshare(CloneFlags::CLONE_NEWUSER).step("make a user namespace")?;
    turn::give(builder)?;
    turn::wait(builder)?;
    become_slot_root().step("become the slot's root")?;
    fs::write("/proc/sys/user/max_user_namespaces", "0").step("forbid user namespaces")?;
    turn::give(builder)?;
    turn::wait(builder)?;
    let groups =
        groups.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).step("open the groups")?;
    let socket = socket.try_clone().step("keep the control socket")?;
    let meters = Meters::of_groups(groups);
    let (own, of_runs) = filters(&meters, &[])?;
    let launcher =
        Launcher::new(Privilege::Root, meters, &request.warm, of_runs).step("prepare to launch")?;
    let resident =
        Resident::new(socket, launcher, footprint, None).step("prepare the writable layer")?;
    Resident::give_up_privileges(&own).step("give up privileges")?;
    Ok(resident)
}

/// The resident's own filter, and what each run adds to it.
fn filters(meters: &Meters, sections: &[Section]) -> Result<(Filter, Option<Filter>), Fault> {
    let made = match meters.door() {
        Some(Door::Clone(_)) => {
            Filter::in_two_parts(sections).map(|(own, of_runs)| (own, Some(of_runs)))
        }
        Some(Door::Write(_)) | None => Filter::of_runs(sections).map(|filter| (filter, None)),
    };
    made.map_err(io::Error::other).step("make the filter")
}

fn become_session_leader(request: &BuildRequest) -> Result<(), Fault> {
    nix::unistd::setsid().step("start a session")?;
    if let Some(cpu) = request.cpu {
        let mut set = CpuSet::new();
        set.set(cpu).step("choose a processor")?;
        sched_setaffinity(Pid::from_raw(0), &set).step("pin to a processor")?;
    }
    // Programs are ended before anything else when the machine runs out of memory.
    fs::write("/proc/self/oom_score_adj", "1000").step("offer to the out-of-memory killer")
}

/// The resident's part without root: it has all of a slot's privileges from the start, and no helper.
fn settle_rootless(
    request: &BuildRequest,
    stage: &Stage,
    groups: Option<Gauges>,
    socket: &OwnedFd,
) -> Result<Resident, Fault> {
    // The machine's /proc must still be in sight: a user namespace may mount its own only where
    // nothing of it is hidden (`user_namespaces(7)`, proc and sysfs).
    let processes_at = beneath(&stage.root, Path::new("/proc"));
    let (meters, sections) = match groups {
        Some(groups) => (Meters::of_groups(groups), &[Section::Rootless][..]),
        None => {
            let all = mount::all_processes(&processes_at).step("mount /proc to count processes")?;
            let meters = Meters::of_processes(all).step("count processes")?;
            (meters, &[Section::Rootless, Section::WithoutGroups][..])
        }
    };
    mount::process_files(&processes_at).step("mount /proc")?;
    let folders = stage.hold_folders().step("hold the writable layer")?;
    mount::pivot(&stage.root).step("pivot to the new root")?;
    become_session_leader(request)?;
    let footprint = Footprint::open().step("hold the own memory's counters")?;
    fs::write("/proc/sys/user/max_user_namespaces", "0").step("forbid user namespaces")?;
    mask_process_files().step("mask /proc")?;
    let socket = socket.try_clone().step("keep the control socket")?;
    // A template of warm runs needs an identity apart from theirs.
    let (own, of_runs) = filters(&meters, sections)?;
    let launcher =
        Launcher::new(Privilege::Rootless, meters, &[], of_runs).step("prepare to launch")?;
    let resident = Resident::new(socket, launcher, footprint, Some(folders))
        .step("prepare the writable layer")?;
    process::forget_signal_handlers().step("forget signal handlers")?;
    Resident::give_up_privileges(&own).step("give up privileges")?;
    Ok(resident)
}

fn become_slot_root() -> io::Result<()> {
    nix::unistd::setgroups(&[])?;
    let (user, group) = (nix::unistd::Uid::from_raw(0), nix::unistd::Gid::from_raw(0));
    nix::unistd::setresgid(group, group, group)?;
    Ok(nix::unistd::setresuid(user, user, user)?)
}
