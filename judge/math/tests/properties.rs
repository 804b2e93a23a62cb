//! Properties that hold for every input: no panic, bounded fuel, replays agree,
//! reflexivity, and symmetry of exact numbers and polynomials.

use math::{Extraction, Policy, Verdict, compare, extract};
use proptest::prelude::*;

/// Pieces of notation, so that random texts get past the lexer.
fn notation() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "1",
        "2",
        "10",
        "3.5",
        "x",
        "y",
        "k",
        "e",
        "i",
        "+",
        "-",
        "*",
        "/",
        "^",
        "_",
        "=",
        "<",
        ",",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\\{",
        "\\}",
        "|",
        "!",
        "%",
        " ",
        "\\frac",
        "\\sqrt",
        "\\pi",
        "\\infty",
        "\\pm",
        "\\sin",
        "\\ln",
        "\\log",
        "\\le",
        "\\cup",
        "\\text{ cm}",
        "\\text{ or }",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "\\\\",
        "&",
        "\\mathbb{R}",
        "^\\circ",
        "9^{9^{9}}",
    ]);
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// A polynomial in x and y, as text with every term written out.
fn polynomial() -> impl Strategy<Value = Vec<(i32, u8, u8)>> {
    prop::collection::vec((-9..=9, 0..4_u8, 0..4_u8), 1..6)
}

fn written(terms: &[(i32, u8, u8)]) -> String {
    let parts: Vec<String> =
        terms.iter().map(|(factor, x, y)| format!("({factor})x^{{{x}}}y^{{{y}}}")).collect();
    parts.join("+")
}

proptest! {
    #[test]
    fn any_text_is_answered_within_the_fuel(left in ".{0,60}", right in ".{0,60}") {
        let decision = compare(&left, &right, &Policy::default());
        prop_assert!(decision.fuel_spent <= math::limits::FUEL);
    }

    #[test]
    fn any_notation_is_answered_within_the_fuel(left in notation(), right in notation()) {
        let policy = Policy::default();
        let decision = compare(&left, &right, &policy);
        prop_assert!(decision.fuel_spent <= math::limits::FUEL);
        prop_assert_eq!(compare(&left, &right, &policy), decision);
    }

    #[test]
    fn notation_equals_itself_unless_it_is_blank(text in notation()) {
        let decision = compare(&text, &text, &Policy::default());
        let blank = !text.chars().any(char::is_alphanumeric);
        prop_assert!(blank || decision.verdict == Verdict::Equal);
    }

    #[test]
    fn fractions_compare_as_numbers_in_both_directions(a in -500..500_i64, b in 1..60_i64, c in -500..500_i64, d in 1..60_i64) {
        let (left, right) = (format!("\\frac{{{a}}}{{{b}}}"), format!("{c}/{d}"));
        let expected = if a * d == c * b { Verdict::Equal } else { Verdict::Different };
        prop_assert_eq!(compare(&left, &right, &Policy::default()).verdict, expected);
        prop_assert_eq!(compare(&right, &left, &Policy::default()).verdict, expected);
    }

    #[test]
    fn polynomials_equal_their_shuffle_and_not_their_change(terms in polynomial(), extra in 1..9_i32) {
        let policy = Policy::default();
        let mut reversed = terms.clone();
        reversed.reverse();
        prop_assert_eq!(compare(&written(&terms), &written(&reversed), &policy).verdict, Verdict::Equal);
        reversed.push((extra, 1, 2));
        prop_assert_eq!(compare(&written(&terms), &written(&reversed), &policy).verdict, Verdict::Different);
    }

    #[test]
    fn roots_square_back_and_never_meet_their_neighbours(value in 2..5_000_u32) {
        let policy = Policy::default();
        let root = format!("\\sqrt{{{value}}}");
        let square = format!("{root}\\cdot{root}");
        prop_assert_eq!(compare(&value.to_string(), &square, &policy).verdict, Verdict::Equal);
        let next = format!("\\sqrt{{{}}}", value + 1);
        prop_assert_eq!(compare(&root, &next, &policy).verdict, Verdict::Different);
    }

    #[test]
    fn lists_do_not_depend_on_order(mut items in prop::collection::vec(-20..20_i32, 2..6)) {
        let join = |items: &[i32]| items.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
        let left = join(&items);
        items.sort_unstable();
        let right = join(&items);
        prop_assert_eq!(compare(&left, &right, &Policy::default()).verdict, Verdict::Equal);
        items[0] += 100;
        prop_assert_eq!(compare(&left, &join(&items), &Policy::default()).verdict, Verdict::Different);
    }

    #[test]
    fn extraction_gives_a_span_of_the_completion(text in "[ -~]{0,40}(\\\\boxed\\{[a-z0-9]{1,5}\\})?[ -~]{0,20}") {
        for extraction in [Extraction::Lenient, Extraction::BoxOrPhrase, Extraction::Box, Extraction::AnswerLine] {
            if let Some(found) = extract(&text, extraction) {
                prop_assert!(found.offset <= text.len());
                prop_assert!(!found.text.is_empty());
            }
        }
    }
}

#[test]
fn deep_nesting_ends_undecided_on_a_small_stack() {
    let deep = ["(", "\\sqrt{", "{", "-", "\\frac{1}{", "|", "x^{", "\\sin "]
        .map(|open| open.repeat(1_000) + "1");
    let run = move || {
        for text in &deep {
            let decision = compare("1", text, &Policy::default());
            assert_ne!(decision.verdict, Verdict::Different, "{}", &text[..20]);
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap();
    assert!(thread.join().is_ok());
}
