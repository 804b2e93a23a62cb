//! The flow of one submission: plan, compile, run, grade, reward.
//!
//! What the program does wrong becomes a verdict. What we do wrong becomes a [`JudgeFailure`]:
//! logged here once, tried again once where another slot may help, and never a verdict.

use std::sync::Arc;

use sandbox::Error;
use tracing::Instrument;

use crate::assertion::Secrets;
use crate::compile::{self, Compiled};
use crate::grade::{self, Flag, Secret, Verdict};
use crate::limits::ATTEMPTS_MAX;
use crate::plan::{self, CompileStage, Plan, RunPlan};
use crate::report::{
    CompileReport, FailureKind, HeadBudget, JudgeFailure, Judgement, Report, Retry, RunReport,
    TestReport,
};
use crate::run::Runner;
use crate::slots::Slots;
use crate::submission::{AfterFailure, Code, ValidRun, ValidSubmission};
use crate::task::RewardModelNames;
use crate::telemetry::{Metrics, Stage};

/// Judges submissions in slots.
#[derive(Clone, Debug)]
pub struct Judge {
    slots: Arc<dyn Slots>,
    metrics: Arc<Metrics>,
    reward_models: Arc<RewardModelNames>,
}

impl Judge {
    /// A judge that runs programs in `slots`.
    #[must_use]
    pub fn new(slots: Arc<dyn Slots>, metrics: Arc<Metrics>) -> Self {
        Self { slots, metrics, reward_models: Arc::default() }
    }

    /// What the slots are doing.
    #[must_use]
    pub fn slots(&self) -> &dyn Slots {
        &*self.slots
    }

    /// Judges one submission. Dropping the future ends what runs.
    pub async fn judge(&self, submission: &ValidSubmission) -> Report {
        let id = submission.id.as_deref().unwrap_or_default();
        let language = submission.language.name.as_str();
        let span = tracing::info_span!("submission", id, index = submission.index, language);
        let judgement = self.judge_with_retries(submission).instrument(span).await;
        self.metrics.judged(judgement.as_ref().map(|judgement| judgement.verdict).ok());
        let mut report = Report::new(submission.id.clone(), submission.index, judgement);
        report.extraction = match &submission.code {
            Code::Source(_) => None,
            Code::Completion(extraction) => Some(extraction.rule.name()),
        };
        report
    }

    /// Reward models that may be asked.
    #[must_use]
    pub fn reward_model_names(&self) -> &RewardModelNames {
        &self.reward_models
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Runs one program without judging it.
    ///
    /// # Errors
    /// We failed.
    pub async fn run(&self, run: &ValidRun) -> Result<RunReport, JudgeFailure> {
        let plan = plan::plan_run(run).map_err(|error| self.failed(&Error::Spec(error)))?;
        self.with_retries(|| self.attempt_run(&plan)).await
    }

    async fn judge_with_retries(
        &self,
        submission: &ValidSubmission,
    ) -> Result<Judgement, JudgeFailure> {
        self.with_retries(|| async {
            let secrets = secrets()?;
            match plan::plan(submission, &secrets)? {
                Some(plan) => self.attempt(&plan).await,
                None => Ok(no_code()),
            }
        })
        .await
    }

    /// Tries again where the error says that another slot may do better.
    async fn with_retries<T, F: Future<Output = Result<T, Error>>>(
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

    async fn attempt(&self, plan: &Plan) -> Result<Judgement, Error> {
        let mut budget = HeadBudget::default();
        let mut files = plan.box_files.clone();
        let mut compile = None;
        if let Some(stage) = &plan.compile {
            let compiled = self.compile(stage).await?;
            compile = Some(CompileReport::new(&compiled, &mut budget));
            match compiled.artifacts {
                Ok(artifacts) => files.extend(artifacts),
                Err(_) => return Ok(not_compiled(compile)),
            }
        }
        let (tests, flags) = self.run_tests(plan, &files, &mut budget).await?;
        let verdict = grade::overall(tests.iter().flatten().map(|test| test.verdict));
        Ok(Judgement { verdict, tests, compile, flags })
    }

    async fn compile(&self, stage: &CompileStage) -> Result<Compiled, Error> {
        let timer = self.metrics.stage(Stage::Compile);
        let span = tracing::info_span!("stage", stage = "compile");
        let compiled = compile::compile(self.slots(), stage).instrument(span).await?;
        timer.observe_duration();
        Ok(compiled)
    }

    async fn run_tests(
        &self,
        plan: &Plan,
        files: &[sandbox::spec::InputFile],
        budget: &mut HeadBudget,
    ) -> Result<(Vec<Option<TestReport>>, Vec<Flag>), Error> {
        let wait = self.metrics.stage(Stage::Lease);
        let mut runner = Runner::new(self.slots(), plan.image.as_ref(), files).await?;
        wait.observe_duration();
        let mut tests = Vec::with_capacity(plan.tests.len());
        let mut flags = Vec::new();
        for test in &plan.tests {
            let timer = self.metrics.stage(Stage::Run);
            let span = tracing::info_span!("stage", stage = "run", test = tests.len());
            let outcome = runner.run(&test.spec).instrument(span).await?;
            timer.observe_duration();
            let timer = self.metrics.stage(Stage::Grade);
            let grade = grade::grade(&test.check, &plan.patterns, &outcome);
            timer.observe_duration();
            let verdict = grade.verdict;
            flags.extend(grade.flag);
            tests.push(Some(TestReport::new(&outcome, grade, budget)));
            if verdict != Verdict::Accepted && plan.after_failure == AfterFailure::Stop {
                break;
            }
        }
        tests.resize_with(plan.tests.len(), || None);
        flags.sort_unstable();
        flags.dedup();
        Ok((tests, flags))
    }

    async fn attempt_run(&self, plan: &RunPlan) -> Result<RunReport, Error> {
        let mut budget = HeadBudget::default();
        let mut files = plan.box_files.clone();
        let mut compile = None;
        if let Some(stage) = &plan.compile {
            let compiled = self.compile(stage).await?;
            compile = Some(CompileReport::new(&compiled, &mut budget));
            match compiled.artifacts {
                Ok(artifacts) => files.extend(artifacts),
                Err(_) => return Ok(RunReport { ran: None, compile }),
            }
        }
        let mut runner = Runner::new(self.slots(), plan.image.as_ref(), &files).await?;
        let outcome = runner.run(&plan.spec).await?;
        let stdout = budget.take(&outcome.stdout);
        let stderr = budget.take(&outcome.stderr);
        Ok(RunReport { ran: Some((outcome.termination, outcome.usage, stdout, stderr)), compile })
    }

    /// Logs a failure of ours, counts it, and words it for the client.
    fn failed(&self, error: &Error) -> JudgeFailure {
        let failure = failure(error);
        self.metrics.failed(error_kind(error));
        tracing::error!(%error, retry = ?failure.retry, "the judge failed");
        failure
    }
}

/// Which failure an error of the sandbox is, and whether another slot may do better.
fn failure(error: &Error) -> JudgeFailure {
    let infrastructure =
        |retry, message| JudgeFailure { class: FailureKind::Infrastructure, retry, message };
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
            message: "the service stopped before the submission was judged",
        },
    }
}

fn error_kind(error: &Error) -> &'static str {
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

fn no_code() -> Judgement {
    Judgement {
        verdict: Verdict::WrongAnswer,
        tests: Vec::new(),
        compile: None,
        flags: vec![Flag::NoCode],
    }
}

fn not_compiled(compile: Option<CompileReport>) -> Judgement {
    Judgement { verdict: Verdict::CompileError, tests: Vec::new(), compile, flags: Vec::new() }
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
        let judge = Judge::new(Arc::new(slots), Arc::new(Metrics::new().unwrap()));
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
