//! Tuples, lists, sets, matrices, and what they are compared with.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rule names the kinds that it settles; the rest goes on"
)]

use super::{Comparison, Outcome};
use crate::expression::Id;
use crate::fuel::Exhausted;
use crate::policy::ListOrder;
use crate::reason::{Finding, Reason, Verdict};
use crate::value::{BRANCH, Joint, Mark, Relation, SetOperation, Value};

impl Comparison<'_> {
    /// Every pair of kinds that is not settled by a simpler rule.
    pub(super) fn structures(&mut self, reference: &Value, answer: &Value) -> Outcome {
        if let Some(finding) = self.sequences(reference, answer)? {
            return Ok(finding);
        }
        if let Some(finding) = self.regions_of(reference, answer)? {
            return Ok(finding);
        }
        match (reference, answer) {
            (Value::Set(a), Value::Set(b)) => {
                let finding = self.members(a, b)?;
                // The same function may be cut at other places.
                let cut = a.iter().chain(b).any(is_branch) && !finding.is_equal();
                Ok(if cut { Finding::undecided(Reason::Members) } else { finding })
            }
            (
                Value::Group { open: BRANCH, items: a, .. },
                Value::Group { open: BRANCH, items: b, .. },
            ) => self.entries(a, b, Reason::Entries),
            (Value::Set(items), Value::List { items: others, .. }) => self.members(items, others),
            (Value::List { items, .. }, Value::Set(others)) => self.members(items, others),
            (Value::Set(items), other) if items.len() == 1 => self.values(&items[0], other),
            (other, Value::Set(items)) if items.len() == 1 => self.values(other, &items[0]),
            (Value::List { items: a, .. }, Value::List { items: b, .. }) => self.lists(a, b),
            (Value::Chain { .. }, Value::Chain { .. }) => self.chains(reference, answer),
            (Value::Named(a), Value::Named(b)) => {
                Ok(Finding::when(crate::reason::Holds::from_bool(a == b), Reason::Region))
            }
            // `(2, 3], (5, 7)` beside a union is the union of the intervals.
            (Value::SetOperation { .. }, Value::List { items, .. })
            | (Value::List { items, .. }, Value::SetOperation { .. })
                if items.len() > 1
                    && items.iter().all(|item| matches!(item, Value::Group { .. })) =>
            {
                let joined = items.iter().cloned().reduce(|left, right| Value::SetOperation {
                    operation: SetOperation::Union,
                    left: Box::new(left),
                    right: Box::new(right),
                });
                match (joined, matches!(reference, Value::List { .. })) {
                    (Some(joined), true) => self.values(&joined, answer),
                    (Some(joined), false) => self.values(reference, &joined),
                    (None, _) => Ok(Finding::undecided(Reason::Kind)),
                }
            }
            (Value::Scalar(_), Value::List { joint, items }) => {
                self.hedged(reference, *joint, items)
            }
            (Value::Chain { first, rest }, Value::Scalar(_)) => {
                self.side_against(first, rest, answer)
            }
            (Value::Scalar(_), Value::Chain { first, rest }) => {
                self.side_against(first, rest, reference)
            }
            (Value::List { items, .. }, Value::Scalar(_)) => {
                let one = items.iter().all(|item| matches!(item, Value::Scalar(_)));
                Ok(if one {
                    Finding::different(Reason::Multiset)
                } else {
                    Finding::undecided(Reason::Kind)
                })
            }
            (Value::SetOperation { .. }, Value::SetOperation { .. }) => {
                self.set_operations(reference, answer)
            }
            _ => Ok(self.unlike(reference, answer)),
        }
    }

    /// The same operation on the same operands, where neither is a region.
    fn set_operations(&mut self, reference: &Value, answer: &Value) -> Outcome {
        let (
            Value::SetOperation { operation: a, left: b, right: c },
            Value::SetOperation { operation: d, left: e, right: f },
        ) = (reference, answer)
        else {
            return Ok(Finding::undecided(Reason::Members));
        };
        let same = a == d && self.values(b, e)?.is_equal() && self.values(c, f)?.is_equal();
        Ok(if same { Finding::equal(Reason::Members) } else { Finding::undecided(Reason::Members) })
    }

    /// Kinds that never mean the same, and kinds that might.
    fn unlike(&self, reference: &Value, answer: &Value) -> Finding {
        if let (Value::Scalar(scalar), _) | (_, Value::Scalar(scalar)) = (reference, answer) {
            return if self.bench.pool.is_constant(scalar.id) {
                Finding::different(Reason::Kind)
            } else {
                Finding::undecided(Reason::Kind)
            };
        }
        let plain = |value: &Value| match value {
            Value::Group { items, .. } | Value::Set(items) | Value::List { items, .. } => {
                items.iter().all(|item| matches!(item, Value::Scalar(_)))
            }
            Value::Matrix { .. } | Value::Named(_) => true,
            _ => false,
        };
        if plain(reference) && plain(answer) {
            Finding::different(Reason::Kind)
        } else {
            Finding::undecided(Reason::Kind)
        }
    }

    /// A single value against several: a hedge, unless the items say otherwise.
    fn hedged(&mut self, reference: &Value, joint: Joint, items: &[Value]) -> Outcome {
        let plain = items.iter().all(|item| {
            matches!(item, Value::Scalar(_) | Value::Words(_) | Value::Group { .. })
                || self.assignment(item).is_some()
        });
        if !plain {
            return Ok(Finding::undecided(Reason::Kind));
        }
        let mut equal = 0;
        for item in items {
            equal += usize::from(self.values(reference, item)?.is_equal());
        }
        // `0.6 or 3/5` is one value, written twice.
        if joint == Joint::Or && equal == items.len() {
            return Ok(Finding::equal(Reason::Multiset));
        }
        if equal > 0 {
            return Ok(Finding::different(Reason::Hedged));
        }
        Ok(Finding::different(Reason::Multiset))
    }

    /// `2x + 1 = 7` against a value: only an approximation or a chain of constants can
    /// still mean the value.
    fn side_against(
        &mut self,
        first: &Value,
        rest: &[(Relation, Value)],
        value: &Value,
    ) -> Outcome {
        let joined =
            rest.iter().all(|(relation, _)| matches!(relation, Relation::Equal | Relation::Other));
        let Some((_, last)) = rest.last().filter(|_| joined) else {
            return Ok(Finding::different(Reason::Kind));
        };
        let mut left = first.clone();
        for (relation, right) in rest {
            if *relation == Relation::Equal && !self.values(&left, right)?.is_equal() {
                return Ok(Finding::different(Reason::Equation));
            }
            left = right.clone();
        }
        let finding = self.values(value, first)?;
        if finding.is_equal() {
            return Ok(finding);
        }
        self.values(value, last)
    }

    /// Ordered entries: tuples, vectors, columns, systems of assignments.
    fn sequences(
        &mut self,
        reference: &Value,
        answer: &Value,
    ) -> Result<Option<Finding>, Exhausted> {
        if let (
            Value::Matrix { columns: a, entries: left },
            Value::Matrix { columns: b, entries: right },
        ) = (reference, answer)
        {
            if a != b || left.len() != right.len() {
                return Ok(Some(Finding::different(Reason::Matrix)));
            }
            let (left, right) = (scalars(left), scalars(right));
            return self.entries(&left, &right, Reason::Matrix).map(Some);
        }
        let (left, right) = (self.sequence(reference), self.sequence(answer));
        let as_list = |value: &Value| match value {
            Value::List { items, .. } => Some(items.clone()),
            _ => None,
        };
        match (left, right) {
            (Some(left), Some(right)) => self.entries(&left, &right, Reason::Entries).map(Some),
            (Some(left), None) => match as_list(answer) {
                Some(items) => self.tuple_against_list(&left, &items),
                None => Ok(None),
            },
            (None, Some(right)) => match as_list(reference) {
                Some(items) => self.tuple_against_list(&right, &items),
                None => Ok(None),
            },
            (None, None) => Ok(None),
        }
    }

    fn tuple_against_list(
        &mut self,
        tuple: &[Value],
        items: &[Value],
    ) -> Result<Option<Finding>, Exhausted> {
        if let Some(values) = self.assigned_in_order(items) {
            return self.entries(tuple, &values, Reason::Entries).map(Some);
        }
        if self.policy.brackets_may_be_dropped.is_on()
            && items.iter().all(|item| matches!(item, Value::Scalar(_)))
        {
            return self.entries(tuple, items, Reason::Entries).map(Some);
        }
        Ok(None)
    }

    /// `x=1, y=2` as the values in the order of the names.
    fn assigned_in_order(&self, items: &[Value]) -> Option<Vec<Value>> {
        let mut named = Vec::new();
        for item in items {
            let (name, value) = self.assignment(item)?;
            let name = self.bench.pool.as_variable(name)?;
            named.push((self.bench.pool.name(name).to_owned(), value.clone()));
        }
        named.sort_by(|left, right| left.0.cmp(&right.0));
        // Two values of one name are two values, not entries in an order.
        if named.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        Some(named.into_iter().map(|(_, value)| value).collect())
    }

    /// The entries of a point or vector; intervals with a square bracket are none.
    fn sequence(&self, value: &Value) -> Option<Vec<Value>> {
        match value {
            Value::Group { open: '(' | '⟨', close: ')' | '⟩', items } => Some(items.clone()),
            Value::Group { open: '[', close: ']', items } if items.len() != 2 => {
                Some(items.clone())
            }
            Value::Matrix { columns, entries } if *columns == 1 || *columns == entries.len() => {
                Some(scalars(entries))
            }
            // `(x, y) = (1, 2)`.
            Value::Chain { first, rest } => match (&**first, &rest[..]) {
                (Value::Group { items: names, .. }, [(Relation::Equal | Relation::In, right)])
                    if names.iter().all(|name| self.is_variable(name)) =>
                {
                    self.sequence(right)
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn is_variable(&self, value: &Value) -> bool {
        matches!(value, Value::Scalar(scalar)
            if scalar.mark == Mark::None && self.bench.pool.as_variable(scalar.id).is_some())
    }

    fn entries(&mut self, left: &[Value], right: &[Value], reason: Reason) -> Outcome {
        if left.len() != right.len() {
            return Ok(Finding::different(reason));
        }
        let mut unknown = false;
        let linked = std::mem::replace(&mut self.linked, true);
        for (a, b) in left.iter().zip(right) {
            match self.values(a, b)?.verdict {
                Verdict::Equal => {}
                Verdict::Different => {
                    self.linked = linked;
                    return Ok(Finding::different(reason));
                }
                Verdict::Undecided => unknown = true,
            }
        }
        self.linked = linked;
        Ok(if unknown { Finding::undecided(reason) } else { Finding::equal(reason) })
    }

    /// Regions, where one side can only be one.
    fn regions_of(
        &mut self,
        reference: &Value,
        answer: &Value,
    ) -> Result<Option<Finding>, Exhausted> {
        let equations = |value: &Value| {
            matches!(value, Value::Chain { rest, .. }
            if rest.iter().all(|(relation, _)| *relation == Relation::Equal))
        };
        let finite =
            |value: &Value| matches!(value, Value::Set(_) | Value::List { .. }) || equations(value);
        if finite(reference) && finite(answer) && !(ordered(reference) || ordered(answer)) {
            return Ok(None);
        }
        let (Some(left), Some(right)) = (self.region(reference)?, self.region(answer)?) else {
            return Ok(None);
        };
        let finding = self.regions(&left, &right)?;
        let between =
            matches!(reference, Value::Chain { .. }) && matches!(answer, Value::Chain { .. });
        Ok(Some(if between && finding.is_equal() {
            Finding::equal(Reason::Inequality)
        } else {
            finding
        }))
    }

    /// Bare lists: every item has its partner, none is left over.
    fn lists(&mut self, left: &[Value], right: &[Value]) -> Outcome {
        if left.len() != right.len() {
            let plain =
                |items: &[Value]| items.iter().all(|item| !matches!(item, Value::Chain { .. }));
            let sure = plain(left) == plain(right);
            return Ok(if sure {
                Finding::different(Reason::Multiset)
            } else {
                Finding::undecided(Reason::Multiset)
            });
        }
        let ordered = self.policy.list_order == ListOrder::AsGiven
            && left.iter().all(|item| matches!(item, Value::Scalar(_)));
        if ordered {
            return self.entries(left, right, Reason::Entries);
        }
        if let (None, Some(values)) = (self.assigned_in_order(left), self.assigned_in_order(right))
        {
            return self.entries(left, &values, Reason::Entries);
        }
        if let (Some(values), None) = (self.assigned_in_order(left), self.assigned_in_order(right))
        {
            return self.entries(&values, right, Reason::Entries);
        }
        self.matched(left, right, Reason::Multiset)
    }

    /// Sets: every member has a partner on the other side, repeats do not count.
    fn members(&mut self, left: &[Value], right: &[Value]) -> Outcome {
        let mut unknown = false;
        for (ours, theirs) in [(left, right), (right, left)] {
            for item in ours {
                let mut found = Verdict::Different;
                for other in theirs {
                    match self.values(item, other)?.verdict {
                        Verdict::Equal => {
                            found = Verdict::Equal;
                            break;
                        }
                        Verdict::Undecided => found = Verdict::Undecided,
                        Verdict::Different => {}
                    }
                }
                match found {
                    Verdict::Equal => {}
                    Verdict::Different => return Ok(Finding::different(Reason::Members)),
                    Verdict::Undecided => unknown = true,
                }
            }
        }
        Ok(if unknown {
            Finding::undecided(Reason::Members)
        } else {
            Finding::equal(Reason::Members)
        })
    }

    /// A perfect matching by augmenting paths over the pairs that are equal; when there
    /// is none, one over the pairs that are not different leaves the case undecided.
    fn matched(&mut self, left: &[Value], right: &[Value], reason: Reason) -> Outcome {
        let mut verdicts = Vec::with_capacity(left.len());
        for item in left {
            let mut row = Vec::with_capacity(right.len());
            for other in right {
                row.push(self.list_item(item, other)?);
            }
            verdicts.push(row);
        }
        let perfect = |accept: &dyn Fn(Verdict) -> bool| {
            let edges: Vec<Vec<bool>> = verdicts
                .iter()
                .map(|row| row.iter().map(|verdict| accept(*verdict)).collect())
                .collect();
            matching_size(&edges) == left.len()
        };
        if perfect(&|verdict| verdict == Verdict::Equal) {
            return Ok(Finding::equal(reason));
        }
        if perfect(&|verdict| verdict != Verdict::Different) {
            return Ok(Finding::undecided(reason));
        }
        Ok(Finding::different(reason))
    }

    /// Inside of a list, labels tell items apart.
    fn list_item(&mut self, left: &Value, right: &Value) -> Result<Verdict, Exhausted> {
        let finding = self.values(left, right)?;
        let labelled = finding.reason == Reason::Label && finding.verdict == Verdict::Undecided;
        Ok(if labelled { Verdict::Different } else { finding.verdict })
    }
}

/// A row of a function that is defined by cases: value and condition.
fn is_branch(value: &Value) -> bool {
    matches!(value, Value::Group { open: BRANCH, .. })
}

fn scalars(ids: &[Id]) -> Vec<Value> {
    ids.iter().map(|id| Value::scalar(*id)).collect()
}

/// Whether a value holds an order relation, directly or as an item.
fn ordered(value: &Value) -> bool {
    match value {
        Value::Chain { rest, .. } => rest.iter().any(|(relation, _)| {
            relation.is_order()
                || matches!(relation, Relation::In | Relation::NotIn | Relation::NotEqual)
        }),
        Value::List { items, .. } => items.iter().any(|item| match item {
            Value::Chain { rest, .. } => rest.iter().any(|(relation, _)| {
                relation.is_order() || matches!(relation, Relation::NotEqual | Relation::In)
            }),
            _ => false,
        }),
        _ => false,
    }
}

/// Size of a largest matching (Kuhn's augmenting paths, with an explicit stack).
fn matching_size(edges: &[Vec<bool>]) -> usize {
    let width = edges.first().map_or(0, Vec::len);
    let mut partner: Vec<Option<usize>> = vec![None; width];
    let mut size = 0;
    for start in 0..edges.len() {
        // Breadth-first search for a free column; `from` remembers the way back.
        let mut from: Vec<Option<usize>> = vec![None; width];
        let mut queue = vec![start];
        let mut next = 0;
        let mut free = None;
        while let (Some(&row), None) = (queue.get(next), free) {
            next += 1;
            for column in 0..width {
                if !edges[row][column] || from[column].is_some() {
                    continue;
                }
                from[column] = Some(row);
                match partner[column] {
                    Some(other) => queue.push(other),
                    None => {
                        free = Some(column);
                        break;
                    }
                }
            }
        }
        let mut column = free;
        while let Some(at) = column {
            let Some(row) = from[at] else { break };
            let previous = partner.iter().position(|known| *known == Some(row));
            partner[at] = Some(row);
            if let Some(previous) = previous {
                partner[previous] = None;
            }
            column = if row == start { None } else { previous };
        }
        size += usize::from(free.is_some());
    }
    size
}

#[cfg(test)]
mod tests {
    use super::matching_size;

    #[test]
    fn matching_finds_augmenting_paths() {
        let edges =
            vec![vec![true, true, false], vec![true, false, false], vec![false, true, true]];
        assert_eq!(matching_size(&edges), 3);
        let edges = vec![vec![true, false], vec![true, false]];
        assert_eq!(matching_size(&edges), 1);
    }
}
