//! The reward of a verdict. Pure, and versioned: a change of the rule changes [`VERSION`].
//!
//! A failure of the judge has no verdict, so it cannot be given to this function: it has no reward.

use crate::grade::Verdict;

/// Name and version of the rule.
pub const VERSION: &str = "all-accepted/1";

/// 1 where every test was accepted, else 0.
#[must_use]
pub fn reward(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Accepted => 1.0,
        Verdict::WrongAnswer
        | Verdict::TimeLimitExceeded
        | Verdict::WallTimeLimitExceeded
        | Verdict::MemoryLimitExceeded
        | Verdict::OutputLimitExceeded
        | Verdict::RuntimeError
        | Verdict::CompileError => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_accepted_earns() {
        assert!((reward(Verdict::Accepted) - 1.0).abs() < f64::EPSILON);
        for verdict in [
            Verdict::WrongAnswer,
            Verdict::TimeLimitExceeded,
            Verdict::WallTimeLimitExceeded,
            Verdict::MemoryLimitExceeded,
            Verdict::OutputLimitExceeded,
            Verdict::RuntimeError,
            Verdict::CompileError,
        ] {
            assert!(reward(verdict).abs() < f64::EPSILON, "{verdict:?}");
        }
    }
}
