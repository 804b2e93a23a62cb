//! Tokens to a typed value. A descent by precedence; its depth is counted and
//! bounded by [`crate::limits::DEPTH_MAX`], so no input can exhaust the stack.
//!
//! Precedence, loosest first: list, relation, set operation, ratio, sum, product,
//! sign, power, postfix. Ambiguous notation is settled by a [`Reading`]; the
//! comparison tries several.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser names the tokens that it takes; all others fail alike"
)]

mod algebra;
pub(crate) mod alternative;
pub(crate) use algebra::plain;
mod atom;
mod command;
mod expression;
mod function;
mod letters;
mod matrix;
mod number;
mod rewrite;
mod statement;
mod suffix;
pub(crate) mod words;

use crate::expression::{Id, Pool};
use crate::fuel::Exhausted;
use crate::identity::Workbench;
use crate::lex::{self, Kind, Token};
use crate::limits;
use crate::value::Value;

/// The name of the parameter of a residue class; no text can spell it.
pub(crate) const INTEGER_PARAMETER: &str = "integer parameter";

/// What a comma between digits means outside of brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Comma {
    List,
    Thousands,
    Decimal,
}

/// The base of a logarithm without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Logarithm {
    Natural,
    Ten,
}

/// How ambiguous notation is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reading {
    pub(crate) comma: Comma,
    pub(crate) logarithm: Logarithm,
}

/// Why a text has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not well-formed.
    Unreadable,
    /// Words where mathematics was expected.
    Words,
    /// Notation without a meaning here.
    Unsupported,
    /// A limit was reached.
    Exhausted,
}

impl From<Exhausted> for Failure {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

pub(crate) type Parsed<T> = Result<T, Failure>;

/// The state of one parse.
#[derive(Debug)]
pub(crate) struct Parser<'a> {
    tokens: &'a [Token],
    position: usize,
    depth: usize,
    /// Brackets around the position: a comma in brackets never groups digits.
    brackets: usize,
    /// Open absolute bars: the next bar closes.
    bars: usize,
    /// In a set builder a bar divides.
    bar_divides: bool,
    reading: Reading,
    bench: &'a mut Workbench,
}

/// Tokens of a repaired text, with runs of letters resolved.
pub(crate) fn tokens(text: &str) -> Parsed<Vec<Token>> {
    let mut tokens = letters::resolve(lex::lex(text)?);
    restore_builder(&mut tokens);
    open_condition(&mut tokens);
    rewrite::always(&mut tokens);
    drop_name(&mut tokens);
    if tokens.len() > limits::TOKENS_MAX {
        return Err(Failure::Exhausted);
    }
    Ok(tokens)
}

fn is_relation(kind: &Kind) -> bool {
    match kind {
        Kind::Mark(mark) => matches!(mark, '=' | '<' | '>'),
        Kind::Command(name) => {
            matches!(
                name.as_str(),
                "in" | "le" | "leq" | "ge" | "geq" | "ne" | "neq" | "leqslant" | "geqslant"
            )
        }
        _ => false,
    }
}

/// `{x | x > 1}` lost its backslashes: braces around a whole text with a bar.
fn restore_builder(tokens: &mut [Token]) {
    let bars = tokens.iter().filter(|token| token.kind == Kind::Mark('|')).count();
    let braces = tokens.iter().filter(|token| matches!(token.kind, Kind::Mark('{' | '}'))).count();
    if let [first, .., last] = tokens
        && (bars, braces) == (1, 2)
        && (&first.kind, &last.kind) == (&Kind::Mark('{'), &Kind::Mark('}'))
    {
        first.kind = Kind::Mark(lex::OPEN_BRACE);
        last.kind = Kind::Mark(lex::CLOSE_BRACE);
    }
}

/// `... (k \in \mathbb{Z})` at the end becomes `..., k \in \mathbb{Z}`.
fn open_condition(tokens: &mut Vec<Token>) {
    if tokens.last().map(|token| &token.kind) != Some(&Kind::Mark(')')) {
        return;
    }
    let mut depth = 0_usize;
    let mut open = None;
    for (index, token) in tokens.iter().enumerate().rev() {
        match token.kind {
            Kind::Mark(')') => depth += 1,
            Kind::Mark('(') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            open = Some(index);
            break;
        }
    }
    let Some(open) = open.filter(|open| *open > 0) else {
        return;
    };
    let relation = tokens[open..].iter().any(|token| is_relation(&token.kind));
    let before = &tokens[open - 1].kind;
    let function = matches!(before, Kind::Letters(letter) if letter == "P" || letter == "E");
    let operand = matches!(
        before,
        Kind::Digits(_)
            | Kind::Letters(_)
            | Kind::Command(_)
            | Kind::Gap
            | Kind::Mark('}' | ')' | ']' | ',' | '%')
    );
    if relation && operand && !function {
        tokens.pop();
        tokens[open].kind = Kind::Mark(',');
    }
}

/// `l: y = 2x + 1` and `\text{Area} = 12` name what follows.
fn drop_name(tokens: &mut Vec<Token>) {
    let line = matches!(
        tokens.as_slice(),
        [Token { kind: Kind::Letters(_), .. }, Token { kind: Kind::Mark(':'), .. }, rest @ ..]
            if rest.iter().any(|token| token.kind == Kind::Mark('='))
    );
    if line {
        tokens.drain(..2);
        return;
    }
    let words = tokens
        .iter()
        .take_while(|token| matches!(&token.kind, Kind::Word(word) if !words::is_hedge(word)))
        .count();
    let named = tokens.get(words).is_some_and(|token| token.kind == Kind::Mark('='));
    if (1..=4).contains(&words) && named && tokens.len() > words + 1 {
        tokens.drain(..=words);
    }
}

/// Reads all tokens as one value.
pub(crate) fn parse(tokens: &[Token], reading: Reading, bench: &mut Workbench) -> Parsed<Value> {
    bench.fuel.spend(tokens.len() as u64)?;
    let mut parser = Parser {
        tokens,
        position: 0,
        depth: 0,
        brackets: 0,
        bars: 0,
        bar_divides: false,
        reading,
        bench,
    };
    let value = parser.statement()?;
    if parser.position < tokens.len() {
        let words =
            tokens[parser.position..].iter().any(|token| matches!(token.kind, Kind::Word(_)));
        return Err(if words { Failure::Words } else { Failure::Unreadable });
    }
    Ok(value)
}

impl Parser<'_> {
    fn pool(&mut self) -> &mut Pool {
        &mut self.bench.pool
    }

    fn peek(&self) -> Option<&Kind> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Option<&Kind> {
        self.tokens.get(self.position + ahead).map(|token| &token.kind)
    }

    fn is_spaced_at(&self, ahead: usize) -> bool {
        self.tokens.get(self.position + ahead).is_some_and(|token| token.spaced)
    }

    fn advance(&mut self) {
        self.position += 1;
    }

    fn at_mark(&self, mark: char) -> bool {
        self.peek() == Some(&Kind::Mark(mark))
    }

    fn mark_at(&self, ahead: usize, mark: char) -> bool {
        self.peek_at(ahead) == Some(&Kind::Mark(mark))
    }

    fn at_command(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Kind::Command(command)) if command == name)
    }

    fn word(&self) -> Option<&str> {
        match self.peek() {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn eat_mark(&mut self, mark: char) -> bool {
        let found = self.at_mark(mark);
        if found {
            self.advance();
        }
        found
    }

    fn expect_mark(&mut self, mark: char) -> Parsed<()> {
        if self.eat_mark(mark) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn eat_command(&mut self, name: &str) -> bool {
        let found = self.at_command(name);
        if found {
            self.advance();
        }
        found
    }

    /// The failure that fits the token at hand.
    fn unexpected(&self) -> Failure {
        match self.peek() {
            Some(Kind::Word(_)) => Failure::Words,
            _ => Failure::Unreadable,
        }
    }

    /// Runs a part of the grammar one level deeper.
    fn deeper<T>(&mut self, part: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= limits::DEPTH_MAX {
            return Err(Failure::Exhausted);
        }
        self.depth += 1;
        let result = part(self);
        self.depth -= 1;
        result
    }

    /// Runs a part of the grammar and goes back when it fails without exhaustion.
    fn attempt<T>(&mut self, part: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<Option<T>> {
        let state = (self.position, self.brackets, self.bars, self.bar_divides);
        match part(self) {
            Ok(value) => Ok(Some(value)),
            Err(Failure::Exhausted) => Err(Failure::Exhausted),
            Err(Failure::Unreadable | Failure::Words | Failure::Unsupported) => {
                (self.position, self.brackets, self.bars, self.bar_divides) = state;
                self.bench.fuel.spend(4)?;
                Ok(None)
            }
        }
    }

    /// A value as a plain expression.
    fn as_expression(&mut self, value: Value) -> Parsed<Id> {
        match value {
            Value::Scalar(scalar) => Ok(algebra::plain(self.bench, &scalar)?),
            Value::Group { mut items, open: '(' | '[', .. } if items.len() == 1 => {
                let item = items.pop().ok_or(Failure::Unreadable)?;
                match item {
                    Value::Scalar(scalar) => Ok(algebra::plain(self.bench, &scalar)?),
                    _ => Err(Failure::Unsupported),
                }
            }
            Value::Words(_) => Err(Failure::Words),
            Value::Group { .. }
            | Value::Set(_)
            | Value::List { .. }
            | Value::Chain { .. }
            | Value::Named(_)
            | Value::SetOperation { .. }
            | Value::Builder { .. }
            | Value::Matrix { .. }
            | Value::Based { .. }
            | Value::Ratio(_)
            | Value::Time(_)
            | Value::Date(_) => Err(Failure::Unsupported),
        }
    }
}
