//! LaTeX commands that stand for a value.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser names the tokens that it takes; all others fail alike"
)]

use super::{Failure, Parsed, Parser, function};
use crate::expression::{Function, Id, Node};
use crate::lex::Kind;
use crate::value::{Mark, NamedSet, Scalar, Value};

/// Greek letters that are variables.
const GREEK: &[&str] = &[
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "varrho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Sigma",
    "Phi",
    "Psi",
    "Omega",
    "ell",
    "hbar",
    "aleph",
    "nabla",
    "partial",
    "Pi",
];

/// Decorations of one argument that become part of a name.
const ACCENTS: &[&str] = &[
    "vec",
    "hat",
    "bar",
    "overline",
    "tilde",
    "widehat",
    "overrightarrow",
    "mathcal",
    "mathfrak",
    "mathscr",
    "dot",
    "ddot",
    "widetilde",
];

/// Commands that begin a factor without an operator before them.
pub(super) fn starts_factor(name: &str) -> bool {
    GREEK.contains(&name)
        || ACCENTS.contains(&name)
        || function::is_named(name)
        || matches!(
            name,
            "frac"
                | "dfrac"
                | "tfrac"
                | "cfrac"
                | "sqrt"
                | "cbrt"
                | "binom"
                | "dbinom"
                | "tbinom"
                | "pi"
                | "infty"
                | "oo"
                | "lfloor"
                | "lceil"
                | "langle"
                | "boxed"
                | "fbox"
                | "mathbb"
                | "int"
                | "sum"
                | "prod"
                | "lim"
                | "lVert"
                | "Vert"
                | "nicefrac"
                | "sfrac"
                | "iint"
                | "oint"
                | "color"
                | "underbrace"
        )
}

impl Parser<'_> {
    pub(super) fn command(&mut self, name: &str) -> Parsed<Value> {
        if GREEK.contains(&name) {
            self.advance();
            return self.named_variable(name.to_owned());
        }
        if function::is_named(name) {
            return self.function(name);
        }
        if ACCENTS.contains(&name) {
            return self.accented(name);
        }
        self.advance();
        match name {
            "frac" | "dfrac" | "tfrac" | "cfrac" | "nicefrac" | "sfrac" => self.fraction(),
            "sqrt" => self.square_root(),
            "cbrt" => {
                let id = self.argument()?;
                let three = self.pool().integer(3)?;
                Ok(Value::scalar(self.pool().root(id, three)?))
            }
            "binom" | "dbinom" | "tbinom" => {
                let top = self.argument()?;
                let bottom = self.argument()?;
                Ok(Value::scalar(self.pool().binomial(top, bottom)?))
            }
            "pi" => Ok(Value::scalar(self.pool().insert(Node::Pi)?)),
            "infty" | "oo" | "infin" => Ok(Value::scalar(self.pool().insert(Node::Infinity)?)),
            "emptyset" | "varnothing" | "O" => Ok(Value::Named(NamedSet::Empty)),
            "mathbb" | "mathds" => self.blackboard(),
            "lfloor" => self.rounded(Function::Floor, "rfloor"),
            "lceil" => self.rounded(Function::Ceiling, "rceil"),
            "langle" => self.angle_group(),
            "boxed" | "fbox" | "mathop" | "mathrel" | "underbrace" | "textcolor" | "overbrace" => {
                self.atom()
            }
            "color" => {
                self.atom().ok();
                self.atom()
            }
            "dollar" | "pounds" | "euro" | "yen" => self.currency(name),
            "int" | "iint" | "oint" | "sum" | "prod" | "lim" => self.operator(name),
            "lVert" | "Vert" => Err(Failure::Unsupported),
            "ldots" | "dots" | "cdots" | "vdots" => Err(Failure::Unsupported),
            "angle" | "triangle" | "square" | "neg" | "lnot" | "star" => self.shape(name),
            "%" => Err(Failure::Unreadable),
            _ => Err(Failure::Unsupported),
        }
    }

    /// One argument: a group, or a single token with a single digit.
    pub(super) fn argument(&mut self) -> Parsed<Id> {
        if self.at_mark('{') {
            return self.braced_expression();
        }
        if let Some(digit) = self.split_digit()? {
            return Ok(self.pool().integer(i64::from(digit))?);
        }
        let value = match self.peek() {
            Some(Kind::Mark('-')) => {
                self.advance();
                let value = self.deeper(Self::atom)?;
                super::algebra::negate(self.bench, value)?
            }
            _ => self.deeper(Self::atom)?,
        };
        self.as_expression(value)
    }

    /// The next digit as LaTeX reads `\frac12`: the numerator is 1, the rest stays.
    /// Literals cannot be split in place, so a longer one gives its first digit to the
    /// first argument and its tail to the second.
    pub(super) fn split_digit(&mut self) -> Parsed<Option<u32>> {
        let Some(Kind::Digits(digits)) = self.peek() else {
            return Ok(None);
        };
        if digits.len() == 1 {
            let digit = digits.chars().next().and_then(|digit| digit.to_digit(10));
            self.advance();
            return Ok(digit);
        }
        Err(Failure::Unreadable)
    }

    fn fraction(&mut self) -> Parsed<Value> {
        // `\frac12` arrives as one literal of two digits.
        if let Some(Kind::Digits(digits)) = self.peek()
            && digits.len() >= 2
            && digits.bytes().all(|digit| digit.is_ascii_digit())
        {
            let mut parts = digits.bytes().map(|digit| i64::from(digit - b'0'));
            let (top, bottom) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            let tail: String = digits.chars().skip(2).collect();
            self.advance();
            let top = self.pool().integer(top)?;
            let bottom = self.pool().integer(bottom)?;
            let value = self.divided(top, bottom)?;
            if tail.is_empty() {
                return Ok(value);
            }
            let tail = tail.parse::<i64>().map_err(|_| Failure::Unreadable)?;
            let tail = Value::scalar(self.pool().integer(tail)?);
            return self.times(value, tail);
        }
        let top = self.argument_value()?;
        if self.at_mark('/') {
            // `\frac{1}/{2}` and the like are damage that cannot be read.
            return Err(Failure::Unreadable);
        }
        let bottom = self.argument()?;
        match top {
            Value::Scalar(scalar) => {
                let mark = scalar.mark.clone();
                let value = self.divided(scalar.id, bottom)?;
                Ok(match (value, mark) {
                    (Value::Scalar(result), mark) => Value::Scalar(Scalar { mark, ..result }),
                    (other, _) => other,
                })
            }
            other => {
                let bottom = Value::scalar(bottom);
                super::algebra::combine(
                    self.bench,
                    super::algebra::Operation::Divide,
                    other,
                    bottom,
                )
            }
        }
    }

    fn argument_value(&mut self) -> Parsed<Value> {
        if !self.eat_mark('{') {
            let id = self.argument()?;
            return Ok(Value::scalar(id));
        }
        let value = self.inside(Self::sum)?;
        self.expect_mark('}')?;
        Ok(value)
    }

    fn divided(&mut self, top: Id, bottom: Id) -> Parsed<Value> {
        let (top, bottom) = (Value::scalar(top), Value::scalar(bottom));
        super::algebra::combine(self.bench, super::algebra::Operation::Divide, top, bottom)
    }

    fn square_root(&mut self) -> Parsed<Value> {
        let mut degree = None;
        if self.eat_mark('[') {
            let value = self.inside(Self::sum)?;
            degree = Some(self.as_expression(value)?);
            self.expect_mark(']')?;
        }
        // `\sqrt12` means the root of 12 to whoever wrote it.
        let id = match self.peek() {
            Some(Kind::Digits(_)) => self.exponent()?,
            _ => self.argument()?,
        };
        let root = match degree {
            Some(degree) => self.pool().root(id, degree)?,
            None => self.pool().square_root(id)?,
        };
        Ok(Value::scalar(root))
    }

    fn accented(&mut self, name: &str) -> Parsed<Value> {
        self.advance();
        let braced = self.eat_mark('{');
        let mut text = String::new();
        while let Some(Kind::Letters(part) | Kind::Word(part) | Kind::Command(part)) = self.peek() {
            text.push_str(part);
            self.advance();
            if !braced {
                break;
            }
        }
        if braced {
            self.expect_mark('}')?;
        }
        if text.is_empty() {
            return Err(self.unexpected());
        }
        // Arrows over a letter are often left out: the letter alone is the name.
        let plain = matches!(name, "vec" | "mathcal" | "overrightarrow" | "hat");
        let full = if plain { text } else { format!("{name} {text}") };
        self.named_variable(full)
    }

    fn blackboard(&mut self) -> Parsed<Value> {
        let braced = self.eat_mark('{');
        let named = match self.peek() {
            Some(Kind::Letters(letter)) => match letter.as_str() {
                "N" => NamedSet::Naturals,
                "Z" => NamedSet::Integers,
                "Q" => NamedSet::Rationals,
                "R" => NamedSet::Reals,
                "C" => NamedSet::Complexes,
                _ => return Err(Failure::Unsupported),
            },
            _ => return Err(self.unexpected()),
        };
        self.advance();
        if braced {
            self.expect_mark('}')?;
        }
        if self.at_mark('^') || self.at_mark('_') {
            return Err(Failure::Unsupported);
        }
        Ok(Value::Named(named))
    }

    fn rounded(&mut self, function: Function, close: &str) -> Parsed<Value> {
        let value = self.inside(Self::sum)?;
        if !self.eat_command(close) {
            return Err(self.unexpected());
        }
        let id = self.as_expression(value)?;
        Ok(Value::scalar(self.pool().apply(function, id)?))
    }

    fn angle_group(&mut self) -> Parsed<Value> {
        let items = self.inside(Self::items)?;
        if !self.eat_command("rangle") {
            return Err(self.unexpected());
        }
        Ok(Value::Group { open: '⟨', close: '⟩', items })
    }

    fn currency(&mut self, name: &str) -> Parsed<Value> {
        let sign = match name {
            "dollar" => '$',
            "pounds" => '£',
            "yen" => '¥',
            _ => '€',
        };
        let value = self.deeper(Self::power)?;
        match value {
            Value::Scalar(scalar) if !matches!(scalar.mark, Mark::Percent | Mark::Degrees) => {
                Ok(Value::Scalar(Scalar { mark: Mark::Currency(sign), ..scalar }))
            }
            _ => Err(Failure::Unreadable),
        }
    }

    /// `\angle ABC` and other marks are part of a name.
    fn shape(&mut self, name: &str) -> Parsed<Value> {
        let mut text = name.to_owned();
        while let Some(Kind::Letters(letter)) = self.peek() {
            text.push_str(letter);
            self.advance();
        }
        Ok(Value::scalar(self.pool().variable(&text)?))
    }

    /// Integrals and limits are compared by their parts; short sums are written out.
    fn operator(&mut self, name: &str) -> Parsed<Value> {
        let mut bounds: [Option<(Id, Option<Id>)>; 2] = [None, None];
        for _ in 0..2 {
            if self.eat_mark('_') {
                bounds[0] = Some(self.operator_bound()?);
            } else if self.eat_mark('^') {
                bounds[1] = Some((self.exponent()?, None));
            }
        }
        if name == "sum" || name == "prod" {
            let body = self.deeper(Self::term_value)?;
            return self.series(name, bounds, body);
        }
        let body = self.deeper(Self::term_value)?;
        let mut parts = vec![body];
        for bound in bounds.into_iter().flatten() {
            parts.push(bound.0);
            parts.extend(bound.1);
        }
        let name = self.pool().intern_name(name);
        Ok(Value::scalar(self.pool().insert(Node::Call(name, parts))?))
    }

    fn term_value(&mut self) -> Parsed<Id> {
        let value = self.signed()?;
        let mut product = value;
        while self.starts_factor() {
            let next = self.power()?;
            product = self.times(product, next)?;
        }
        self.as_expression(product)
    }

    /// `k=1` or `x \to 0` below an operator.
    fn operator_bound(&mut self) -> Parsed<(Id, Option<Id>)> {
        if !self.eat_mark('{') {
            return Ok((self.exponent()?, None));
        }
        let left = self.inside(Self::sum)?;
        let left = self.as_expression(left)?;
        let joined = self.eat_mark('=') || self.eat_command("to") || self.eat_command("rightarrow");
        let right = if joined {
            let value = self.inside(Self::sum)?;
            Some(self.as_expression(value)?)
        } else {
            None
        };
        self.expect_mark('}')?;
        Ok((left, right))
    }

    fn series(
        &mut self,
        name: &str,
        bounds: [Option<(Id, Option<Id>)>; 2],
        body: Id,
    ) -> Parsed<Value> {
        let [Some((index, Some(first))), Some((last, None))] = bounds else {
            return Err(Failure::Unsupported);
        };
        let whole =
            |id: Id| self.bench.pool.as_rational(id).and_then(crate::number::exact::small_integer);
        if let (Some(from), Some(to)) = (whole(first), whole(last))
            && to.saturating_sub(from) < crate::limits::SERIES_TERMS_MAX
        {
            return self.written_out(name, (index, from, to), body);
        }
        // The bound variable is renamed, so that its name does not matter.
        let bound = self.pool().variable("bound index")?;
        let body = self.pool().substitute(body, &[(index, bound)])?;
        let name = self.pool().intern_name(name);
        Ok(Value::scalar(self.pool().insert(Node::Call(name, vec![body, first, last]))?))
    }

    fn written_out(
        &mut self,
        name: &str,
        (index, from, to): (Id, i64, i64),
        body: Id,
    ) -> Parsed<Value> {
        let mut total = self.pool().integer(if name == "sum" { 0 } else { 1 })?;
        for step in from..=to {
            self.bench.fuel.spend(20)?;
            let at = self.pool().integer(step)?;
            let term = self.pool().substitute(body, &[(index, at)])?;
            total = match name {
                "sum" => self.pool().sum(total, term)?,
                _ => self.pool().product(total, term)?,
            };
        }
        Ok(Value::scalar(total))
    }
}
