//! What was found about a program, and what follows from it for caches and replies.

use protocol::{Closeness, StageResult};

use super::{CompileReport, TestReport};
use crate::grade::{Flag, Points, Verdict, overall, score};
use crate::problem::Group;

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
    /// What there is to say about its stages.
    pub notes: StageNotes,
}

/// What there is to say about stages, beside what follows from the verdicts.
#[derive(Clone, Debug, Default)]
pub struct StageNotes {
    /// How the patch was applied, where it is one: why not, where it was not.
    pub apply: Option<Result<(), String>>,
    /// Why it was not accepted: as a word, and as a sentence.
    pub grade: Option<(&'static str, String)>,
}

impl Judgement {
    /// A judgement without tests.
    #[must_use]
    pub fn bare(verdict: Verdict, flags: Vec<Flag>, points: Points) -> Self {
        let notes = StageNotes::default();
        Self { verdict, tests: Vec::new(), compile: None, flags, points, notes }
    }

    /// What follows from what came of each test.
    #[must_use]
    pub fn of(
        tests: Vec<Option<TestReport>>,
        compile: Option<CompileReport>,
        flags: Vec<Flag>,
        groups: &[Group],
    ) -> Self {
        let verdict = overall(tests.iter().flatten().map(|test| test.verdict));
        let marks: Vec<_> = tests.iter().map(|test| test.as_ref().map(TestReport::mark)).collect();
        let points = score::points(groups, &marks);
        Self { verdict, tests, compile, flags, points, notes: StageNotes::default() }
    }

    /// That of a program that was not compiled.
    #[must_use]
    pub fn not_compiled(compile: Option<CompileReport>, groups: &[Group]) -> Self {
        let points = score::points(groups, &[]);
        Self { compile, ..Self::bare(Verdict::CompileError, Vec::new(), points) }
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
            | Verdict::CompileError
            | Verdict::NotCollected
            | Verdict::PatchError => false,
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
            reason: None,
            message,
        };
        let mut stages = Vec::new();
        let no_code = self.flags.contains(&Flag::NoCode);
        if let Some(rule) = extraction {
            let message = no_code.then(|| format!("no program was found: {rule}"));
            stages.push(stage("extract", if no_code { "failed" } else { "ok" }, message));
        }
        if let Some(applied) = &self.notes.apply {
            let outcome = if applied.is_err() { "failed" } else { "ok" };
            let reason = applied.is_err().then(|| "patch_does_not_apply".to_owned());
            let message = applied.as_ref().err().cloned();
            stages.push(StageResult { reason, ..stage("apply", outcome, message) });
        }
        if let Some(compile) = &self.compile {
            let outcome = if compile.message.is_some() { "failed" } else { "ok" };
            let reason = compile.message.is_some().then(|| "build_failed".to_owned());
            let message = compile.message.clone();
            stages.push(StageResult { reason, ..stage("compile", outcome, message) });
        }
        let ran = !self.tests.is_empty();
        let ended_badly = self.tests.iter().flatten().find(|test| !ended_well(test.verdict));
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
            | Verdict::CompileError
            | Verdict::NotCollected
            | Verdict::PatchError => "failed",
        };
        let (reason, message) = self.notes.grade.clone().unzip();
        let reason = reason.map(str::to_owned);
        stages.push(StageResult { reason, ..stage("grade", grade, message) });
        stages
    }
}

/// Whether the program of a test came to its end.
fn ended_well(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Accepted | Verdict::WrongAnswer | Verdict::NotCollected => true,
        Verdict::TimeLimitExceeded
        | Verdict::WallTimeLimitExceeded
        | Verdict::MemoryLimitExceeded
        | Verdict::OutputLimitExceeded
        | Verdict::RuntimeError
        | Verdict::CompileError
        | Verdict::PatchError => false,
    }
}
