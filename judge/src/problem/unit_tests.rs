//! Reads problems of test files from the wire.

use protocol::{ExpectedTest, NamedTest, UnitTestsProblem};
use sandbox::spec::RelativePath;

use super::files::Files;
use super::inline::{ProblemError, check_count, read_points, wrong};
use super::{Problem, Task, TestInfo};
use crate::language::Framework;
use crate::limits::{SUITE_FILES_MAX, SUITE_NAME_BYTES_MAX, SUITE_PATHS_BYTES_MAX};
use crate::suite::{Expected, Session, Subject, Suite};

/// Checks `wire`.
///
/// # Errors
/// What is wrong with it, and at which key.
pub fn read(wire: UnitTestsProblem) -> Result<Problem, ProblemError> {
    let framework = Framework::named(&wire.framework).ok_or_else(|| {
        let known = Framework::ALL.map(Framework::name).join(", ");
        wrong("framework", format!("must be one of {known}"))
    })?;
    let files = Files::from_wire(wire.files)?;
    let files: Vec<_> =
        files.iter().map(|(name, content)| (name.clone(), content.clone())).collect();
    if files.len() > SUITE_FILES_MAX {
        return Err(wrong("files", format!("are more than {SUITE_FILES_MAX}")));
    }
    if files.iter().map(|(name, _)| name.len()).sum::<usize>() > SUITE_PATHS_BYTES_MAX {
        return Err(wrong("files", "have paths that are too long together"));
    }
    let tests: Vec<String> = files
        .iter()
        .filter(|(name, content)| framework.is_test(name, content))
        .map(|(name, _)| name.clone())
        .collect();
    if tests.is_empty() {
        let name = framework.name();
        return Err(wrong("files", format!("none of them holds tests by the rules of {name}")));
    }
    if let Some(path) = &wire.source_path {
        RelativePath::new(path.as_str())
            .map_err(|error| wrong("source_path", error.to_string()))?;
        if files.iter().any(|(name, _)| name == path) {
            return Err(wrong("source_path", "is a file of the problem"));
        }
    }
    let (expected, infos) = expected(wire.tests, wire.hidden, framework, &files)?;
    let session = Session::Framework {
        framework,
        tests,
        arguments: Vec::new(),
        python_path: Vec::new(),
        watch: true,
    };
    let subject = Subject::Program { path: wire.source_path };
    let suite = Suite { subject, session, files, expected, lists: Vec::new() };
    Ok(Problem::ungrouped(Task::Suite(Box::new(suite)), infos))
}

fn expected(
    wire: Vec<ExpectedTest>,
    hidden: bool,
    framework: Framework,
    files: &[(String, bytes::Bytes)],
) -> Result<(Expected, Vec<TestInfo>), ProblemError> {
    if wire.is_empty() {
        return Ok((Expected::Collected { hidden }, vec![TestInfo::default()]));
    }
    check_count(wire.len())?;
    let mut infos = Vec::with_capacity(wire.len());
    read_names("tests", wire, hidden, &mut infos)?;
    for (at, info) in infos.iter().enumerate() {
        if let Some(file) = info.name.as_deref().and_then(|name| framework.file_of(name))
            && !files.iter().any(|(name, _)| name == file)
        {
            return Err(wrong(format!("tests[{at}]"), format!("the problem has no file {file:?}")));
        }
    }
    Ok((Expected::Named, infos))
}

/// Reads a list of tests at `key`, and adds what holds for them to `infos`.
///
/// # Errors
/// A name that is none, or is there twice.
pub(super) fn read_names(
    key: &str,
    wire: Vec<ExpectedTest>,
    hidden: bool,
    infos: &mut Vec<TestInfo>,
) -> Result<(), ProblemError> {
    for (at, test) in wire.into_iter().enumerate() {
        let test = match test {
            ExpectedTest::Name(name) => NamedTest { name, points: None, hidden: false },
            ExpectedTest::Test(test) => test,
        };
        let failed = |reason: String| wrong(format!("{key}[{at}]"), reason);
        check_name(&test.name).map_err(failed)?;
        if infos.iter().any(|known| known.name.as_ref() == Some(&test.name)) {
            return Err(failed(format!("{:?} is there twice", test.name)));
        }
        let points = read_points(test.points)?;
        let hidden = hidden || test.hidden;
        infos.push(TestInfo { name: Some(test.name), points, hidden, ..TestInfo::default() });
    }
    Ok(())
}

/// Whether a test can have this name.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("has no name".to_owned());
    }
    if name.len() > SUITE_NAME_BYTES_MAX || name.contains(['\0', '\n']) {
        return Err("its name is too long, or has a line end in it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::inline::tests::read_json;
    use super::*;

    fn problem(more: &[(&str, Value)]) -> Result<Problem, ProblemError> {
        let mut problem = json!({"kind": "unit_tests", "framework": "pytest",
            "files": {"tests/test_a.py": "def test_x(): pass", "data.txt": "x"}});
        for (key, value) in more {
            problem[*key] = value.clone();
        }
        read_json(problem)
    }

    #[test]
    fn test_files_are_told_from_others_and_names_are_checked() {
        let read = problem(&[(
            "tests",
            json!(["tests/test_a.py::test_x",
            {"name": "tests/test_a.py::test_y", "points": 3, "hidden": true}]),
        )]);
        let read = read.unwrap();
        let Task::Suite(suite) = &read.task else { panic!("no suite") };
        let Session::Framework { tests, .. } = &suite.session else { panic!("no framework") };
        assert_eq!(tests, &["tests/test_a.py"]);
        assert_eq!((suite.expected, read.tests.len()), (Expected::Named, 2));
        assert!(read.tests[1].hidden && (read.groups[1].points - 3.0).abs() < 1e-9);
        assert_eq!(problem(&[]).unwrap().tests.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        for (key, value, said) in [
            ("framework", json!("nose"), "framework: must be one of pytest"),
            ("files", json!({"a.py": "x"}), "files: none of them"),
            ("files", json!({"../test_a.py": "x"}), "../test_a.py"),
            ("source_path", json!("/etc/x"), "source_path"),
            ("source_path", json!("data.txt"), "source_path: is a file of the problem"),
            ("tests", json!(["test_b.py::test_x"]), "tests[0]: the problem has no file"),
            ("tests", json!(["tests/test_a.py::a", "tests/test_a.py::a"]), "tests[1]"),
            ("tests", json!([""]), "tests[0]: has no name"),
        ] {
            let error = problem(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
