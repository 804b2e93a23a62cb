//! A test that ran in a session with others: it has a name and a message, and shares the session's figures.

use sandbox::outcome::Captured;
use sandbox::{Limits, Outcome};

use super::{Head, HeadBudget, TestReport, closeness};
use crate::grade::Verdict;
use crate::suite::grade::Line;

impl TestReport {
    /// What is kept of a test of a session.
    #[must_use]
    pub fn of_line(
        verdict: Verdict,
        line: &Line,
        (outcome, limits): (&Outcome, &Limits),
        confirmed: bool,
    ) -> Self {
        let hidden = line.info.hidden;
        Self {
            verdict,
            termination: outcome.termination,
            usage: outcome.usage,
            stdout: Head::default(),
            stderr: Head::default(),
            fraction: if verdict == Verdict::Accepted { 1.0 } else { 0.0 },
            message: line.message.clone().filter(|_| !hidden),
            name: line.info.name.clone().filter(|_| !hidden),
            list: line.list,
            closeness: closeness(outcome, limits),
            hidden,
            confirmed,
            input: Head::default(),
            answer: Head::default(),
            transcript: None,
        }
    }

    /// With what the session wrote to standard error.
    #[must_use]
    pub fn with_stderr(mut self, stderr: &Captured, budget: &mut HeadBudget) -> Self {
        self.stderr = budget.take(stderr);
        self
    }
}
