//! The archive of a layer, from anybody, into a folder that nobody else writes to.
//!
//! Every path is resolved by [`layer::resolve`] in the image as it is so far, and only then touched, so
//! a link in an archive leads somewhere in the image and never out of it. What a program could not use
//! in a slot is not unpacked: devices, sockets, owners, set-user-id bits, attributes (sealing sees to
//! the modes). Entries, bytes, and the ratio between what came and what it grew to are bounded.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use tar::{Archive, Entry};

use super::{ImageError, layer};

/// What one image may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Entries of all layers.
    pub entries_max: u64,
    /// Bytes of all layers, unpacked.
    pub bytes_max: u64,
    /// Bytes that one packed byte may grow to, beyond a first [`RATIO_FREE_BYTES`].
    pub ratio_max: u64,
}

impl Default for UnpackLimits {
    /// A million entries, 64 GiB, and 400 bytes from one.
    fn default() -> Self {
        Self { entries_max: 1_000_000, bytes_max: 64 << 30, ratio_max: 400 }
    }
}

/// Unpacked bytes for which the ratio is not looked at.
pub const RATIO_FREE_BYTES: u64 = 256 << 20;
/// Bytes of one path in an archive.
const PATH_BYTES_MAX: usize = 4096;
/// Folders inside folders.
const DEPTH_MAX: usize = 128;

/// Marks a whiteout in an archive.
const WHITEOUT: &[u8] = b".wh.";
/// Marks, as an entry of a folder, that it hides all that lies below it.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an image has brought so far.
#[derive(Debug)]
pub struct Budget {
    limits: UnpackLimits,
    entries: u64,
    bytes: u64,
}

impl Budget {
    /// Nothing yet.
    #[must_use]
    pub fn new(limits: UnpackLimits) -> Self {
        Self { limits, entries: 0, bytes: 0 }
    }

    /// What it may bring.
    #[must_use]
    pub fn limits(&self) -> UnpackLimits {
        self.limits
    }

    fn entry(&mut self) -> Result<(), String> {
        self.entries += 1;
        let max = self.limits.entries_max;
        if self.entries > max { Err(format!("more than {max} entries")) } else { Ok(()) }
    }

    /// Bytes that a reader may give before [`Self::bytes`] refuses.
    fn left(&self) -> u64 {
        self.limits.bytes_max.saturating_sub(self.bytes) + 1
    }

    fn bytes(&mut self, bytes: u64) -> Result<(), String> {
        self.bytes += bytes;
        let max = self.limits.bytes_max;
        if self.bytes > max { Err(format!("more than {max} bytes")) } else { Ok(()) }
    }
}

/// A reader that stops, with an error, where its output outgrows its input.
#[derive(Debug)]
pub struct Ratio<R> {
    inner: R,
    /// How many packed bytes there are.
    packed: u64,
    unpacked: u64,
    ratio_max: u64,
}

impl<R: Read> Ratio<R> {
    /// Watches what comes out of `inner`, which was made from `packed` bytes.
    pub fn new(inner: R, packed: u64, limits: UnpackLimits) -> Self {
        Self { inner, packed, unpacked: 0, ratio_max: limits.ratio_max }
    }
}

impl<R: Read> Read for Ratio<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.unpacked += read as u64;
        let allowed = self.packed.saturating_mul(self.ratio_max).max(RATIO_FREE_BYTES);
        if self.unpacked > allowed {
            return Err(io::Error::other(format!(
                "grows to more than {} bytes from each packed one",
                self.ratio_max
            )));
        }
        Ok(read)
    }
}

/// Unpacks an archive into `folder`, which lies above `lower` (uppermost first).
///
/// # Errors
/// [`ImageError::Refused`] where the archive is broken, too large, or tries what it must not;
/// [`ImageError::Io`] where the folder cannot be written.
pub fn unpack(
    archive: impl Read,
    folder: &Path,
    lower: &[&Path],
    budget: &mut Budget,
) -> Result<(), ImageError> {
    let broken = |error: io::Error| ImageError::refused("the layer", error.to_string());
    let mut archive = Archive::new(archive);
    let unpacker = Unpacker { folder, lower };
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path_bytes().into_owned();
        unpacker.entry(&mut entry, &path, budget).map_err(|reason| {
            let path = String::from_utf8_lossy(&path[..path.len().min(200)]).into_owned();
            ImageError::refused(format!("entry {path:?} of the layer"), reason)
        })?;
    }
    Ok(())
}

struct Unpacker<'a> {
    folder: &'a Path,
    lower: &'a [&'a Path],
}

impl Unpacker<'_> {
    fn entry(
        &self,
        entry: &mut Entry<'_, impl Read>,
        path: &[u8],
        budget: &mut Budget,
    ) -> Result<(), String> {
        budget.entry()?;
        let Some((parent, name)) = split(path)? else { return Ok(()) };
        let wrong = |error: io::Error| error.to_string();
        let parent = self.folder_at(&parent).map_err(wrong)?;
        if name == OPAQUE {
            return self.hide_below(&parent).map_err(wrong);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            let hidden = plain_name(hidden)?;
            let target = parent.join(hidden);
            return remove(&target).and_then(|()| layer::whiteout(&target)).map_err(wrong);
        }
        let target = parent.join(std::ffi::OsStr::from_bytes(&name));
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            self.make_folder(&target).map_err(wrong)
        } else if kind.is_symlink() {
            let link = entry.link_name_bytes().ok_or("a link without a target")?;
            if link.len() > PATH_BYTES_MAX || link.contains(&0) || link.is_empty() {
                return Err("a link with a target that no link can have".to_owned());
            }
            let link = std::ffi::OsStr::from_bytes(&link);
            remove(&target).and_then(|()| symlink(link, &target)).map_err(wrong)
        } else if kind.is_hard_link() {
            let link = entry.link_name_bytes().ok_or("a link without a target")?.into_owned();
            self.hard_link(&link, &target, budget)
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            file(entry, &target, budget)
        } else {
            // Devices and pipes: a slot has its own, and lets nobody use others. Headers that the
            // reader has used already. Kinds that nobody knows.
            Ok(())
        }
    }

    /// The folder that the image shows at `path`, made in this layer where it is not.
    fn folder_at(&self, path: &Path) -> io::Result<PathBuf> {
        let layers: Vec<&Path> =
            [self.folder].into_iter().chain(self.lower.iter().copied()).collect();
        let resolved = layer::resolve(&layers, path)
            .ok_or_else(|| io::Error::other("leads through too many links"))?;
        let mut at = self.folder.to_path_buf();
        for part in resolved.strip_prefix("/").unwrap_or(&resolved) {
            at.push(part);
            self.make_folder(&at)?;
        }
        Ok(at)
    }

    /// Hides what the layers below have in the folder.
    fn hide_below(&self, folder: &Path) -> io::Result<()> {
        let shown = Path::new("/").join(folder.strip_prefix(self.folder).unwrap_or(folder));
        layer::hide_below(folder, &shown, self.lower)
    }

    /// A folder where there is none. In the place of a whiteout it shows nothing of what that hid.
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => {
                remove(path)?;
                fs::create_dir(path)?;
                self.hide_below(path)
            }
            Err(_) => fs::create_dir(path),
        }
    }

    fn hard_link(&self, link: &[u8], target: &Path, budget: &mut Budget) -> Result<(), String> {
        let Some((parent, name)) = split(link)? else {
            return Err("a hard link to the root".to_owned());
        };
        let layers: Vec<&Path> =
            [self.folder].into_iter().chain(self.lower.iter().copied()).collect();
        let parent = layer::resolve(&layers, &parent).ok_or("leads through too many links")?;
        let path = parent.join(std::ffi::OsStr::from_bytes(&name));
        let (source, found) =
            layer::locate(&layers, &path).ok_or("a hard link to what is not there")?;
        if source == *target {
            return Ok(());
        }
        let wrong = |error: io::Error| error.to_string();
        remove(target).map_err(wrong)?;
        if found.file_type().is_symlink() {
            let link = fs::read_link(&source).map_err(wrong)?;
            return symlink(link, target).map_err(wrong);
        }
        if !found.is_file() {
            return Err("a hard link to what is no file".to_owned());
        }
        if source.starts_with(self.folder) {
            return fs::hard_link(&source, target).map_err(wrong);
        }
        budget.bytes(found.len())?;
        fs::copy(&source, target).map(drop).map_err(wrong)
    }
}

/// Writes a file's content.
fn file(
    entry: &mut Entry<'_, impl Read>,
    target: &Path,
    budget: &mut Budget,
) -> Result<(), String> {
    let wrong = |error: io::Error| error.to_string();
    remove(target).map_err(wrong)?;
    let mode = if entry.header().mode().unwrap_or(0o644) & 0o111 == 0 { 0o644 } else { 0o755 };
    let time = entry.header().mtime().unwrap_or(0);
    let mut file = File::options().write(true).create_new(true).open(target).map_err(wrong)?;
    let copied = io::copy(&mut entry.take(budget.left()), &mut file).map_err(wrong)?;
    budget.bytes(copied)?;
    file.set_permissions(PermissionsExt::from_mode(mode)).map_err(wrong)?;
    drop(file);
    let time = TimeSpec::new(i64::try_from(time).unwrap_or(0), 0);
    utimensat(nix::fcntl::AT_FDCWD, target, &time, &time, UtimensatFlags::NoFollowSymlink)
        .map_err(|errno| errno.to_string())
}

/// Removes whatever is there, if anything.
fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Parent and name of a path in an archive; `None` for the root.
fn split(path: &[u8]) -> Result<Option<(PathBuf, Vec<u8>)>, String> {
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("its path has more than {PATH_BYTES_MAX} bytes"));
    }
    if path.contains(&0) {
        return Err("its path has a NUL byte".to_owned());
    }
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.len() > DEPTH_MAX {
        return Err(format!("it lies in more than {DEPTH_MAX} folders"));
    }
    if parts.contains(&b"..".as_slice()) {
        return Err("its path has a \"..\" in it".to_owned());
    }
    let Some((name, parent)) = parts.split_last() else { return Ok(None) };
    let parent = Path::new("/").join(std::ffi::OsStr::from_bytes(&parent.join(&b'/')));
    Ok(Some((parent, name.to_vec())))
}

fn plain_name(name: &[u8]) -> Result<&std::ffi::OsStr, String> {
    if matches!(name, b"" | b"." | b"..") || name.starts_with(WHITEOUT) {
        return Err("hides a name that no file has".to_owned());
    }
    Ok(std::ffi::OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use tar::{Builder, EntryType, Header};

    use super::*;
    use crate::image::layer::Times;

    /// One entry of an archive: kind, path, link target or content.
    type Item<'a> = (EntryType, &'a str, &'a str);

    fn header(kind: EntryType, path: &str, bytes: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        // As a hostile archive has it: the library's own setter refuses "..".
        let name = &mut header.as_gnu_mut().unwrap().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(0o6755);
        header.set_mtime(1_000_000_000);
        header.set_size(bytes as u64);
        header
    }

    fn archive(items: &[Item<'_>]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (kind, path, extra) in items {
            let content = if *kind == EntryType::Regular { extra.as_bytes() } else { &[] };
            let mut header = header(*kind, path, content.len());
            if matches!(kind, EntryType::Link | EntryType::Symlink) {
                let name = &mut header.as_gnu_mut().unwrap().linkname;
                name[..extra.len()].copy_from_slice(extra.as_bytes());
            }
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// A folder beside which lies a secret, and into which archives are unpacked.
    struct Ground {
        outside: tempfile::TempDir,
        folder: PathBuf,
    }

    impl Ground {
        fn new() -> Self {
            let outside = tempfile::tempdir().unwrap();
            let folder = outside.path().join("layer");
            fs::create_dir(&folder).unwrap();
            fs::write(outside.path().join("secret"), "secret").unwrap();
            Self { outside, folder }
        }

        fn unpack_above(&self, items: &[Item<'_>], lower: &[&Path]) -> Result<(), String> {
            let mut budget = Budget::new(UnpackLimits::default());
            unpack(&archive(items)[..], &self.folder, lower, &mut budget)
                .map_err(|error| error.to_string())
        }

        fn unpack(&self, items: &[Item<'_>]) -> Result<(), String> {
            self.unpack_above(items, &[])
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.folder.join(path)).unwrap()
        }

        /// Nothing outside of the folder was touched, and nothing from outside is in it.
        fn assert_contained(&self) {
            let names: Vec<_> = fs::read_dir(self.outside.path())
                .unwrap()
                .map(|it| it.unwrap().file_name())
                .collect();
            assert_eq!(names.len(), 2, "{names:?}");
            assert_eq!(fs::read(self.outside.path().join("secret")).unwrap(), b"secret");
            let mut todo = vec![self.folder.clone()];
            while let Some(path) = todo.pop() {
                let found = fs::symlink_metadata(&path).unwrap();
                if found.is_dir() {
                    todo.extend(fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
                } else if found.is_file() {
                    assert_ne!(fs::read(&path).unwrap(), b"secret", "{}", path.display());
                }
            }
        }
    }

    use EntryType::{Directory, Link, Regular, Symlink};

    #[test]
    fn a_path_that_climbs_out_is_refused() {
        for path in ["../escape", "a/../../escape", "/../escape", "a/.."] {
            let ground = Ground::new();
            let error = ground.unpack(&[(Regular, path, "x")]).unwrap_err();
            assert!(error.contains(".."), "{error}");
            ground.assert_contained();
        }
    }

    #[test]
    fn an_absolute_path_lies_in_the_image() {
        let ground = Ground::new();
        ground.unpack(&[(Regular, "/etc/passwd", "x")]).unwrap();
        assert_eq!(ground.read("etc/passwd"), "x");
        ground.assert_contained();
    }

    #[test]
    fn a_link_leads_nowhere_but_into_the_image() {
        for target in ["/", "..", "../..", "/../../..", "../secret"] {
            let ground = Ground::new();
            let items = [(Symlink, "out", target), (Regular, "out/written", "x")];
            ground.unpack(&items).ok();
            ground.assert_contained();
            // Through two links, the second of which is in the place of the first's target.
            let ground = Ground::new();
            let items = [
                (Symlink, "a", "b"),
                (Symlink, "b", target),
                (Regular, "a/secret", "x"),
                (Regular, "b/layer/y", "x"),
            ];
            ground.unpack(&items).ok();
            ground.assert_contained();
        }
    }

    #[test]
    fn a_file_in_the_place_of_a_link_replaces_the_link() {
        let ground = Ground::new();
        let secret = ground.outside.path().join("secret");
        let items = [(Symlink, "file", secret.to_str().unwrap()), (Regular, "file", "harmless")];
        ground.unpack(&items).unwrap();
        assert_eq!(ground.read("file"), "harmless");
        ground.assert_contained();
    }

    #[test]
    fn a_hard_link_out_is_refused() {
        let ground = Ground::new();
        let secret = ground.outside.path().join("secret");
        let error = ground.unpack(&[(Link, "copy", secret.to_str().unwrap())]).unwrap_err();
        assert!(error.contains("not there"), "{error}");
        let error = ground.unpack(&[(Link, "copy", "../secret")]).unwrap_err();
        assert!(error.contains(".."), "{error}");
        let items = [(Symlink, "dir", ".."), (Link, "copy", "dir/secret")];
        assert!(ground.unpack(&items).is_err());
        let items = [(Symlink, "s", secret.to_str().unwrap()), (Link, "copy", "s")];
        ground.unpack(&items).unwrap();
        ground.assert_contained();
    }

    #[test]
    fn a_hard_link_into_a_lower_layer_is_a_copy() {
        let lower = Ground::new();
        lower.unpack(&[(Regular, "usr/tool", "content")]).unwrap();
        let ground = Ground::new();
        ground.unpack_above(&[(Link, "usr/alias", "usr/tool")], &[&lower.folder]).unwrap();
        assert_eq!(ground.read("usr/alias"), "content");
        fs::write(ground.folder.join("usr/alias"), "changed").unwrap();
        assert_eq!(lower.read("usr/tool"), "content");
    }

    #[test]
    fn set_user_id_bits_devices_and_pipes_are_not_unpacked() {
        let ground = Ground::new();
        let items = [
            (Regular, "su", "x"),
            (EntryType::Char, "mem", ""),
            (EntryType::Block, "disk", ""),
            (EntryType::Fifo, "pipe", ""),
        ];
        ground.unpack(&items).unwrap();
        assert_eq!(fs::metadata(ground.folder.join("su")).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_dir(&ground.folder).unwrap().count(), 1);
    }

    #[test]
    fn whiteouts_and_opaque_folders_hide_what_lies_below() {
        let lower = Ground::new();
        let items = [
            (Regular, "a/gone", "x"),
            (Regular, "a/stays", "x"),
            (Regular, "b/one", "x"),
            (Regular, "b/two", "x"),
            (Regular, "b/c/old", "x"),
            (Regular, "d/old", "x"),
        ];
        lower.unpack(&items).unwrap();
        let ground = Ground::new();
        let items = [
            (Regular, "a/.wh.gone", ""),
            (Regular, "b/two", "new"),
            (Regular, "b/c/new", "new"),
            (Regular, "b/.wh..wh..opq", ""),
            (Regular, ".wh.d", ""),
            (Regular, "d/new", "new"),
        ];
        ground.unpack_above(&items, &[&lower.folder]).unwrap();
        let layers = [ground.folder.as_path(), &lower.folder];
        let found = |path: &str| layer::find(&layers, Path::new(path)).is_some();
        assert!(!found("/a/gone") && found("/a/stays"));
        assert!(!found("/b/one") && found("/b/c/new") && !found("/b/c/old"));
        assert!(found("/d/new") && !found("/d/old"));
        assert_eq!(ground.read("b/two"), "new");
        let hidden = fs::symlink_metadata(ground.folder.join("b/one")).unwrap();
        assert!(hidden.file_type().is_char_device());
        layer::seal(&ground.folder, &[&lower.folder], Times::Kept).unwrap();
        assert!(layer::digest(&ground.folder).is_ok());
        for bad in ["a/.wh.", "a/.wh...", "a/.wh..wh.plnk"] {
            assert!(ground.unpack_above(&[(Regular, bad, "")], &[&lower.folder]).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_through_a_link_of_a_lower_layer_end_where_it_leads() {
        let lower = Ground::new();
        lower.unpack(&[(Directory, "usr/bin", ""), (Symlink, "bin", "usr/bin")]).unwrap();
        let ground = Ground::new();
        ground.unpack_above(&[(Regular, "bin/tool", "x")], &[&lower.folder]).unwrap();
        assert_eq!(ground.read("usr/bin/tool"), "x");
    }

    #[test]
    fn long_names_are_unpacked_and_endless_ones_refused() {
        let long = format!("{}/file", vec!["directory"; 60].join("/"));
        let too_deep = format!("{}/file", vec!["d"; DEPTH_MAX].join("/"));
        for (path, good) in [(&long, true), (&too_deep, false)] {
            let mut builder = Builder::new(Vec::new());
            let mut header = header(Regular, "x", 1);
            builder.append_data(&mut header, path, &b"x"[..]).unwrap();
            let archive = builder.into_inner().unwrap();
            let ground = Ground::new();
            let mut budget = Budget::new(UnpackLimits::default());
            let result = unpack(&archive[..], &ground.folder, &[], &mut budget);
            assert_eq!(result.is_ok(), good, "{result:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_at_its_bound() {
        let limits = UnpackLimits { entries_max: 3, bytes_max: 10, ratio_max: 2 };
        let refused = |items: &[Item<'_>]| {
            let ground = Ground::new();
            unpack(&archive(items)[..], &ground.folder, &[], &mut Budget::new(limits))
                .err()
                .map(|error| error.to_string())
        };
        let dir = |path| (Directory, path, "");
        assert_eq!(refused(&[dir("a"), dir("b"), dir("c")]), None);
        assert!(refused(&[dir("a"), dir("b"), dir("c"), dir("d")]).unwrap().contains("3 entries"));
        assert_eq!(refused(&[(Regular, "a", "12345"), (Regular, "b", "12345")]), None);
        let error = refused(&[(Regular, "a", "12345"), (Regular, "b", "123456")]).unwrap();
        assert!(error.contains("10 bytes"), "{error}");
        let zeros = io::repeat(0).take(RATIO_FREE_BYTES + 1);
        let mut bomb = Ratio::new(zeros, 1000, limits);
        let error = io::copy(&mut bomb, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("grows"), "{error}");
    }

    #[test]
    fn a_hundred_thousand_entries_are_unpacked_and_no_more_than_allowed() {
        let paths: Vec<String> = (0..100_000).map(|n| format!("{}/{n}", n % 100)).collect();
        let items: Vec<Item<'_>> = paths.iter().map(|path| (Regular, path.as_str(), "")).collect();
        let archive = archive(&items);
        let ground = Ground::new();
        let limits = UnpackLimits { entries_max: 100_000, ..UnpackLimits::default() };
        unpack(&archive[..], &ground.folder, &[], &mut Budget::new(limits)).unwrap();
        let ground = Ground::new();
        let limits = UnpackLimits { entries_max: 99_999, ..limits };
        assert!(unpack(&archive[..], &ground.folder, &[], &mut Budget::new(limits)).is_err());
    }

    #[test]
    fn a_broken_archive_is_refused() {
        let mut archive = archive(&[(Regular, "a", "content of a file")]);
        archive.truncate(520);
        let ground = Ground::new();
        let mut budget = Budget::new(UnpackLimits::default());
        assert!(unpack(&archive[..], &ground.folder, &[], &mut budget).is_err());
        let noise: Vec<u8> =
            (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert!(unpack(&noise[..], &ground.folder, &[], &mut budget).is_err());
        ground.assert_contained();
    }
}
