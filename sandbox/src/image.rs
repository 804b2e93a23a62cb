//! Read-only roots: what a slot shows of the machine, as data.
//!
//! An [`Image`] is a list of entries. Making the mounts from it is the builder's work; reading it
//! needs no privilege.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// One thing in an image. Paths are absolute inside the slot; parents come before children.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A folder.
    Folder { path: PathBuf },
    /// A symbolic link.
    Link { path: PathBuf, target: PathBuf },
    /// A small file.
    File { path: PathBuf, content: String },
    /// A folder or file of the machine, read-only.
    ReadOnly { source: PathBuf, path: PathBuf },
}

/// A read-only root.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    pub(crate) entries: Vec<Entry>,
}

/// Folders of every image, whatever else it has.
const FOLDERS: [&str; 6] = ["/etc", "/proc", "/dev", "/run", "/var", "/opt"];

/// What toolchains read below `/etc`: nothing here tells about the machine's users or services.
const ETC: [&str; 12] = [
    "alternatives",
    "fonts",
    "gprofng.rc",
    "java-",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "perl",
    "python3",
];

const PASSWD: &str = "root:x:0:0:root:/w:/usr/sbin/nologin\n\
                      user:x:1000:1000:user:/w:/bin/bash\n\
                      nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost assay\n::1 localhost\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files\n";

/// Where a Rust toolchain that lies outside `/usr` is shown.
const RUST: &str = "/opt/rust";

impl Image {
    /// The machine's own `/usr`, the few files of `/etc` that toolchains read, and the active Rust
    /// toolchain at `/opt/rust` where it lies outside `/usr`. Nothing is copied or downloaded.
    ///
    /// # Errors
    /// `/usr` cannot be read.
    pub fn host() -> Result<Self, Error> {
        let mut entries: Vec<Entry> =
            FOLDERS.iter().map(|path| Entry::Folder { path: path.into() }).collect();
        entries.push(read_only("/usr"));
        entries.extend(["bin", "sbin", "lib", "lib32", "lib64", "libx32"].iter().filter_map(
            |name| {
                let path = Path::new("/").join(name);
                match fs::read_link(&path) {
                    Ok(target) => Some(Entry::Link { path, target }),
                    Err(_) => path.is_dir().then(|| read_only(path)),
                }
            },
        ));
        for (name, content) in
            [("passwd", PASSWD), ("group", GROUP), ("hosts", HOSTS), ("nsswitch.conf", NSSWITCH)]
        {
            let path = Path::new("/etc").join(name);
            entries.push(Entry::File { path, content: content.to_owned() });
        }
        entries.extend(etc_entries().map_err(Error::io("list /etc"))?);
        entries.push(Entry::Link { path: "/var/tmp".into(), target: "/tmp".into() });
        if let Some(source) = rust_toolchain() {
            entries.push(Entry::ReadOnly { source, path: RUST.into() });
        }
        Ok(Self { name: "host".to_owned(), entries })
    }

    /// The name under which users ask for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `path` (absolute, inside the image) is a file with an execute bit.
    #[must_use]
    pub fn has_executable(&self, path: &str) -> bool {
        use std::os::unix::fs::PermissionsExt;
        self.source_of(Path::new(path))
            .and_then(|source| fs::metadata(source).ok())
            .is_some_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    }

    /// Where the machine keeps what the image shows at `path`.
    fn source_of(&self, path: &Path) -> Option<PathBuf> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::ReadOnly { source, path: shown } => {
                path.strip_prefix(shown).ok().map(|rest| source.join(rest))
            }
            Entry::Link { path: link, target } => {
                let rest = path.strip_prefix(link).ok()?;
                let path = link.parent()?.join(target).join(rest);
                // Links of an image point at its read-only parts, so this ends after one step.
                self.entries.iter().find_map(|entry| match entry {
                    Entry::ReadOnly { source, path: shown } => {
                        path.strip_prefix(shown).ok().map(|rest| source.join(rest))
                    }
                    Entry::Folder { .. } | Entry::Link { .. } | Entry::File { .. } => None,
                })
            }
            Entry::Folder { .. } | Entry::File { .. } => None,
        })
    }
}

fn read_only(path: impl Into<PathBuf>) -> Entry {
    let path = path.into();
    Entry::ReadOnly { source: path.clone(), path }
}

fn etc_entries() -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for found in fs::read_dir("/etc")? {
        let found = found?;
        let name = found.file_name();
        let Some(name) = name.to_str() else { continue };
        // `java-17-openjdk` and `python3.11` carry a version.
        let known = ETC.iter().any(|known| {
            name == *known || (known.ends_with(['-', '3']) && name.starts_with(known))
        });
        if !known {
            continue;
        }
        let path = found.path();
        entries.push(match fs::read_link(&path) {
            Ok(target) => Entry::Link { path, target },
            Err(_) => read_only(path),
        });
    }
    entries.sort_by_key(|entry| format!("{entry:?}"));
    Ok(entries)
}

/// The folder of the active Rust toolchain, where it is not part of `/usr` anyway.
fn rust_toolchain() -> Option<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let usable = folder.is_absolute() && !folder.starts_with("/usr") && folder.is_dir();
    usable.then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_image_shows_toolchains_and_no_accounts() {
        let image = Image::host().unwrap();
        assert!(image.has_executable("/usr/bin/env"));
        assert!(image.has_executable("/bin/sh"));
        assert!(!image.has_executable("/usr/bin/no-such-program"));
        assert!(!image.has_executable("/etc/passwd"));
        let shown = |wanted: &str| {
            image.entries.iter().any(
                |entry| matches!(entry, Entry::ReadOnly { source, .. } if source == Path::new(wanted)),
            )
        };
        assert!(shown("/usr"));
        for secret in ["/etc", "/etc/shadow", "/etc/passwd", "/etc/ssl", "/root", "/home", "/var"] {
            assert!(!shown(secret), "{secret} is shown");
        }
    }
}
