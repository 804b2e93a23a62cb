//! The facts of a run: how it ended, what it used, what it wrote. Never a judgement.

use std::time::Duration;

use bytes::Bytes as Buffer;
use serde::{Deserialize, Serialize};

use crate::limits::Bytes;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Termination {
    /// The program's first process ended by itself.
    Exited {
        /// Its exit code, 0 to 255.
        code: i32,
    },
    /// The program's first process was ended by a signal that was not ours.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// All processes together used more processor time than allowed.
    CpuTimeLimit,
    /// The run took longer on the clock than allowed.
    WallTimeLimit,
    /// The kernel killed a process of the run because the memory limit was reached.
    MemoryLimit,
    /// Standard output or standard error was longer than allowed.
    OutputLimit,
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of all processes of the run.
    pub cpu_time: Duration,
    /// Time from launch to the end of the last process.
    pub wall_time: Duration,
    /// Largest memory at any moment: of the largest process, or of all together where that is more.
    pub peak_memory: Bytes,
}

/// What was kept of an output stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The first bytes, at most the run's output limit.
    pub bytes: Buffer,
    /// Whether the program wrote more than was kept.
    pub truncated: bool,
}

/// A file asked for by [`crate::spec::CollectFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    /// Its content.
    File(Buffer),
    /// There is no such file, or it is not a regular file.
    Missing,
    /// It is larger than was asked for.
    TooLarge,
}

/// All that is known of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub termination: Termination,
    /// What it used.
    pub usage: Usage,
    /// What it wrote to standard output.
    pub stdout: Captured,
    /// What it wrote to standard error.
    pub stderr: Captured,
    /// One entry for each file asked for, in the same order.
    pub files: Vec<Collected>,
}

impl Outcome {
    /// Whether the program ended by itself with exit code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.termination == Termination::Exited { code: 0 }
    }
}
