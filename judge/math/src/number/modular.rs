//! Arithmetic in the field with p^2 elements, p prime and 3 modulo 4, written
//! `real + imaginary * i`. Each prime has p = 2 modulo 3 and p - 1 prime to 5, 7,
//! 11 and 13, so that roots of those degrees exist and are unique in the prime
//! field: real odd roots map to them and keep every algebraic relation.

use dashu_int::{IBig, Sign, UBig};
use dashu_ratio::RBig;

use super::exact;

/// Primes of 61 bits with the properties above.
pub(crate) const PRIMES: [u64; 16] = [
    1_861_873_069_688_981_543,
    2_052_965_209_799_987_039,
    2_167_483_744_752_487_223,
    2_186_145_945_010_194_527,
    2_294_703_448_510_374_743,
    1_850_407_678_707_130_199,
    2_032_147_385_567_509_187,
    2_069_769_259_486_262_303,
    1_738_507_677_567_534_323,
    2_257_448_183_479_960_463,
    1_957_273_910_543_310_119,
    2_162_088_470_896_193_783,
    2_169_450_539_238_680_063,
    2_301_579_615_038_949_863,
    2_187_720_134_013_480_779,
    1_952_561_285_021_246_843,
];

/// An element `real + imaginary * i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) real: u64,
    pub(crate) imaginary: u64,
}

impl Element {
    pub(crate) const ZERO: Self = Self { real: 0, imaginary: 0 };
    pub(crate) const ONE: Self = Self { real: 1, imaginary: 0 };
    pub(crate) const I: Self = Self { real: 0, imaginary: 1 };

    pub(crate) const fn from_real(real: u64) -> Self {
        Self { real, imaginary: 0 }
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

/// The field for one prime.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    prime: u64,
}

impl Field {
    pub(crate) fn new(index: usize) -> Self {
        Self { prime: PRIMES[index % PRIMES.len()] }
    }

    /// A pseudo-random element of the prime field, a pure function of `seed`.
    pub(crate) fn scatter(self, seed: u64) -> u64 {
        mix(seed ^ self.prime) % self.prime
    }

    fn add_real(self, left: u64, right: u64) -> u64 {
        let sum = left + right;
        if sum >= self.prime { sum - self.prime } else { sum }
    }

    fn sub_real(self, left: u64, right: u64) -> u64 {
        if left >= right { left - right } else { left + self.prime - right }
    }

    fn mul_real(self, left: u64, right: u64) -> u64 {
        let product = u128::from(left) * u128::from(right) % u128::from(self.prime);
        u64::try_from(product).unwrap_or(0)
    }

    fn power_real(self, base: u64, mut exponent: u64) -> u64 {
        let mut result = 1;
        let mut square = base;
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.mul_real(result, square);
            }
            square = self.mul_real(square, square);
            exponent >>= 1;
        }
        result
    }

    fn inverse_real(self, value: u64) -> Option<u64> {
        (value != 0).then(|| self.power_real(value, self.prime - 2))
    }

    pub(crate) fn add(self, left: Element, right: Element) -> Element {
        Element {
            real: self.add_real(left.real, right.real),
            imaginary: self.add_real(left.imaginary, right.imaginary),
        }
    }

    pub(crate) fn sub(self, left: Element, right: Element) -> Element {
        Element {
            real: self.sub_real(left.real, right.real),
            imaginary: self.sub_real(left.imaginary, right.imaginary),
        }
    }

    pub(crate) fn mul(self, left: Element, right: Element) -> Element {
        if left.imaginary == 0 && right.imaginary == 0 {
            return Element::from_real(self.mul_real(left.real, right.real));
        }
        let real = self.sub_real(
            self.mul_real(left.real, right.real),
            self.mul_real(left.imaginary, right.imaginary),
        );
        let imaginary = self.add_real(
            self.mul_real(left.real, right.imaginary),
            self.mul_real(left.imaginary, right.real),
        );
        Element { real, imaginary }
    }

    pub(crate) fn inverse(self, value: Element) -> Option<Element> {
        if value.imaginary == 0 {
            return self.inverse_real(value.real).map(Element::from_real);
        }
        let norm = self.add_real(
            self.mul_real(value.real, value.real),
            self.mul_real(value.imaginary, value.imaginary),
        );
        let scale = self.inverse_real(norm)?;
        Some(Element {
            real: self.mul_real(value.real, scale),
            imaginary: self.mul_real(self.sub_real(0, value.imaginary), scale),
        })
    }

    pub(crate) fn power(self, base: Element, exponent: &IBig) -> Option<Element> {
        let (sign, size) = exponent.clone().into_parts();
        let order = UBig::from(self.prime) * UBig::from(self.prime) - UBig::ONE;
        let reduced = u128::try_from(size % order).ok()?;
        let base = match sign {
            Sign::Positive => base,
            Sign::Negative => self.inverse(base)?,
        };
        if base.is_zero() {
            return Some(Element::ZERO);
        }
        let mut result = Element::ONE;
        let mut square = base;
        let mut rest = reduced;
        while rest > 0 {
            if rest & 1 == 1 {
                result = self.mul(result, square);
            }
            rest >>= 1;
            if rest > 0 {
                square = self.mul(square, square);
            }
        }
        Some(result)
    }

    pub(crate) fn integer(self, value: &IBig) -> Element {
        let (sign, size) = value.clone().into_parts();
        let rest = size % self.prime;
        Element::from_real(match sign {
            Sign::Positive => rest,
            Sign::Negative => self.sub_real(0, rest),
        })
    }

    pub(crate) fn rational(self, value: &RBig) -> Option<Element> {
        let numerator = self.integer(value.numerator());
        if value.denominator().is_one() {
            return Some(numerator);
        }
        let denominator = self.integer(&IBig::from(value.denominator().clone()));
        Some(self.mul(numerator, self.inverse(denominator)?))
    }

    /// A square root of a positive rational, multiplicative over its factors; none for
    /// one that is not fully factored.
    pub(crate) fn square_root(self, value: &RBig) -> Option<Element> {
        let top = self.square_root_of_integer(value.numerator().clone().into_parts().1)?;
        let bottom = self.square_root_of_integer(value.denominator().clone())?;
        Some(self.mul(top, self.inverse(bottom)?))
    }

    fn square_root_of_integer(self, value: UBig) -> Option<Element> {
        let (primes, rest) = exact::factor(&value);
        // The roots of two composite cofactors could be chosen against each other.
        if !rest.is_one() {
            return None;
        }
        let mut result = Element::ONE;
        for (prime, count) in primes {
            let factor = self.root_of_residue(prime % self.prime);
            for _ in 0..count {
                result = self.mul(result, factor);
            }
        }
        Some(result)
    }

    fn root_of_residue(self, value: u64) -> Element {
        let root = self.power_real(value, self.prime.div_ceil(4));
        if self.mul_real(root, root) == value {
            return Element::from_real(root);
        }
        Element { real: 0, imaginary: root }
    }

    /// The unique root of an odd degree, in the prime field only.
    pub(crate) fn odd_root(self, value: Element, degree: u32) -> Option<Element> {
        if value.imaginary != 0 {
            return None;
        }
        let inverse = inverse_modulo(u64::from(degree), self.prime - 1)?;
        Some(Element::from_real(self.power_real(value.real, inverse)))
    }
}

fn inverse_modulo(value: u64, modulus: u64) -> Option<u64> {
    let (mut old, mut current) = (i128::from(value), i128::from(modulus));
    let (mut old_factor, mut factor) = (1_i128, 0_i128);
    while current != 0 {
        let quotient = old / current;
        (old, current) = (current, old - quotient * current);
        (old_factor, factor) = (factor, old_factor - quotient * factor);
    }
    if old != 1 {
        return None;
    }
    u64::try_from(old_factor.rem_euclid(i128::from(modulus))).ok()
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood, 2014).
pub(crate) fn mix(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::exact::integer;

    #[test]
    fn roots_of_rationals_square_back_and_multiply() {
        for index in 0..PRIMES.len() {
            let field = Field::new(index);
            let two = field.square_root(&integer(2)).unwrap();
            let three = field.square_root(&integer(3)).unwrap();
            let six = field.square_root(&integer(6)).unwrap();
            assert_eq!(field.mul(two, two), Element::from_real(2));
            assert_eq!(field.mul(two, three), six);
        }
    }

    #[test]
    fn roots_of_unfactored_integers_are_refused() {
        let field = Field::new(0);
        assert_eq!(field.square_root(&integer(1009 * 1013)), None);
        assert!(field.square_root(&integer(1009)).is_some());
    }

    #[test]
    fn odd_roots_are_inverse_to_powers() {
        for index in 0..PRIMES.len() {
            let field = Field::new(index);
            for degree in [3, 5, 7, 9, 11, 13] {
                let root = field.odd_root(Element::from_real(12_345), degree).unwrap();
                let back = field.power(root, &IBig::from(degree)).unwrap();
                assert_eq!(back, Element::from_real(12_345));
            }
        }
    }

    #[test]
    fn inverse_times_value_is_one() {
        let field = Field::new(3);
        let value = Element { real: 17, imaginary: 99 };
        assert_eq!(field.mul(value, field.inverse(value).unwrap()), Element::ONE);
        assert_eq!(field.inverse(Element::ZERO), None);
        assert_eq!(
            field
                .power(value, &IBig::from(-2))
                .map(|power| { field.mul(power, field.mul(value, value)) }),
            Some(Element::ONE)
        );
    }
}
