//! Decides what will be run before anything runs. Pure: the random values are handed in.
//!
//! A [`Plan`] has at most one compile stage and one run for each test. All runs of a submission
//! share a lease, so that its files are installed once.

use bytes::Bytes;
use sandbox::spec::{BOX_DIR, CollectFile, FileMode, InputFile, RelativePath, SpecError};
use sandbox::warm::Warmup;
use sandbox::{Image, Limits, RunSpec};

use crate::assertion::{self, Parts, Secrets};
use crate::grade::{Check, FailurePatterns};
use crate::java;
use crate::language::{Language, Recipe};
use crate::limits::{ARTIFACT_BYTES_MAX, COMPILE_LIMITS};
use crate::problem::Problem;
use crate::submission::{self, AfterFailure, ValidRun, ValidSubmission};

/// What will be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What its slots show; `None` for what they show by default.
    pub image: Option<Image>,
    /// Makes the artifacts, where the language is compiled.
    pub compile: Option<CompileStage>,
    /// Files that every run can read; the artifacts come beside them.
    pub box_files: Vec<InputFile>,
    /// The runs, in order.
    pub tests: Vec<TestStage>,
    /// What follows a test that is not accepted.
    pub after_failure: AfterFailure,
    /// How the language's runtime names failures.
    pub patterns: FailurePatterns,
}

/// One compilation.
#[derive(Clone, Debug)]
pub struct CompileStage {
    /// What its slot shows; `None` for what slots show by default.
    pub image: Option<Image>,
    /// The compiler, with the source beside it.
    pub spec: RunSpec,
    /// What it must leave, in the order in which the spec collects it.
    pub artifacts: Vec<RelativePath>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct TestStage {
    /// The program.
    pub spec: RunSpec,
    /// What it must show.
    pub check: Check,
}

/// A program to run without judging.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// What its slots show; `None` for what they show by default.
    pub image: Option<Image>,
    /// Makes the artifacts, where the language is compiled.
    pub compile: Option<CompileStage>,
    /// Files that the program can read.
    pub box_files: Vec<InputFile>,
    /// The program.
    pub spec: RunSpec,
}

/// Plans a submission; `None` where it has no program.
///
/// # Errors
/// A bound of the sandbox that the submission's own checks do not know.
pub fn plan(submission: &ValidSubmission, secrets: &Secrets) -> Result<Option<Plan>, SpecError> {
    let Some(source) = submission.code.source() else {
        return Ok(None);
    };
    let language = &submission.language;
    let mut names = match &submission.problem {
        Problem::Stdio { .. } => Names::of(language, &source, submission.limits),
        // The class that has `main` may begin in the source and end in the assertions.
        Problem::Assertions { code } => {
            Names::of(language, &[&source, code.as_bytes()].concat(), submission.limits)
        }
    };
    let source_name = names.fill(&language.source);
    let program = match (&submission.problem, &language.assertions) {
        (Problem::Assertions { code }, Some((driver, recipe))) => {
            names.entry = secrets.entry_name();
            let parts = Parts { source: &source, source_name: &source_name, assertions: code };
            let assembly = assertion::assemble(*driver, parts, secrets);
            let check = Check::Proof(secrets.proof.clone());
            Program { recipe, files: assembly.files, runs: vec![(assembly.stdin, check)] }
        }
        (Problem::Assertions { .. }, None) => return Ok(None),
        (Problem::Stdio { tests, checker }, _) => {
            let run = |test: &crate::problem::TestCase| {
                let check = Check::Output { checker: *checker, answer: test.answer.clone() };
                (test.stdin.clone(), check)
            };
            let files = vec![(source_name, source)];
            Program { recipe: &language.recipe, files, runs: tests.iter().map(run).collect() }
        }
    };
    let (compile, box_files) = place(language, program.recipe, &program.files, &names)?;
    let base = run_spec(language, program.recipe, &names, &[])?.limits(submission.limits)?;
    let tests = program
        .runs
        .into_iter()
        .map(|(stdin, check)| Ok(TestStage { spec: base.clone().stdin(stdin)?, check }))
        .collect::<Result<_, SpecError>>()?;
    let after_failure = submission.after_failure;
    let patterns = language.patterns.clone();
    let image = language.image.clone();
    Ok(Some(Plan { image, compile, box_files, tests, after_failure, patterns }))
}

/// Plans a program that is run without judging.
///
/// # Errors
/// A bound of the sandbox that the request's own checks do not know.
pub fn plan_run(run: &ValidRun) -> Result<RunPlan, SpecError> {
    let language = &run.language;
    let names = Names::of(language, &run.source, run.limits);
    let files = [(names.fill(&language.source), run.source.clone())];
    let (compile, box_files) = place(language, &language.recipe, &files, &names)?;
    let run_files = input_files(&run.files)?;
    let spec = run_spec(language, &language.recipe, &names, &run.args)?
        .stdin(run.stdin.clone())?
        .files(run_files)?
        .limits(run.limits)?;
    Ok(RunPlan { image: language.image.clone(), compile, box_files, spec })
}

struct Program<'a> {
    recipe: &'a Recipe,
    files: Vec<(String, Bytes)>,
    runs: Vec<(Bytes, Check)>,
}

/// What the placeholders of the table of languages stand for.
struct Names {
    heap_mib: String,
    classes: java::Classes,
    entry: String,
}

impl Names {
    fn of(language: &Language, source: &[u8], limits: Limits) -> Self {
        let classes = if language.source.contains("{class}") {
            java::classes(&String::from_utf8_lossy(source))
        } else {
            java::classes("")
        };
        Self { heap_mib: heap_mib(limits).to_string(), classes, entry: String::new() }
    }

    fn fill(&self, argument: &str) -> String {
        argument
            .replace("{box}", BOX_DIR)
            .replace("{heap_mib}", &self.heap_mib)
            .replace("{entry}", &self.entry)
            .replace("{main_class}", &self.classes.main)
            .replace("{class}", &self.classes.file)
    }
}

/// The part of the memory limit that a runtime may give to objects; the rest is for the runtime.
fn heap_mib(limits: Limits) -> u64 {
    let mib = limits.memory.0 >> 20;
    mib.saturating_sub(128).max(mib / 2).max(1)
}

/// Where files go: beside the compiler where there is one, else where every run can read them.
fn place(
    language: &Language,
    recipe: &Recipe,
    files: &[(String, Bytes)],
    names: &Names,
) -> Result<(Option<CompileStage>, Vec<InputFile>), SpecError> {
    let files = input_files(files)?;
    let Some(argv) = &recipe.compile else {
        return Ok((None, files));
    };
    let artifacts = recipe
        .artifacts
        .iter()
        .map(|name| RelativePath::new(name.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    let collect = artifacts
        .iter()
        .map(|path| CollectFile { path: path.clone(), bytes_max: ARTIFACT_BYTES_MAX });
    let spec = RunSpec::new(argv.iter().map(|argument| names.fill(argument)))?
        .env(environment(language))?
        .files(files)?
        .collect(collect.collect())?
        .limits(submission::apply(&COMPILE_LIMITS, &language.compile_limits))?;
    let image = language.image.clone();
    Ok((Some(CompileStage { image, spec, artifacts }), Vec::new()))
}

fn run_spec(
    language: &Language,
    recipe: &Recipe,
    names: &Names,
    args: &[String],
) -> Result<RunSpec, SpecError> {
    let argv = recipe.run.iter().map(|argument| names.fill(argument)).chain(args.iter().cloned());
    RunSpec::new(argv)?.env(environment(language))
}

/// The runs of a language that can be started from a warm interpreter: of programs without
/// arguments, and of assertions.
#[must_use]
pub fn warmups(language: &Language) -> Vec<Warmup> {
    if language.warm.is_empty() {
        return Vec::new();
    }
    let names = Names::of(language, b"", Limits::default());
    let assertions = language.assertions.as_ref().map(|(_, recipe)| recipe);
    std::iter::once(&language.recipe)
        .chain(assertions)
        .map(|recipe| Warmup {
            argv: recipe.run.iter().map(|argument| names.fill(argument)).collect(),
            env: environment(language),
            preload: language.warm.clone(),
        })
        .collect()
}

/// The whole environment of a program: nothing of ours is inherited. What the image needs replaces what
/// is usual, but for the places that are the slot's; the language has the last word.
fn environment(language: &Language) -> Vec<String> {
    let base = [
        "PATH=/usr/local/bin:/usr/bin:/bin:/opt/rust/bin",
        "HOME=/w",
        "LANG=C.UTF-8",
        "TMPDIR=/tmp",
    ];
    let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let of_image = language.image.iter().flat_map(Image::environment);
    let of_image = of_image.filter(|entry| !matches!(&*name_of(entry), "HOME" | "TMPDIR"));
    let mut entries: Vec<String> = Vec::new();
    for entry in base.into_iter().chain(of_image.map(String::as_str)) {
        entries.retain(|known| name_of(known) != name_of(entry));
        entries.push(entry.to_owned());
    }
    entries.retain(|known| !language.environment.iter().any(|own| name_of(own) == name_of(known)));
    entries.extend(language.environment.clone());
    entries
}

fn input_files(files: &[(String, Bytes)]) -> Result<Vec<InputFile>, SpecError> {
    let input = |(path, content): &(String, Bytes)| {
        let path = RelativePath::new(path.as_str())?;
        Ok(InputFile { path, content: content.clone(), mode: FileMode::Plain })
    };
    files.iter().map(input).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::grade::Secret;
    use crate::grade::proof::SECRET_BYTES;
    use crate::language::Languages;
    use crate::limits::PROGRAM_LIMITS_MAX;
    use crate::submission::Rules;

    pub(crate) fn valid(json: &str) -> ValidSubmission {
        let languages = Languages::resolve(|_| true).unwrap();
        let rules = Rules { languages: &languages, limits_max: &PROGRAM_LIMITS_MAX };
        rules.submission(serde_json::from_str(json).unwrap(), 0).unwrap()
    }

    fn plan_of(json: &str) -> Option<Plan> {
        let secrets = Secrets {
            proof: Secret::new([1; SECRET_BYTES]),
            entry: Secret::new([2; SECRET_BYTES]),
        };
        plan(&valid(json), &secrets).unwrap()
    }

    fn stdio(language: &str) -> String {
        format!(
            r#"{{"language":"{language}","source":"x","problem":
            {{"kind":"stdio","tests":[{{"stdin":"1","stdout":"1"}},{{"stdout":"2"}}]}}}}"#
        )
    }

    #[test]
    fn an_interpreted_program_is_installed_and_run_for_each_test() {
        let plan = plan_of(&stdio("python")).unwrap();
        assert!(plan.compile.is_none());
        assert_eq!(plan.box_files[0].path.as_str(), "solution.py");
        assert_eq!(plan.tests.len(), 2);
    }

    #[test]
    fn a_compiled_program_leaves_only_its_artifacts() {
        let plan = plan_of(&stdio("cpp")).unwrap();
        assert_eq!(plan.compile.unwrap().artifacts[0].as_str(), "program");
        assert!(plan.box_files.is_empty());
    }

    #[test]
    fn no_answer_is_in_any_file_of_a_stdio_problem() {
        let json = r#"{"language":"python","source":"x","problem":
            {"kind":"stdio","tests":[{"stdout":"the answer"}]}}"#;
        let plan = plan_of(json).unwrap();
        assert!(!format!("{:?}", plan.box_files).contains("the answer"));
        assert!(!format!("{:?}", plan.tests[0].spec).contains("the answer"));
    }

    #[test]
    fn a_completion_without_code_has_no_plan() {
        let json = r#"{"language":"python","completion":"no","problem":
            {"kind":"assertions","code":"assert True"}}"#;
        assert!(plan_of(json).is_none());
    }

    #[test]
    fn every_language_has_a_plan_for_every_kind_it_offers() {
        let languages = Languages::resolve(|_| true).unwrap();
        for language in languages.available() {
            assert!(plan_of(&stdio(&language.name)).is_some());
            if language.assertions.is_some() {
                let json = format!(
                    r#"{{"language":"{}","source":"x","problem":
                    {{"kind":"assertions","code":"y"}}}}"#,
                    language.name
                );
                assert_eq!(plan_of(&json).unwrap().tests.len(), 1);
            }
        }
    }

    #[test]
    fn a_runtime_is_left_memory_of_its_own() {
        let heap = |mib| {
            heap_mib(Limits { memory: sandbox::limits::Bytes::mib(mib), ..Limits::default() })
        };
        assert_eq!([heap(4), heap(256), heap(512), heap(1)], [2, 128, 384, 1]);
    }
}
