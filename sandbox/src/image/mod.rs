//! Read-only roots: what a slot shows, as data.
//!
//! An [`Image`] is a list of layers, folders that are shown one above the other, and of entries above
//! them. Making the mounts from it is the builder's work; reading it needs no privilege. Images other
//! than the machine's own ([`Image::host`]) live in a [`Store`], as plain folders named by the digest
//! of their content: warm, no packed format starts programs faster, and slots of all images share the
//! page cache of the layers that they share.
//!
//! | module | what |
//! |---|---|
//! | [`layer`] | a layer's invariants: sealing, digest, looking up a path through several |
//! | [`store`] | layers and manifests on disk: added whole or not at all, verified, removed |
//! | [`unpack`] | an archive of a layer, from anybody, into a folder |
//! | [`oci`], [`registry`] | images as other tools write and serve them |
//! | [`recipe`], [`build`] | images as this project describes and makes them |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::Flock;
use serde::{Deserialize, Serialize};

use crate::warm::Warmup;

pub mod build;
mod host;
pub mod layer;
pub mod oci;
pub mod recipe;
pub mod registry;
pub mod store;
pub mod unpack;

pub use host::HOST;
pub use store::{Manifest, Store};

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

/// A read-only root. Cheap to clone. Layers that come from a store stay there for as long as a clone
/// lives.
#[derive(Clone, Debug)]
pub struct Image(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    digest: String,
    layers: Vec<PathBuf>,
    entries: Vec<Entry>,
    environment: Vec<String>,
    preload: Vec<String>,
    warm: Vec<Warmup>,
    /// What keeps the store from removing the layers.
    _holds: Arc<Vec<Flock<File>>>,
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.name == other.0.name && self.0.digest == other.0.digest)
    }
}

impl Image {
    fn of_entries(name: &str, entries: Vec<Entry>) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            digest: name.to_owned(),
            layers: Vec::new(),
            entries,
            environment: Vec::new(),
            preload: Vec::new(),
            warm: Vec::new(),
            _holds: Arc::default(),
        }))
    }

    fn of_layers(manifest: &Manifest, layers: Vec<PathBuf>, holds: Vec<Flock<File>>) -> Self {
        Self(Arc::new(Inner {
            name: manifest.name.clone(),
            digest: manifest.digest.clone(),
            layers,
            entries: host::skeleton(),
            environment: manifest.environment.clone(),
            preload: manifest.preload.clone(),
            warm: Vec::new(),
            _holds: Arc::new(holds),
        }))
    }

    /// The same image, with runs that its slots start from a loaded interpreter.
    #[must_use]
    pub fn with_warm(&self, warm: Vec<Warmup>) -> Self {
        let inner = &self.0;
        Self(Arc::new(Inner {
            name: inner.name.clone(),
            digest: inner.digest.clone(),
            layers: inner.layers.clone(),
            entries: inner.entries.clone(),
            environment: inner.environment.clone(),
            preload: inner.preload.clone(),
            warm,
            _holds: Arc::clone(&inner._holds),
        }))
    }

    /// The name under which users ask for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it contains; the name, for the machine's own.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// `NAME=value` entries that its programs need.
    #[must_use]
    pub fn environment(&self) -> &[String] {
        &self.0.environment
    }

    /// Python modules that its warm interpreters should have loaded.
    #[must_use]
    pub fn preload(&self) -> &[String] {
        &self.0.preload
    }

    pub(crate) fn layers(&self) -> &[PathBuf] {
        &self.0.layers
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0.entries
    }

    pub(crate) fn warm(&self) -> &[Warmup] {
        &self.0.warm
    }

    /// Whether `path` (absolute, inside the image) is a file with an execute bit, or an archive of
    /// Java, which needs none.
    #[must_use]
    pub fn has_executable(&self, path: &str) -> bool {
        use std::os::unix::fs::PermissionsExt;
        let is_archive = path.ends_with(".jar");
        let is_executable = |source: PathBuf| {
            std::fs::metadata(source).is_ok_and(|found| {
                found.is_file() && (is_archive || found.permissions().mode() & 0o111 != 0)
            })
        };
        if !self.layers().is_empty() {
            let layers: Vec<&Path> = self.layers().iter().map(PathBuf::as_path).collect();
            return layer::find(&layers, Path::new(path)).is_some_and(is_executable);
        }
        self.source_of(Path::new(path)).is_some_and(is_executable)
    }

    /// Where the machine keeps what the image shows at `path`.
    fn source_of(&self, path: &Path) -> Option<PathBuf> {
        let shown_at = |path: &Path| {
            self.entries().iter().find_map(|entry| match entry {
                Entry::ReadOnly { source, path: shown } => {
                    path.strip_prefix(shown).ok().map(|rest| source.join(rest))
                }
                Entry::Folder { .. } | Entry::Link { .. } | Entry::File { .. } => None,
            })
        };
        // Links of an image point at its read-only parts, so one step is enough.
        shown_at(path).or_else(|| {
            self.entries().iter().find_map(|entry| match entry {
                Entry::Link { path: link, target } => {
                    let rest = path.strip_prefix(link).ok()?;
                    shown_at(&link.parent()?.join(target).join(rest))
                }
                Entry::Folder { .. } | Entry::File { .. } | Entry::ReadOnly { .. } => None,
            })
        })
    }
}

/// Why an image cannot be made, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Reading or writing failed.
    #[error("failed to {operation}: {source}")]
    Io {
        /// What was tried.
        operation: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no such image.
    #[error("there is no image {name:?}; `assay image list` shows those that are there")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// A name that no image can have.
    #[error(
        "{name:?} cannot be the name of an image: use 1 to 64 lower-case letters, digits, '.', '_' \
         and '-', a letter or digit first, and not \"host\""
    )]
    Name {
        /// What was asked for.
        name: String,
    },
    /// What came from outside is not what it should be, or tries what it must not.
    #[error("{what}: {reason}")]
    Refused {
        /// Which file, layer or reply.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The content is not what its digest says.
    #[error("{what} has the digest {found}, not {expected}")]
    Digest {
        /// Which layer or blob.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Somebody runs programs in it.
    #[error("image {name:?} is in use: stop what runs programs in it first")]
    InUse {
        /// The image.
        name: String,
    },
    /// A command of a build failed.
    #[error("{command} failed: {reason}")]
    Build {
        /// The command.
        command: String,
        /// Its last words.
        reason: String,
    },
}

impl ImageError {
    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation: operation.into(), source }
    }

    /// An I/O error about a path.
    pub(crate) fn at<'a>(
        operation: &'a str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { operation: format!("{operation} {}", path.display()), source }
    }

    pub(crate) fn refused(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), reason: reason.into() }
    }
}
