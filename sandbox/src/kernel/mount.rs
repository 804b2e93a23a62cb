//! Mounts: each function one kind, all with `nosuid`; read-only wherever nothing has to be written.
//!
//! Used by the builder in a mount namespace of its own before any untrusted program exists, so paths
//! cannot change under it.
#![expect(unsafe_code, reason = "the mount calls of Linux 5.2 have no safe equivalents")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::statvfs::{FsFlags, statvfs};

/// Nothing that happens here is seen outside, nor the other way round.
pub(crate) fn make_private() -> io::Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
}

/// A memory file system with at most `bytes` bytes and `inodes` inodes.
pub(crate) fn memory(target: &Path, bytes: u64, inodes: u64, flags: MsFlags) -> io::Result<()> {
    let options = format!("size={bytes},nr_inodes={inodes},mode=0755");
    let flags = flags | MsFlags::MS_NOSUID;
    Ok(mount(Some("assay"), target, Some("tmpfs"), flags, Some(options.as_str()))?)
}

/// Takes hold of the file system mounted at `root`, to change its options later (`fspick(2)`).
///
/// Asked of the caller's mount namespace, unlike the change itself ([`resize_memory`]), which is asked
/// of the file system: so the builder takes hold, and the supervisor changes.
pub(crate) fn hold_options(root: &Path) -> io::Result<OwnedFd> {
    const FSPICK_CLOEXEC: u32 = 1;
    let root = CString::new(root.as_os_str().as_bytes())?;
    // SAFETY: a NUL-terminated path that outlives the call.
    let context =
        unsafe { libc::syscall(libc::SYS_fspick, libc::AT_FDCWD, root.as_ptr(), FSPICK_CLOEXEC) };
    let context = i32::try_from(context).map_err(|_| io::ErrorKind::InvalidData)?;
    if context < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(context) })
}

/// Changes the size of a memory file system, held by [`hold_options`] (`fsconfig(2)`). The caller
/// must be privileged over the user namespace that mounted it: inside it, or as its owner outside.
pub(crate) fn resize_memory(context: &OwnedFd, bytes: u64) -> io::Result<()> {
    const FSCONFIG_SET_STRING: u32 = 1;
    const FSCONFIG_CMD_RECONFIGURE: u32 = 7;
    let value = CString::new(bytes.to_string())?;
    let fd = context.as_raw_fd();
    // SAFETY: both strings are NUL-terminated and outlive the call.
    let set = unsafe {
        let (key, set) = (c"size".as_ptr(), FSCONFIG_SET_STRING);
        libc::syscall(libc::SYS_fsconfig, fd, set, key, value.as_ptr(), 0)
    };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes null pointers.
    let done =
        unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_RECONFIGURE, null, null, 0) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Changes the flags of the mount at `target` to read-only.
pub(crate) fn make_read_only(target: &Path, extra: MsFlags) -> io::Result<()> {
    restrict(target, MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | extra)
}

/// Adds restrictions to the mount at `target`. Those of the mount that it shows are kept: inside a
/// user namespace the kernel refuses to lose them (`mount_namespaces(7)`, locked flags).
fn restrict(target: &Path, flags: MsFlags) -> io::Result<()> {
    let found = statvfs(target)?.flags();
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ];
    let kept = kept.iter().filter(|(flag, _)| found.contains(*flag)).map(|(_, kept)| *kept);
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags | kept.collect::<MsFlags>();
    Ok(mount(None::<&str>, target, None::<&str>, flags, None::<&str>)?)
}

/// Shows the folder `source` at `target` as it is, but for what `restrictions` forbid there.
pub(crate) fn bind_folder(source: &Path, target: &Path, restrictions: MsFlags) -> io::Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    restrict(target, MsFlags::MS_NOSUID | MsFlags::MS_NODEV | restrictions)
}

/// Shows `source` at `target`, read-only.
pub(crate) fn bind_read_only(source: &Path, target: &Path) -> io::Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    make_read_only(target, MsFlags::MS_NODEV)
}

/// A path as an overlay option takes it. The option syntax gives `,`, `:` and `\` a meaning, and
/// escaping rules differ between kernels: such paths are refused.
fn option_path(path: &Path) -> io::Result<&str> {
    match path.to_str() {
        Some(text) if !text.contains([',', ':', '\\']) => Ok(text),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("path {} cannot be an overlay layer", path.display()),
        )),
    }
}

/// `lower` layers (uppermost first), writable through an upper layer and its work folder where they are
/// given. Takes as many layers as fit into a page of options, see [`crate::limits::LAYERS_MAX`].
pub(crate) fn overlay(
    lower: &[&Path],
    upper: Option<(&Path, &Path)>,
    target: &Path,
) -> io::Result<()> {
    let lower = lower.iter().map(|path| option_path(path)).collect::<io::Result<Vec<_>>>()?;
    let mut options = format!("lowerdir={}", lower.join(":"));
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    match upper {
        Some((upper, work)) => {
            let (upper, work) = (option_path(upper)?, option_path(work)?);
            options += &format!(",upperdir={upper},workdir={work},index=off,xino=off,metacopy=off");
        }
        None => flags |= MsFlags::MS_RDONLY,
    }
    Ok(mount(Some("assay"), target, Some("overlay"), flags, Some(options.as_str()))?)
}

/// Shows the folder `source` at `target`, read-only and with inodes of its own, so that file locks
/// and leases taken in one slot are not seen in another. Where the file system of `source` cannot be
/// an overlay layer, a plain read-only view.
pub(crate) fn private_read_only(source: &Path, empty: &Path, target: &Path) -> io::Result<()> {
    let options = format!("lowerdir={}:{}", option_path(source)?, option_path(empty)?);
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    match mount(Some("assay"), target, Some("overlay"), flags, Some(options.as_str())) {
        Ok(()) => Ok(()),
        Err(_) => bind_read_only(source, target),
    }
}

/// A folder that shows every process of the caller's pid namespace, and is mounted nowhere any more.
pub(crate) fn all_processes(target: &Path) -> io::Result<OwnedFd> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(Some("proc"), target, Some("proc"), flags, None::<&str>)?;
    let folder = fs::File::open(target)?;
    umount2(target, MntFlags::MNT_DETACH)?;
    Ok(folder.into())
}

/// The process file system of the caller's pid namespace; processes of other users are invisible.
pub(crate) fn process_files(target: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), target, Some("proc"), flags, Some("hidepid=invisible"))?)
}

/// Where the file `path` lies that programs in the new root `root` see, whose links lead nowhere else;
/// `None` where there is none.
pub(crate) fn file_inside(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let root = fs::File::open(root)?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let found = match openat2(&root, path, how) {
        Ok(found) => fs::File::from(found),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    if !found.metadata()?.is_file() {
        return Ok(None);
    }
    fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).map(Some)
}

/// Hides a file behind an empty one, a folder behind an empty folder.
pub(crate) fn mask(target: &Path, empty_file: &Path, empty_folder: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(target)?.is_dir();
    bind_read_only(if is_folder { empty_folder } else { empty_file }, target)
}

/// The five harmless character devices: name and minor number (`mem(4)`, `random(4)`).
const DEVICES: [(&str, u64); 5] =
    [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)];

/// The machine's own devices, for where none can be made: reading and writing goes to the device, and
/// the mounts keep their inodes from being changed.
pub(crate) fn device_binds(folder: &Path) -> io::Result<()> {
    for (name, _) in DEVICES {
        let (source, target) = (Path::new("/dev").join(name), folder.join(name));
        fs::write(&target, "")?;
        mount(Some(&source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        make_read_only(&target, MsFlags::MS_NOEXEC)?;
    }
    Ok(())
}

/// The five harmless character devices, made new so that no inode is shared with anybody.
pub(crate) fn device_nodes(folder: &Path) -> io::Result<()> {
    for (name, minor) in DEVICES {
        let path = folder.join(name);
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(1, minor))?;
        // mknod(2) applies the caller's umask.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    }
    Ok(())
}

/// Takes the mount at `target` away; what is still open of it stays until it is closed.
pub(crate) fn detach(target: &Path) -> io::Result<()> {
    Ok(umount2(target, MntFlags::MNT_DETACH)?)
}

/// Makes `root` the root of the mount namespace and lets go of the old one.
pub(crate) fn pivot(root: &Path) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    // Stacks the old root on the new one (pivot_root(2), "pivot_root(".", ".")").
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")
}
