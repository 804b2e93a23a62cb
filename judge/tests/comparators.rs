//! The comparators against references written in Python, as the graders that they reproduce are: on
//! pairs that are random, and on pairs that were made to differ by what each rule is about.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use judge::problem::checkers::checker;
use serde_json::{Map, Value, json};

const REFERENCE: &str = include_str!("comparators.py");
const PAIRS: usize = 6000;

/// A generator of numbers that is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const PIECES: [&str; 52] = [
    "1",
    "2",
    "10",
    "-3",
    "+4",
    "0",
    "-0",
    "007",
    "1.0",
    "1.00",
    "0.1",
    "1e3",
    "1000",
    "1e-7",
    "0.33333333",
    "0.33333334",
    "1.000001",
    "1.0000011",
    "0.9999999",
    ".5",
    "5.",
    "1_000",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "1e400",
    "a",
    "A",
    "ab",
    "YES",
    "yes",
    "x1",
    "0x1",
    "\u{e9}",
    "\u{c9}",
    "\u{a0}",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\n",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "50000000000000001",
];

fn text(numbers: &mut Numbers) -> String {
    (0..numbers.below(9)).map(|_| numbers.pick(&PIECES)).collect()
}

/// The same text with a small change, or none.
fn neighbour(numbers: &mut Numbers, text: &str) -> String {
    let piece = numbers.pick(&PIECES);
    let at = numbers.below(text.chars().count() + 1);
    let (head, tail): (String, String) =
        (text.chars().take(at).collect(), text.chars().skip(at).collect());
    match numbers.below(7) {
        0 => format!("{head}{piece}{tail}"),
        1 => format!("{head}{}", tail.chars().skip(1).collect::<String>()),
        2 => format!("{text}\n"),
        3 => format!(" {text} "),
        4 => text.replace('\n', " \n"),
        5 => text.lines().rev().collect::<Vec<_>>().join("\n"),
        _ => text.to_owned(),
    }
}

const RULES: [(&str, &str); 18] = [
    ("dmoj-standard", "{}"),
    ("dmoj-identical", "{}"),
    ("dmoj-rstripped", "{}"),
    ("dmoj-rstripped", r#"{"filter_new_line":true}"#),
    ("dmoj-floats", "{}"),
    ("dmoj-floats", r#"{"precision":2,"error_mode":"absolute"}"#),
    ("dmoj-floats", r#"{"precision":3,"error_mode":"relative"}"#),
    ("dmoj-sorted", "{}"),
    ("dmoj-sorted", r#"{"split_on":"whitespace"}"#),
    ("dmoj-unordered", "{}"),
    ("dmoj-easy", "{}"),
    ("dmoj-linecount", "{}"),
    ("dmoj-linematches", r#"{"point_distribution":[1,2]}"#),
    ("lcb", "{}"),
    ("apps", "{}"),
    ("prime_code", "{}"),
    ("verl", "{}"),
    ("sandbox_fusion", "{}"),
];

/// What the references say: accepted and for which part of the points, for each rule and pair.
fn references(pairs: &[(String, String)]) -> Vec<Vec<Option<(bool, f64)>>> {
    let request = json!({"rules": RULES, "pairs": pairs}).to_string();
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", REFERENCE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let reply = python.wait_with_output().unwrap();
    assert!(reply.status.success());
    serde_json::from_slice(&reply.stdout).unwrap()
}

#[test]
fn every_comparator_agrees_with_its_reference_in_python() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut pairs = Vec::with_capacity(PAIRS);
    for _ in 0..PAIRS {
        let answer = text(&mut numbers);
        let output = match numbers.below(3) {
            0 => text(&mut numbers),
            _ => neighbour(&mut numbers, &answer),
        };
        pairs.push((output, answer));
    }
    let mut accepted = 0;
    for ((name, given), expected) in RULES.iter().zip(references(&pairs)) {
        let options: Map<String, Value> = serde_json::from_str(given).unwrap();
        let rule = checker(name, options).unwrap();
        for ((output, answer), expected) in pairs.iter().zip(expected) {
            let found = rule.check(output.as_bytes(), answer.as_bytes()).ok();
            let found = found.map(|marks| (marks.accepted, marks.fraction));
            let same = match (found, expected) {
                (Some((a, x)), Some((b, y))) => a == b && (x - y).abs() < 1e-12,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            assert!(same, "{name} {given}: {output:?} {answer:?}: {found:?}, not {expected:?}");
            accepted += usize::from(found.is_some_and(|(accepted, _)| accepted));
        }
    }
    // A test in which everything is refused would show little.
    assert!(accepted > RULES.len() * PAIRS / 10, "only {accepted} were accepted");
}
