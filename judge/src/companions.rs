//! The programs of a problem at work: generators and checkers, each in slots of its own.
//!
//! A helper sees what the submission wrote; the submission never sees a helper, nor the answer. What a
//! helper does wrong is a failure of the problem, and never a verdict.

use bytes::Bytes;
use sandbox::Outcome;
use sandbox::outcome::Termination;
use sandbox::spec::InputFile;

use crate::grade::checker::Marks;
use crate::grade::exit::Said;
use crate::pipeline::{Judge, Trouble};
use crate::plan::{Digest, HelperPlan, input_files};
use crate::problem::dmoj::normalized;
use crate::problem::{Data, HelperUse};
use crate::run::Runner;
use crate::store::Keep;

/// Input and answer of a test.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    /// What the program reads.
    pub input: Bytes,
    /// What it should write.
    pub answer: Bytes,
}

/// The helpers of one submission, compiled when they are first needed.
#[derive(Debug)]
pub struct Companions<'a> {
    judge: &'a Judge,
    plans: &'a [HelperPlan],
}

/// What a checker looks at.
#[derive(Clone, Debug)]
pub struct Looked<'a> {
    /// Input and answer.
    pub pair: &'a Pair,
    /// What the submission wrote.
    pub output: Bytes,
    /// What the test is worth.
    pub points: f64,
}

impl<'a> Companions<'a> {
    /// The helpers that were planned.
    #[must_use]
    pub fn new(judge: &'a Judge, plans: &'a [HelperPlan]) -> Self {
        Self { judge, plans }
    }

    /// The plan of a helper.
    ///
    /// # Errors
    /// There is none, which readers rule out.
    pub fn plan(&self, helper: usize) -> Result<&'a HelperPlan, Trouble> {
        self.plans.get(helper).ok_or_else(|| Trouble::Problem("it lacks a program".to_owned()))
    }

    /// The files that a helper runs with.
    ///
    /// # Errors
    /// It does not compile.
    pub async fn files(&self, plan: &HelperPlan) -> Result<Vec<InputFile>, Trouble> {
        let mut files = plan.box_files.clone();
        if let Some(stage) = &plan.compile {
            let compiled = self.judge.compile(stage).await?;
            match compiled.artifacts {
                Ok(artifacts) => files.extend(artifacts),
                Err(reason) => {
                    let said = String::from_utf8_lossy(&compiled.stderr.bytes);
                    let said: String = said.chars().take(500).collect();
                    let reason = format!("a program of it was not compiled: {reason}: {said}");
                    return Err(Trouble::Problem(reason));
                }
            }
        }
        Ok(files)
    }

    async fn run(
        &self,
        plan: &HelperPlan,
        args: &[String],
        stdin: Bytes,
        files: Vec<InputFile>,
    ) -> Result<Outcome, Trouble> {
        let box_files = self.files(plan).await?;
        let spec = plan.spec(args, stdin, files)?;
        let mut runner = Runner::new(self.judge.slots(), plan.place(), &box_files).await?;
        let _shared = self.judge.beside_others().await;
        Ok(runner.run(&spec).await?)
    }

    /// Input and answer of a test, made where they are not given.
    ///
    /// # Errors
    /// The generator failed.
    pub async fn pair(&self, data: &Data) -> Result<Pair, Trouble> {
        match data {
            Data::Given { stdin, answer } => {
                Ok(Pair { input: stdin.clone(), answer: answer.clone() })
            }
            Data::Generated { helper, args, stdin, input, answer, text } => {
                let made = self.generated(self.plan(*helper)?, args, stdin).await?;
                let normal = |made: Bytes| if *text { normalized(&made) } else { made };
                Ok(Pair {
                    input: input.clone().unwrap_or_else(|| normal(made.input)),
                    answer: answer.clone().unwrap_or_else(|| normal(made.answer)),
                })
            }
        }
    }

    async fn generated(
        &self,
        plan: &HelperPlan,
        args: &[String],
        stdin: &Bytes,
    ) -> Result<Pair, Trouble> {
        let mut digest = Digest::new("generated");
        digest.add(&plan.identity.0);
        args.iter().for_each(|argument| digest.add(argument.as_bytes()));
        digest.add(stdin);
        let keep = |pair: &Pair| Keep::Bytes(pair.input.len() + pair.answer.len() + 256);
        let find = || async {
            let outcome = self.run(plan, args, stdin.clone(), Vec::new()).await?;
            if !outcome.is_success() {
                return Err(failed("the generator", &outcome));
            }
            Ok(Pair { input: outcome.stdout.bytes, answer: outcome.stderr.bytes })
        };
        let (pair, _) = self.judge.caches().generated.get(digest.finish(), keep, find).await?;
        Ok(pair)
    }

    /// What a checker says.
    ///
    /// # Errors
    /// The checker failed.
    pub async fn check(&self, used: &HelperUse, looked: &Looked<'_>) -> Result<Marks, Trouble> {
        let files = [
            ("input.txt".to_owned(), looked.pair.input.clone()),
            ("output.txt".to_owned(), looked.output.clone()),
            ("answer.txt".to_owned(), looked.pair.answer.clone()),
        ];
        let args = arguments(used, looked.points);
        let plan = self.plan(used.helper)?;
        let outcome = self.run(plan, &args, Bytes::new(), input_files(&files)?).await?;
        let Termination::Exited { code } = outcome.termination else {
            return Err(failed("the checker", &outcome));
        };
        let stdout = String::from_utf8_lossy(&outcome.stdout.bytes);
        let stderr = String::from_utf8_lossy(&outcome.stderr.bytes);
        let said = if stdout.trim().is_empty() { &stderr } else { &stdout };
        let said: String = said.chars().take(1000).collect();
        let feedback = used.feedback.then_some(said.as_str());
        let said = Said { code, stdout: &stdout, stderr: &stderr, feedback, points: looked.points };
        Ok(used.convention.marks(&said)?)
    }
}

/// The arguments of a helper, with the names of its files.
#[must_use]
pub fn arguments(used: &HelperUse, points: f64) -> Vec<String> {
    let fill = |argument: &String| {
        argument
            .replace("{input}", "input.txt")
            .replace("{output}", "output.txt")
            .replace("{answer}", "answer.txt")
            .replace("{points}", &points.to_string())
    };
    used.args.iter().map(fill).collect()
}

/// How a helper failed.
#[must_use]
pub fn failed(what: &str, outcome: &Outcome) -> Trouble {
    let how = match outcome.termination {
        Termination::Exited { code } => format!("ended with exit code {code}"),
        Termination::Signalled { signal } => format!("was ended by signal {signal}"),
        Termination::CpuTimeLimit => "met its limit of cpu time".to_owned(),
        Termination::WallTimeLimit => "met its limit of wall time".to_owned(),
        Termination::MemoryLimit => "met its limit of memory".to_owned(),
        Termination::OutputLimit => "met its limit of output".to_owned(),
    };
    let said = String::from_utf8_lossy(&outcome.stderr.bytes);
    let said: String = said.trim().chars().take(300).collect();
    Trouble::Problem(format!("{what} {how}: {said}"))
}
