//! Files inside a slot: written for a program, taken from it, removed after it.
//!
//! Runs in the resident, when no program is alive in the slot or beside the program of a session,
//! which may change anything meanwhile. No symbolic link is ever followed: paths are walked one
//! component at a time from an open folder, and what a program moves stays inside the slot.
#![expect(unsafe_code, reason = "listing extended attributes has no safe equivalent")]

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

use crate::control::ListedKind;
use crate::limits::{LISTED_BYTES_MAX, LISTED_MAX};
use crate::spec::RelativePath;

const FOLDER: OFlag =
    OFlag::O_DIRECTORY.union(OFlag::O_RDONLY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Entries that a reset removes before it gives up; the slot is then destroyed as a whole, which
/// costs the same whatever a program left behind.
const ENTRIES_MAX: usize = 2048;
/// Folders inside folders that a reset walks before it gives up.
const DEPTH_MAX: usize = 48;

/// Who owns what is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Opens a folder by its absolute path.
pub(crate) fn open_folder(path: &CStr) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(path, FOLDER, Mode::empty())?)
}

/// Makes a folder and gives it an owner and a mode.
pub(crate) fn make_folder(
    parent: impl AsFd,
    name: &CStr,
    owner: Owner,
    mode: u32,
) -> io::Result<OwnedFd> {
    mkdirat(&parent, name, Mode::from_bits_truncate(0o700))?;
    let folder = openat(&parent, name, FOLDER, Mode::empty())?;
    fchown(&folder, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    fchmod(&folder, Mode::from_bits_truncate(mode))?;
    Ok(folder)
}

/// As [`create_file`], in place of a file that is there. A program that makes one of the same name
/// in the meantime gets its way, and this an error.
pub(crate) fn replace_file(
    folder: &OwnedFd,
    path: &RelativePath,
    owner: Owner,
    mode: u32,
) -> io::Result<File> {
    match create_file(folder, path, owner, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let (parent, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    let mut current = folder.try_clone()?;
    for part in parent.split('/').filter(|part| !part.is_empty()) {
        current = openat(&current, component(part)?.as_c_str(), FOLDER, Mode::empty())?;
    }
    unlinkat(&current, component(name)?.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
    create_file(folder, path, owner, mode)
}

/// What is below `folder`, sorted within each folder; the second is whether there is more than
/// [`LISTED_MAX`] entries, [`LISTED_BYTES_MAX`] bytes of names or [`DEPTH_MAX`] folders deep.
pub(crate) fn list(folder: &OwnedFd) -> io::Result<(Vec<(String, ListedKind)>, bool)> {
    let mut listed = Listed { entries: Vec::new(), bytes: 0, truncated: false };
    list_below(folder, "", DEPTH_MAX, &mut listed)?;
    Ok((listed.entries, listed.truncated))
}

struct Listed {
    entries: Vec<(String, ListedKind)>,
    bytes: usize,
    truncated: bool,
}

fn list_below(folder: &OwnedFd, prefix: &str, depth: usize, listed: &mut Listed) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in Dir::openat(folder, c".", FOLDER, Mode::empty())?.iter() {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
        if listed.entries.len() + names.len() > LISTED_MAX {
            listed.truncated = true;
            break;
        }
    }
    names.sort();
    for name in names {
        let path = format!("{prefix}{}", name.to_string_lossy());
        if listed.entries.len() == LISTED_MAX || listed.bytes + path.len() > LISTED_BYTES_MAX {
            listed.truncated = true;
            return Ok(());
        }
        // What a program removes or closes to others meanwhile is not listed.
        let Ok(stat) =
            nix::sys::stat::fstatat(folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
        else {
            continue;
        };
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => ListedKind::File { bytes: u64::try_from(stat.st_size).unwrap_or(0) },
            libc::S_IFDIR => ListedKind::Folder,
            _ => ListedKind::Other,
        };
        listed.bytes += path.len();
        listed.entries.push((path.clone(), kind));
        if kind != ListedKind::Folder {
            continue;
        }
        let Ok(next) = openat(folder, name.as_c_str(), FOLDER, Mode::empty()) else { continue };
        match depth.checked_sub(1) {
            Some(depth) => list_below(&next, &format!("{path}/"), depth, listed)?,
            None => listed.truncated = true,
        }
    }
    Ok(())
}

fn component(part: &str) -> io::Result<CString> {
    CString::new(part).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Creates the file `path` below `folder`, with the folders on the way. Refuses to replace anything.
pub(crate) fn create_file(
    folder: &OwnedFd,
    path: &RelativePath,
    owner: Owner,
    mode: u32,
) -> io::Result<File> {
    let mut parts: VecDeque<&str> = path.as_str().split('/').collect();
    let name = component(parts.pop_back().unwrap_or_default())?;
    let mut current = folder.try_clone()?;
    for part in parts {
        let part = component(part)?;
        current = match openat(&current, part.as_c_str(), FOLDER, Mode::empty()) {
            Ok(next) => next,
            Err(nix::errno::Errno::ENOENT) => make_folder(&current, &part, owner, 0o755)?,
            Err(errno) => return Err(errno.into()),
        };
    }
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(&current, name.as_c_str(), flags, Mode::from_bits_truncate(0o600))?;
    fchown(&file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    fchmod(&file, Mode::from_bits_truncate(mode))?;
    Ok(File::from(file))
}

/// Opens the regular file `path` below `folder` for reading; `Ok(None)` where there is none.
pub(crate) fn open_file(folder: &OwnedFd, path: &RelativePath) -> io::Result<Option<File>> {
    let mut parts: VecDeque<&str> = path.as_str().split('/').collect();
    let name = component(parts.pop_back().unwrap_or_default())?;
    let mut current = folder.try_clone()?;
    for part in parts {
        match openat(&current, component(part)?.as_c_str(), FOLDER, Mode::empty()) {
            Ok(next) => current = next,
            Err(errno) => return absent(errno),
        }
    }
    // O_NONBLOCK: opening a named pipe that the program left must not wait for a writer.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(&current, name.as_c_str(), flags, Mode::empty()) {
        Ok(file) => file,
        Err(errno) => return absent(errno),
    };
    let is_regular = fstat(&file)?.st_mode & libc::S_IFMT == libc::S_IFREG;
    Ok(is_regular.then(|| File::from(file)))
}

/// What the program put in place of a file is the program's affair, not a fault of ours.
fn absent<T>(errno: nix::errno::Errno) -> io::Result<Option<T>> {
    use nix::errno::Errno;
    let theirs = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP, Errno::ENXIO, Errno::EACCES];
    if theirs.contains(&errno) { Ok(None) } else { Err(errno.into()) }
}

/// All that an empty folder could carry from one run to the next: owner, mode, times, number of
/// entries and links. (Attributes are asked for apart; flags are refused by the filter.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Imprint {
    owner: (u32, u32),
    mode: u32,
    links: u64,
    entries: i64,
    /// Of access, of content, of the inode: seconds and nanoseconds.
    times: [(i64, i64); 3],
    attribute_bytes: usize,
}

impl Imprint {
    /// Whether the two are equal but for the time when the inode was last touched, which nobody can
    /// set.
    pub(crate) fn equals_but_for_change_time(&self, other: &Self) -> bool {
        let mut other = *other;
        other.times[2] = self.times[2];
        *self == other
    }

    pub(crate) fn of(folder: &OwnedFd) -> io::Result<Self> {
        let stat = fstat(folder)?;
        // SAFETY: a null list of size 0 asks for the size of the list (flistxattr(2)).
        let bytes = unsafe { libc::flistxattr(folder.as_raw_fd(), std::ptr::null_mut(), 0) };
        let attribute_bytes = match usize::try_from(bytes) {
            Ok(bytes) => bytes,
            Err(_) => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => 0,
                error => return Err(error),
            },
        };
        Ok(Self {
            owner: (stat.st_uid, stat.st_gid),
            mode: stat.st_mode,
            links: stat.st_nlink,
            entries: stat.st_size,
            times: [
                (stat.st_atime, stat.st_atime_nsec),
                (stat.st_mtime, stat.st_mtime_nsec),
                (stat.st_ctime, stat.st_ctime_nsec),
            ],
            attribute_bytes,
        })
    }
}

/// Gives an empty folder back the mode, the times and the absence of attributes that it had.
pub(crate) fn restore_folder(folder: &OwnedFd, as_it_was: &Imprint) -> io::Result<()> {
    remove_attributes(folder)?;
    fchmod(folder, Mode::from_bits_truncate(as_it_was.mode & 0o7777))?;
    let [access, content, _] =
        as_it_was.times.map(|(seconds, nanoseconds)| TimeSpec::new(seconds, nanoseconds));
    Ok(futimens(folder, &access, &content)?)
}

fn remove_attributes(folder: &OwnedFd) -> io::Result<()> {
    // XATTR_LIST_MAX
    let mut names = vec![0_u8; 64 << 10];
    // SAFETY: the buffer is valid for writes of its length.
    let length = unsafe {
        libc::flistxattr(folder.as_raw_fd(), names.as_mut_ptr().cast::<libc::c_char>(), names.len())
    };
    let Ok(length) = usize::try_from(length) else {
        return match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            error => Err(error),
        };
    };
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| io::ErrorKind::InvalidData)?;
        // SAFETY: a NUL-terminated name that outlives the call.
        if unsafe { libc::fremovexattr(folder.as_raw_fd(), name.as_ptr()) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Removes everything in `folder`, but not the folder itself. Gives up with `FileTooLarge` where
/// there is more or deeper than is worth removing entry by entry.
pub(crate) fn empty_folder(folder: &OwnedFd) -> io::Result<()> {
    let mut entries = 0;
    empty(folder, DEPTH_MAX, &mut entries)
}

fn empty(folder: &OwnedFd, depth: usize, entries: &mut usize) -> io::Result<()> {
    let mut names = Dir::openat(folder, c".", FOLDER, Mode::empty())?;
    for entry in names.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        *entries += 1;
        if *entries > ENTRIES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if !is_folder(folder, name, entry.file_type())? {
            unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?;
            continue;
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        empty(&openat(folder, name, FOLDER, Mode::empty())?, depth, entries)?;
        unlinkat(folder, name, UnlinkatFlags::RemoveDir)?;
    }
    Ok(())
}

fn is_folder(parent: &OwnedFd, name: &CStr, known: Option<Type>) -> io::Result<bool> {
    if let Some(kind) = known {
        return Ok(kind == Type::Directory);
    }
    let stat = nix::sys::stat::fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder(path: &std::path::Path) -> OwnedFd {
        open_folder(&CString::new(path.to_str().unwrap()).unwrap()).unwrap()
    }

    fn relative(path: &str) -> RelativePath {
        RelativePath::new(path).unwrap()
    }

    #[test]
    fn symbolic_links_are_never_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let (inside, outside) = (temporary.path().join("in"), temporary.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "s").unwrap();
        symlink(&outside, inside.join("folder")).unwrap();
        symlink(outside.join("secret"), inside.join("file")).unwrap();
        let fd = folder(&inside);
        assert!(open_file(&fd, &relative("file")).unwrap().is_none());
        assert!(open_file(&fd, &relative("folder/secret")).unwrap().is_none());
        let owner =
            Owner { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
        assert!(create_file(&fd, &relative("folder/new"), owner, 0o644).is_err());
        assert!(create_file(&fd, &relative("file"), owner, 0o644).is_err());
        empty_folder(&fd).unwrap();
        assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"s");
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 0);
    }

    #[test]
    fn a_list_names_what_is_there_follows_no_link_and_is_bounded() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |path: &str| temporary.path().join(path);
        std::fs::create_dir(at("b")).unwrap();
        std::fs::write(at("b/c"), "123").unwrap();
        std::fs::write(at("a"), "").unwrap();
        symlink("/", at("d")).unwrap();
        let fd = folder(temporary.path());
        let (entries, truncated) = list(&fd).unwrap();
        let entries: Vec<_> = entries.iter().map(|(path, kind)| (path.as_str(), *kind)).collect();
        let file = |bytes| ListedKind::File { bytes };
        let expected =
            [("a", file(0)), ("b", ListedKind::Folder), ("b/c", file(3)), ("d", ListedKind::Other)];
        assert_eq!((entries.as_slice(), truncated), (expected.as_slice(), false));
        for index in 0..LISTED_MAX {
            std::fs::write(at(&index.to_string()), "").unwrap();
        }
        let (entries, truncated) = list(&fd).unwrap();
        assert_eq!((entries.len(), truncated), (LISTED_MAX, true));
    }

    #[test]
    fn a_file_is_replaced_and_a_folder_or_the_target_of_a_link_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let (inside, outside) = (temporary.path().join("in"), temporary.path().join("out"));
        std::fs::create_dir_all(inside.join("folder")).unwrap();
        std::fs::write(&outside, "s").unwrap();
        std::fs::write(inside.join("folder/old"), "old").unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        let fd = folder(&inside);
        let owner =
            Owner { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
        let replace = |path: &str| replace_file(&fd, &relative(path), owner, 0o644);
        drop(replace("folder/old").unwrap());
        assert_eq!(std::fs::read(inside.join("folder/old")).unwrap(), b"");
        drop(replace("new/file").unwrap());
        drop(replace("link").unwrap());
        assert_eq!(std::fs::read(&outside).unwrap(), b"s");
        assert!(replace("folder").is_err());
    }

    #[test]
    fn a_restored_folder_carries_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().unwrap();
        let fd = folder(temporary.path());
        let before = Imprint::of(&fd).unwrap();
        let name = c"user.note";
        // SAFETY: a NUL-terminated name, and a value of one byte.
        let marked =
            unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), c"x".as_ptr().cast(), 1, 0) };
        assert_eq!(marked, 0);
        fchmod(&fd, Mode::from_bits_truncate(0o1777)).unwrap();
        futimens(&fd, &TimeSpec::new(1, 2), &TimeSpec::new(3, 4)).unwrap();
        assert_eq!(temporary.path().metadata().unwrap().permissions().mode() & 0o7777, 0o1777);
        assert!(!before.equals_but_for_change_time(&Imprint::of(&fd).unwrap()));
        restore_folder(&fd, &before).unwrap();
        assert!(before.equals_but_for_change_time(&Imprint::of(&fd).unwrap()));
    }

    #[test]
    fn emptying_gives_up_on_more_than_is_worth_it() {
        let temporary = tempfile::tempdir().unwrap();
        for index in 0..=ENTRIES_MAX {
            std::fs::write(temporary.path().join(index.to_string()), "").unwrap();
        }
        let error = empty_folder(&folder(temporary.path())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_named_pipe_in_place_of_a_file_is_absent_and_does_not_block() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("pipe");
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
        assert!(open_file(&folder(temporary.path()), &relative("pipe")).unwrap().is_none());
    }
}
