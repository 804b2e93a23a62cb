//! The rules that turn one outcome into one verdict, in their order.
//!
//! A limit decides before anything else; then a signal or an exit code other than 0; only the
//! output of a run that ended well is compared. A failed run whose standard error names the
//! language's own out-of-memory failure met the memory limit; one that names a failed assertion
//! gave a wrong answer.

use bytes::Bytes;
use sandbox::Outcome;
use sandbox::outcome::Termination;

use super::checker::Checker;
use super::proof::{self, Proof, Secret};
use crate::limits::STDERR_TAIL_BYTES;

/// What was found about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It did what the test asks.
    Accepted,
    /// It ended well with a wrong answer.
    WrongAnswer,
    /// It used more processor time than allowed.
    TimeLimitExceeded,
    /// It took longer on the clock than allowed.
    WallTimeLimitExceeded,
    /// It used more memory than allowed.
    MemoryLimitExceeded,
    /// It wrote more than allowed.
    OutputLimitExceeded,
    /// It ended with a signal or an exit code other than 0.
    RuntimeError,
    /// It could not be compiled.
    CompileError,
}

/// An observation beside the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// The program ended well before its assertions did.
    Incomplete,
    /// The completion holds no program.
    NoCode,
    /// The completion holds no answer.
    NoAnswer,
}

impl Flag {
    /// Its name in replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::NoCode => "no_code",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// What a run must show to be accepted.
#[derive(Clone, Debug)]
pub enum Check {
    /// Output that the checker accepts for the answer.
    Output {
        /// How to compare.
        checker: Checker,
        /// With what.
        answer: Bytes,
    },
    /// Proof that the assertions ran to their end.
    Proof(Secret),
}

/// Words by which a language's runtime names failures on standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailurePatterns {
    /// It ran out of memory.
    pub memory: Vec<String>,
    /// An assertion failed.
    pub assertion: Vec<String>,
}

/// A verdict, and what the program itself wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grade {
    /// The verdict.
    pub verdict: Verdict,
    /// Observations.
    pub flag: Option<Flag>,
    /// Standard output without the proof.
    pub stdout: Bytes,
}

/// Grades one outcome.
#[must_use]
pub fn grade(check: &Check, patterns: &FailurePatterns, outcome: &Outcome) -> Grade {
    let output = &outcome.stdout.bytes;
    let (stdout, proof) = match check {
        Check::Output { .. } => (output.clone(), Proof::Absent),
        Check::Proof(secret) => {
            let (rest, proof) = proof::split(output, secret);
            (output.slice_ref(rest), proof)
        }
    };
    let mut flag = None;
    let verdict = match outcome.termination {
        Termination::CpuTimeLimit => Verdict::TimeLimitExceeded,
        Termination::WallTimeLimit => Verdict::WallTimeLimitExceeded,
        Termination::MemoryLimit => Verdict::MemoryLimitExceeded,
        Termination::OutputLimit => Verdict::OutputLimitExceeded,
        Termination::Exited { code: 0 } => match (check, proof) {
            (Check::Output { checker, answer }, _) if checker.accepts(output, answer) => {
                Verdict::Accepted
            }
            (Check::Proof(_), Proof::Present) => Verdict::Accepted,
            (Check::Proof(_), Proof::Absent) => {
                flag = Some(Flag::Incomplete);
                Verdict::WrongAnswer
            }
            (Check::Output { .. }, _) => Verdict::WrongAnswer,
        },
        Termination::Exited { .. } | Termination::Signalled { .. } => {
            failed(check, patterns, &outcome.stderr.bytes)
        }
    };
    Grade { verdict, flag, stdout }
}

fn failed(check: &Check, patterns: &FailurePatterns, stderr: &[u8]) -> Verdict {
    let tail = &stderr[stderr.len().saturating_sub(STDERR_TAIL_BYTES)..];
    let tail = String::from_utf8_lossy(tail);
    let names = |patterns: &[String]| patterns.iter().any(|word| tail.contains(word.as_str()));
    if names(&patterns.memory) {
        Verdict::MemoryLimitExceeded
    } else if matches!(check, Check::Proof(_)) && names(&patterns.assertion) {
        Verdict::WrongAnswer
    } else {
        Verdict::RuntimeError
    }
}

#[cfg(test)]
mod tests {
    use sandbox::outcome::{Captured, Usage};

    use super::*;

    fn outcome(termination: Termination, stdout: &str, stderr: &str) -> Outcome {
        let captured =
            |text: &str| Captured { bytes: Bytes::from(text.to_owned()), truncated: false };
        Outcome {
            termination,
            usage: Usage::default(),
            stdout: captured(stdout),
            stderr: captured(stderr),
            files: Vec::new(),
        }
    }

    fn output_check() -> Check {
        Check::Output { checker: Checker::Tokens, answer: Bytes::from_static(b"3\n") }
    }

    fn patterns() -> FailurePatterns {
        FailurePatterns {
            memory: vec!["MemoryError".into()],
            assertion: vec!["AssertionError".into()],
        }
    }

    fn verdict(check: &Check, outcome: &Outcome) -> Verdict {
        grade(check, &patterns(), outcome).verdict
    }

    const OK: Termination = Termination::Exited { code: 0 };
    const FAILED: Termination = Termination::Exited { code: 1 };

    #[test]
    fn a_limit_decides_even_where_the_answer_is_right() {
        for (termination, expected) in [
            (Termination::CpuTimeLimit, Verdict::TimeLimitExceeded),
            (Termination::WallTimeLimit, Verdict::WallTimeLimitExceeded),
            (Termination::MemoryLimit, Verdict::MemoryLimitExceeded),
            (Termination::OutputLimit, Verdict::OutputLimitExceeded),
            (FAILED, Verdict::RuntimeError),
            (Termination::Signalled { signal: 11 }, Verdict::RuntimeError),
            (OK, Verdict::Accepted),
        ] {
            assert_eq!(verdict(&output_check(), &outcome(termination, "3", "")), expected);
        }
        assert_eq!(verdict(&output_check(), &outcome(OK, "4", "")), Verdict::WrongAnswer);
    }

    #[test]
    fn a_memory_failure_of_the_runtime_is_the_memory_limit_only_where_the_run_failed() {
        let failed = outcome(FAILED, "", "Traceback\nMemoryError\n");
        assert_eq!(verdict(&output_check(), &failed), Verdict::MemoryLimitExceeded);
        let printed = outcome(OK, "3", "MemoryError\n");
        assert_eq!(verdict(&output_check(), &printed), Verdict::Accepted);
        let early = format!("MemoryError\n{}", "x".repeat(STDERR_TAIL_BYTES));
        let early = outcome(FAILED, "", &early);
        assert_eq!(verdict(&output_check(), &early), Verdict::RuntimeError);
    }

    #[test]
    fn assertions_need_the_proof_and_a_good_end() {
        let secret = Secret::new([7; proof::SECRET_BYTES]);
        let check = Check::Proof(secret.clone());
        let proven = format!("hello\n{}\n", secret.as_str());
        let graded = grade(&check, &patterns(), &outcome(OK, &proven, ""));
        assert_eq!(graded.verdict, Verdict::Accepted);
        assert_eq!(graded.stdout, "hello");

        let graded = grade(&check, &patterns(), &outcome(OK, "hello", ""));
        assert_eq!(graded.verdict, Verdict::WrongAnswer);
        assert_eq!(graded.flag, Some(Flag::Incomplete));

        let late = outcome(Termination::CpuTimeLimit, &proven, "");
        assert_eq!(verdict(&check, &late), Verdict::TimeLimitExceeded);
        let failed = outcome(FAILED, &proven, "");
        assert_eq!(verdict(&check, &failed), Verdict::RuntimeError);
        let asserted = outcome(FAILED, "", "AssertionError: 3\n");
        assert_eq!(verdict(&check, &asserted), Verdict::WrongAnswer);
        assert_eq!(verdict(&output_check(), &asserted), Verdict::RuntimeError);
    }
}
