//! Real balls: a middle of fixed precision and an upper bound of its error.
//!
//! Every operation returns a ball that contains the exact result for every choice
//! of exact operands inside the operand balls, or `None` when it cannot promise
//! that. Two disjoint balls are therefore a proof that two numbers differ.

use std::cmp::Ordering;

use dashu_float::round::mode::HalfEven;
use dashu_float::{ConstCache, Context, FBig, Repr};
use dashu_int::ops::BitTest;
use dashu_int::{IBig, Sign, UBig};
use dashu_ratio::RBig;

use super::magnitude::Magnitude;
use crate::limits;

type Float = FBig<HalfEven, 2>;

/// A real number up to `radius`.
#[derive(Debug, Clone)]
pub(crate) struct Ball {
    pub(super) middle: Repr<2>,
    pub(super) radius: Magnitude,
}

/// Ball arithmetic at one precision.
#[derive(Debug)]
pub(crate) struct Arithmetic {
    pub(super) context: Context<HalfEven>,
    pub(super) precision: usize,
    pub(super) cache: ConstCache,
}

impl Ball {
    pub(crate) fn zero() -> Self {
        Self { middle: Repr::zero(), radius: Magnitude::ZERO }
    }

    pub(crate) fn one() -> Self {
        Self { middle: Repr::one(), radius: Magnitude::ZERO }
    }

    pub(crate) fn negate(&self) -> Self {
        Self { middle: -self.middle.clone(), radius: self.radius }
    }

    pub(super) fn middle_magnitude(&self) -> Magnitude {
        magnitude_of(&self.middle)
    }

    /// Upper bound of the absolute value.
    pub(crate) fn upper(&self) -> Magnitude {
        self.middle_magnitude().add(self.radius)
    }

    /// Lower bound of the absolute value; zero when the ball may hold zero.
    pub(crate) fn lower(&self) -> Magnitude {
        self.middle_magnitude().deflate().sub_down(self.radius)
    }

    pub(crate) fn is_exact_zero(&self) -> bool {
        self.radius.is_zero() && self.middle.significand().is_zero()
    }

    /// The sign, when the ball does not hold zero or is exactly zero.
    pub(crate) fn sign(&self) -> Option<Ordering> {
        if self.is_exact_zero() {
            return Some(Ordering::Equal);
        }
        if self.lower().is_zero() {
            return None;
        }
        Some(match self.middle.sign() {
            Sign::Positive => Ordering::Greater,
            Sign::Negative => Ordering::Less,
        })
    }

    /// Bits of the middle that the radius leaves certain.
    pub(crate) fn certain_bits(&self, scale: Magnitude) -> i64 {
        match (self.upper().log2(), scale.log2()) {
            (None, _) => i64::MAX,
            (Some(_), None) => i64::MIN,
            (Some(own), Some(scale)) => scale.saturating_sub(own),
        }
    }

    pub(crate) fn radius(&self) -> Magnitude {
        self.radius
    }
}

pub(super) fn magnitude_of(value: &Repr<2>) -> Magnitude {
    if value.significand().is_zero() || !value.is_finite() {
        return Magnitude::ZERO;
    }
    let (_, digits) = value.significand().as_sign_words();
    let Some((top, rest)) = digits.split_last() else {
        return Magnitude::ZERO;
    };
    let word_bits = i64::from(dashu_int::Word::BITS);
    let low = i64::try_from(rest.len()).unwrap_or(i64::MAX / 128) * word_bits;
    let next = rest.last().copied().unwrap_or(0);
    let word_span = 2.0_f64.powi(dashu_int::Word::BITS.cast_signed());
    let mantissa = *top as f64 + (next as f64 + 1.0) / word_span;
    Magnitude::from_parts(mantissa, low.saturating_add(value.exponent() as i64))
}

impl Arithmetic {
    pub(crate) fn new(precision: usize) -> Self {
        Self { context: Context::new(precision), precision, cache: ConstCache::new() }
    }

    pub(crate) fn precision(&self) -> usize {
        self.precision
    }

    /// Wraps a correctly rounded result, adding its rounding error to `radius`.
    pub(super) fn rounded(&self, value: &Float, radius: Magnitude) -> Option<Ball> {
        let middle = value.repr().clone();
        if !middle.is_finite() {
            return None;
        }
        let size = magnitude_of(&middle);
        let Some(exponent) = size.log2() else {
            return Some(Ball { middle, radius });
        };
        if exponent.abs() > limits::EXPONENT_MAX {
            return None;
        }
        let precision = i64::try_from(self.precision).ok()?;
        let error = Magnitude::power_of_two(exponent + 1 - precision);
        Some(Ball { middle, radius: radius.add(error) })
    }

    fn exact_or_rounded(&self, value: &Float, radius: Magnitude, exact: bool) -> Option<Ball> {
        if exact && value.repr().is_finite() {
            return Some(Ball { middle: value.repr().clone(), radius });
        }
        self.rounded(value, radius)
    }

    pub(crate) fn integer(&self, value: &IBig) -> Option<Ball> {
        let rounded = self.context.convert_int::<2>(value.clone());
        let exact = matches!(rounded, dashu_float::round::Rounded::Exact(_));
        self.exact_or_rounded(&rounded.value(), Magnitude::ZERO, exact)
    }

    pub(crate) fn rational(&self, value: &RBig) -> Option<Ball> {
        let numerator = self.integer(value.numerator())?;
        if value.denominator().is_one() {
            return Some(numerator);
        }
        let denominator = self.integer(&IBig::from(value.denominator().clone()))?;
        self.div(&numerator, &denominator)
    }

    pub(crate) fn pi(&mut self) -> Option<Ball> {
        let value = self.context.pi::<2>(Some(&mut self.cache)).value();
        self.rounded(&value, Magnitude::ZERO)
    }

    pub(crate) fn add(&self, left: &Ball, right: &Ball) -> Option<Ball> {
        let sum = self.context.add(&left.middle, &right.middle).ok()?;
        let exact = matches!(sum, dashu_float::round::Rounded::Exact(_));
        self.exact_or_rounded(&sum.value(), left.radius.add(right.radius), exact)
    }

    pub(crate) fn sub(&self, left: &Ball, right: &Ball) -> Option<Ball> {
        self.add(left, &right.negate())
    }

    pub(crate) fn mul(&self, left: &Ball, right: &Ball) -> Option<Ball> {
        let product = self.context.mul(&left.middle, &right.middle).ok()?;
        let exact = matches!(product, dashu_float::round::Rounded::Exact(_));
        let radius = left
            .middle_magnitude()
            .mul(right.radius)
            .add(right.middle_magnitude().mul(left.radius))
            .add(left.radius.mul(right.radius));
        self.exact_or_rounded(&product.value(), radius, exact)
    }

    pub(crate) fn div(&self, left: &Ball, right: &Ball) -> Option<Ball> {
        let floor = right.lower();
        if floor.is_zero() {
            return None;
        }
        let quotient = self.context.div(&left.middle, &right.middle).ok()?;
        let exact = matches!(quotient, dashu_float::round::Rounded::Exact(_));
        let value = quotient.value();
        let size = magnitude_of(value.repr()).add(Magnitude::power_of_two(
            magnitude_of(value.repr()).log2().unwrap_or(0).saturating_sub(40),
        ));
        let radius = left.radius.add(size.mul(right.radius)).div(floor);
        self.exact_or_rounded(&value, radius, exact)
    }

    pub(crate) fn power(&self, base: &Ball, exponent: &UBig) -> Option<Ball> {
        let mut result = Ball::one();
        for index in (0..exponent.bit_len()).rev() {
            result = self.mul(&result, &result)?;
            if exponent.bit(index) {
                result = self.mul(&result, base)?;
            }
        }
        Some(result)
    }

    /// Square root of a ball whose exact value is known not to be negative.
    pub(crate) fn sqrt(&self, value: &Ball) -> Option<Ball> {
        if value.is_exact_zero() {
            return Some(Ball::zero());
        }
        if value.middle.sign() == Sign::Negative || value.lower().is_zero() {
            return None;
        }
        let root = self.context.sqrt(&value.middle).ok()?;
        let exact = matches!(root, dashu_float::round::Rounded::Exact(_));
        let root = root.value();
        // |sqrt(m) - sqrt(x)| <= r / sqrt(m) for every x >= 0 within r of m.
        let radius = value.radius.div(magnitude_of(root.repr()).deflate());
        self.exact_or_rounded(&root, radius.add(radius), exact)
    }

    /// A ball that is certainly an integer after the given rounding, as that integer.
    pub(crate) fn floor(&self, value: &Ball) -> Option<IBig> {
        // Written out as an integer, a far larger number would fill the memory.
        let size = i64::try_from(limits::PRECISION_MAX).ok()?;
        if value.upper().log2().is_some_and(|bits| bits > size) {
            return None;
        }
        // All its digits count, also where it has more than results are rounded to.
        let precision = self.context.precision().max(value.middle.digits());
        let floor = Float::from_repr(value.middle.clone(), Context::new(precision)).floor();
        let integer = floor.to_int().value();
        if value.radius.is_zero() {
            return Some(integer);
        }
        let below = self.sub(value, &self.integer(&integer)?)?;
        let above = self.sub(&self.integer(&(&integer + IBig::ONE))?, value)?;
        let inside =
            below.sign() == Some(Ordering::Greater) && above.sign() == Some(Ordering::Greater);
        inside.then_some(integer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(arithmetic: &Arithmetic, numerator: i64, denominator: u64) -> Ball {
        arithmetic
            .rational(&RBig::from_parts(IBig::from(numerator), UBig::from(denominator)))
            .unwrap()
    }

    #[test]
    fn square_of_a_root_holds_the_number() {
        let arithmetic = Arithmetic::new(96);
        let two = number(&arithmetic, 2, 1);
        let root = arithmetic.sqrt(&two).unwrap();
        let square = arithmetic.mul(&root, &root).unwrap();
        let difference = arithmetic.sub(&square, &two).unwrap();
        assert_eq!(difference.sign(), None);
        assert!(difference.certain_bits(Magnitude::ONE) > 80);
    }

    #[test]
    fn tiny_difference_is_seen_and_no_difference_is_not() {
        let arithmetic = Arithmetic::new(96);
        let left = number(&arithmetic, 1, 3);
        let right = number(&arithmetic, 1_000_000_001, 3_000_000_000);
        assert_eq!(arithmetic.sub(&right, &left).unwrap().sign(), Some(Ordering::Greater));
        assert_eq!(arithmetic.sub(&left, &left).unwrap().sign(), None);
    }

    /// Found by fuzzing: the library checks the precision, in debug builds alone.
    #[test]
    fn floor_takes_a_number_of_more_digits_than_results_have() {
        let wide = number(&Arithmetic::new(200), 10, 3);
        let arithmetic = Arithmetic::new(20);
        assert_eq!(arithmetic.floor(&wide), Some(IBig::from(3)));
        let negative = number(&Arithmetic::new(200), -10, 3);
        assert_eq!(arithmetic.floor(&negative), Some(IBig::from(-4)));
    }
}
