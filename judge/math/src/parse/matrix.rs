//! Environments: matrices, column vectors, determinants. Cases are read as
//! notation and never decided by parts.

use super::{Failure, Parsed, Parser};
use crate::expression::Id;
use crate::lex::Kind;
use crate::limits;
use crate::value::{BRANCH, Joint, Value};

/// Largest matrix whose determinant is expanded.
const DETERMINANT_MAX: usize = 5;

impl Parser<'_> {
    pub(super) fn environment(&mut self, name: &str) -> Parsed<Value> {
        self.advance();
        match name {
            "pmatrix" | "bmatrix" | "matrix" | "smallmatrix" | "array" | "Bmatrix" => {
                let (columns, entries) = self.rows()?;
                Ok(Value::Matrix { columns, entries })
            }
            "vmatrix" => {
                let (columns, entries) = self.rows()?;
                self.determinant(columns, entries)
            }
            "aligned" | "align" | "gathered" | "equation" | "split" | "cases" => self.system(name),
            _ => Err(Failure::Unsupported),
        }
    }

    fn rows(&mut self) -> Parsed<(usize, Vec<Id>)> {
        let mut entries = Vec::new();
        let mut columns = None;
        let mut in_row = 0;
        loop {
            while self.at_command("hline") {
                self.advance();
            }
            if matches!(self.peek(), Some(Kind::End(_))) && in_row == 0 {
                break;
            }
            let value = self.inside(Self::sum)?;
            entries.push(self.as_expression(value)?);
            in_row += 1;
            if entries.len() > limits::ENTRIES_MAX {
                return Err(Failure::Exhausted);
            }
            if self.eat_mark('&') {
                continue;
            }
            let row_ends = self.peek() == Some(&Kind::Row);
            if !row_ends && !matches!(self.peek(), Some(Kind::End(_))) {
                return Err(self.unexpected());
            }
            if *columns.get_or_insert(in_row) != in_row {
                return Err(Failure::Unreadable);
            }
            in_row = 0;
            if row_ends {
                self.advance();
            }
        }
        self.advance();
        match columns {
            Some(columns) => Ok((columns, entries)),
            None => Err(Failure::Unreadable),
        }
    }

    /// Lines of relations are a conjunction; lines with conditions are piecewise and
    /// have no value here.
    pub(super) fn system(&mut self, name: &str) -> Parsed<Value> {
        let mut items = Vec::new();
        loop {
            self.eat_mark('&');
            if let Some(Kind::End(_)) = self.peek() {
                self.advance();
                break;
            }
            let item = self.inside(Self::aligned_relation)?;
            if name == "cases" && !matches!(item, Value::Chain { .. }) {
                if !items.iter().all(|item| matches!(item, Value::Group { open: BRANCH, .. })) {
                    return Err(Failure::Unsupported);
                }
                items.push(self.branch(item)?);
                continue;
            }
            items.push(item);
            self.eat_mark(',');
            self.eat_mark(';');
            if self.at_mark('&') || items.len() > limits::ENTRIES_MAX {
                return Err(Failure::Unsupported);
            }
            if self.peek() == Some(&Kind::Row) {
                self.advance();
            }
        }
        if items.iter().any(|item| matches!(item, Value::Group { open: BRANCH, .. })) {
            let all = items.iter().all(|item| matches!(item, Value::Group { open: BRANCH, .. }));
            return if all { Ok(Value::Set(items)) } else { Err(Failure::Unsupported) };
        }
        if items.len() == 1 {
            return items.pop().ok_or(Failure::Unreadable);
        }
        Ok(Value::List { joint: Joint::And, items })
    }

    /// A value of a function by cases with its condition, up to the end of the row.
    fn branch(&mut self, value: Value) -> Parsed<Value> {
        while matches!(self.peek(), Some(Kind::Mark(',' | '&' | ';') | Kind::Gap))
            || matches!(self.word(), Some("if" | "for" | "when" | "where"))
        {
            self.advance();
        }
        let rest = matches!(self.word(), Some("otherwise" | "else" | "elsewhere"));
        let condition = if rest {
            self.advance();
            Value::Words("otherwise".to_owned())
        } else {
            self.inside(Self::aligned_relation)?
        };
        while matches!(self.peek(), Some(Kind::Mark(',' | ';' | '.') | Kind::Gap)) {
            self.advance();
        }
        match self.peek() {
            Some(Kind::Row) => self.advance(),
            Some(Kind::End(_)) => {}
            _ => return Err(Failure::Unsupported),
        }
        let conditional = rest || matches!(condition, Value::Chain { .. });
        if !conditional {
            return Err(Failure::Unsupported);
        }
        Ok(Value::Group { open: BRANCH, close: '⟧', items: vec![value, condition] })
    }

    fn aligned_relation(&mut self) -> Parsed<Value> {
        self.relation()
    }

    /// Laplace expansion along rows, by subsets of columns.
    pub(super) fn determinant(&mut self, columns: usize, entries: Vec<Id>) -> Parsed<Value> {
        if entries.len() != columns * columns || columns > DETERMINANT_MAX || columns == 0 {
            return Err(Failure::Unsupported);
        }
        let zero = self.pool().integer(0)?;
        let mut minors = vec![zero; 1 << columns];
        minors[0] = self.pool().integer(1)?;
        for subset in 1_usize..1 << columns {
            let row = subset.count_ones() as usize - 1;
            let mut total = zero;
            let mut later = 0;
            for column in (0..columns).rev() {
                if subset & (1 << column) == 0 {
                    continue;
                }
                let minor = minors[subset & !(1 << column)];
                let product = self.pool().product(entries[row * columns + column], minor)?;
                total = if later % 2 == 0 {
                    self.pool().sum(total, product)?
                } else {
                    self.pool().difference(total, product)?
                };
                later += 1;
            }
            minors[subset] = total;
        }
        let last = minors.pop().unwrap_or(zero);
        Ok(Value::scalar(last))
    }
}
