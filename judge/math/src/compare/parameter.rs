//! Names that an answer was free to choose: constants of integration, parameters of
//! families, constants of functional equations. Where both answers have as many of them,
//! every pairing is tried.

use super::Comparison;
use crate::expression::{Id, Name, Node};
use crate::fuel::Exhausted;
use crate::parse::INTEGER_PARAMETER;
use crate::reason::{Finding, Reason};
use crate::value::{Relation, Value};

/// Most names that are paired in every way.
const NAMES_MAX: usize = 3;

/// What the head of an answer says about its free names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// None, or a variable: `x^3 + C`, `y = C e^x`.
    Plain,
    /// A function: `f(x) = cx`.
    Function,
}

impl Comparison<'_> {
    /// Equal under a renaming of free names, or nothing.
    pub(super) fn renamed_parameters(
        &mut self,
        reference: &Value,
        answer: &Value,
    ) -> Result<Option<Finding>, Exhausted> {
        let (Some((head, left)), Some((other_head, right))) =
            (self.headed(reference), self.headed(answer))
        else {
            return Ok(None);
        };
        let head = if head == other_head { head } else { Head::Plain };
        let assigned =
            matches!(reference, Value::Chain { .. }) && matches!(answer, Value::Chain { .. });
        let all = |comparison: &Self, id: Id| comparison.bench.pool.traits(&[id]).variables;
        let (ours, theirs) = (all(self, left), all(self, right));
        let shared = |name: &Name| ours.contains(name) && theirs.contains(name);
        let lone = |names: &[Name]| names.iter().copied().filter(|name| !shared(name)).collect();
        let (ours, theirs): (Vec<Name>, Vec<Name>) = (lone(&ours), lone(&theirs));
        if ours.is_empty() || ours.len() != theirs.len() || ours.len() > NAMES_MAX {
            return Ok(None);
        }
        if !self.free_to_choose(head, assigned, &ours, &theirs) {
            return Ok(None);
        }
        for order in permutations(theirs.len()) {
            let mut pairs = Vec::new();
            for (to, from) in ours.iter().zip(order.iter().map(|at| theirs[*at])) {
                let from = self.bench.pool.insert(Node::Variable(from))?;
                let to = self.bench.pool.insert(Node::Variable(*to))?;
                pairs.push((from, to));
            }
            let renamed = self.bench.pool.substitute(right, &pairs)?;
            if self.bench.same(left, renamed)?.is_equal() {
                return Ok(Some(Finding::equal(Reason::Family)));
            }
        }
        Ok(None)
    }

    /// The expression of an answer, and what stands before it.
    fn headed(&self, value: &Value) -> Option<(Head, Id)> {
        match value {
            Value::Scalar(scalar) => Some((Head::Plain, scalar.id)),
            Value::Chain { rest, .. } if matches!(rest[..], [(Relation::Equal, _)]) => {
                let (name, side) = self.assignment(value)?;
                let Value::Scalar(scalar) = side else {
                    return None;
                };
                let head = match self.bench.pool.node(name) {
                    Node::Call(..) => Head::Function,
                    _ => Head::Plain,
                };
                Some((head, scalar.id))
            }
            _ => None,
        }
    }

    /// Constants of integration everywhere; `c` and `k` of functions; `k` of `n = 4k + 1`.
    fn free_to_choose(&self, head: Head, assigned: bool, ours: &[Name], theirs: &[Name]) -> bool {
        let stem = |name: &Name| {
            let name = self.bench.pool.name(*name);
            name.split('_').next().unwrap_or(name).to_owned()
        };
        let numbered = |name: &Name| self.bench.pool.name(*name).contains('_');
        let constant = |name: &Name| matches!(stem(name).as_str(), "C" | "c" | "A" | "B" | "K");
        let integration = |names: &[Name]| {
            names.iter().all(constant)
                && names.iter().all(|name| stem(name) == "C" || numbered(name) || stem(name) == "c")
        };
        if (integration(ours) || integration(theirs))
            && ours.iter().chain(theirs).all(constant)
            && ours.iter().chain(theirs).any(|name| stem(name) == "C" || numbered(name))
        {
            return true;
        }
        let ([ours], [theirs]) = (ours, theirs) else {
            return false;
        };
        let (a, b) = (stem(ours), stem(theirs));
        let either = |names: &[&str]| names.contains(&a.as_str()) || names.contains(&b.as_str());
        let both = |names: &[&str]| names.contains(&a.as_str()) && names.contains(&b.as_str());
        match head {
            Head::Function => {
                both(&["a", "b", "c", "k", "m", "C", "K", "A", "lambda", "\\lambda"])
                    && either(&["c", "k", "C", "K"])
            }
            // `n \equiv 1 \pmod 3` is `n = 3k + 1`.
            Head::Plain if either(&[INTEGER_PARAMETER]) => {
                both(&[INTEGER_PARAMETER, "k", "m", "n", "l", "j", "t"])
            }
            Head::Plain => assigned && both(&["k", "m", "n", "l", "j", "t"]) && either(&["k"]),
        }
    }
}

/// Every order of so many things; at most [`NAMES_MAX`].
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    for next in 0..count.min(NAMES_MAX) {
        orders = orders
            .into_iter()
            .flat_map(|order| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    orders
}
