//! Building of sums, products, quotients and functions, with exact folding.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rewrite names the few nodes that it applies to"
)]

use std::cmp::Ordering;

use dashu_int::IBig;
use dashu_ratio::RBig;

use super::{Function, Id, Node, Pool};
use crate::fuel::Exhausted;
use crate::number::exact;

impl Pool {
    pub(crate) fn rational(&mut self, value: RBig) -> Result<Id, Exhausted> {
        self.insert(Node::Rational(value))
    }

    pub(crate) fn integer(&mut self, value: i64) -> Result<Id, Exhausted> {
        self.rational(exact::integer(value))
    }

    pub(crate) fn variable(&mut self, text: &str) -> Result<Id, Exhausted> {
        let name = self.intern_name(text);
        self.insert(Node::Variable(name))
    }

    fn is_undefined(&self, id: Id) -> bool {
        *self.node(id) == Node::Undefined
    }

    pub(crate) fn sum(&mut self, left: Id, right: Id) -> Result<Id, Exhausted> {
        self.pay_for(left, right)?;
        if self.is_undefined(left) || self.is_undefined(right) {
            return self.insert(Node::Undefined);
        }
        match (self.as_rational(left), self.as_rational(right)) {
            (Some(a), Some(b)) => {
                if let Some(sum) = exact::add(a, b) {
                    return self.rational(sum);
                }
            }
            (Some(a), None) if a.is_zero() => return Ok(right),
            (None, Some(b)) if b.is_zero() => return Ok(left),
            _ => {}
        }
        match (self.as_infinity(left), self.as_infinity(right)) {
            (Some(a), Some(b)) if a == b => return Ok(left),
            (Some(_), Some(_)) => return self.insert(Node::Undefined),
            (Some(_), None) if self.as_rational(right).is_some() => return Ok(left),
            (None, Some(_)) if self.as_rational(left).is_some() => return Ok(right),
            _ => {}
        }
        let (first, second) = if left <= right { (left, right) } else { (right, left) };
        if let Some(folded) = self.collect_like_terms(first, second)? {
            return Ok(folded);
        }
        self.insert(Node::Sum(first, second))
    }

    /// `a*x + b*x` with rational a and b becomes `(a+b)*x`.
    fn collect_like_terms(&mut self, left: Id, right: Id) -> Result<Option<Id>, Exhausted> {
        let (a, core) = self.split_coefficient(left);
        let (b, other) = self.split_coefficient(right);
        if core != other || self.as_rational(core).is_some() || self.as_infinity(left).is_some() {
            return Ok(None);
        }
        let Some(sum) = exact::add(&a, &b) else {
            return Ok(None);
        };
        let coefficient = self.rational(sum)?;
        self.product(coefficient, core).map(Some)
    }

    /// An expression as a rational coefficient times a core.
    pub(crate) fn split_coefficient(&self, id: Id) -> (RBig, Id) {
        if let Node::Product(left, right) = self.node(id)
            && let Some(factor) = self.as_rational(*left)
        {
            return (factor.clone(), *right);
        }
        (RBig::ONE, id)
    }

    pub(crate) fn negate(&mut self, id: Id) -> Result<Id, Exhausted> {
        let minus = self.integer(-1)?;
        self.product(minus, id)
    }

    pub(crate) fn difference(&mut self, left: Id, right: Id) -> Result<Id, Exhausted> {
        let negated = self.negate(right)?;
        self.sum(left, negated)
    }

    pub(crate) fn product(&mut self, left: Id, right: Id) -> Result<Id, Exhausted> {
        self.pay_for(left, right)?;
        if self.is_undefined(left) || self.is_undefined(right) {
            return self.insert(Node::Undefined);
        }
        let (mut a, mut core_left) = self.split_coefficient(left);
        let (mut b, mut core_right) = self.split_coefficient(right);
        let one = self.integer(1)?;
        if let Some(value) = self.as_rational(core_left) {
            (a, core_left) = (value.clone(), one);
        }
        if let Some(value) = self.as_rational(core_right) {
            (b, core_right) = (value.clone(), one);
        }
        let core = self.core_product(core_left, core_right, one)?;
        let Some(coefficient) = exact::mul(&a, &b) else {
            let first = self.insert(Node::Rational(a))?;
            let second = self.insert(Node::Rational(b))?;
            let coefficient = self.insert(Node::Product(first, second))?;
            return if core == one {
                Ok(coefficient)
            } else {
                self.insert(Node::Product(coefficient, core))
            };
        };
        self.scale(coefficient, core)
    }

    fn core_product(&mut self, left: Id, right: Id, one: Id) -> Result<Id, Exhausted> {
        if left == one {
            return Ok(right);
        }
        if right == one {
            return Ok(left);
        }
        if left == right {
            let two = self.integer(2)?;
            return self.power(left, two);
        }
        let (first, second) = if left <= right { (left, right) } else { (right, left) };
        self.insert(Node::Product(first, second))
    }

    /// A rational times a core; the core may itself carry a coefficient after folding.
    fn scale(&mut self, coefficient: RBig, core: Id) -> Result<Id, Exhausted> {
        let (inner, core) = self.split_coefficient(core);
        let (factor, core) = match self.as_rational(core) {
            Some(value) => (exact::mul(&inner, value), None),
            None => (Some(inner), Some(core)),
        };
        let total = factor.and_then(|factor| exact::mul(&factor, &coefficient));
        let (Some(total), core) = (total, core) else {
            return Err(Exhausted);
        };
        let Some(core) = core else {
            return self.rational(total);
        };
        if self.as_infinity(core).is_some() {
            return self.scaled_infinity(&total, core);
        }
        if total.is_zero() {
            return self.integer(0);
        }
        if total.is_one() {
            return Ok(core);
        }
        let factor = self.rational(total)?;
        self.insert(Node::Product(factor, core))
    }

    fn scaled_infinity(&mut self, factor: &RBig, infinity: Id) -> Result<Id, Exhausted> {
        match factor.cmp(&RBig::ZERO) {
            Ordering::Equal => self.insert(Node::Undefined),
            Ordering::Greater => Ok(infinity),
            Ordering::Less => {
                let minus = self.integer(-1)?;
                self.insert(Node::Product(minus, infinity))
            }
        }
    }

    pub(crate) fn quotient(&mut self, left: Id, right: Id) -> Result<Id, Exhausted> {
        self.pay_for(left, right)?;
        if self.is_undefined(left) || self.is_undefined(right) {
            return self.insert(Node::Undefined);
        }
        if let Some(divisor) = self.as_rational(right).cloned() {
            let Some(inverse) = exact::div(&RBig::ONE, &divisor) else {
                return self.insert(Node::Undefined);
            };
            let inverse = self.rational(inverse)?;
            return self.product(inverse, left);
        }
        if self.as_infinity(right).is_some() {
            let finite = self.as_infinity(left).is_none();
            return if finite { self.integer(0) } else { self.insert(Node::Undefined) };
        }
        if left == right {
            return self.integer(1);
        }
        let (top, left) = self.split_coefficient(left);
        let (bottom, right) = self.split_coefficient(right);
        let ratio = if self.as_rational(left).is_some() {
            self.insert(Node::Quotient(left, right))?
        } else if left == right {
            self.integer(1)?
        } else {
            self.insert(Node::Quotient(left, right))?
        };
        match exact::div(&top, &bottom) {
            Some(coefficient) => {
                let coefficient = self.rational(coefficient)?;
                self.product(coefficient, ratio)
            }
            None => Err(Exhausted),
        }
    }

    pub(crate) fn binomial(&mut self, top: Id, bottom: Id) -> Result<Id, Exhausted> {
        if let (Some(n), Some(k)) = (self.as_rational(top), self.as_rational(bottom))
            && let Some(value) = exact::binomial(n, k)
        {
            let bits = exact::size_bits(&value);
            self.pay(bits, bits)?;
            return self.rational(value);
        }
        self.insert(Node::Binomial(top, bottom))
    }

    pub(crate) fn maximum(&mut self, left: Id, right: Id) -> Result<Id, Exhausted> {
        if let (Some(a), Some(b)) = (self.as_rational(left), self.as_rational(right)) {
            return Ok(if a >= b { left } else { right });
        }
        let (first, second) = if left <= right { (left, right) } else { (right, left) };
        self.insert(Node::Maximum(first, second))
    }

    pub(crate) fn apply(&mut self, function: Function, argument: Id) -> Result<Id, Exhausted> {
        if self.is_undefined(argument) {
            return Ok(argument);
        }
        match function {
            Function::Sin | Function::Cos => self.circular(function, argument),
            Function::Ln => self.logarithm(argument),
            Function::ArcSin | Function::ArcTan => self.inverse_circular(function, argument),
            Function::Abs
            | Function::Floor
            | Function::Ceiling
            | Function::Sign
            | Function::Factorial
            | Function::DoubleFactorial
            | Function::RealPart
            | Function::ImaginaryPart
            | Function::Conjugate
            | Function::Argument => self.pointwise(function, argument),
        }
    }

    fn pointwise(&mut self, function: Function, argument: Id) -> Result<Id, Exhausted> {
        if let Some(value) = self.as_rational(argument).cloned()
            && let Some(result) = rational_value(function, &value)
        {
            let bits = exact::size_bits(&result);
            self.pay(bits, bits)?;
            return self.rational(result);
        }
        if function == Function::Abs {
            let (coefficient, core) = self.split_coefficient(argument);
            if exact::is_negative(&coefficient) {
                let positive = self.rational(-coefficient)?;
                let positive = self.product(positive, core)?;
                return self.insert(Node::Apply(function, positive));
            }
        }
        self.insert(Node::Apply(function, argument))
    }

    fn logarithm(&mut self, argument: Id) -> Result<Id, Exhausted> {
        if let Some(value) = self.as_rational(argument) {
            if value.is_one() {
                return self.integer(0);
            }
            if value.is_zero() {
                return self.insert(Node::Undefined);
            }
        }
        match *self.node(argument) {
            Node::Euler => self.integer(1),
            Node::Power(base, exponent)
                if *self.node(base) == Node::Euler && self.as_rational(exponent).is_some() =>
            {
                Ok(exponent)
            }
            _ => self.insert(Node::Apply(Function::Ln, argument)),
        }
    }

    fn inverse_circular(&mut self, function: Function, argument: Id) -> Result<Id, Exhausted> {
        if self.as_rational(argument).is_some_and(RBig::is_zero) {
            return Ok(argument);
        }
        let (coefficient, _) = self.split_coefficient(argument);
        let negative = exact::is_negative(&coefficient)
            || self.as_rational(argument).is_some_and(exact::is_negative);
        if negative {
            let positive = self.negate(argument)?;
            let value = self.insert(Node::Apply(function, positive))?;
            return self.negate(value);
        }
        self.insert(Node::Apply(function, argument))
    }

    /// Sine and cosine: exact at multiples of pi/6 and pi/4, odd and even otherwise.
    fn circular(&mut self, function: Function, argument: Id) -> Result<Id, Exhausted> {
        let pi = self.insert(Node::Pi)?;
        let (turns, core) = self.split_coefficient(argument);
        let turns = if core == pi {
            Some(turns)
        } else {
            self.as_rational(argument).filter(|value| value.is_zero()).cloned()
        };
        if let Some(turns) = turns {
            let turns = match function {
                Function::Cos => turns + exact::fraction(1, 2),
                _ => turns,
            };
            if let Some(value) = self.sine_of_turns(&turns)? {
                return Ok(value);
            }
        } else {
            let (coefficient, _) = self.split_coefficient(argument);
            let negative = exact::is_negative(&coefficient)
                || self.as_rational(argument).is_some_and(exact::is_negative);
            if negative {
                let positive = self.negate(argument)?;
                let value = self.insert(Node::Apply(function, positive))?;
                return if function == Function::Sin { self.negate(value) } else { Ok(value) };
            }
        }
        self.insert(Node::Apply(function, argument))
    }

    /// `sin(turns * pi)` for denominators 1, 2, 3, 4, 6.
    fn sine_of_turns(&mut self, turns: &RBig) -> Result<Option<Id>, Exhausted> {
        let two = RBig::from(IBig::from(2));
        let whole = (turns / &two).floor();
        let mut angle = turns - RBig::from(whole) * &two;
        let mut negative = false;
        if angle >= RBig::ONE {
            angle -= RBig::ONE;
            negative = true;
        }
        if angle > exact::fraction(1, 2) {
            angle = RBig::ONE - angle;
        }
        let radicand = match (
            exact::small_integer(&RBig::from(angle.numerator().clone())),
            u64::try_from(angle.denominator().clone()).ok(),
        ) {
            (Some(0), Some(1)) => 0,
            (Some(1), Some(6)) => 1,
            (Some(1), Some(4)) => 2,
            (Some(1), Some(3)) => 3,
            (Some(1), Some(2)) => 4,
            _ => return Ok(None),
        };
        let base = self.integer(radicand)?;
        let half = self.rational(exact::fraction(1, 2))?;
        let root = self.power(base, half)?;
        let value = self.product(half, root)?;
        if negative { self.negate(value).map(Some) } else { Ok(Some(value)) }
    }
}

fn rational_value(function: Function, value: &RBig) -> Option<RBig> {
    match function {
        Function::Abs => {
            Some(if exact::is_negative(value) { -value.clone() } else { value.clone() })
        }
        Function::Floor => Some(RBig::from(value.floor())),
        Function::Ceiling => Some(RBig::from(value.ceil())),
        Function::Sign => Some(exact::integer(match value.cmp(&RBig::ZERO) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        })),
        Function::Factorial => exact::factorial(value),
        Function::DoubleFactorial => exact::double_factorial(value),
        Function::RealPart | Function::Conjugate => Some(value.clone()),
        Function::ImaginaryPart => Some(RBig::ZERO),
        Function::Argument if !exact::is_negative(value) && !value.is_zero() => Some(RBig::ZERO),
        Function::Argument
        | Function::Sin
        | Function::Cos
        | Function::ArcSin
        | Function::ArcTan
        | Function::Ln => None,
    }
}
