//! Decides what a session of tests runs. Pure: the random values are handed in.

use std::collections::HashSet;

use bytes::Bytes;
use sandbox::spec::{BOX_DIR, CollectFile, FileMode, InputFile, RelativePath, SpecError};
use sandbox::{Image, RunSpec};
use serde_json::json;

use super::tree::{Tree, TreeError};
use super::{Repository, Session, Subject, Suite};
use crate::assertion::{DOORS, Secrets};
use crate::grade::{Flag, Secret, detect};
use crate::java;
use crate::language::{Framework, Language, Recipe};
use crate::limits::{ARTIFACT_BYTES_MAX, COMPILE_LIMITS, SUITE_REPORT_BYTES_MAX};
use crate::plan::{CompileStage, Digest, compile_identity, environment, heap_mib, input_files};
use crate::slots::Runtime;
use crate::submission::{self, ValidSubmission};

const PYTHON: &str =
    concat!(include_str!("../drivers/guard.py"), include_str!("../drivers/suite.py"));
const JAVASCRIPT: &str = include_str!("../drivers/suite.js");
const LEDGER: &str = include_str!("../drivers/Ledger.java");
const JUNIT_4: &str = include_str!("../drivers/Suite4.java");
const JUNIT_5: &str = include_str!("../drivers/Suite5.java");

/// What a session of tests runs.
#[derive(Clone, Debug)]
pub struct SuitePlan {
    /// What its slots show; `None` for what they show by default.
    pub image: Option<Image>,
    /// Makes the artifacts, where the framework's language is compiled.
    pub compile: Option<CompileStage>,
    /// Files that the session can read and not write; the artifacts come beside them.
    pub box_files: Vec<InputFile>,
    /// The session.
    pub spec: RunSpec,
    /// What its report is sealed with.
    pub key: Secret,
    /// What the source alone gives away.
    pub flags: Vec<Flag>,
}

/// What the placeholders of a recipe stand for.
struct Names {
    heap_mib: String,
    entry: String,
    source: String,
    tests: Vec<String>,
}

impl Names {
    fn fill(&self, argv: &[String]) -> Vec<String> {
        let one = |argument: &String| {
            argument
                .replace("{box}", BOX_DIR)
                .replace("{heap_mib}", &self.heap_mib)
                .replace("{entry}", &self.entry)
                .replace("{source}", &self.source)
        };
        let filled = argv.iter().flat_map(|argument| match argument.as_str() {
            "{tests}" => self.tests.clone(),
            _ => vec![one(argument)],
        });
        filled.collect()
    }
}

/// Plans the session of a program in one file; `None` where the submission has none, or the language
/// no such framework.
///
/// # Errors
/// A bound of the sandbox that the problem's own checks do not know.
pub fn program(
    submission: &ValidSubmission,
    suite: &Suite,
    secrets: &Secrets,
) -> Result<Option<SuitePlan>, SpecError> {
    let language = &*submission.language;
    let (Some(source), Some(framework)) = (submission.code.source(), suite.framework()) else {
        return Ok(None);
    };
    let Some(recipe) = language.suites.get(&framework) else { return Ok(None) };
    let path = source_path(suite, language, &source);
    let is_java = |name: &String| name.ends_with(".java");
    let names = Names {
        heap_mib: heap_mib(submission.limits).to_string(),
        entry: secrets.entry_name(),
        source: path.clone(),
        tests: suite.files.iter().map(|(name, _)| name.clone()).filter(is_java).collect(),
    };
    let flags = detect::in_source(&source);
    let mut compile = None;
    let mut box_files = in_tree(&suite.files);
    if let Some(argv) = &recipe.compile {
        let mut files = vec![(path.clone(), source)];
        files.extend(suite.files.iter().cloned());
        files.extend(driver(framework, &names.entry));
        compile = Some(compile_stage(language, recipe, &names.fill(argv), &files)?);
    } else {
        box_files.extend(in_tree(&[(path.clone(), source)]));
        box_files.extend(driver(framework, &names.entry));
    }
    let mut env = environment(language);
    env.push("PYTEST_DISABLE_PLUGIN_AUTOLOAD=1".to_owned());
    let own: Vec<&str> = suite.files.iter().map(|(name, _)| name.as_str()).collect();
    let spec = RunSpec::new(names.fill(&recipe.run))?
        .memory(framework.memory())
        .env(env)?
        .stdin(stdin(suite, &own, &[path], &secrets.proof))?
        .limits(submission.limits)?;
    let (image, key) = (language.image.clone(), secrets.proof.clone());
    Ok(Some(SuitePlan { image, compile, box_files: input_files(&box_files)?, spec, key, flags }))
}

/// Where a tree lies packed, beside what is built of it.
const ARCHIVE: &str = ".assay.tar";

/// Plans the build of a tree.
///
/// # Errors
/// A bound of the sandbox.
pub fn build(
    language: &Language,
    repository: &Repository,
    archive: Bytes,
) -> Result<CompileStage, SpecError> {
    let mut script = format!("tar -xf {ARCHIVE} && rm {ARCHIVE}");
    for command in &repository.build {
        script.push_str(" && {");
        command.iter().for_each(|argument| script.push_str(&format!(" {}", quoted(argument))));
        script.push_str("; }");
    }
    script.push_str(&format!(" && tar -cf /tmp/{ARCHIVE} . && mv /tmp/{ARCHIVE} {ARCHIVE}"));
    let argv = ["/bin/sh".to_owned(), "-c".to_owned(), script];
    let files = [(ARCHIVE.to_owned(), archive)];
    let mut digest = Digest::new("build");
    digest.add(&compile_identity(language, &argv, &files).0);
    digest.add(format!("{:?}", repository.build_limits).as_bytes());
    let limits = submission::apply(&COMPILE_LIMITS, &language.compile_limits);
    let path = RelativePath::new(ARCHIVE)?;
    let spec = RunSpec::new(argv)?
        .env(environment(language))?
        .files(input_files(&files)?)?
        .collect(vec![CollectFile { path: path.clone(), bytes_max: ARTIFACT_BYTES_MAX }])?
        .limits(submission::apply(&limits, &repository.build_limits))?;
    let image = language.image.clone();
    Ok(CompileStage {
        runtime: Runtime::Process,
        image,
        spec,
        artifacts: vec![path],
        identity: digest.finish(),
        next: None,
    })
}

/// An argument as a shell reads it literally.
fn quoted(argument: &str) -> String {
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// Plans the session of a tree; `None` where the language has no such framework.
///
/// # Errors
/// A bound of the sandbox.
pub fn session(
    submission: &ValidSubmission,
    suite: &Suite,
    candidates: &[String],
    tree: &Tree,
    secrets: &Secrets,
) -> Result<Option<SuitePlan>, PlanError> {
    let language = &*submission.language;
    let (image, key) = (language.image.clone(), secrets.proof.clone());
    let (argv, stdin, box_files, collect) = match &suite.session {
        Session::Command { argv, report, .. } => {
            let script = format!("tar -xf {BOX_DIR}/tree.tar && exec \"$@\"");
            let start = ["/bin/sh", "-c", &script, "sh"].map(str::to_owned);
            let argv: Vec<String> = start.into_iter().chain(argv.iter().cloned()).collect();
            let collect = match report {
                Some(path) => vec![CollectFile {
                    path: RelativePath::new(path.as_str())?,
                    bytes_max: SUITE_REPORT_BYTES_MAX,
                }],
                None => Vec::new(),
            };
            let archive = [("tree.tar".to_owned(), tree.pack()?)];
            (argv, Bytes::new(), input_files(&archive)?, collect)
        }
        Session::Framework { framework, .. } => {
            let Some(recipe) = language.suites.get(framework) else { return Ok(None) };
            let names = Names {
                heap_mib: heap_mib(submission.limits).to_string(),
                entry: secrets.entry_name(),
                source: String::new(),
                tests: Vec::new(),
            };
            let mut files = tree.input_files("tree")?;
            files.extend(input_files(&driver(*framework, &names.entry))?);
            let strange: HashSet<&str> = candidates.iter().map(String::as_str).collect();
            let own: Vec<&str> = tree
                .iter()
                .map(|(path, _)| path.as_str())
                .filter(|path| !strange.contains(path))
                .collect();
            let stdin = stdin(suite, &own, candidates, &secrets.proof);
            (names.fill(&recipe.run), stdin, files, Vec::new())
        }
    };
    let spec = RunSpec::new(argv)?
        .memory(suite.framework().map(Framework::memory).unwrap_or_default())
        .env(environment(language))?
        .stdin(stdin)?
        .collect(collect)?
        .limits(submission.limits)?;
    Ok(Some(SuitePlan { image, compile: None, box_files, spec, key, flags: Vec::new() }))
}

/// Why a session cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A bound of the sandbox.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A tree that no archive can hold.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Where the program is put.
fn source_path(suite: &Suite, language: &Language, source: &[u8]) -> String {
    let path = match &suite.subject {
        Subject::Program { path } => path.as_ref(),
        Subject::Changes(_) => None,
    };
    match path {
        Some(path) => path.clone(),
        None if language.source.contains("{class}") => {
            let classes = java::classes(&String::from_utf8_lossy(source));
            let taken = |name: &str| suite.files.iter().any(|(known, _)| known == name);
            let name = format!("{}.java", classes.file);
            // A class with the name of a test would stand in its place.
            if taken(&name) { "Solution.java".to_owned() } else { name }
        }
        None => language.source.clone(),
    }
}

fn in_tree(files: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
    files.iter().map(|(name, content)| (format!("tree/{name}"), content.clone())).collect()
}

/// The driver's own files.
fn driver(framework: Framework, entry: &str) -> Vec<(String, Bytes)> {
    let text = |name: &str, text: &str| (name.to_owned(), Bytes::from(text.to_owned()));
    let java = |suite: &str| {
        vec![
            text("driver/Ledger.java", &LEDGER.replace("ENTRY", entry)),
            text("driver/Suite.java", &suite.replace("ENTRY", entry)),
        ]
    };
    match framework {
        Framework::Pytest | Framework::Unittest => vec![text("suite.py", PYTHON)],
        Framework::NodeTest => vec![text("suite.js", JAVASCRIPT), text("doors.js", DOORS)],
        Framework::Junit4 => java(JUNIT_4),
        Framework::Junit5 => java(JUNIT_5),
    }
}

/// Standard input of the session: the key, and what the driver must know.
fn stdin(suite: &Suite, own: &[&str], candidates: &[String], key: &Secret) -> Bytes {
    let key = key.as_str();
    let Session::Framework { framework, tests, arguments, python_path, watch } = &suite.session
    else {
        return Bytes::new();
    };
    let plan = match framework {
        Framework::Pytest | Framework::Unittest => json!({
            "framework": framework.name(),
            "tests": tests,
            "candidate": candidates,
            "arguments": arguments,
            "paths": python_path,
            "watch": watch,
            // Plugins of an image may replace parts of the framework; without them nobody may.
            "exact": matches!(suite.subject, Subject::Program { .. }),
        })
        .to_string(),
        Framework::NodeTest => json!({"tests": tests, "own": own}).to_string(),
        Framework::Junit4 | Framework::Junit5 => {
            let content = |name: &str| {
                let file = suite.files.iter().find(|(known, _)| known == name);
                file.map(|(_, content)| content.clone()).unwrap_or_default()
            };
            let names = tests.iter().map(|name| class_of(name, &content(name)));
            names.collect::<Vec<_>>().join("\n")
        }
    };
    format!("{key}\n{plan}\n").into()
}

/// The name of the class in a file of Java: its package and the file's name.
fn class_of(path: &str, content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".java");
    let package = text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("package ")?;
        Some(rest.split(';').next().unwrap_or(rest).trim().to_owned())
    });
    match package {
        Some(package) => format!("{package}.{stem}"),
        None => stem.to_owned(),
    }
}

fn compile_stage(
    language: &Language,
    recipe: &Recipe,
    argv: &[String],
    files: &[(String, Bytes)],
) -> Result<CompileStage, SpecError> {
    let identity = compile_identity(language, argv, files);
    let artifacts = recipe
        .artifacts
        .iter()
        .map(|name| RelativePath::new(name.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    let collect = artifacts
        .iter()
        .map(|path| CollectFile { path: path.clone(), bytes_max: ARTIFACT_BYTES_MAX });
    let files = files.iter().map(|(path, content)| {
        let (path, mode) = (RelativePath::new(path.as_str())?, FileMode::Plain);
        Ok(InputFile { path, content: content.clone(), mode })
    });
    let spec = RunSpec::new(argv)?
        .env(environment(language))?
        .files(files.collect::<Result<_, SpecError>>()?)?
        .collect(collect.collect())?
        .limits(submission::apply(&COMPILE_LIMITS, &language.compile_limits))?;
    let (runtime, image) = (Runtime::Process, language.image.clone());
    Ok(CompileStage { runtime, image, spec, artifacts, identity, next: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::proof::SECRET_BYTES;
    use crate::plan::tests::valid;
    use crate::problem::Task;

    fn plan_of(language: &str, framework: &str, file: &str, content: &str) -> SuitePlan {
        let json = json!({"language": language, "source": "the program", "problem": {
            "kind": "unit_tests", "framework": framework, "files": {file: content}}});
        let submission = valid(&json.to_string());
        let secrets = Secrets {
            proof: Secret::new([1; SECRET_BYTES]),
            entry: Secret::new([2; SECRET_BYTES]),
        };
        let Task::Suite(suite) = &submission.problem.task else { panic!("no suite") };
        program(&submission, suite, &secrets).unwrap().unwrap()
    }

    #[test]
    fn the_key_is_in_no_file_and_the_tests_lie_where_nobody_writes() {
        for (language, framework, file) in [
            ("python", "pytest", "tests/test_a.py"),
            ("python", "unittest", "test_a.py"),
            ("javascript", "node_test", "a.test.js"),
            ("java", "junit4", "ATest.java"),
            ("java", "junit5", "ATest.java"),
        ] {
            let plan = plan_of(language, framework, file, "@Test the tests");
            let key = plan.key.as_str();
            let mut files = plan.box_files.clone();
            if language != "java" {
                let name = format!("tree/{file}");
                assert!(files.iter().any(|file| file.path.as_str() == name), "{framework}");
            }
            files.retain(|file| String::from_utf8_lossy(&file.content).contains(key));
            assert!(files.is_empty(), "{framework}");
            let compile = plan.compile.map(|stage| format!("{:?}", stage.spec));
            assert!(!compile.unwrap_or_default().contains(key), "{framework}");
            // What a run writes into its own folder is no file of the box.
            assert!(!format!("{:?}", plan.spec).contains("the tests"), "{framework}");
        }
    }

    #[test]
    fn arguments_of_a_build_are_literal() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $(x)"), "'it'\\''s $(x)'");
    }

    #[test]
    fn classes_are_named_with_their_package() {
        assert_eq!(
            class_of("a/b/FooTest.java", b"// x\npackage a.b;\nclass FooTest {}"),
            "a.b.FooTest"
        );
        assert_eq!(class_of("FooTest.java", b"class FooTest {}"), "FooTest");
    }
}
