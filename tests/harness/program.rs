//! A folder of `tests/programs/`: one hostile program and what must come of it.
//!
//! The folder holds `main.EXTENSION` and `expect.toml`, and `then.EXTENSION` where the next program
//! in the same slot must look for what the first left. Adding a folder needs no Rust.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// How the program is given to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `POST /v1/run`.
    Run,
    /// `POST /v1/judge` with a stdio problem.
    Stdio,
    /// `POST /v1/judge` with an assertions problem.
    Assertions,
    /// `POST /v1/judge` with a function that is called.
    Function,
    /// `POST /v1/judge` with test files.
    UnitTests,
    /// `POST /v1/judge` with a patch of a repository, in `main.patch`.
    Repository,
}

impl Kind {
    /// As problems are called in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Stdio => "stdio",
            Self::Assertions => "assertions",
            Self::Function => "function",
            Self::UnitTests => "unit_tests",
            Self::Repository => "repository",
        }
    }
}

/// `expect.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// One sentence: what the program tries.
    pub idea: String,
    /// As the service names it.
    pub language: String,
    /// How the program is given to the service.
    pub kind: Kind,
    /// Sent as they are.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// `run`: standard input.
    #[serde(default)]
    pub stdin: String,
    /// `run`: how it may end.
    #[serde(default)]
    pub termination: Vec<String>,
    /// `run`: the exit code, where it ends by itself.
    pub exit_code: Option<i64>,
    /// `run`: all that it writes to standard output.
    pub stdout: Option<String>,
    /// `run`: how long it may take on the clock, where a bound tighter than its limit matters.
    pub wall_time_ms_max: Option<f64>,
    /// `stdio`: the cases.
    #[serde(default)]
    pub tests: Vec<Case>,
    /// `assertions`: the code.
    pub code: Option<String>,
    /// `function`: its name.
    pub entry: Option<String>,
    /// `function`: the calls.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// `unit_tests`: what runs them.
    pub framework: Option<String>,
    /// `unit_tests`: where the program is put.
    pub source_path: Option<String>,
    /// `unit_tests` and `repository`: the problem's files.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// `repository`: what is patched.
    #[serde(default)]
    pub base: BTreeMap<String, String>,
    /// `repository`: commands that build it.
    #[serde(default)]
    pub build: Vec<Vec<String>>,
    /// `unit_tests` and `repository`: the tests that must pass.
    #[serde(default)]
    pub names: Vec<String>,
    /// Flags that must be raised; by a cheat, these and no other.
    #[serde(default)]
    pub flags: Vec<String>,
    /// `stdio` and `assertions`: which verdicts may be given.
    #[serde(default)]
    pub verdict: Vec<String>,
    /// `stdio` and `assertions`: the reward.
    pub reward: Option<f64>,
    /// Why the program gets what it should not: a gap that is known and not yet closed. The
    /// expectation then pins what happens today, so that closing the gap fails the test.
    pub known_gap: Option<String>,
    /// Must not occur anywhere in the reply.
    #[serde(default)]
    pub forbidden: Vec<String>,
    /// Whether an honest program beside it, in another slot, must keep its verdict meanwhile.
    #[serde(default)]
    pub beside: bool,
    /// What a second program, in the same slot, must print.
    pub then: Option<Then>,
}

/// A stdio case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Standard input.
    pub stdin: String,
    /// The right answer.
    pub stdout: String,
}

/// A call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The arguments.
    pub args: Vec<Value>,
    /// The right result.
    pub expected: Value,
}

/// The program that looks for traces of the first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Then {
    /// As the service names it.
    pub language: String,
    /// All that it prints.
    pub stdout: String,
}

/// A hostile program with its expectation.
#[derive(Clone, Debug)]
pub struct Program {
    /// The folder's name.
    pub name: String,
    /// Its source.
    pub source: String,
    /// What must come of it.
    pub expect: Expect,
    /// The source of [`Expect::then`].
    pub then_source: Option<String>,
}

/// Where the programs are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// The folder names, sorted.
///
/// # Errors
/// The folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder()).context("tests/programs")? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The extension of a language's source file in a program folder.
///
/// # Errors
/// A language that no program is written in yet.
pub fn extension(language: &str) -> Result<&'static str> {
    Ok(match language {
        "bash" => "sh",
        "c" => "c",
        "cpp" => "cpp",
        "go" => "go",
        "java" => "java",
        "javascript" => "js",
        "python" => "py",
        "rust" => "rs",
        other => bail!("no extension for language {other:?}"),
    })
}

impl Program {
    /// Reads a folder and checks that it is complete and says nothing contradictory.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn load(name: &str) -> Result<Self> {
        Self::read(name).with_context(|| format!("tests/programs/{name}"))
    }

    fn read(name: &str) -> Result<Self> {
        let folder = folder().join(name);
        let text = fs::read_to_string(folder.join("expect.toml")).context("expect.toml")?;
        let expect: Expect = toml::from_str(&text).context("expect.toml")?;
        let main = if expect.kind == Kind::Repository {
            "main.patch".to_owned()
        } else {
            format!("main.{}", extension(&expect.language)?)
        };
        let source = fs::read_to_string(folder.join(&main)).context(main)?;
        let then_source = match &expect.then {
            Some(then) => {
                let file = format!("then.{}", extension(&then.language)?);
                Some(fs::read_to_string(folder.join(&file)).context(file)?)
            }
            None => None,
        };
        expect.check()?;
        let files = fs::read_dir(&folder)?.count();
        let expected = if then_source.is_some() { 3 } else { 2 };
        ensure!(files == expected, "{files} files, {expected} expected");
        Ok(Self { name: name.to_owned(), source, expect, then_source })
    }

    /// The body to post, and where to.
    #[must_use]
    pub fn request(&self) -> (&'static str, Value) {
        let expect = &self.expect;
        let problem = match expect.kind {
            Kind::Run => {
                let body = json!({
                    "language": expect.language,
                    "source": self.source,
                    "stdin": expect.stdin,
                    "limits": expect.limits,
                });
                return ("/v1/run", body);
            }
            Kind::Stdio => {
                let case = |case: &Case| json!({"stdin": case.stdin, "stdout": case.stdout});
                let tests: Vec<Value> = expect.tests.iter().map(case).collect();
                json!({"kind": "stdio", "tests": tests})
            }
            Kind::Assertions => json!({"kind": "assertions", "code": expect.code}),
            Kind::Function => {
                let call = |call: &Call| json!({"args": call.args, "expected": call.expected});
                let tests: Vec<Value> = expect.calls.iter().map(call).collect();
                json!({"kind": "function", "entry": expect.entry, "tests": tests})
            }
            Kind::UnitTests => {
                let mut problem = json!({"kind": "unit_tests", "framework": expect.framework,
                    "files": expect.files, "tests": expect.names});
                if let Some(path) = &expect.source_path {
                    problem["source_path"] = json!(path);
                }
                problem
            }
            Kind::Repository => json!({
                "kind": "repository", "base": {"files": expect.base}, "files": expect.files,
                "build": expect.build, "test": {"framework": expect.framework},
                "fail_to_pass": expect.names,
            }),
        };
        let submission = json!({
            "id": self.name,
            "language": expect.language,
            "source": self.source,
            "problem": problem,
            "limits": expect.limits,
        });
        ("/v1/judge", json!({"submissions": [submission]}))
    }
}

impl Expect {
    fn check(&self) -> Result<()> {
        ensure!(self.idea.ends_with('.'), "the idea is a sentence");
        let rewarded = self.reward.is_some_and(|reward| reward > 0.0);
        ensure!(rewarded <= self.known_gap.is_some(), "a rewarded cheat without a known gap");
        let is_run = self.kind == Kind::Run;
        ensure!(is_run != self.termination.is_empty(), "termination belongs to kind run");
        ensure!(is_run != self.reward.is_some(), "reward belongs to a judged kind");
        ensure!(is_run == self.verdict.is_empty(), "verdict belongs to a judged kind");
        ensure!((self.kind == Kind::Stdio) != self.tests.is_empty(), "tests belong to kind stdio");
        ensure!(
            (self.kind == Kind::Assertions) == self.code.is_some(),
            "code belongs to kind assertions"
        );
        let is_function = self.kind == Kind::Function;
        ensure!(is_function == self.entry.is_some(), "entry belongs to kind function");
        ensure!(is_function != self.calls.is_empty(), "calls belong to kind function");
        let is_suite = matches!(self.kind, Kind::UnitTests | Kind::Repository);
        ensure!(is_suite == self.framework.is_some(), "framework belongs to kind unit_tests");
        ensure!(is_suite != self.files.is_empty(), "files belong to kind unit_tests");
        let is_repository = self.kind == Kind::Repository;
        ensure!(is_repository != self.base.is_empty(), "base belongs to kind repository");
        let unknown = self.termination.iter().find(|name| !TERMINATIONS.contains(&name.as_str()));
        ensure!(unknown.is_none(), "unknown termination {unknown:?}");
        let unknown = self.verdict.iter().find(|name| !VERDICTS.contains(&name.as_str()));
        ensure!(unknown.is_none(), "unknown verdict {unknown:?}");
        Ok(())
    }
}

/// How a run can end, as the wire says it.
pub const TERMINATIONS: [&str; 6] =
    ["exited", "signalled", "cpu_time_limit", "wall_time_limit", "memory_limit", "output_limit"];

/// What can be judged, as the wire says it.
pub const VERDICTS: [&str; 10] = [
    "accepted",
    "wrong_answer",
    "time_limit_exceeded",
    "wall_time_limit_exceeded",
    "memory_limit_exceeded",
    "output_limit_exceeded",
    "runtime_error",
    "compile_error",
    "not_collected",
    "patch_error",
];
