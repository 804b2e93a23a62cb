//! What a session of tests came to, test by test. Pure.
//!
//! A test is accepted where a sealed report says that it passed in all its phases, the driver's own
//! test failed, and nothing was tampered with. A session that has no such report has one verdict, that
//! of its end; the test that was running gets it, and no other test has any.

use std::collections::HashMap;

use sandbox::Outcome;
use sandbox::outcome::Termination;

use super::ledger::{Came, Entry, Ledger, Report};
use super::{Expected, List};
use crate::grade::{FailurePatterns, Flag, Verdict, detect};
use crate::limits::{STDERR_TAIL_BYTES, SUITE_MESSAGES_MAX, SUITE_TESTS_MAX};
use crate::problem::TestInfo;

/// What came of one test.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What holds for it.
    pub info: TestInfo,
    /// `None` where nothing is known of it.
    pub verdict: Option<Verdict>,
    /// What was said about it.
    pub message: Option<String>,
    /// The list that it is of, where there are lists.
    pub list: Option<&'static str>,
}

impl Line {
    fn new(info: TestInfo, verdict: Option<Verdict>, message: Option<String>) -> Self {
        Self { info, verdict, message, list: None }
    }
}

/// What came of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// One entry for each test that must be there, or that was found.
    pub lines: Vec<Line>,
    /// Observations.
    pub flags: Vec<Flag>,
}

/// What is known before a session.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Which tests there must be.
    pub expected: Expected,
    /// Their names, and what holds for them.
    pub tests: &'a [TestInfo],
    /// Which list each is of; empty where there are no lists.
    pub lists: &'a [List],
    /// Whether the report must be sealed; that of a command is not, and says what its exit code says.
    pub seal: Seal,
    /// How the language's runtime names failures.
    pub patterns: &'a FailurePatterns,
}

/// Whether a report is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// By a driver, which then ends with exit code 0.
    Needed,
    /// A command wrote it; it may end with any exit code.
    None,
}

/// Grades a session.
#[must_use]
pub fn grade(asked: Asked<'_>, ledger: &Ledger, outcome: &Outcome) -> Session {
    let mut flags = detect::raised(&outcome.stderr.bytes);
    if ledger.forged {
        flags.push(Flag::ForgedReport);
    }
    let ended_well = match (outcome.termination, asked.seal) {
        (Termination::Exited { code: 0 }, _) | (Termination::Exited { .. }, Seal::None) => true,
        (Termination::Exited { .. }, Seal::Needed) => false,
        (
            Termination::Signalled { .. }
            | Termination::CpuTimeLimit
            | Termination::WallTimeLimit
            | Termination::MemoryLimit
            | Termination::OutputLimit,
            _,
        ) => false,
    };
    let mut lines = match &ledger.report {
        Some(report) if ended_well => match tampering(report) {
            None => proven(asked, report),
            Some(how) => {
                flags.push(Flag::TampersTests);
                whole(asked, Verdict::WrongAnswer, None, &how)
            }
        },
        Some(_) | None => {
            let (verdict, how) = ending(asked.patterns, outcome, &mut flags);
            whole(asked, verdict, ledger.running.as_deref(), how)
        }
    };
    let told = lines.iter_mut().filter(|line| line.message.is_some());
    told.skip(SUITE_MESSAGES_MAX).for_each(|line| line.message = None);
    for (line, list) in lines.iter_mut().zip(asked.lists) {
        line.list = Some(list.name());
    }
    flags.sort_unstable();
    flags.dedup();
    Session { lines, flags }
}

/// Why a session is not accepted: as a word, and as a sentence that names no test.
#[must_use]
pub fn note(lines: &[Line]) -> Option<(&'static str, String)> {
    let count = |verdict: fn(Verdict) -> bool| {
        lines.iter().filter(|line| line.verdict.is_some_and(verdict)).count()
    };
    let failed = count(|verdict| verdict != Verdict::Accepted);
    let lost = count(|verdict| verdict == Verdict::NotCollected);
    let all = lines.len();
    if failed == 0 {
        return None;
    }
    let of = |list: List| {
        let mine = |line: &&Line| line.list == Some(list.name());
        let broken = |line: &&Line| line.verdict != Some(Verdict::Accepted);
        let all = lines.iter().filter(mine);
        (all.clone().filter(broken).count(), all.count())
    };
    let ((newly, all_newly), (still, all_still)) = (of(List::FailToPass), of(List::PassToPass));
    let told = format!(
        "{newly} of {all_newly} tests that must newly pass did not; \
         {still} of {all_still} that must still pass did not"
    );
    Some(if lost > 0 && lost == failed {
        ("tests_not_collected", format!("{lost} of {all} tests were not there"))
    } else if newly > 0 {
        ("newly_passing_failed", told)
    } else if still > 0 {
        ("still_passing_broken", told)
    } else {
        ("tests_failed", format!("{failed} of {all} tests failed"))
    })
}

fn tampering(report: &Report) -> Option<String> {
    match report.faults.first() {
        Some(fault) => Some(fault.clone()),
        None if !report.control && !report.collected.is_empty() => {
            Some("a test that must fail passed".to_owned())
        }
        None => None,
    }
}

/// The verdict of a session without a report.
fn ending(
    patterns: &FailurePatterns,
    outcome: &Outcome,
    flags: &mut Vec<Flag>,
) -> (Verdict, &'static str) {
    let stderr = &outcome.stderr.bytes;
    let tail = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(STDERR_TAIL_BYTES)..]);
    let memory = patterns.memory.iter().any(|word| tail.contains(word.as_str()));
    match outcome.termination {
        Termination::CpuTimeLimit => (Verdict::TimeLimitExceeded, "the cpu time ran out"),
        Termination::WallTimeLimit => (Verdict::WallTimeLimitExceeded, "the wall time ran out"),
        Termination::MemoryLimit => (Verdict::MemoryLimitExceeded, "the memory ran out"),
        Termination::OutputLimit => (Verdict::OutputLimitExceeded, "the output was too long"),
        Termination::Exited { code: 0 } => {
            flags.push(Flag::Incomplete);
            (Verdict::WrongAnswer, "the process ended before the tests did")
        }
        Termination::Exited { code: detect::REFUSED_CODE } if !flags.is_empty() => {
            (Verdict::WrongAnswer, "the program asked for what no solution needs")
        }
        Termination::Exited { .. } | Termination::Signalled { .. } if memory => {
            (Verdict::MemoryLimitExceeded, "the memory ran out")
        }
        Termination::Exited { .. } => {
            (Verdict::RuntimeError, "the process ended before the tests did")
        }
        Termination::Signalled { .. } => (Verdict::RuntimeError, "a signal ended the process"),
    }
}

/// One verdict for all: for the test that ran, or else for the first.
fn whole(asked: Asked<'_>, verdict: Verdict, running: Option<&str>, how: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = match asked.expected {
        Expected::Named => {
            asked.tests.iter().map(|info| Line::new(info.clone(), None, None)).collect()
        }
        Expected::Collected { hidden } => {
            let name = running.filter(|_| !hidden).map(str::to_owned);
            let info = TestInfo { hidden, name, ..TestInfo::default() };
            vec![Line::new(info, None, None)]
        }
    };
    let named = |line: &Line| running.is_some() && line.info.name.as_deref() == running;
    let at = lines.iter().position(named).unwrap_or(0);
    if let Some(line) = lines.get_mut(at) {
        line.verdict = Some(verdict);
        line.message = Some(how.to_owned());
    }
    lines
}

/// What a sealed report says.
fn proven(asked: Asked<'_>, report: &Report) -> Vec<Line> {
    let mut by_name: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in &report.results {
        by_name.entry(entry.0.as_str()).or_default().push(entry);
    }
    let judged = |name: &str| by_name.get(name).map(|phases| worst(phases));
    match asked.expected {
        Expected::Named => asked
            .tests
            .iter()
            .map(|info| {
                let name = info.name.as_deref().unwrap_or_default();
                let (verdict, message) = match judged(name) {
                    Some((verdict, message)) => (verdict.unwrap_or(Verdict::WrongAnswer), message),
                    None => missing(report, name),
                };
                Line::new(info.clone(), Some(verdict), message)
            })
            .collect(),
        Expected::Collected { hidden } => {
            let info = |name: &str| {
                let name = (!hidden).then(|| name.to_owned());
                TestInfo { hidden, name, ..TestInfo::default() }
            };
            let too_many = report.collected.len() > SUITE_TESTS_MAX;
            let mut lines: Vec<Line> = report
                .collected
                .iter()
                .take(SUITE_TESTS_MAX)
                .map(|name| {
                    let (verdict, message) = judged(name).unwrap_or_else(|| {
                        let (verdict, message) = missing(report, name);
                        (Some(verdict), message)
                    });
                    Line::new(info(name), verdict, message)
                })
                .collect();
            let lost = |name: &str, message: &str| {
                Line::new(info(name), Some(Verdict::NotCollected), Some(message.to_owned()))
            };
            let errors = report.errors.iter().take(SUITE_TESTS_MAX);
            lines.extend(errors.map(|(name, text)| lost(name, text)));
            if too_many {
                lines.push(lost("", "there are more tests than can be judged"));
            }
            if lines.iter().all(|line| line.verdict.is_none()) {
                lines.push(lost("", "no test was found that is not skipped"));
            }
            lines
        }
    }
}

/// The verdict of a test that has no result.
fn missing(report: &Report, name: &str) -> (Verdict, Option<String>) {
    if report.collected.iter().any(|known| known == name) {
        return (Verdict::RuntimeError, Some("the test was found and did not end".to_owned()));
    }
    let why = report.errors.first().map_or("there is no test of this name", |(_, text)| text);
    (Verdict::NotCollected, Some(why.to_owned()))
}

/// What the phases of a test come to together: the first that did not pass decides. `None` is a test
/// that is marked to be skipped.
fn worst(phases: &[&Entry]) -> (Option<Verdict>, Option<String>) {
    let Some(Entry(_, phase, came, text)) =
        phases.iter().find(|entry| entry.2 != Came::Passed).copied()
    else {
        let called = phases.iter().any(|entry| entry.1 == "call");
        let verdict = if called { Verdict::Accepted } else { Verdict::RuntimeError };
        return (Some(verdict), None);
    };
    let verdict = match came {
        Came::Skipped => None,
        Came::Crashed => Some(Verdict::RuntimeError),
        Came::Memory => Some(Verdict::MemoryLimitExceeded),
        Came::Failed if matches!(phase.as_str(), "setup" | "teardown") => {
            Some(Verdict::RuntimeError)
        }
        Came::Passed | Came::Failed | Came::Left | Came::Xfailed => Some(Verdict::WrongAnswer),
    };
    let said = match came {
        Came::Skipped => "it was skipped",
        Came::Left => "it was left while it ran, as if it were to be skipped",
        Came::Xfailed => "it failed, as it is marked to",
        Came::Passed | Came::Failed | Came::Crashed | Came::Memory => "",
    };
    let message = if text.is_empty() { said } else { text };
    (verdict, (!message.is_empty()).then(|| message.to_owned()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sandbox::outcome::{Captured, Usage};

    use super::*;

    fn outcome(termination: Termination, stderr: &str) -> Outcome {
        Outcome {
            termination,
            usage: Usage::default(),
            stdout: Captured::default(),
            stderr: Captured { bytes: Bytes::from(stderr.to_owned()), truncated: false },
            files: Vec::new(),
        }
    }

    fn entry(name: &str, phase: &str, came: Came) -> Entry {
        Entry(name.into(), phase.into(), came, String::new())
    }

    fn named(names: &[&str]) -> Vec<TestInfo> {
        let info = |name: &&str| TestInfo { name: Some((*name).into()), ..TestInfo::default() };
        names.iter().map(info).collect()
    }

    fn report(results: Vec<Entry>) -> Report {
        let mut collected: Vec<String> = results.iter().map(|entry| entry.0.clone()).collect();
        collected.dedup();
        Report { control: true, collected, results, ..Report::default() }
    }

    fn report_of_one() -> Report {
        report(vec![entry("a", "call", Came::Passed)])
    }

    fn session(expected: &[&str], report: Option<Report>, outcome: &Outcome) -> Session {
        let tests = named(expected);
        let patterns = FailurePatterns { memory: vec!["MemoryError".into()], assertion: vec![] };
        let which = match expected {
            [] => Expected::Collected { hidden: false },
            _ => Expected::Named,
        };
        let asked = Asked {
            expected: which,
            tests: &tests,
            lists: &[],
            seal: Seal::Needed,
            patterns: &patterns,
        };
        grade(asked, &Ledger { report, running: Some("b".into()), forged: false }, outcome)
    }

    fn verdicts(session: &Session) -> Vec<Option<Verdict>> {
        session.lines.iter().map(|line| line.verdict).collect()
    }

    const OK: Termination = Termination::Exited { code: 0 };

    #[test]
    fn each_test_gets_what_it_came_to() {
        use Verdict::{Accepted, MemoryLimitExceeded, RuntimeError, WrongAnswer};
        for (came, expected) in [
            (Came::Passed, Accepted),
            (Came::Failed, WrongAnswer),
            (Came::Crashed, RuntimeError),
            (Came::Memory, MemoryLimitExceeded),
            (Came::Skipped, WrongAnswer),
            (Came::Left, WrongAnswer),
            (Came::Xfailed, WrongAnswer),
        ] {
            let report = report(vec![entry("a", "call", came)]);
            let session = session(&["a"], Some(report), &outcome(OK, ""));
            assert_eq!(verdicts(&session), [Some(expected)], "{came:?}");
        }
    }

    #[test]
    fn a_test_that_only_set_up_or_broke_down_has_not_passed() {
        let of = |phases: &[(&str, Came)]| {
            let entries = phases.iter().map(|(phase, came)| entry("a", phase, *came)).collect();
            verdicts(&session(&["a"], Some(report(entries)), &outcome(OK, "")))[0]
        };
        let all = [("setup", Came::Passed), ("call", Came::Passed), ("teardown", Came::Passed)];
        assert_eq!(of(&all), Some(Verdict::Accepted));
        assert_eq!(of(&all[..1]), Some(Verdict::RuntimeError));
        let broke = [("setup", Came::Passed), ("call", Came::Passed), ("teardown", Came::Failed)];
        assert_eq!(of(&broke), Some(Verdict::RuntimeError));
    }

    #[test]
    fn a_test_that_was_not_collected_differs_from_one_that_did_not_end() {
        let mut report = report(vec![entry("a", "call", Came::Passed)]);
        report.collected.push("b".into());
        let session = session(&["a", "b", "c"], Some(report), &outcome(OK, ""));
        let expected = [Verdict::Accepted, Verdict::RuntimeError, Verdict::NotCollected].map(Some);
        assert_eq!(verdicts(&session), expected);
    }

    #[test]
    fn without_a_seal_nothing_passed_and_the_running_test_is_blamed() {
        for (termination, verdict, flag) in [
            (OK, Verdict::WrongAnswer, Some(Flag::Incomplete)),
            (Termination::Exited { code: 3 }, Verdict::RuntimeError, None),
            (Termination::Signalled { signal: 9 }, Verdict::RuntimeError, None),
            (Termination::CpuTimeLimit, Verdict::TimeLimitExceeded, None),
            (Termination::MemoryLimit, Verdict::MemoryLimitExceeded, None),
        ] {
            let session = session(&["a", "b"], None, &outcome(termination, ""));
            assert_eq!(verdicts(&session), [None, Some(verdict)], "{termination:?}");
            assert_eq!(session.flags, flag.into_iter().collect::<Vec<_>>());
        }
        let report = report(vec![entry("a", "call", Came::Passed)]);
        let late = outcome(Termination::CpuTimeLimit, "");
        assert_eq!(
            verdicts(&session(&["a"], Some(report), &late)),
            [Some(Verdict::TimeLimitExceeded)]
        );
        // Nor is one believed that a process sealed which then ended otherwise than its driver does.
        let report = Some(report_of_one());
        let ended = outcome(Termination::Exited { code: 1 }, "");
        assert_eq!(verdicts(&session(&["a"], report, &ended)), [Some(Verdict::RuntimeError)]);
        let memory = outcome(Termination::Exited { code: 1 }, "MemoryError");
        assert_eq!(verdicts(&session(&["b"], None, &memory)), [Some(Verdict::MemoryLimitExceeded)]);
    }

    #[test]
    fn tampering_takes_every_test_with_it() {
        let passed = || vec![entry("a", "call", Came::Passed), entry("b", "call", Came::Passed)];
        let no_control = Report { control: false, ..report(passed()) };
        let faults = Report { faults: vec!["x".into()], ..report(passed()) };
        for report in [no_control, faults] {
            let session = session(&["a", "b"], Some(report), &outcome(OK, ""));
            assert_eq!(verdicts(&session), [Some(Verdict::WrongAnswer), None]);
            assert_eq!(session.flags, [Flag::TampersTests]);
        }
    }

    #[test]
    fn all_that_is_collected_counts_and_nothing_collected_is_no_success() {
        let results = vec![entry("a", "call", Came::Passed), entry("b", "setup", Came::Skipped)];
        let session_of = |report| session(&[], Some(report), &outcome(OK, ""));
        assert_eq!(verdicts(&session_of(report(results))), [Some(Verdict::Accepted), None]);
        let empty = Report { control: false, ..Report::default() };
        assert_eq!(verdicts(&session_of(empty)), [Some(Verdict::NotCollected)]);
        let broken = Report {
            errors: vec![("t.py".into(), "SyntaxError".into())],
            ..report(vec![entry("a", "call", Came::Passed)])
        };
        let found = verdicts(&session_of(broken));
        assert_eq!(found, [Some(Verdict::Accepted), Some(Verdict::NotCollected)]);
    }

    #[test]
    fn lists_tell_what_failed_and_what_broke() {
        let tests = named(&["new", "old"]);
        let lists = [List::FailToPass, List::PassToPass];
        let patterns = FailurePatterns::default();
        let note_of = |new: Came, old: Came| {
            let report = Some(report(vec![entry("new", "call", new), entry("old", "call", old)]));
            let ledger = Ledger { report, ..Ledger::default() };
            let expected = Expected::Named;
            let asked = Asked {
                expected,
                tests: &tests,
                lists: &lists,
                seal: Seal::None,
                patterns: &patterns,
            };
            // A command says with its exit code that tests failed.
            let failed = outcome(Termination::Exited { code: 1 }, "");
            note(&grade(asked, &ledger, &failed).lines).map(|(reason, _)| reason)
        };
        assert_eq!(note_of(Came::Passed, Came::Passed), None);
        assert_eq!(note_of(Came::Failed, Came::Passed), Some("newly_passing_failed"));
        assert_eq!(note_of(Came::Passed, Came::Crashed), Some("still_passing_broken"));
        assert_eq!(note_of(Came::Failed, Came::Failed), Some("newly_passing_failed"));
    }
}
