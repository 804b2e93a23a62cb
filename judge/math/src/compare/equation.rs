//! Equations and inequalities between expressions: equal up to a constant factor
//! that is not zero, positive where order matters.

use std::cmp::Ordering;

use super::{Comparison, Outcome};
use crate::expression::modulo::Point;
use crate::expression::{Id, Node};
use crate::fuel::Exhausted;
use crate::number::modular::{Field, mix};
use crate::reason::{Finding, Holds, Reason, Verdict};
use crate::value::{Relation, Value};

/// Points at which two ratios must agree.
const RATIO_POINTS: usize = 3;

impl Comparison<'_> {
    pub(super) fn chains(&mut self, reference: &Value, answer: &Value) -> Outcome {
        let (Value::Chain { first: a, rest: left }, Value::Chain { first: b, rest: right }) =
            (reference, answer)
        else {
            return Ok(Finding::undecided(Reason::Kind));
        };
        if left.len() == right.len() && left.len() > 1 {
            return self.long_chains((a, left), (b, right));
        }
        let ([(op, end)], [(other_op, other_end)]) = (&left[..], &right[..]) else {
            return Ok(Finding::undecided(Reason::Equation));
        };
        match (op, other_op) {
            (Relation::Equal, Relation::Equal) => match self.sides(a, end, b, other_end)? {
                Some((f, g)) => self.equations(f, g),
                None => self.by_sides((a, end), (b, other_end)),
            },
            (x, y) if x.is_order() && y.is_order() => match self.sides(a, end, b, other_end)? {
                Some((f, g)) => self.inequalities(f, *x, (g, *y)),
                None => Ok(Finding::undecided(Reason::Inequality)),
            },
            (x, y) if x == y => self.by_sides((a, end), (b, other_end)),
            (Relation::Other, _) | (_, Relation::Other) => Ok(Finding::undecided(Reason::Equation)),
            _ => Ok(Finding::different(Reason::Equation)),
        }
    }

    fn long_chains(
        &mut self,
        (a, left): (&Value, &[(Relation, Value)]),
        (b, right): (&Value, &[(Relation, Value)]),
    ) -> Outcome {
        let same_signs = left.iter().zip(right).all(|(x, y)| x.0 == y.0);
        let mut all = same_signs && self.values(a, b)?.is_equal();
        for (x, y) in left.iter().zip(right) {
            all = all && self.values(&x.1, &y.1)?.is_equal();
        }
        let mut reversed = left.iter().zip(right.iter().rev()).all(|(x, y)| x.0 == y.0.flipped());
        let sides: Vec<&Value> =
            std::iter::once(b).chain(right.iter().map(|side| &side.1)).collect();
        let ours = std::iter::once(a).chain(left.iter().map(|side| &side.1));
        for (x, y) in ours.zip(sides.into_iter().rev()) {
            reversed = reversed && self.values(x, y)?.is_equal();
        }
        Ok(if all || reversed {
            Finding::equal(Reason::Inequality)
        } else {
            Finding::undecided(Reason::Inequality)
        })
    }

    /// Side by side, in either orientation.
    fn by_sides(&mut self, (a, c): (&Value, &Value), (b, d): (&Value, &Value)) -> Outcome {
        let straight = self.values(a, b)?.is_equal() && self.values(c, d)?.is_equal();
        let crossed = straight || (self.values(a, d)?.is_equal() && self.values(c, b)?.is_equal());
        Ok(if crossed {
            Finding::equal(Reason::Equation)
        } else {
            Finding::undecided(Reason::Equation)
        })
    }

    fn sides(
        &mut self,
        a: &Value,
        c: &Value,
        b: &Value,
        d: &Value,
    ) -> Result<Option<(Id, Id)>, Exhausted> {
        let (Value::Scalar(a), Value::Scalar(c), Value::Scalar(b), Value::Scalar(d)) = (a, c, b, d)
        else {
            return Ok(None);
        };
        let f = self.bench.pool.difference(a.id, c.id)?;
        let g = self.bench.pool.difference(b.id, d.id)?;
        Ok(Some((f, g)))
    }

    fn equations(&mut self, f: Id, g: Id) -> Outcome {
        let traits = self.bench.pool.traits(&[f, g]);
        let zero = self.bench.pool.integer(0)?;
        if traits.has_infinity || traits.has_undefined {
            return Ok(Finding::undecided(Reason::Equation));
        }
        let constants = (self.bench.pool.is_constant(f), self.bench.pool.is_constant(g));
        if constants != (false, false) {
            let sure = constants.0 != constants.1;
            return Ok(if sure {
                Finding::different(Reason::Equation)
            } else {
                Finding::undecided(Reason::Equation)
            });
        }
        if self.bench.same(f, zero)?.is_equal() || self.bench.same(g, zero)?.is_equal() {
            return Ok(Finding::undecided(Reason::Equation));
        }
        let independent = traits.is_independent();
        let direct = self.constant_ratio(f, g)?;
        if direct == Holds::Yes {
            return Ok(Finding::equal(Reason::Equation));
        }
        let (f_top, g_top) = (self.numerator(f)?, self.numerator(g)?);
        if (f_top, g_top) != (f, g) && self.constant_ratio(f_top, g_top)? == Holds::Yes {
            return Ok(Finding::equal(Reason::Equation));
        }
        let polynomial = traits.is_polynomial && independent && direct == Holds::No;
        let other_variables = {
            let mut left = self.bench.pool.traits(&[f]).variables;
            let mut right = self.bench.pool.traits(&[g]).variables;
            left.sort_unstable();
            right.sort_unstable();
            left != right
        };
        Ok(if polynomial || (other_variables && independent && direct == Holds::No) {
            Finding::different(Reason::Equation)
        } else {
            Finding::undecided(Reason::Equation)
        })
    }

    /// The numerator over a common denominator, where denominators hold variables.
    fn numerator(&mut self, id: Id) -> Result<Id, Exhausted> {
        let order = self.bench.pool.reachable(&[id]);
        let mut total = id;
        let mut seen = 0;
        for inner in order {
            if let Node::Quotient(_, divisor) = *self.bench.pool.node(inner) {
                seen += 1;
                if seen <= 4 && !self.bench.pool.is_constant(divisor) {
                    total = self.bench.pool.product(total, divisor)?;
                }
            }
        }
        Ok(total)
    }

    /// Whether `f / g` is the same constant wherever it is looked at.
    fn constant_ratio(&mut self, f: Id, g: Id) -> Result<Holds, Exhausted> {
        let mut ratio = None;
        let mut agreed = 0;
        // One field for all points: the constant must not change with the prime.
        let field = Field::new(usize::try_from(mix(self.bench.seed) >> 40).unwrap_or(0));
        for attempt in 0..8_u64 {
            let point = Point { field, seed: mix(self.bench.seed ^ mix(attempt + 77)) };
            let images = self.bench.pool.images(&[f, g], point, &mut self.bench.fuel)?;
            let [Some(a), Some(b)] = images[..] else {
                continue;
            };
            let Some(inverse) = field.inverse(b) else {
                continue;
            };
            let quotient = field.mul(a, inverse);
            if quotient.is_zero() {
                continue;
            }
            if *ratio.get_or_insert(quotient) != quotient {
                return Ok(Holds::No);
            }
            agreed += 1;
            if agreed == RATIO_POINTS {
                return Ok(Holds::Yes);
            }
        }
        Ok(Holds::Unknown)
    }

    fn inequalities(&mut self, f: Id, relation: Relation, (g, other): (Id, Relation)) -> Outcome {
        let strict = |relation| matches!(relation, Relation::Less | Relation::Greater);
        if strict(relation) != strict(other) {
            return Ok(Finding::different(Reason::Inequality));
        }
        let below = |relation| matches!(relation, Relation::Less | Relation::LessOrEqual);
        let ratio = self.bench.pool.quotient(f, g)?;
        let one = self.bench.pool.integer(1)?;
        let zero = self.bench.pool.integer(0)?;
        let constant = self.constant_ratio(f, g)?;
        if constant != Holds::Yes {
            let independent = self.bench.pool.traits(&[f, g]).is_independent();
            let sure = constant == Holds::No
                && independent
                && self.bench.pool.traits(&[f, g]).is_polynomial;
            return Ok(if sure {
                Finding::different(Reason::Inequality)
            } else {
                Finding::undecided(Reason::Inequality)
            });
        }
        // The sign of the constant, from its value at one point of small integers.
        let mut at = ratio;
        let names = self.bench.pool.traits(&[ratio]).variables;
        for (index, name) in names.into_iter().enumerate() {
            let name = self.bench.pool.insert(Node::Variable(name))?;
            let value = self.bench.pool.integer(i64::try_from(index).unwrap_or(0) * 7 + 3)?;
            at = self.bench.pool.substitute(at, &[(name, value)])?;
        }
        let sign = if self.bench.same(at, one)?.verdict == Verdict::Equal {
            Some(Ordering::Greater)
        } else {
            self.bench.order(at, zero)?
        };
        Ok(match sign {
            Some(Ordering::Greater) => {
                Finding::when(Holds::from_bool(below(relation) == below(other)), Reason::Inequality)
            }
            Some(Ordering::Less) => {
                Finding::when(Holds::from_bool(below(relation) != below(other)), Reason::Inequality)
            }
            Some(Ordering::Equal) | None => Finding::undecided(Reason::Inequality),
        })
    }
}
