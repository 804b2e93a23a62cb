//! The flow of a submission that is judged by tests with names: apply, build, one session, grade.

use sandbox::outcome::Collected;
use sandbox::{Outcome, RunSpec};
use tracing::Instrument;

use super::{Judge, Trouble, no_code};
use crate::assertion::Secrets;
use crate::compile::Compiled;
use crate::grade::{Flag, Verdict, score};
use crate::report::{CompileReport, HeadBudget, Judgement, StageNotes, TestReport};
use crate::run::Runner;
use crate::submission::ValidSubmission;
use crate::suite::grade::{Asked, Seal, Session as Graded};
use crate::suite::ledger::Ledger;
use crate::suite::plan::{PlanError, SuitePlan};
use crate::suite::{Repository, Session, Subject, Suite, grade, ledger, plan};
use crate::telemetry::Stage;

/// What a compile script says once the candidate's own part is done: what comes after is about the
/// problem's tests.
const CANDIDATE_COMPILED: &[u8] = b"assay-compiled";

impl From<PlanError> for Trouble {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Spec(error) => error.into(),
            PlanError::Tree(error) => Self::Problem(error.to_string()),
        }
    }
}

/// What the stages before the session came to.
#[derive(Default)]
struct Before {
    compile: Option<CompileReport>,
    flags: Vec<Flag>,
    notes: StageNotes,
}

/// Either what is to be run, or what was found without.
enum Ready {
    Session(Box<SuitePlan>),
    Judged(Box<Judgement>),
}

impl Judge {
    /// Judges by tests with names.
    ///
    /// # Errors
    /// We failed.
    pub(super) async fn attempt_suite(
        &self,
        submission: &ValidSubmission,
        suite: &Suite,
        secrets: &Secrets,
    ) -> Result<Judgement, Trouble> {
        let mut budget = HeadBudget::default();
        let mut before = Before::default();
        let ready = match &suite.subject {
            Subject::Program { .. } => {
                self.compiled(submission, suite, secrets, (&mut before, &mut budget)).await?
            }
            Subject::Changes(repository) => {
                let work = Work { submission, suite, repository, secrets };
                self.changed(work, &mut before, &mut budget).await?
            }
        };
        let plan = match ready {
            Ready::Judged(judgement) => return Ok(*judgement),
            Ready::Session(plan) => plan,
        };
        let (outcome, confirmed) = self.run_session(&plan).await?;
        let timer = self.metrics.stage(Stage::Grade);
        let asked = Asked {
            expected: suite.expected,
            tests: &submission.problem.tests,
            lists: &suite.lists,
            seal: if suite.framework().is_some() { Seal::Needed } else { Seal::None },
            patterns: &submission.language.patterns,
        };
        let Graded { lines, flags } = grade::grade(asked, &read(suite, &plan, &outcome), &outcome);
        before.flags.extend(flags);
        before.flags.extend(&plan.flags);
        before.flags.sort_unstable();
        before.flags.dedup();
        let shown = !suite.hides_any(&submission.problem.tests);
        let session = (&outcome, &plan.spec, confirmed);
        let reports = reports(&lines, session, shown, &mut budget);
        let groups = suite.groups(&submission.problem, &lines);
        let notes = StageNotes { grade: grade::note(&lines), ..before.notes };
        timer.observe_duration();
        Ok(Judgement { notes, ..Judgement::of(reports, before.compile, before.flags, &groups) })
    }

    /// A program in one file, compiled where its language is.
    async fn compiled(
        &self,
        submission: &ValidSubmission,
        suite: &Suite,
        secrets: &Secrets,
        (before, budget): (&mut Before, &mut HeadBudget),
    ) -> Result<Ready, Trouble> {
        let Some(mut plan) = plan::program(submission, suite, secrets)? else {
            return Ok(Ready::Judged(Box::new(no_code(submission))));
        };
        let Some(stage) = &plan.compile else { return Ok(Ready::Session(Box::new(plan))) };
        let mut compiled = self.compile(stage).await?;
        let hides = suite.hides_any(&submission.problem.tests);
        if hides && compiled.stdout.bytes.starts_with(CANDIDATE_COMPILED) {
            (compiled.stdout, compiled.stderr) = Default::default();
        }
        before.compile = Some(CompileReport::new(&compiled, budget));
        match compiled.artifacts {
            Ok(artifacts) => plan.box_files.extend(artifacts),
            Err(_) => return Ok(not_compiled(submission, before)),
        }
        Ok(Ready::Session(Box::new(plan)))
    }

    /// A repository, changed and built.
    async fn changed(
        &self,
        work: Work<'_>,
        before: &mut Before,
        budget: &mut HeadBudget,
    ) -> Result<Ready, Trouble> {
        let Work { submission, suite, repository, secrets } = work;
        let Some(source) = submission.code.source() else {
            return Ok(Ready::Judged(Box::new(no_code(submission))));
        };
        let files = &suite.files;
        let changed = match repository.change(&String::from_utf8_lossy(&source), files) {
            Ok(changed) => changed,
            Err(error) => {
                let points = score::points(&submission.problem.groups, &[]);
                let mut judgement = Judgement::bare(Verdict::PatchError, Vec::new(), points);
                judgement.notes.apply = Some(Err(error.to_string()));
                return Ok(Ready::Judged(Box::new(judgement)));
            }
        };
        before.notes.apply = Some(Ok(()));
        before.flags.extend(changed.left_out.then_some(Flag::ProtectedPath));
        let mut tree = changed.tree;
        if !repository.build.is_empty() {
            let archive = tree.pack().map_err(PlanError::from)?;
            let stage = plan::build(&submission.language, repository, archive)?;
            let mut compiled = self.compile(&stage).await?;
            if suite.hides_any(&submission.problem.tests) {
                // A build can print the tests that lie in its tree.
                (compiled.stdout, compiled.stderr) = Default::default();
            }
            let rebuilt = match &compiled.artifacts {
                Ok(made) => made.first().map(|made| repository.rebuilt(&made.content, files)),
                Err(_) => None,
            };
            tree = match rebuilt {
                Some(Ok(tree)) => tree,
                Some(Err(error)) => {
                    compiled.artifacts = Err(format!("what was built cannot be tested: {error}"));
                    before.built(&compiled, budget);
                    return Ok(not_compiled(submission, before));
                }
                None => {
                    before.built(&compiled, budget);
                    return Ok(not_compiled(submission, before));
                }
            };
            before.built(&compiled, budget);
        }
        let candidates = repository.candidates(&tree, files);
        Ok(match plan::session(submission, suite, &candidates, &tree, secrets)? {
            Some(plan) => Ready::Session(Box::new(plan)),
            None => Ready::Judged(Box::new(no_code(submission))),
        })
    }

    async fn run_session(&self, plan: &SuitePlan) -> Result<(Outcome, bool), Trouble> {
        let wait = self.metrics.stage(Stage::Lease);
        let mut runner =
            Runner::new(self.slots(), plan.image.as_ref().into(), &plan.box_files).await?;
        wait.observe_duration();
        let timer = self.metrics.stage(Stage::Run);
        let span = tracing::info_span!("stage", stage = "run");
        let run = self.run_confirmed(&mut runner, plan.spec.clone(), false);
        let found = run.instrument(span).await?;
        timer.observe_duration();
        Ok(found)
    }
}

/// A repository that is judged.
#[derive(Clone, Copy)]
struct Work<'a> {
    submission: &'a ValidSubmission,
    suite: &'a Suite,
    repository: &'a Repository,
    secrets: &'a Secrets,
}

impl Before {
    fn built(&mut self, compiled: &Compiled, budget: &mut HeadBudget) {
        self.compile = Some(CompileReport::new(compiled, budget));
    }
}

fn not_compiled(submission: &ValidSubmission, before: &mut Before) -> Ready {
    let Before { compile, flags, notes } = std::mem::take(before);
    let judgement = Judgement::not_compiled(compile, &submission.problem.groups);
    Ready::Judged(Box::new(Judgement { flags, notes, ..judgement }))
}

/// What the session wrote about its tests.
fn read(suite: &Suite, plan: &SuitePlan, outcome: &Outcome) -> Ledger {
    let Session::Command { parser, report, .. } = &suite.session else {
        return ledger::read(&outcome.stdout.bytes, &plan.key);
    };
    let output = match (report, outcome.files.first()) {
        (Some(_), Some(Collected::File(content))) => content.clone(),
        (Some(_), _) => bytes::Bytes::new(),
        (None, _) => outcome.stdout.bytes.clone(),
    };
    let code = if outcome.is_success() { 0 } else { 1 };
    Ledger { report: Some(parser.read(&output, code)), ..Ledger::default() }
}

/// A report for each test; the first that failed tells what the session wrote, where that is `shown`.
fn reports(
    lines: &[grade::Line],
    (outcome, spec, confirmed): (&Outcome, &RunSpec, bool),
    mut shown: bool,
    budget: &mut HeadBudget,
) -> Vec<Option<TestReport>> {
    let mut report = |line: &grade::Line| {
        let verdict = line.verdict?;
        let report = TestReport::of_line(verdict, line, (outcome, spec.bounds()), confirmed);
        if !shown || verdict == Verdict::Accepted {
            return Some(report);
        }
        shown = false;
        Some(report.with_stderr(&outcome.stderr, budget))
    };
    lines.iter().map(&mut report).collect()
}
