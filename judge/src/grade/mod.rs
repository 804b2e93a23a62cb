//! Grading: an outcome becomes a verdict. Pure: no I/O, no clock, no randomness.
//!
//! [`checker`] compares output with answer by our own rules, those of DMOJ ([`dmoj`]) and of other
//! graders ([`presets`]); [`detect`] finds signs of cheats; [`value`] compares what functions return; [`exit`] understands checkers that
//! are programs; [`proof`] finds the proof that assertions ran to their end. [`verdict`] orders the
//! rules, [`overall`] folds the verdicts of the tests and [`score`] their points.

pub mod checker;
pub mod detect;
pub mod dmoj;
pub mod exit;
mod floats;
pub mod presets;
pub mod proof;
mod python;
pub mod score;
pub mod value;
pub mod verdict;

pub use checker::Checker;
pub use proof::Secret;
pub use score::{Mark, Points};
pub use value::{CallRule, Value};
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
