//! Throws random soups of notation and mutated pairs at the comparison for a number
//! of rounds and reports panics, the largest fuel and the slowest input.
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
    slowest: (Duration, String),
}

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

fn examine(left: &str, right: &str, findings: &mut Findings) {
    let policy = math::Policy::default();
    let timed = || {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| math::compare(left, right, &policy)));
        (start.elapsed(), result)
    };
    let (mut time, result) = timed();
    if time > Duration::from_millis(4) {
        // A slow one may only have lost its core: the best of four counts.
        time = (0..3).map(|_| timed().0).fold(time, Duration::min);
    }
    if time > findings.slowest.0 {
        findings.slowest = (time, format!("{left} | {right}"));
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
    let seeds = seeds();
    let mut findings = Findings::default();
    let started = Instant::now();
    for round in 0..rounds {
        let (left, right) = if round % 2 == 0 {
            (soup(&mut state), soup(&mut state))
        } else {
            (mutated(&mut state, &seeds), mutated(&mut state, &seeds))
        };
        let right = if round % 5 == 0 { left.clone() + " " + &right } else { right };
        examine(&left, &right, &mut findings);
    }
    println!(
        "{rounds} rounds in {:?}: {} panics, {} one-sided, largest fuel {} of {}, slowest {:?} {}",
        started.elapsed(),
        findings.panics,
        findings.one_sided,
        findings.fuel,
        math::limits::FUEL,
        findings.slowest.0,
        findings.slowest.1
    );
}
