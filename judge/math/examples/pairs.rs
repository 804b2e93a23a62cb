//! Runs labelled pairs (JSON lines with gold, pred, expected) and prints what fails.
#![expect(clippy::print_stdout, reason = "a command line")]

use std::collections::BTreeMap;

fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let verbose = std::env::args().nth(2).is_some();
    let text = std::fs::read_to_string(&path).expect("the first argument names a file");
    let policy = math::Policy::default();
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let pair: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        let field = |name: &str| pair[name].as_str().unwrap_or_default().to_owned();
        let expected = pair["expected"].as_bool().unwrap_or_default();
        let start = std::time::Instant::now();
        let decision = math::compare(&field("gold"), &field("pred"), &policy);
        let micros = start.elapsed().as_micros();
        *counts.entry((expected, decision.verdict.as_str())).or_default() += 1;
        let right = expected == (decision.verdict == math::Verdict::Equal);
        let decided = decision.verdict != math::Verdict::Undecided;
        if !right || !decided || verbose {
            println!(
                "{} {} expected {expected}: {} ({}) {micros}us | {} | {} || {} | {}",
                if right { "ok   " } else { "WRONG" },
                field("topic"),
                decision.verdict,
                decision.reason,
                field("gold"),
                field("pred"),
                decision.explanation.reference,
                decision.explanation.answer,
            );
        }
    }
    println!("{counts:?}");
}
