//! Reads a problem from the wire.

use std::path::Path;

use bytes::Bytes;
use sandbox::Limits;
use serde_json::Value as Json;

use super::checkers::{self, CheckerError};
use super::dmoj::{self, DmojError};
use super::files::{self, FilesError};
use super::{
    Call, Calls, Case, Data, Group, Helper, HelperUse, Judging, Problem, Stdio, Task, TestInfo,
    input_output, repository, unit_tests,
};
use crate::grade::Value;
use crate::grade::exit::Convention;
use crate::grade::value::Origin;
use crate::language::{LanguageError, Languages};
use crate::limits::{self, HELPER_LIMITS};
use crate::submission::{self, SubmissionError};

/// Why a problem cannot be judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProblemError {
    /// No kind of the wire format.
    #[error("problem kind {kind:?} is not known")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// A kind that is answered, not solved by a program.
    #[error("a problem of kind {kind} takes an answer, not a program")]
    NoProgram {
        /// The kind.
        kind: &'static str,
    },
    /// There is nothing to test.
    #[error("the problem has no {what}")]
    Empty {
        /// What it lacks.
        what: &'static str,
    },
    /// Something is larger, or there is more of it, than allowed.
    #[error("the problem's {what} is {value}, at most {max} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        value: usize,
        /// The bound.
        max: usize,
    },
    /// The code holds a NUL byte.
    #[error("the assertion program contains a NUL byte")]
    Nul,
    /// The checker.
    #[error(transparent)]
    Checker(#[from] CheckerError),
    /// Its files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Its `init.yml`.
    #[error(transparent)]
    Dmoj(#[from] DmojError),
    /// A language of a program of the problem.
    #[error("{what}: {source}")]
    Language {
        /// Which program.
        what: &'static str,
        /// Why.
        source: LanguageError,
    },
    /// A limit of a program of the problem.
    #[error("{what}: {source}")]
    Limits {
        /// Which program.
        what: &'static str,
        /// Why.
        source: Box<SubmissionError>,
    },
    /// Anything else, in a sentence.
    #[error("{what}: {reason}")]
    Wrong {
        /// Which part.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What readers look things up in.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The languages of the image.
    pub languages: &'a Languages,
    /// The largest limits that may be asked for.
    pub limits_max: &'a Limits,
    /// The operator's copy of `testlib.h`, where there is one.
    pub testlib: Option<&'a Bytes>,
    /// The operator's folder of repositories, where there is one.
    pub repositories: Option<&'a Path>,
}

pub(super) fn wrong(what: impl Into<String>, reason: impl Into<String>) -> ProblemError {
    ProblemError::Wrong { what: what.into(), reason: reason.into() }
}

/// Checks `wire`.
///
/// # Errors
/// What is wrong with it.
pub fn read(wire: protocol::Problem, context: &Context<'_>) -> Result<Problem, ProblemError> {
    match wire {
        protocol::Problem::Stdio(stdio) => read_stdio(stdio, context),
        protocol::Problem::Assertions(assertions) => {
            let code = assertions.code;
            at_most("number of bytes of code", code.len(), limits::SOURCE_BYTES_MAX)?;
            if code.trim().is_empty() {
                return Err(ProblemError::Empty { what: "assertions" });
            }
            if code.contains('\0') {
                return Err(ProblemError::Nul);
            }
            Ok(Problem::ungrouped(Task::Assertions { code }, vec![TestInfo::default()]))
        }
        protocol::Problem::Function(function) => read_function(function),
        protocol::Problem::InputOutput(problem) => input_output::read(problem),
        protocol::Problem::Livecodebench(problem) => input_output::read_livecodebench(problem),
        protocol::Problem::Dmoj(problem) => {
            Ok(dmoj::read(files::Files::from_wire(problem.files)?, context)?)
        }
        protocol::Problem::UnitTests(problem) => unit_tests::read(problem),
        protocol::Problem::Repository(problem) => repository::read(*problem, context),
        protocol::Problem::Math(_) => Err(ProblemError::NoProgram { kind: "math" }),
        protocol::Problem::Answer(_) => Err(ProblemError::NoProgram { kind: "answer" }),
        protocol::Problem::FreeForm(_) => Err(ProblemError::NoProgram { kind: "free_form" }),
        protocol::Problem::Unsupported { kind } => {
            Err(ProblemError::UnknownKind { kind: kind.chars().take(64).collect() })
        }
    }
}

fn read_stdio(
    stdio: protocol::StdioProblem,
    context: &Context<'_>,
) -> Result<Problem, ProblemError> {
    check_count(stdio.tests.len())?;
    let mut helpers = Vec::new();
    let judging = match stdio.interactor {
        Some(interactor) => {
            let used = read_helper("interactor", interactor, &mut helpers, context)?;
            if stdio.checker != protocol::Checker::default() {
                return Err(wrong("checker", "an interactor judges by itself; leave it out"));
            }
            Judging::Interactor(used)
        }
        None if stdio.checker.name == "program" => {
            let program = program_of(stdio.checker)?;
            Judging::Program(read_helper("checker", program, &mut helpers, context)?)
        }
        None => Judging::Checker(checkers::checker(&stdio.checker.name, stdio.checker.options)?),
    };
    let mut tests = Vec::with_capacity(stdio.tests.len());
    let mut cases = Vec::with_capacity(stdio.tests.len());
    for test in stdio.tests {
        let points = read_points(test.points)?;
        tests.push(TestInfo { points, hidden: test.hidden, ..TestInfo::default() });
        cases.push(Case {
            data: Data::Given { stdin: test.stdin.into(), answer: test.stdout.into() },
            judging: judging.clone(),
            output_max: None,
            wall_time_factor: None,
            files: Vec::new(),
        });
    }
    let groups = read_groups(stdio.groups, &tests)?;
    let task = Task::Stdio(Stdio { cases, helpers, signature: None });
    Ok(Problem { task, tests, groups })
}

fn program_of(checker: protocol::Checker) -> Result<protocol::HelperProgram, ProblemError> {
    let mut options = checker.options;
    let program = options.remove("program").unwrap_or(Json::Null);
    if let Some(option) = options.keys().next() {
        let (name, option) = ("program".to_owned(), option.clone());
        return Err(CheckerError::Option { name, option }.into());
    }
    serde_json::from_value(program).map_err(|error| wrong("checker: program", error.to_string()))
}

/// Adds a helper, and says how it is used.
fn read_helper(
    what: &'static str,
    wire: protocol::HelperProgram,
    helpers: &mut Vec<Helper>,
    context: &Context<'_>,
) -> Result<HelperUse, ProblemError> {
    let language = context
        .languages
        .find(&wire.language, None)
        .map_err(|source| ProblemError::Language { what, source })?;
    at_most("number of bytes of a program", wire.source.len(), limits::SOURCE_BYTES_MAX)?;
    submission::check_limits(&wire.limits, context.limits_max)
        .map_err(|source| ProblemError::Limits { what, source: Box::new(source) })?;
    let convention = match wire.protocol.as_deref() {
        None => Convention::Default,
        Some(name) => Convention::named(name)
            .ok_or_else(|| wrong(what, "`type` must be default, testlib, coci or peg"))?,
    };
    let files = files::Files::from_wire(wire.files)?;
    let files = files.iter().map(|(name, content)| (name.clone(), content.clone())).collect();
    let args = match what {
        "interactor" => convention.interactor_args(),
        _ => convention.checker_args(),
    };
    let limits = submission::apply(&HELPER_LIMITS, &wire.limits);
    helpers.push(Helper {
        language,
        source: wire.source.into(),
        files: with_testlib(files, context),
        more_sources: Vec::new(),
        flags: read_flags(what, wire.flags)?,
        limits,
        compile_time: None,
    });
    let args = args.split(' ').map(str::to_owned).collect();
    Ok(HelperUse { helper: helpers.len() - 1, convention, args, feedback: true })
}

/// Arguments of a compiler, bounded in number and size.
pub(super) fn read_flags(what: &str, flags: Vec<String>) -> Result<Vec<String>, ProblemError> {
    let fits = |flag: &String| flag.len() < 1024 && !flag.contains('\0');
    if flags.len() > 64 || !flags.iter().all(fits) {
        return Err(wrong(what, "`flags` are too many, too long or have a NUL byte"));
    }
    Ok(flags)
}

/// The files, and the operator's `testlib.h` where they have none of their own.
pub(super) fn with_testlib(
    mut files: Vec<(String, Bytes)>,
    context: &Context<'_>,
) -> Vec<(String, Bytes)> {
    if let Some(testlib) = context.testlib
        && !files.iter().any(|(name, _)| name == "testlib.h")
    {
        files.push(("testlib.h".to_owned(), testlib.clone()));
    }
    files
}

pub(super) fn read_points(points: Option<f64>) -> Result<f64, ProblemError> {
    match points.unwrap_or(1.0) {
        points if (0.0..=1e9).contains(&points) => Ok(points),
        _ => Err(wrong("points", "must lie between 0 and 1000000000")),
    }
}

fn read_groups(
    wire: Vec<protocol::TestGroup>,
    tests: &[TestInfo],
) -> Result<Vec<Group>, ProblemError> {
    let failed = |at: usize, reason: &str| wrong(format!("groups[{at}]"), reason);
    let mut group_of: Vec<Option<usize>> = vec![None; tests.len()];
    let mut points = Vec::with_capacity(wire.len());
    for (at, group) in wire.iter().enumerate() {
        let (Some(first), Some(last)) = (group.tests.first(), group.tests.last()) else {
            return Err(failed(at, "has no tests"));
        };
        if !group.tests.iter().copied().eq(*first..=*last) {
            return Err(failed(at, "its tests are not in one piece, in order"));
        }
        for test in &group.tests {
            match group_of.get_mut(*test) {
                Some(owner @ None) => *owner = Some(at),
                Some(Some(_)) => return Err(failed(at, "has a test of another group")),
                None => return Err(failed(at, "has a test that does not exist")),
            }
        }
        if group.depends_on.iter().any(|before| *before >= at) {
            return Err(failed(at, "depends on a group that is not before it"));
        }
        points.push(read_points(group.points)?);
    }
    if wire.windows(2).any(|pair| pair[0].tests.first() >= pair[1].tests.first()) {
        return Err(wrong("groups", "must be in the order of their tests"));
    }
    // Tests without a group get one of their own, so positions move.
    let mut groups = Vec::new();
    let mut moved = vec![0; wire.len()];
    let mut at = 0;
    while at < tests.len() {
        match group_of[at] {
            None => {
                groups.push(Group::of_one(at, &tests[at]));
                at += 1;
            }
            Some(owner) => {
                let group = &wire[owner];
                moved[owner] = groups.len();
                groups.push(Group {
                    tests: at..at + group.tests.len(),
                    points: points[owner],
                    depends_on: group.depends_on.iter().map(|before| moved[*before]).collect(),
                    stop_early: group.stop_early,
                });
                at += group.tests.len();
            }
        }
    }
    Ok(groups)
}

fn read_function(function: protocol::FunctionProblem) -> Result<Problem, ProblemError> {
    check_count(function.tests.len())?;
    let rule = checkers::call_rule(&function.compare.name, function.compare.options)?;
    let mut calls = Vec::with_capacity(function.tests.len());
    let mut tests = Vec::with_capacity(function.tests.len());
    for test in function.tests {
        let (args, answer) = (Json::Array(test.args).to_string(), test.expected.to_string());
        let expected =
            Value::parse(&answer, Origin::Problem).map_err(|reason| wrong("expected", reason))?;
        calls.push(Call { args, answer, expected });
        let points = read_points(test.points)?;
        tests.push(TestInfo { points, hidden: test.hidden, ..TestInfo::default() });
    }
    let entry = read_entry("entry", function.entry)?;
    Ok(Problem::ungrouped(Task::Calls(Calls { entry, calls, rule }), tests))
}

/// The name of a function: an identifier of any of the languages.
pub(super) fn read_entry(what: &str, entry: String) -> Result<String, ProblemError> {
    let first = entry.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || "_$".contains(c));
    let all = entry.chars().all(|c| c.is_ascii_alphanumeric() || "_$".contains(c));
    if first && all && entry.len() <= 128 {
        Ok(entry)
    } else {
        Err(wrong(what, "must be the name of a function"))
    }
}

pub(super) fn check_count(tests: usize) -> Result<(), ProblemError> {
    at_most("number of tests", tests, limits::TESTS_MAX)?;
    if tests == 0 { Err(ProblemError::Empty { what: "tests" }) } else { Ok(()) }
}

fn at_most(what: &'static str, value: usize, max: usize) -> Result<(), ProblemError> {
    if value > max { Err(ProblemError::TooLarge { what, value, max }) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use protocol::AssertionsProblem;
    use serde_json::json;

    use super::*;
    use crate::limits::PROGRAM_LIMITS_MAX;

    pub(crate) fn read_json(json: Json) -> Result<Problem, ProblemError> {
        let languages = Languages::resolve(|_| true).unwrap();
        let limits_max = &PROGRAM_LIMITS_MAX;
        let context =
            Context { languages: &languages, limits_max, testlib: None, repositories: None };
        read(serde_json::from_value(json).unwrap(), &context)
    }

    fn stdio(count: usize) -> Result<Problem, ProblemError> {
        read_json(json!({"kind": "stdio", "tests": vec![json!({"stdout": "1"}); count]}))
    }

    #[test]
    fn the_number_of_tests_is_bounded_on_both_sides() {
        assert_eq!(stdio(0).unwrap_err(), ProblemError::Empty { what: "tests" });
        assert!(stdio(1).is_ok());
        assert!(stdio(limits::TESTS_MAX).is_ok());
        assert!(stdio(limits::TESTS_MAX + 1).is_err());
    }

    #[test]
    fn assertions_must_be_there_and_free_of_nul() {
        let languages = Languages::resolve(|_| true).unwrap();
        let limits_max = &PROGRAM_LIMITS_MAX;
        let context =
            Context { languages: &languages, limits_max, testlib: None, repositories: None };
        let read_code = |code: &str| {
            let problem = AssertionsProblem { code: code.into() };
            read(protocol::Problem::Assertions(problem), &context)
        };
        assert!(read_code("assert True").is_ok());
        assert_eq!(read_code(" \n").unwrap_err(), ProblemError::Empty { what: "assertions" });
        assert_eq!(read_code("a\0").unwrap_err(), ProblemError::Nul);
    }

    #[test]
    fn a_kind_that_never_was_is_unknown() {
        let read_kind = |kind: &str| read_json(json!({"kind": kind})).unwrap_err();
        assert!(matches!(read_kind("stdoi"), ProblemError::UnknownKind { .. }));
    }

    #[test]
    fn groups_are_read_and_tests_between_them_stand_alone() {
        let groups = |groups: Json| {
            let tests = vec![json!({"stdout": "1"}); 5];
            read_json(json!({"kind": "stdio", "tests": tests, "groups": groups}))
        };
        let two = json!([{"tests": [1, 2], "points": 7}, {"tests": [3, 4], "depends_on": [0]}]);
        let problem = groups(two).unwrap();
        let ranges: Vec<_> = problem.groups.iter().map(|group| group.tests.clone()).collect();
        assert_eq!(ranges, [0..1, 1..3, 3..5]);
        assert_eq!(problem.groups[2].depends_on, [1]);
        for broken in [
            json!([{"tests": []}]),
            json!([{"tests": [0, 2]}]),
            json!([{"tests": [0]}, {"tests": [0]}]),
            json!([{"tests": [5]}]),
            json!([{"tests": [0], "depends_on": [0]}]),
            json!([{"tests": [0], "points": -1}]),
            json!([{"tests": [1]}, {"tests": [0]}]),
        ] {
            assert!(groups(broken.clone()).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_checker_of_the_problem_is_a_program() {
        let checker = |checker: Json| {
            let tests = json!([{"stdout": "1"}]);
            read_json(json!({"kind": "stdio", "tests": tests, "checker": checker}))
        };
        let program = json!({"language": "python", "source": "x", "type": "testlib"});
        assert!(checker(json!({"name": "program", "program": program})).is_ok());
        for (broken, said) in [
            (json!({"name": "program"}), "program"),
            (json!({"name": "program", "program": {"language": "cobol", "source": ""}}), "cobol"),
            (
                json!({"name": "program", "program": {"language": "c", "source": "", "type": "x"}}),
                "testlib",
            ),
            (json!({"name": "program", "program": program, "x": 1}), "no option `x`"),
        ] {
            let error = checker(broken).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn functions_are_read_with_their_rule() {
        let function = |entry: &str, compare: &str| {
            let tests = json!([{"args": [1, "a"], "expected": [1.5]}]);
            let problem =
                json!({"kind": "function", "entry": entry, "tests": tests, "compare": compare});
            read_json(problem)
        };
        let Task::Calls(calls) = function("f", "lcb").unwrap().task else { panic!("no calls") };
        assert_eq!(calls.calls[0].args, r#"[1,"a"]"#);
        assert!(function("f", "tokens").unwrap_err().to_string().contains("plain"));
        for entry in ["", "1f", "f()", "a b", "os.system"] {
            assert!(function(entry, "plain").is_err(), "{entry:?}");
        }
    }
}
