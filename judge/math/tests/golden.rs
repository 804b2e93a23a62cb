//! The committed pairs come out as labelled under the default policy. Every label
//! was set by hand; a pair that is not equal must be different, not undecided.
#![expect(clippy::unwrap_used, reason = "a test may stop at a damaged fixture")]

use math::{Policy, Verdict, compare};

fn check(file: &str) {
    let policy = Policy::default();
    let mut failures = Vec::new();
    for line in file.lines() {
        let pair: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| pair[name].as_str().unwrap().to_owned();
        let expected =
            if pair["expected"].as_bool().unwrap() { Verdict::Equal } else { Verdict::Different };
        let decision = compare(&field("gold"), &field("pred"), &policy);
        if decision.verdict != expected {
            failures.push(format!("{} {}: {decision:?}", field("id"), field("gold")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn tricky_pairs_come_out_as_labelled() {
    check(include_str!("tricky_pairs.jsonl"));
}

#[test]
fn own_pairs_come_out_as_labelled() {
    check(include_str!("pairs.jsonl"));
}

#[test]
fn presets_keep_the_habits_of_their_graders() {
    let table = [
        ("prm800k", "\\frac{1}{2}", "\\frac{2}{4}", Verdict::Different),
        ("default", "\\frac{1}{2}", "\\frac{2}{4}", Verdict::Equal),
        ("qwen", "0.5", "50", Verdict::Equal),
        ("default", "0.5", "50", Verdict::Different),
        ("qwen", "0.5", "50\\%", Verdict::Equal),
        ("qwen", "\\pi", "3.1416", Verdict::Equal),
        ("qwen", "3.14159", "3.1415", Verdict::Equal),
        ("verl_dapo", "\\frac{1}{3}", "0.3333", Verdict::Different),
        ("verl_dapo", "1,2", "2,1", Verdict::Different),
        ("math_verify", "\\frac{1}{3}", "0.3333333", Verdict::Equal),
        ("math_verify", "\\frac{1}{3}", "0.333", Verdict::Different),
        ("math_verify", "5\\text{ cm}", "5\\text{ m}", Verdict::Equal),
        ("strict", "50\\%", "50", Verdict::Different),
        ("strict", "5\\text{ cm}", "5", Verdict::Different),
        ("strict", "5\\text{ cm}", "0.05\\text{ m}", Verdict::Equal),
        ("strict", "90^\\circ", "90", Verdict::Different),
        ("strict", "\\frac{1}{3}", "0.33333333", Verdict::Different),
    ];
    for (preset, reference, answer, expected) in table {
        let policy = Policy::preset(preset).unwrap();
        let decision = compare(reference, answer, &policy);
        assert_eq!(decision.verdict, expected, "{preset}: {reference} {answer} {decision:?}");
    }
    assert_eq!(Policy::preset("unknown"), None);
}

#[test]
fn inputs_that_hang_other_graders_end_within_their_fuel() {
    let inputs = [
        "\\boxed{\\dfrac{5^{(5^{(5^{(5^5)})} - 4)} - 5}{16}}",
        "7^{7^{7^{7}}}",
        "170141183460469231731687303715884105727!",
        "\\sum_{k=1}^{200} \\frac{1}{k^{300}}",
        "\\lfloor 9^{9^{9}} \\rfloor",
        "\\frac{4999!}{4998!}+\\frac{4998!}{4997!}",
        "10^{10^{10^{10}}}",
        "((((((((9!)!)!)!)!)!)!)!)!",
        "\\sqrt{\\sqrt{\\sqrt{\\sqrt{2+\\sin(10^{60})}}}}",
    ];
    for input in inputs {
        for other in ["4", "x", "\\pi"] {
            for (left, right) in [(input, other), (other, input)] {
                let decision = compare(left, right, &Policy::default());
                assert_ne!(decision.verdict, Verdict::Equal, "{left} | {right}");
                assert!(decision.fuel_spent <= math::limits::FUEL);
            }
        }
    }
}

#[test]
fn several_references_are_equal_to_any_and_different_from_all() {
    let policy = Policy::default();
    let verdict = |answer: &str| {
        math::compare_any(["1", "\\text{one apple}", "2"], answer, &policy)
            .map(|found| found.verdict)
    };
    assert_eq!(verdict("2"), Some(Verdict::Equal));
    assert_eq!(verdict("3"), Some(Verdict::Different));
    assert_eq!(math::compare_any([], "3", &policy), None);
}
