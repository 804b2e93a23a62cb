//! Enclosures of numbers as they come up in answers: real and complex balls, and
//! numbers so large that only a lower bound of their size is known.

use std::cmp::Ordering;

use dashu_int::{IBig, Sign, UBig};

use super::ball::{Arithmetic, Ball};
use crate::limits;

/// What is known of a value.
#[derive(Debug, Clone)]
pub(crate) enum Enclosure {
    /// A real number.
    Real(Ball),
    /// A number whose imaginary part is not known to vanish.
    Complex(Ball, Ball),
    /// A real number of absolute value at least `2^bits`.
    Huge { negative: bool, bits: i64 },
    /// Some number that is certainly not real.
    NotReal,
    /// Certainly no value, such as a quotient by zero.
    Undefined,
    /// No promise is made.
    Unknown,
}

use Enclosure::{Complex, Huge, NotReal, Real, Undefined, Unknown};

fn real(ball: Option<Ball>) -> Enclosure {
    ball.map_or(Unknown, Real)
}

fn complex(re: Option<Ball>, im: Option<Ball>) -> Enclosure {
    match (re, im) {
        (Some(re), Some(im)) if im.is_exact_zero() => Real(re),
        (Some(re), Some(im)) => Complex(re, im),
        _ => Unknown,
    }
}

impl Enclosure {
    pub(crate) fn parts(&self) -> Option<(Ball, Ball)> {
        match self {
            Real(re) => Some((re.clone(), Ball::zero())),
            Complex(re, im) => Some((re.clone(), im.clone())),
            Huge { .. } | NotReal | Undefined | Unknown => None,
        }
    }

    pub(crate) fn imaginary_unit() -> Self {
        Complex(Ball::zero(), Ball::one())
    }

    pub(crate) fn is_real(&self) -> bool {
        matches!(self, Real(_) | Huge { .. })
    }

    /// Whether the imaginary part is certainly not zero.
    pub(crate) fn is_surely_not_real(&self) -> bool {
        match self {
            Complex(_, im) => !im.lower().is_zero(),
            NotReal => true,
            Real(_) | Huge { .. } | Undefined | Unknown => false,
        }
    }
}

impl Arithmetic {
    pub(crate) fn sum(&self, left: &Enclosure, right: &Enclosure) -> Enclosure {
        match (left, right) {
            (Undefined, _) | (_, Undefined) => Undefined,
            (Real(a), Real(b)) => real(self.add(a, b)),
            (NotReal, Real(_)) | (Real(_), NotReal) => NotReal,
            (Huge { negative, bits }, Real(ball)) | (Real(ball), Huge { negative, bits }) => {
                match ball.upper().log2() {
                    Some(size) if size + 2 >= *bits => Unknown,
                    _ => Huge { negative: *negative, bits: bits - 1 },
                }
            }
            (Huge { negative: a, bits: p }, Huge { negative: b, bits: q }) if a == b => {
                Huge { negative: *a, bits: *p.max(q) }
            }
            _ => match (left.parts(), right.parts()) {
                (Some((a, b)), Some((c, d))) => complex(self.add(&a, &c), self.add(&b, &d)),
                _ => Unknown,
            },
        }
    }

    pub(crate) fn product(&self, left: &Enclosure, right: &Enclosure) -> Enclosure {
        match (left, right) {
            (Undefined, _) | (_, Undefined) => Undefined,
            (Real(a), Real(b)) => real(self.mul(a, b)),
            (NotReal, Real(ball)) | (Real(ball), NotReal) => match ball.lower().is_zero() {
                true => Unknown,
                false => NotReal,
            },
            (Huge { negative, bits }, Real(ball)) | (Real(ball), Huge { negative, bits }) => {
                match (ball.sign(), ball.lower().log2()) {
                    (Some(sign), Some(size)) => Huge {
                        negative: *negative != (sign == Ordering::Less),
                        bits: bits.saturating_add(size),
                    },
                    _ => Unknown,
                }
            }
            (Huge { negative: a, bits: p }, Huge { negative: b, bits: q }) => {
                Huge { negative: a != b, bits: p.saturating_add(*q) }
            }
            _ => match (left.parts(), right.parts()) {
                (Some(left), Some(right)) => self.complex_product(&left, &right),
                _ => Unknown,
            },
        }
    }

    fn complex_product(&self, left: &(Ball, Ball), right: &(Ball, Ball)) -> Enclosure {
        let parts = || {
            let re = self.sub(&self.mul(&left.0, &right.0)?, &self.mul(&left.1, &right.1)?)?;
            let im = self.add(&self.mul(&left.0, &right.1)?, &self.mul(&left.1, &right.0)?)?;
            Some((re, im))
        };
        parts().map_or(Unknown, |(re, im)| complex(Some(re), Some(im)))
    }

    pub(crate) fn quotient(&self, left: &Enclosure, right: &Enclosure) -> Enclosure {
        match (left, right) {
            (Undefined, _) | (_, Undefined) => Undefined,
            (_, Real(divisor)) if divisor.is_exact_zero() => Undefined,
            (Real(a), Real(b)) => real(self.div(a, b)),
            (Complex(re, im), Real(b)) => complex(self.div(re, b), self.div(im, b)),
            (_, Complex(re, im)) => {
                let inverse = || {
                    let norm = self.add(&self.mul(re, re)?, &self.mul(im, im)?)?;
                    Some((self.div(re, &norm)?, self.div(&im.negate(), &norm)?))
                };
                match inverse() {
                    Some((re, im)) => self.product(left, &complex(Some(re), Some(im))),
                    None => Unknown,
                }
            }
            _ => Unknown,
        }
    }

    pub(crate) fn integer_power(&self, base: &Enclosure, exponent: &IBig) -> Enclosure {
        let (sign, size) = exponent.clone().into_parts();
        let result = match base {
            Real(ball) => match self.power(ball, &size) {
                Some(power) => Real(power),
                None => self.huge_power(ball, &size),
            },
            Complex(..) => self.complex_power(base, &size),
            Huge { negative, bits } if !size.is_zero() => {
                Huge { negative: *negative && size % 2u8 == 1, bits: *bits }
            }
            Huge { .. } => Real(Ball::one()),
            Undefined => Undefined,
            NotReal | Unknown => Unknown,
        };
        match sign {
            Sign::Positive => result,
            Sign::Negative => self.quotient(&Real(Ball::one()), &result),
        }
    }

    fn complex_power(&self, base: &Enclosure, size: &UBig) -> Enclosure {
        let Ok(mut rest) = u32::try_from(size) else {
            return Unknown;
        };
        let mut result = Real(Ball::one());
        let mut square = base.clone();
        while rest > 0 {
            if rest & 1 == 1 {
                result = self.product(&result, &square);
            }
            rest >>= 1;
            if rest > 0 {
                square = self.product(&square, &square);
            }
        }
        result
    }

    /// A power that left the range of exponents: a bound when the base is above 2.
    fn huge_power(&self, base: &Ball, size: &UBig) -> Enclosure {
        let (Some(low), Some(sign)) = (base.lower().log2(), base.sign()) else {
            return Unknown;
        };
        if low < 1 {
            return Unknown;
        }
        let count = i64::try_from(size).unwrap_or(limits::EXPONENT_MAX);
        let bits = low.saturating_mul(count);
        let odd = size.clone() % 2u8 == 1;
        Huge { negative: sign == Ordering::Less && odd, bits }
    }

    pub(crate) fn exponential(&mut self, value: &Enclosure) -> Enclosure {
        match value {
            Real(ball) => match self.exp(ball) {
                Some(result) => Real(result),
                None => exp_out_of_range(ball),
            },
            Complex(re, im) => {
                let parts = (self.exp(re), self.sin_cos(im));
                let (Some(size), Some((sine, cosine))) = parts else {
                    return Unknown;
                };
                complex(self.mul(&size, &cosine), self.mul(&size, &sine))
            }
            Huge { negative: false, .. } => Huge { negative: false, bits: limits::EXPONENT_MAX },
            Undefined => Undefined,
            Huge { .. } | NotReal | Unknown => Unknown,
        }
    }

    /// Principal logarithm.
    pub(crate) fn logarithm(&mut self, value: &Enclosure) -> Enclosure {
        match value {
            Real(ball) => match ball.sign() {
                Some(Ordering::Greater) => real(self.ln(ball)),
                Some(Ordering::Less) => complex(self.ln(&ball.negate()), self.pi()),
                Some(Ordering::Equal) => Undefined,
                None => Unknown,
            },
            Complex(re, im) => {
                let norm = self
                    .mul(re, re)
                    .zip(self.mul(im, im))
                    .and_then(|(a, b)| self.add(&a, &b))
                    .and_then(|norm| self.ln(&norm));
                let half = self.rational(&super::exact::fraction(1, 2));
                let size = norm.zip(half).and_then(|(norm, half)| self.mul(&norm, &half));
                complex(size, self.argument(re, im))
            }
            Undefined => Undefined,
            Huge { .. } | NotReal | Unknown => Unknown,
        }
    }

    /// The angle of a complex number in (-pi, pi].
    pub(crate) fn argument(&mut self, re: &Ball, im: &Ball) -> Option<Ball> {
        let pi = self.pi()?;
        let half = self.rational(&super::exact::fraction(1, 2))?;
        let half_pi = self.mul(&pi, &half)?;
        match (re.sign(), im.sign()) {
            (Some(Ordering::Greater), _) => {
                let slope = self.div(im, re)?;
                self.atan(&slope)
            }
            (_, Some(sign @ (Ordering::Greater | Ordering::Less))) => {
                let slope = self.div(re, im)?;
                let angle = self.atan(&slope)?;
                let start = if sign == Ordering::Greater { half_pi } else { half_pi.negate() };
                self.sub(&start, &angle)
            }
            (Some(Ordering::Less), Some(Ordering::Equal)) => Some(pi),
            _ => None,
        }
    }

    /// Principal square root.
    pub(crate) fn square_root(&mut self, value: &Enclosure) -> Enclosure {
        match value {
            Real(ball) => match ball.sign() {
                Some(Ordering::Less) => complex(Some(Ball::zero()), self.sqrt(&ball.negate())),
                Some(_) => real(self.sqrt(ball)),
                None => Unknown,
            },
            Huge { negative: false, bits } => Huge { negative: false, bits: bits / 2 },
            Complex(..) => {
                let log = self.logarithm(value);
                let half = real(self.rational(&super::exact::fraction(1, 2)));
                let scaled = self.product(&log, &half);
                self.exponential(&scaled)
            }
            Undefined => Undefined,
            Huge { .. } | NotReal | Unknown => Unknown,
        }
    }
}

/// An exponential outside the range of exponents of a ball.
fn exp_out_of_range(argument: &Ball) -> Enclosure {
    let far = argument.lower().log2().is_some_and(|size| size >= 8);
    match argument.sign() {
        Some(Ordering::Greater) if far => {
            let size = argument.lower().log2().unwrap_or(0).min(40);
            Huge { negative: false, bits: 1 << size }
        }
        _ => Unknown,
    }
}
