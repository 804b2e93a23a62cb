//! What comes out of slots: reports of test tools, sealed ledgers, values of calls, and what checkers
//! of problems say.
#![no_main]

use judge::grade::exit::{Convention, Said};
use judge::grade::value::Origin;
use judge::grade::{CallRule, Secret, Value, detect, proof};
use judge::limits::SUITE_TESTS_MAX;
use judge::suite::{Parser, ledger};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for parser in Parser::ALL {
        let report = parser.read(bytes, 0);
        assert!(report.results.len() <= SUITE_TESTS_MAX);
    }
    let key = Secret::new([7; 16]);
    // It learns what it is compared with, which no program is.
    if bytes.windows(key.as_str().len()).any(|window| window == key.as_str().as_bytes()) {
        return;
    }
    assert!(ledger::read(bytes, &key).report.is_none(), "sealed without the key");
    assert_eq!(proof::split(bytes, &key).1, proof::Proof::Absent);
    assert!(detect::raised(bytes).len() <= 2);
    let text = String::from_utf8_lossy(bytes);
    let (stdout, stderr) = text.split_once("\n===\n").unwrap_or((&text, ""));
    let names = ["default", "testlib", "coci", "peg"];
    let known = names.into_iter().filter_map(Convention::named).chain([Convention::Module]);
    for convention in known {
        for code in [0, 1, 2, 7] {
            let said = Said { code, stdout, stderr, feedback: None, points: 10.0 };
            if let Ok(marks) = convention.marks(&said) {
                assert!((0.0..=1.0).contains(&marks.fraction), "{marks:?} of {said:?}");
            }
        }
    }
    values(&text);
});

/// The same value is the same by every rule, unless it has a part that equals nothing.
fn values(text: &str) {
    for origin in [Origin::Problem, Origin::Driver] {
        let Ok(value) = Value::parse(text, origin) else { continue };
        let shown = format!("{value:?}");
        let is_odd = ["NaN", "inf", "Other"].iter().any(|word| shown.contains(word));
        if !is_odd {
            let same = CallRule::Plain(None).accepts(&value, &value);
            assert!(same, "{shown}");
        }
    }
}
