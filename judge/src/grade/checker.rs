//! Checkers: does the output answer the test? Named, and exact about what they compare.
//!
//! - `exact`: the same bytes. A missing final newline is a difference.
//! - `tokens`: split both at white space (space, `\t`, `\n`, `\v`, `\f`, `\r`; nothing else, NUL
//!   and no-break space are part of a token); the same number of tokens, each the same bytes. Lines
//!   do not matter.
//! - `floats`: as `tokens`, but where both tokens are decimal numbers ([`super::floats`]) they may
//!   differ by the absolute tolerance, or by the relative tolerance of the answer. A token that is
//!   no such number, `nan` and `inf` among them, is compared as bytes; a `nan` that was computed
//!   therefore never passes for a number.

use super::dmoj::Dmoj;
use super::floats;
use super::presets::Preset;
use super::python::byte_tokens;

/// How output is compared with the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Checker {
    /// The same bytes.
    Exact,
    /// The same tokens.
    Tokens,
    /// The same tokens, numbers within a tolerance.
    Floats(Tolerance),
    /// A standard checker of DMOJ.
    Dmoj(Dmoj),
    /// The rule of another grader.
    Preset(Preset),
}

/// What a checker says.
#[derive(Clone, Debug, PartialEq)]
pub struct Marks {
    /// Whether the output is accepted; some checkers accept for a part of the points.
    pub accepted: bool,
    /// The part of the points that it earns, from 0 to 1.
    pub fraction: f64,
    /// A sentence for the program's author.
    pub feedback: Option<String>,
}

impl Marks {
    /// All or nothing.
    #[must_use]
    pub fn of(accepted: bool) -> Self {
        Self { accepted, fraction: f64::from(u8::from(accepted)), feedback: None }
    }
}

/// The checker could not do its work: never a verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the checker failed: {0}")]
pub struct CheckerFault(pub String);

/// By how much numbers may differ; a difference within either tolerance is accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    absolute: f64,
    relative: f64,
}

/// A tolerance that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("tolerance `{name}` is {value}, allowed is 0 to {max}")]
pub struct ToleranceError {
    name: &'static str,
    value: f64,
    max: f64,
}

impl Tolerance {
    /// Checks the tolerances: finite, not negative, and the relative one at most 1.
    ///
    /// # Errors
    /// The first tolerance outside its range.
    pub fn new(absolute: f64, relative: f64) -> Result<Self, ToleranceError> {
        for (name, value, max) in [("absolute", absolute, f64::MAX), ("relative", relative, 1.0)] {
            if !(0.0..=max).contains(&value) {
                return Err(ToleranceError { name, value, max });
            }
        }
        Ok(Self { absolute, relative })
    }

    pub(super) fn accepts(self, output: f64, answer: f64) -> bool {
        let difference = (output - answer).abs();
        difference <= self.absolute || difference <= self.relative * answer.abs()
    }
}

impl Checker {
    /// Compares.
    ///
    /// # Errors
    /// The checker cannot be used with this answer.
    pub fn check(&self, output: &[u8], answer: &[u8]) -> Result<Marks, CheckerFault> {
        Ok(Marks::of(match self {
            Self::Exact => output == answer,
            Self::Tokens => byte_tokens(output).eq(byte_tokens(answer)),
            Self::Floats(tolerance) => floats_accept(*tolerance, output, answer),
            Self::Dmoj(checker) => return checker.check(output, answer),
            Self::Preset(preset) => preset.accepts(output, answer),
        }))
    }

    /// Whether the checker looks at the output of a program that failed.
    #[must_use]
    pub fn runs_on_error(&self) -> bool {
        matches!(self, Self::Dmoj(checker) if checker.runs_on_error())
    }

    /// Its name and version in replies.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exact => "exact/1",
            Self::Tokens => "tokens/1",
            Self::Floats(_) => "floats/1",
            Self::Dmoj(checker) => checker.name(),
            Self::Preset(preset) => preset.name(),
        }
    }
}

fn floats_accept(tolerance: Tolerance, output: &[u8], answer: &[u8]) -> bool {
    let mut answers = byte_tokens(answer);
    byte_tokens(output)
        .all(|token| answers.next().is_some_and(|answer| same_number(tolerance, token, answer)))
        && answers.next().is_none()
}

fn same_number(tolerance: Tolerance, output: &[u8], answer: &[u8]) -> bool {
    if output == answer {
        return true;
    }
    match (floats::parse(output), floats::parse(answer)) {
        (Some(output), Some(answer)) => tolerance.accepts(output, answer),
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Checker {
        fn accepts(&self, output: &[u8], answer: &[u8]) -> bool {
            self.check(output, answer).unwrap().accepted
        }
    }

    fn floats(absolute: f64, relative: f64) -> Checker {
        Checker::Floats(Tolerance::new(absolute, relative).unwrap())
    }

    #[test]
    fn exact_sees_every_byte() {
        assert!(Checker::Exact.accepts(b"3\n", b"3\n"));
        assert!(!Checker::Exact.accepts(b"3", b"3\n"));
        assert!(!Checker::Exact.accepts(b"3 \n", b"3\n"));
    }

    #[test]
    fn tokens_ignore_white_space_and_nothing_else() {
        assert!(Checker::Tokens.accepts(b" 1\t2\r\n\x0b3\x0c", b"1 2 3"));
        assert!(Checker::Tokens.accepts(b"", b" \n"));
        for (output, answer) in [
            (&b"12"[..], &b"1 2"[..]),
            (b"1 2", b"1 2 3"),
            (b"1 2 3", b"1 2"),
            (b"yes", b"YES"),
            (b"1.0", b"1"),
            (b"1\x002", b"1 2"),
            ("1\u{a0}2".as_bytes(), b"1 2"),
            (b"\xff", b"\xfe"),
        ] {
            assert!(!Checker::Tokens.accepts(output, answer), "{output:?} {answer:?}");
        }
    }

    #[test]
    fn floats_are_accepted_at_the_tolerance_and_not_beyond() {
        let checker = floats(0.5, 0.0);
        assert!(checker.accepts(b"1.5", b"1"));
        assert!(!checker.accepts(b"1.5000001", b"1"));
        let checker = floats(0.0, 0.5);
        assert!(checker.accepts(b"3 -3", b"2 -2"));
        assert!(!checker.accepts(b"3.0001", b"2"));
        assert!(!checker.accepts(b"0.0001", b"0"));
        assert!(floats(0.0, 0.0).accepts(b"1.0 1e0 +1", b"1 1 1"));
    }

    #[test]
    fn what_is_no_finite_decimal_number_is_compared_as_bytes() {
        let checker = floats(1e9, 1.0);
        assert!(checker.accepts(b"nan inf abc", b"nan inf abc"));
        for (output, answer) in [
            (&b"nan"[..], &b"1"[..]),
            (b"inf", b"1"),
            (b"1e999", b"1"),
            (b"0x1", b"1"),
            (b"1_0", b"10"),
            (b"1", b"one"),
            (b"1 1", b"1"),
            (b"1", b"1 1"),
            (b"NaN", b"nan"),
        ] {
            assert!(!checker.accepts(output, answer), "{output:?} {answer:?}");
        }
    }

    #[test]
    fn a_tolerance_that_makes_no_sense_is_refused() {
        assert!(Tolerance::new(0.0, 1.0).is_ok());
        assert!(Tolerance::new(0.0, 1.000_001).is_err());
        assert!(Tolerance::new(-1e-9, 0.0).is_err());
        assert!(Tolerance::new(f64::NAN, 0.0).is_err());
        assert!(Tolerance::new(f64::INFINITY, 0.0).is_err());
    }

    /// Slow and plain: one byte at a time into owned tokens.
    fn plain_tokens(text: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut current = Vec::new();
        for &byte in text {
            if [b' ', 9, 10, 11, 12, 13].contains(&byte) {
                if !current.is_empty() {
                    all.push(std::mem::take(&mut current));
                }
            } else {
                current.push(byte);
            }
        }
        if !current.is_empty() {
            all.push(current);
        }
        all
    }

    fn plain_floats(output: &[u8], answer: &[u8], absolute: f64, relative: f64) -> bool {
        let (outputs, answers) = (plain_tokens(output), plain_tokens(answer));
        let number = |token: &[u8]| {
            let text = std::str::from_utf8(token).ok()?;
            let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            text.parse::<f64>().ok().filter(|number| plain && number.is_finite())
        };
        outputs.len() == answers.len()
            && outputs.iter().zip(&answers).all(|(a, b)| match (number(a), number(b)) {
                (Some(a), Some(b)) => {
                    (a - b).abs() <= absolute || (a - b).abs() <= relative * b.abs()
                }
                _ => a == b,
            })
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            "[ \t\n\r\u{b}\u{c}]{1,2}".prop_map(String::into_bytes),
            "[0-9.e+-]{1,4}".prop_map(String::into_bytes),
            "(nan|inf|-inf|1e400|0x1|1_0|a)".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..3),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn tokens_agree_with_the_plain_reference(a in text(), b in text()) {
            let expected = plain_tokens(&a) == plain_tokens(&b);
            prop_assert_eq!(Checker::Tokens.accepts(&a, &b), expected);
        }

        #[test]
        fn tokens_survive_other_white_space(a in text()) {
            let spread: Vec<u8> = plain_tokens(&a).join(&b"\n\t "[..]);
            prop_assert!(Checker::Tokens.accepts(&spread, &a));
        }

        #[test]
        fn floats_agree_with_the_plain_reference(a in text(), b in text(), e in 0.0..1.0f64) {
            let expected = plain_floats(&a, &b, e, 0.0);
            prop_assert_eq!(floats(e, 0.0).accepts(&a, &b), expected);
            let expected = plain_floats(&a, &b, 0.0, e);
            prop_assert_eq!(floats(0.0, e).accepts(&a, &b), expected);
        }

        #[test]
        fn every_checker_accepts_the_answer_itself(a in text()) {
            for checker in [Checker::Exact, Checker::Tokens, floats(0.0, 0.0)] {
                prop_assert!(checker.accepts(&a, &a));
            }
        }
    }
}
