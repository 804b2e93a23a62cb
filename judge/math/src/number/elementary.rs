//! Elementary functions of balls: exp, ln, sine, cosine, arc tangent. Series and
//! iterations run in ball arithmetic, so that their errors are tracked, and the tail
//! that is left out is added to the radius.

use std::cmp::Ordering;

use dashu_float::Repr;
use dashu_float::round::mode::HalfEven;
use dashu_int::{IBig, Sign};

use super::ball::{Arithmetic, Ball};
use super::magnitude::Magnitude;

impl Arithmetic {
    pub(crate) fn exp(&mut self, value: &Ball) -> Option<Ball> {
        if value.middle_magnitude().compare(Magnitude::power_of_two(39)) == Ordering::Greater
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
        let depth = 8 + i64::try_from(self.precision.isqrt()).ok()? / 4;
        let halvings = (size + 1 + depth).clamp(0, 64);
        let guarded = Self::new(self.precision + 32 + usize::try_from(halvings).ok()?);
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
        let middle = Ball { radius: Magnitude::ZERO, ..turns };
        let whole = self.floor(&middle)?;
        let shift = isize::try_from(&whole).ok()?;
        let whole = self.integer(&whole)?;
        let rest = self.sub(value, &self.mul(&whole, &log)?)?;
        if rest.upper().log2().is_some_and(|size| size >= 3) {
            return None;
        }
        let result = if rest.is_exact_zero() { Ball::one() } else { self.exp_series(&rest)? };
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
        let exponent = value.middle_magnitude().log2()?;
        let shift = isize::try_from(exponent).ok()?;
        let point = Ball { middle: value.middle.clone(), radius: Magnitude::ZERO };
        let mantissa = self.scaled_by_two(&point, -shift);
        let mut result = self.ln_of_mantissa(&mantissa)?;
        if exponent != 0 {
            let log = self.cache.ln2::<2, HalfEven>(self.precision);
            let log = self.rounded(&log, Magnitude::ZERO)?;
            let turns = self.mul(&self.integer(&IBig::from(exponent))?, &log)?;
            result = self.add(&result, &turns)?;
        }
        result.radius = result.radius.add(value.radius.div(floor));
        Some(result)
    }

    /// The logarithm of an exact number between 1/2 and 4. From a guess y, with
    /// x / e^y = 1 + d: ln x is y + d - d^2/2 up to |d|^3. Each round triples the bits;
    /// the last one keeps its error bound, so the guess need not be trusted.
    fn ln_of_mantissa(&self, value: &Ball) -> Option<Ball> {
        let half = self.rational(&super::exact::fraction(1, 2))?;
        let mut guess = self.ln_guess(value)?;
        let mut bits = 40;
        loop {
            let last = bits * 3 >= self.precision + 8;
            let rounds = Self::new(if last { self.precision + 16 } else { bits * 3 + 16 });
            let power = match guess.is_exact_zero() {
                true => Ball::one(),
                false => rounds.exp_series(&guess)?,
            };
            let rest = rounds.sub(&rounds.div(value, &power)?, &Ball::one())?;
            let size = rest.upper();
            if size.compare(Magnitude::power_of_two(-2)) == Ordering::Greater {
                return None;
            }
            let square = rounds.mul(&rest, &rest)?;
            let step = rounds.sub(&rest, &rounds.mul(&square, &half)?)?;
            guess = rounds.add(&guess, &step)?;
            if last {
                guess.radius = guess.radius.add(size.mul(size).mul(size));
                return Some(guess);
            }
            guess.radius = Magnitude::ZERO;
            bits *= 3;
        }
    }

    /// About 40 bits of the logarithm of a number of common size.
    fn ln_guess(&self, value: &Ball) -> Option<Ball> {
        let digits = self.floor(&self.scaled_by_two(value, 52))?;
        let number = i64::try_from(&digits).ok()? as f64 / (1_i64 << 52) as f64;
        // The cast saturates, and a wrong guess only costs precision.
        #[expect(clippy::cast_possible_truncation, reason = "a guess of 44 bits fits")]
        let guess = (number.ln() * (1_i64 << 44) as f64) as i64;
        Some(self.scaled_by_two(&self.integer(&IBig::from(guess))?, -44))
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
            let sine =
                Ball { middle: value.middle.clone(), radius: value.radius.add(square.mul(size)) };
            return Some((sine, Ball { radius: square, ..Ball::one() }));
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
            let quarter =
                if value.middle.sign() == Sign::Negative { quarter.negate() } else { quarter };
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
        let shifted =
            Repr::new(value.middle.significand().clone(), value.middle.exponent() + exponent);
        Ball { middle: shifted, radius: value.radius.mul(scale) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::ball::magnitude_of;
    use dashu_int::UBig;
    use dashu_ratio::RBig;

    fn number(arithmetic: &Arithmetic, numerator: i64, denominator: u64) -> Ball {
        arithmetic
            .rational(&RBig::from_parts(IBig::from(numerator), UBig::from(denominator)))
            .unwrap()
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
                assert_eq!(difference.sign(), None, "{numerator}/{denominator} at {precision}");
                let certain = difference.certain_bits(library.upper());
                assert!(certain > i64::try_from(precision).unwrap() - 20, "{certain}");
            }
        }
    }

    #[test]
    fn ln_agrees_with_the_library_inside_its_radius() {
        for precision in [96, 192, 448, 1500] {
            let mut arithmetic = Arithmetic::new(precision);
            for (numerator, denominator) in
                [(2, 1), (1, 3), (22, 7), (999, 1000), (1, 1_000_000), (7_777_777, 2)]
            {
                let value = number(&arithmetic, numerator, denominator);
                let own = arithmetic.ln(&value).unwrap();
                let library = arithmetic.context.ln(&value.middle, None).unwrap().value();
                let spread = value.radius.div(value.lower());
                let library = arithmetic.rounded(&library, spread).unwrap();
                let difference = arithmetic.sub(&own, &library).unwrap();
                assert_eq!(difference.sign(), None, "{numerator}/{denominator} at {precision}");
                let certain = difference.certain_bits(library.upper());
                assert!(certain > i64::try_from(precision).unwrap() - 24, "{certain}");
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
        assert_eq!(arithmetic.sub(&exponential, &Ball::one()).unwrap().sign(), None);
        let (sine, cosine) = arithmetic.sin_cos(&tiny).unwrap();
        assert_eq!(sine.sign(), Some(Ordering::Greater));
        assert!(arithmetic.sub(&cosine, &Ball::one()).unwrap().sign().is_none());
    }

    #[test]
    fn atan_agrees_with_the_library_inside_its_radius() {
        for precision in [96, 192, 448] {
            let arithmetic = Arithmetic::new(precision);
            for (numerator, denominator) in
                [(1, 1), (1, 3), (-7, 5), (99, 1), (1, 1000), (-1, 1_000_000_007)]
            {
                let value = number(&arithmetic, numerator, denominator);
                let own = arithmetic.atan(&value).unwrap();
                let library = arithmetic.context.atan(&value.middle, None).unwrap().value();
                let library = arithmetic.rounded(&library, value.radius).unwrap();
                let difference = arithmetic.sub(&own, &library).unwrap();
                assert_eq!(difference.sign(), None, "{numerator}/{denominator} at {precision}");
                let certain = difference.certain_bits(library.upper());
                assert!(certain > i64::try_from(precision).unwrap() - 20, "{certain}");
            }
        }
    }
}
