//! Decides what will be run before anything runs. Pure: the random values are handed in.
//!
//! A [`Plan`] has at most one compile stage and one run for each test. All runs of a submission
//! share a lease, so that its files are installed once.

mod identity;

use bytes::Bytes;
use sandbox::spec::{BOX_DIR, CollectFile, FileMode, InputFile, Memory, RelativePath, SpecError};
use sandbox::warm::Warmup;
use sandbox::wasm::COMPILER;
use sandbox::{Image, Limits, RunSpec};

use crate::assertion::{self, Parts, Secrets};
use crate::call;
use crate::grade::{Check, FailurePatterns, Flag, detect};
use crate::java;
use crate::language::{Language, Recipe};
use crate::limits::{ARTIFACT_BYTES_MAX, COMPILE_LIMITS};
use crate::problem::{Case, Data, Group, Helper, HelperUse, Judging, Signature, Task, TestInfo};
use crate::slots::{Place, Runtime};
use crate::submission::{self, AfterFailure, ValidRun, ValidSubmission};

pub use identity::{Digest, Identity};

/// What will be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What runs it.
    pub runtime: Runtime,
    /// What its slots show; `None` for what they show by default.
    pub image: Option<Image>,
    /// Makes the artifacts, where the language is compiled.
    pub compile: Option<CompileStage>,
    /// Files that every run can read; the artifacts come beside them.
    pub box_files: Vec<InputFile>,
    /// Programs of the problem, each in slots of its own.
    pub helpers: Vec<HelperPlan>,
    /// The runs, in order.
    pub tests: Vec<TestStage>,
    /// What holds for each test.
    pub infos: Vec<TestInfo>,
    /// Which tests are scored together.
    pub groups: Vec<Group>,
    /// What follows a test that is not accepted.
    pub after_failure: AfterFailure,
    /// How the language's runtime names failures.
    pub patterns: FailurePatterns,
    /// What the source alone gives away.
    pub flags: Vec<Flag>,
}

impl Plan {
    /// Where the tests run.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place::of(self.runtime, self.image.as_ref())
    }
}

/// One compilation.
#[derive(Clone, Debug)]
pub struct CompileStage {
    /// What the compiler is.
    pub runtime: Runtime,
    /// What its slot shows; `None` for what slots show by default.
    pub image: Option<Image>,
    /// The compiler, with the source beside it.
    pub spec: RunSpec,
    /// What it must leave, in the order in which the spec collects it.
    pub artifacts: Vec<RelativePath>,
    /// What makes two compilations the same.
    pub identity: Identity,
    /// What is made of the artifacts, where they are not the end.
    pub next: Option<Box<Self>>,
}

impl CompileStage {
    /// Where the compiler runs.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place::of(self.runtime, self.image.as_ref())
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct TestStage {
    /// The program, without its input.
    pub spec: RunSpec,
    /// Its input and answer.
    pub data: Data,
    /// What it must show.
    pub check: Check,
    /// What judges it beside or after us.
    pub helper: Option<(HelperUse, Moment)>,
}

/// When a helper judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the run: a checker.
    After,
    /// Meanwhile: an interactor.
    Meanwhile,
}

/// A program of the problem.
#[derive(Clone, Debug)]
pub struct HelperPlan {
    /// What runs it.
    pub runtime: Runtime,
    /// What its slots show; `None` for what they show by default.
    pub image: Option<Image>,
    /// Makes the artifacts, where its language is compiled.
    pub compile: Option<CompileStage>,
    /// Files that it can read; the artifacts come beside them.
    pub box_files: Vec<InputFile>,
    /// The program, without arguments.
    pub argv: Vec<String>,
    /// What makes two of them the same.
    pub identity: Identity,
    env: Vec<String>,
    limits: Limits,
}

impl HelperPlan {
    /// Where it runs.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place::of(self.runtime, self.image.as_ref())
    }

    /// One run of it.
    ///
    /// # Errors
    /// A bound of the sandbox.
    pub fn spec(
        &self,
        args: &[String],
        stdin: Bytes,
        files: Vec<InputFile>,
    ) -> Result<RunSpec, SpecError> {
        RunSpec::new(self.argv.iter().chain(args))?
            .env(&self.env)?
            .stdin(stdin)?
            .files(files)?
            .limits(self.limits)
    }
}

/// A program to run without judging.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// What runs it.
    pub runtime: Runtime,
    /// What its slots show; `None` for what they show by default.
    pub image: Option<Image>,
    /// Makes the artifacts, where the language is compiled.
    pub compile: Option<CompileStage>,
    /// Files that the program can read.
    pub box_files: Vec<InputFile>,
    /// The program.
    pub spec: RunSpec,
}

impl RunPlan {
    /// Where it runs.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place::of(self.runtime, self.image.as_ref())
    }
}

/// Plans a submission; `None` where it has no program.
///
/// # Errors
/// A bound of the sandbox that the submission's own checks do not know.
pub fn plan(submission: &ValidSubmission, secrets: &Secrets) -> Result<Option<Plan>, SpecError> {
    let Some(source) = submission.code.source() else {
        return Ok(None);
    };
    let language = &*submission.language;
    let problem = &submission.problem;
    let mut names = Names::of(language, &source, submission.limits);
    if matches!(problem.task, Task::Calls(_)) && call::is_driver(&names.classes.file) {
        // Beside the driver there is no second file of its name; the compiler says the rest.
        names.classes.file = "Solution".to_owned();
    }
    if let Task::Assertions { code } = &problem.task {
        // The class that has `main` may begin in the source and end in the assertions.
        let all = [&source, code.as_bytes()].concat();
        names = Names::of(language, &all, submission.limits);
        names.entry = secrets.entry_name();
    }
    // Where the answers must be in the program's process, it has no business in its memory.
    let flags = match &problem.task {
        Task::Assertions { .. } => detect::in_source(&source),
        Task::Stdio(_) | Task::Calls(_) | Task::Suite(_) => Vec::new(),
    };
    let Some(program) = program(submission, source, &names, secrets) else {
        return Ok(None);
    };
    let (compile, box_files) =
        place(language, program.recipe, &program.files, &names, &program.extra)?;
    let memory = match (&problem.task, &language.assertions) {
        (Task::Assertions { .. }, Some((driver, _))) => driver.memory(),
        _ => Memory::Own,
    };
    let base = run_spec(language, program.recipe, &names, &[])?.memory(memory);
    let base = base.limits(submission.limits)?;
    let tests = match &problem.task {
        Task::Stdio(stdio) => {
            let stage = |case| stage(&base, case, submission);
            stdio.cases.iter().map(stage).collect::<Result<_, _>>()?
        }
        Task::Assertions { .. } | Task::Calls(_) | Task::Suite(_) => {
            let stage = |(stdin, check)| TestStage {
                spec: base.clone(),
                data: Data::Given { stdin, answer: Bytes::new() },
                check,
                helper: None,
            };
            program.runs.into_iter().map(stage).collect()
        }
    };
    let helpers = match &problem.task {
        Task::Stdio(stdio) => stdio.helpers.iter().map(helper).collect::<Result<_, _>>()?,
        Task::Assertions { .. } | Task::Calls(_) | Task::Suite(_) => Vec::new(),
    };
    Ok(Some(Plan {
        runtime: language.runtime,
        image: language.image.clone(),
        compile,
        box_files,
        helpers,
        tests,
        infos: problem.tests.clone(),
        groups: problem.groups.clone(),
        after_failure: submission.after_failure,
        patterns: language.patterns.clone(),
        flags,
    }))
}

struct Program<'a> {
    recipe: &'a Recipe,
    files: Vec<(String, Bytes)>,
    /// Arguments that the compiler gets after the source.
    extra: Vec<String>,
    runs: Vec<(Bytes, Check)>,
}

/// What is compiled and run; `None` where the language cannot do it.
fn program<'a>(
    submission: &'a ValidSubmission,
    source: Bytes,
    names: &Names,
    secrets: &Secrets,
) -> Option<Program<'a>> {
    let language = &*submission.language;
    let name = names.fill(&language.source);
    let plain = |files, extra| Program { recipe: &language.recipe, files, extra, runs: Vec::new() };
    Some(match &submission.problem.task {
        Task::Stdio(stdio) => match &stdio.signature {
            Some(signature) => {
                let (files, extra) = signed(language, signature, &source, name, secrets);
                plain(files, extra)
            }
            None => plain(vec![(name, source)], Vec::new()),
        },
        Task::Assertions { code } => {
            let (driver, recipe) = language.assertions.as_ref()?;
            let name = recipe.source.as_ref().map_or(name, |it| names.fill(it));
            let epilogue = &recipe.epilogue;
            let parts = Parts { source: &source, source_name: &name, assertions: code, epilogue };
            let assembly = assertion::assemble(*driver, parts, secrets);
            let runs = vec![(assembly.stdin, Check::Proof(secrets.proof.clone()))];
            Program { recipe, files: assembly.files, extra: Vec::new(), runs }
        }
        Task::Calls(calls) => {
            let (driver, recipe) = language.calls.as_ref()?;
            let run = |one: &crate::problem::Call| {
                let check = Check::Result { rule: calls.rule, expected: one.expected.clone() };
                (call::stdin(*driver, calls, one), check)
            };
            let files = call::files(*driver, &calls.entry, &name, &source);
            let runs = calls.calls.iter().map(run).collect();
            Program { recipe, files, extra: Vec::new(), runs }
        }
        // Planned by `suite::plan`.
        Task::Suite(_) => return None,
    })
}

/// A submission without a `main`, beside the problem's own.
fn signed(
    language: &Language,
    signature: &Signature,
    source: &[u8],
    name: String,
    secrets: &Secrets,
) -> (Vec<(String, Bytes)>, Vec<String>) {
    let extension = language.source.rsplit('.').next().unwrap_or("c");
    let (header, content) = &signature.header;
    let mut text = format!("#include \"{header}\"\n");
    if !signature.allow_main {
        // A name that nobody knows, so that nothing can call or define it.
        text.push_str(&format!("#define main main_{}\n", secrets.entry.as_str()));
    }
    text.push_str("#line 1\n");
    let submission = [text.as_bytes(), source].concat();
    let part = format!("submission.{extension}");
    let files = vec![
        (name, signature.entry.clone()),
        (part.clone(), submission.into()),
        (header.clone(), content.clone()),
    ];
    (files, vec![part, "-DSIGNATURE_GRADER".to_owned()])
}

fn stage(
    base: &RunSpec,
    case: &Case,
    submission: &ValidSubmission,
) -> Result<TestStage, SpecError> {
    let mut limits = submission.limits;
    if let Some(bytes) = case.output_max {
        limits.output = sandbox::limits::Bytes(bytes).min(submission.output_max);
    }
    if let Some(factor) = case.wall_time_factor.filter(|_| !submission.wall_time_is_given) {
        let factor = factor.clamp(1.0, 100.0);
        limits.wall_time =
            limits.cpu_time.mul_f64(factor).min(sandbox::limits::LIMITS_MAX.wall_time);
    }
    let spec = base.clone().limits(limits)?.files(input_files(&case.files)?)?;
    let (check, helper) = match &case.judging {
        Judging::Checker(checker) => (Check::Output { checker: checker.clone() }, None),
        Judging::Program(used) => (Check::Ends, Some((used.clone(), Moment::After))),
        Judging::Interactor(used) => (Check::Ends, Some((used.clone(), Moment::Meanwhile))),
    };
    Ok(TestStage { spec, data: case.data.clone(), check, helper })
}

fn helper(helper: &Helper) -> Result<HelperPlan, SpecError> {
    let language = &*helper.language;
    let names = Names::of(language, &helper.source, helper.limits);
    let mut files = vec![(names.fill(&language.source), helper.source.clone())];
    files.extend(helper.files.iter().cloned());
    let extra: Vec<String> = helper.more_sources.iter().chain(&helper.flags).cloned().collect();
    let (mut compile, box_files) = place(language, &language.recipe, &files, &names, &extra)?;
    if let (Some(stage), Some(time)) = (&mut compile, helper.compile_time) {
        let mut limits = submission::apply(&COMPILE_LIMITS, &language.compile_limits);
        limits.cpu_time = time.min(COMPILE_LIMITS.cpu_time.saturating_mul(4));
        limits.wall_time = limits.cpu_time.saturating_mul(2);
        stage.spec = stage.spec.clone().limits(limits)?;
    }
    Ok(HelperPlan {
        runtime: language.runtime,
        image: language.image.clone(),
        identity: compile_identity(language, &extra, &files),
        compile,
        box_files,
        argv: language.recipe.run.iter().map(|argument| names.fill(argument)).collect(),
        env: environment(language),
        limits: helper.limits,
    })
}

/// Plans a program that is run without judging.
///
/// # Errors
/// A bound of the sandbox that the request's own checks do not know.
pub fn plan_run(run: &ValidRun) -> Result<RunPlan, SpecError> {
    let language = &run.language;
    let names = Names::of(language, &run.source, run.limits);
    // Files lie beside the program too, where compilers find headers and interpreters modules.
    let mut files = vec![(names.fill(&language.source), run.source.clone())];
    files.extend(run.files.iter().cloned());
    let (compile, box_files) = place(language, &language.recipe, &files, &names, &[])?;
    let run_files = input_files(&run.files)?;
    let spec = run_spec(language, &language.recipe, &names, &run.args)?
        .stdin(run.stdin.clone())?
        .files(run_files)?
        .limits(run.limits)?;
    let (runtime, image) = (language.runtime, language.image.clone());
    Ok(RunPlan { runtime, image, compile, box_files, spec })
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
pub(crate) fn heap_mib(limits: Limits) -> u64 {
    let mib = limits.memory.0 >> 20;
    mib.saturating_sub(128).max(mib / 2).max(1)
}

/// Where files go: beside the compiler where there is one, else where every run can read them.
fn place(
    language: &Language,
    recipe: &Recipe,
    files: &[(String, Bytes)],
    names: &Names,
    extra: &[String],
) -> Result<(Option<CompileStage>, Vec<InputFile>), SpecError> {
    let Some(argv) = &recipe.compile else {
        return match language.runtime {
            Runtime::Process => Ok((None, input_files(&without_doubles(files))?)),
            Runtime::Wasm => Ok((Some(translation(language, names, files)?), Vec::new())),
        };
    };
    let mut argv: Vec<String> = argv.iter().map(|argument| names.fill(argument)).collect();
    let source = names.fill(&language.source);
    if let Some(at) = argv.iter().position(|argument| *argument == source) {
        argv.splice(at + 1..at + 1, extra.iter().cloned());
    }
    let identity = compile_identity(language, &argv, files);
    let files = input_files(&without_doubles(files))?;
    let artifacts = recipe
        .artifacts
        .iter()
        .map(|name| RelativePath::new(name.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    let collect = artifacts
        .iter()
        .map(|path| CollectFile { path: path.clone(), bytes_max: ARTIFACT_BYTES_MAX });
    let spec = RunSpec::new(argv)?
        .env(environment(language))?
        .files(files)?
        .collect(collect.collect())?
        .limits(submission::apply(&COMPILE_LIMITS, &language.compile_limits))?;
    let next = match language.runtime {
        Runtime::Process => None,
        Runtime::Wasm => Some(Box::new(translation(language, names, &[])?)),
    };
    let (runtime, image) = (Runtime::Process, language.image.clone());
    Ok((Some(CompileStage { runtime, image, spec, artifacts, identity, next }), Vec::new()))
}

/// A module of a language becomes what the WebAssembly runtime loads. What compiling left is the
/// module; where nothing is compiled the source is.
fn translation(
    language: &Language,
    names: &Names,
    files: &[(String, Bytes)],
) -> Result<CompileStage, SpecError> {
    /// What the table of languages lets such programs be run as.
    const TRANSLATED: &str = "program.cwasm";
    let source = names.fill(&language.source);
    let module = language.recipe.artifacts.first().unwrap_or(&source);
    let argv = [COMPILER, module, TRANSLATED].map(str::to_owned);
    let identity = compile_identity(language, &argv, files);
    let artifacts = vec![RelativePath::new(TRANSLATED)?];
    let collect =
        |path: &RelativePath| CollectFile { path: path.clone(), bytes_max: ARTIFACT_BYTES_MAX };
    let spec = RunSpec::new(argv)?
        .files(input_files(&without_doubles(files))?)?
        .collect(artifacts.iter().map(collect).collect())?
        .limits(COMPILE_LIMITS)?;
    let (runtime, image) = (Runtime::Wasm, None);
    Ok(CompileStage { runtime, image, spec, artifacts, identity, next: None })
}

/// Files whose names occur twice only as they come first: the program's own before all others.
fn without_doubles(files: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
    let mut kept: Vec<(String, Bytes)> = Vec::with_capacity(files.len());
    for (name, content) in files {
        if !kept.iter().any(|(known, _)| known == name) {
            kept.push((name.clone(), content.clone()));
        }
    }
    kept
}

/// What makes two compilations the same: toolchain, arguments, files.
pub(crate) fn compile_identity(
    language: &Language,
    argv: &[String],
    files: &[(String, Bytes)],
) -> Identity {
    let mut digest = Digest::new("compile");
    digest.add(language.toolchain.as_bytes());
    argv.iter().for_each(|argument| digest.add(argument.as_bytes()));
    for (name, content) in files {
        digest.add(name.as_bytes());
        digest.add(content);
    }
    digest.finish()
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
/// arguments, of assertions and of function calls.
#[must_use]
pub fn warmups(language: &Language) -> Vec<Warmup> {
    if language.warm.is_empty() {
        return Vec::new();
    }
    let names = Names::of(language, b"", Limits::default());
    let assertions = language.assertions.as_ref().map(|(_, recipe)| recipe);
    let calls = language.calls.as_ref().map(|(_, recipe)| recipe);
    std::iter::once(&language.recipe)
        .chain(assertions)
        .chain(calls)
        .map(|recipe| Warmup {
            argv: recipe.run.iter().map(|argument| names.fill(argument)).collect(),
            env: environment(language),
            preload: preload(language),
            folder: None,
        })
        .collect()
}

/// The modules that warm interpreters of a language have loaded.
pub(crate) fn preload(language: &Language) -> Vec<String> {
    let of_image = language.image.iter().flat_map(Image::preload);
    language.warm.iter().chain(of_image).cloned().collect()
}

/// The whole environment of a program: nothing of ours is inherited. What the image needs replaces what
/// is usual, but for the places that are the slot's; the language has the last word.
pub(crate) fn environment(language: &Language) -> Vec<String> {
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

/// Files as the sandbox takes them.
pub(crate) fn input_files(files: &[(String, Bytes)]) -> Result<Vec<InputFile>, SpecError> {
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
        let rules = Rules {
            languages: &languages,
            limits_max: &PROGRAM_LIMITS_MAX,
            testlib: None,
            repositories: None,
        };
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
