//! Faults of ours. What the program does wrong is an [`crate::Outcome`], never an error.

use std::io;
use std::path::PathBuf;

use crate::spec::SpecError;

/// Why a slot, a lease or a run failed through no fault of the program.
#[derive(Debug, thiserror::Error)]
#[expect(clippy::error_impl_error, reason = "the crate's one error type; used as sandbox::Error")]
pub enum Error {
    /// [`crate::resident_entry`] was not the first statement of `main`.
    #[error("sandbox::resident_entry() must be the first statement of main: slots start from it")]
    EntryMissing,
    /// The host lacks something that isolation needs.
    #[error("this host cannot isolate runs: {reason}")]
    Unfit {
        /// What is missing, and what to do about it.
        reason: String,
    },
    /// A step of building a slot failed.
    #[error("failed to build slot {slot} at {step}: {source}")]
    Build {
        /// The slot's number.
        slot: u32,
        /// Which step.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A step between clone and exec failed.
    #[error("failed to launch {program} at {step}: {source}")]
    Launch {
        /// The program.
        program: String,
        /// Which step.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The slot ended or stopped answering; it has been destroyed.
    #[error("slot {slot} failed at {step}: {reason}")]
    Slot {
        /// The slot's number.
        slot: u32,
        /// What it was asked to do.
        step: &'static str,
        /// What happened instead.
        reason: String,
    },
    /// A control group operation failed.
    #[error("failed to {operation} {path}: {source}", path = path.display())]
    Cgroup {
        /// For instance `create`, or `write 64 to`.
        operation: String,
        /// The file or folder.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another operation of the supervisor failed.
    #[error("failed to {operation}: {source}")]
    Io {
        /// What was tried.
        operation: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The spec was invalid.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The pool is closed.
    #[error("the slot pool is closed")]
    Closed,
}

impl Error {
    /// A closure for `map_err`: `operation` failed with an I/O error.
    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation: operation.into(), source }
    }
}
