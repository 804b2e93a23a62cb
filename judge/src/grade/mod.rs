//! Grading: an outcome becomes a verdict. Pure: no I/O, no clock, no randomness.
//!
//! [`checker`] compares output with answer, [`proof`] finds the proof that assertions ran to their
//! end, [`verdict`] orders the rules, and [`overall`] folds the verdicts of the tests.

pub mod checker;
mod floats;
pub mod proof;
pub mod verdict;

pub use checker::Checker;
pub use proof::Secret;
pub use verdict::{Check, FailurePatterns, Flag, Grade, Verdict, grade};

/// The verdict of a submission: that of the first test that was not accepted, in order.
#[must_use]
pub fn overall(tests: impl IntoIterator<Item = Verdict>) -> Verdict {
    tests.into_iter().find(|verdict| *verdict != Verdict::Accepted).unwrap_or(Verdict::Accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_test_that_is_not_accepted_decides() {
        use Verdict::{Accepted, RuntimeError, WrongAnswer};
        assert_eq!(overall([Accepted, Accepted]), Accepted);
        assert_eq!(overall([Accepted, RuntimeError, WrongAnswer]), RuntimeError);
        assert_eq!(overall([WrongAnswer, Accepted]), WrongAnswer);
    }
}
