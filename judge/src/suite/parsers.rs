//! Reads what a command of a repository says of its tests, in the forms that test tools write. Pure.
//!
//! Such output comes from the process that the candidate's code runs in, so that it can be forged by
//! whoever knows the form; a framework with a driver of ours has no such door. A name that occurs twice
//! counts by its worst result.

use super::ledger::{Came, Entry, Report};
use crate::limits::{SUITE_NAME_BYTES_MAX, SUITE_TESTS_MAX};

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// pytest with `-rA` or `-v`.
    Pytest,
    /// The Test Anything Protocol, as `node --test --test-reporter=tap` writes it.
    Tap,
    /// `go test -json`.
    GoJson,
    /// `cargo test`.
    Cargo,
    /// A file in the form of JUnit's XML reports.
    JunitXml,
    /// Nothing but the exit code, as a test of the name `exit_code`.
    ExitCode,
}

impl Parser {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pytest, Self::Tap, Self::GoJson, Self::Cargo, Self::JunitXml, Self::ExitCode];

    /// Its name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pytest => "pytest",
            Self::Tap => "tap",
            Self::GoJson => "go_json",
            Self::Cargo => "cargo",
            Self::JunitXml => "junit_xml",
            Self::ExitCode => "exit_code",
        }
    }

    /// The parser with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|parser| parser.name() == name)
    }

    /// What `output`, and the exit code, say of the tests.
    #[must_use]
    pub fn read(self, output: &[u8], exit_code: i32) -> Report {
        let text = String::from_utf8_lossy(output);
        let mut found = Found::default();
        match self {
            Self::Pytest => text.lines().for_each(|line| pytest(line, &mut found)),
            Self::Tap => tap(&text, &mut found),
            Self::GoJson => text.lines().for_each(|line| go_json(line, &mut found)),
            Self::Cargo => text.lines().for_each(|line| cargo(line, &mut found)),
            Self::JunitXml => junit_xml(&text, &mut found),
            Self::ExitCode => {
                let came = if exit_code == 0 { Came::Passed } else { Came::Failed };
                found.add("exit_code".to_owned(), came, "");
            }
        }
        found.report()
    }
}

/// What was found, in order.
#[derive(Debug, Default)]
struct Found {
    /// Tests that began, where their end may be missing.
    begun: Vec<String>,
    results: Vec<Entry>,
}

impl Found {
    fn add(&mut self, name: String, came: Came, text: &str) {
        if name.is_empty() || name.len() > SUITE_NAME_BYTES_MAX {
            return;
        }
        // Grading takes the worst of several entries of a name.
        if self.results.len() <= 4 * SUITE_TESTS_MAX {
            let text: String = text.chars().take(2000).collect();
            self.results.push(Entry(name, "call".to_owned(), came, text));
        }
    }

    /// A test that began; one that says no more did not end.
    fn begin(&mut self, name: String) {
        let fits = !name.is_empty() && name.len() <= SUITE_NAME_BYTES_MAX;
        if fits && self.begun.len() <= SUITE_TESTS_MAX {
            self.begun.push(name);
        }
    }

    fn report(self) -> Report {
        let mut known = std::collections::HashSet::new();
        let names = self.begun.iter().chain(self.results.iter().map(|entry| &entry.0));
        let collected = names.filter(|name| known.insert(*name)).cloned().collect();
        Report { control: true, collected, results: self.results, ..Report::default() }
    }
}

/// `PASSED a.py::test`, `FAILED a.py::test - why`, and `a.py::test PASSED [ 50%]`.
fn pytest(line: &str, found: &mut Found) {
    let came = |word: &str| match word {
        "PASSED" => Some(Came::Passed),
        "FAILED" => Some(Came::Failed),
        "ERROR" => Some(Came::Crashed),
        "SKIPPED" => Some(Came::Skipped),
        "XFAIL" => Some(Came::Xfailed),
        "XPASS" => Some(Came::Failed),
        _ => None,
    };
    let line = line.trim_end();
    if let Some((word, rest)) = line.split_once(' ')
        && let Some(came) = came(word)
        && rest.contains("::")
    {
        let (name, text) = rest.split_once(" - ").unwrap_or((rest, ""));
        found.add(name.trim().to_owned(), came, text);
        return;
    }
    // With `-v`, where a percentage follows.
    let line =
        line.rsplit_once(" [").filter(|(_, rest)| rest.ends_with("%]")).map_or(line, |it| it.0);
    if let Some((name, word)) = line.trim_end().rsplit_once(' ')
        && let Some(came) = came(word)
        && name.contains("::")
        && !name.contains(" - ")
    {
        found.add(name.trim().to_owned(), came, "");
    }
}

/// `ok 1 - name`, `not ok 2 - name # TODO`; deeper lines belong to the test that ends after them.
fn tap(text: &str, found: &mut Found) {
    // Names of tests that have ended and wait for the name of the test around them, by their depth.
    let mut open: Vec<(usize, Vec<String>, Came)> = Vec::new();
    for line in text.lines() {
        let depth = line.len() - line.trim_start_matches(' ').len();
        let line = line.trim();
        let (failed, rest) = match (line.strip_prefix("not ok"), line.strip_prefix("ok")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => continue,
        };
        if !rest.starts_with([' ', '\t']) && !rest.is_empty() {
            continue;
        }
        let rest = rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let rest = rest.strip_prefix("- ").unwrap_or(rest);
        let (name, directive) = match rest.rfind(" # ") {
            Some(at) => (rest[..at].trim_end(), rest[at + 3..].to_ascii_uppercase()),
            None => (rest.trim_end(), String::new()),
        };
        let came = if directive.starts_with("SKIP") {
            Came::Skipped
        } else if directive.starts_with("TODO") && failed {
            Came::Xfailed
        } else if failed {
            Came::Failed
        } else {
            Came::Passed
        };
        let mut below: Vec<(usize, Vec<String>, Came)> = Vec::new();
        while open.last().is_some_and(|(known, ..)| *known > depth) {
            below.extend(open.pop());
        }
        for (known, mut names, came) in below.into_iter().rev() {
            names.insert(0, name.to_owned());
            open.push((depth.min(known), names, came));
        }
        open.push((depth, vec![name.to_owned()], came));
        if open.len() > 4 * SUITE_TESTS_MAX {
            break;
        }
    }
    for (_, names, came) in open {
        found.add(names.join(" > "), came, "");
    }
}

/// One event a line; a test's name is that of Go. A test that panics is told as one that failed, after what
/// the runtime wrote about it.
fn go_json(line: &str, found: &mut Found) {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Event {
        action: String,
        test: Option<String>,
        output: Option<String>,
    }
    let Ok(Event { action, test: Some(test), output }) = serde_json::from_str::<Event>(line) else {
        return;
    };
    let output = output.unwrap_or_default();
    match action.as_str() {
        "run" => found.begin(test),
        "output" if output.starts_with("panic: ") => {
            found.add(test, Came::Crashed, output.trim_end());
        }
        "pass" => found.add(test, Came::Passed, ""),
        "fail" => found.add(test, Came::Failed, ""),
        "skip" => found.add(test, Came::Skipped, ""),
        _ => {}
    }
}

/// `test module::name ... ok`.
fn cargo(line: &str, found: &mut Found) {
    let Some((name, came)) =
        line.trim().strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
    else {
        return;
    };
    let name = name.trim_end_matches(" - should panic").to_owned();
    match came.split(',').next().unwrap_or_default().trim() {
        "ok" => found.add(name, Came::Passed, ""),
        "FAILED" => found.add(name, Came::Failed, ""),
        "ignored" => found.add(name, Came::Skipped, ""),
        _ => {}
    }
}

/// Each `<testcase classname="c" name="n">`, as `c.n`, with the `<failure>`, `<error>` or `<skipped>` in it.
fn junit_xml(text: &str, found: &mut Found) {
    let mut current: Option<(String, Came, String)> = None;
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        if let Some(data) = rest.strip_prefix("![CDATA[") {
            rest = data.find("]]>").map_or("", |end| &data[end + 3..]);
            continue;
        }
        let Some(end) = tag_end(rest) else { break };
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        let closes = tag.ends_with('/');
        let name = tag.trim_end_matches('/').split(char::is_whitespace).next().unwrap_or_default();
        match name {
            "testcase" => {
                let (class, name) = (attribute(tag, "classname"), attribute(tag, "name"));
                let name = match class.as_deref() {
                    None | Some("") => name.unwrap_or_default(),
                    Some(class) => format!("{class}.{}", name.unwrap_or_default()),
                };
                if closes {
                    found.add(name, Came::Passed, "");
                } else {
                    current = Some((name, Came::Passed, String::new()));
                }
            }
            "failure" | "error" | "skipped" => {
                if let Some((_, came, said)) = &mut current {
                    *came = match name {
                        "failure" => Came::Failed,
                        "error" => Came::Crashed,
                        _ => Came::Skipped,
                    };
                    *said = attribute(tag, "message").unwrap_or_default();
                }
            }
            "/testcase" => {
                if let Some((name, came, said)) = current.take() {
                    found.add(name, came, &said);
                }
            }
            _ => {}
        }
    }
}

/// Where a tag ends; a `>` in quotes does not end it.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return Some(at),
            (Some(open), byte) if open == byte => quote = None,
            (None | Some(_), _) => {}
        }
    }
    None
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut rest = tag;
    loop {
        let at = rest.find(name)?;
        let before = rest[..at].chars().next_back();
        rest = &rest[at + name.len()..];
        let Some(value) = rest.trim_start().strip_prefix('=') else { continue };
        if !before.is_some_and(char::is_whitespace) {
            continue;
        }
        let value = value.trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let value = &value[1..];
        return Some(unescaped(&value[..value.find(quote)?]));
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#10;", "\n")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(parser: Parser, output: &str) -> Vec<(String, Came)> {
        let report = parser.read(output.as_bytes(), 1);
        report.results.into_iter().map(|Entry(name, _, came, _)| (name, came)).collect()
    }

    fn named(pairs: &[(&str, Came)]) -> Vec<(String, Came)> {
        pairs.iter().map(|(name, came)| ((*name).to_owned(), *came)).collect()
    }

    proptest! {
        #[test]
        fn no_output_makes_a_panic(text in "(not ok|ok| |#|-|<testcase|name=\"|/>|\"|PASSED|::|test | \\.\\.\\. ok|\n|é|\\{\"Action\":\"pass\",\"Test\":\"a\"\\}){0,40}") {
            for parser in Parser::ALL {
                drop(parser.read(text.as_bytes(), 0));
            }
        }
    }

    #[test]
    fn pytest_says_results_in_two_ways() {
        let output = "tests/test_a.py::test_x PASSED      [ 50%]\ntests/test_a.py::T::test_y[a b] FAILED [100%]\n=== short test summary info ===\nPASSED tests/test_a.py::test_x\nFAILED tests/test_a.py::T::test_y[a b] - assert 1 == 2\nERROR tests/test_b.py::test_z - RuntimeError\nXFAIL a.py::w\nsome text PASSED\n";
        let expected = named(&[
            ("tests/test_a.py::test_x", Came::Passed),
            ("tests/test_a.py::T::test_y[a b]", Came::Failed),
            ("tests/test_a.py::test_x", Came::Passed),
            ("tests/test_a.py::T::test_y[a b]", Came::Failed),
            ("tests/test_b.py::test_z", Came::Crashed),
            ("a.py::w", Came::Xfailed),
        ]);
        assert_eq!(read(Parser::Pytest, output), expected);
    }

    #[test]
    fn tap_names_are_nested_and_directives_count() {
        let output = "TAP version 13\n# Subtest: group\n    # Subtest: inner\n    ok 1 - inner\n      ---\n      duration_ms: 1\n      ...\n    not ok 2 - other\n    1..2\nnot ok 1 - group\nok 2 - skipped # SKIP why\nnot ok 3 - later # TODO\nok 4 - plain\nokay\n1..4\n";
        let expected = named(&[
            ("group > inner", Came::Passed),
            ("group > other", Came::Failed),
            ("group", Came::Failed),
            ("skipped", Came::Skipped),
            ("later", Came::Xfailed),
            ("plain", Came::Passed),
        ]);
        assert_eq!(read(Parser::Tap, output), expected);
    }

    #[test]
    fn go_cargo_and_xml_are_read() {
        let go = "{\"Action\":\"run\",\"Test\":\"TestA\"}\n{\"Action\":\"pass\",\"Package\":\"p\",\"Test\":\"TestA\"}\n{\"Action\":\"fail\",\"Test\":\"TestB/x\"}\n{\"Action\":\"pass\",\"Package\":\"p\"}\nnoise\n";
        assert_eq!(
            read(Parser::GoJson, go),
            named(&[("TestA", Came::Passed), ("TestB/x", Came::Failed)])
        );
        let ends = "{\"Action\":\"run\",\"Test\":\"TestA\"}\n{\"Action\":\"output\",\"Test\":\"TestA\",\"Output\":\"panic: 3 [recovered]\\n\"}\n{\"Action\":\"fail\",\"Test\":\"TestA\"}\n{\"Action\":\"run\",\"Test\":\"TestB\"}\n";
        let expected = named(&[("TestA", Came::Crashed), ("TestA", Came::Failed)]);
        assert_eq!(read(Parser::GoJson, ends), expected);
        let report = Parser::GoJson.read(ends.as_bytes(), 1);
        assert_eq!(report.collected, ["TestA", "TestB"]);
        let cargo = "running 3 tests\ntest a::b ... ok\ntest c - should panic ... ok\ntest d ... FAILED\ntest e ... ignored, why\ntest result: FAILED. 2 passed\n";
        let expected = named(&[
            ("a::b", Came::Passed),
            ("c", Came::Passed),
            ("d", Came::Failed),
            ("e", Came::Skipped),
        ]);
        assert_eq!(read(Parser::Cargo, cargo), expected);
        let xml = "<?xml version=\"1.0\"?><testsuite name=\"s\"><!-- <testcase name=\"no\"/> --><testcase classname=\"a.B\" name=\"x &lt; y\" time=\"1\"/><testcase name='bad'><failure message=\"a > b\">t</failure></testcase><testcase classname=\"C\" name=\"s\"><skipped/></testcase></testsuite>";
        let expected =
            named(&[("a.B.x < y", Came::Passed), ("bad", Came::Failed), ("C.s", Came::Skipped)]);
        assert_eq!(read(Parser::JunitXml, xml), expected);
    }

    #[test]
    fn an_exit_code_is_one_test() {
        assert_eq!(read(Parser::ExitCode, ""), named(&[("exit_code", Came::Failed)]));
        assert_eq!(Parser::ExitCode.read(b"", 0).results[0].2, Came::Passed);
        for parser in Parser::ALL {
            assert_eq!(Parser::named(parser.name()), Some(parser));
        }
    }
}
