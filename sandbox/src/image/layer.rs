//! A layer: a folder of plain files, folders, links and whiteouts, in the one form in which it is kept.
//!
//! [`seal`] brings a folder into that form, whoever wrote it: owned by the store's owner, readable by
//! all and writable by none of the ids that programs have, no set-user-id bit, no device, no socket, no
//! extended attribute, nothing at the places that belong to the slot. [`digest`] is a function of that
//! form and of nothing else, so equal digests mean equal layers on every machine.
//!
//! A whiteout hides what the layers below have under its name: the character device 0:0, as overlay
//! file systems have it, which an ordinary user may make too. Opaque folders, the other way in which
//! they hide things, need an attribute that only root may set, and become whiteouts here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use sha2::{Digest as _, Sha256};

use super::ImageError;

/// Places of a slot: a layer has nothing there.
pub const PLACES: [&str; 9] = ["tmp", "w", "box", "dev", "proc", "sys", "run", ".empty", "var/tmp"];

/// Symbolic links followed on the way to one file.
const LINKS_MAX: usize = 40;

/// The time that files of a built layer have: 2000-01-01.
const EPOCH: i64 = 946_684_800;

/// Which times the files of a sealed layer have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Those that they have; they came from an archive.
    Kept,
    /// All the same; they were written just now.
    Fixed,
}

/// What a layer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of its files, a hard link counted once.
    pub bytes: u64,
    /// Files, folders, links and whiteouts.
    pub entries: u64,
}

/// Whether it is a whiteout.
fn is_whiteout(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == 0
}

/// Makes a whiteout.
pub(super) fn whiteout(path: &Path) -> io::Result<()> {
    Ok(mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), 0)?)
}

/// Brings `folder` into the form that layers are kept in. `lower` are the layers below it, uppermost
/// first.
///
/// # Errors
/// The folder cannot be read or changed.
pub fn seal(folder: &Path, lower: &[&Path], times: Times) -> Result<(), ImageError> {
    for place in PLACES {
        let path = folder.join(place);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => Ok(()),
        }
        .map_err(ImageError::at("remove", &path))?;
    }
    seal_folder(folder, Path::new("/"), lower, times)
}

/// Gives all files of a folder the time that files of a built layer have.
pub(super) fn fix_times(folder: &Path) -> Result<(), ImageError> {
    let failed = |source| ImageError::at("set the times of", folder)(source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(|source| ImageError::at("list", folder)(source))?.path();
        let found = fs::symlink_metadata(&path).map_err(ImageError::at("read", &path))?;
        if found.is_dir() {
            fix_times(&path)?;
        }
        settle_times(&path, Times::Fixed).map_err(ImageError::at("set the times of", &path))?;
    }
    Ok(())
}

fn seal_folder(
    folder: &Path,
    shown: &Path,
    lower: &[&Path],
    times: Times,
) -> Result<(), ImageError> {
    let failed = |path: &Path| {
        let operation = format!("seal {}", path.display());
        |source| ImageError::Io { operation, source }
    };
    let is_opaque = strip_attributes(folder).map_err(failed(folder))?;
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).map_err(failed(folder))?;
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let path = entry.path();
        let found = fs::symlink_metadata(&path).map_err(failed(&path))?;
        let kind = found.file_type();
        if kind.is_dir() {
            seal_folder(&path, &shown.join(entry.file_name()), lower, times)?;
            continue;
        }
        if !kind.is_file() && !kind.is_symlink() && !is_whiteout(&found) {
            fs::remove_file(&path).map_err(failed(&path))?;
            continue;
        }
        seal_file(&path, &found, times).map_err(failed(&path))?;
    }
    if is_opaque {
        hide_below(folder, shown, lower).map_err(failed(folder))?;
    }
    // A folder's time tells when its last entry came, which is of no use to anybody.
    let settled = settle_owner(folder).and_then(|()| settle_times(folder, Times::Fixed));
    settled.map_err(failed(folder))
}

fn seal_file(path: &Path, found: &Metadata, times: Times) -> io::Result<()> {
    settle_owner(path)?;
    if found.is_file() {
        strip_attributes(path)?;
        let mode = if found.mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
    }
    settle_times(path, times)
}

fn settle_owner(path: &Path) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() { lchown(path, Some(0), Some(0)) } else { Ok(()) }
}

fn settle_times(path: &Path, times: Times) -> io::Result<()> {
    if times == Times::Kept {
        return Ok(());
    }
    let time = TimeSpec::new(EPOCH, 0);
    Ok(utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

/// Removes extended attributes; whether one of them made the folder opaque.
fn strip_attributes(path: &Path) -> io::Result<bool> {
    let mut is_opaque = false;
    let names = match xattr::list(path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(false),
        Err(error) => return Err(error),
    };
    for name in names {
        if name.as_bytes().ends_with(b".overlay.opaque") {
            is_opaque |= xattr::get(path, &name)?.is_some_and(|value| value == b"y");
        }
        xattr::remove(path, &name)?;
    }
    Ok(is_opaque)
}

/// What a folder, absolute inside the image, holds in these layers, uppermost first: each name with
/// where it lies.
pub(super) fn list(layers: &[&Path], shown: &Path) -> BTreeMap<OsString, PathBuf> {
    let mut names = BTreeMap::new();
    let mut hidden: BTreeSet<OsString> = BTreeSet::new();
    let below = shown.strip_prefix("/").unwrap_or(shown);
    for layer in layers {
        let folder = layer.join(below);
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => {}
            // Something else stands in this folder's place: what is below it is not seen.
            Ok(_) => break,
            Err(_) => continue,
        }
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if names.contains_key(&name) || hidden.contains(&name) {
                continue;
            }
            match fs::symlink_metadata(entry.path()) {
                Ok(found) if is_whiteout(&found) => drop(hidden.insert(name)),
                Ok(_) => drop(names.insert(name, entry.path())),
                Err(_) => {}
            }
        }
    }
    names
}

/// Hides what the layers below have in the folder that is shown at `shown`, but for what is in `folder`
/// itself.
pub(super) fn hide_below(folder: &Path, shown: &Path, lower: &[&Path]) -> io::Result<()> {
    for (name, below) in list(lower, shown) {
        let path = folder.join(&name);
        match fs::symlink_metadata(&path) {
            Err(_) => whiteout(&path)?,
            // Two folders would be shown as one.
            Ok(found) if found.is_dir() && below.is_dir() => {
                hide_below(&path, &shown.join(&name), lower)?;
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Where the file lies that these layers, uppermost first, show at the absolute `path`; symbolic links
/// are followed within the image.
#[must_use]
pub fn find(layers: &[&Path], path: &Path) -> Option<PathBuf> {
    let canonical = resolve(layers, path)?;
    locate(layers, &canonical).map(|(source, _)| source)
}

/// The absolute path without links that these layers show at `path`. Components that are nowhere stay
/// as they are.
#[must_use]
pub fn resolve(layers: &[&Path], path: &Path) -> Option<PathBuf> {
    let mut links = 0;
    let mut todo: Vec<OsString> = components(path);
    todo.reverse();
    let mut done = PathBuf::from("/");
    while let Some(part) = todo.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        match locate(layers, &next) {
            Some((source, found)) if found.file_type().is_symlink() => {
                links += 1;
                if links > LINKS_MAX {
                    return None;
                }
                let target = fs::read_link(source).ok()?;
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                todo.extend(components(&target).into_iter().rev());
            }
            Some(_) | None => done = next,
        }
    }
    Some(done)
}

fn components(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// What the uppermost layer that has anything at `path`, which has no link in it, has there.
pub(super) fn locate(layers: &[&Path], path: &Path) -> Option<(PathBuf, Metadata)> {
    let below = path.strip_prefix("/").unwrap_or(path);
    for layer in layers {
        let mut at = layer.to_path_buf();
        let mut found = fs::symlink_metadata(&at).ok()?;
        let mut missing = false;
        for part in below.iter() {
            if !found.is_dir() {
                // A file or whiteout in place of a folder hides what is below it.
                return None;
            }
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(next) => found = next,
                Err(_) => {
                    missing = true;
                    break;
                }
            }
        }
        if !missing {
            return (!is_whiteout(&found)).then_some((at, found));
        }
    }
    None
}

/// The digest of a sealed layer, `sha256:` and 64 hexadecimal digits, and its size.
///
/// # Errors
/// The folder cannot be read.
pub fn digest(folder: &Path) -> Result<(String, Size), ImageError> {
    let mut state = Walk { hasher: Sha256::new(), size: Size::default(), seen: BTreeSet::new() };
    state.folder(folder, OsStr::new(""))?;
    Ok((format!("sha256:{}", hex(&state.hasher.finalize())), state.size))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Walk {
    hasher: Sha256,
    size: Size,
    seen: BTreeSet<u64>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, shown: &OsStr) -> Result<(), ImageError> {
        let failed = |source| ImageError::at("read", folder)(source);
        let mut names: Vec<OsString> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
            .map_err(failed)?;
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let mut shown = shown.to_owned();
            shown.push("/");
            shown.push(&name);
            let found = fs::symlink_metadata(&path).map_err(ImageError::at("read", &path))?;
            self.entry(&path, &shown, &found)?;
            if found.is_dir() {
                self.folder(&path, &shown)?;
            }
        }
        Ok(())
    }

    /// One line for each entry: kind, access, time, content; then the path, and a NUL byte.
    fn entry(&mut self, path: &Path, shown: &OsStr, found: &Metadata) -> Result<(), ImageError> {
        self.size.entries += 1;
        let mode = found.mode() & 0o7777;
        let kind = found.file_type();
        let (letter, content) = if kind.is_dir() {
            ("d", Vec::new())
        } else if kind.is_file() {
            if self.seen.insert(found.ino()) {
                self.size.bytes += found.len();
            }
            ("f", digest_of_file(path).map_err(ImageError::at("read", path))?)
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(ImageError::at("read", path))?;
            ("l", target.into_os_string().as_bytes().to_vec())
        } else if is_whiteout(found) {
            ("w", Vec::new())
        } else {
            return Err(ImageError::refused(path.display().to_string(), "is not sealed"));
        };
        // Of links and whiteouts nobody asks for access and time; of folders, for the time.
        let mode = if kind.is_file() || kind.is_dir() { mode } else { 0 };
        let time = if kind.is_file() { found.mtime() } else { 0 };
        self.hasher.update(format!("{letter} {mode:o} {time} "));
        self.hasher.update((content.len() as u64).to_le_bytes());
        self.hasher.update(&content);
        self.hasher.update(shown.as_bytes());
        self.hasher.update([0]);
        Ok(())
    }
}

fn digest_of_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_vec()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    #[test]
    fn sealing_defuses_and_makes_the_digest_a_function_of_the_content() {
        let one = folder(&[("usr/bin/tool", "x"), ("tmp/left", "x"), ("etc/secret", "x")]);
        let two = folder(&[("usr/bin/tool", "x"), ("etc/secret", "x")]);
        let mode = |path: PathBuf, mode| {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        mode(one.path().join("usr/bin/tool"), 0o4777);
        mode(two.path().join("usr/bin/tool"), 0o755);
        mode(one.path().join("etc/secret"), 0o600);
        nix::unistd::mkfifo(&one.path().join("etc/pipe"), Mode::S_IRWXU).unwrap();
        for folder in [&one, &two] {
            seal(folder.path(), &[], Times::Fixed).unwrap();
        }
        assert_eq!(digest(one.path()).unwrap(), digest(two.path()).unwrap());
        let tool = fs::metadata(one.path().join("usr/bin/tool")).unwrap();
        assert_eq!(tool.mode() & 0o7777, 0o755);
        assert_eq!(fs::metadata(one.path().join("etc/secret")).unwrap().mode() & 0o7777, 0o644);
        assert!(!one.path().join("tmp").exists() && !one.path().join("etc/pipe").exists());
    }

    #[test]
    fn every_difference_that_a_program_could_see_changes_the_digest() {
        let sealed = |change: &dyn Fn(&Path)| {
            let folder = folder(&[("a/b", "content")]);
            change(folder.path());
            seal(folder.path(), &[], Times::Fixed).unwrap();
            digest(folder.path()).unwrap().0
        };
        let digests = [
            sealed(&|_| {}),
            sealed(&|path| fs::write(path.join("a/b"), "Content").unwrap()),
            sealed(&|path| fs::rename(path.join("a/b"), path.join("a/c")).unwrap()),
            sealed(&|path| {
                fs::set_permissions(path.join("a/b"), PermissionsExt::from_mode(0o755)).unwrap();
            }),
            sealed(&|path| fs::create_dir(path.join("c")).unwrap()),
            sealed(&|path| symlink("a", path.join("c")).unwrap()),
            sealed(&|path| symlink("b", path.join("c")).unwrap()),
        ];
        assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), digests.len());
    }

    #[test]
    fn paths_are_found_through_links_and_layers_and_never_outside() {
        let lower = folder(&[("usr/bin/python3.13", "x"), ("usr/lib/a", "x"), ("opt/x/y", "x")]);
        symlink("usr/bin", lower.path().join("bin")).unwrap();
        symlink("python3.13", lower.path().join("usr/bin/python3")).unwrap();
        symlink("/etc/../../../usr/lib/a", lower.path().join("out")).unwrap();
        symlink("loop", lower.path().join("loop")).unwrap();
        let upper = folder(&[("opt/z", "x")]);
        fs::write(upper.path().join("usr"), "a file now").unwrap();
        let lower = lower.path();
        let found = |path: &str| find(&[lower], Path::new(path));
        assert_eq!(found("/bin/python3").unwrap(), lower.join("usr/bin/python3.13"));
        assert_eq!(found("/out").unwrap(), lower.join("usr/lib/a"));
        assert_eq!(found("/../../opt/x/y").unwrap(), lower.join("opt/x/y"));
        assert_eq!(found("/loop"), None);
        assert_eq!(found("/none"), None);
        let both = [upper.path(), lower];
        assert_eq!(find(&both, Path::new("/bin/python3")), None);
        assert_eq!(find(&both, Path::new("/opt/x/y")).unwrap(), lower.join("opt/x/y"));
    }
}
