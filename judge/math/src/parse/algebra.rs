//! Arithmetic on values: expressions with their marks, vectors and matrices.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser names the tokens that it takes; all others fail alike"
)]

use dashu_ratio::RBig;

use super::{Failure, Parsed};
use crate::expression::{Id, Node};
use crate::fuel::Exhausted;
use crate::identity::Workbench;
use crate::number::exact;
use crate::value::{Mark, Scalar, Shape, Value};

/// Operations between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// The number an expression stands for: percents and degrees become plain.
pub(crate) fn plain(bench: &mut Workbench, scalar: &Scalar) -> Result<Id, Exhausted> {
    let pool = &mut bench.pool;
    match scalar.mark {
        Mark::Percent => {
            let hundredth = pool.rational(exact::fraction(1, 100))?;
            pool.product(scalar.id, hundredth)
        }
        Mark::Degrees => {
            let pi = pool.insert(Node::Pi)?;
            let ratio = pool.rational(exact::fraction(1, 180))?;
            let radian = pool.product(pi, ratio)?;
            pool.product(scalar.id, radian)
        }
        Mark::None | Mark::Unit(_) | Mark::Currency(_) | Mark::Label(_) => Ok(scalar.id),
    }
}

pub(super) fn combine(
    bench: &mut Workbench,
    operation: Operation,
    left: Value,
    right: Value,
) -> Parsed<Value> {
    bench.fuel.spend(2)?;
    match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => {
            scalars(bench, operation, &a, &b).map(Value::Scalar)
        }
        (Value::Words(_), _) | (_, Value::Words(_)) => Err(Failure::Words),
        (left, right) => vectors(bench, operation, left, right),
    }
}

fn scalars(bench: &mut Workbench, operation: Operation, a: &Scalar, b: &Scalar) -> Parsed<Scalar> {
    let additive = matches!(operation, Operation::Add | Operation::Subtract);
    let keeps = if additive {
        a.mark == b.mark
    } else {
        b.mark == Mark::None && operation != Operation::Power
            || (a.mark == Mark::None && operation == Operation::Multiply)
    };
    let measured = |mark: &Mark| matches!(mark, Mark::Unit(_) | Mark::Currency(_));
    // `7/8 inch`: what stands behind a fraction belongs to the whole of it.
    let behind = operation == Operation::Divide && a.mark == Mark::None && measured(&b.mark);
    let keeps = keeps || behind;
    // A unit that would be lost, as of `3 cm + 2 m`, is nothing to be quiet about.
    let ratio = operation == Operation::Divide && a.mark == b.mark;
    if !keeps && !ratio && (measured(&a.mark) || measured(&b.mark)) {
        return Err(Failure::Unsupported);
    }
    let percent = a.mark == Mark::Percent || b.mark == Mark::Percent;
    let mark = match (keeps && (additive || !percent), &a.mark) {
        (false, _) => Mark::None,
        (true, Mark::None) => b.mark.clone(),
        (true, mark) => mark.clone(),
    };
    let (left, right) =
        if mark == Mark::None { (plain(bench, a)?, plain(bench, b)?) } else { (a.id, b.id) };
    let pool = &mut bench.pool;
    let id = match operation {
        Operation::Add => pool.sum(left, right)?,
        Operation::Subtract => pool.difference(left, right)?,
        Operation::Multiply => pool.product(left, right)?,
        Operation::Divide => pool.quotient(left, right)?,
        Operation::Power => pool.power(left, right)?,
    };
    let reducible = operation == Operation::Divide && is_reducible(bench, left, right);
    Ok(Scalar { id, shape: Shape::Exact, mark, reducible })
}

fn is_reducible(bench: &Workbench, top: Id, bottom: Id) -> bool {
    let denominators = bench.pool.as_rational(top).zip(bench.pool.as_rational(bottom));
    denominators.is_some_and(|(top, bottom)| {
        let quotient = exact::div(top, bottom);
        let whole = top.denominator().is_one() && bottom.denominator().is_one();
        whole
            && quotient.is_some_and(|value| {
                RBig::from(bottom.numerator().clone())
                    != RBig::from(dashu_int::IBig::from(value.denominator().clone()))
            })
    })
}

/// Entries of a vector-like value.
fn entries(value: &Value) -> Option<(usize, Vec<Id>)> {
    match value {
        Value::Matrix { columns, entries } => Some((*columns, entries.clone())),
        Value::Group { open: '(' | '⟨', close: ')' | '⟩', items } if items.len() > 1 => {
            let ids: Option<Vec<Id>> = items
                .iter()
                .map(|item| match item {
                    Value::Scalar(scalar) if scalar.mark == Mark::None => Some(scalar.id),
                    _ => None,
                })
                .collect();
            Some((1, ids?))
        }
        _ => None,
    }
}

fn vectors(
    bench: &mut Workbench,
    operation: Operation,
    left: Value,
    right: Value,
) -> Parsed<Value> {
    let pool = &mut bench.pool;
    let mut result = Vec::new();
    let columns;
    match (operation, left, right) {
        (Operation::Add | Operation::Subtract, left, right) => {
            let (wide, a) = entries(&left).ok_or(Failure::Unsupported)?;
            let (other, b) = entries(&right).ok_or(Failure::Unsupported)?;
            if wide != other || a.len() != b.len() {
                return Err(Failure::Unsupported);
            }
            columns = wide;
            for (x, y) in a.into_iter().zip(b) {
                result.push(match operation {
                    Operation::Add => pool.sum(x, y)?,
                    _ => pool.difference(x, y)?,
                });
            }
        }
        (Operation::Multiply, Value::Scalar(factor), vector)
        | (Operation::Multiply, vector, Value::Scalar(factor)) => {
            let (wide, items) = entries(&vector).ok_or(Failure::Unsupported)?;
            columns = wide;
            for item in items {
                result.push(pool.product(factor.id, item)?);
            }
        }
        (Operation::Divide, vector, Value::Scalar(divisor)) => {
            let (wide, items) = entries(&vector).ok_or(Failure::Unsupported)?;
            columns = wide;
            for item in items {
                result.push(pool.quotient(item, divisor.id)?);
            }
        }
        _ => return Err(Failure::Unsupported),
    }
    Ok(Value::Matrix { columns, entries: result })
}

/// The value with its sign turned.
pub(super) fn negate(bench: &mut Workbench, value: Value) -> Parsed<Value> {
    match value {
        Value::Scalar(scalar) => {
            let id = bench.pool.negate(scalar.id)?;
            Ok(Value::Scalar(Scalar { id, ..scalar }))
        }
        other => {
            let minus = Value::scalar(bench.pool.integer(-1)?);
            combine(bench, Operation::Multiply, minus, other)
        }
    }
}
