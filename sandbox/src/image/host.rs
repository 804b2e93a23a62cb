//! The machine's own toolchains as an image: nothing is copied or downloaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Entry, Image};
use crate::error::Error;

/// The name of this image.
pub const HOST: &str = "host";

/// Folders of every image, whatever else it has.
const FOLDERS: [&str; 6] = ["/etc", "/proc", "/dev", "/run", "/var", "/opt"];

/// What toolchains read below `/etc`: nothing here tells about the machine's users or services.
const ETC: [&str; 13] = [
    "alternatives",
    "fonts",
    "gprofng.rc",
    "java-",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "matplotlibrc",
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
        let mut entries = skeleton();
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
        entries.extend(etc_entries().map_err(Error::io("list /etc"))?);
        if let Some(source) = rust_toolchain() {
            entries.push(Entry::ReadOnly { source, path: RUST.into() });
        }
        Ok(Self::of_entries(HOST, entries))
    }
}

/// What is in every slot, whatever its image has at these places.
pub(super) fn skeleton() -> Vec<Entry> {
    let folders = FOLDERS.iter().map(|path| Entry::Folder { path: path.into() });
    let files =
        [("passwd", PASSWD), ("group", GROUP), ("hosts", HOSTS), ("nsswitch.conf", NSSWITCH)];
    let files = files.into_iter().map(|(name, content)| Entry::File {
        path: Path::new("/etc").join(name),
        content: content.to_owned(),
    });
    let temporary = Entry::Link { path: "/var/tmp".into(), target: "/tmp".into() };
    folders.chain(files).chain([temporary]).collect()
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
            image.entries().iter().any(
                |entry| matches!(entry, Entry::ReadOnly { source, .. } if source == Path::new(wanted)),
            )
        };
        assert!(shown("/usr"));
        for secret in ["/etc", "/etc/shadow", "/etc/passwd", "/etc/ssl", "/root", "/home", "/var"] {
            assert!(!shown(secret), "{secret} is shown");
        }
    }
}
