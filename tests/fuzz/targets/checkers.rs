//! Every checker of standard output on arbitrary output and answer. The first byte chooses the
//! checker, a line `===` parts the two.
#![no_main]

use std::sync::LazyLock;

use judge::grade::Checker;
use judge::problem::checkers::{NAMES, checker};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

static CHECKERS: LazyLock<Vec<Checker>> = LazyLock::new(|| {
    let options = [
        ("floats", json!({"absolute": 0.5, "relative": 0.25})),
        ("dmoj-identical", json!({"pe_allowed": false})),
        ("dmoj-rstripped", json!({"filter_new_line": true})),
        ("dmoj-floats", json!({"precision": -300})),
        ("dmoj-floats", json!({"precision": 300, "error_mode": "relative"})),
        ("dmoj-sorted", json!({"split_on": "whitespace"})),
        ("dmoj-linecount", json!({"feedback": false})),
    ];
    let plain = NAMES.iter().map(|name| checker(name, Map::new()));
    let options = options.into_iter().map(|(name, options)| {
        let Value::Object(options) = options else { unreachable!("they are objects") };
        checker(name, options)
    });
    plain.chain(options).map(|checker| checker.expect("it is known")).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let checker = &CHECKERS[usize::from(*first) % CHECKERS.len()];
    let (output, answer) = fuzz::cut(rest, "\n===\n");
    let marks = checker.check(output, answer);
    assert_eq!(marks, checker.check(output, answer), "{}: it wavers", checker.name());
    let Ok(marks) = marks else { return };
    assert!((0.0..=1.0).contains(&marks.fraction), "{}: {marks:?}", checker.name());
    // One of them gives points for each line.
    let gives_parts = checker.name().starts_with("dmoj-linecount");
    assert!(
        marks.accepted || marks.fraction == 0.0 || gives_parts,
        "{}: {marks:?}",
        checker.name()
    );
    // No checker gives more for an answer with a word too many than for the answer itself, and those
    // that compare bytes or tokens take the answer for right.
    if matches!(checker, Checker::Exact | Checker::Tokens | Checker::Floats(_)) {
        let same = checker.check(answer, answer);
        assert!(same.is_ok_and(|marks| marks.accepted), "{}: not itself", checker.name());
        let more = [answer, b" more"].concat();
        let more = checker.check(&more, answer);
        assert!(more.is_ok_and(|marks| !marks.accepted), "{}: more is as good", checker.name());
    }
});
