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
    middle: Repr<2>,
    radius: Magnitude,
}

/// Ball arithmetic at one precision.
#[derive(Debug)]
pub(crate) struct Arithmetic {
    context: Context<HalfEven>,
    precision: usize,
    cache: ConstCache,
}

impl Ball {
    pub(crate) fn zero() -> Self {
        Self {
            middle: Repr::zero(),
            radius: Magnitude::ZERO,
        }
    }

    pub(crate) fn one() -> Self {
        Self {
            middle: Repr::one(),
            radius: Magnitude::ZERO,
        }
    }

    pub(crate) fn negate(&self) -> Self {
        Self {
            middle: -self.middle.clone(),
            radius: self.radius,
        }
    }

    fn middle_magnitude(&self) -> Magnitude {
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

fn magnitude_of(value: &Repr<2>) -> Magnitude {
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
        Self {
            context: Context::new(precision),
            precision,
            cache: ConstCache::new(),
        }
    }

    pub(crate) fn precision(&self) -> usize {
        self.precision
    }

    /// Wraps a correctly rounded result, adding its rounding error to `radius`.
    fn rounded(&self, value: &Float, radius: Magnitude) -> Option<Ball> {
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
        Some(Ball {
            middle,
            radius: radius.add(error),
        })
    }

    fn exact_or_rounded(&self, value: &Float, radius: Magnitude, exact: bool) -> Option<Ball> {
        if exact && value.repr().is_finite() {
            return Some(Ball {
                middle: value.repr().clone(),
                radius,
            });
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
            magnitude_of(value.repr())
                .log2()
                .unwrap_or(0)
                .saturating_sub(40),
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

    /// Root of odd or even degree of a positive ball, by exp and ln.
    pub(crate) fn exp(&mut self, value: &Ball) -> Option<Ball> {
        if value
            .middle_magnitude()
            .compare(Magnitude::power_of_two(39))
            == Ordering::Greater
            || value.radius.compare(Magnitude::power_of_two(-1)) == Ordering::Greater
        {
            return None;
        }
        if value.is_exact_zero() {
            return Some(Ball::one());
        }
        if value.upper().log2().is_some_and(|size| size >= 8) {
            return self.exp_of_large(value);
        }
        self.exp_series(value)
    }

    /// Halves the argument until it is small, sums the series, squares back; with
    /// guard bits for what the squarings lose.
    fn exp_series(&self, value: &Ball) -> Option<Ball> {
        let size = value.upper().log2()?;
        let halvings = (size + 9).clamp(0, 24);
        let guarded = Self::new(self.precision + 32);
        let small = self.scaled_by_two(value, -isize::try_from(halvings).ok()?);
        let bits = (size - halvings + 1).min(-8);
        let terms = i64::try_from(guarded.precision).ok()? / -bits + 2;
        let mut sum = Ball::one();
        for index in (1..=terms).rev() {
            let divisor = guarded.integer(&IBig::from(index))?;
            let scaled = guarded.div(&guarded.mul(&small, &sum)?, &divisor)?;
            sum = guarded.add(&Ball::one(), &scaled)?;
        }
        // The tail is below twice its first term.
        let tail = Magnitude::power_of_two(bits.saturating_mul(terms + 1) + 1);
        sum.radius = sum.radius.add(tail);
        for _ in 0..halvings {
            sum = guarded.mul(&sum, &sum)?;
        }
        Some(sum)
    }

    /// `exp(x) = 2^k * exp(x - k ln 2)` with k the floor of x / ln 2.
    fn exp_of_large(&mut self, value: &Ball) -> Option<Ball> {
        let two = self.integer(&IBig::from(2))?;
        let log = self.ln(&two)?;
        let turns = self.div(value, &log)?;
        let middle = Ball {
            radius: Magnitude::ZERO,
            ..turns
        };
        let whole = self.floor(&middle)?;
        let shift = isize::try_from(&whole).ok()?;
        let whole = self.integer(&whole)?;
        let rest = self.sub(value, &self.mul(&whole, &log)?)?;
        if rest.upper().log2().is_some_and(|size| size >= 3) {
            return None;
        }
        let result = if rest.is_exact_zero() {
            Ball::one()
        } else {
            self.exp_series(&rest)?
        };
        Some(self.scaled_by_two(&result, shift))
    }

    /// The size of a value that vanishes beside 1 at this precision.
    fn negligible(&self, value: &Ball) -> Option<Magnitude> {
        let precision = i64::try_from(self.precision).ok()?;
        let size = value.upper();
        (size.log2()? < -2 * precision).then_some(size)
    }

    pub(crate) fn ln(&mut self, value: &Ball) -> Option<Ball> {
        let floor = value.lower();
        if floor.is_zero() || value.middle.sign() == Sign::Negative {
            return None;
        }
        if value.radius.is_zero() && value.middle.is_one() {
            return Some(Ball::zero());
        }
        let result = self
            .context
            .ln(&value.middle, Some(&mut self.cache))
            .ok()?
            .value();
        self.rounded(&result, value.radius.div(floor))
    }

    pub(crate) fn sin_cos(&mut self, value: &Ball) -> Option<(Ball, Ball)> {
        if value.is_exact_zero() {
            return Some((Ball::zero(), Ball::one()));
        }
        if value.upper().compare(Magnitude::power_of_two(200)) == Ordering::Greater {
            return None;
        }
        if let Some(size) = self.negligible(value) {
            // |sin x - x| <= |x|^3 and |cos x - 1| <= x^2.
            let square = size.mul(size);
            let sine = Ball {
                middle: value.middle.clone(),
                radius: value.radius.add(square.mul(size)),
            };
            return Some((
                sine,
                Ball {
                    radius: square,
                    ..Ball::one()
                },
            ));
        }
        let (sine, cosine) = self.context.sin_cos(&value.middle, Some(&mut self.cache));
        let sine = self.rounded(&sine.ok()?.value(), value.radius)?;
        let cosine = self.rounded(&cosine.ok()?.value(), value.radius)?;
        Some((sine, cosine))
    }

    /// Halves the angle until it is small, then sums the series; each step is a ball
    /// operation, so all errors but the tail are tracked, and the tail is added.
    pub(crate) fn atan(&self, value: &Ball) -> Option<Ball> {
        if value.is_exact_zero() {
            return Some(Ball::zero());
        }
        if value.lower().compare(Magnitude::ONE) == Ordering::Greater {
            // atan x = sign(x) * pi/2 - atan(1/x)
            let inverse = self.div(&Ball::one(), value)?;
            let rest = self.atan_series(&inverse)?;
            let quarter = self.scaled_by_two(&self.pi_ball()?, -1);
            let quarter = if value.middle.sign() == Sign::Negative {
                quarter.negate()
            } else {
                quarter
            };
            return self.sub(&quarter, &rest);
        }
        self.atan_series(value)
    }

    fn pi_ball(&self) -> Option<Ball> {
        let value = self.context.pi::<2>(None).value();
        self.rounded(&value, Magnitude::ZERO)
    }

    fn atan_series(&self, value: &Ball) -> Option<Ball> {
        let halvings = 8;
        let mut small = value.clone();
        for _ in 0..halvings {
            // tan(t/2) = tan t / (1 + sqrt(1 + tan^2 t))
            let square = self.mul(&small, &small)?;
            let root = self.sqrt(&self.add(&Ball::one(), &square)?)?;
            small = self.div(&small, &self.add(&Ball::one(), &root)?)?;
        }
        let square = self.mul(&small, &small)?;
        let bits = square.upper().log2()?.min(-8) + 1;
        let precision = i64::try_from(self.precision).ok()?;
        let terms = precision / -bits + 2;
        let mut sum = Ball::zero();
        for index in (0..terms).rev() {
            let divisor = self.integer(&IBig::from(2 * index + 1))?;
            let term = self.div(&Ball::one(), &divisor)?;
            sum = self.sub(&term, &self.mul(&square, &sum)?)?;
        }
        let mut result = self.mul(&small, &sum)?;
        // The alternating tail is below its first term.
        let tail = Magnitude::power_of_two(bits.saturating_mul(terms)).mul(small.upper());
        result.radius = result.radius.add(tail);
        Some(self.scaled_by_two(&result, halvings))
    }

    fn scaled_by_two(&self, value: &Ball, exponent: isize) -> Ball {
        let scale = Magnitude::power_of_two(exponent as i64);
        let shifted = Repr::new(
            value.middle.significand().clone(),
            value.middle.exponent() + exponent,
        );
        Ball {
            middle: shifted,
            radius: value.radius.mul(scale),
        }
    }

    /// A ball that is certainly an integer after the given rounding, as that integer.
    pub(crate) fn floor(&self, value: &Ball) -> Option<IBig> {
        // Written out as an integer, a far larger number would fill the memory.
        let size = i64::try_from(limits::PRECISION_MAX).ok()?;
        if value.upper().log2().is_some_and(|bits| bits > size) {
            return None;
        }
        let floor = Float::from_repr(value.middle.clone(), self.context).floor();
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
            .rational(&RBig::from_parts(
                IBig::from(numerator),
                UBig::from(denominator),
            ))
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
    fn exp_undoes_ln_within_the_radius() {
        let mut arithmetic = Arithmetic::new(128);
        let value = number(&arithmetic, 22, 7);
        let log = arithmetic.ln(&value).unwrap();
        let back = arithmetic.exp(&log).unwrap();
        let difference = arithmetic.sub(&back, &value).unwrap();
        assert_eq!(difference.sign(), None);
        assert!(difference.certain_bits(Magnitude::ONE) > 100);
    }

    #[test]
    fn exp_agrees_with_the_library_inside_its_radius() {
        for precision in [96, 192, 448] {
            let mut arithmetic = Arithmetic::new(precision);
            for (numerator, denominator) in [(1, 1), (-1, 3), (77, 5), (-200, 3), (1, 1_000_000)] {
                let value = number(&arithmetic, numerator, denominator);
                let own = arithmetic.exp(&value).unwrap();
                let library = arithmetic.context.exp(&value.middle, None).unwrap().value();
                let size = magnitude_of(library.repr());
                let spread = size.add(size).mul(value.radius.add(value.radius));
                let library = arithmetic.rounded(&library, spread).unwrap();
                let difference = arithmetic.sub(&own, &library).unwrap();
                assert_eq!(
                    difference.sign(),
                    None,
                    "{numerator}/{denominator} at {precision}"
                );
                let certain = difference.certain_bits(library.upper());
                assert!(
                    certain > i64::try_from(precision).unwrap() - 20,
                    "{certain}"
                );
            }
        }
    }

    #[test]
    fn exp_of_large_values_undoes_ln() {
        let mut arithmetic = Arithmetic::new(192);
        for exponent in [300, 5_000, -70_000, 900_000_000] {
            let value = arithmetic.scaled_by_two(&number(&arithmetic, 5, 3), exponent);
            let log = arithmetic.ln(&value).unwrap();
            let back = arithmetic.exp(&log).unwrap();
            let difference = arithmetic.sub(&back, &value).unwrap();
            assert_eq!(difference.sign(), None);
            assert!(difference.certain_bits(value.upper()) > 120, "{exponent}");
        }
    }

    #[test]
    fn functions_of_negligible_values_are_instant_and_right() {
        let mut arithmetic = Arithmetic::new(96);
        let tiny = arithmetic.scaled_by_two(&Ball::one(), -1_000_000_000);
        let exponential = arithmetic.exp(&tiny).unwrap();
        assert_eq!(
            arithmetic.sub(&exponential, &Ball::one()).unwrap().sign(),
            None
        );
        let (sine, cosine) = arithmetic.sin_cos(&tiny).unwrap();
        assert_eq!(sine.sign(), Some(Ordering::Greater));
        assert!(
            arithmetic
                .sub(&cosine, &Ball::one())
                .unwrap()
                .sign()
                .is_none()
        );
    }

    #[test]
    fn atan_agrees_with_the_library_inside_its_radius() {
        for precision in [96, 192, 448] {
            let arithmetic = Arithmetic::new(precision);
            for (numerator, denominator) in [
                (1, 1),
                (1, 3),
                (-7, 5),
                (99, 1),
                (1, 1000),
                (-1, 1_000_000_007),
            ] {
                let value = number(&arithmetic, numerator, denominator);
                let own = arithmetic.atan(&value).unwrap();
                let library = arithmetic
                    .context
                    .atan(&value.middle, None)
                    .unwrap()
                    .value();
                let library = arithmetic.rounded(&library, value.radius).unwrap();
                let difference = arithmetic.sub(&own, &library).unwrap();
                assert_eq!(
                    difference.sign(),
                    None,
                    "{numerator}/{denominator} at {precision}"
                );
                let certain = difference.certain_bits(library.upper());
                assert!(
                    certain > i64::try_from(precision).unwrap() - 20,
                    "{certain}"
                );
            }
        }
    }

    #[test]
    fn tiny_difference_is_seen_and_no_difference_is_not() {
        let arithmetic = Arithmetic::new(96);
        let left = number(&arithmetic, 1, 3);
        let right = number(&arithmetic, 1_000_000_001, 3_000_000_000);
        assert_eq!(
            arithmetic.sub(&right, &left).unwrap().sign(),
            Some(Ordering::Greater)
        );
        assert_eq!(arithmetic.sub(&left, &left).unwrap().sign(), None);
    }
}
