//! What stands behind an expression: factorials, percent and degree signs, primes,
//! units, currencies, counted things.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser names the tokens that it takes; all others fail alike"
)]

use super::algebra::{Operation, combine};
use super::{Parsed, Parser, words};
use crate::expression::Function;
use crate::lex::Kind;
use crate::units::Unit;
use crate::value::{Mark, Scalar, Value};

/// Most words in the label of a counted thing.
const LABEL_WORDS_MAX: usize = 4;

impl Parser<'_> {
    pub(super) fn suffixes(&mut self, mut value: Value) -> Parsed<Value> {
        loop {
            match self.peek() {
                Some(Kind::Mark('!')) => {
                    self.advance();
                    let double = self.at_mark('!') && !self.is_spaced_at(0);
                    if double {
                        self.advance();
                    }
                    let function =
                        if double { Function::DoubleFactorial } else { Function::Factorial };
                    let id = self.as_expression(value)?;
                    value = Value::scalar(self.pool().apply(function, id)?);
                }
                Some(Kind::Mark('%')) => {
                    self.advance();
                    value = self.marked(value, Mark::Percent)?;
                }
                Some(Kind::Command(name)) if name == "degree" || name == "degrees" => {
                    self.advance();
                    value = self.marked(value, Mark::Degrees)?;
                }
                Some(Kind::Command(name)) if name == "dollar" || name == "euro" => {
                    let sign = if name == "dollar" { '$' } else { '€' };
                    self.advance();
                    value = self.marked(value, Mark::Currency(sign))?;
                }
                _ => return Ok(value),
            }
        }
    }

    fn marked(&mut self, value: Value, mark: Mark) -> Parsed<Value> {
        match value {
            Value::Scalar(scalar) if scalar.mark == Mark::None => {
                Ok(Value::Scalar(Scalar { mark, ..scalar }))
            }
            other => {
                let id = self.as_expression(other)?;
                Ok(Value::Scalar(Scalar { mark, ..Scalar::exact(id) }))
            }
        }
    }

    /// Exponents that are no exponents: degrees and ordinals.
    pub(super) fn exponent_sign(&mut self, base: &Value) -> Parsed<Option<Value>> {
        let open = usize::from(self.at_mark('{'));
        let close = |parser: &mut Self, length: usize| {
            parser.position += length + open;
            if open == 1 { parser.expect_mark('}') } else { Ok(()) }
        };
        match self.peek_at(open) {
            Some(Kind::Command(name)) if name == "circ" || name == "degree" => {
                close(self, 1)?;
                // `^\circ C` and `^\circ F` are temperatures.
                let scale = match self.peek() {
                    Some(Kind::Letters(letter) | Kind::Word(letter)) if letter == "C" => "celsius",
                    Some(Kind::Letters(letter) | Kind::Word(letter)) if letter == "F" => {
                        "fahrenheit"
                    }
                    _ => return self.marked(base.clone(), Mark::Degrees).map(Some),
                };
                self.advance();
                let mark = Unit::named(scale).map_or(Mark::Degrees, Mark::Unit);
                self.marked(base.clone(), mark).map(Some)
            }
            Some(Kind::Word(word)) if matches!(word.as_str(), "th" | "st" | "nd" | "rd") => {
                close(self, 1)?;
                Ok(Some(base.clone()))
            }
            Some(Kind::Letters(letter)) if open == 1 && letter == "o" && self.mark_at(2, '}') => {
                close(self, 1)?;
                self.marked(base.clone(), Mark::Degrees).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Words behind a number: a unit, a currency, a multiplier or a label.
    pub(super) fn measured(&mut self, value: Value) -> Parsed<Value> {
        let Value::Scalar(mut scalar) = value else {
            return Ok(value);
        };
        if scalar.mark != Mark::None || !self.bench.pool.is_constant(scalar.id) {
            return Ok(Value::Scalar(scalar));
        }
        while let Some(word) = self.word() {
            let word = word.to_owned();
            if matches!(word.as_str(), "th" | "st" | "nd" | "rd") && !self.is_spaced_at(0) {
                self.advance();
                continue;
            }
            if word == "base" && matches!(self.peek_at(1), Some(Kind::Digits(_))) {
                return self.written_base(Value::Scalar(scalar));
            }
            let part = words::part(&word).filter(|_| self.peek_at(1).is_none());
            let (factor, operation) = match (words::multiplier(&word), part) {
                (Some(factor), _) => (factor, Operation::Multiply),
                (None, Some(part)) => (part, Operation::Divide),
                (None, None) => break,
            };
            self.advance();
            let factor = Value::scalar(self.pool().integer(factor)?);
            let product = combine(self.bench, operation, Value::Scalar(scalar), factor)?;
            let Value::Scalar(next) = product else {
                return Ok(product);
            };
            scalar = next;
        }
        if let Some(mark) = self.mark_words()? {
            scalar.mark = mark;
        }
        Ok(Value::Scalar(scalar))
    }

    fn written_base(&mut self, value: Value) -> Parsed<Value> {
        let Value::Scalar(scalar) = &value else {
            return Ok(value);
        };
        let digits = self.bench.pool.show(scalar.id);
        let Some(Kind::Digits(base)) = self.peek_at(1) else {
            return Ok(value);
        };
        let base = base.parse().unwrap_or(0);
        self.position += 2;
        super::number::based(&digits, base)
    }

    fn mark_words(&mut self) -> Parsed<Option<Mark>> {
        let Some(word) = self.word() else {
            return Ok(None);
        };
        let word = word.to_owned();
        let mark = match word.to_lowercase().as_str() {
            "percent" | "pct" => Some(Mark::Percent),
            "degrees" | "degree" | "deg" => Some(Mark::Degrees),
            "dollars" | "dollar" | "usd" => Some(Mark::Currency('$')),
            "euros" | "euro" | "eur" => Some(Mark::Currency('€')),
            "radians" | "radian" | "rad" => Some(Mark::Label("radian".to_owned())),
            "units" | "unit" => Some(Mark::None),
            _ => None,
        };
        if let Some(mark) = mark {
            self.advance();
            return Ok(Some(self.temperature().unwrap_or(mark)));
        }
        if let Some(unit) = self.unit_product()? {
            return Ok(Some(Mark::Unit(unit)));
        }
        Ok(self.label())
    }

    /// `degrees Celsius`.
    fn temperature(&mut self) -> Option<Mark> {
        let unit = self.word().filter(|word| {
            word.to_lowercase().ends_with('s') || word.to_lowercase().ends_with('t')
        })?;
        let unit =
            Unit::named(unit).filter(|unit| matches!(unit.name(), "Celsius" | "Fahrenheit"))?;
        self.advance();
        Some(Mark::Unit(unit))
    }

    /// `cm^2`, `m/s`, `square feet`, `miles per hour`.
    fn unit_product(&mut self) -> Parsed<Option<Unit>> {
        if self.word().is_none() {
            return Ok(None);
        }
        let Some(mut product) = self.unit_power(1) else {
            return Ok(None);
        };
        loop {
            let divides = self.at_mark('/') || self.word() == Some("per");
            let joins = self.at_command("cdot") || self.at_mark('*');
            let ahead = usize::from(divides || joins);
            let next_is_unit = match self.peek_at(ahead) {
                Some(Kind::Word(word)) => Unit::named(word).is_some(),
                // `\mathrm{m} \cdot \mathrm{s}^{-1}`: an upright letter, behind a unit.
                Some(Kind::Letters(word)) => ahead == 1 && Unit::named(word).is_some(),
                _ => false,
            };
            if !next_is_unit {
                return Ok(Some(product));
            }
            self.position += ahead;
            let Some(next) = self.unit_power(if divides { -1 } else { 1 }) else {
                return Ok(Some(product));
            };
            product = product.times(&next).ok_or(super::Failure::Unsupported)?;
        }
    }

    fn unit_power(&mut self, sign: i8) -> Option<Unit> {
        let word = match self.peek() {
            Some(Kind::Word(word) | Kind::Letters(word)) => word.clone(),
            _ => return None,
        };
        let prefix = match word.to_lowercase().as_str() {
            "square" | "sq" => 2,
            "cubic" | "cu" => 3,
            _ => 1,
        };
        if prefix > 1 {
            let Some(Kind::Word(next)) = self.peek_at(1) else {
                return None;
            };
            if matches!(next.as_str(), "units" | "unit") {
                return None;
            }
            let unit = Unit::named(next)?;
            self.position += 2;
            return unit.power(prefix * sign);
        }
        let unit = Unit::named(&word)?;
        self.advance();
        let exponent = self.unit_exponent();
        unit.power(exponent * sign)
    }

    fn unit_exponent(&mut self) -> i8 {
        if self.word() == Some("squared") || self.word() == Some("cubed") {
            let exponent = if self.word() == Some("squared") { 2 } else { 3 };
            self.advance();
            return exponent;
        }
        if !self.at_mark('^') {
            return 1;
        }
        let open = usize::from(self.mark_at(1, '{'));
        let minus = usize::from(self.mark_at(1 + open, '-'));
        let at = 1 + open + minus;
        let Some(Kind::Digits(digits)) = self.peek_at(at) else {
            return 1;
        };
        let Some(value) = digits.parse::<i8>().ok().filter(|value| *value <= 9) else {
            return 1;
        };
        if open == 1 && !self.mark_at(at + 1, '}') {
            return 1;
        }
        self.position += at + 1 + open;
        if minus == 1 { -value } else { value }
    }

    /// Other words name what is counted; connectors and hedges end or forbid it.
    fn label(&mut self) -> Option<Mark> {
        let start = self.position;
        let mut label = Vec::new();
        while let Some(word) = self.word() {
            let lower = word.to_lowercase();
            if lower == "and" || lower == "or" {
                break;
            }
            let stops = words::is_hedge(&lower) || words::number(&lower).is_some();
            if stops || label.len() == LABEL_WORDS_MAX {
                self.position = start;
                return None;
            }
            label.push(lower);
            self.advance();
        }
        label.retain(|word| {
            !matches!(word.as_str(), "of" | "the" | "a" | "an" | "total" | "in" | "square")
        });
        let joined = label.join(" ");
        (!joined.is_empty())
            .then(|| Mark::Label(singular(&joined)))
            .or_else(|| (self.position > start).then_some(Mark::None))
    }
}

fn singular(label: &str) -> String {
    match label
        .strip_suffix("es")
        .filter(|stem| stem.ends_with("sh") || stem.ends_with("ch") || stem.ends_with('x'))
    {
        Some(stem) => stem.to_owned(),
        None => label.strip_suffix('s').unwrap_or(label).to_owned(),
    }
}
