//! The problem model, and its readers, one a file: [`inline`] for the native form, [`input_output`]
//! for LiveCodeBench and APPS, [`dmoj`] for the folders of DMOJ, [`unit_tests`] and [`repository`] for tests with names,
//! [`folder`] for the command line, [`answer`] for problems that are answered without a program.
//!
//! A [`Problem`] that exists has at least one test, every position in it points at something, and it
//! lies within [`crate::limits`].

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandbox::Limits;

use crate::grade::exit::Convention;
use crate::grade::{CallRule, Checker, Value};
use crate::language::Language;
use crate::suite::Suite;

pub mod answer;
pub mod checkers;
pub mod dmoj;
pub mod files;
pub mod folder;
pub mod inline;
pub mod input_output;
pub mod locate;
pub mod repository;
pub mod unit_tests;

/// What a program should do, and what that is worth.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What it should do.
    pub task: Task,
    /// One entry for each test, in the order in which they run.
    pub tests: Vec<TestInfo>,
    /// All tests, in order, each in one group.
    pub groups: Vec<Group>,
}

/// What a program should do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Reads standard input, writes standard output.
    Stdio(Stdio),
    /// Must pass a program that runs after it.
    Assertions {
        /// The program.
        code: String,
    },
    /// Has a function that is called.
    Calls(Calls),
    /// Is judged by tests with names.
    Suite(Box<Suite>),
}

/// What holds for a test of any kind.
#[derive(Clone, Debug, PartialEq)]
pub struct TestInfo {
    /// What it is worth where it is a group of its own.
    pub points: f64,
    /// Whether its content stays out of replies.
    pub hidden: bool,
    /// Whether all that follows is skipped where it is not accepted.
    pub stops_all: bool,
    /// Its name, where it has one.
    pub name: Option<String>,
}

impl Default for TestInfo {
    fn default() -> Self {
        Self { points: 1.0, hidden: false, stops_all: false, name: None }
    }
}

/// Tests that are scored together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Positions of its tests.
    pub tests: Range<usize>,
    /// What it is worth: the part of it that its worst test earns.
    pub points: f64,
    /// Positions of earlier groups that must pass before it runs.
    pub depends_on: Vec<usize>,
    /// Whether the tests after one that is not accepted are skipped.
    pub stop_early: bool,
}

/// Tests of standard input and output.
#[derive(Clone, Debug, Default)]
pub struct Stdio {
    /// One for each test.
    pub cases: Vec<Case>,
    /// Programs of the problem, which cases name by their position.
    pub helpers: Vec<Helper>,
    /// What the submission is compiled into, where it is no program of its own.
    pub signature: Option<Signature>,
}

/// One test of standard input and output.
#[derive(Clone, Debug)]
pub struct Case {
    /// Input and answer.
    pub data: Data,
    /// How the output is judged.
    pub judging: Judging,
    /// Bytes of output, where the problem bounds them.
    pub output_max: Option<u64>,
    /// The wall time as a multiple of the cpu time, where the problem says so.
    pub wall_time_factor: Option<f64>,
    /// Files of the problem that the program finds in its folder.
    pub files: Vec<(String, Bytes)>,
}

/// Where input and answer come from.
#[derive(Clone, Debug)]
pub enum Data {
    /// They are given.
    Given {
        /// What the program reads.
        stdin: Bytes,
        /// What it should write.
        answer: Bytes,
    },
    /// A program makes them: standard output is the input, standard error the answer.
    Generated {
        /// The position of the program.
        helper: usize,
        /// Its arguments.
        args: Vec<String>,
        /// What it reads.
        stdin: Bytes,
        /// The input, where it is given all the same.
        input: Option<Bytes>,
        /// The answer, where it is given all the same.
        answer: Option<Bytes>,
        /// Whether line ends are made uniform.
        text: bool,
    },
}

/// How the output of a case is judged.
#[derive(Clone, Debug)]
pub enum Judging {
    /// By one of our own checkers.
    Checker(Checker),
    /// By a checker of the problem.
    Program(HelperUse),
    /// By a program that talks with the submission.
    Interactor(HelperUse),
}

/// How a helper is called and understood.
#[derive(Clone, Debug, PartialEq)]
pub struct HelperUse {
    /// Its position.
    pub helper: usize,
    /// What its exit code means.
    pub convention: Convention,
    /// Its arguments: `{input}`, `{output}` and `{answer}` are names of files.
    pub args: Vec<String>,
    /// Whether what it says is for the program's author.
    pub feedback: bool,
}

/// A program of the problem.
#[derive(Clone, Debug)]
pub struct Helper {
    /// Its language.
    pub language: Arc<Language>,
    /// Its source, and files beside it.
    pub source: Bytes,
    /// Files beside the source.
    pub files: Vec<(String, Bytes)>,
    /// Further sources among the files, which are compiled with it.
    pub more_sources: Vec<String>,
    /// Arguments of its compiler.
    pub flags: Vec<String>,
    /// What it may use.
    pub limits: Limits,
    /// How long its compiler may run, where the problem says so.
    pub compile_time: Option<Duration>,
}

/// A main program of the problem that calls what the submission defines.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The main program.
    pub entry: Bytes,
    /// Name and content of the header that both include.
    pub header: (String, Bytes),
    /// Whether a `main` of the submission keeps its name.
    pub allow_main: bool,
}

/// Calls of a function.
#[derive(Clone, Debug)]
pub struct Calls {
    /// The function's name.
    pub entry: String,
    /// One for each test.
    pub calls: Vec<Call>,
    /// How results are compared.
    pub rule: CallRule,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The arguments: a JSON array.
    pub args: String,
    /// What should be returned, as it was written.
    pub answer: String,
    /// The same, read.
    pub expected: Value,
}

impl Problem {
    /// A problem whose tests are each a group of its own.
    #[must_use]
    pub fn ungrouped(task: Task, tests: Vec<TestInfo>) -> Self {
        let groups = tests.iter().enumerate().map(|(at, test)| Group::of_one(at, test)).collect();
        Self { task, tests, groups }
    }

    /// Its kind in requests.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.task {
            Task::Stdio(_) => "stdio",
            Task::Assertions { .. } => "assertions",
            Task::Calls(_) => "function",
            Task::Suite(suite) => suite.kind(),
        }
    }

    /// How many slots it needs at the same time.
    #[must_use]
    pub fn slots(&self) -> usize {
        match &self.task {
            Task::Stdio(stdio) => {
                let interactive = |case: &Case| matches!(case.judging, Judging::Interactor(_));
                if stdio.cases.iter().any(interactive) { 2 } else { 1 }
            }
            Task::Assertions { .. } | Task::Calls(_) | Task::Suite(_) => 1,
        }
    }
}

impl Group {
    /// The group of a test that is in no other.
    #[must_use]
    pub fn of_one(at: usize, test: &TestInfo) -> Self {
        Self { tests: at..at + 1, points: test.points, depends_on: Vec::new(), stop_early: true }
    }
}
