//! Upper bounds of absolute values: a float with a wide exponent whose every
//! operation rounds up. Used for the radii of balls, never for their middles.

use std::cmp::Ordering;

/// One part in 2^50 more than one: covers the rounding of each f64 operation.
const INFLATION: f64 = 1.0 + 1.0 / (1u64 << 50) as f64;

/// A non-negative bound `mantissa * 2^exponent`; mantissa in [1, 2), or zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Magnitude {
    mantissa: f64,
    exponent: i64,
}

impl Magnitude {
    pub(crate) const ZERO: Self = Self { mantissa: 0.0, exponent: 0 };
    pub(crate) const ONE: Self = Self { mantissa: 1.0, exponent: 0 };

    pub(crate) const fn power_of_two(exponent: i64) -> Self {
        Self { mantissa: 1.0, exponent }
    }

    /// `top * 2^exponent`, rounded up by `INFLATION`.
    pub(crate) fn from_parts(top: f64, exponent: i64) -> Self {
        Self::normalized(top * INFLATION, exponent)
    }

    fn normalized(value: f64, exponent: i64) -> Self {
        if value <= 0.0 || !value.is_finite() {
            return Self::ZERO;
        }
        let bits = value.to_bits();
        let raw = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
        let mantissa = f64::from_bits((bits & !(0x7ff << 52)) | (1023 << 52));
        Self { mantissa, exponent: exponent.saturating_add(raw - 1023) }
    }

    pub(crate) fn is_zero(self) -> bool {
        self.mantissa == 0.0
    }

    /// The exponent e with value < 2^(e+1); `None` for zero.
    pub(crate) fn log2(self) -> Option<i64> {
        if self.is_zero() { None } else { Some(self.exponent) }
    }

    pub(crate) fn add(self, other: Self) -> Self {
        if self.is_zero() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        let (big, small) =
            if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let shift = big.exponent.saturating_sub(small.exponent);
        let scaled = if shift > 60 { f64::EPSILON } else { small.mantissa * exp2_negative(shift) };
        Self::normalized((big.mantissa + scaled) * INFLATION, big.exponent)
    }

    pub(crate) fn mul(self, other: Self) -> Self {
        if self.is_zero() || other.is_zero() {
            return Self::ZERO;
        }
        let exponent = self.exponent.saturating_add(other.exponent);
        Self::normalized(self.mantissa * other.mantissa * INFLATION, exponent)
    }

    /// Upper bound of `self / divisor`, where `divisor` is a lower bound of the true divisor.
    pub(crate) fn div(self, divisor: Self) -> Self {
        if self.is_zero() || divisor.is_zero() {
            return Self::ZERO;
        }
        let exponent = self.exponent.saturating_sub(divisor.exponent);
        Self::normalized(self.mantissa / divisor.mantissa * INFLATION, exponent)
    }

    /// Lower bound of `self - other` where `self` is a lower bound; zero when not positive.
    pub(crate) fn sub_down(self, other: Self) -> Self {
        if self.compare(other) != Ordering::Greater {
            return Self::ZERO;
        }
        if other.is_zero() {
            return self;
        }
        let shift = self.exponent.saturating_sub(other.exponent);
        let scaled = if shift > 60 { f64::EPSILON } else { other.mantissa * exp2_negative(shift) };
        let value = self.mantissa / INFLATION - scaled * INFLATION;
        Self::normalized(value, self.exponent)
    }

    /// Lower bound of a value of which `self` is the inflated upper bound.
    pub(crate) fn deflate(self) -> Self {
        if self.is_zero() {
            return self;
        }
        Self::normalized(self.mantissa / INFLATION / INFLATION / INFLATION, self.exponent)
    }

    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .exponent
                .cmp(&other.exponent)
                .then(self.mantissa.partial_cmp(&other.mantissa).unwrap_or(Ordering::Equal)),
        }
    }
}

/// `2^-shift` for a shift of at most 60.
fn exp2_negative(shift: i64) -> f64 {
    let raw = u64::try_from(1023 - shift.clamp(0, 60)).unwrap_or(0);
    f64::from_bits(raw << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products_never_round_down() {
        let third = Magnitude::from_parts(1.0 / 3.0, 0);
        let sum = third.add(third).add(third);
        assert_ne!(sum.compare(Magnitude::ONE), Ordering::Less);
        let far = Magnitude::power_of_two(-500).add(Magnitude::ONE);
        assert_eq!(far.compare(Magnitude::ONE), Ordering::Greater);
    }

    #[test]
    fn differences_never_round_up() {
        let difference = Magnitude::ONE.sub_down(Magnitude::power_of_two(-2));
        assert_ne!(difference.compare(Magnitude::from_parts(0.75, 0)), Ordering::Greater);
        assert!(Magnitude::ONE.sub_down(Magnitude::ONE).is_zero());
    }
}
