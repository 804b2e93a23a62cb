//! What was found about a program, and what follows from it for caches and replies.

use protocol::{Closeness, StageResult};

use super::{CompileReport, TestReport};
use crate::grade::{Flag, Points, Verdict};

/// What was found about a program.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// One entry for each test; `None` where it was skipped.
    pub tests: Vec<Option<TestReport>>,
    /// What the compiler said.
    pub compile: Option<CompileReport>,
    /// Observations, sorted, each once.
    pub flags: Vec<Flag>,
    /// What all tests together earned.
    pub points: Points,
}

impl Judgement {
    /// A judgement without tests.
    #[must_use]
    pub fn bare(verdict: Verdict, flags: Vec<Flag>, points: Points) -> Self {
        Self { verdict, tests: Vec::new(), compile: None, flags, points }
    }

    /// Whether the same program would be judged the same again, as far as its limits are concerned:
    /// none was met, and none was near.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        let near = |test: &TestReport| {
            let Closeness { cpu_time, wall_time, memory, .. } = test.closeness;
            cpu_time > 0.5 || wall_time > 0.5 || memory > 0.9
        };
        let limit = |verdict| match verdict {
            Verdict::TimeLimitExceeded
            | Verdict::WallTimeLimitExceeded
            | Verdict::MemoryLimitExceeded
            | Verdict::OutputLimitExceeded => true,
            Verdict::Accepted
            | Verdict::WrongAnswer
            | Verdict::RuntimeError
            | Verdict::CompileError => false,
        };
        let compiler_met_a_limit = |compile: &CompileReport| {
            compile.message.as_ref().is_some_and(|message| !message.contains("exit code"))
        };
        !self.tests.iter().flatten().any(|test| limit(test.verdict) || near(test))
            && !self.compile.as_ref().is_some_and(compiler_met_a_limit)
    }

    /// Whether something about the program is suspicious.
    #[must_use]
    pub fn is_flagged(&self) -> bool {
        self.flags.iter().any(|flag| flag.is_suspicious())
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let tests: usize = self.tests.iter().flatten().map(TestReport::bytes).sum();
        let compile = self.compile.as_ref();
        tests + compile.map_or(0, |said| said.stdout.bytes.len() + said.stderr.bytes.len()) + 512
    }

    /// The stages of a program, in order.
    pub(super) fn stages(&self, extraction: Option<&'static str>) -> Vec<StageResult> {
        let stage = |stage: &str, outcome: &str, message: Option<String>| StageResult {
            stage: stage.to_owned(),
            outcome: outcome.to_owned(),
            message,
        };
        let mut stages = Vec::new();
        let no_code = self.flags.contains(&Flag::NoCode);
        if let Some(rule) = extraction {
            let message = no_code.then(|| format!("no program was found: {rule}"));
            stages.push(stage("extract", if no_code { "failed" } else { "ok" }, message));
        }
        if let Some(compile) = &self.compile {
            let outcome = if compile.message.is_some() { "failed" } else { "ok" };
            stages.push(stage("compile", outcome, compile.message.clone()));
        }
        let ran = !self.tests.is_empty();
        let ended_badly = self
            .tests
            .iter()
            .flatten()
            .find(|test| !matches!(test.verdict, Verdict::Accepted | Verdict::WrongAnswer));
        let run = match ended_badly {
            _ if !ran => "skipped",
            Some(_) => "failed",
            None => "ok",
        };
        stages.push(stage("run", run, None));
        let grade = match self.verdict {
            _ if !ran => "skipped",
            Verdict::Accepted => "ok",
            Verdict::WrongAnswer
            | Verdict::TimeLimitExceeded
            | Verdict::WallTimeLimitExceeded
            | Verdict::MemoryLimitExceeded
            | Verdict::OutputLimitExceeded
            | Verdict::RuntimeError
            | Verdict::CompileError => "failed",
        };
        stages.push(stage("grade", grade, None));
        stages
    }
}
