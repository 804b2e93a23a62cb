//! Rigorous enclosures of expressions at a point.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rewrite names the few nodes that it applies to"
)]

use std::cmp::Ordering;

use dashu_int::{IBig, Sign, UBig};
use dashu_ratio::RBig;

use super::{Function, Id, Name, Node, Pool};
use crate::fuel::{Exhausted, Fuel};
use crate::limits;
use crate::number::ball::{Arithmetic, Ball};
use crate::number::complex::Enclosure;
use crate::number::exact;

/// Values of the variables at one point.
pub(crate) type Sample = Vec<(Name, RBig)>;

impl Pool {
    /// Enclosures of the roots at one point, and the span of sizes from the smallest to
    /// the largest part that came up, in bits.
    pub(crate) fn enclosures(
        &self,
        roots: &[Id],
        sample: &Sample,
        arithmetic: &mut Arithmetic,
        fuel: &mut Fuel,
    ) -> Result<(Vec<Enclosure>, i64), Exhausted> {
        let order = self.reachable(roots);
        let top = roots.iter().map(|root| root.index() + 1).max().unwrap_or(0);
        let mut values: Vec<Enclosure> = vec![Enclosure::Unknown; top];
        let (mut smallest, mut largest) = (0_i64, 0_i64);
        for id in order {
            fuel.spend(self.cost(id, arithmetic.precision()))?;
            let value = self.enclosure(id, &values, sample, arithmetic);
            if let Some((re, im)) = value.parts() {
                for part in [re, im] {
                    smallest = smallest.min(part.lower().log2().unwrap_or(0));
                    largest = largest.max(part.upper().log2().unwrap_or(0));
                }
            }
            values[id.index()] = value;
        }
        let found = roots.iter().map(|root| values[root.index()].clone()).collect();
        Ok((found, largest - smallest))
    }

    /// Units of work of one node, as measured at 100 to 3000 bits.
    fn cost(&self, id: Id, precision: usize) -> u64 {
        let precision = precision as u64;
        let logarithm = 300 + precision * 2 + precision * precision / 800;
        match self.node(id) {
            Node::Rational(value) => 4 + exact::size_bits(value) as u64 / 64,
            Node::Power(base, exponent) => match self.as_rational(*exponent) {
                Some(power) if power.denominator().is_one() => {
                    10 * (1 + exact::size_bits(power) as u64)
                }
                Some(power) if power.denominator() == &UBig::from(2u8) => 20 + precision / 16,
                None if *self.node(*base) == Node::Euler => 200 + precision * 2,
                _ => logarithm + 200 + precision * 2,
            },
            Node::Apply(Function::ArcSin | Function::ArcTan | Function::Argument, _) => {
                400 + precision * 2 + precision * precision / 400
            }
            Node::Apply(Function::Ln, _) => logarithm,
            Node::Apply(Function::Sin | Function::Cos, _) => 500 + precision * 4,
            _ => 6,
        }
    }

    fn enclosure(
        &self,
        id: Id,
        values: &[Enclosure],
        sample: &Sample,
        arithmetic: &mut Arithmetic,
    ) -> Enclosure {
        let at = |child: Id| &values[child.index()];
        match self.node(id) {
            Node::Rational(value) => real(arithmetic.rational(value)),
            Node::Pi => real(arithmetic.pi()),
            Node::Euler => real(arithmetic.exp(&Ball::one())),
            Node::Imaginary => Enclosure::imaginary_unit(),
            Node::Variable(name) => match sample.iter().find(|(known, _)| known == name) {
                Some((_, value)) => real(arithmetic.rational(value)),
                None => Enclosure::Unknown,
            },
            Node::Sum(left, right) => arithmetic.sum(at(*left), at(*right)),
            Node::Product(left, right) => arithmetic.product(at(*left), at(*right)),
            Node::Quotient(left, right) => arithmetic.quotient(at(*left), at(*right)),
            Node::Power(base, exponent) => {
                self.power_enclosure((*base, *exponent), values, arithmetic)
            }
            Node::Apply(function, argument) => apply(*function, at(*argument), arithmetic),
            Node::Binomial(top, bottom) => binomial(at(*top), at(*bottom), arithmetic),
            Node::Maximum(left, right) => maximum(at(*left), at(*right), arithmetic),
            Node::Undefined => Enclosure::Undefined,
            Node::Infinity | Node::PlusMinus | Node::Call(..) => Enclosure::Unknown,
        }
    }

    fn power_enclosure(
        &self,
        (base, exponent): (Id, Id),
        values: &[Enclosure],
        arithmetic: &mut Arithmetic,
    ) -> Enclosure {
        let base_value = &values[base.index()];
        if let Some(power) = self.as_rational(exponent) {
            if power.denominator().is_one() {
                return arithmetic.integer_power(base_value, power.numerator());
            }
            return rational_power(base_value, power, arithmetic);
        }
        let exponent_value = &values[exponent.index()];
        if *self.node(base) == Node::Euler {
            return arithmetic.exponential(exponent_value);
        }
        general_power(base_value, exponent_value, arithmetic)
    }
}

fn real(ball: Option<Ball>) -> Enclosure {
    ball.map_or(Enclosure::Unknown, Enclosure::Real)
}

fn rational_power(base: &Enclosure, power: &RBig, arithmetic: &mut Arithmetic) -> Enclosure {
    if power.denominator() == &UBig::from(2u8) {
        let root = arithmetic.square_root(base);
        return arithmetic.integer_power(&root, power.numerator());
    }
    let odd = power.denominator() % 2u8 == 1;
    let exponent = real(arithmetic.rational(power));
    if let Enclosure::Real(ball) = base {
        match ball.sign() {
            Some(Ordering::Equal) if !exact::is_negative(power) => {
                return Enclosure::Real(Ball::zero());
            }
            Some(Ordering::Equal) => return Enclosure::Undefined,
            Some(Ordering::Less) if odd => {
                let size = Enclosure::Real(ball.negate());
                let value = general_power(&size, &exponent, arithmetic);
                let flips = power.numerator() % IBig::from(2) != IBig::ZERO;
                let sign = if flips { Ball::one().negate() } else { Ball::one() };
                return arithmetic.product(&value, &Enclosure::Real(sign));
            }
            _ => {}
        }
    }
    general_power(base, &exponent, arithmetic)
}

fn general_power(base: &Enclosure, exponent: &Enclosure, arithmetic: &mut Arithmetic) -> Enclosure {
    if let Enclosure::Real(power) = exponent
        && let Some(whole) = exact_integer(power, arithmetic)
    {
        return arithmetic.integer_power(base, &whole);
    }
    if let (Enclosure::Real(ball), Enclosure::Huge { negative: false, bits }) = (base, exponent) {
        let above_two = ball.lower().log2().is_some_and(|size| size >= 1);
        if above_two && ball.sign() == Some(Ordering::Greater) {
            let bits = 1_i64.checked_shl(u32::try_from(*bits).unwrap_or(40).min(40));
            return Enclosure::Huge { negative: false, bits: bits.unwrap_or(1 << 40) };
        }
    }
    let log = arithmetic.logarithm(base);
    let scaled = arithmetic.product(&log, exponent);
    arithmetic.exponential(&scaled)
}

/// The integer that a ball of radius zero stands for.
fn exact_integer(ball: &Ball, arithmetic: &Arithmetic) -> Option<IBig> {
    if !ball.radius().is_zero() || ball.upper().log2().is_some_and(|size| size > 40) {
        return None;
    }
    let whole = arithmetic.floor(ball)?;
    let back = arithmetic.integer(&whole)?;
    arithmetic.sub(ball, &back)?.is_exact_zero().then_some(whole)
}

fn apply(function: Function, value: &Enclosure, arithmetic: &mut Arithmetic) -> Enclosure {
    match function {
        Function::Ln => arithmetic.logarithm(value),
        Function::Sin | Function::Cos => circular(function, value, arithmetic),
        Function::ArcTan => match value {
            Enclosure::Real(ball) => real(arithmetic.atan(ball)),
            Enclosure::Undefined => Enclosure::Undefined,
            Enclosure::Complex(..)
            | Enclosure::Huge { .. }
            | Enclosure::NotReal
            | Enclosure::Unknown => Enclosure::Unknown,
        },
        Function::ArcSin => arc_sine(value, arithmetic),
        Function::RealPart => real(value.parts().map(|parts| parts.0)),
        Function::ImaginaryPart => real(value.parts().map(|parts| parts.1)),
        Function::Conjugate => match value {
            Enclosure::Complex(re, im) => Enclosure::Complex(re.clone(), im.negate()),
            Enclosure::Real(_)
            | Enclosure::Huge { .. }
            | Enclosure::Undefined
            | Enclosure::NotReal
            | Enclosure::Unknown => value.clone(),
        },
        Function::Argument => {
            real(value.parts().and_then(|(re, im)| arithmetic.argument(&re, &im)))
        }
        Function::Abs => absolute(value, arithmetic),
        Function::Floor
        | Function::Ceiling
        | Function::Sign
        | Function::Factorial
        | Function::DoubleFactorial => match value {
            Enclosure::Real(ball) => stepped(function, ball, arithmetic),
            Enclosure::Undefined => Enclosure::Undefined,
            Enclosure::Huge { negative: false, bits } if function == Function::Factorial => {
                Enclosure::Huge { negative: false, bits: *bits }
            }
            Enclosure::Complex(..)
            | Enclosure::Huge { .. }
            | Enclosure::NotReal
            | Enclosure::Unknown => Enclosure::Unknown,
        },
    }
}

fn circular(function: Function, value: &Enclosure, arithmetic: &mut Arithmetic) -> Enclosure {
    match value {
        Enclosure::Real(ball) => match arithmetic.sin_cos(ball) {
            Some((sine, _)) if function == Function::Sin => Enclosure::Real(sine),
            Some((_, cosine)) => Enclosure::Real(cosine),
            None => Enclosure::Unknown,
        },
        Enclosure::Undefined => Enclosure::Undefined,
        Enclosure::Complex(..)
        | Enclosure::Huge { .. }
        | Enclosure::NotReal
        | Enclosure::Unknown => Enclosure::Unknown,
    }
}

/// `asin x = atan(x / sqrt(1 - x^2))` inside the open interval; exact at the ends.
fn arc_sine(value: &Enclosure, arithmetic: &mut Arithmetic) -> Enclosure {
    let Enclosure::Real(ball) = value else {
        // The arc sine is real on [-1, 1] only.
        return if value.is_surely_not_real() { Enclosure::NotReal } else { Enclosure::Unknown };
    };
    let inner = || {
        let square = arithmetic.mul(ball, ball)?;
        arithmetic.sub(&Ball::one(), &square)
    };
    let Some(rest) = inner() else {
        return Enclosure::Unknown;
    };
    match rest.sign() {
        Some(Ordering::Greater) => {
            let slope = arithmetic.sqrt(&rest).and_then(|root| arithmetic.div(ball, &root));
            real(slope.and_then(|slope| arithmetic.atan(&slope)))
        }
        Some(Ordering::Equal) => {
            let half = arithmetic.rational(&exact::fraction(1, 2));
            let quarter_turn = arithmetic
                .pi()
                .zip(half)
                .and_then(|(pi, half)| arithmetic.mul(&pi, &half))
                .and_then(|angle| arithmetic.mul(&angle, ball));
            real(quarter_turn)
        }
        // Outside [-1, 1] the principal value is not real.
        Some(Ordering::Less) => Enclosure::NotReal,
        None => Enclosure::Unknown,
    }
}

fn absolute(value: &Enclosure, arithmetic: &Arithmetic) -> Enclosure {
    match value {
        Enclosure::Real(ball) => match ball.sign() {
            Some(Ordering::Less) => Enclosure::Real(ball.negate()),
            Some(_) => value.clone(),
            None => Enclosure::Unknown,
        },
        Enclosure::Complex(re, im) => {
            let norm = arithmetic
                .mul(re, re)
                .zip(arithmetic.mul(im, im))
                .and_then(|(a, b)| arithmetic.add(&a, &b))
                .and_then(|norm| arithmetic.sqrt(&norm));
            real(norm)
        }
        Enclosure::Huge { bits, .. } => Enclosure::Huge { negative: false, bits: *bits },
        Enclosure::NotReal => Enclosure::Unknown,
        Enclosure::Undefined | Enclosure::Unknown => value.clone(),
    }
}

fn stepped(function: Function, ball: &Ball, arithmetic: &Arithmetic) -> Enclosure {
    let result = match function {
        Function::Floor => arithmetic.floor(ball).and_then(|whole| arithmetic.integer(&whole)),
        Function::Ceiling => {
            arithmetic.floor(&ball.negate()).and_then(|whole| arithmetic.integer(&-whole))
        }
        Function::Sign => ball.sign().map(|sign| match sign {
            Ordering::Less => Ball::one().negate(),
            Ordering::Equal => Ball::zero(),
            Ordering::Greater => Ball::one(),
        }),
        _ => return factorial(function, ball, arithmetic),
    };
    real(result)
}

fn factorial(function: Function, ball: &Ball, arithmetic: &Arithmetic) -> Enclosure {
    let Some(whole) = exact_integer(ball, arithmetic) else {
        return large_factorial(function, ball);
    };
    if whole.sign() == Sign::Negative {
        return Enclosure::Undefined;
    }
    let value = RBig::from(whole);
    let product = match function {
        Function::DoubleFactorial => exact::double_factorial(&value),
        _ => exact::factorial(&value),
    };
    match product {
        Some(product) => real(arithmetic.rational(&product)),
        None => large_factorial(function, ball),
    }
}

/// `n! >= 2^n` for n >= 4, which is enough to tell it from anything of common size.
fn large_factorial(function: Function, ball: &Ball) -> Enclosure {
    let positive = ball.sign() == Some(Ordering::Greater);
    match ball.lower().log2() {
        Some(size) if size >= 4 && positive && function == Function::Factorial => {
            Enclosure::Huge { negative: false, bits: (1 << size.min(40)).min(limits::EXPONENT_MAX) }
        }
        _ => Enclosure::Unknown,
    }
}

fn binomial(top: &Enclosure, bottom: &Enclosure, arithmetic: &Arithmetic) -> Enclosure {
    let (Enclosure::Real(top), Enclosure::Real(bottom)) = (top, bottom) else {
        return Enclosure::Unknown;
    };
    let whole = |ball| exact_integer(ball, arithmetic).map(RBig::from);
    let value = whole(top)
        .zip(whole(bottom))
        .and_then(|(top, bottom)| exact::binomial(&top, &bottom))
        .and_then(|value| arithmetic.rational(&value));
    real(value)
}

fn maximum(left: &Enclosure, right: &Enclosure, arithmetic: &Arithmetic) -> Enclosure {
    let (Enclosure::Real(a), Enclosure::Real(b)) = (left, right) else {
        return Enclosure::Unknown;
    };
    match arithmetic.sub(a, b).and_then(|difference| difference.sign()) {
        Some(Ordering::Less) => right.clone(),
        Some(_) => left.clone(),
        None => Enclosure::Unknown,
    }
}
