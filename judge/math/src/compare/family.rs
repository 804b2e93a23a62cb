//! Families over an integer parameter, such as `pi/6 + k*pi`: equal as sets of
//! values, whatever the parameter is called, shifted by or signed.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rule names the kinds that it settles; the rest goes on"
)]

use dashu_ratio::RBig;

use super::Comparison;
use crate::expression::{Id, Name};
use crate::fuel::Exhausted;
use crate::parse::INTEGER_PARAMETER;
use crate::reason::{Finding, Reason, Verdict};
use crate::value::{Scalar, Value};

/// Largest number of residues that one family is split into.
const RESIDUES_MAX: i64 = 48;

/// `start + parameter * step`.
#[derive(Debug, Clone, Copy)]
struct Family {
    start: Id,
    step: Id,
}

impl Comparison<'_> {
    pub(super) fn families(
        &mut self,
        reference: &Value,
        answer: &Value,
    ) -> Result<Option<Finding>, Exhausted> {
        let relevant =
            !self.whole.is_empty() || (self.is_periodic(reference) && self.is_periodic(answer));
        if !relevant || self.linked {
            return Ok(None);
        }
        let left = self.family_list(reference)?;
        let right = self.family_list(answer)?;
        let (Some(left), Some(right)) = (left, right) else {
            return Ok(None);
        };
        let (Some(ours), Some(theirs)) =
            (self.residues(&left, &right)?, self.residues(&right, &left)?)
        else {
            return Ok(None);
        };
        Ok(match (ours, theirs) {
            (Verdict::Equal, Verdict::Equal) => Some(Finding::equal(Reason::Family)),
            (Verdict::Different, _) | (_, Verdict::Different) => {
                Some(Finding::different(Reason::Family))
            }
            _ => Some(Finding::undecided(Reason::Family)),
        })
    }

    /// An integer-like name times pi or degrees: a family without a declaration.
    fn is_periodic(&self, value: &Value) -> bool {
        let items = match value {
            Value::List { items, .. } => items.as_slice(),
            other => std::slice::from_ref(other),
        };
        items.iter().all(|item| {
            let item = self.assignment(item).map_or(item, |(_, value)| value);
            let Value::Scalar(scalar) = item else {
                return false;
            };
            let traits = self.bench.pool.traits(&[scalar.id]);
            let residue = traits
                .variables
                .iter()
                .any(|name| self.bench.pool.name(*name) == INTEGER_PARAMETER);
            let angular = residue || traits.has_pi || scalar.mark == crate::value::Mark::Degrees;
            let named = traits.variables.iter().any(|name| self.is_integer_name(*name));
            angular && named
        })
    }

    fn is_integer_name(&self, name: Name) -> bool {
        self.whole.contains(&name)
            || matches!(self.bench.pool.name(name), "k" | "n" | "m" | "l" | INTEGER_PARAMETER)
    }

    fn family_list(&mut self, value: &Value) -> Result<Option<Vec<Family>>, Exhausted> {
        let items = match value {
            Value::List { items, .. } => items.clone(),
            other => vec![other.clone()],
        };
        let mut families = Vec::new();
        for item in items {
            let item =
                self.assignment(&item).map_or_else(|| item.clone(), |(_, value)| value.clone());
            let Value::Scalar(scalar) = item else {
                return Ok(None);
            };
            match self.family(&scalar)? {
                Some(family) => families.push(family),
                None => return Ok(None),
            }
        }
        Ok(Some(families))
    }

    fn family(&mut self, scalar: &Scalar) -> Result<Option<Family>, Exhausted> {
        let id = crate::parse::plain(self.bench, scalar)?;
        let traits = self.bench.pool.traits(&[id]);
        let mut parameters =
            traits.variables.iter().copied().filter(|name| self.is_integer_name(*name));
        let (Some(name), None) = (parameters.next(), parameters.next()) else {
            return Ok(None);
        };
        let pool = &mut self.bench.pool;
        let parameter = pool.insert(crate::expression::Node::Variable(name))?;
        let zero = pool.integer(0)?;
        let one = pool.integer(1)?;
        let start = pool.substitute(id, &[(parameter, zero)])?;
        let next = pool.substitute(id, &[(parameter, one)])?;
        let step = pool.difference(next, start)?;
        let line = pool.product(step, parameter)?;
        let line = pool.sum(line, start)?;
        let linear = self.bench.same(id, line)?.is_equal();
        Ok(linear.then_some(Family { start, step }))
    }

    /// Whether every member of `ours` is in one of `theirs`.
    fn residues(
        &mut self,
        ours: &[Family],
        theirs: &[Family],
    ) -> Result<Option<Verdict>, Exhausted> {
        let mut total = Verdict::Equal;
        for family in ours {
            match self.covered(family, theirs)? {
                Some(Verdict::Equal) => {}
                Some(Verdict::Different) => return Ok(Some(Verdict::Different)),
                Some(Verdict::Undecided) => total = Verdict::Undecided,
                None => return Ok(None),
            }
        }
        Ok(Some(total))
    }

    /// Splits a family into residues of the least common period of all.
    fn covered(
        &mut self,
        family: &Family,
        theirs: &[Family],
    ) -> Result<Option<Verdict>, Exhausted> {
        let mut parts = 1_i64;
        for other in theirs {
            // other.step / family.step = p / q: after p steps of ours the pattern repeats.
            let Some(ratio) = self.rational_ratio(other.step, family.step)? else {
                return Ok(Some(Verdict::Undecided));
            };
            let Some(count) = i64::try_from(ratio.numerator().clone()).ok().map(i64::abs) else {
                return Ok(None);
            };
            parts = lcm(parts, count.max(1));
            if parts > RESIDUES_MAX {
                return Ok(Some(Verdict::Undecided));
            }
        }
        for part in 0..parts {
            let shift = self.bench.pool.integer(part)?;
            let shift = self.bench.pool.product(shift, family.step)?;
            let start = self.bench.pool.sum(family.start, shift)?;
            let mut found = false;
            for other in theirs {
                let difference = self.bench.pool.difference(start, other.start)?;
                let Some(ratio) = self.rational_ratio(difference, other.step)? else {
                    continue;
                };
                found = found || ratio.is_int();
            }
            if !found {
                return Ok(Some(Verdict::Different));
            }
        }
        Ok(Some(Verdict::Equal))
    }

    /// `left / right` when it is a small rational, proved.
    fn rational_ratio(&mut self, left: Id, right: Id) -> Result<Option<RBig>, Exhausted> {
        let zero = self.bench.pool.integer(0)?;
        if self.bench.same(left, zero)?.is_equal() {
            return Ok(Some(RBig::ZERO));
        }
        if self.bench.same(right, zero)?.is_equal() {
            return Ok(None);
        }
        let pool = &mut self.bench.pool;
        let quotient = pool.quotient(left, right)?;
        if let Some(value) = pool.as_rational(quotient) {
            return Ok(Some(value.clone()));
        }
        for denominator in 1..=24_i64 {
            let pool = &mut self.bench.pool;
            let scale = pool.integer(denominator)?;
            let scaled = pool.product(quotient, scale)?;
            let Some(whole) = self.bench.nearest_integer(scaled)? else {
                return Ok(None);
            };
            let value = RBig::from(whole) / crate::number::exact::integer(denominator);
            let candidate = self.bench.pool.rational(value.clone())?;
            if self.bench.same(quotient, candidate)?.is_equal() {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

fn lcm(left: i64, right: i64) -> i64 {
    let (mut high, mut low) = (left, right);
    while low != 0 {
        (high, low) = (low, high % low);
    }
    left / high.max(1) * right
}
