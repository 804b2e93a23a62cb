//! The files of a problem: by name, bounded, and never outside of their folder.
//!
//! They come from the wire, from a folder or out of a zip archive. A name that leaves its folder, a
//! symbolic link, an archive that says it is small and is not: each is refused before anything is
//! made of it. Nothing is written anywhere.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use bytes::Bytes;
use protocol::FileContent;
use sandbox::spec::RelativePath;

use crate::limits::{PROBLEM_BYTES_MAX, PROBLEM_FILES_MAX};

/// Files by name.
#[derive(Clone, Debug, Default)]
pub struct Files {
    by_name: BTreeMap<String, Bytes>,
    bytes: usize,
}

/// Why files cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// A name that is no plain relative path.
    #[error("file {name:?}: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The base64 of a file is broken.
    #[error("file {name:?} is not base64: {reason}")]
    Base64 {
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// There are too many files.
    #[error("more than {PROBLEM_FILES_MAX} files")]
    TooMany,
    /// They are too large together.
    #[error("the files are larger than {PROBLEM_BYTES_MAX} bytes together")]
    TooLarge,
    /// An archive is broken, or contains what it must not.
    #[error("archive {name:?}: {reason}")]
    Archive {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A folder cannot be read.
    #[error("failed to read {path}: {reason}")]
    Read {
        /// Which part of it.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Files {
    /// Files from the wire.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn from_wire(files: BTreeMap<String, FileContent>) -> Result<Self, FilesError> {
        let mut all = Self::default();
        for (name, content) in files {
            let content = decode(&name, content)?;
            all.add(name, content)?;
        }
        Ok(all)
    }

    /// All files below a folder.
    ///
    /// # Errors
    /// See [`FilesError`]; a symbolic link is one.
    pub fn from_folder(folder: &Path) -> Result<Self, FilesError> {
        let mut all = Self::default();
        all.add_folder(folder, "", 0)?;
        Ok(all)
    }

    fn add_folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), FilesError> {
        let failed = |path: PathBuf| {
            move |error: std::io::Error| FilesError::Read {
                path: path.display().to_string(),
                reason: error.to_string(),
            }
        };
        for entry in std::fs::read_dir(folder).map_err(failed(folder.to_owned()))? {
            let entry = entry.map_err(failed(folder.to_owned()))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(failed(path.clone()))?;
            let Ok(name) = entry.file_name().into_string() else {
                let (name, reason) = (path.display().to_string(), "is not UTF-8".to_owned());
                return Err(FilesError::Name { name, reason });
            };
            let name = format!("{prefix}{name}");
            if kind.is_symlink() {
                return Err(FilesError::Name { name, reason: "is a symbolic link".to_owned() });
            }
            if kind.is_dir() {
                if depth >= sandbox::limits::PATH_DEPTH_MAX {
                    return Err(FilesError::Name { name, reason: "is too deep".to_owned() });
                }
                self.add_folder(&path, &format!("{name}/"), depth + 1)?;
            } else if kind.is_file() {
                let content =
                    self.read_rest(std::fs::File::open(&path).map_err(failed(path.clone()))?);
                self.add(name, content.map_err(failed(path))?)?;
            }
        }
        Ok(())
    }

    /// Reads as much as may still be added, and one byte more.
    fn read_rest(&self, reader: impl std::io::Read) -> std::io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let left = (PROBLEM_BYTES_MAX - self.bytes) as u64;
        reader.take(left + 1).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// Its name, or a bound.
    pub fn add(&mut self, name: String, content: impl Into<Bytes>) -> Result<(), FilesError> {
        if let Err(error) = RelativePath::new(name.as_str()) {
            return Err(FilesError::Name { name: short(&name), reason: error.to_string() });
        }
        let content = content.into();
        self.bytes += content.len();
        if self.bytes > PROBLEM_BYTES_MAX {
            return Err(FilesError::TooLarge);
        }
        self.by_name.insert(name, content);
        if self.by_name.len() > PROBLEM_FILES_MAX { Err(FilesError::TooMany) } else { Ok(()) }
    }

    /// Adds what a zip archive among the files contains; a file that is there already stays. Returns
    /// the names in the archive, in its order.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn unpack(&mut self, archive: &str) -> Result<Vec<String>, FilesError> {
        let failed = |reason: String| FilesError::Archive { name: short(archive), reason };
        let bytes = self.by_name.get(archive).cloned();
        let bytes = bytes.ok_or_else(|| failed("there is no such file".to_owned()))?;
        let mut zip =
            zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| failed(error.to_string()))?;
        if zip.len() > PROBLEM_FILES_MAX {
            return Err(FilesError::TooMany);
        }
        let mut names = Vec::new();
        for index in 0..zip.len() {
            let entry = zip.by_index(index).map_err(|error| failed(error.to_string()))?;
            let name = entry.name().to_owned();
            if entry.is_symlink() {
                return Err(failed(format!("{name:?} is a symbolic link")));
            }
            let plain = name.strip_suffix('/').unwrap_or(&name);
            if let Err(error) = RelativePath::new(plain) {
                return Err(failed(error.to_string()));
            }
            if entry.is_dir() {
                continue;
            }
            // What an archive says of its sizes is not believed; what comes out of it is counted.
            let content = self.read_rest(entry).map_err(|error| failed(error.to_string()))?;
            if self.bytes + content.len() > PROBLEM_BYTES_MAX {
                return Err(FilesError::TooLarge);
            }
            if !self.by_name.contains_key(&name) {
                self.add(name.clone(), content)?;
            }
            names.push(name);
        }
        Ok(names)
    }

    /// The content of a file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.by_name.get(name)
    }

    /// All files.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Bytes)> {
        self.by_name.iter()
    }
}

/// The bytes of a file from the wire.
///
/// # Errors
/// It is broken base64.
pub fn decode(name: &str, content: FileContent) -> Result<Bytes, FilesError> {
    match content {
        FileContent::Text(text) => Ok(text.into()),
        FileContent::Bytes { base64 } => {
            let engine = base64::engine::general_purpose::STANDARD;
            engine.decode(base64).map(Bytes::from).map_err(|error| FilesError::Base64 {
                name: short(name),
                reason: error.to_string(),
            })
        }
    }
}

fn short(name: &str) -> String {
    name.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn unpack(archive: Vec<u8>) -> Result<Vec<String>, FilesError> {
        let mut files = Files::default();
        files.add("a.zip".to_owned(), archive).unwrap();
        files.unpack("a.zip")
    }

    #[test]
    fn an_archive_is_unpacked_beside_what_is_there() {
        let mut files = Files::default();
        files.add("1.in".to_owned(), "mine").unwrap();
        files.add("a.zip".to_owned(), archive(&[("1.in", b"theirs"), ("d/2.in", b"2")])).unwrap();
        assert_eq!(files.unpack("a.zip").unwrap(), ["1.in", "d/2.in"]);
        assert_eq!(files.get("1.in").unwrap(), "mine");
        assert_eq!(files.get("d/2.in").unwrap(), "2");
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["../x", "/etc/passwd", "a/../../x", "a/./b", ""] {
            assert!(Files::default().add(name.to_owned(), "x").is_err(), "{name:?}");
        }
        assert!(unpack(archive(&[("../x", b"x")])).is_err());
        assert!(unpack(archive(&[("/x", b"x")])).is_err());
        assert!(unpack(b"no archive".to_vec()).unwrap_err().to_string().contains("a.zip"));
    }

    #[test]
    fn a_symbolic_link_in_an_archive_is_refused() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.add_symlink("link", "/etc/passwd", options).unwrap();
        let error = unpack(zip.finish().unwrap().into_inner()).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked_whole() {
        // Half of what is allowed, three times over, in an archive of some kilobytes.
        let zeros = vec![0; PROBLEM_BYTES_MAX / 2];
        let bomb = archive(&[("a", &zeros), ("b", &zeros), ("c", &zeros)]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(unpack(bomb), Err(FilesError::TooLarge));
    }

    #[test]
    fn a_symbolic_link_in_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("init.yml"), "x").unwrap();
        assert!(Files::from_folder(folder.path()).is_ok());
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("1.in")).unwrap();
        let error = Files::from_folder(folder.path()).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
    }
}
