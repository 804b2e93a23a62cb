//! Reads a problem from the wire.

use bytes::Bytes;
use protocol::{Checker as WireChecker, LATER_KINDS};

use super::{Problem, TestCase};
use crate::grade::Checker;
use crate::grade::checker::{Tolerance, ToleranceError};
use crate::limits;

/// Why a problem cannot be judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProblemError {
    /// A kind of the wire format that this version does not judge.
    #[error("problem kind {kind:?} is not judged by this version")]
    UnsupportedKind {
        /// The kind.
        kind: String,
    },
    /// No kind of the wire format.
    #[error("problem kind {kind:?} is not known")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// A kind that is answered, not solved by a program.
    #[error("a problem of kind {kind} takes an answer, not a program")]
    NoProgram {
        /// The kind.
        kind: &'static str,
    },
    /// There is nothing to test.
    #[error("the problem has no {what}")]
    Empty {
        /// What it lacks.
        what: &'static str,
    },
    /// Something is larger, or there is more of it, than allowed.
    #[error("the problem's {what} is {value}, at most {max} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        value: usize,
        /// The bound.
        max: usize,
    },
    /// The code holds a NUL byte.
    #[error("the assertion program contains a NUL byte")]
    Nul,
    /// A tolerance makes no sense.
    #[error("checker `floats`: {0}")]
    Tolerance(#[from] ToleranceError),
}

/// Checks `wire`.
///
/// # Errors
/// What is wrong with it.
pub fn read(wire: protocol::Problem) -> Result<Problem, ProblemError> {
    match wire {
        protocol::Problem::Stdio(stdio) => {
            at_most("number of tests", stdio.tests.len(), limits::TESTS_MAX)?;
            if stdio.tests.is_empty() {
                return Err(ProblemError::Empty { what: "tests" });
            }
            let tests = stdio.tests.into_iter().map(|test| TestCase {
                stdin: Bytes::from(test.stdin),
                answer: Bytes::from(test.stdout),
            });
            Ok(Problem::Stdio { tests: tests.collect(), checker: read_checker(stdio.checker)? })
        }
        protocol::Problem::Assertions(assertions) => {
            let code = assertions.code;
            at_most("number of bytes of code", code.len(), limits::SOURCE_BYTES_MAX)?;
            if code.trim().is_empty() {
                return Err(ProblemError::Empty { what: "assertions" });
            }
            if code.contains('\0') {
                return Err(ProblemError::Nul);
            }
            Ok(Problem::Assertions { code })
        }
        protocol::Problem::Math(_) => Err(ProblemError::NoProgram { kind: "math" }),
        protocol::Problem::Answer(_) => Err(ProblemError::NoProgram { kind: "answer" }),
        protocol::Problem::FreeForm(_) => Err(ProblemError::NoProgram { kind: "free_form" }),
        protocol::Problem::Unsupported { kind } if LATER_KINDS.contains(&kind.as_str()) => {
            Err(ProblemError::UnsupportedKind { kind })
        }
        protocol::Problem::Unsupported { kind } => {
            Err(ProblemError::UnknownKind { kind: kind.chars().take(64).collect() })
        }
    }
}

/// Checks a checker's tolerances.
///
/// # Errors
/// A tolerance that makes no sense.
pub fn read_checker(wire: WireChecker) -> Result<Checker, ToleranceError> {
    Ok(match wire {
        WireChecker::Tokens => Checker::Tokens,
        WireChecker::Exact => Checker::Exact,
        WireChecker::Floats { absolute, relative } => {
            Checker::Floats(Tolerance::new(absolute, relative)?)
        }
    })
}

fn at_most(what: &'static str, value: usize, max: usize) -> Result<(), ProblemError> {
    if value > max { Err(ProblemError::TooLarge { what, value, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use protocol::{AssertionsProblem, StdioProblem};

    use super::*;

    fn stdio(count: usize) -> protocol::Problem {
        let test = protocol::TestCase { stdin: String::new(), stdout: "1".into() };
        protocol::Problem::Stdio(StdioProblem {
            tests: vec![test; count],
            checker: WireChecker::Tokens,
        })
    }

    #[test]
    fn the_number_of_tests_is_bounded_on_both_sides() {
        assert_eq!(read(stdio(0)).unwrap_err(), ProblemError::Empty { what: "tests" });
        assert!(read(stdio(1)).is_ok());
        assert!(read(stdio(limits::TESTS_MAX)).is_ok());
        assert!(read(stdio(limits::TESTS_MAX + 1)).is_err());
    }

    #[test]
    fn assertions_must_be_there_and_free_of_nul() {
        let read_code = |code: &str| {
            read(protocol::Problem::Assertions(AssertionsProblem { code: code.into() }))
        };
        assert!(read_code("assert True").is_ok());
        assert_eq!(read_code(" \n").unwrap_err(), ProblemError::Empty { what: "assertions" });
        assert_eq!(read_code("a\0").unwrap_err(), ProblemError::Nul);
    }

    #[test]
    fn kinds_that_come_later_differ_from_kinds_that_never_will() {
        let read_kind =
            |kind: &str| read(protocol::Problem::Unsupported { kind: kind.into() }).unwrap_err();
        assert!(matches!(read_kind("dmoj"), ProblemError::UnsupportedKind { .. }));
        assert!(matches!(read_kind("stdoi"), ProblemError::UnknownKind { .. }));
    }
}
