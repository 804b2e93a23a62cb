//! Sums, products, signs, powers.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser names the tokens that it takes; all others fail alike"
)]

use super::algebra::{Operation, combine, negate};
use super::{Failure, Parsed, Parser};
use crate::expression::{Id, Node};
use crate::lex::{Kind, OPEN_BRACE};
use crate::value::{Mark, Value};

impl Parser<'_> {
    /// Terms joined by plus, minus and plus-minus.
    pub(super) fn sum(&mut self) -> Parsed<Value> {
        let mut left = self.term()?;
        loop {
            let operation = match self.peek() {
                Some(Kind::Mark('+')) => Operation::Add,
                Some(Kind::Mark('-')) => Operation::Subtract,
                Some(Kind::Command(name)) if name == "pm" || name == "mp" => {
                    let upper = name == "pm";
                    self.advance();
                    let right = self.term()?;
                    let signed = self.plus_minus(right, upper)?;
                    left = combine(self.bench, Operation::Add, left, signed)?;
                    continue;
                }
                _ => return Ok(left),
            };
            self.advance();
            let right = self.term()?;
            left = combine(self.bench, operation, left, right)?;
        }
    }

    fn plus_minus(&mut self, value: Value, upper: bool) -> Parsed<Value> {
        let sign = Value::scalar(self.pool().insert(Node::PlusMinus)?);
        let signed = combine(self.bench, Operation::Multiply, sign, value)?;
        if upper { Ok(signed) } else { negate(self.bench, signed) }
    }

    /// Factors, from left to right; a missing operator is a product.
    fn term(&mut self) -> Parsed<Value> {
        let mut left = self.signed()?;
        loop {
            let operation = match self.peek() {
                Some(Kind::Mark('*')) => Operation::Multiply,
                Some(Kind::Mark('/')) => Operation::Divide,
                Some(Kind::Command(name)) => match name.as_str() {
                    "times" | "cdot" | "ast" | "cdotp" | "bullet" => Operation::Multiply,
                    "div" => Operation::Divide,
                    _ if self.starts_factor() => {
                        left = self.implicit_product(left)?;
                        continue;
                    }
                    _ => return Ok(left),
                },
                _ if self.starts_factor() => {
                    left = self.implicit_product(left)?;
                    continue;
                }
                _ => return Ok(left),
            };
            self.advance();
            if operation == Operation::Multiply && self.eat_mark('*') {
                // `**` is a power in program text.
                let right = self.signed()?;
                left = combine(self.bench, Operation::Power, left, right)?;
                continue;
            }
            let right = self.signed()?;
            left = combine(self.bench, operation, left, right)?;
        }
    }

    fn implicit_product(&mut self, left: Value) -> Parsed<Value> {
        if matches!(&left, Value::Scalar(scalar) if matches!(scalar.mark, Mark::Label(_))) {
            // `4 plus 3` is not twelve.
            return Err(Failure::Words);
        }
        let right = self.power()?;
        combine(self.bench, Operation::Multiply, left, right)
    }

    /// Whether a factor without an operator may start here.
    pub(super) fn starts_factor(&self) -> bool {
        match self.peek() {
            Some(Kind::Letters(_) | Kind::Begin(_)) => true,
            Some(Kind::Digits(_)) => {
                // `2 3` is no product, `x2` and `\pi 2` are.
                let before = self.position.checked_sub(1).and_then(|at| self.tokens.get(at));
                !matches!(before.map(|token| &token.kind), Some(Kind::Digits(_)))
            }
            Some(Kind::Mark(mark)) => match mark {
                '(' | '{' => true,
                '[' => self.bracket_is_factor(),
                '|' => self.bars == 0 && !self.bar_divides,
                _ => false,
            },
            Some(Kind::Command(name)) => super::command::starts_factor(name),
            _ => false,
        }
    }

    /// `2[x+1]` groups, but an interval never follows a factor.
    fn bracket_is_factor(&self) -> bool {
        let mut depth = 0_usize;
        for token in &self.tokens[self.position..] {
            match token.kind {
                Kind::Mark('(' | '[' | '{' | OPEN_BRACE) => depth += 1,
                Kind::Mark(')' | ']' | '}') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return token.kind == Kind::Mark(']');
                    }
                }
                Kind::Mark(',' | ';') if depth == 1 => return false,
                _ => {}
            }
        }
        false
    }

    /// A power with signs in front.
    pub(super) fn signed(&mut self) -> Parsed<Value> {
        let mut negative = false;
        let mut plus_minus = None;
        loop {
            match self.peek() {
                Some(Kind::Mark('-')) => negative = !negative,
                Some(Kind::Mark('+')) => {}
                Some(Kind::Command(name)) if name == "pm" || name == "mp" => {
                    plus_minus = Some(name == "pm");
                }
                _ => break,
            }
            self.advance();
        }
        let value = self.deeper(Self::leading_product)?;
        let value = if negative { negate(self.bench, value)? } else { value };
        match plus_minus {
            Some(upper) => self.plus_minus(value, upper),
            None => Ok(value),
        }
    }

    fn leading_product(&mut self) -> Parsed<Value> {
        self.power()
    }

    /// A postfix expression with an optional exponent.
    pub(super) fn power(&mut self) -> Parsed<Value> {
        let base = self.atom()?;
        let base = self.suffixes(base)?;
        if !self.at_mark('^') {
            return self.measured(base);
        }
        let raised = self.raised(base)?;
        self.measured(raised)
    }

    fn raised(&mut self, mut base: Value) -> Parsed<Value> {
        while self.at_mark('^') {
            self.advance();
            if let Some(marked) = self.exponent_sign(&base)? {
                base = marked;
            } else {
                let exponent = self.deeper(Self::exponent)?;
                let exponent = Value::scalar(exponent);
                base = combine(self.bench, Operation::Power, base, exponent)?;
            }
            base = self.suffixes(base)?;
        }
        Ok(base)
    }

    /// An exponent: a group, or one token with all its digits.
    pub(super) fn exponent(&mut self) -> Parsed<Id> {
        if self.at_mark('{') {
            return self.braced_expression();
        }
        if self.at_mark('(') {
            let value = self.atom()?;
            return self.as_expression(value);
        }
        let negative = self.eat_mark('-');
        if !negative {
            self.eat_mark('+');
        }
        let value = match self.peek() {
            Some(Kind::Digits(_)) => self.number_token()?,
            _ => self.atom()?,
        };
        let value =
            if self.at_mark('^') { self.deeper(|parser| parser.raised(value))? } else { value };
        let value = if negative { negate(self.bench, value)? } else { value };
        self.as_expression(value)
    }

    /// A number of one token only: no grouping, no mixed fraction.
    fn number_token(&mut self) -> Parsed<Value> {
        let Some(Kind::Digits(digits)) = self.peek() else {
            return Err(self.unexpected());
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits.as_str(), ""));
        let text = format!("{whole}{fraction}");
        let decimals = fraction.len();
        let mantissa =
            dashu_int::UBig::from_str_radix(&text, 10).map_err(|_| Failure::Unreadable)?;
        let scale = dashu_int::UBig::from(10u8).pow(decimals.min(4096));
        let value = dashu_ratio::RBig::from_parts(dashu_int::IBig::from(mantissa), scale);
        self.advance();
        Ok(Value::scalar(self.pool().rational(value)?))
    }

    /// `{ ... }` as a plain expression.
    pub(super) fn braced_expression(&mut self) -> Parsed<Id> {
        self.expect_mark('{')?;
        let value = self.inside(Self::sum)?;
        self.expect_mark('}')?;
        self.as_expression(value)
    }

    /// A part inside of brackets: bars and commas start afresh.
    pub(super) fn inside<T>(&mut self, part: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let (bars, divides) = (self.bars, self.bar_divides);
        self.bars = 0;
        self.bar_divides = false;
        self.brackets += 1;
        let result = self.deeper(part);
        self.brackets -= 1;
        (self.bars, self.bar_divides) = (bars, divides);
        result
    }
}
