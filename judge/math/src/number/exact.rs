//! Exact rational arithmetic under a bit budget: each function estimates the size
//! of its result first and gives `None` when the result would be too long.

use dashu_int::ops::{BitTest, UnsignedAbs};
use dashu_int::{IBig, Sign, UBig};
use dashu_ratio::RBig;

use crate::limits;

/// Primes below this bound are split off when an integer is factored.
const TRIAL_BOUND: u32 = 1_000;

/// Longer integers are not factored, in bits.
const FACTOR_BITS_MAX: usize = 512;

fn bits(value: &RBig) -> usize {
    value.numerator().bit_len() + value.denominator().bit_len()
}

fn fits(bits: usize) -> Option<()> {
    (bits <= limits::INTEGER_BITS_MAX).then_some(())
}

pub(crate) fn size_bits(value: &RBig) -> usize {
    bits(value)
}

pub(crate) fn integer(value: i64) -> RBig {
    RBig::from(IBig::from(value))
}

pub(crate) fn fraction(numerator: i64, denominator: u64) -> RBig {
    RBig::from_parts(IBig::from(numerator), UBig::from(denominator))
}

pub(crate) fn add(left: &RBig, right: &RBig) -> Option<RBig> {
    fits(bits(left) + bits(right))?;
    Some(left + right)
}

pub(crate) fn mul(left: &RBig, right: &RBig) -> Option<RBig> {
    fits(bits(left) + bits(right))?;
    Some(left * right)
}

/// Quotient; `None` also for a zero divisor.
pub(crate) fn div(left: &RBig, right: &RBig) -> Option<RBig> {
    fits(bits(left) + bits(right))?;
    if right.is_zero() {
        return None;
    }
    Some(left / right)
}

pub(crate) fn small_integer(value: &RBig) -> Option<i64> {
    if !value.denominator().is_one() {
        return None;
    }
    i64::try_from(value.numerator().clone()).ok()
}

pub(crate) fn is_negative(value: &RBig) -> bool {
    value.numerator().sign() == Sign::Negative
}

/// `base^exponent` for an integer exponent; `None` for 0 to a negative power.
pub(crate) fn power(base: &RBig, exponent: &IBig) -> Option<RBig> {
    if base.is_one() {
        return Some(RBig::ONE);
    }
    let (sign, size) = exponent.clone().into_parts();
    if base.is_zero() {
        return match (sign, size.is_zero()) {
            (_, true) => Some(RBig::ONE),
            (Sign::Positive, false) => Some(RBig::ZERO),
            (Sign::Negative, false) => None,
        };
    }
    if base.denominator().is_one() && base.numerator() == &IBig::NEG_ONE {
        return Some(if size.bit(0) { -RBig::ONE } else { RBig::ONE });
    }
    let count = usize::try_from(size).ok()?;
    fits(bits(base).checked_mul(count)?)?;
    let numerator = base.numerator().pow(count);
    let denominator = base.denominator().pow(count);
    Some(match sign {
        Sign::Positive => RBig::from_parts(numerator, denominator),
        Sign::Negative => RBig::from_parts_signed(IBig::from(denominator), numerator),
    })
}

/// The exact real root of the given degree, if it is rational.
pub(crate) fn root(value: &RBig, degree: u32) -> Option<RBig> {
    if degree == 0 || bits(value) > 8 * 1024 {
        return None;
    }
    let negative = is_negative(value);
    if negative && degree.is_multiple_of(2) {
        return None;
    }
    let numerator = integer_root(&value.numerator().clone().unsigned_abs(), degree)?;
    let denominator = integer_root(value.denominator(), degree)?;
    let size = RBig::from_parts(IBig::from(numerator), denominator);
    Some(if negative { -size } else { size })
}

fn integer_root(value: &UBig, degree: u32) -> Option<UBig> {
    if value.is_one() || value.is_zero() {
        return Some(value.clone());
    }
    let degree = usize::try_from(degree).ok()?;
    if value.bit_len() <= degree {
        return None;
    }
    let root = value.nth_root(degree);
    (root.pow(degree) == *value).then_some(root)
}

pub(crate) fn factorial(value: &RBig) -> Option<RBig> {
    let count = u32::try_from(small_integer(value)?).ok()?;
    if count > limits::FACTORIAL_MAX {
        return None;
    }
    Some(RBig::from(IBig::from(product(1, count, 1))))
}

pub(crate) fn double_factorial(value: &RBig) -> Option<RBig> {
    let count = u32::try_from(small_integer(value)?).ok()?;
    if count > limits::FACTORIAL_MAX {
        return None;
    }
    let first = if count.is_multiple_of(2) { 2 } else { 1 };
    Some(RBig::from(IBig::from(product(first, count, 2))))
}

/// Product of `first, first + step, ...` up to `last`, by halves.
fn product(first: u32, last: u32, step: u32) -> UBig {
    let mut factors: Vec<UBig> = (first..=last).step_by(step as usize).map(UBig::from).collect();
    while factors.len() > 1 {
        factors = factors
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => left * right,
                rest => rest.first().cloned().unwrap_or(UBig::ONE),
            })
            .collect();
    }
    factors.pop().unwrap_or(UBig::ONE)
}

/// `n` over `k` for integers.
pub(crate) fn binomial(top: &RBig, bottom: &RBig) -> Option<RBig> {
    let top = small_integer(top)?;
    let bottom = small_integer(bottom)?;
    if bottom < 0 || (top >= 0 && bottom > top) {
        return Some(RBig::ZERO);
    }
    if top < 0 || top > i64::from(limits::FACTORIAL_MAX) {
        return None;
    }
    let count = bottom.min(top - bottom);
    let mut result = UBig::ONE;
    for index in 1..=count {
        result *= UBig::try_from(top - count + index).ok()?;
        result /= UBig::try_from(index).ok()?;
    }
    Some(RBig::from(IBig::from(result)))
}

/// Splits a positive integer into small primes with exponents and a cofactor. Long
/// integers are not worth the divisions and stay whole.
pub(crate) fn factor(value: &UBig) -> (Vec<(u64, u32)>, UBig) {
    if value.bit_len() > FACTOR_BITS_MAX {
        return (Vec::new(), value.clone());
    }
    let mut primes = Vec::new();
    let mut rest = value.clone();
    let mut small = u64::try_from(&rest).ok();
    for candidate in std::iter::once(2).chain((3..TRIAL_BOUND).step_by(2)) {
        let divisor = u64::from(candidate);
        if let Some(number) = small
            && divisor * divisor > number
        {
            break;
        }
        let mut count = 0;
        loop {
            if let Some(number) = small {
                if !number.is_multiple_of(divisor) {
                    break;
                }
                small = Some(number / divisor);
            } else {
                if &rest % divisor != 0 {
                    break;
                }
                rest /= divisor;
                small = u64::try_from(&rest).ok();
            }
            count += 1;
        }
        if count > 0 {
            primes.push((divisor, count));
        }
    }
    if let Some(number) = small {
        let prime_for_sure = number < u64::from(TRIAL_BOUND) * u64::from(TRIAL_BOUND);
        if number > 1 && prime_for_sure {
            primes.push((number, 1));
            return (primes, UBig::ONE);
        }
        rest = UBig::from(number);
    }
    (primes, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_stops_at_the_bit_budget_without_computing() {
        assert_eq!(power(&integer(2), &IBig::from(10)), Some(integer(1024)));
        assert_eq!(power(&integer(7), &IBig::from(823_543)), None);
        assert_eq!(power(&integer(2), &IBig::from(-1)), Some(fraction(1, 2)));
        assert_eq!(power(&integer(0), &IBig::from(-1)), None);
    }

    #[test]
    fn roots_are_exact_or_absent() {
        assert_eq!(root(&integer(-8), 3), Some(integer(-2)));
        assert_eq!(root(&fraction(4, 9), 2), Some(fraction(2, 3)));
        assert_eq!(root(&integer(8), 2), None);
        assert_eq!(root(&integer(-4), 2), None);
    }

    #[test]
    fn factors_multiply_back() {
        let (primes, rest) = factor(&UBig::from(360u32));
        assert_eq!(primes, vec![(2, 3), (3, 2), (5, 1)]);
        assert_eq!(rest, UBig::ONE);
        let (primes, rest) = factor(&UBig::from(1_000_003u64 * 1_000_033));
        assert!(primes.is_empty());
        assert_eq!(rest, UBig::from(1_000_003u64 * 1_000_033));
    }

    #[test]
    fn factorials_and_binomials() {
        assert_eq!(factorial(&integer(5)), Some(integer(120)));
        assert_eq!(double_factorial(&integer(7)), Some(integer(105)));
        assert_eq!(binomial(&integer(5), &integer(2)), Some(integer(10)));
        assert_eq!(binomial(&integer(2), &integer(5)), Some(integer(0)));
        assert_eq!(factorial(&integer(1_000_000)), None);
    }
}
