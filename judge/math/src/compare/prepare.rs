//! What is settled before two values are compared: plus-minus is written out,
//! conditions are set aside, families and shared left sides are recognised, and the
//! names that an answer may give to its value are told from equations.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rule names the kinds that it settles; the rest goes on"
)]

use std::collections::BTreeSet;

use super::{Comparison, SharedNames};
use crate::expression::{Function, Id, Name, Node};
use crate::fuel::Exhausted;
use crate::value::{Joint, NamedSet, Relation, Scalar, Value};

impl Comparison<'_> {
    /// The answer with its only declared parameter named as that of the reference.
    pub(super) fn same_parameter(
        &mut self,
        ours: &BTreeSet<Name>,
        answer: Value,
    ) -> Result<Value, Exhausted> {
        let mut left = ours.iter();
        let mut right = self.whole.iter();
        let (Some(to), None, Some(from), None) =
            (left.next(), left.next(), right.next(), right.next())
        else {
            return Ok(answer);
        };
        let (from, to) = (Node::Variable(*from), Node::Variable(*to));
        let pair = (self.bench.pool.insert(from)?, self.bench.pool.insert(to)?);
        self.replaced(answer, pair)
    }

    /// Plus-minus written out, conditions set aside, shared left sides dropped.
    pub(super) fn prepared(&mut self, value: Value) -> Result<Value, Exhausted> {
        let value = self.without_conditions(value);
        let value = self.family_of_builder(value);
        let (joint, items) = match value {
            Value::List { joint, items } => (joint, items),
            other => (Joint::Or, vec![other]),
        };
        let mark = self.bench.pool.insert(Node::PlusMinus)?;
        let mut expanded = Vec::new();
        for item in items {
            if self.has_plus_minus(&item) {
                for sign in [1, -1] {
                    let sign = self.bench.pool.integer(sign)?;
                    expanded.push(self.replaced(item.clone(), (mark, sign))?);
                }
            } else {
                expanded.push(item);
            }
        }
        let expanded = self.without_shared_variable(expanded);
        Ok(match <[Value; 1]>::try_from(expanded) {
            Ok([single]) => single,
            Err(items) => Value::List { joint, items },
        })
    }

    /// `n \in \mathbb{Z}` beside an answer declares a parameter.
    fn without_conditions(&mut self, value: Value) -> Value {
        let Value::List { joint, items } = value else {
            return value;
        };
        let mut kept = Vec::new();
        for item in items {
            match self.declared(&item) {
                Some(names) => self.whole.extend(names),
                None => kept.push(item),
            }
        }
        match <[Value; 1]>::try_from(kept) {
            Ok([single]) => single,
            Err(items) => Value::List { joint, items },
        }
    }

    fn declared(&self, item: &Value) -> Option<Vec<Name>> {
        let Value::Chain { first, rest } = item else {
            return None;
        };
        let [(Relation::In, Value::Named(NamedSet::Integers | NamedSet::Naturals))] = rest[..]
        else {
            return None;
        };
        match &**first {
            Value::Scalar(scalar) => self.bench.pool.as_variable(scalar.id).map(|name| vec![name]),
            _ => None,
        }
    }

    fn has_plus_minus(&self, value: &Value) -> bool {
        let in_id = |id: Id| self.bench.pool.traits(&[id]).has_plus_minus;
        match value {
            Value::Scalar(scalar) => in_id(scalar.id),
            Value::Group { items, .. } => items.iter().any(|item| self.has_plus_minus(item)),
            Value::Chain { first, rest } => {
                self.has_plus_minus(first) || rest.iter().any(|(_, side)| self.has_plus_minus(side))
            }
            Value::Matrix { entries, .. } => entries.iter().any(|id| in_id(*id)),
            _ => false,
        }
    }

    /// The value with one node replaced by another throughout.
    fn replaced(&mut self, value: Value, pair: (Id, Id)) -> Result<Value, Exhausted> {
        let each = |comparison: &mut Self, items: Vec<Value>| -> Result<Vec<Value>, Exhausted> {
            items.into_iter().map(|item| comparison.replaced(item, pair)).collect()
        };
        Ok(match value {
            Value::Scalar(scalar) => {
                let id = self.bench.pool.substitute(scalar.id, &[pair])?;
                Value::Scalar(Scalar { id, ..scalar })
            }
            Value::Group { open, close, items } => {
                Value::Group { open, close, items: each(self, items)? }
            }
            Value::Set(items) => Value::Set(each(self, items)?),
            Value::List { joint, items } => Value::List { joint, items: each(self, items)? },
            Value::Chain { first, rest } => {
                let first = Box::new(self.replaced(*first, pair)?);
                let rest = rest
                    .into_iter()
                    .map(|(relation, side)| Ok((relation, self.replaced(side, pair)?)))
                    .collect::<Result<_, Exhausted>>()?;
                Value::Chain { first, rest }
            }
            Value::SetOperation { operation, left, right } => {
                let left = Box::new(self.replaced(*left, pair)?);
                let right = Box::new(self.replaced(*right, pair)?);
                Value::SetOperation { operation, left, right }
            }
            Value::Matrix { columns, entries } => {
                let entries = entries
                    .into_iter()
                    .map(|id| self.bench.pool.substitute(id, &[pair]))
                    .collect::<Result<_, _>>()?;
                Value::Matrix { columns, entries }
            }
            other => other,
        })
    }

    /// `{x | x = 2k, k in Z}` and `{2k | k in Z}` are the family `2k`.
    fn family_of_builder(&mut self, value: Value) -> Value {
        let Value::Builder { pattern, condition } = &value else {
            return value;
        };
        let clauses = match &**condition {
            Value::List { items, .. } => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        let mut declared = Vec::new();
        let mut rest = Vec::new();
        for clause in clauses {
            match self.declared(clause) {
                Some(names) => declared.extend(names),
                None => rest.push(clause),
            }
        }
        let Value::Scalar(scalar) = &**pattern else {
            return value;
        };
        let expression = match rest[..] {
            [] => Some((**pattern).clone()),
            [clause] => self
                .assignment(clause)
                .filter(|(name, _)| *name == scalar.id)
                .map(|(_, value)| value.clone()),
            _ => None,
        };
        match expression {
            Some(expression) if !declared.is_empty() => {
                self.whole.extend(declared);
                expression
            }
            _ => value,
        }
    }

    /// `x=1, 2` and `x=1 or x=2` are the list of values of x.
    fn without_shared_variable(&self, items: Vec<Value>) -> Vec<Value> {
        if items.len() < 2 || self.names == SharedNames::Kept {
            return items;
        }
        let mut shared: Option<Id> = None;
        for (index, item) in items.iter().enumerate() {
            match (self.assignment(item), item) {
                (Some((left, _)), _) => {
                    if *shared.get_or_insert(left) != left {
                        return items;
                    }
                }
                (None, Value::Chain { .. }) => return items,
                (None, _) if index == 0 => return items,
                (None, _) => {}
            }
        }
        items
            .into_iter()
            .map(|item| match self.assignment(&item) {
                Some((_, right)) => right.clone(),
                None => item,
            })
            .collect()
    }

    /// `name = ... = value`, as the node of the name and the last side.
    pub(crate) fn assignment<'v>(&self, value: &'v Value) -> Option<(Id, &'v Value)> {
        let Value::Chain { first, rest } = value else {
            return None;
        };
        let Value::Scalar(left) = &**first else {
            return None;
        };
        if let ([(Relation::In, set)], true) = (&rest[..], self.is_name(left.id)) {
            return Some((left.id, set));
        }
        let plain =
            rest.iter().all(|(relation, _)| matches!(relation, Relation::Equal | Relation::Other));
        if !plain || !self.is_name(left.id) {
            return None;
        }
        let (_, last) = rest.last()?;
        let exact_side = rest
            .iter()
            .take_while(|(relation, _)| *relation == Relation::Equal)
            .last()
            .map_or(last, |(_, side)| side);
        if let Value::Scalar(right) = exact_side {
            let repeats = self.bench.pool.reachable(&[right.id]).contains(&left.id);
            if repeats {
                return None;
            }
        }
        Some((left.id, exact_side))
    }

    /// What an answer may name before its value: a variable, an unknown function, a
    /// segment `AB` or probability `P(A)`, `|z|`, `\cos\theta`, `dy/dx`.
    fn is_name(&self, id: Id) -> bool {
        let pool = &self.bench.pool;
        let variable = |id: Id| pool.as_variable(id).is_some();
        match *pool.node(id) {
            Node::Variable(_) | Node::Call(..) => true,
            Node::Product(..) => self.is_capital_product(id),
            Node::Apply(Function::Abs | Function::Sin | Function::Cos, inner) => variable(inner),
            Node::Quotient(top, bottom) => match (pool.node(top), pool.node(bottom)) {
                (Node::Apply(Function::Sin, a), Node::Apply(Function::Cos, b)) => {
                    a == b && variable(*a)
                }
                (Node::Product(a, b), Node::Product(c, d)) => {
                    let shared = a == c || a == d || b == c || b == d;
                    let differential = [a, b, c, d]
                        .iter()
                        .filter(|id| {
                            pool.as_variable(***id).is_some_and(|name| pool.name(name) == "d")
                        })
                        .count();
                    shared && differential == 2
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Two to four capital letters in a row.
    fn is_capital_product(&self, id: Id) -> bool {
        let mut rest = vec![id];
        let mut letters = 0;
        while let Some(next) = rest.pop() {
            match self.bench.pool.node(next) {
                Node::Product(left, right) => rest.extend([*left, *right]),
                Node::Variable(name)
                    if self
                        .bench
                        .pool
                        .name(*name)
                        .starts_with(|first: char| first.is_uppercase()) =>
                {
                    letters += 1;
                }
                _ => return false,
            }
        }
        letters <= 4
    }
}
