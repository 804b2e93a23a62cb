//! What the targets share: a service that has every toolchain, the promises of a problem, and how
//! one input is cut into parts.
//!
//! A target falls where a reader panics, takes longer or more memory than libFuzzer allows, or hands
//! on what its type promises not to be.

use std::path::Path;
use std::sync::LazyLock;

use judge::language::Languages;
use judge::limits::{PROGRAM_LIMITS_MAX, TESTS_MAX};
use judge::problem::inline::Context;
use judge::problem::{Data, Judging, Problem, Stdio, Task};
use judge::submission::Rules;
use judge::suite::tree::Tree;
use judge::task::{RewardModelNames, TaskRules};

static LANGUAGES: LazyLock<Languages> =
    LazyLock::new(|| Languages::resolve(|_| true).expect("the table of languages is read"));

static REWARD_MODELS: LazyLock<RewardModelNames> = LazyLock::new(|| RewardModelNames {
    judges: vec!["judge".to_owned()],
    value_heads: vec!["head".to_owned()],
});

/// What the readers of problems look things up in.
pub fn context() -> Context<'static> {
    Context {
        languages: &LANGUAGES,
        limits_max: &PROGRAM_LIMITS_MAX,
        testlib: None,
        repositories: None,
    }
}

/// What submissions are checked against.
pub fn rules() -> TaskRules<'static> {
    let Context { languages, limits_max, testlib, repositories } = context();
    let programs = Rules { languages, limits_max, testlib, repositories };
    TaskRules { programs, reward_models: &REWARD_MODELS }
}

/// Cuts an input at the first line that is `mark`.
pub fn cut<'a>(input: &'a [u8], mark: &str) -> (&'a [u8], &'a [u8]) {
    let mark = mark.as_bytes();
    match input.windows(mark.len()).position(|window| window == mark) {
        Some(at) => (&input[..at], &input[at + mark.len()..]),
        None => (input, b""),
    }
}

/// The promises of [`Problem`]: at least one test, all in one group each and in order, and no position
/// that points at nothing.
pub fn assert_sound(problem: &Problem) {
    // Tests without names are found only when they run.
    let is_open = matches!(&problem.task, Task::Suite(_)) && problem.tests.is_empty();
    assert!(is_open || !problem.tests.is_empty(), "no test");
    assert!(problem.tests.len() <= TESTS_MAX, "{} tests", problem.tests.len());
    let mut next = 0;
    for (at, group) in problem.groups.iter().enumerate() {
        assert!(group.tests.start == next && group.tests.end > next, "group {at} is out of order");
        next = group.tests.end;
        assert!(group.depends_on.iter().all(|on| *on < at), "group {at} waits for a later one");
        assert!(group.points.is_finite() && group.points >= 0.0, "group {at}: {}", group.points);
    }
    assert_eq!(next, problem.tests.len(), "a test is in no group");
    match &problem.task {
        Task::Stdio(stdio) => assert_cases(stdio, problem.tests.len()),
        Task::Calls(calls) => assert_eq!(calls.calls.len(), problem.tests.len()),
        Task::Assertions { .. } => assert_eq!(problem.tests.len(), 1),
        Task::Suite(suite) => {
            suite.files.iter().for_each(|(name, _)| assert_inside(name));
            assert!(suite.lists.is_empty() || suite.lists.len() == problem.tests.len());
        }
    }
}

fn assert_cases(stdio: &Stdio, tests: usize) {
    assert_eq!(stdio.cases.len(), tests);
    let is_there = |helper: usize| assert!(helper < stdio.helpers.len(), "no helper {helper}");
    for case in &stdio.cases {
        if let Data::Generated { helper, .. } = &case.data {
            is_there(*helper);
        }
        match &case.judging {
            Judging::Program(used) | Judging::Interactor(used) => is_there(used.helper),
            Judging::Checker(_) => {}
        }
        case.files.iter().for_each(|(name, _)| assert_inside(name));
        assert!(case.wall_time_factor.is_none_or(|factor| factor.is_finite() && factor > 0.0));
    }
    for helper in &stdio.helpers {
        helper.files.iter().for_each(|(name, _)| assert_inside(name));
    }
}

/// A name that stays in its folder.
pub fn assert_inside(name: &str) {
    let mut parts = Path::new(name).components();
    let is_plain = parts.all(|part| matches!(part, std::path::Component::Normal(_)));
    assert!(is_plain && !name.is_empty() && !name.contains('\0'), "{name:?} leaves its folder");
}

/// Every path of a tree stays in it, and no file is a folder, too.
pub fn assert_tree(tree: &Tree) {
    let mut last: Option<&str> = None;
    for (path, _) in tree.iter() {
        assert_inside(path);
        if let Some(last) = last {
            assert!(!path.starts_with(&format!("{last}/")), "{last:?} is a file and a folder");
        }
        last = Some(path);
    }
}
