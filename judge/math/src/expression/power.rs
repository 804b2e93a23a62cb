//! Powers and roots. Real odd roots of negative numbers are real, as in school;
//! everything else follows the principal branch.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rewrite names the few nodes that it applies to"
)]

use dashu_int::ops::UnsignedAbs;
use dashu_int::{IBig, Sign};
use dashu_ratio::RBig;

use super::{Function, Id, Node, Pool};
use crate::fuel::Exhausted;
use crate::number::exact;

impl Pool {
    pub(crate) fn power(&mut self, base: Id, exponent: Id) -> Result<Id, Exhausted> {
        if *self.node(base) == Node::Undefined || *self.node(exponent) == Node::Undefined {
            return self.insert(Node::Undefined);
        }
        if let Some(power) = self.as_rational(exponent).cloned() {
            if power.is_one() {
                return Ok(base);
            }
            if let Some(value) = self.as_rational(base).cloned() {
                return self.rational_power(&value, &power, (base, exponent));
            }
            if power.is_zero() {
                return self.integer(1);
            }
            if power.denominator().is_one() {
                return self.integer_power(base, power.numerator(), exponent);
            }
            return self.insert(Node::Power(base, exponent));
        }
        if *self.node(base) == Node::Euler {
            return self.exponential(exponent);
        }
        self.insert(Node::Power(base, exponent))
    }

    pub(crate) fn square_root(&mut self, value: Id) -> Result<Id, Exhausted> {
        let half = self.rational(exact::fraction(1, 2))?;
        self.power(value, half)
    }

    pub(crate) fn root(&mut self, value: Id, degree: Id) -> Result<Id, Exhausted> {
        let one = self.integer(1)?;
        let exponent = self.quotient(one, degree)?;
        self.power(value, exponent)
    }

    /// A power with an integer exponent of a base that is no rational number.
    fn integer_power(&mut self, base: Id, power: &IBig, exponent: Id) -> Result<Id, Exhausted> {
        match self.node(base).clone() {
            Node::Imaginary => {
                let four = IBig::from(4);
                let rest = ((power % &four) + &four) % &four;
                let minus = self.integer(-1)?;
                match u8::try_from(rest) {
                    Ok(0) => self.integer(1),
                    Ok(1) => Ok(base),
                    Ok(2) => Ok(minus),
                    _ => self.product(minus, base),
                }
            }
            Node::Power(inner, inner_exponent) => {
                let product = self.product(inner_exponent, exponent)?;
                self.power(inner, product)
            }
            Node::Product(left, right) if self.as_rational(left).is_some() => {
                let factor = self.power(left, exponent)?;
                if self.as_rational(factor).is_none() {
                    return self.insert(Node::Power(base, exponent));
                }
                let rest = self.power(right, exponent)?;
                self.product(factor, rest)
            }
            Node::Infinity if power.sign() == Sign::Positive => Ok(base),
            Node::Infinity => self.integer(0),
            _ => self.insert(Node::Power(base, exponent)),
        }
    }

    fn rational_power(
        &mut self,
        base: &RBig,
        power: &RBig,
        ids: (Id, Id),
    ) -> Result<Id, Exhausted> {
        if base.is_zero() {
            return match power.cmp(&RBig::ZERO) {
                std::cmp::Ordering::Greater => self.integer(0),
                std::cmp::Ordering::Equal => self.integer(1),
                std::cmp::Ordering::Less => self.insert(Node::Undefined),
            };
        }
        if power.denominator().is_one() {
            return match exact::power(base, power.numerator()) {
                Some(value) => {
                    let bits = exact::size_bits(&value);
                    self.pay(bits, bits)?;
                    self.rational(value)
                }
                None => self.insert(Node::Power(ids.0, ids.1)),
            };
        }
        let Ok(degree) = u32::try_from(power.denominator()) else {
            return self.insert(Node::Power(ids.0, ids.1));
        };
        let bits = exact::size_bits(base);
        self.pay(bits, bits)?;
        if let Some(root) = exact::root(base, degree)
            && let Some(value) = exact::power(&root, power.numerator())
        {
            return self.rational(value);
        }
        if exact::is_negative(base) {
            return self.negative_base(base, power, degree);
        }
        if let Some(folded) = self.extract_square(base, power)? {
            return Ok(folded);
        }
        self.insert(Node::Power(ids.0, ids.1))
    }

    fn negative_base(&mut self, base: &RBig, power: &RBig, degree: u32) -> Result<Id, Exhausted> {
        let positive = self.rational(-base.clone())?;
        let exponent = self.rational(power.clone())?;
        let size = self.power(positive, exponent)?;
        if degree % 2 == 1 {
            let odd = power.numerator() % IBig::from(2) != IBig::ZERO;
            return if odd { self.negate(size) } else { Ok(size) };
        }
        if degree == 2 {
            let unit = self.insert(Node::Imaginary)?;
            let numerator = self.rational(RBig::from(power.numerator().clone()))?;
            let unit = self.power(unit, numerator)?;
            return self.product(unit, size);
        }
        let negative = self.rational(base.clone())?;
        self.insert(Node::Power(negative, exponent))
    }

    /// `sqrt(12)` becomes `2*sqrt(3)`, `sqrt(1/2)` becomes `sqrt(2)/2`.
    fn extract_square(&mut self, base: &RBig, power: &RBig) -> Result<Option<Id>, Exhausted> {
        if *power != exact::fraction(1, 2) || exact::size_bits(base) > 256 {
            return Ok(None);
        }
        let radicand = base.numerator().clone().unsigned_abs() * base.denominator();
        let (primes, mut rest) = exact::factor(&radicand);
        let mut outside = RBig::from_parts(IBig::ONE, base.denominator().clone());
        for (prime, count) in primes {
            for _ in 0..count / 2 {
                outside *= RBig::from(IBig::from(prime));
            }
            if count % 2 == 1 {
                rest *= prime;
            }
        }
        let inside = RBig::from(IBig::from(rest));
        if outside.is_one() {
            return Ok(None);
        }
        let inside = self.rational(inside)?;
        let exponent = self.rational(power.clone())?;
        let root = self.insert(Node::Power(inside, exponent))?;
        let outside = self.rational(outside)?;
        self.product(outside, root).map(Some)
    }

    /// `e` to an exponent that is no rational: logarithms and imaginary turns fold.
    fn exponential(&mut self, exponent: Id) -> Result<Id, Exhausted> {
        let (coefficient, core) = self.split_coefficient(exponent);
        if let Node::Apply(Function::Ln, argument) = *self.node(core) {
            let coefficient = self.rational(coefficient)?;
            return self.power(argument, coefficient);
        }
        let pi = self.insert(Node::Pi)?;
        let unit = self.insert(Node::Imaginary)?;
        let turn = self.product(pi, unit)?;
        if core == turn {
            let coefficient = self.rational(coefficient)?;
            let angle = self.product(coefficient, pi)?;
            let cosine = self.apply(Function::Cos, angle)?;
            let sine = self.apply(Function::Sin, angle)?;
            let imaginary = self.product(unit, sine)?;
            return self.sum(cosine, imaginary);
        }
        let euler = self.insert(Node::Euler)?;
        self.insert(Node::Power(euler, exponent))
    }
}
