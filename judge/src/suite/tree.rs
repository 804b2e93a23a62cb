//! A tree of files in memory: what a repository is before anything of it runs.
//!
//! Every path in it is plain and relative, no file is also a folder, there are no links, and it lies
//! within its bounds. Nothing is written anywhere.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use bytes::Bytes;
use flate2::read::GzDecoder;
use sandbox::spec::{FileMode, InputFile, RelativePath, SpecError};

use crate::limits::{TREE_BYTES_MAX, TREE_FILES_MAX};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// What is in it.
    pub content: Bytes,
    /// Whether it may be executed.
    pub executable: bool,
}

/// Files by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    files: BTreeMap<String, TreeFile>,
    bytes: usize,
}

/// Why a tree cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A path that leaves the tree, or is none.
    #[error("path {path:?} {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is too much of it.
    #[error("the tree has more than {TREE_FILES_MAX} files or {TREE_BYTES_MAX} bytes")]
    TooLarge,
    /// An archive that cannot be read, or holds what it must not.
    #[error("the archive {reason}")]
    Archive {
        /// What is wrong with it.
        reason: String,
    },
}

/// What to do about links in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They are refused: a problem must not have any.
    Refused,
    /// They are left out: what a build leaves is data.
    LeftOut,
}

impl Tree {
    /// The file at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&TreeFile> {
        self.files.get(path)
    }

    /// All files in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &TreeFile)> {
        self.files.iter()
    }

    /// Puts a file, in the place of one that is there.
    ///
    /// # Errors
    /// Its path, or a bound.
    pub fn put(&mut self, path: &str, file: TreeFile) -> Result<(), TreeError> {
        let failed = |reason: String| TreeError::Path { path: short(path), reason };
        if let Err(error) = RelativePath::new(path) {
            return Err(match error {
                SpecError::Path { reason, .. } => failed(reason.to_owned()),
                SpecError::Nul { .. }
                | SpecError::EmptyArgv
                | SpecError::TooLarge { .. }
                | SpecError::Limit(_) => failed(error.to_string()),
            });
        }
        let ancestors = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(file) = ancestors.into_iter().find(|folder| self.files.contains_key(*folder)) {
            return Err(failed(format!("lies below {file:?}, which is a file")));
        }
        let below = format!("{path}/");
        let next = self.files.range(below.clone()..).next();
        if next.is_some_and(|(name, _)| name.starts_with(&below)) {
            return Err(failed("is a folder".to_owned()));
        }
        let bytes = file.content.len();
        let old = self.files.insert(path.to_owned(), file);
        self.bytes = self.bytes + bytes - old.map_or(0, |old| old.content.len());
        let fits = self.files.len() <= TREE_FILES_MAX && self.bytes <= TREE_BYTES_MAX;
        if fits { Ok(()) } else { Err(TreeError::TooLarge) }
    }

    /// Takes a file out.
    pub fn take(&mut self, path: &str) -> Option<TreeFile> {
        let file = self.files.remove(path)?;
        self.bytes -= file.content.len();
        Some(file)
    }

    /// Reads an archive: tar, compressed by gzip or not. What stands before the first `/` is kept.
    ///
    /// # Errors
    /// It is broken, too large, or holds a link or a path that leaves the tree.
    pub fn unpack(archive: &[u8], links: Links) -> Result<Self, TreeError> {
        if archive.starts_with(&[0x1f, 0x8b]) {
            // What comes out is counted; the headers of the entries are bounded with it.
            let limit = TREE_BYTES_MAX as u64 + (TREE_FILES_MAX as u64 + 2) * 4096;
            return Self::read_tar(GzDecoder::new(archive).take(limit), links);
        }
        Self::read_tar(Cursor::new(archive), links)
    }

    fn read_tar(reader: impl Read, links: Links) -> Result<Self, TreeError> {
        let failed = |reason: String| TreeError::Archive { reason };
        let broken = |error: std::io::Error| failed(format!("cannot be read: {error}"));
        let mut tree = Self::default();
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = entry.path_bytes();
            let path = std::str::from_utf8(&path)
                .map_err(|_| failed("has a path that is not UTF-8".to_owned()))?;
            let path = path.strip_prefix("./").unwrap_or(path).to_owned();
            let kind = entry.header().entry_type();
            if kind.is_dir() || is_private(&path) {
                continue;
            }
            if !kind.is_file() {
                match (links, entry.link_name_bytes()) {
                    (Links::LeftOut, Some(target)) if kind.is_hard_link() => {
                        let target = String::from_utf8_lossy(&target).into_owned();
                        let target = target.strip_prefix("./").unwrap_or(&target);
                        if let Some(file) = tree.get(target).cloned() {
                            tree.put(&path, file)?;
                        }
                        continue;
                    }
                    (Links::LeftOut, _) => continue,
                    (Links::Refused, _) => {
                        return Err(failed(format!(
                            "has {path:?}, which is no file but a link or the like"
                        )));
                    }
                }
            }
            // What it says of its size is not believed, but a lie is found out early.
            if entry.size() > TREE_BYTES_MAX as u64 {
                return Err(TreeError::TooLarge);
            }
            let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
            let mut content = Vec::new();
            let left = (TREE_BYTES_MAX - tree.bytes) as u64 + 1;
            entry.by_ref().take(left).read_to_end(&mut content).map_err(broken)?;
            tree.put(&path, TreeFile { content: content.into(), executable })?;
        }
        Ok(tree)
    }

    /// The tree as an archive.
    ///
    /// # Errors
    /// A path that such an archive cannot hold.
    pub fn pack(&self) -> Result<Bytes, TreeError> {
        let failed = |error: std::io::Error| TreeError::Archive {
            reason: format!("cannot be made: {error}"),
        };
        let mut builder =
            tar::Builder::new(Vec::with_capacity(self.bytes + self.files.len() * 1024));
        for (path, file) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(file.content.len() as u64);
            header.set_mode(if file.executable { 0o755 } else { 0o644 });
            header.set_entry_type(tar::EntryType::Regular);
            builder.append_data(&mut header, path, &*file.content).map_err(failed)?;
        }
        Ok(builder.into_inner().map_err(failed)?.into())
    }

    /// The files as the sandbox takes them, below `folder`.
    ///
    /// # Errors
    /// A path that is too deep or too long below it.
    pub fn input_files(&self, folder: &str) -> Result<Vec<InputFile>, SpecError> {
        let input = |(path, file): (&String, &TreeFile)| {
            let path = RelativePath::new(format!("{folder}/{path}"))?;
            let mode = if file.executable { FileMode::Executable } else { FileMode::Plain };
            Ok(InputFile { path, content: file.content.clone(), mode })
        };
        self.files.iter().map(input).collect()
    }
}

/// What is no part of a tree: the history of a repository.
#[must_use]
pub fn is_private(path: &str) -> bool {
    path == ".git" || path.starts_with(".git/")
}

fn short(path: &str) -> String {
    path.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn file(text: &str) -> TreeFile {
        TreeFile { content: Bytes::from(text.to_owned()), executable: false }
    }

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.put(path, file(text)).unwrap();
        }
        tree
    }

    fn archive(entries: &[(tar::EntryType, &str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let name = &mut header.as_gnu_mut().unwrap().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            if kind.is_file() {
                header.set_size(content.len() as u64);
            } else {
                header.set_size(0);
                header.set_link_name_literal(content).unwrap();
            }
            header.set_cksum();
            let content = if kind.is_file() { content.as_bytes() } else { b"" };
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    proptest! {
        #[test]
        fn a_tree_survives_an_archive(
            files in proptest::collection::btree_map("[a-c]{1,3}(/[a-z]{1,110}){0,3}", ".{0,40}", 0..20),
        ) {
            let mut tree = Tree::default();
            for (path, text) in &files {
                // A path below a file is refused, and that is fine here.
                drop(tree.put(path, TreeFile { content: text.clone().into(), executable: text.len() % 2 == 0 }));
            }
            prop_assert_eq!(Tree::unpack(&tree.pack().unwrap(), Links::Refused).unwrap(), tree);
        }
    }

    #[test]
    fn a_path_cannot_leave_the_tree_or_be_file_and_folder() {
        for path in ["../x", "/x", "a/../b", "", "a//b", "a\0"] {
            assert!(Tree::default().put(path, file("")).is_err(), "{path:?}");
        }
        let mut tree = tree(&[("a/b", "1"), ("a.b/c", "2")]);
        assert!(tree.put("a", file("")).unwrap_err().to_string().contains("is a folder"));
        assert!(tree.put("a/b/c", file("")).unwrap_err().to_string().contains("is a file"));
        assert!(tree.put("a/c", file("")).is_ok());
        assert_eq!(tree.take("a/b").unwrap(), file("1"));
        assert!(tree.put("a/b/c", file("")).is_ok());
    }

    #[test]
    fn links_and_paths_out_of_an_archive_are_refused() {
        let unpack = |kind, path: &str, content: &str, links| {
            Tree::unpack(&archive(&[(FILE, "f", "x"), (kind, path, content)]), links)
        };
        for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char] {
            assert!(unpack(kind, "l", "/etc/passwd", Links::Refused).is_err(), "{kind:?}");
            let tree = unpack(kind, "l", "/etc/passwd", Links::LeftOut).unwrap();
            assert_eq!(tree.iter().count(), 1);
        }
        let hard = unpack(tar::EntryType::Link, "l", "f", Links::LeftOut).unwrap();
        assert_eq!(hard.get("l"), Some(&file("x")));
        for path in ["../x", "/x", "a/../../x"] {
            assert!(unpack(FILE, path, "x", Links::LeftOut).is_err(), "{path}");
        }
        let private = unpack(FILE, ".git/config", "x", Links::Refused).unwrap();
        assert_eq!(private.iter().count(), 1);
        assert!(
            Tree::unpack(
                b"no archive at all, but long enough".repeat(40).as_slice(),
                Links::Refused
            )
            .is_err()
        );
    }

    #[test]
    fn bombs_and_lies_about_sizes_are_refused() {
        let mut header = tar::Header::new_gnu();
        header.set_path("f").unwrap();
        header.set_size(10 << 30);
        header.set_cksum();
        assert_eq!(Tree::unpack(header.as_bytes(), Links::Refused), Err(TreeError::TooLarge));

        let half = vec![0; TREE_BYTES_MAX / 2 + 1];
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for name in ["a", "b"] {
            let mut header = tar::Header::new_gnu();
            header.set_path(name).unwrap();
            header.set_size(half.len() as u64);
            header.set_cksum();
            packer.write_all(header.as_bytes()).unwrap();
            packer.write_all(&half).unwrap();
            packer.write_all(&vec![0; 512 - half.len() % 512]).unwrap();
        }
        let bomb = packer.finish().unwrap();
        assert!(bomb.len() < 2 << 20);
        assert_eq!(Tree::unpack(&bomb, Links::Refused), Err(TreeError::TooLarge));

        let mut many = Tree::default();
        for at in 0..TREE_FILES_MAX {
            many.put(&at.to_string(), file("")).unwrap();
        }
        assert_eq!(many.put("one more", file("")), Err(TreeError::TooLarge));
    }
}
