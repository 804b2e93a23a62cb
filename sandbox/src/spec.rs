//! What to run: argv, environment, files in, files out, standard input, limits.
//!
//! Valid by construction: a [`RunSpec`] that exists holds no NUL byte, no path that leaves its
//! folder and nothing above the bounds of [`crate::limits`]. It says nothing of why it is run.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use bytes::Bytes as Buffer;

use crate::limits::{self, LimitError, Limits};

/// The folder that holds what a lease installs: readable, never writable for the program.
pub const BOX_DIR: &str = "/box";
/// The folder in which a program starts; writable, and empty at each start but for its own files.
pub const WORK_DIR: &str = "/w";

/// Why a spec cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A string holds a NUL byte, which the kernel cannot pass on.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// Which string.
        what: &'static str,
    },
    /// There is no program to run.
    #[error("argv is empty")]
    EmptyArgv,
    /// Something is larger, or there is more of it, than allowed.
    #[error("{what} is {value}, at most {max} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        value: usize,
        /// The bound.
        max: usize,
    },
    /// A path is absolute, empty, too long, too deep, or has `.` or `..` in it.
    #[error("path {path:?} {reason}")]
    Path {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A limit lies outside its bounds.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// A relative path below [`BOX_DIR`] or [`WORK_DIR`]: plain components, no `.`, no `..`, no NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelativePath(String);

impl RelativePath {
    /// Checks `path`.
    ///
    /// # Errors
    /// [`SpecError::Path`] with what is wrong with it.
    pub fn new(path: impl Into<String>) -> Result<Self, SpecError> {
        let path = path.into();
        let reason = if path.is_empty() {
            "is empty"
        } else if path.len() > limits::PATH_BYTES_MAX {
            "is too long"
        } else if path.contains('\0') {
            "contains a NUL byte"
        } else if path.starts_with('/') {
            "is absolute"
        } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            "has an empty, \".\" or \"..\" component"
        } else if path.split('/').any(|part| part.len() > 255) {
            "has a component above 255 bytes"
        } else if path.split('/').count() > limits::PATH_DEPTH_MAX {
            "is too deep"
        } else {
            return Ok(Self(path));
        };
        Err(SpecError::Path { path: path.chars().take(128).collect(), reason })
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a file may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// `0644`
    Plain,
    /// `0755`
    Executable,
}

/// A file put into the slot before the program starts.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// Where, below [`BOX_DIR`] (lease) or [`WORK_DIR`] (run). Folders on the way are made.
    pub path: RelativePath,
    /// What is in it.
    pub content: Buffer,
    /// Whether it may be executed.
    pub mode: FileMode,
}

/// A file taken out of [`WORK_DIR`] after the program ended. Symbolic links are never followed, and
/// only regular files are taken.
#[derive(Clone, Debug)]
pub struct CollectFile {
    /// Where, below [`WORK_DIR`].
    pub path: RelativePath,
    /// A larger file is reported as too large and left behind.
    pub bytes_max: u64,
}

/// Standard streams that lead to another program. Each is given away with the run: who keeps a copy of
/// an end keeps the other end from seeing that it closed.
#[derive(Debug, Default)]
pub struct Streams {
    /// Read in place of [`RunSpec::stdin`].
    pub stdin: Option<OwnedFd>,
    /// Written in place of being captured; the output limit does not see it.
    pub stdout: Option<OwnedFd>,
    /// The same for standard error.
    pub stderr: Option<OwnedFd>,
}

/// Who may open the memory of a run's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// Each process its own, as on any machine.
    #[default]
    Own,
    /// None of them, not even its own: `/proc/PID/mem` and its like are the slot's root's. Its processes do not
    /// see each other in `/proc`, and do not read their own environment there. Holds for what the slot's
    /// dynamic loader loads, and not where the service has no root.
    Closed,
}

/// One program, ready to run.
#[derive(Clone, Debug)]
pub struct RunSpec {
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) stdin: Buffer,
    pub(crate) files: Vec<InputFile>,
    pub(crate) collect: Vec<CollectFile>,
    pub(crate) limits: Limits,
    pub(crate) memory: Memory,
}

impl RunSpec {
    /// A program with an empty environment, empty standard input and default [`Limits`]. `argv[0]`
    /// is the absolute path of the program inside the slot.
    ///
    /// # Errors
    /// An empty `argv`, a NUL byte, or a bound of [`crate::limits`].
    pub fn new<S: AsRef<str>>(argv: impl IntoIterator<Item = S>) -> Result<Self, SpecError> {
        let argv = c_strings("argv", argv, limits::ARGUMENTS_MAX)?;
        if argv.is_empty() {
            return Err(SpecError::EmptyArgv);
        }
        Ok(Self {
            argv,
            env: Vec::new(),
            stdin: Buffer::new(),
            files: Vec::new(),
            collect: Vec::new(),
            limits: Limits::default(),
            memory: Memory::Own,
        })
    }

    /// Sets who may open its memory.
    #[must_use]
    pub fn memory(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// Sets the whole environment, `NAME=value` each.
    ///
    /// # Errors
    /// A NUL byte, or a bound of [`crate::limits`].
    pub fn env<S: AsRef<str>>(
        mut self,
        entries: impl IntoIterator<Item = S>,
    ) -> Result<Self, SpecError> {
        self.env = c_strings("environment", entries, limits::ENVIRONMENT_MAX)?;
        Ok(self)
    }

    /// Sets what the program reads from standard input: a read-only file at its start.
    ///
    /// # Errors
    /// Above [`limits::STDIN_BYTES_MAX`].
    pub fn stdin(mut self, stdin: impl Into<Buffer>) -> Result<Self, SpecError> {
        self.stdin = stdin.into();
        at_most("stdin", self.stdin.len(), limits::STDIN_BYTES_MAX)?;
        Ok(self)
    }

    /// Sets the files written into [`WORK_DIR`] for this run alone, owned by the program.
    ///
    /// # Errors
    /// A bound of [`crate::limits`].
    pub fn files(mut self, files: Vec<InputFile>) -> Result<Self, SpecError> {
        check_files(&files)?;
        self.files = files;
        Ok(self)
    }

    /// Sets the files taken out of [`WORK_DIR`] afterwards.
    ///
    /// # Errors
    /// A bound of [`crate::limits`].
    pub fn collect(mut self, collect: Vec<CollectFile>) -> Result<Self, SpecError> {
        at_most("collected files", collect.len(), limits::COLLECT_MAX)?;
        self.collect = collect;
        Ok(self)
    }

    /// Sets the wall time and leaves the other limits.
    ///
    /// # Errors
    /// Outside its bounds.
    pub fn wall_time(self, wall_time: std::time::Duration) -> Result<Self, SpecError> {
        let limits =
            Limits { wall_time: wall_time.min(limits::LIMITS_MAX.wall_time), ..self.limits };
        self.limits(limits)
    }

    /// Its limits.
    #[must_use]
    pub fn bounds(&self) -> &Limits {
        &self.limits
    }

    /// Sets the limits.
    ///
    /// # Errors
    /// A limit outside its bounds.
    pub fn limits(mut self, limits: Limits) -> Result<Self, SpecError> {
        limits.check()?;
        self.limits = limits;
        Ok(self)
    }
}

/// Checks files against the bounds of [`crate::limits`].
///
/// # Errors
/// [`SpecError::TooLarge`].
pub fn check_files(files: &[InputFile]) -> Result<(), SpecError> {
    at_most("files", files.len(), limits::FILES_MAX)?;
    let bytes = files.iter().map(|file| file.content.len()).sum();
    at_most("bytes of files", bytes, limits::FILES_BYTES_MAX)
}

fn at_most(what: &'static str, value: usize, max: usize) -> Result<(), SpecError> {
    if value > max { Err(SpecError::TooLarge { what, value, max }) } else { Ok(()) }
}

fn c_strings<S: AsRef<str>>(
    what: &'static str,
    items: impl IntoIterator<Item = S>,
    count_max: usize,
) -> Result<Vec<CString>, SpecError> {
    let mut bytes = 0;
    let mut strings = Vec::new();
    for item in items {
        let item = item.as_ref();
        at_most(what, item.len(), limits::ARGUMENT_BYTES_MAX - 1)?;
        bytes += item.len() + 1;
        at_most(what, bytes, limits::ARGUMENTS_BYTES_MAX)?;
        strings.push(CString::new(item).map_err(|_| SpecError::Nul { what })?);
        at_most(what, strings.len(), count_max)?;
    }
    Ok(strings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Strings over the few characters that matter meet every rule.
        #[test]
        fn a_path_that_is_taken_stays_in_its_folder(path in "[a./\0\\u{e9} -]{0,40}|.{0,300}") {
            if let Ok(taken) = RelativePath::new(path.clone()) {
                prop_assert_eq!(taken.as_str(), &path);
                let normal = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(std::path::Path::new(&path).components().all(normal));
                prop_assert!(!path.contains('\0') && !path.is_empty());
            }
        }

        #[test]
        fn a_spec_that_is_made_has_no_nul_and_no_more_than_its_bounds(
            argv in proptest::collection::vec("[a\0]{0,4}|.{0,20}", 0..6),
            env in proptest::collection::vec("[A=\0]{0,4}|.{0,20}", 0..6),
        ) {
            let made = RunSpec::new(&argv).and_then(|spec| spec.env(&env));
            let clean = !argv.is_empty() && argv.iter().chain(&env).all(|text| !text.contains('\0'));
            prop_assert_eq!(made.is_ok(), clean);
        }
    }

    #[test]
    fn a_path_that_leaves_its_folder_is_refused() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b"] {
            assert!(RelativePath::new(bad).is_err(), "{bad:?} was accepted");
        }
        let deep = vec!["d"; limits::PATH_DEPTH_MAX].join("/");
        assert!(RelativePath::new(deep.clone()).is_ok());
        assert!(RelativePath::new(format!("{deep}/d")).is_err());
        assert!(RelativePath::new("src/main.py").is_ok());
    }

    #[test]
    fn argv_is_bounded_and_free_of_nul() {
        assert_eq!(RunSpec::new::<&str>([]).unwrap_err(), SpecError::EmptyArgv);
        assert_eq!(RunSpec::new(["/bin/\0sh"]).unwrap_err(), SpecError::Nul { what: "argv" });
        let longest = "a".repeat(limits::ARGUMENT_BYTES_MAX - 1);
        assert!(RunSpec::new(["/bin/true", &longest]).is_ok());
        assert!(RunSpec::new(["/bin/true", &format!("{longest}a")]).is_err());
        assert!(RunSpec::new(vec!["a"; limits::ARGUMENTS_MAX]).is_ok());
        assert!(RunSpec::new(vec!["a"; limits::ARGUMENTS_MAX + 1]).is_err());
    }
}
