//! The outer grammar: lists and their connectors, relations, set operations, ratios.

use super::{Failure, INTEGER_PARAMETER, Parsed, Parser};
use crate::expression::Id;
use crate::lex::Kind;
use crate::limits;
use crate::value::{Joint, NamedSet, Relation, SetOperation, Value};

impl Parser<'_> {
    /// A whole answer: clauses between commas, `and`, `or`, gaps and rows.
    pub(super) fn statement(&mut self) -> Parsed<Value> {
        self.clauses()
    }

    pub(super) fn clauses(&mut self) -> Parsed<Value> {
        let mut items = vec![self.deeper(Self::relation)?];
        let mut joint = None;
        let mut alternatives = vec![0];
        while let Some(next) = self.connector() {
            if self.ends_clauses() {
                break;
            }
            // A comma before a connector, and a comma beside one, give way to it.
            joint = match (joint, next) {
                (None | Some(Joint::Comma), next) => Some(next),
                (Some(joint), _) => Some(joint),
            };
            if items.len() >= limits::ENTRIES_MAX {
                return Err(Failure::Exhausted);
            }
            if next == Joint::Or {
                alternatives.push(items.len());
            }
            items.push(self.deeper(Self::relation)?);
        }
        if let Some(systems) = as_systems(&items, &alternatives) {
            return Ok(systems);
        }
        match joint {
            None => items.pop().ok_or(Failure::Unreadable),
            Some(joint) => Ok(Value::List { joint, items }),
        }
    }

    fn ends_clauses(&self) -> bool {
        self.peek().is_none()
    }

    /// One or several connectors in a row, as the strongest of them.
    fn connector(&mut self) -> Option<Joint> {
        let mut found = None;
        loop {
            let joint = match self.peek() {
                Some(Kind::Mark(',' | ';') | Kind::Gap | Kind::Row | Kind::GroupComma) => {
                    Joint::Comma
                }
                Some(Kind::Word(word)) => match word.to_lowercase().as_str() {
                    "and" => Joint::And,
                    "or" => Joint::Or,
                    "for" | "where" | "with" if self.introduces_condition() => Joint::Comma,
                    _ => return found,
                },
                Some(Kind::Command(name)) => match name.as_str() {
                    "wedge" | "land" => Joint::And,
                    "vee" | "lor" => Joint::Or,
                    _ => return found,
                },
                _ => return found,
            };
            self.advance();
            found = match (found, joint) {
                (Some(known), Joint::Comma) => Some(known),
                (_, joint) => Some(joint),
            };
        }
    }

    /// `for x > 0`, `where n \in \mathbb{Z}`.
    fn introduces_condition(&self) -> bool {
        matches!(self.peek_at(1), Some(Kind::Letters(_) | Kind::Command(_)))
    }

    /// Sides with relation signs between them.
    pub(super) fn relation(&mut self) -> Parsed<Value> {
        let first = self.set_expression()?;
        let mut rest = Vec::new();
        while let Some(relation) = self.relation_sign() {
            if self.peek().is_none() && rest.is_empty() {
                return Err(Failure::Unreadable);
            }
            if rest.len() >= limits::ENTRIES_MAX {
                return Err(Failure::Exhausted);
            }
            let side = self.set_expression()?;
            let side = match relation {
                Relation::In | Relation::NotIn => self.plain_set(side),
                _ => side,
            };
            rest.push((relation, side));
        }
        if let [(relation @ Relation::Other, _)] = &mut rest[..]
            && let Some(modulus) = self.modulus()?
        {
            *relation = Relation::Equal;
            let (_, side) = rest.remove(0);
            rest.push((Relation::Equal, self.residue_class(side, modulus)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Value::Chain { first: Box::new(first), rest })
    }

    /// `Z` behind a membership sign is the set of integers.
    fn plain_set(&self, side: Value) -> Value {
        let Value::Scalar(scalar) = &side else {
            return side;
        };
        let Some(name) = self.bench.pool.as_variable(scalar.id) else {
            return side;
        };
        match self.bench.pool.name(name) {
            "Z" => Value::Named(NamedSet::Integers),
            "N" | "N_+" | "N^*" => Value::Named(NamedSet::Naturals),
            "R" => Value::Named(NamedSet::Reals),
            _ => side,
        }
    }

    /// `\pmod{4}` or `(mod 4)` behind a congruence.
    fn modulus(&mut self) -> Parsed<Option<Id>> {
        if self.eat_command("pmod") || self.eat_command("bmod") || self.eat_command("mod") {
            return match self.peek() {
                Some(Kind::Digits(_)) => self.exponent().map(Some),
                _ => self.argument().map(Some),
            };
        }
        if self.at_mark('(')
            && matches!(self.peek_at(1), Some(Kind::Command(name)) if name == "mod" || name == "bmod")
        {
            self.position += 2;
            let value = self.inside(Self::sum)?;
            self.expect_mark(')')?;
            return self.as_expression(value).map(Some);
        }
        Ok(None)
    }

    /// `r` modulo `m` as `r + m*t` with an integer parameter.
    fn residue_class(&mut self, side: Value, modulus: Id) -> Parsed<Value> {
        let residue = self.as_expression(side)?;
        let parameter = self.pool().variable(INTEGER_PARAMETER)?;
        let multiple = self.pool().product(parameter, modulus)?;
        Ok(Value::scalar(self.pool().sum(residue, multiple)?))
    }

    fn relation_sign(&mut self) -> Option<Relation> {
        let relation = match self.peek()? {
            Kind::Mark('=') => Relation::Equal,
            Kind::Mark('<') if self.mark_at(1, '=') => {
                self.advance();
                Relation::LessOrEqual
            }
            Kind::Mark('>') if self.mark_at(1, '=') => {
                self.advance();
                Relation::GreaterOrEqual
            }
            Kind::Mark('!') if self.mark_at(1, '=') => {
                self.advance();
                Relation::NotEqual
            }
            Kind::Mark(':') if self.mark_at(1, '=') => {
                self.advance();
                Relation::Equal
            }
            Kind::Mark('<') => Relation::Less,
            Kind::Mark('>') => Relation::Greater,
            Kind::Mark('&') if self.is_aligned_sign() => {
                self.advance();
                return self.relation_sign();
            }
            Kind::Word(word)
                if word == "in"
                    && matches!(self.peek_at(1), Some(Kind::Mark(_) | Kind::Command(_))) =>
            {
                Relation::In
            }
            Kind::Command(name) => command_relation(name)?,
            Kind::Mark(_)
            | Kind::Word(_)
            | Kind::Digits(_)
            | Kind::Letters(_)
            | Kind::Begin(_)
            | Kind::End(_)
            | Kind::Row
            | Kind::GroupComma
            | Kind::Gap => return None,
        };
        self.advance();
        if relation == Relation::Equal {
            self.eat_mark('&');
        }
        Some(relation)
    }

    fn is_aligned_sign(&self) -> bool {
        match self.peek_at(1) {
            Some(Kind::Mark('=' | '<' | '>')) => true,
            Some(Kind::Command(name)) => command_relation(name).is_some(),
            _ => false,
        }
    }

    /// Unions, intersections and differences, from left to right.
    fn set_expression(&mut self) -> Parsed<Value> {
        let mut left = self.ratio()?;
        loop {
            let operation = match self.peek() {
                Some(Kind::Command(name)) => match name.as_str() {
                    "cup" | "bigcup" => SetOperation::Union,
                    "cap" | "bigcap" => SetOperation::Intersection,
                    "setminus" | "backslash" | "smallsetminus" => SetOperation::Difference,
                    _ => return Ok(left),
                },
                Some(Kind::Letters(letter)) if letter == "U" && is_set_like(&left) => {
                    SetOperation::Union
                }
                Some(Kind::Mark('-')) if matches!(left, Value::Named(_)) => {
                    SetOperation::Difference
                }
                _ => return Ok(left),
            };
            self.advance();
            let right = self.ratio()?;
            left = Value::SetOperation { operation, left: Box::new(left), right: Box::new(right) };
        }
    }

    /// `a:b`, unless the colon divides a set builder.
    fn ratio(&mut self) -> Parsed<Value> {
        if let Some(time) = self.attempt(Self::time)? {
            return Ok(time);
        }
        let first = self.sum()?;
        let colon = |parser: &Self| {
            (parser.at_mark(':') && !parser.mark_at(1, '=')) || parser.at_command("colon")
        };
        if !colon(self) || self.bar_divides {
            return Ok(first);
        }
        let mut parts = vec![self.as_expression(first)?];
        while colon(self) && parts.len() < limits::ENTRIES_MAX {
            self.advance();
            let next = self.sum()?;
            parts.push(self.as_expression(next)?);
        }
        Ok(Value::Ratio(parts))
    }

    /// `12:30`, `9:05:10`, with `am` or `pm`.
    fn time(&mut self) -> Parsed<Value> {
        let mut parts = [0_u32; 3];
        let mut count = 0;
        loop {
            let Some(Kind::Digits(digits)) = self.peek() else {
                return Err(Failure::Unreadable);
            };
            let wide = if count == 0 { digits.len() <= 2 } else { digits.len() == 2 };
            let value = digits.parse::<u32>().ok().filter(|_| wide).ok_or(Failure::Unreadable)?;
            parts[count] = value;
            count += 1;
            self.advance();
            if !self.at_mark(':') || count == 3 {
                break;
            }
            self.advance();
        }
        let [hours, minutes, seconds] = parts;
        if count < 2
            || hours > 24
            || minutes > 59
            || seconds > 59
            || self.starts_factor() && self.half_day().is_none()
        {
            return Err(Failure::Unreadable);
        }
        if let Some(afternoon) = self.half_day() {
            while self.half_day().is_some() || self.at_mark('.') || self.is_letter_m() {
                self.advance();
            }
            parts[0] = hours % 12 + if afternoon { 12 } else { 0 };
        }
        if matches!(self.peek(), Some(Kind::Mark('/' | '^' | '+' | '-' | '*' | ':'))) {
            return Err(Failure::Unreadable);
        }
        Ok(Value::Time(parts))
    }

    fn half_day(&self) -> Option<bool> {
        match self.peek() {
            Some(Kind::Word(word) | Kind::Letters(word)) => match word.to_lowercase().as_str() {
                "am" => Some(false),
                "pm" => Some(true),
                "a" if self.mark_at(1, '.') => Some(false),
                "p" if self.mark_at(1, '.') => Some(true),
                _ => None,
            },
            _ => None,
        }
    }

    fn is_letter_m(&self) -> bool {
        matches!(self.peek(), Some(Kind::Letters(letter) | Kind::Word(letter)) if letter == "m")
    }
}

/// `x=3, y=4 or x=4, y=3`: alternatives that are systems of the same length.
fn as_systems(items: &[Value], alternatives: &[usize]) -> Option<Value> {
    let length = items.len().checked_div(alternatives.len())?;
    let even = alternatives.iter().enumerate().all(|(index, start)| *start == index * length);
    let chains = items.iter().all(|item| matches!(item, Value::Chain { .. }));
    if alternatives.len() < 2
        || length < 2
        || !items.len().is_multiple_of(length)
        || !even
        || !chains
    {
        return None;
    }
    let systems = items
        .chunks(length)
        .map(|system| Value::List { joint: Joint::And, items: system.to_vec() })
        .collect();
    Some(Value::List { joint: Joint::Or, items: systems })
}

fn is_set_like(value: &Value) -> bool {
    matches!(
        value,
        Value::Group { .. }
            | Value::Set(_)
            | Value::SetOperation { .. }
            | Value::Named(NamedSet::Reals)
    )
}

fn command_relation(name: &str) -> Option<Relation> {
    Some(match name {
        "le" | "leq" | "leqslant" | "leqq" => Relation::LessOrEqual,
        "ge" | "geq" | "geqslant" | "geqq" => Relation::GreaterOrEqual,
        "lt" => Relation::Less,
        "gt" => Relation::Greater,
        "ne" | "neq" => Relation::NotEqual,
        "in" => Relation::In,
        "notin" => Relation::NotIn,
        "subset" | "subseteq" | "subsetneq" => Relation::Subset,
        "approx" | "equiv" | "sim" | "simeq" | "cong" | "to" | "rightarrow" | "mapsto"
        | "Rightarrow" | "implies" | "iff" | "Leftrightarrow" | "propto" | "perp" | "parallel" => {
            Relation::Other
        }
        _ => return None,
    })
}
