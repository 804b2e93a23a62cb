//! The rules that turn one outcome into one verdict, in their order.
//!
//! A limit decides before anything else; then a signal or an exit code other than 0; only the
//! output of a run that ended well is compared. A failed run whose standard error names the
//! language's own out-of-memory failure met the memory limit; one that names a failed assertion
//! gave a wrong answer.

use bytes::Bytes;
use sandbox::Outcome;
use sandbox::outcome::Termination;

use super::checker::{Checker, CheckerFault, Marks};
use super::detect;
use super::proof::{self, Proof, Secret};
use super::value::{CallRule, Origin, Value};
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
    /// A test that must be there was not.
    NotCollected,
    /// It is a patch that could not be applied.
    PatchError,
}

/// An observation beside the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// The program ended well before its assertions did.
    Incomplete,
    /// The program looked into its own memory, or its source names ways to.
    InspectsMemory,
    /// The program started another.
    SpawnsProcess,
    /// Tests ran beside machine code that a build made, which could have written their results.
    NativeCode,
    /// The program changed what runs its tests, or made a test that must fail pass.
    TampersTests,
    /// The program wrote what looks like a report of its tests.
    ForgedReport,
    /// The patch changes files that are the problem's own.
    ProtectedPath,
    /// The completion holds no program.
    NoCode,
    /// The completion holds no answer.
    NoAnswer,
}

impl Flag {
    /// Whether it speaks of a cheat, and not of a completion without anything to judge.
    #[must_use]
    pub fn is_suspicious(self) -> bool {
        match self {
            Self::Incomplete
            | Self::InspectsMemory
            | Self::SpawnsProcess
            | Self::TampersTests
            | Self::ForgedReport => true,
            // Honest repositories have such modules, too.
            Self::NativeCode | Self::ProtectedPath | Self::NoCode | Self::NoAnswer => false,
        }
    }

    /// Its name in replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::InspectsMemory => "inspects_memory",
            Self::SpawnsProcess => "spawns_process",
            Self::NativeCode => "native_code",
            Self::TampersTests => "tampers_tests",
            Self::ForgedReport => "forged_report",
            Self::ProtectedPath => "protected_path",
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
    },
    /// Proof that the assertions ran to their end.
    Proof(Secret),
    /// A result that is what was expected.
    Result {
        /// How to compare.
        rule: CallRule,
        /// With what.
        expected: Value,
    },
    /// A good end; a program of the problem judges the rest.
    Ends,
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
#[derive(Clone, Debug, PartialEq)]
pub struct Grade {
    /// The verdict.
    pub verdict: Verdict,
    /// The part of the points that it earns.
    pub fraction: f64,
    /// What the checker says to the program's author.
    pub message: Option<String>,
    /// Observations.
    pub flags: Vec<Flag>,
    /// Standard output without the proof, and of a call what was returned.
    pub stdout: Bytes,
}

impl Grade {
    fn failed(verdict: Verdict, stdout: Bytes) -> Self {
        Self { verdict, fraction: 0.0, message: None, flags: Vec::new(), stdout }
    }

    /// What a checker says of a run that ended well.
    #[must_use]
    pub fn marked(marks: Marks, stdout: Bytes) -> Self {
        let verdict = if marks.accepted { Verdict::Accepted } else { Verdict::WrongAnswer };
        let Marks { fraction, feedback, .. } = marks;
        Self { verdict, fraction, message: feedback, flags: Vec::new(), stdout }
    }
}

/// Grades one outcome, and reads the flags that a driver raised.
///
/// # Errors
/// The checker cannot be used with this answer.
pub fn grade(
    check: &Check,
    answer: &[u8],
    patterns: &FailurePatterns,
    outcome: &Outcome,
) -> Result<Grade, CheckerFault> {
    let mut grade = grade_unflagged(check, answer, patterns, outcome)?;
    if matches!(check, Check::Proof(_)) {
        grade.flags.extend(detect::raised(&outcome.stderr.bytes));
        if outcome.termination == (Termination::Exited { code: detect::REFUSED_CODE })
            && !grade.flags.is_empty()
        {
            grade.verdict = Verdict::WrongAnswer;
        }
    }
    Ok(grade)
}

fn grade_unflagged(
    check: &Check,
    answer: &[u8],
    patterns: &FailurePatterns,
    outcome: &Outcome,
) -> Result<Grade, CheckerFault> {
    let output = &outcome.stdout.bytes;
    let (stdout, proof) = match check {
        Check::Output { .. } | Check::Ends | Check::Result { .. } => {
            (output.clone(), Proof::Absent)
        }
        Check::Proof(secret) => {
            let (rest, proof) = proof::split(output, secret);
            (output.slice_ref(rest), proof)
        }
    };
    if outcome.termination != (Termination::Exited { code: 0 }) {
        let verdict = ended_badly(check, patterns, outcome);
        let mut grade = Grade::failed(verdict, stdout);
        if let Check::Output { checker } = check
            && checker.runs_on_error()
        {
            let marks = checker.check(output, answer)?;
            (grade.fraction, grade.message) = (marks.fraction, marks.feedback);
        }
        return Ok(grade);
    }
    Ok(match check {
        Check::Output { checker } => Grade::marked(checker.check(output, answer)?, stdout),
        Check::Ends => Grade::marked(Marks::of(true), stdout),
        Check::Proof(_) => match proof {
            Proof::Present => Grade::marked(Marks::of(true), stdout),
            Proof::Absent => {
                let flags = vec![Flag::Incomplete];
                Grade { flags, ..Grade::failed(Verdict::WrongAnswer, stdout) }
            }
        },
        Check::Result { rule, expected } => result(*rule, expected, stdout),
    })
}

/// Grades what a driver wrote: the last line that is not empty.
fn result(rule: CallRule, expected: &Value, stdout: Bytes) -> Grade {
    let line = stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
    let Some(line) = line.map(|line| stdout.slice_ref(line)) else {
        let flags = vec![Flag::Incomplete];
        return Grade { flags, ..Grade::failed(Verdict::WrongAnswer, stdout) };
    };
    let text = String::from_utf8_lossy(&line);
    match Value::parse(&text, Origin::Driver) {
        Ok(value) => Grade::marked(Marks::of(rule.accepts(&value, expected)), line.clone()),
        Err(reason) => {
            let message = Some(format!("what was written is no result: {reason}"));
            Grade { message, ..Grade::failed(Verdict::WrongAnswer, line.clone()) }
        }
    }
}

fn ended_badly(check: &Check, patterns: &FailurePatterns, outcome: &Outcome) -> Verdict {
    match outcome.termination {
        Termination::CpuTimeLimit => Verdict::TimeLimitExceeded,
        Termination::WallTimeLimit => Verdict::WallTimeLimitExceeded,
        Termination::MemoryLimit => Verdict::MemoryLimitExceeded,
        Termination::OutputLimit => Verdict::OutputLimitExceeded,
        Termination::Exited { .. } | Termination::Signalled { .. } => {
            failed(check, patterns, &outcome.stderr.bytes)
        }
    }
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
        Check::Output { checker: Checker::Tokens }
    }

    fn patterns() -> FailurePatterns {
        FailurePatterns {
            memory: vec!["MemoryError".into()],
            assertion: vec!["AssertionError".into()],
        }
    }

    fn verdict(check: &Check, outcome: &Outcome) -> Verdict {
        grade(check, b"3\n", &patterns(), outcome).unwrap().verdict
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
        let graded = grade(&check, b"", &patterns(), &outcome(OK, &proven, "")).unwrap();
        assert_eq!(graded.verdict, Verdict::Accepted);
        assert_eq!(graded.stdout, "hello");

        let graded = grade(&check, b"", &patterns(), &outcome(OK, "hello", "")).unwrap();
        assert_eq!(graded.verdict, Verdict::WrongAnswer);
        assert_eq!(graded.flags, [Flag::Incomplete]);

        let late = outcome(Termination::CpuTimeLimit, &proven, "");
        assert_eq!(verdict(&check, &late), Verdict::TimeLimitExceeded);
        let failed = outcome(FAILED, &proven, "");
        assert_eq!(verdict(&check, &failed), Verdict::RuntimeError);
        let asserted = outcome(FAILED, "", "AssertionError: 3\n");
        assert_eq!(verdict(&check, &asserted), Verdict::WrongAnswer);
        assert_eq!(verdict(&output_check(), &asserted), Verdict::RuntimeError);
    }
}
