//! Atoms: literals, variables, brackets and bars.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser names the tokens that it takes; all others fail alike"
)]

use super::algebra::{Operation, combine};
use super::{Failure, Parsed, Parser, words};
use crate::expression::{Function, Id, Node};
use crate::lex::{CLOSE_BRACE, Kind, OPEN_BRACE};
use crate::limits;
use crate::value::{Joint, NamedSet, Value};

impl Parser<'_> {
    pub(super) fn atom(&mut self) -> Parsed<Value> {
        match self.peek() {
            Some(Kind::Digits(_)) => self.number(),
            Some(Kind::Letters(_)) => self.variable(),
            Some(Kind::Word(_)) => self.word_value(),
            Some(Kind::Command(name)) => {
                let name = name.clone();
                self.deeper(|parser| parser.command(&name))
            }
            Some(Kind::Begin(name)) => {
                let name = name.clone();
                self.deeper(|parser| parser.environment(&name))
            }
            Some(Kind::Mark(mark)) => match mark {
                '(' | '[' => self.bracketed(),
                ']' => self.reversed_interval(),
                '{' => self.braced(),
                &OPEN_BRACE => self.set(),
                '|' => self.absolute('|'),
                '‖' => self.absolute('‖'),
                _ => Err(self.unexpected()),
            },
            _ => Err(self.unexpected()),
        }
    }

    fn word_value(&mut self) -> Parsed<Value> {
        let word = self.word().unwrap_or("").to_owned();
        if let Some(number) = words::number(&word) {
            self.advance();
            let mut total = number;
            // `twenty-one`, `twenty one`.
            let hyphen = usize::from(self.at_mark('-'));
            if let Some(Kind::Word(next)) = self.peek_at(hyphen) {
                let units = words::number(next).filter(|units| (1..10).contains(units));
                if let Some(units) = units.filter(|_| number >= 20) {
                    total += units;
                    self.position += hyphen + 1;
                }
            }
            return Ok(Value::scalar(self.pool().integer(total)?));
        }
        if word.eq_ignore_ascii_case("infinity") || word == "inf" {
            self.advance();
            return Ok(Value::scalar(self.pool().insert(Node::Infinity)?));
        }
        Err(Failure::Words)
    }

    /// A letter with subscript and primes; `e` and `i` are constants.
    fn variable(&mut self) -> Parsed<Value> {
        let Some(Kind::Letters(letter)) = self.peek() else {
            return Err(self.unexpected());
        };
        let letter = letter.clone();
        if let Some(value) = self.based_digits()? {
            return Ok(value);
        }
        self.advance();
        self.named_variable(letter)
    }

    pub(super) fn named_variable(&mut self, letter: String) -> Parsed<Value> {
        if matches!(letter.as_str(), "C" | "A" | "P")
            && let Some(value) = self.attempt(|parser| parser.indexed_choice(&letter))?
        {
            return Ok(value);
        }
        let mut name = letter;
        self.subscript(&mut name)?;
        while self.at_mark('\'') || self.at_command("prime") {
            self.advance();
            name.push('\'');
        }
        if self.mark_at(0, '^')
            && self.mark_at(1, '{')
            && matches!(self.peek_at(2), Some(Kind::Command(prime)) if prime == "prime")
            && self.mark_at(3, '}')
        {
            self.position += 4;
            name.push('\'');
        }
        match name.as_str() {
            "e" => return Ok(Value::scalar(self.pool().insert(Node::Euler)?)),
            "i" => return Ok(Value::scalar(self.pool().insert(Node::Imaginary)?)),
            _ => {}
        }
        // `P(x) = ..`: what is defined is a function, whatever its letter.
        let defined = self.position == 1
            && matches!(self.peek_at(1), Some(Kind::Letters(_)))
            && self.mark_at(2, ')')
            && self.mark_at(3, '=');
        if self.at_mark('(')
            && (defined || is_function_name(&name))
            && let Some(call) = self.attempt(|parser| parser.call(&name))?
        {
            return Ok(call);
        }
        if (name == "C" || name == "P")
            && let Some(value) = self.attempt(|parser| parser.choose(&name))?
        {
            return Ok(value);
        }
        Ok(Value::scalar(self.pool().variable(&name)?))
    }

    /// `C_{10}^{3}`, `A_5^2`: literals, the lower index not below the upper.
    fn indexed_choice(&mut self, letter: &str) -> Parsed<Value> {
        self.expect_mark('_')?;
        let top = self.index()?;
        self.expect_mark('^')?;
        let bottom = self.exponent()?;
        self.choices(letter, top, bottom)
    }

    /// A lower index: a group, or one literal without the exponent behind it.
    fn index(&mut self) -> Parsed<Id> {
        if self.at_mark('{') {
            return self.braced_expression();
        }
        let value = self.literal_integer()?;
        let value = i64::try_from(value).map_err(|_| Failure::Unreadable)?;
        Ok(self.pool().integer(value)?)
    }

    fn choices(&mut self, letter: &str, top: Id, bottom: Id) -> Parsed<Value> {
        let literal =
            |id: Id| self.bench.pool.as_rational(id).and_then(crate::number::exact::small_integer);
        let (Some(n), Some(k)) = (literal(top), literal(bottom)) else {
            return Err(Failure::Unreadable);
        };
        if k < 0 || n < k {
            return Err(Failure::Unreadable);
        }
        let choices = self.pool().binomial(top, bottom)?;
        if letter == "C" {
            return Ok(Value::scalar(choices));
        }
        let orders = self.pool().apply(Function::Factorial, bottom)?;
        Ok(Value::scalar(self.pool().product(choices, orders)?))
    }

    /// `{}_{10}C_3` behind the empty group.
    fn leading_index(&mut self) -> Parsed<Value> {
        self.expect_mark('_')?;
        let top = self.index()?;
        let Some(Kind::Letters(letter)) = self.peek() else {
            return Err(self.unexpected());
        };
        let letter = letter.clone();
        self.advance();
        self.expect_mark('_')?;
        let bottom = self.exponent()?;
        self.choices(&letter, top, bottom)
    }

    /// `C(5,2)` with integers.
    fn choose(&mut self, name: &str) -> Parsed<Value> {
        let arguments = self.arguments()?;
        let [top, bottom] = arguments[..] else {
            return Err(Failure::Unreadable);
        };
        self.choices(name, top, bottom)
    }

    pub(super) fn subscript(&mut self, name: &mut String) -> Parsed<()> {
        if !self.eat_mark('_') {
            return Ok(());
        }
        name.push('_');
        if self.eat_mark('{') {
            let mut depth = 0_usize;
            while let Some(kind) = self.peek() {
                match kind {
                    Kind::Mark('}') if depth == 0 => {
                        self.advance();
                        return Ok(());
                    }
                    Kind::Mark(mark) => {
                        match mark {
                            '{' => depth += 1,
                            '}' => depth -= 1,
                            _ => {}
                        }
                        name.push(*mark);
                    }
                    Kind::Digits(text)
                    | Kind::Letters(text)
                    | Kind::Word(text)
                    | Kind::Command(text) => {
                        name.push_str(text);
                    }
                    Kind::Begin(_) | Kind::End(_) | Kind::Row | Kind::GroupComma | Kind::Gap => {
                        return Err(Failure::Unreadable);
                    }
                }
                self.advance();
            }
            return Err(Failure::Unreadable);
        }
        match self.peek() {
            Some(
                Kind::Digits(text) | Kind::Letters(text) | Kind::Word(text) | Kind::Command(text),
            ) => {
                name.push_str(text);
                self.advance();
                Ok(())
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `f(x, y)` as an unknown function of its arguments.
    fn call(&mut self, name: &str) -> Parsed<Value> {
        let arguments = self.arguments()?;
        let name = self.pool().intern_name(name);
        Ok(Value::scalar(self.pool().insert(Node::Call(name, arguments))?))
    }

    /// `( a, b, ... )` as plain expressions.
    pub(super) fn arguments(&mut self) -> Parsed<Vec<Id>> {
        self.expect_mark('(')?;
        let arguments = self.inside(|parser| {
            let mut arguments = Vec::new();
            loop {
                let value = parser.sum()?;
                arguments.push(parser.as_expression(value)?);
                if !(parser.eat_mark(',') || parser.eat_mark(';')) {
                    return Ok(arguments);
                }
            }
        })?;
        self.expect_mark(')')?;
        Ok(arguments)
    }

    /// Brackets: a group of one item is the item, more are a tuple or an interval.
    fn bracketed(&mut self) -> Parsed<Value> {
        let Some(Kind::Mark(open)) = self.peek() else {
            return Err(self.unexpected());
        };
        let open = *open;
        self.advance();
        if self.eat_mark(')') {
            return Ok(Value::Group { open, close: ')', items: Vec::new() });
        }
        let mut items = self.inside(Self::items)?;
        let close = match self.peek() {
            Some(Kind::Mark(mark @ (')' | ']'))) => *mark,
            Some(Kind::Mark('[')) if items.len() == 2 && open != '(' => '[',
            Some(Kind::Mark('[')) if items.len() == 2 => '[',
            _ => return Err(self.unexpected()),
        };
        self.advance();
        if items.len() == 1 && open == '(' && close == ')' {
            return Self::parenthesized(items.pop());
        }
        if items.len() == 1 && open == '[' && close == ']' {
            // `[x+1]` groups inside of an expression; alone it is kept as written.
            let item = items.pop().ok_or(Failure::Unreadable)?;
            return match item {
                Value::Scalar(mut scalar) => {
                    scalar.shape = crate::value::Shape::Exact;
                    Ok(Value::Scalar(scalar))
                }
                other => Ok(Value::Group { open, close, items: vec![other] }),
            };
        }
        Ok(Value::Group { open, close, items })
    }

    fn parenthesized(item: Option<Value>) -> Parsed<Value> {
        let item = item.ok_or(Failure::Unreadable)?;
        Ok(match item {
            Value::List { items, joint: Joint::Comma } => {
                Value::Group { open: '(', close: ')', items }
            }
            other => other,
        })
    }

    /// `]a, b[`.
    fn reversed_interval(&mut self) -> Parsed<Value> {
        self.expect_mark(']')?;
        let items = self.inside(Self::items)?;
        let close = match self.peek() {
            Some(Kind::Mark(mark @ ('[' | ']' | ')'))) => *mark,
            _ => return Err(self.unexpected()),
        };
        self.advance();
        if items.len() != 2 {
            return Err(Failure::Unreadable);
        }
        Ok(Value::Group { open: ']', close, items })
    }

    /// Items between commas or semicolons.
    pub(super) fn items(&mut self) -> Parsed<Vec<Value>> {
        let mut items = vec![self.relation()?];
        while self.at_mark(',') || self.at_mark(';') {
            self.advance();
            if items.len() >= limits::ENTRIES_MAX {
                return Err(Failure::Exhausted);
            }
            items.push(self.relation()?);
        }
        Ok(items)
    }

    /// A LaTeX group: transparent, also around lists.
    fn braced(&mut self) -> Parsed<Value> {
        self.expect_mark('{')?;
        if self.eat_mark('}') {
            if self.at_mark('_') {
                return self.leading_index();
            }
            return if self.position < self.tokens.len() {
                self.atom()
            } else {
                Err(Failure::Unreadable)
            };
        }
        let mut items = self.inside(Self::items)?;
        self.expect_mark('}')?;
        if items.len() == 1 {
            return items.pop().ok_or(Failure::Unreadable);
        }
        Ok(Value::Set(items))
    }

    /// `\{ .. \}`: a set or a set builder.
    fn set(&mut self) -> Parsed<Value> {
        self.expect_mark(OPEN_BRACE)?;
        if self.eat_mark(CLOSE_BRACE) {
            return Ok(Value::Named(NamedSet::Empty));
        }
        if let Some(Kind::Begin(name)) = self.peek() {
            // A brace before lines of relations opens a system and is never closed.
            let name = name.clone();
            let system = self.attempt(|parser| {
                parser.advance();
                let system = parser.deeper(|parser| parser.system(&name))?;
                parser.eat_mark(CLOSE_BRACE);
                Ok(system)
            })?;
            if let Some(system @ Value::List { .. }) = system {
                return Ok(system);
            }
            return Err(Failure::Unsupported);
        }
        let value = self.inside(|parser| {
            parser.bar_divides = true;
            let first = parser.items()?;
            parser.bar_divides = false;
            let divider = parser.at_mark('|') || parser.at_mark(':') || parser.at_command("colon");
            if !divider {
                return Ok(Value::Set(first));
            }
            parser.advance();
            let condition = parser.clauses()?;
            let mut first = first;
            let pattern = first.pop().filter(|_| first.is_empty()).ok_or(Failure::Unreadable)?;
            Ok(Value::Builder { pattern: Box::new(pattern), condition: Box::new(condition) })
        })?;
        self.expect_mark(CLOSE_BRACE)?;
        Ok(value)
    }

    fn absolute(&mut self, bar: char) -> Parsed<Value> {
        self.expect_mark(bar)?;
        let divides = std::mem::replace(&mut self.bar_divides, false);
        self.bars += 1;
        let value = self.deeper(Self::sum);
        self.bars -= 1;
        self.bar_divides = divides;
        let value = value?;
        self.expect_mark(bar)?;
        if let Value::Matrix { columns, entries } = value {
            return if bar == '|' {
                self.determinant(columns, entries)
            } else {
                Err(Failure::Unsupported)
            };
        }
        let id = self.as_expression(value)?;
        Ok(Value::scalar(self.pool().apply(Function::Abs, id)?))
    }

    /// Two values multiplied.
    pub(super) fn times(&mut self, left: Value, right: Value) -> Parsed<Value> {
        combine(self.bench, Operation::Multiply, left, right)
    }
}

/// Letters that name a function when brackets follow.
fn is_function_name(name: &str) -> bool {
    let stem = name.trim_end_matches('\'');
    let stem = stem.split('_').next().unwrap_or(stem);
    matches!(stem, "f" | "g" | "h" | "F" | "G" | "H" | "phi" | "psi" | "Phi" | "Psi")
        || name.ends_with('\'')
}
