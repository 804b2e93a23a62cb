//! Checkers by their names and options, as the wire and `init.yml` give them.
//!
//! A name may carry its version: `lcb` and `lcb/1` are the same. The checkers of DMOJ are known as
//! `standard` and as `dmoj-standard`; only `floats` without the prefix means our own, unless it has
//! an option of DMOJ's.

use serde_json::{Map, Value as Json};

use crate::grade::checker::{Tolerance, ToleranceError};
use crate::grade::dmoj::{Dmoj, ErrorMode, SplitOn};
use crate::grade::presets::Preset;
use crate::grade::{CallRule, Checker};

/// Tolerance of `floats` where none is given.
const TOLERANCE_DEFAULT: f64 = 1e-6;

/// Names of checkers of standard output.
pub const NAMES: [&str; 20] = [
    "tokens",
    "exact",
    "floats",
    "dmoj-standard",
    "dmoj-identical",
    "dmoj-rstripped",
    "dmoj-floats",
    "dmoj-floatsabs",
    "dmoj-floatsrel",
    "dmoj-sorted",
    "dmoj-unordered",
    "dmoj-easy",
    "dmoj-linecount",
    "dmoj-linematches",
    "lcb",
    "apps",
    "prime_code",
    "verl",
    "sandbox_fusion",
    "multipl-e",
];

/// Why a checker cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CheckerError {
    /// There is none of this name.
    #[error("checker `{name}` is not known; known are {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: &'static [&'static str],
    },
    /// An option that it does not take.
    #[error("checker `{name}` takes no option `{option}`")]
    Option {
        /// The checker.
        name: String,
        /// The option.
        option: String,
    },
    /// An option with a value that makes no sense.
    #[error("checker `{name}`: `{option}` must be {expected}")]
    Value {
        /// The checker.
        name: String,
        /// The option.
        option: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A tolerance that makes no sense.
    #[error("checker `{name}`: {source}")]
    Tolerance {
        /// The checker.
        name: String,
        /// Why.
        source: ToleranceError,
    },
}

/// The options of a checker, of which each is taken once.
struct Options<'a> {
    name: &'a str,
    left: Map<String, Json>,
}

impl Options<'_> {
    fn wrong(&self, option: &'static str, expected: &'static str) -> CheckerError {
        CheckerError::Value { name: self.name.to_owned(), option, expected }
    }

    fn number(&mut self, option: &'static str) -> Result<Option<f64>, CheckerError> {
        match self.left.remove(option) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| self.wrong(option, "a number")),
        }
    }

    fn truth(&mut self, option: &'static str, default: bool) -> Result<bool, CheckerError> {
        match self.left.remove(option) {
            None | Some(Json::Null) => Ok(default),
            Some(Json::Bool(truth)) => Ok(truth),
            Some(_) => Err(self.wrong(option, "true or false")),
        }
    }

    fn precision(&mut self) -> Result<i32, CheckerError> {
        let wrong = self.wrong("precision", "a whole number from -300 to 300");
        match self.left.remove("precision") {
            None | Some(Json::Null) => Ok(6),
            Some(value) => value
                .as_i64()
                .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
                .and_then(|precision| i32::try_from(precision).ok())
                .filter(|precision| (-300..=300).contains(precision))
                .ok_or(wrong),
        }
    }

    fn finish<T>(self, checker: T) -> Result<T, CheckerError> {
        match self.left.into_iter().next() {
            None => Ok(checker),
            Some((option, _)) => Err(CheckerError::Option { name: self.name.to_owned(), option }),
        }
    }
}

/// The checker of standard output with this name and these options.
///
/// # Errors
/// It is not known, or an option makes no sense.
pub fn checker(name: &str, options: Map<String, Json>) -> Result<Checker, CheckerError> {
    let bare = name.strip_suffix("/1").unwrap_or(name);
    let dmoj_floats = ["precision", "error_mode"].iter().any(|key| options.contains_key(*key));
    let mut options = Options { name, left: options };
    let preset = match bare {
        "lcb" => Some(Preset::Lcb),
        "apps" => Some(Preset::Apps),
        "prime_code" => Some(Preset::PrimeCode),
        "verl" => Some(Preset::Verl),
        "sandbox_fusion" => Some(Preset::SandboxFusion),
        "multipl-e" => Some(Preset::MultiplE),
        _ => None,
    };
    let checker = match bare {
        _ if preset.is_some() => preset.map(Checker::Preset),
        "tokens" => Some(Checker::Tokens),
        "exact" => Some(Checker::Exact),
        "floats" if !dmoj_floats => Some(Checker::Floats(tolerance(&mut options)?)),
        _ => {
            let dmoj = bare.strip_prefix("dmoj-").unwrap_or(bare);
            standard(dmoj, &mut options)?.map(Checker::Dmoj)
        }
    };
    match checker {
        Some(checker) => options.finish(checker),
        None => Err(CheckerError::Unknown { name: name.chars().take(64).collect(), known: &NAMES }),
    }
}

/// The checker of DMOJ with this name.
///
/// # Errors
/// It is not known, or an option makes no sense.
pub fn dmoj(name: &str, options: Map<String, Json>) -> Result<Checker, CheckerError> {
    checker(&format!("dmoj-{name}"), options)
}

/// The rule by which results of calls are compared.
///
/// # Errors
/// It is not known, or an option makes no sense.
pub fn call_rule(name: &str, options: Map<String, Json>) -> Result<CallRule, CheckerError> {
    let mut options = Options { name, left: options };
    let rule = match name.strip_suffix("/1").unwrap_or(name) {
        "plain" => CallRule::Plain(None),
        "floats" | "plain-floats" => CallRule::Plain(Some(tolerance(&mut options)?)),
        "lcb" | "lcb-call" => CallRule::Lcb,
        "apps" | "apps-call" | "prime_code" => CallRule::Apps,
        _ => {
            return Err(CheckerError::Unknown {
                name: name.chars().take(64).collect(),
                known: &["plain", "floats", "lcb", "apps"],
            });
        }
    };
    options.finish(rule)
}

fn tolerance(options: &mut Options<'_>) -> Result<Tolerance, CheckerError> {
    let (absolute, relative) = match (options.number("absolute")?, options.number("relative")?) {
        (None, None) => (TOLERANCE_DEFAULT, TOLERANCE_DEFAULT),
        (absolute, relative) => (absolute.unwrap_or(0.0), relative.unwrap_or(0.0)),
    };
    Tolerance::new(absolute, relative)
        .map_err(|source| CheckerError::Tolerance { name: options.name.to_owned(), source })
}

fn standard(name: &str, options: &mut Options<'_>) -> Result<Option<Dmoj>, CheckerError> {
    Ok(Some(match name {
        "standard" => Dmoj::Standard,
        "identical" => Dmoj::Identical { pe_allowed: options.truth("pe_allowed", true)? },
        "rstripped" => {
            Dmoj::Rstripped { filter_new_line: options.truth("filter_new_line", false)? }
        }
        "floats" => {
            let mode = options.left.remove("error_mode");
            let error_mode = match mode.as_ref().map_or(Some("default"), Json::as_str) {
                Some("default") => ErrorMode::Default,
                Some("absolute") => ErrorMode::Absolute,
                Some("relative") => ErrorMode::Relative,
                Some(_) | None => {
                    return Err(options.wrong("error_mode", "default, absolute or relative"));
                }
            };
            Dmoj::Floats { precision: options.precision()?, error_mode }
        }
        "floatsabs" | "absolute" => {
            Dmoj::Floats { precision: options.precision()?, error_mode: ErrorMode::Absolute }
        }
        "floatsrel" | "relative" => {
            Dmoj::Floats { precision: options.precision()?, error_mode: ErrorMode::Relative }
        }
        "sorted" => {
            let split = options.left.remove("split_on");
            let split_on = match split.as_ref().map_or(Some("lines"), Json::as_str) {
                Some("lines") => SplitOn::Lines,
                Some("whitespace") => SplitOn::Whitespace,
                Some(_) | None => return Err(options.wrong("split_on", "lines or whitespace")),
            };
            Dmoj::Sorted { split_on }
        }
        "unordered" => Dmoj::Sorted { split_on: SplitOn::Whitespace },
        "easy" => Dmoj::Easy,
        "linecount" => Dmoj::Linecount { feedback: options.truth("feedback", true)? },
        "linematches" => linematches(options)?,
        _ => return Ok(None),
    }))
}

fn linematches(options: &mut Options<'_>) -> Result<Dmoj, CheckerError> {
    let expected = "a list of numbers from 0 up";
    let point_distribution = match options.left.remove("point_distribution") {
        None | Some(Json::Null) => vec![1.0],
        Some(Json::Array(points)) => points
            .iter()
            .map(|points| points.as_f64().filter(|points| *points >= 0.0))
            .collect::<Option<_>>()
            .ok_or_else(|| options.wrong("point_distribution", expected))?,
        Some(_) => return Err(options.wrong("point_distribution", expected)),
    };
    let filler_lines_required = options.truth("filler_lines_required", true)?;
    Ok(Dmoj::Linematches { point_distribution, filler_lines_required })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, options: &str) -> Result<Checker, String> {
        let options = serde_json::from_str(options).unwrap();
        checker(name, options).map_err(|error| error.to_string())
    }

    #[test]
    fn every_name_is_known_with_and_without_its_version() {
        for name in NAMES {
            let checker = read(name, "{}").unwrap();
            assert_eq!(read(&format!("{name}/1"), "{}"), Ok(checker));
            if let Some(short) = name.strip_prefix("dmoj-").filter(|short| *short != "floats") {
                assert_eq!(read(short, "{}"), read(name, "{}"));
            }
        }
        assert!(read("token", "{}").unwrap_err().contains("known are tokens, exact"));
    }

    #[test]
    fn options_are_checked_one_by_one() {
        let dmoj = Dmoj::Floats { precision: 3, error_mode: ErrorMode::Relative };
        let options = r#"{"precision":3,"error_mode":"relative"}"#;
        assert_eq!(read("floats", options), Ok(Checker::Dmoj(dmoj)));
        let half = Tolerance::new(0.5, 0.0).unwrap();
        assert_eq!(read("floats", r#"{"absolute":0.5}"#), Ok(Checker::Floats(half)));
        for (name, options, said) in [
            ("tokens", r#"{"absolute":1}"#, "no option `absolute`"),
            ("floats", r#"{"relative":2}"#, "relative"),
            ("dmoj-floats", r#"{"error_mode":"x"}"#, "default, absolute or relative"),
            ("dmoj-floats", r#"{"precision":1.5}"#, "whole number"),
            ("sorted", r#"{"split_on":"x"}"#, "lines or whitespace"),
            ("linematches", r#"{"point_distribution":[-1]}"#, "from 0 up"),
            ("linecount", r#"{"match":"lambda"}"#, "no option `match`"),
        ] {
            let error = read(name, options).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
