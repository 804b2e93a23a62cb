//! The problem model, and its readers: [`inline`] for the wire, [`folder`] for the command line,
//! [`answer`] for problems that are answered without a program.
//!
//! A problem that exists has at least one test and lies within [`crate::limits`].

use bytes::Bytes;

use crate::grade::Checker;

pub mod answer;
pub mod folder;
pub mod inline;

/// What a program should do.
#[derive(Clone, Debug)]
pub enum Problem {
    /// Reads standard input, writes standard output.
    Stdio {
        /// At least one.
        tests: Vec<TestCase>,
        /// How output is compared.
        checker: Checker,
    },
    /// Must pass a program that runs after it.
    Assertions {
        /// The program.
        code: String,
    },
}

/// One input and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCase {
    /// What the program reads.
    pub stdin: Bytes,
    /// What it should write.
    pub answer: Bytes,
}

impl Problem {
    /// Its kind in requests.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Stdio { .. } => "stdio",
            Self::Assertions { .. } => "assertions",
        }
    }
}
