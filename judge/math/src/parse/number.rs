//! Number literals: grouped digits, decimals, repeating decimals, mixed numbers,
//! scientific notation and digits with a base.

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use super::{Comma, Failure, Parsed, Parser};
use crate::lex::Kind;
use crate::limits;
use crate::number::exact;
use crate::value::{Mark, Scalar, Shape, Value};

/// Longest literal in digits; 2^16 bits hold about 19 700.
const DIGITS_MAX: usize = limits::INTEGER_BITS_MAX / 4;

impl Parser<'_> {
    /// A literal at a `Digits` token.
    pub(super) fn number(&mut self) -> Parsed<Value> {
        if let Some(value) = self.based_digits()? {
            return Ok(value);
        }
        let Some(Kind::Digits(first)) = self.peek() else {
            return Err(self.unexpected());
        };
        let mut digits = first.clone();
        self.advance();
        let grouped = self.grouped_digits(&mut digits);
        let literal = self.literal(&digits)?;
        if !digits.contains('.')
            && let Some(fraction) = self.mixed_fraction(grouped)?
        {
            let value = exact::add(&literal.0, &fraction).ok_or(Failure::Exhausted)?;
            return Ok(Value::scalar(self.pool().rational(value)?));
        }
        let (value, shape) = self.scaled_by_ten(literal)?;
        let id = self.pool().rational(value)?;
        Ok(Value::Scalar(Scalar { id, shape, mark: Mark::None, reducible: false }))
    }

    /// Appends groups of three digits, or decimals behind a comma.
    fn grouped_digits(&mut self, digits: &mut String) -> bool {
        let start = digits.len();
        let thousands_allowed = self.reading.comma == Comma::Thousands && self.brackets == 0;
        while digits.len() <= DIGITS_MAX {
            let by_mark = self.peek() == Some(&Kind::GroupComma)
                || (thousands_allowed
                    && self.at_mark(',')
                    && !self.is_spaced_at(0)
                    && !self.is_spaced_at(1));
            let by_space = matches!(self.peek(), Some(Kind::Digits(_))) && self.is_spaced_at(0);
            let ahead = usize::from(by_mark);
            let Some(Kind::Digits(next)) = self.peek_at(ahead) else {
                break;
            };
            let next = next.clone();
            let whole = next.split('.').next().unwrap_or("");
            let fits = whole.len() == 3 && start <= 3 && !digits.contains('.');
            let space_run = by_space && self.space_groups_only();
            if !fits || !(by_mark || space_run) {
                break;
            }
            self.position += ahead + 1;
            digits.push_str(&next);
        }
        if digits.len() == start && self.reading.comma == Comma::Decimal && self.brackets == 0 {
            let tight = self.at_mark(',') && !self.is_spaced_at(0) && !self.is_spaced_at(1);
            if let (true, Some(Kind::Digits(next))) = (tight, self.peek_at(1))
                && !next.contains('.')
                && !digits.contains('.')
            {
                let decimals = next.clone();
                self.position += 2;
                digits.push('.');
                digits.push_str(&decimals);
            }
        }
        digits.len() > start
    }

    /// `12 345`, but not `1 234/5` or `2 100 x`.
    fn space_groups_only(&self) -> bool {
        !matches!(self.peek_at(1), Some(Kind::Mark('/') | Kind::Letters(_)))
    }

    fn literal(&mut self, digits: &str) -> Parsed<(RBig, Shape)> {
        if digits.len() > DIGITS_MAX {
            return Err(Failure::Exhausted);
        }
        self.bench.fuel.spend(digits.len() as u64 / 8)?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (mantissa, decimals) = parse_decimal(whole, fraction)?;
        if let Some(repeating) = self.repeating_part()? {
            let value = repeat(&mantissa, decimals, &repeating)?;
            return Ok((value, Shape::Exact));
        }
        let shape = if digits.contains('.') {
            let shown = format!("{whole}{fraction}");
            let significant = shown.trim_start_matches('0').len();
            Shape::Decimal {
                decimals: i64::try_from(decimals).unwrap_or(i64::MAX),
                significant: u32::try_from(significant).unwrap_or(u32::MAX),
            }
        } else {
            Shape::Exact
        };
        Ok((over_power_of_ten(mantissa, decimals), shape))
    }

    /// `\overline{3}` or `\dot{3}` behind the digits.
    fn repeating_part(&mut self) -> Parsed<Option<String>> {
        let over = self.at_command("overline") || self.at_command("bar") || self.at_command("dot");
        let point = usize::from(self.at_mark('.'));
        let over = over
            || (point == 1
                && matches!(self.peek_at(1), Some(Kind::Command(name)) if name == "overline" || name == "dot" || name == "bar"));
        if !over {
            return Ok(None);
        }
        let open = point + 1;
        if let Some(Kind::Digits(digits)) = self.peek_at(open) {
            let digits = digits.clone();
            self.position += open + 1;
            return Ok(Some(digits));
        }
        match (self.mark_at(open, '{'), self.peek_at(open + 1), self.mark_at(open + 2, '}')) {
            (true, Some(Kind::Digits(digits)), true) => {
                let digits = digits.clone();
                self.position += open + 3;
                Ok(Some(digits))
            }
            _ => Err(Failure::Unreadable),
        }
    }

    /// The fraction of a mixed number: `1\frac{1}{2}`, `1 1/2`.
    fn mixed_fraction(&mut self, grouped: bool) -> Parsed<Option<RBig>> {
        if grouped {
            return Ok(None);
        }
        let is_fraction =
            ["frac", "dfrac", "tfrac", "cfrac"].iter().any(|name| self.at_command(name));
        if is_fraction {
            return self.attempt(|parser| {
                parser.advance();
                if let Some(Kind::Digits(digits)) = parser.peek() {
                    // `\frac12` arrives as one literal of two digits.
                    let mut parts = digits.bytes().map(|digit| u64::from(digit.wrapping_sub(b'0')));
                    if let (2, Some(top), Some(bottom)) = (digits.len(), parts.next(), parts.next())
                    {
                        parser.advance();
                        return proper_fraction(UBig::from(top), UBig::from(bottom));
                    }
                }
                let top = parser.literal_argument()?;
                let bottom = parser.literal_argument()?;
                proper_fraction(top, bottom)
            });
        }
        if matches!(self.peek(), Some(Kind::Digits(_)))
            && self.is_spaced_at(0)
            && self.mark_at(1, '/')
        {
            return self.attempt(|parser| {
                let top = parser.literal_integer()?;
                parser.expect_mark('/')?;
                let bottom = parser.literal_integer()?;
                proper_fraction(top, bottom)
            });
        }
        Ok(None)
    }

    pub(super) fn literal_integer(&mut self) -> Parsed<UBig> {
        let Some(Kind::Digits(digits)) = self.peek() else {
            return Err(self.unexpected());
        };
        if digits.contains('.') || digits.len() > 18 {
            return Err(Failure::Unreadable);
        }
        let value = digits.parse::<u64>().map_err(|_| Failure::Unreadable)?;
        self.advance();
        Ok(UBig::from(value))
    }

    /// `{12}`, or a single digit as LaTeX reads `\frac12`.
    fn literal_argument(&mut self) -> Parsed<UBig> {
        if self.eat_mark('{') {
            let value = self.literal_integer()?;
            self.expect_mark('}')?;
            return Ok(value);
        }
        match self.split_digit()? {
            Some(digit) => Ok(UBig::from(digit)),
            None => Err(self.unexpected()),
        }
    }

    /// `\times 10^{3}` and `e3` behind a decimal keep it a decimal.
    fn scaled_by_ten(&mut self, (value, shape): (RBig, Shape)) -> Parsed<(RBig, Shape)> {
        let unscaled = (value, shape);
        let Some(exponent) = self.power_of_ten()? else {
            return Ok(unscaled);
        };
        let (value, shape) = unscaled;
        let ten = exact::integer(10);
        let factor = exact::power(&ten, &IBig::from(exponent)).ok_or(Failure::Exhausted)?;
        let scaled = exact::mul(&value, &factor).ok_or(Failure::Exhausted)?;
        let shape = match shape {
            Shape::Decimal { decimals, significant } => {
                Shape::Decimal { decimals: decimals - exponent, significant }
            }
            Shape::Exact => Shape::Exact,
        };
        Ok((scaled, shape))
    }

    fn power_of_ten(&mut self) -> Parsed<Option<i64>> {
        let letter =
            matches!(self.peek(), Some(Kind::Letters(letter)) if letter == "e" || letter == "E");
        if letter && !self.is_spaced_at(0) {
            let signed = self.mark_at(1, '-') || self.mark_at(1, '+');
            let at = 1 + usize::from(signed);
            if matches!(self.peek_at(at), Some(Kind::Digits(_))) && !self.is_spaced_at(at) {
                let negative = self.mark_at(1, '-');
                self.position += at;
                return self.exponent_digits(negative).map(Some);
            }
            return Ok(None);
        }
        let times = self.at_command("times") || self.at_command("cdot") || self.at_mark('*');
        let ten = matches!(self.peek_at(1), Some(Kind::Digits(digits)) if digits == "10");
        if !times || !ten || !self.mark_at(2, '^') {
            return Ok(None);
        }
        self.attempt(|parser| {
            parser.position += 3;
            let braced = parser.eat_mark('{');
            let negative = parser.eat_mark('-');
            let exponent = parser.exponent_digits(negative)?;
            if braced {
                parser.expect_mark('}')?;
            }
            Ok(exponent)
        })
    }

    fn exponent_digits(&mut self, negative: bool) -> Parsed<i64> {
        let Some(Kind::Digits(digits)) = self.peek() else {
            return Err(self.unexpected());
        };
        let value = digits.parse::<i64>().map_err(|_| Failure::Unreadable)?;
        self.advance();
        if value > i64::try_from(DIGITS_MAX).unwrap_or(i64::MAX) {
            return Err(Failure::Exhausted);
        }
        Ok(if negative { -value } else { value })
    }

    /// `101_2`, `2A_{16}`: digits below the base, an integer base from 2 to 36.
    pub(super) fn based_digits(&mut self) -> Parsed<Option<Value>> {
        let mut digits = String::new();
        let mut ahead = 0;
        loop {
            match self.peek_at(ahead) {
                Some(Kind::Digits(part)) if ahead == 0 || !self.is_spaced_at(ahead) => {
                    digits.push_str(part);
                }
                Some(Kind::Letters(part)) if !self.is_spaced_at(ahead) || ahead == 0 => {
                    digits.push_str(part);
                }
                Some(Kind::Mark('_')) if ahead > 0 => break,
                _ => return Ok(None),
            }
            ahead += 1;
        }
        // A lone letter with an index is a variable; several digits from A to F are not.
        let lettered = !digits.contains(|digit: char| digit.is_ascii_digit());
        if lettered && !(digits.len() > 1 && digits.chars().all(|digit| digit.is_ascii_hexdigit()))
        {
            return Ok(None);
        }
        self.attempt(|parser| {
            parser.position += ahead + 1;
            let braced = parser.eat_mark('{');
            let base = match parser.word().and_then(super::words::number) {
                Some(base) => {
                    parser.advance();
                    u64::try_from(base).map_err(|_| Failure::Unreadable)?
                }
                None => {
                    u64::try_from(parser.literal_integer()?).map_err(|_| Failure::Unreadable)?
                }
            };
            if braced {
                parser.expect_mark('}')?;
            }
            based(&digits, base)
        })
    }
}

pub(super) fn based(digits: &str, base: u64) -> Parsed<Value> {
    let base = u32::try_from(base).map_err(|_| Failure::Unreadable)?;
    let fits = (2..=36).contains(&base)
        && digits.chars().all(|digit| digit == '.' || digit.is_digit(base));
    if !fits {
        return Err(Failure::Unreadable);
    }
    Ok(Value::Based { digits: digits.to_uppercase(), base })
}

fn proper_fraction(top: UBig, bottom: UBig) -> Parsed<RBig> {
    if bottom.is_zero() || top >= bottom {
        return Err(Failure::Unreadable);
    }
    Ok(RBig::from_parts(IBig::from(top), bottom))
}

/// Digits without the point, and how many stood behind it.
fn parse_decimal(whole: &str, fraction: &str) -> Parsed<(UBig, usize)> {
    let joined = format!("{whole}{fraction}");
    let mantissa = UBig::from_str_radix(&joined, 10).map_err(|_| Failure::Unreadable)?;
    Ok((mantissa, fraction.len()))
}

fn over_power_of_ten(mantissa: UBig, decimals: usize) -> RBig {
    RBig::from_parts(IBig::from(mantissa), UBig::from(10u8).pow(decimals))
}

/// A decimal followed by a repeating group.
fn repeat(mantissa: &UBig, decimals: usize, group: &str) -> Parsed<RBig> {
    let digits = group.trim_start_matches('.');
    let period = UBig::from_str_radix(digits, 10).map_err(|_| Failure::Unreadable)?;
    if digits.is_empty() || digits.len() > 64 {
        return Err(Failure::Unreadable);
    }
    let nines = UBig::from(10u8).pow(digits.len()) - UBig::ONE;
    let scale = UBig::from(10u8).pow(decimals);
    let numerator = mantissa * &nines + period;
    Ok(RBig::from_parts(IBig::from(numerator), nines * scale))
}
