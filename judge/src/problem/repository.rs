//! Reads repositories from the wire.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use protocol::{BaseTree, FileContent, RepositoryProblem, TestRun};
use sandbox::spec::RelativePath;

use super::files::{self, Files};
use super::inline::{Context, ProblemError, check_count, wrong};
use super::unit_tests::read_names;
use super::{Problem, Task, TestInfo};
use crate::language::Framework;
use crate::limits::{
    BUILD_COMMANDS_MAX, COMMAND_BYTES_MAX, PROTECTED_MAX, SUITE_FILES_MAX, TREE_FILES_MAX,
};
use crate::submission;
use crate::suite::repository::Pattern;
use crate::suite::tree::{Links, Tree, TreeFile, is_private};
use crate::suite::{Expected, List, Parser, Repository, Session, Subject, Suite};

/// What decides how pytest and its tests behave: the base has it, and no patch changes it.
const OF_PYTEST: [&str; 6] =
    ["**/conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml"];

/// Checks `wire`.
///
/// # Errors
/// What is wrong with it, and at which key.
pub fn read(wire: RepositoryProblem, context: &Context<'_>) -> Result<Problem, ProblemError> {
    let base = read_base(wire.base, context.repositories)?;
    let files = Files::from_wire(wire.files)?;
    let files: Vec<(String, Bytes)> =
        files.iter().map(|(name, content)| (name.clone(), content.clone())).collect();
    if files.len() > SUITE_FILES_MAX {
        return Err(wrong("files", format!("are more than {SUITE_FILES_MAX}")));
    }
    if wire.build.len() > BUILD_COMMANDS_MAX {
        return Err(wrong("build", format!("has more than {BUILD_COMMANDS_MAX} commands")));
    }
    for (at, command) in wire.build.iter().enumerate() {
        check_command(command).map_err(|reason| wrong(format!("build[{at}]"), reason))?;
    }
    submission::check_limits(&wire.build_limits, context.limits_max).map_err(|source| {
        ProblemError::Limits { what: "build_limits", source: Box::new(source) }
    })?;

    let mut tests = Vec::new();
    check_count(wire.fail_to_pass.len() + wire.pass_to_pass.len())?;
    let mut lists = vec![List::FailToPass; wire.fail_to_pass.len()];
    read_names("fail_to_pass", wire.fail_to_pass, false, &mut tests)?;
    read_names("pass_to_pass", wire.pass_to_pass, false, &mut tests)?;
    lists.resize(tests.len(), List::PassToPass);

    let session = read_session(wire.test, &base, &files, &tests)?;
    let mut protected = wire.protected;
    if let Session::Framework { framework: Framework::Pytest, .. } = session {
        protected.extend(OF_PYTEST.map(str::to_owned));
    }
    let repository = Repository {
        base: Arc::new(base),
        build: wire.build,
        build_limits: wire.build_limits,
        protected: read_patterns(&protected)?,
        on_protected: wire.on_protected,
    };
    let subject = Subject::Changes(repository);
    let suite = Suite { subject, session, files, expected: Expected::Named, lists };
    Ok(Problem::ungrouped(Task::Suite(Box::new(suite)), tests))
}

fn read_patterns(texts: &[String]) -> Result<Vec<Pattern>, ProblemError> {
    if texts.len() > PROTECTED_MAX {
        return Err(wrong("protected", format!("has more than {PROTECTED_MAX} entries")));
    }
    let read = |(at, text): (usize, &String)| {
        let reason = "must be a path, `folder/` or `**/name`";
        Pattern::read(text).ok_or_else(|| wrong(format!("protected[{at}]"), reason))
    };
    texts.iter().enumerate().map(read).collect()
}

fn check_command(argv: &[String]) -> Result<(), String> {
    if argv.first().is_none_or(String::is_empty) {
        return Err("names no program".to_owned());
    }
    if argv.iter().map(String::len).sum::<usize>() > COMMAND_BYTES_MAX {
        return Err(format!("is longer than {COMMAND_BYTES_MAX} bytes"));
    }
    if argv.iter().any(|argument| argument.contains('\0')) {
        return Err("contains a NUL byte".to_owned());
    }
    Ok(())
}

fn read_base(wire: BaseTree, root: Option<&Path>) -> Result<Tree, ProblemError> {
    let failed = |error: crate::suite::tree::TreeError| wrong("base", error.to_string());
    match (wire.files, wire.archive, wire.folder) {
        (Some(files), None, None) => {
            if files.len() > TREE_FILES_MAX {
                return Err(wrong("base.files", format!("are more than {TREE_FILES_MAX}")));
            }
            let mut tree = Tree::default();
            for (path, content) in files {
                let content = files::decode(&path, content)?;
                let executable = content.starts_with(b"#!");
                tree.put(&path, TreeFile { content, executable }).map_err(failed)?;
            }
            Ok(tree)
        }
        (None, Some(archive), None) => {
            let bytes = files::decode("base.archive", archive)?;
            if bytes.starts_with(b"PK") {
                read_zip(bytes)
            } else {
                Tree::unpack(&bytes, Links::Refused)
                    .map_err(|error| wrong("base.archive", error.to_string()))
            }
        }
        (None, None, Some(folder)) => {
            let Some(root) = root else {
                return Err(wrong("base.folder", "the service has no `repositories`"));
            };
            RelativePath::new(folder.as_str())
                .map_err(|error| wrong("base.folder", error.to_string()))?;
            read_files(&Files::from_folder(&root.join(folder))?)
        }
        _ => Err(wrong("base", "must have one of `files`, `archive` and `folder`")),
    }
}

fn read_zip(archive: Bytes) -> Result<Tree, ProblemError> {
    let archive = base64_of(&archive);
    let mut files = Files::from_wire(BTreeMap::from([("base.zip".to_owned(), archive)]))?;
    let names = files.unpack("base.zip")?;
    let mut kept = Files::default();
    for name in names {
        if let Some(content) = files.get(&name) {
            kept.add(name, content.clone())?;
        }
    }
    read_files(&kept)
}

fn base64_of(bytes: &Bytes) -> FileContent {
    use base64::Engine as _;
    FileContent::Bytes { base64: base64::engine::general_purpose::STANDARD.encode(bytes) }
}

fn read_files(files: &Files) -> Result<Tree, ProblemError> {
    let mut tree = Tree::default();
    for (path, content) in files.iter().filter(|(path, _)| !is_private(path)) {
        let executable = content.starts_with(b"#!");
        let file = TreeFile { content: content.clone(), executable };
        tree.put(path, file).map_err(|error| wrong("base", error.to_string()))?;
    }
    Ok(tree)
}

fn read_session(
    wire: TestRun,
    base: &Tree,
    files: &[(String, Bytes)],
    tests: &[TestInfo],
) -> Result<Session, ProblemError> {
    match (&wire.framework, wire.command.is_empty()) {
        (Some(name), true) => {
            let known = [Framework::Pytest, Framework::Unittest, Framework::NodeTest];
            let framework = known.into_iter().find(|framework| framework.name() == name.as_str());
            let framework = framework.ok_or_else(|| {
                let names = known.map(Framework::name).join(", ");
                wrong("test.framework", format!("must be one of {names}; else give a command"))
            })?;
            if wire.parser.is_some() || wire.report.is_some() {
                return Err(wrong("test", "`parser` and `report` belong to a command"));
            }
            check_arguments(&wire)?;
            let tests = test_files(framework, wire.files, base, files, tests)?;
            let (arguments, python_path) = (wire.arguments, wire.python_path);
            Ok(Session::Framework { framework, tests, arguments, python_path, watch: wire.watch })
        }
        (None, false) => {
            check_command(&wire.command).map_err(|reason| wrong("test.command", reason))?;
            if !(wire.files.is_empty() && wire.arguments.is_empty() && wire.python_path.is_empty())
            {
                let reason = "`files`, `arguments` and `python_path` belong to a framework";
                return Err(wrong("test", reason));
            }
            let parser = wire.parser.as_deref().and_then(Parser::named).ok_or_else(|| {
                let names = Parser::ALL.map(Parser::name).join(", ");
                wrong("test.parser", format!("must be one of {names}"))
            })?;
            if let Some(report) = &wire.report {
                RelativePath::new(report.as_str())
                    .map_err(|error| wrong("test.report", error.to_string()))?;
            }
            if parser == Parser::JunitXml && wire.report.is_none() {
                return Err(wrong("test.report", "is missing; junit_xml is read from a file"));
            }
            Ok(Session::Command { argv: wire.command, parser, report: wire.report })
        }
        (None, true) => Err(wrong("test", "must have a `framework` or a `command`")),
        (Some(_), false) => Err(wrong("test", "has both a `framework` and a `command`")),
    }
}

fn check_arguments(wire: &TestRun) -> Result<(), ProblemError> {
    let long = |texts: &[String]| texts.iter().map(String::len).sum::<usize>() > COMMAND_BYTES_MAX;
    if long(&wire.arguments) {
        return Err(wrong("test.arguments", format!("are longer than {COMMAND_BYTES_MAX} bytes")));
    }
    for (at, path) in wire.python_path.iter().enumerate() {
        RelativePath::new(path.as_str())
            .map_err(|error| wrong(format!("test.python_path[{at}]"), error.to_string()))?;
    }
    Ok(())
}

/// The files with tests: those given, those that names begin with, or the problem's own.
fn test_files(
    framework: Framework,
    given: Vec<String>,
    base: &Tree,
    files: &[(String, Bytes)],
    tests: &[TestInfo],
) -> Result<Vec<String>, ProblemError> {
    let exists =
        |path: &str| base.get(path).is_some() || files.iter().any(|(name, _)| name == path);
    let mut found: Vec<String> = given;
    let key = if found.is_empty() { "fail_to_pass, pass_to_pass" } else { "test.files" };
    if found.is_empty() {
        let named = tests.iter().filter_map(|test| framework.file_of(test.name.as_deref()?));
        found = named.map(str::to_owned).collect();
    }
    if found.is_empty() {
        let own = files.iter().filter(|(name, content)| framework.is_test(name, content));
        found = own.map(|(name, _)| name.clone()).collect();
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(wrong(
            "test.files",
            "is missing, and no file of the problem's own holds tests",
        ));
    }
    match found.iter().find(|path| !exists(path)) {
        Some(path) => Err(wrong(key, format!("neither the base nor the problem has {path:?}"))),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::inline::tests::read_json;
    use super::*;

    fn problem(more: &[(&str, Value)]) -> Result<Problem, ProblemError> {
        let mut problem = json!({"kind": "repository",
            "base": {"files": {"a.py": "a", "tests/test_a.py": "def test_x(): pass"}},
            "test": {"framework": "pytest"},
            "fail_to_pass": ["tests/test_a.py::test_x"]});
        for (key, value) in more {
            problem[*key] = value.clone();
        }
        read_json(problem)
    }

    fn tar(kind: tar::EntryType, path: &str) -> Value {
        use base64::Engine as _;
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_link_name_literal("/etc/passwd").unwrap();
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
        let bytes = builder.into_inner().unwrap();
        json!({"archive": {"base64": base64::engine::general_purpose::STANDARD.encode(bytes)}})
    }

    #[test]
    fn tests_files_and_lists_are_read() {
        let lists =
            [("pass_to_pass", json!([{"name": "tests/test_a.py::test_y", "hidden": true}]))];
        let problem = problem(&lists).unwrap();
        let Task::Suite(suite) = &problem.task else { panic!("no suite") };
        assert_eq!(suite.lists, [List::FailToPass, List::PassToPass]);
        assert!(problem.tests[1].hidden);
        let Session::Framework { tests, .. } = &suite.session else { panic!("no framework") };
        assert_eq!(tests, &["tests/test_a.py"]);
        assert_eq!(problem.kind(), "repository");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let framework = |more: Value| {
            let mut test = json!({"framework": "pytest"});
            test.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            test
        };
        for (key, value, said) in [
            ("base", json!({}), "base: must have one of"),
            ("base", json!({"files": {}, "folder": "x"}), "base: must have one of"),
            ("base", json!({"folder": "x"}), "base.folder: the service has no"),
            ("base", json!({"files": {"../x": ""}}), "base"),
            ("base", json!({"files": {"x": "", "x/y": ""}}), "is a file"),
            ("base", json!({"archive": "no archive, but text enough ".repeat(40)}), "base.archive"),
            ("base", tar(tar::EntryType::Symlink, "link"), "link"),
            ("base", tar(tar::EntryType::Regular, "../x"), "path"),
            ("build", json!([[]]), "build[0]: names no program"),
            ("build", json!([["make"], ["a\u{0}"]]), "build[1]"),
            ("build_limits", json!({"pids": 1_000_000}), "build_limits"),
            ("test", json!({}), "test: must have"),
            ("test", json!({"framework": "junit4"}), "test.framework"),
            ("test", json!({"framework": "pytest", "command": ["x"]}), "test: has both"),
            ("test", json!({"command": ["x"]}), "test.parser"),
            ("test", json!({"command": ["x"], "parser": "junit_xml"}), "test.report"),
            ("test", json!({"command": ["x"], "parser": "tap", "report": "/x"}), "test.report"),
            ("test", framework(json!({"parser": "tap"})), "test: `parser`"),
            ("test", framework(json!({"files": ["nowhere.py"]})), "test.files"),
            ("test", framework(json!({"python_path": ["../x"]})), "test.python_path[0]"),
            ("fail_to_pass", json!(["nowhere.py::x"]), "neither the base nor the problem"),
            ("fail_to_pass", json!([]), "no tests"),
            ("pass_to_pass", json!(["tests/test_a.py::test_x"]), "pass_to_pass[0]"),
            ("protected", json!(["/etc/"]), "protected[0]"),
            ("files", json!({"/x": ""}), "/x"),
        ] {
            let error = problem(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
