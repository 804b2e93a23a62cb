//! Throws random soups of notation and mutated pairs at the comparison for a number of rounds, or
//! until a time is over, and reports panics, the largest fuel and the slowest inputs.
//!
//! usage: soup ROUNDS [SEED] [SECONDS]
#![expect(clippy::print_stdout, reason = "a command line")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const PIECES: &[&str] = &[
    "1",
    "2",
    "0",
    "12",
    "3.5",
    ".5",
    "10",
    "100",
    "999999999999",
    "x",
    "y",
    "n",
    "k",
    "e",
    "i",
    "a",
    "C",
    "f",
    "+",
    "-",
    "*",
    "/",
    "^",
    "_",
    "=",
    "<",
    ">",
    "!",
    "|",
    ",",
    ";",
    ":",
    ".",
    "%",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\\{",
    "\\}",
    " ",
    "'",
    "\\frac",
    "\\sqrt",
    "\\sqrt[3]",
    "\\pi",
    "\\infty",
    "\\pm",
    "\\mp",
    "\\cdot",
    "\\times",
    "\\sin",
    "\\cos",
    "\\tan",
    "\\ln",
    "\\log",
    "\\arcsin",
    "\\arctan",
    "\\exp",
    "\\binom",
    "\\lfloor",
    "\\rfloor",
    "\\le",
    "\\ge",
    "\\ne",
    "\\in",
    "\\cup",
    "\\cap",
    "\\setminus",
    "\\mathbb{R}",
    "\\mathbb{Z}",
    "\\emptyset",
    "\\text{",
    "\\text{ cm}",
    "\\text{ or }",
    " and ",
    " or ",
    "\\circ",
    "^\\circ",
    "\\%",
    "\\$",
    "\\\\",
    "&",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "\\begin{cases}",
    "\\end{cases}",
    "\\sum_{k=1}^{10}",
    "\\int_0^1",
    "\\left",
    "\\right",
    "\\overline{3}",
    "9^{9^{9}}",
    "10^{-300}",
    "!!",
    "\\max",
    "\\gcd",
    "\\begin{vmatrix}",
    "\\end{vmatrix}",
    "12:30",
    "1,234",
    "2,5",
    "²",
    "√",
    "½",
    "π",
    "−",
    "∞",
    "twelve",
    "square feet",
    "no solution",
    "\\boxed{",
    "**",
];

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn pick(state: &mut u64, count: usize) -> usize {
    usize::try_from(next(state) % count as u64).unwrap_or(0)
}

fn soup(state: &mut u64) -> String {
    let length = 1 + pick(state, 14);
    (0..length).map(|_| PIECES[pick(state, PIECES.len())]).collect()
}

fn mutated(state: &mut u64, seeds: &[String]) -> String {
    let mut text: Vec<char> = seeds[pick(state, seeds.len())].chars().collect();
    for _ in 0..=pick(state, 3) {
        let at = pick(state, text.len() + 1);
        match pick(state, 3) {
            0 if at < text.len() => {
                text.remove(at);
            }
            1 => {
                let piece = PIECES[pick(state, PIECES.len())];
                let tail = text.split_off(at);
                text.extend(piece.chars());
                text.extend(tail);
            }
            _ => {
                let other = &seeds[pick(state, seeds.len())];
                text.truncate(at);
                text.extend(other.chars().skip(pick(state, other.len() + 1)));
            }
        }
    }
    text.into_iter().collect()
}

/// What a run found.
#[derive(Default)]
struct Findings {
    panics: usize,
    one_sided: usize,
    fuel: u64,
    /// The slowest, slowest first.
    slowest: Vec<(Duration, u64, String)>,
}

/// How many slow inputs are shown.
const SHOWN: usize = 12;

fn seeds() -> Vec<String> {
    let files = [include_str!("../tests/tricky_pairs.jsonl"), include_str!("../tests/pairs.jsonl")];
    let mut seeds = Vec::new();
    for line in files.iter().flat_map(|file| file.lines()) {
        let pair: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        for name in ["gold", "pred"] {
            seeds.push(pair[name].as_str().unwrap_or_default().to_owned());
        }
    }
    seeds
}

impl Findings {
    fn slow(&mut self, found: (Duration, u64, String)) {
        self.slowest.push(found);
        self.slowest.sort_by_key(|found| std::cmp::Reverse(found.0));
        self.slowest.truncate(SHOWN);
    }
}

fn examine(left: &str, right: &str, findings: &mut Findings) {
    let policy = math::Policy::default();
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| math::compare(left, right, &policy)));
    let mut time = start.elapsed();
    if time > Duration::from_millis(3) {
        // A slow one may only have lost its processor: the best of five counts.
        let again = || {
            let start = Instant::now();
            drop(catch_unwind(AssertUnwindSafe(|| math::compare(left, right, &policy))));
            start.elapsed()
        };
        time = (0..4).map(|_| again()).fold(time, Duration::min);
        let fuel = result.as_ref().map_or(0, |decision| decision.fuel_spent);
        findings.slow((time, fuel, format!("{left} | {right}")));
    }
    let Ok(decision) = result else {
        findings.panics += 1;
        println!("panic on {left:?} | {right:?}");
        return;
    };
    findings.fuel = findings.fuel.max(decision.fuel_spent);
    if decision.verdict == math::Verdict::Equal {
        let back = math::compare(right, left, &policy);
        if back.verdict == math::Verdict::Different {
            findings.one_sided += 1;
            if findings.one_sided <= 20 {
                println!("one-sided: {left:?} | {right:?}: {}, {}", decision.reason, back.reason);
            }
        }
    }
}

fn main() {
    let argument = |index| std::env::args().nth(index).and_then(|text| text.parse::<u64>().ok());
    let rounds = argument(1).unwrap_or(100_000);
    let mut state = argument(2).unwrap_or(0x5eed_1234).max(1);
    let seconds = argument(3).map_or(Duration::MAX, Duration::from_secs);
    let seeds = seeds();
    let mut findings = Findings::default();
    let started = Instant::now();
    let mut done = 0;
    for round in 0..rounds {
        if round % 1024 == 0 && started.elapsed() > seconds {
            break;
        }
        done = round + 1;
        let (left, right) = if round % 2 == 0 {
            (soup(&mut state), soup(&mut state))
        } else {
            (mutated(&mut state, &seeds), mutated(&mut state, &seeds))
        };
        let right = if round % 5 == 0 { left.clone() + " " + &right } else { right };
        examine(&left, &right, &mut findings);
    }
    println!(
        "{done} rounds in {:?}: {} panics, {} one-sided, largest fuel {} of {}; slowest:",
        started.elapsed(),
        findings.panics,
        findings.one_sided,
        findings.fuel,
        math::limits::FUEL,
    );
    for (time, fuel, pair) in &findings.slowest {
        println!("{time:?} fuel {fuel} {pair:?}");
    }
}
