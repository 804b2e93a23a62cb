//! Python's ideas of white space, lines and numbers, for graders that were written in it. Pure.
//!
//! Where a grader works on `bytes`, white space is the six ASCII characters; where it works on `str`,
//! it is what `str.isspace` says.

/// White space of `bytes.split` and `\s` in a bytes pattern.
pub(super) fn is_byte_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// White space of `str.split` and `str.strip`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `bytes.split()`.
pub(super) fn byte_tokens(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| is_byte_space(*byte)).filter(|token| !token.is_empty())
}

/// `bytes.rstrip()`.
pub(super) fn byte_rstrip(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !is_byte_space(*byte)).map_or(0, |last| last + 1);
    &line[..end]
}

/// `bytes.strip()`.
pub(super) fn byte_strip(line: &[u8]) -> &[u8] {
    let line = byte_rstrip(line);
    let start = line.iter().position(|byte| !is_byte_space(*byte)).unwrap_or(line.len());
    &line[start..]
}

/// `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split()`.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|token| !token.is_empty())
}

/// `str.splitlines()`.
pub(super) fn split_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((at, end)) = rest.char_indices().find(|(_, c)| is_line_end(*c)) else {
            lines.push(rest);
            break;
        };
        lines.push(&rest[..at]);
        let width = if rest[at..].starts_with("\r\n") { 2 } else { end.len_utf8() };
        rest = &rest[at + width..];
    }
    lines
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// `float(token)`: decimal numbers with underscores between digits, `inf`, `infinity` and `nan` in
/// any case, white space around; a number beyond the range is an infinity.
pub(super) fn float(token: &str) -> Option<f64> {
    let token = strip(token);
    let unsigned = token.strip_prefix(['+', '-']).unwrap_or(token);
    let negative = token.starts_with('-');
    let signed = |value: f64| if negative { -value } else { value };
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => return Some(signed(f64::INFINITY)),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let plain = without_underscores(unsigned)?;
    is_decimal(&plain).then(|| plain.parse().ok().map(signed)).flatten()
}

/// Removes underscores that stand between two digits; `None` where one stands elsewhere.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'_' && !(digit(at.checked_sub(1)) && digit(at.checked_add(1))) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// `digits [. digits] | . digits`, and an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_is_good = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    whole.len() + fraction.len() > 0 && digits(whole) && digits(fraction) && exponent_is_good
}

/// A `decimal.Decimal`, exact.
#[derive(Clone, Debug)]
pub(super) enum Decimal {
    /// A number: sign, digits without zeros at either end, and the power of ten of the last digit.
    Finite {
        /// Below zero.
        negative: bool,
        /// None for zero.
        digits: String,
        /// Power of ten of the last digit.
        exponent: i128,
    },
    /// An infinity.
    Infinite {
        /// Below zero.
        negative: bool,
    },
    /// Not a number: equal to nothing.
    Nan,
}

/// The largest exponent of a `Decimal`, either way.
const EXPONENT_MAX: i128 = 999_999_999_999_999_999;

impl Decimal {
    /// `Decimal(token)`; `None` where that raises.
    pub(super) fn parse(token: &str) -> Option<Self> {
        let token = strip(token).replace('_', "");
        let unsigned = token.strip_prefix(['+', '-']).unwrap_or(&token);
        let negative = token.starts_with('-');
        let lower = unsigned.to_ascii_lowercase();
        if matches!(lower.as_str(), "inf" | "infinity") {
            return Some(Self::Infinite { negative });
        }
        let quiet = lower.strip_prefix("nan").or_else(|| lower.strip_prefix("snan"));
        if quiet.is_some_and(|payload| payload.bytes().all(|byte| byte.is_ascii_digit())) {
            return Some(Self::Nan);
        }
        if !is_decimal(unsigned) {
            return None;
        }
        let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let scale = i128::try_from(fraction.len()).ok()?;
        let exponent = exponent.parse::<i128>().ok()?.checked_sub(scale)?;
        let digits = all.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self::Finite { negative: false, digits: String::new(), exponent: 0 });
        }
        let adjusted = exponent.checked_add(i128::try_from(digits.len()).ok()? - 1)?;
        if adjusted.abs() > EXPONENT_MAX {
            return None;
        }
        let short = digits.trim_end_matches('0');
        let dropped = i128::try_from(digits.len() - short.len()).ok()?;
        let exponent = exponent + dropped;
        Some(Self::Finite { negative, digits: short.to_owned(), exponent })
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Finite { negative, digits, exponent },
                Self::Finite { negative: n, digits: d, exponent: e },
            ) => (negative, digits, exponent) == (n, d, e),
            (Self::Infinite { negative }, Self::Infinite { negative: n }) => negative == n,
            (Self::Finite { .. } | Self::Infinite { .. } | Self::Nan, _) => false,
        }
    }
}

/// Whether an integer, as plain digits with an optional minus, is the value of a float, exactly.
pub(super) fn integer_equals_float(integer: &str, float: f64) -> bool {
    // Printed without an exponent, an integral float shows every digit of its value.
    float.is_finite() && float.fract() == 0.0 && {
        let printed = format!("{:.0}", float + 0.0);
        let printed = if printed == "-0" { "0" } else { &printed };
        printed == integer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_as_python_reads_them() {
        for (token, value) in [
            ("1", 1.0),
            ("-1.5e3", -1500.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_0", 10.0),
            ("1_0.0_1", 10.01),
            ("+inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e999", f64::INFINITY),
        ] {
            assert_eq!(float(token), Some(value), "{token}");
        }
        assert!(float("NaN").unwrap().is_nan() && float("-nan").unwrap().is_nan());
        for token in
            ["", ".", "e5", "1e", "_1", "1_", "1__0", "1_.0", "0x1", "infinit", "1,5", "--1"]
        {
            assert_eq!(float(token), None, "{token}");
        }
    }

    #[test]
    fn decimals_are_equal_by_value_and_exact() {
        let equal = |a: &str, b: &str| Decimal::parse(a).unwrap() == Decimal::parse(b).unwrap();
        assert!(equal("1.0", "1") && equal("1e2", "100") && equal("-0", "0.000"));
        assert!(equal("inf", "Infinity") && !equal("inf", "-inf"));
        assert!(!equal("50000000000000000", "50000000000000001"));
        assert!(!equal("nan", "nan"));
        assert!(Decimal::parse("a").is_none() && Decimal::parse("1e").is_none());
        assert!(Decimal::parse("1e999999999999999999").is_some());
        assert!(Decimal::parse("1e1000000000000000000").is_none());
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        assert_eq!(split_lines("a\r\nb\rc\n\nd"), ["a", "b", "c", "", "d"]);
        assert_eq!(split_lines("a\u{b}b\u{2028}c\n"), ["a", "b", "c"]);
        assert!(split_lines("").is_empty());
        assert_eq!(split_lines("\n"), [""]);
    }

    #[test]
    fn integers_and_floats_are_compared_exactly() {
        assert!(integer_equals_float("3", 3.0) && integer_equals_float("0", -0.0));
        assert!(integer_equals_float("9007199254740992", 9_007_199_254_740_992.0));
        assert!(!integer_equals_float("9007199254740993", 9_007_199_254_740_992.0));
        assert!(!integer_equals_float("3", 3.5) && !integer_equals_float("3", f64::NAN));
    }
}
