//! Problems that are judged by tests with names: test files of a framework beside a program, and
//! repositories that a patch changes.
//!
//! The tests of such a problem run in the candidate's process, since their format asks for it. What
//! each came to is therefore believed only where it is sealed: a driver of ours (`drivers/suite.py`,
//! `suite.js`, `Ledger.java`) reads a one-time key from standard input before a line of the candidate
//! runs, keeps the results where the candidate's objects do not lead, and signs them as the last
//! thing ([`ledger`]). Nothing else counts: no exit code, no line of output, no file. A session
//! without its seal has no test that passed, whatever it wrote before.
//!
//! The tests and the candidate lie in the box, which no program can write; configuration and plugins
//! are the problem's, as the candidate has one file and its path is the problem's choice. Among the
//! tests is one of the driver's own that must fail; where it passes, or what runs the tests is not what
//! it was, the program is flagged and no test passes. What this cannot do is told in THREAT_MODEL.md.
//!
//! [`plan`] decides what runs, [`ledger`] and [`parsers`] read what came back, [`grade`] makes verdicts
//! of it; [`tree`], [`edits`] and [`patch`] make the tree that is tested, [`repository`] says how it
//! travels. All are pure. The flow is in `pipeline/suites.rs`.

use bytes::Bytes;
use protocol::Limits;
use sandbox::spec::Memory;

use self::grade::Line;
use crate::language::Framework;
use crate::limits::{REPOSITORY_LIMITS, UNIT_TEST_LIMITS};
use crate::plan::{Digest, Identity};
use crate::problem::{Group, Problem, TestInfo};

pub mod edits;
pub mod grade;
pub mod ledger;
pub mod parsers;
pub mod patch;
pub mod plan;
pub mod repository;
pub mod tree;

pub use parsers::Parser;
pub use repository::Repository;

/// `given`, with what such problems need where nothing is given.
#[must_use]
pub fn limits_for(problem: &protocol::Problem, given: Limits) -> Limits {
    let usual = match problem {
        protocol::Problem::UnitTests(_) => UNIT_TEST_LIMITS,
        protocol::Problem::Repository(_) => REPOSITORY_LIMITS,
        protocol::Problem::Stdio(_)
        | protocol::Problem::Assertions(_)
        | protocol::Problem::Math(_)
        | protocol::Problem::Answer(_)
        | protocol::Problem::FreeForm(_)
        | protocol::Problem::Function(_)
        | protocol::Problem::InputOutput(_)
        | protocol::Problem::Livecodebench(_)
        | protocol::Problem::Dmoj(_)
        | protocol::Problem::Unsupported { .. } => return given,
    };
    Limits {
        cpu_time_ms: given.cpu_time_ms.or(usual.cpu_time_ms),
        wall_time_ms: given.wall_time_ms,
        memory_bytes: given.memory_bytes.or(usual.memory_bytes),
        pids: given.pids.or(usual.pids),
        output_bytes: given.output_bytes,
        disk_bytes: given.disk_bytes.or(usual.disk_bytes),
        open_files: given.open_files.or(usual.open_files),
    }
}

/// What is tested, and by what.
#[derive(Clone, Debug)]
pub struct Suite {
    /// What the submission is.
    pub subject: Subject,
    /// How the tests are run.
    pub session: Session,
    /// The problem's own files.
    pub files: Vec<(String, Bytes)>,
    /// Which tests there must be.
    pub expected: Expected,
    /// Which list each of them is of; empty where there are no lists.
    pub lists: Vec<List>,
}

/// What a submission is.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A program in one file.
    Program {
        /// Where it is put; `None` for the language's usual name.
        path: Option<String>,
    },
    /// Changes of a repository.
    Changes(Repository),
}

/// How tests are run.
#[derive(Clone, Debug)]
pub enum Session {
    /// By a framework with a driver of ours.
    Framework {
        /// Which.
        framework: Framework,
        /// The files that hold tests.
        tests: Vec<String>,
        /// Arguments of the framework.
        arguments: Vec<String>,
        /// Folders that Python imports from.
        python_path: Vec<String>,
        /// Whether the candidate is ended where it looks at the runner.
        watch: bool,
    },
    /// By a command of the problem.
    Command {
        /// The command.
        argv: Vec<String>,
        /// What it writes.
        parser: Parser,
        /// Where, if not to standard output.
        report: Option<String>,
    },
}

/// A list of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Those that fail in the base.
    FailToPass,
    /// Those that pass in the base.
    PassToPass,
}

impl List {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FailToPass => "fail_to_pass",
            Self::PassToPass => "pass_to_pass",
        }
    }
}

/// Which tests there must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Those that the problem names, in its order.
    Named,
    /// All that are collected, and at least one.
    Collected {
        /// Whether they stay out of replies.
        hidden: bool,
    },
}

impl Suite {
    /// The framework, where tests are run by one.
    #[must_use]
    pub fn framework(&self) -> Option<Framework> {
        match &self.session {
            Session::Framework { framework, .. } => Some(*framework),
            Session::Command { .. } => None,
        }
    }

    /// Its kind in requests.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.subject {
            Subject::Program { .. } => "unit_tests",
            Subject::Changes(_) => "repository",
        }
    }

    /// What makes two submissions the same, with what `identity` does not see.
    #[must_use]
    pub fn identity(&self, identity: Identity) -> Identity {
        let Subject::Changes(repository) = &self.subject else { return identity };
        let mut digest = Digest::new("repository");
        digest.add(&identity.0);
        for (path, file) in repository.base.iter() {
            digest.add(path.as_bytes());
            digest.add(&file.content);
            digest.add(&[u8::from(file.executable)]);
        }
        digest.finish()
    }

    /// Whether any test stays out of replies.
    #[must_use]
    pub fn hides_any(&self, tests: &[TestInfo]) -> bool {
        match self.expected {
            Expected::Named => tests.iter().any(|test| test.hidden),
            Expected::Collected { hidden } => hidden,
        }
    }

    /// The groups that `lines` are scored in: those of the problem, or one for each test that was
    /// found.
    #[must_use]
    pub fn groups(&self, problem: &Problem, lines: &[Line]) -> Vec<Group> {
        match self.expected {
            Expected::Named => problem.groups.clone(),
            Expected::Collected { .. } => {
                let judged = lines.iter().enumerate().filter(|(_, line)| line.verdict.is_some());
                judged.map(|(at, line)| Group::of_one(at, &line.info)).collect()
            }
        }
    }
}

impl Framework {
    /// The framework with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|framework| framework.name() == name)
    }

    /// Who may open the memory of a session.
    #[must_use]
    pub fn memory(self) -> Memory {
        match self {
            // It closes its own, and leaves alone that of the processes that tests start.
            Self::Pytest | Self::Unittest => Memory::Own,
            Self::NodeTest | Self::Junit4 | Self::Junit5 => Memory::Closed,
        }
    }

    /// Whether a file holds tests, by the rules of the framework.
    #[must_use]
    pub fn is_test(self, path: &str, content: &[u8]) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        match self {
            Self::Pytest => {
                name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py"))
            }
            Self::Unittest => name.ends_with(".py") && name.starts_with("test"),
            Self::NodeTest => {
                let Some((stem, extension)) = name.rsplit_once('.') else { return false };
                matches!(extension, "js" | "mjs" | "cjs")
                    && (stem == "test"
                        || stem.starts_with("test-")
                        || [".test", "-test", "_test"].iter().any(|end| stem.ends_with(end)))
            }
            Self::Junit4 | Self::Junit5 => {
                let text = String::from_utf8_lossy(content);
                let marks =
                    ["@Test", "@ParameterizedTest", "@RepeatedTest", "@TestFactory", "@RunWith"];
                name.ends_with(".java") && marks.iter().any(|mark| text.contains(mark))
            }
        }
    }

    /// The file that a test's name begins with, where names do.
    #[must_use]
    pub fn file_of(self, test: &str) -> Option<&str> {
        match self {
            Self::Pytest => Some(test.split("::").next().unwrap_or(test)),
            Self::Unittest | Self::NodeTest | Self::Junit4 | Self::Junit5 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_tests_are_known_by_name_or_content() {
        let is_test = |framework: Framework, path: &str| framework.is_test(path, b"@Test void f()");
        for (framework, yes, no) in [
            (Framework::Pytest, "a/test_x.py", "a/conftest.py"),
            (Framework::Pytest, "x_test.py", "test_x.txt"),
            (Framework::Unittest, "tests.py", "a/x.py"),
            (Framework::NodeTest, "a/x.test.mjs", "a/x.js"),
            (Framework::NodeTest, "test.js", "test.json"),
            (Framework::Junit4, "a/FooTest.java", "a/FooTest.kt"),
        ] {
            assert!(is_test(framework, yes) && !is_test(framework, no), "{yes} {no}");
        }
        assert!(!Framework::Junit5.is_test("Foo.java", b"class Foo {}"));
        for framework in Framework::ALL {
            assert_eq!(Framework::named(framework.name()), Some(framework));
        }
    }
}
