//! Calls of a function: which files and what input make a driver call it. Pure.
//!
//! The driver of each language (in `drivers/`) gets the name and the arguments, and writes what was
//! returned. What is expected stays here.

use bytes::Bytes;

use crate::grade::CallRule;
use crate::language::CallDriver;
use crate::problem::{Call, Calls};

const PYTHON: &str = include_str!("drivers/call.py");
const JAVASCRIPT: &str = include_str!("drivers/call.js");
const JAVA: &str = include_str!("drivers/AssayCall.java");
const CPP: &str = include_str!("drivers/call.hpp");

/// Files beside the source at compile time, or in the box where nothing is compiled.
#[must_use]
pub fn files(driver: CallDriver, entry: &str, name: &str, source: &Bytes) -> Vec<(String, Bytes)> {
    let text =
        |name: &str, text: &'static str| (name.to_owned(), Bytes::from_static(text.as_bytes()));
    let own = (name.to_owned(), source.clone());
    match driver {
        CallDriver::Python => vec![own, text("call.py", PYTHON)],
        CallDriver::Javascript => vec![own, text("call.js", JAVASCRIPT)],
        CallDriver::Java => vec![own, text("AssayCall.java", JAVA)],
        CallDriver::Cpp => {
            let candidate = String::from_utf8_lossy(source);
            let words: Vec<&str> = candidate.split_whitespace().take(200_000).collect();
            let in_class = words.windows(2).any(|pair| {
                matches!(pair[0], "class" | "struct") && pair[1].starts_with("Solution")
            });
            let function =
                if in_class { format!("&Solution::{entry}") } else { format!("&{entry}") };
            let main = format!(
                "#include \"call.hpp\"\n#define main assay_candidate_main\n\
                 #include \"candidate.cpp\"\n#undef main\n\
                 int main() {{ assay_call::Call().run({function}); }}\n"
            );
            vec![
                (name.to_owned(), main.into()),
                ("candidate.cpp".to_owned(), source.clone()),
                text("call.hpp", CPP),
            ]
        }
    }
}

/// Whether a class is one of a driver's.
#[must_use]
pub fn is_driver(class: &str) -> bool {
    class == "AssayCall"
}

/// Standard input of one call.
#[must_use]
pub fn stdin(driver: CallDriver, calls: &Calls, call: &Call) -> Bytes {
    match driver {
        CallDriver::Cpp => call.args.clone().into(),
        CallDriver::Python | CallDriver::Javascript | CallDriver::Java => {
            let (entry, args) = (&calls.entry, &call.args);
            let int_keys = calls.rule == CallRule::Apps;
            format!(r#"{{"entry":"{entry}","args":{args},"int_keys":{int_keys}}}"#).into()
        }
    }
}
