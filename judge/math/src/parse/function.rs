//! Named functions of one or several arguments.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser names the tokens that it takes; all others fail alike"
)]

use super::algebra::{Operation, combine};
use super::{Failure, Logarithm, Parsed, Parser};
use crate::expression::Pool;
use crate::expression::{Function, Id, Node};
use crate::fuel::Exhausted;
use crate::lex::Kind;
use crate::number::exact;
use crate::value::Value;

const NAMES: &[&str] = &[
    "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "sech", "csch",
    "arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc", "asin", "acos", "atan", "tg",
    "ctg", "arctg", "arsinh", "arcosh", "artanh", "arcsinh", "arccosh", "arctanh", "asinh",
    "acosh", "atanh", "ln", "log", "lg", "exp", "abs", "floor", "ceil", "max", "min", "gcd", "lcm",
    "sgn", "Re", "Im", "arg", "cis", "det", "sign", "conj",
];

pub(super) fn is_named(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Parser<'_> {
    /// A function with its exponent, base and argument: `\sin^2 x`, `\log_2 8`.
    pub(super) fn function(&mut self, name: &str) -> Parsed<Value> {
        self.advance();
        let mut base = None;
        let mut power = None;
        for _ in 0..2 {
            if self.eat_mark('_') {
                base = Some(self.exponent()?);
            } else if self.eat_mark('^') {
                power = Some(self.exponent()?);
            }
        }
        if matches!(name, "max" | "min" | "gcd" | "lcm") {
            return self.many(name);
        }
        if name == "det" {
            return match self.deeper(Self::atom)? {
                Value::Matrix { columns, entries } => self.determinant(columns, entries),
                _ => Err(Failure::Unsupported),
            };
        }
        let argument = self.function_argument()?;
        let minus_one = self.pool().integer(-1)?;
        let inverse = power == Some(minus_one);
        let id = match (inverse, inverse_name(name)) {
            (true, Some(inverse)) => self.applied(inverse, argument, base)?,
            _ => {
                let value = self.applied(name, argument, base)?;
                match power {
                    Some(power) => self.pool().power(value, power)?,
                    None => value,
                }
            }
        };
        Ok(Value::scalar(id))
    }

    /// A bracket, or the factors up to the next operator or function.
    fn function_argument(&mut self) -> Parsed<Id> {
        if self.at_mark('(') || self.at_mark('[') || self.at_mark('|') {
            let value = self.deeper(Self::atom)?;
            return self.as_expression(value);
        }
        let mut value = self.deeper(Self::signed_factor)?;
        while self.starts_factor() && !self.at_function() {
            let next = self.deeper(Self::power)?;
            value = combine(self.bench, Operation::Multiply, value, next)?;
        }
        self.as_expression(value)
    }

    fn signed_factor(&mut self) -> Parsed<Value> {
        if self.eat_mark('-') {
            let value = self.power()?;
            return super::algebra::negate(self.bench, value);
        }
        self.power()
    }

    fn at_function(&self) -> bool {
        matches!(self.peek(), Some(Kind::Command(name)) if is_named(name))
    }

    fn many(&mut self, name: &str) -> Parsed<Value> {
        let arguments = match self.peek() {
            Some(Kind::Mark('(')) => self.arguments()?,
            _ => match self.deeper(Self::atom)? {
                Value::Set(items) => {
                    let mut ids = Vec::new();
                    for item in items {
                        ids.push(self.as_expression(item)?);
                    }
                    ids
                }
                _ => return Err(Failure::Unsupported),
            },
        };
        let mut rest = arguments.into_iter();
        let first = rest.next().ok_or(Failure::Unreadable)?;
        let mut total = first;
        for next in rest {
            total = match name {
                "max" => self.pool().maximum(total, next)?,
                "min" => {
                    let (a, b) = (self.pool().negate(total)?, self.pool().negate(next)?);
                    let larger = self.pool().maximum(a, b)?;
                    self.pool().negate(larger)?
                }
                _ => self.divisor(name, total, next)?,
            };
        }
        Ok(Value::scalar(total))
    }

    fn divisor(&mut self, name: &str, left: Id, right: Id) -> Parsed<Id> {
        let whole = |id| self.bench.pool.as_rational(id).and_then(exact::small_integer);
        if let (Some(a), Some(b)) = (whole(left), whole(right)) {
            let (mut high, mut low) = (a.unsigned_abs(), b.unsigned_abs());
            while low != 0 {
                (high, low) = (low, high % low);
            }
            let product = u128::from(a.unsigned_abs()) * u128::from(b.unsigned_abs());
            let value =
                if name == "gcd" { u128::from(high) } else { product / u128::from(high.max(1)) };
            let value = i64::try_from(value).map_err(|_| Failure::Unsupported)?;
            return Ok(self.pool().integer(value)?);
        }
        let (first, second) = if left <= right { (left, right) } else { (right, left) };
        let name = self.pool().intern_name(name);
        Ok(self.pool().insert(Node::Call(name, vec![first, second]))?)
    }

    fn applied(&mut self, name: &str, argument: Id, base: Option<Id>) -> Parsed<Id> {
        if name == "log" {
            return Ok(self.logarithm(argument, base)?);
        }
        if base.is_some() {
            return Err(Failure::Unsupported);
        }
        apply_named(self.pool(), name, argument)?.ok_or(Failure::Unsupported)
    }

    fn logarithm(&mut self, argument: Id, base: Option<Id>) -> Result<Id, Exhausted> {
        let natural = self.pool().apply(Function::Ln, argument)?;
        let base = match (base, self.reading.logarithm) {
            (Some(base), _) => base,
            (None, Logarithm::Natural) => return Ok(natural),
            (None, Logarithm::Ten) => self.pool().integer(10)?,
        };
        let scale = self.pool().apply(Function::Ln, base)?;
        self.pool().quotient(natural, scale)
    }
}

fn inverse_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "sin" => "arcsin",
        "cos" => "arccos",
        "tan" | "tg" => "arctan",
        "cot" | "ctg" => "arccot",
        "sec" => "arcsec",
        "csc" => "arccsc",
        "sinh" => "arsinh",
        "cosh" => "arcosh",
        "tanh" => "artanh",
        _ => return None,
    })
}

/// A function by its name, rewritten to the few that the pool knows.
fn apply_named(pool: &mut Pool, name: &str, x: Id) -> Result<Option<Id>, Exhausted> {
    let one = pool.integer(1)?;
    let simple = match name {
        "sin" => Function::Sin,
        "cos" => Function::Cos,
        "arcsin" | "asin" => Function::ArcSin,
        "arctan" | "atan" | "arctg" => Function::ArcTan,
        "ln" => Function::Ln,
        "abs" => Function::Abs,
        "floor" => Function::Floor,
        "ceil" => Function::Ceiling,
        "sgn" | "sign" => Function::Sign,
        "Re" => Function::RealPart,
        "Im" => Function::ImaginaryPart,
        "arg" => Function::Argument,
        "conj" => Function::Conjugate,
        _ => return composite(pool, name, x, one),
    };
    pool.apply(simple, x).map(Some)
}

fn composite(pool: &mut Pool, name: &str, x: Id, one: Id) -> Result<Option<Id>, Exhausted> {
    let id = match name {
        "tan" | "tg" | "cot" | "ctg" | "sec" | "csc" | "cis" => circular(pool, name, x, one)?,
        "arccos" | "acos" => quarter_less(pool, Function::ArcSin, x)?,
        "arccot" => quarter_less(pool, Function::ArcTan, x)?,
        "arcsec" => {
            let inverse = pool.quotient(one, x)?;
            quarter_less(pool, Function::ArcSin, inverse)?
        }
        "arccsc" => {
            let inverse = pool.quotient(one, x)?;
            pool.apply(Function::ArcSin, inverse)?
        }
        "lg" => {
            let ten = pool.integer(10)?;
            let scale = pool.apply(Function::Ln, ten)?;
            let natural = pool.apply(Function::Ln, x)?;
            pool.quotient(natural, scale)?
        }
        "exp" => {
            let euler = pool.insert(Node::Euler)?;
            pool.power(euler, x)?
        }
        _ => return hyperbolic(pool, name, x, one),
    };
    Ok(Some(id))
}

fn circular(pool: &mut Pool, name: &str, x: Id, one: Id) -> Result<Id, Exhausted> {
    let sine = pool.apply(Function::Sin, x)?;
    let cosine = pool.apply(Function::Cos, x)?;
    match name {
        "tan" | "tg" => pool.quotient(sine, cosine),
        "cot" | "ctg" => pool.quotient(cosine, sine),
        "sec" => pool.quotient(one, cosine),
        "csc" => pool.quotient(one, sine),
        _ => {
            let unit = pool.insert(Node::Imaginary)?;
            let imaginary = pool.product(unit, sine)?;
            pool.sum(cosine, imaginary)
        }
    }
}

/// `pi/2 - f(x)`.
fn quarter_less(pool: &mut Pool, function: Function, x: Id) -> Result<Id, Exhausted> {
    let pi = pool.insert(Node::Pi)?;
    let half = pool.rational(exact::fraction(1, 2))?;
    let quarter = pool.product(half, pi)?;
    let value = pool.apply(function, x)?;
    pool.difference(quarter, value)
}

fn hyperbolic(pool: &mut Pool, name: &str, x: Id, one: Id) -> Result<Option<Id>, Exhausted> {
    let euler = pool.insert(Node::Euler)?;
    let up = pool.power(euler, x)?;
    let minus = pool.negate(x)?;
    let down = pool.power(euler, minus)?;
    let half = pool.rational(exact::fraction(1, 2))?;
    let sum = pool.sum(up, down)?;
    let difference = pool.difference(up, down)?;
    let id = match name {
        "sinh" => pool.product(half, difference)?,
        "cosh" => pool.product(half, sum)?,
        "tanh" => pool.quotient(difference, sum)?,
        "coth" => pool.quotient(sum, difference)?,
        "sech" => {
            let two = pool.integer(2)?;
            pool.quotient(two, sum)?
        }
        "csch" => {
            let two = pool.integer(2)?;
            pool.quotient(two, difference)?
        }
        "arsinh" | "arcsinh" | "asinh" | "arcosh" | "arccosh" | "acosh" => {
            let two = pool.integer(2)?;
            let square = pool.power(x, two)?;
            let shift = if name.contains("sinh") { one } else { pool.negate(one)? };
            let inner = pool.sum(square, shift)?;
            let root = pool.square_root(inner)?;
            let total = pool.sum(x, root)?;
            pool.apply(Function::Ln, total)?
        }
        "artanh" | "arctanh" | "atanh" => {
            let top = pool.sum(one, x)?;
            let bottom = pool.difference(one, x)?;
            let ratio = pool.quotient(top, bottom)?;
            let log = pool.apply(Function::Ln, ratio)?;
            pool.product(half, log)?
        }
        _ => return Ok(None),
    };
    Ok(Some(id))
}
