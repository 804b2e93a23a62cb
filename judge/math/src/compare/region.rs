//! Subsets of the real line: unions of intervals and points, from intervals, sets,
//! set operations, set builders and inequalities in one variable.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rule names the kinds that it settles; the rest goes on"
)]

use std::cmp::Ordering;

use super::{Comparison, Outcome};
use crate::expression::{Id, Name, Sign};
use crate::fuel::Exhausted;
use crate::limits;
use crate::reason::{Finding, Holds, Reason};
use crate::value::{Joint, NamedSet, Relation, SetOperation, Value};

/// An end of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Below,
    At(Id),
    Above,
}

/// An interval; a point has equal closed ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) low: End,
    pub(super) low_closed: bool,
    pub(super) high: End,
    pub(super) high_closed: bool,
}

/// A union of pieces; sorted and merged where the order of the ends is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Region {
    pub(super) pieces: Vec<Piece>,
    /// The variable that an inequality speaks of.
    pub(super) variable: Option<Name>,
}

pub(super) const ALL: Piece =
    Piece { low: End::Below, low_closed: false, high: End::Above, high_closed: false };

pub(super) type Found<T> = Result<Option<T>, Exhausted>;

impl Comparison<'_> {
    pub(super) fn regions(&mut self, reference: &Region, answer: &Region) -> Outcome {
        if let (Some(a), Some(b)) = (reference.variable, answer.variable) {
            let renamed = self.policy.symbols == crate::policy::Symbols::Renamed;
            if a != b && !renamed {
                return Ok(Finding::different(Reason::Region));
            }
        }
        if reference.pieces.len() != answer.pieces.len() {
            return Ok(Finding::different(Reason::Region));
        }
        let mut unknown = false;
        for (a, b) in reference.pieces.iter().zip(&answer.pieces) {
            if a.low_closed != b.low_closed || a.high_closed != b.high_closed {
                return Ok(Finding::different(Reason::Region));
            }
            for (left, right) in [(a.low, b.low), (a.high, b.high)] {
                match self.same_end(left, right)? {
                    Holds::Yes => {}
                    Holds::No => return Ok(Finding::different(Reason::Region)),
                    Holds::Unknown => unknown = true,
                }
            }
        }
        Ok(if unknown {
            Finding::undecided(Reason::Region)
        } else {
            Finding::equal(Reason::Region)
        })
    }

    fn same_end(&mut self, left: End, right: End) -> Result<Holds, Exhausted> {
        Ok(match (left, right) {
            (End::Below, End::Below) | (End::Above, End::Above) => Holds::Yes,
            (End::At(a), End::At(b)) => match self.bench.same(a, b)?.verdict {
                crate::reason::Verdict::Equal => Holds::Yes,
                crate::reason::Verdict::Different => Holds::No,
                crate::reason::Verdict::Undecided => Holds::Unknown,
            },
            _ => Holds::No,
        })
    }

    /// The region that a value describes, if it describes one.
    pub(super) fn region(&mut self, value: &Value) -> Found<Region> {
        self.bench.fuel.spend(4)?;
        match value {
            Value::Group { open, close, items } => self.interval(*open, *close, items),
            Value::Named(NamedSet::Reals) => Ok(Some(Region { pieces: vec![ALL], variable: None })),
            Value::Named(NamedSet::Empty) => Ok(Some(Region::default())),
            Value::Set(items) => self.points(items),
            Value::SetOperation { operation, left, right } => {
                let (Some(left), Some(right)) = (self.region(left)?, self.region(right)?) else {
                    return Ok(None);
                };
                self.combined(*operation, left, &right)
            }
            Value::Builder { pattern, condition } => self.builder(pattern, condition),
            Value::Chain { first, rest } => self.chain_region(first, rest),
            Value::List { joint, items } => self.joined(*joint, items),
            Value::Scalar(_)
            | Value::Named(_)
            | Value::Matrix { .. }
            | Value::Based { .. }
            | Value::Ratio(_)
            | Value::Time(_)
            | Value::Date(_)
            | Value::Words(_) => Ok(None),
        }
    }

    fn end(&self, value: &Value) -> Option<End> {
        let Value::Scalar(scalar) = value else {
            return None;
        };
        Some(match self.bench.pool.as_infinity(scalar.id) {
            Some(Sign::Negative) => End::Below,
            Some(Sign::Positive) => End::Above,
            None => End::At(scalar.id),
        })
    }

    fn interval(&mut self, open: char, close: char, items: &[Value]) -> Found<Region> {
        let [low, high] = items else { return Ok(None) };
        let (Some(low), Some(high)) = (self.end(low), self.end(high)) else {
            return Ok(None);
        };
        if let (End::At(a), End::At(b), '(', ')') = (low, high, open, close)
            && matches!(self.bench.order(a, b)?, Some(Ordering::Equal | Ordering::Greater))
        {
            // `(2, 1)` and `(1, 1)` are points; an open interval of nothing is nobody's answer.
            return Ok(None);
        }
        let piece = Piece {
            low,
            low_closed: open == '[' && matches!(low, End::At(_)),
            high,
            high_closed: close == ']' && matches!(high, End::At(_)),
        };
        self.normalized(vec![piece], None).map(Some)
    }

    fn points(&mut self, items: &[Value]) -> Found<Region> {
        let mut pieces = Vec::new();
        for item in items {
            let Some(end @ End::At(_)) = self.end(item) else {
                return Ok(None);
            };
            pieces.push(Piece { low: end, low_closed: true, high: end, high_closed: true });
        }
        self.normalized(pieces, None).map(Some)
    }

    fn builder(&mut self, pattern: &Value, condition: &Value) -> Found<Region> {
        let variable = match pattern {
            Value::Scalar(scalar) => self.bench.pool.as_variable(scalar.id),
            Value::Chain { first, rest } => match (&**first, &rest[..]) {
                (Value::Scalar(scalar), [(Relation::In, Value::Named(NamedSet::Reals))]) => {
                    self.bench.pool.as_variable(scalar.id)
                }
                _ => None,
            },
            _ => None,
        };
        let Some(variable) = variable else {
            return Ok(None);
        };
        let Some(region) = self.region(condition)? else {
            return Ok(None);
        };
        Ok((region.variable == Some(variable)).then_some(Region { variable: None, ..region }))
    }

    fn joined(&mut self, joint: Joint, items: &[Value]) -> Found<Region> {
        let mut regions = Vec::new();
        for item in items {
            let real = matches!(item, Value::Chain { rest, .. }
                if matches!(rest[..], [(Relation::In, Value::Named(NamedSet::Reals))]));
            if real && items.len() > 1 {
                continue;
            }
            if !matches!(item, Value::Chain { .. }) && joint != Joint::Or {
                return Ok(None);
            }
            let Some(region) = self.region(item)? else {
                return Ok(None);
            };
            regions.push(region);
        }
        let Some(first) = regions.first().cloned() else {
            return Ok(None);
        };
        let variable = first.variable;
        if regions.iter().any(|region| region.variable != variable) {
            return Ok(None);
        }
        let fold = |comparison: &mut Self, operation| -> Found<Region> {
            let mut total = first.clone();
            for region in &regions[1..] {
                match comparison.combined(operation, total, region)? {
                    Some(next) => total = next,
                    None => return Ok(None),
                }
            }
            Ok(Some(total))
        };
        match joint {
            Joint::And => fold(self, SetOperation::Intersection),
            Joint::Or => fold(self, SetOperation::Union),
            // A bare comma means "and" unless that leaves nothing.
            Joint::Comma => match fold(self, SetOperation::Intersection)? {
                Some(region) if region.pieces.is_empty() => fold(self, SetOperation::Union),
                other => Ok(other),
            },
        }
    }

    fn chain_region(&mut self, first: &Value, rest: &[(Relation, Value)]) -> Found<Region> {
        if let [(relation @ (Relation::In | Relation::NotIn), set)] = rest {
            let Value::Scalar(scalar) = first else {
                return Ok(None);
            };
            let Some(variable) = self.bench.pool.as_variable(scalar.id) else {
                return Ok(None);
            };
            let Some(region) = self.region(set)? else {
                return Ok(None);
            };
            if region.variable.is_some() {
                return Ok(None);
            }
            let region =
                if *relation == Relation::NotIn { self.complement(&region)? } else { Some(region) };
            return Ok(region.map(|region| Region { variable: Some(variable), ..region }));
        }
        if let Some(region) = self.between(first, rest) {
            return Ok(Some(region));
        }
        let mut total: Option<Region> = None;
        let mut left = first;
        for (relation, right) in rest {
            let (Value::Scalar(a), Value::Scalar(b)) = (left, right) else {
                return Ok(None);
            };
            let infinite = self.bench.pool.as_infinity(a.id).is_some()
                || self.bench.pool.as_infinity(b.id).is_some();
            left = right;
            if infinite && relation.is_order() {
                continue;
            }
            let Some(region) = self.solve(a.id, *relation, b.id)? else {
                return Ok(None);
            };
            total = match total {
                None => Some(region),
                Some(known) if known.variable == region.variable => {
                    self.combined(SetOperation::Intersection, known, &region)?
                }
                Some(_) => return Ok(None),
            };
            if total.is_none() {
                return Ok(None);
            }
        }
        Ok(total)
    }

    /// `a < x < b` with ends that hold other variables.
    fn between(&self, first: &Value, rest: &[(Relation, Value)]) -> Option<Region> {
        let [(below, Value::Scalar(middle)), (above, last)] = rest else {
            return None;
        };
        let variable = self.bench.pool.as_variable(middle.id)?;
        let (first, last) = (self.end(first)?, self.end(last)?);
        let flips = matches!(below, Relation::Greater | Relation::GreaterOrEqual);
        let same_way = (flips == matches!(above, Relation::Greater | Relation::GreaterOrEqual))
            && below.is_order()
            && above.is_order();
        let symbolic = |end| match end {
            End::At(id) => {
                !self.bench.pool.is_constant(id)
                    && !self.bench.pool.reachable(&[id]).contains(&middle.id)
            }
            End::Below | End::Above => false,
        };
        if !same_way || !(symbolic(first) || symbolic(last)) {
            return None;
        }
        let closed = |relation: &Relation, end| {
            matches!(relation, Relation::LessOrEqual | Relation::GreaterOrEqual)
                && matches!(end, End::At(_))
        };
        let (first_closed, last_closed) = (closed(below, first), closed(above, last));
        let piece = if flips {
            Piece { low: last, low_closed: last_closed, high: first, high_closed: first_closed }
        } else {
            Piece { low: first, low_closed: first_closed, high: last, high_closed: last_closed }
        };
        Some(Region { pieces: vec![piece], variable: Some(variable) })
    }

    fn combined(&mut self, operation: SetOperation, left: Region, right: &Region) -> Found<Region> {
        let variable = left.variable;
        match operation {
            SetOperation::Union => {
                let mut pieces = left.pieces;
                pieces.extend_from_slice(&right.pieces);
                self.normalized(pieces, variable).map(Some)
            }
            SetOperation::Intersection => self.intersection(&left, right),
            SetOperation::Difference => match self.complement(right)? {
                Some(outside) => self.intersection(&left, &outside),
                None => Ok(None),
            },
        }
    }

    fn intersection(&mut self, left: &Region, right: &Region) -> Found<Region> {
        let mut pieces = Vec::new();
        for a in &left.pieces {
            for b in &right.pieces {
                let Some(low) = self.order_ends(a.low, b.low)? else {
                    return Ok(None);
                };
                let Some(high) = self.order_ends(a.high, b.high)? else {
                    return Ok(None);
                };
                let (low, low_closed) = match low {
                    Ordering::Greater => (a.low, a.low_closed),
                    Ordering::Less => (b.low, b.low_closed),
                    Ordering::Equal => (a.low, a.low_closed && b.low_closed),
                };
                let (high, high_closed) = match high {
                    Ordering::Less => (a.high, a.high_closed),
                    Ordering::Greater => (b.high, b.high_closed),
                    Ordering::Equal => (a.high, a.high_closed && b.high_closed),
                };
                pieces.push(Piece { low, low_closed, high, high_closed });
                if pieces.len() > limits::ENTRIES_MAX {
                    return Ok(None);
                }
            }
        }
        self.normalized(pieces, left.variable).map(Some)
    }

    fn complement(&mut self, region: &Region) -> Found<Region> {
        let mut pieces = Vec::new();
        let mut low = (End::Below, false);
        for piece in &region.pieces {
            if piece.low != End::Below {
                pieces.push(Piece {
                    low: low.0,
                    low_closed: low.1,
                    high: piece.low,
                    high_closed: !piece.low_closed,
                });
            }
            low = (piece.high, !piece.high_closed);
        }
        if low.0 != End::Above {
            pieces.push(Piece {
                low: low.0,
                low_closed: low.1,
                high: End::Above,
                high_closed: false,
            });
        }
        self.normalized(pieces, region.variable).map(Some)
    }

    fn order_ends(&mut self, left: End, right: End) -> Result<Option<Ordering>, Exhausted> {
        Ok(match (left, right) {
            (End::At(a), End::At(b)) => self.bench.order(a, b)?,
            (End::Below, End::Below) | (End::Above, End::Above) => Some(Ordering::Equal),
            (End::Below, _) | (_, End::Above) => Some(Ordering::Less),
            (End::Above, _) | (_, End::Below) => Some(Ordering::Greater),
        })
    }

    /// Drops empty pieces, sorts by the lower end and merges what touches. Where the
    /// order of two ends is unknown, the pieces stay as given.
    pub(super) fn normalized(
        &mut self,
        pieces: Vec<Piece>,
        variable: Option<Name>,
    ) -> Result<Region, Exhausted> {
        let mut sorted: Vec<Piece> = Vec::new();
        for piece in &pieces {
            match self.order_ends(piece.low, piece.high)? {
                Some(Ordering::Greater) => continue,
                Some(Ordering::Equal) if !(piece.low_closed && piece.high_closed) => continue,
                Some(_) => {}
                None => return Ok(Region { pieces, variable }),
            }
            let mut at = sorted.len();
            while at > 0 {
                match self.order_ends(piece.low, sorted[at - 1].low)? {
                    Some(Ordering::Less) => at -= 1,
                    Some(Ordering::Equal) if piece.low_closed && !sorted[at - 1].low_closed => {
                        at -= 1
                    }
                    Some(_) => break,
                    None => return Ok(Region { pieces, variable }),
                }
            }
            sorted.insert(at, *piece);
        }
        let mut merged: Vec<Piece> = Vec::new();
        for piece in sorted {
            let Some(last) = merged.last().copied() else {
                merged.push(piece);
                continue;
            };
            let gap = self.order_ends(last.high, piece.low)?;
            let touches = match gap {
                Some(Ordering::Greater) => true,
                Some(Ordering::Equal) => last.high_closed || piece.low_closed,
                Some(Ordering::Less) => false,
                None => return Ok(Region { pieces, variable }),
            };
            if !touches {
                merged.push(piece);
                continue;
            }
            let (high, high_closed) = match self.order_ends(last.high, piece.high)? {
                Some(Ordering::Less) => (piece.high, piece.high_closed),
                Some(Ordering::Equal) => (last.high, last.high_closed || piece.high_closed),
                Some(Ordering::Greater) => (last.high, last.high_closed),
                None => return Ok(Region { pieces, variable }),
            };
            if let Some(last) = merged.last_mut() {
                (last.high, last.high_closed) = (high, high_closed);
            }
        }
        Ok(Region { pieces: merged, variable })
    }
}
