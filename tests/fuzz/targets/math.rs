//! Equivalence of answers. The first byte chooses the policy, a line end parts reference and answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use math::{Extraction, Policy, compare, extract, limits};

const PRESETS: [&str; 6] = ["default", "strict", "math_verify", "prm800k", "qwen", "verl_dapo"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let policy = Policy::preset(PRESETS[usize::from(*first) % PRESETS.len()]).expect("a preset");
    let (reference, answer) = text.split_once('\n').unwrap_or((&text, ""));
    let decision = compare(reference, answer, &policy);
    assert!(decision.fuel_spent <= limits::FUEL, "{} units", decision.fuel_spent);
    let again = compare(reference, answer, &policy);
    assert_eq!((again.verdict, again.fuel_spent), (decision.verdict, decision.fuel_spent));
    for rule in
        [Extraction::Lenient, Extraction::BoxOrPhrase, Extraction::Box, Extraction::AnswerLine]
    {
        if let Some(found) = extract(&text, rule) {
            assert!(found.text.len() <= text.len(), "{found:?}");
        }
    }
});
