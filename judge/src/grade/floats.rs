//! Decimal numbers as programs print them.
//!
//! Grammar: `[+-] (digits [. digits] | . digits) [(e|E) [+-] digits]`, where `digits` is one or
//! more of `0` to `9` and `1.` is allowed. No underscores, no hexadecimal, no `inf`, no `nan`; a
//! number too large for a 64-bit float is not a number here.

/// The number that the whole of `token` spells.
pub(super) fn parse(token: &[u8]) -> Option<f64> {
    let unsigned = match token {
        [b'+' | b'-', rest @ ..] => rest,
        rest => rest,
    };
    let (whole, rest) = digits(unsigned);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => digits(rest),
        rest => (0, rest),
    };
    if whole + fraction == 0 {
        return None;
    }
    match rest {
        [] => {}
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            if !matches!(digits(exponent), (1.., [])) {
                return None;
            }
        }
        _ => return None,
    }
    let number: f64 = std::str::from_utf8(token).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// How many digits `text` begins with, and what follows them.
fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count, &text[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers_are_read() {
        for (token, number) in [
            ("0", 0.0),
            ("-0.5", -0.5),
            ("+3", 3.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("1.5E-2", 0.015),
            ("00012", 12.0),
            ("1e-999", 0.0),
        ] {
            assert_eq!(parse(token.as_bytes()), Some(number), "{token}");
        }
    }

    #[test]
    fn everything_else_is_not_a_number() {
        for token in [
            "", "+", "-", ".", "e5", "1e", "1e+", "--1", "+-1", "1.2.3", "1e5.0", "0x10", "1_000",
            "inf", "-inf", "nan", "infinity", "1e309", "1f", " 1", "1,5", "١",
        ] {
            assert_eq!(parse(token.as_bytes()), None, "{token}");
        }
    }
}
