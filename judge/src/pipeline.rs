//! The flow of one submission: plan, compile, run, grade, reward.
//!
//! What the program does wrong becomes a verdict. What we do wrong becomes a [`JudgeFailure`]:
//! logged here once, tried again once where another slot may help, and never a verdict.

use std::borrow::Cow;
use std::sync::Arc;

use sandbox::spec::{InputFile, SpecError};
use sandbox::{Error, Outcome};
use tokio::sync::{RwLock, RwLockReadGuard};
use tracing::Instrument;

use crate::assertion::Secrets;
use crate::companions::{Companions, Looked, Pair};
use crate::compile::{self, Compiled};
use crate::grade::checker::{CheckerFault, Marks};
use crate::grade::{self, Flag, Grade, Mark, Secret, Verdict, score};
use crate::interact::{self, Side};
use crate::limits::ATTEMPTS_MAX;
use crate::plan::{self, CompileStage, Moment, Plan, RunPlan, TestStage};
use crate::problem::Task;
use crate::report::{
    CompileReport, FailureKind, HeadBudget, JudgeFailure, Judgement, Report, Retry, RunReport,
    TestReport,
};
use crate::reward_model::RewardModels;
use crate::run::Runner;
use crate::schedule::Flow;
use crate::slots::Slots;
use crate::stats::Stats;
use crate::store::{Cache, Keep, Source};
use crate::submission::{AfterFailure, Code, ValidRun, ValidSubmission};
use crate::task::RewardModelNames;
use crate::telemetry::{Metrics, Stage};

mod confirm;
mod suites;

/// Judges submissions in slots.
#[derive(Clone, Debug)]
pub struct Judge {
    slots: Arc<dyn Slots>,
    metrics: Arc<Metrics>,
    reward_models: Arc<RewardModels>,
    caches: Arc<Caches>,
    /// Runs share it; one that must be alone has it to itself.
    alone: Arc<RwLock<()>>,
    stats: Arc<Stats>,
}

/// What was found before.
#[derive(Debug)]
pub struct Caches {
    /// Verdicts of equal submissions.
    pub verdicts: Cache<Arc<Judgement>>,
    /// Compiled programs.
    pub artifacts: Cache<Compiled>,
    /// Generated inputs and answers.
    pub generated: Cache<Pair>,
}

/// Bytes that each cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBytes {
    /// Verdicts.
    pub verdicts: usize,
    /// Compiled programs.
    pub artifacts: usize,
    /// Generated inputs and answers.
    pub generated: usize,
}

impl Caches {
    /// Caches that keep nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(CacheBytes { verdicts: 0, artifacts: 0, generated: 0 })
    }

    /// Empty caches.
    #[must_use]
    pub fn new(bytes: CacheBytes) -> Self {
        Self {
            verdicts: Cache::new(bytes.verdicts),
            artifacts: Cache::new(bytes.artifacts),
            generated: Cache::new(bytes.generated),
        }
    }
}

/// Why a submission could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] Error),
    /// The problem did: its checker, its interactor, its generator.
    #[error("the problem failed: {0}")]
    Problem(String),
}

impl From<SpecError> for Trouble {
    fn from(error: SpecError) -> Self {
        Self::Sandbox(error.into())
    }
}

impl From<CheckerFault> for Trouble {
    fn from(fault: CheckerFault) -> Self {
        Self::Problem(fault.to_string())
    }
}

impl Judge {
    /// A judge that runs programs in `slots`.
    #[must_use]
    pub fn new(slots: Arc<dyn Slots>, metrics: Arc<Metrics>, caches: Caches) -> Self {
        let (caches, alone, stats) = (Arc::new(caches), Arc::default(), Arc::default());
        Self { slots, metrics, reward_models: Arc::default(), caches, alone, stats }
    }

    /// The same judge, with reward models to ask.
    #[must_use]
    pub fn with_reward_models(mut self, reward_models: RewardModels) -> Self {
        self.reward_models = Arc::new(reward_models);
        self
    }

    /// The same judge, whose programs run on behalf of `flow`.
    #[must_use]
    pub fn on_behalf(mut self, flow: &Flow) -> Self {
        if let Some(slots) = self.slots.on_behalf(flow) {
            self.slots = slots;
        }
        self
    }

    /// What the slots are doing.
    #[must_use]
    pub fn slots(&self) -> &dyn Slots {
        &*self.slots
    }

    /// What the operator is told.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What was found before.
    #[must_use]
    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    /// Held by a run that others may run beside.
    pub async fn beside_others(&self) -> RwLockReadGuard<'_, ()> {
        self.alone.read().await
    }

    /// Judges one submission. Dropping the future ends what runs.
    pub async fn judge(&self, submission: &ValidSubmission) -> Report {
        let id = submission.id.as_deref().unwrap_or_default();
        let language = submission.language.name.as_str();
        let span = tracing::info_span!("submission", id, index = submission.index, language);
        let found = self.judge_or_remember(submission).instrument(span).await;
        self.metrics.judged(found.as_ref().map(|(judgement, _)| judgement.verdict).ok());
        let cached = found.as_ref().is_ok_and(|(_, source)| *source != Source::Found);
        let judgement = found.map(|(judgement, _)| Arc::unwrap_or_clone(judgement));
        let mut report = Report::new(submission.id.clone(), submission.index, judgement);
        report.extraction = match &submission.code {
            Code::Source(_) => None,
            Code::Completion(extraction) => Some(extraction.rule.name()),
        };
        (report.reply, report.cached) = (submission.reply, cached);
        report.runtime = Some(submission.language.runtime);
        report
    }

    /// Reward models that may be asked.
    #[must_use]
    pub fn reward_model_names(&self) -> &RewardModelNames {
        self.reward_models.names()
    }

    /// Who is asked where no rule decides.
    pub(crate) fn reward_models(&self) -> &RewardModels {
        &self.reward_models
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    async fn judge_or_remember(
        &self,
        submission: &ValidSubmission,
    ) -> Result<(Arc<Judgement>, Source), JudgeFailure> {
        let find = || async { self.judge_with_retries(submission).await.map(Arc::new) };
        let Some(identity) = submission.identity else {
            return Ok((find().await?, Source::Found));
        };
        let keep = |judgement: &Arc<Judgement>| match judgement.is_repeatable() {
            true if !submission.may_vary() => Keep::Bytes(judgement.bytes()),
            true | false => Keep::No,
        };
        let found = self.caches.verdicts.get(identity, keep, find).await?;
        self.metrics.remembered("verdicts", found.1, self.caches.verdicts.bytes());
        Ok(found)
    }

    /// Runs one program without judging it.
    ///
    /// # Errors
    /// We failed.
    pub async fn run(&self, run: &ValidRun) -> Result<RunReport, JudgeFailure> {
        let plan = plan::plan_run(run).map_err(|error| self.failed(&error.into()))?;
        self.with_retries(|| self.attempt_run(&plan)).await
    }

    async fn judge_with_retries(
        &self,
        submission: &ValidSubmission,
    ) -> Result<Judgement, JudgeFailure> {
        self.with_retries(|| async {
            let secrets = secrets()?;
            if let Task::Suite(suite) = &submission.problem.task {
                return self.attempt_suite(submission, suite, &secrets).await;
            }
            match plan::plan(submission, &secrets)? {
                Some(plan) => self.attempt(&plan).await,
                None => Ok(no_code(submission)),
            }
        })
        .await
    }

    /// Tries again where the error says that another slot may do better.
    pub(crate) async fn with_retries<T, F: Future<Output = Result<T, Trouble>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, JudgeFailure> {
        let mut attempts = 1;
        loop {
            let failure = match attempt().await {
                Ok(result) => return Ok(result),
                Err(error) => self.failed(&error),
            };
            match failure.retry {
                Retry::Now if attempts < ATTEMPTS_MAX => attempts += 1,
                Retry::Now | Retry::Later | Retry::Never => return Err(failure),
            }
            self.metrics.retried();
        }
    }

    async fn attempt(&self, plan: &Plan) -> Result<Judgement, Trouble> {
        let mut budget = HeadBudget::default();
        let mut files = plan.box_files.clone();
        let mut compile = None;
        if let Some(stage) = &plan.compile {
            let compiled = self.compile(stage).await?;
            compile = Some(CompileReport::new(&compiled, &mut budget));
            match compiled.artifacts {
                Ok(artifacts) => files.extend(artifacts),
                Err(_) => return Ok(Judgement::not_compiled(compile, &plan.groups)),
            }
        }
        let mut tests = Tests {
            judge: self,
            plan,
            files: &files,
            helpers: Companions::new(self, &plan.helpers),
            runner: None,
            confirmed: false,
            flags: plan.flags.clone(),
        };
        let reports = tests.run_all(&mut budget).await?;
        let mut flags = tests.flags;
        flags.sort_unstable();
        flags.dedup();
        Ok(Judgement::of(reports, compile, flags, &plan.groups))
    }

    /// Compiles, unless the same was compiled before.
    ///
    /// # Errors
    /// The slot failed.
    pub async fn compile(&self, stage: &CompileStage) -> Result<Compiled, Trouble> {
        let timer = self.metrics.stage(Stage::Compile);
        let span = tracing::info_span!("stage", stage = "compile");
        let keep = |compiled: &Compiled| compiled.keep();
        let find = || compile::compile_all(self.slots(), stage);
        let found = self.caches.artifacts.get(stage.identity, keep, find).instrument(span).await?;
        timer.observe_duration();
        self.metrics.remembered("artifacts", found.1, self.caches.artifacts.bytes());
        Ok(found.0)
    }

    async fn attempt_run(&self, plan: &RunPlan) -> Result<RunReport, Trouble> {
        let mut budget = HeadBudget::default();
        let mut files = plan.box_files.clone();
        let mut compile = None;
        if let Some(stage) = &plan.compile {
            let compiled = self.compile(stage).await?;
            compile = Some(CompileReport::new(&compiled, &mut budget));
            match compiled.artifacts {
                Ok(artifacts) => files.extend(artifacts),
                Err(_) => return Ok(RunReport { runtime: plan.runtime, ran: None, compile }),
            }
        }
        let mut runner = Runner::new(self.slots(), plan.place(), &files).await?;
        let outcome = runner.run(&plan.spec).await?;
        let stdout = budget.take(&outcome.stdout);
        let stderr = budget.take(&outcome.stderr);
        let ran = Some((outcome.termination, outcome.usage, stdout, stderr));
        Ok(RunReport { runtime: plan.runtime, ran, compile })
    }

    /// Logs a failure of ours, counts it, and words it for the client.
    fn failed(&self, error: &Trouble) -> JudgeFailure {
        let failure = failure(error);
        self.metrics.failed(error_kind(error));
        tracing::error!(%error, retry = ?failure.retry, "the judge failed");
        failure
    }
}

/// The tests of one attempt.
struct Tests<'a> {
    judge: &'a Judge,
    plan: &'a Plan,
    files: &'a [InputFile],
    helpers: Companions<'a>,
    /// Held from test to test, but never while a helper runs: who holds a slot must not wait for one.
    runner: Option<Runner>,
    /// Whether a limit was confirmed by a run alone; the next need not be.
    confirmed: bool,
    flags: Vec<Flag>,
}

/// One run, graded.
struct Graded {
    outcome: Outcome,
    grade: Grade,
    confirmed: bool,
    transcript: Option<bytes::Bytes>,
}

impl Tests<'_> {
    async fn run_all(
        &mut self,
        budget: &mut HeadBudget,
    ) -> Result<Vec<Option<TestReport>>, Trouble> {
        let plan = self.plan;
        let mut reports = Vec::with_capacity(plan.tests.len());
        let mut marks: Vec<Option<Mark>> = Vec::with_capacity(plan.tests.len());
        let mut stopped = false;
        for (at, test) in plan.tests.iter().enumerate() {
            if stopped || !score::is_due(&plan.groups, &plan.infos, &marks, at) {
                reports.push(None);
                marks.push(None);
                continue;
            }
            let span = tracing::info_span!("stage", stage = "run", test = at);
            let points = plan.infos[at].points;
            let pair = self.pair_of(test).await?;
            let graded = self.run_one(test, &pair, points).instrument(span).await?;
            self.flags.extend(graded.grade.flags.iter().copied());
            let report = TestReport::new(graded.outcome, graded.grade, test.spec.bounds(), budget)
                .with_info(&plan.infos[at], graded.confirmed)
                .with_data(&pair, graded.transcript, budget);
            stopped =
                report.verdict != Verdict::Accepted && plan.after_failure == AfterFailure::Stop;
            marks.push(Some(report.mark()));
            reports.push(Some(report));
        }
        self.runner = None;
        Ok(reports)
    }

    async fn pair_of(&mut self, test: &TestStage) -> Result<Pair, Trouble> {
        if matches!(test.data, crate::problem::Data::Generated { .. }) {
            self.runner = None;
        }
        self.helpers.pair(&test.data).await
    }

    async fn run_one(
        &mut self,
        test: &TestStage,
        pair: &Pair,
        points: f64,
    ) -> Result<Graded, Trouble> {
        let timer = self.judge.metrics.stage(Stage::Run);
        let looked = Looked { pair, output: bytes::Bytes::new(), points };
        match &test.helper {
            Some((used, Moment::Meanwhile)) => {
                self.runner = None;
                let graded = self.converse(test, used, &looked).await?;
                timer.observe_duration();
                Ok(graded)
            }
            None | Some((_, Moment::After)) => {
                let (outcome, confirmed) = self.run_program(test, pair).await?;
                timer.observe_duration();
                let timer = self.judge.metrics.stage(Stage::Grade);
                let patterns = &self.plan.patterns;
                let mut grade = grade::grade(&test.check, &pair.answer, patterns, &outcome)?;
                if let Some((used, Moment::After)) = &test.helper
                    && grade.verdict == Verdict::Accepted
                {
                    self.runner = None;
                    let output = outcome.stdout.bytes.clone();
                    let marks = self.helpers.check(used, &Looked { output, ..looked }).await?;
                    grade = Grade::marked(marks, grade.stdout);
                }
                timer.observe_duration();
                Ok(Graded { outcome, grade, confirmed, transcript: None })
            }
        }
    }

    /// Runs the program; a time limit that it met while the machine was busy is looked at again, alone.
    async fn run_program(
        &mut self,
        test: &TestStage,
        pair: &Pair,
    ) -> Result<(Outcome, bool), Trouble> {
        let spec = test.spec.clone().stdin(pair.input.clone())?;
        let mut runner = match self.runner.take() {
            Some(runner) => runner,
            None => {
                let wait = self.judge.metrics.stage(Stage::Lease);
                let place = self.plan.place();
                let runner = Runner::new(self.judge.slots(), place, self.files).await?;
                wait.observe_duration();
                runner
            }
        };
        let (outcome, confirmed) =
            self.judge.run_confirmed(&mut runner, spec, self.confirmed).await?;
        self.confirmed |= confirmed && confirm::is_late(&outcome);
        self.runner = Some(runner);
        Ok((outcome, confirmed))
    }

    async fn converse(
        &self,
        test: &TestStage,
        used: &crate::problem::HelperUse,
        looked: &Looked<'_>,
    ) -> Result<Graded, Trouble> {
        let bounds = test.spec.bounds();
        let side = Side {
            place: self.plan.place(),
            spec: &test.spec,
            files: self.files,
            output_max: bounds.output.0,
            wall_time: bounds.wall_time,
        };
        let _shared = self.judge.beside_others().await;
        let talk = interact::talk(self.judge.slots(), side, &self.helpers, used, looked).await?;
        let mut grade = grade::grade(&test.check, &[], &self.plan.patterns, &talk.outcome)?;
        let refused = talk.decided_first && !talk.marks.accepted;
        if grade.verdict == Verdict::Accepted || refused {
            grade = Grade::marked(talk.marks, grade.stdout);
        } else if grade.message.is_none() {
            let Marks { feedback, .. } = talk.marks;
            grade.message = feedback;
        }
        Ok(Graded {
            outcome: talk.outcome,
            grade,
            confirmed: false,
            transcript: Some(talk.transcript),
        })
    }
}

fn failure(trouble: &Trouble) -> JudgeFailure {
    match trouble {
        Trouble::Sandbox(error) => sandbox_failure(error),
        Trouble::Problem(reason) => JudgeFailure {
            class: FailureKind::Judge,
            retry: Retry::Never,
            message: Cow::Owned(format!("the problem failed: {reason}")),
        },
    }
}

/// Which failure an error of the sandbox is, and whether another slot may do better.
#[must_use]
pub fn sandbox_failure(error: &Error) -> JudgeFailure {
    let infrastructure = |retry, message: &'static str| JudgeFailure {
        class: FailureKind::Infrastructure,
        retry,
        message: Cow::Borrowed(message),
    };
    match error {
        Error::Slot { .. } | Error::Launch { .. } | Error::Io { .. } => {
            infrastructure(Retry::Now, "a slot failed; the submission was not judged")
        }
        Error::Build { .. } | Error::Cgroup { .. } => {
            infrastructure(Retry::Later, "a slot could not be made; the submission was not judged")
        }
        Error::EntryMissing | Error::Unfit { .. } => {
            infrastructure(Retry::Never, "this host cannot run programs in isolation")
        }
        Error::Spec(_) => {
            infrastructure(Retry::Never, "the sandbox refused what the judge planned")
        }
        Error::Closed => JudgeFailure {
            class: FailureKind::Shutdown,
            retry: Retry::Later,
            message: Cow::Borrowed("the service stopped before the submission was judged"),
        },
    }
}

fn error_kind(trouble: &Trouble) -> &'static str {
    let error = match trouble {
        Trouble::Sandbox(error) => error,
        Trouble::Problem(_) => return "problem",
    };
    match error {
        Error::EntryMissing => "entry_missing",
        Error::Unfit { .. } => "unfit",
        Error::Build { .. } => "build",
        Error::Launch { .. } => "launch",
        Error::Slot { .. } => "slot",
        Error::Cgroup { .. } => "cgroup",
        Error::Io { .. } => "io",
        Error::Spec(_) => "spec",
        Error::Closed => "closed",
    }
}

fn no_code(submission: &ValidSubmission) -> Judgement {
    let points = score::points(&submission.problem.groups, &[]);
    Judgement::bare(Verdict::WrongAnswer, vec![Flag::NoCode], points)
}

fn secrets() -> Result<Secrets, Error> {
    Ok(Secrets { proof: secret()?, entry: secret()? })
}

fn secret() -> Result<Secret, Error> {
    let mut random = [0; grade::proof::SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| Error::Io {
        operation: "draw random bytes".into(),
        source: std::io::Error::other(error),
    })?;
    Ok(Secret::new(random))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sandbox::Outcome;
    use sandbox::outcome::{Captured, Collected, Termination, Usage};

    use super::*;
    use crate::plan::tests::valid;
    use crate::slots::scripted::ScriptedSlots;

    fn exited(code: i32, stdout: &'static str) -> Outcome {
        Outcome {
            termination: Termination::Exited { code },
            usage: Usage::default(),
            stdout: Captured { bytes: Bytes::from_static(stdout.as_bytes()), truncated: false },
            stderr: Captured::default(),
            files: vec![Collected::File(Bytes::from_static(b"program"))],
        }
    }

    fn slot_failed() -> Error {
        Error::Slot { slot: 0, step: "run", reason: "it is gone".into() }
    }

    async fn judge(
        json: &str,
        script: Vec<Result<Outcome, Error>>,
    ) -> (protocol::SubmissionResult, usize) {
        let slots = ScriptedSlots::new(script);
        let leases = Arc::clone(&slots.leases);
        let metrics = Arc::new(Metrics::new().unwrap());
        let judge = Judge::new(Arc::new(slots), metrics, Caches::none());
        let result = judge.judge(&valid(json)).await.to_wire();
        let leases = *leases.lock().unwrap();
        (result, leases)
    }

    fn two_tests(language: &str, more: &str) -> String {
        format!(
            r#"{{"language":"{language}","source":"x",{more}"problem":{{"kind":"stdio",
            "tests":[{{"stdout":"1"}},{{"stdout":"2"}}]}}}}"#
        )
    }

    #[tokio::test]
    async fn all_tests_share_one_lease_and_all_must_be_accepted() {
        let script = vec![Ok(exited(0, "1")), Ok(exited(0, "2"))];
        let (result, leases) = judge(&two_tests("python", ""), script).await;
        assert_eq!((result.verdict, leases), (Some(protocol::Verdict::Accepted), 1));
        let script = vec![Ok(exited(0, "1")), Ok(exited(0, "3"))];
        let (result, _) = judge(&two_tests("python", ""), script).await;
        assert_eq!(result.verdict, Some(protocol::Verdict::WrongAnswer));
        assert_eq!(result.reward, Some(0.0));
    }

    #[tokio::test]
    async fn tests_after_a_failed_one_are_skipped_only_where_asked() {
        let script = vec![Ok(exited(0, "9")), Ok(exited(0, "2"))];
        let (result, _) = judge(&two_tests("python", ""), script).await;
        assert_eq!(result.tests[1].verdict, Some(protocol::Verdict::Accepted));
        let script = vec![Ok(exited(0, "9"))];
        let (result, _) = judge(&two_tests("python", r#""stop_early":true,"#), script).await;
        assert!(result.tests[1].skipped);
        assert_eq!(result.tests[1].verdict, None);
        assert_eq!(result.verdict, Some(protocol::Verdict::WrongAnswer));
    }

    #[tokio::test]
    async fn a_program_is_compiled_once() {
        let script = vec![Ok(exited(0, "")), Ok(exited(0, "1")), Ok(exited(0, "2"))];
        let (result, leases) = judge(&two_tests("c", ""), script).await;
        assert_eq!((result.verdict, leases), (Some(protocol::Verdict::Accepted), 2));
        assert!(result.compile.unwrap().ok);
    }

    #[tokio::test]
    async fn a_program_that_does_not_compile_is_not_run() {
        let (result, leases) = judge(&two_tests("c", ""), vec![Ok(exited(1, ""))]).await;
        assert_eq!((result.verdict, leases), (Some(protocol::Verdict::CompileError), 1));
        assert_eq!((result.reward, result.valid), (Some(0.0), true));
        assert!(result.compile.unwrap().message.unwrap().contains("exit code 1"));
    }

    #[tokio::test]
    async fn a_failed_slot_is_tried_again_once_and_is_never_a_verdict() {
        let script = vec![Err(slot_failed()), Ok(exited(0, "1")), Ok(exited(0, "2"))];
        let (result, leases) = judge(&two_tests("python", ""), script).await;
        assert_eq!((result.verdict, leases), (Some(protocol::Verdict::Accepted), 2));
        let script = vec![Err(slot_failed()), Err(slot_failed())];
        let (result, leases) = judge(&two_tests("python", ""), script).await;
        assert_eq!((result.reward, result.valid, result.verdict), (None, false, None));
        assert_eq!(result.failure.unwrap().class, protocol::FailureClass::Infrastructure);
        assert_eq!(leases, 2);
    }

    #[tokio::test]
    async fn a_closed_pool_is_not_tried_again() {
        let (result, leases) = judge(&two_tests("python", ""), vec![Err(Error::Closed)]).await;
        let failure = result.failure.unwrap();
        assert_eq!((failure.class, failure.retryable), (protocol::FailureClass::Shutdown, true));
        assert_eq!(leases, 1);
    }

    #[tokio::test]
    async fn leaving_before_the_assertions_earns_nothing() {
        let json = r#"{"language":"python","source":"exit()","problem":
            {"kind":"assertions","code":"assert False"}}"#;
        let (result, _) = judge(json, vec![Ok(exited(0, "anything"))]).await;
        assert_eq!(result.verdict, Some(protocol::Verdict::WrongAnswer));
        assert_eq!((result.reward, result.flags), (Some(0.0), vec!["incomplete".to_owned()]));
    }

    #[tokio::test]
    async fn a_completion_without_code_is_wrong_and_runs_nothing() {
        let json = r#"{"language":"python","completion":"I do not know.","problem":
            {"kind":"assertions","code":"assert True"}}"#;
        let (result, leases) = judge(json, vec![]).await;
        assert_eq!((result.reward, leases), (Some(0.0), 0));
        assert_eq!(result.flags, ["no_code"]);
        assert_eq!(result.extraction.unwrap().rule, "no_fence");
    }
}
