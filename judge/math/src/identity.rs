//! Whether two expressions are equal. The first test that proves something wins:
//! same node, exact fractions, images modulo primes, enclosures at sample points.

use std::cmp::Ordering;

use dashu_int::IBig;

use crate::expression::enclose::Sample;
use crate::expression::modulo::Point;
use crate::expression::traits::Traits;
use crate::expression::{Id, Pool};
use crate::fuel::{Exhausted, Fuel};
use crate::limits;
use crate::number::ball::{Arithmetic, Ball};
use crate::number::complex::Enclosure;
use crate::number::exact;
use crate::number::magnitude::Magnitude;
use crate::number::modular::{Field, mix};
use crate::reason::{Finding, Holds, Reason};
use crate::sampling::Plan;

/// Points modulo primes at which two expressions must agree.
const MODULAR_POINTS: usize = 2;
/// Points that are tried before the modular test gives up.
const MODULAR_TRIES: u64 = 6;

/// Everything that a comparison of expressions works with.
#[derive(Debug)]
pub(crate) struct Workbench {
    pub(crate) pool: Pool,
    pub(crate) fuel: Fuel,
    /// Derived from both texts: the only source of sample points.
    pub(crate) seed: u64,
}

/// What one sample point shows.
enum Witness {
    Agree,
    Differ,
    /// More precision may help.
    Nothing,
    /// The reference has no real value here; no precision will help.
    Outside,
}

impl Workbench {
    pub(crate) fn new(seed: u64) -> Self {
        Self { pool: Pool::new(), fuel: Fuel::new(), seed }
    }

    /// Whether `left` (the reference) and `right` are the same expression. Where the
    /// reference is real, its real domain is the domain of the comparison.
    pub(crate) fn same(&mut self, left: Id, right: Id) -> Result<Finding, Exhausted> {
        self.fuel.spend(1)?;
        if let Some(finding) = self.same_by_form(left, right) {
            return Ok(finding);
        }
        let traits = self.pool.traits(&[left, right]);
        self.fuel.spend(traits.constant_bits as u64 / 256)?;
        if traits.has_infinity || traits.has_plus_minus {
            return Ok(Finding::undecided(Reason::Unsupported));
        }
        match self.same_modulo(left, right, &traits)? {
            Holds::Yes => return Ok(Finding::equal(Reason::ModularIdentity)),
            Holds::No => return Ok(Finding::different(Reason::ModularIdentity)),
            Holds::Unknown => {}
        }
        if traits.has_call {
            return Ok(Finding::undecided(Reason::Unsupported));
        }
        let holds = if traits.variables.is_empty() {
            self.same_constant(left, right, &traits)?
        } else {
            self.same_at_samples(left, right, &traits)?
        };
        Ok(Finding::when(holds, Reason::Enclosure))
    }

    fn same_by_form(&self, left: Id, right: Id) -> Option<Finding> {
        use crate::expression::Node;
        let undefined = |id| *self.pool.node(id) == Node::Undefined;
        match (undefined(left), undefined(right)) {
            (true, true) => return Some(Finding::undecided(Reason::Undefined)),
            (true, false) | (false, true) => return Some(Finding::different(Reason::Undefined)),
            (false, false) => {}
        }
        if left == right {
            return Some(Finding::equal(Reason::SameForm));
        }
        if let (Some(a), Some(b)) = (self.pool.as_rational(left), self.pool.as_rational(right)) {
            return Some(Finding::when(Holds::from_bool(a == b), Reason::ExactNumber));
        }
        match (self.pool.as_infinity(left), self.pool.as_infinity(right)) {
            (Some(_), Some(_)) => Some(Finding::different(Reason::SameForm)),
            (Some(_), None) if !self.pool.traits(&[right]).has_infinity => {
                Some(Finding::different(Reason::Kind))
            }
            (None, Some(_)) if !self.pool.traits(&[left]).has_infinity => {
                Some(Finding::different(Reason::Kind))
            }
            _ => None,
        }
    }

    fn same_modulo(&mut self, left: Id, right: Id, traits: &Traits) -> Result<Holds, Exhausted> {
        let mut agreed = 0;
        for attempt in 0..MODULAR_TRIES {
            let seed = mix(self.seed.wrapping_add(attempt));
            let field = Field::new(usize::try_from(seed >> 40).unwrap_or(0));
            let point = Point { field, seed };
            let images = self.pool.images(&[left, right], point, &mut self.fuel)?;
            let [Some(a), Some(b)] = images[..] else {
                continue;
            };
            if a != b {
                return Ok(if traits.is_independent() { Holds::No } else { Holds::Unknown });
            }
            agreed += 1;
            if agreed == MODULAR_POINTS {
                return Ok(Holds::Yes);
            }
        }
        Ok(Holds::Unknown)
    }

    fn same_constant(&mut self, left: Id, right: Id, traits: &Traits) -> Result<Holds, Exhausted> {
        let needed = needed_bits(traits);
        Ok(match self.witness(left, right, &Sample::new(), needed)? {
            Witness::Agree => Holds::Yes,
            Witness::Differ => Holds::No,
            Witness::Nothing | Witness::Outside => Holds::Unknown,
        })
    }

    fn same_at_samples(
        &mut self,
        left: Id,
        right: Id,
        traits: &Traits,
    ) -> Result<Holds, Exhausted> {
        let needed = needed_bits(traits);
        let plan = Plan::new(traits, self.seed);
        let mut agreed = 0;
        for attempt in 0..plan.points() {
            let sample = plan.sample(traits, attempt);
            match self.witness(left, right, &sample, needed)? {
                Witness::Differ => return Ok(Holds::No),
                Witness::Agree => agreed += 1,
                Witness::Nothing | Witness::Outside => {}
            }
            if agreed >= limits::SAMPLES_NEEDED && !traits.has_branches {
                return Ok(Holds::Yes);
            }
        }
        let enough = agreed >= limits::SAMPLES_NEEDED;
        Ok(if enough { Holds::Yes } else { Holds::Unknown })
    }

    /// What one point shows, at growing precision while it shows nothing.
    fn witness(
        &mut self,
        left: Id,
        right: Id,
        sample: &Sample,
        needed: i64,
    ) -> Result<Witness, Exhausted> {
        let margin = |needed: i64| {
            let bits = usize::try_from(needed).unwrap_or(usize::MAX).saturating_add(48);
            bits.clamp(limits::PRECISIONS[0], limits::PRECISION_MAX)
        };
        // Most differences show at once; agreement at a point wants its bits at once.
        let mut precision = match margin(needed) {
            modest if !sample.is_empty() && modest <= limits::PRECISIONS[1] => modest,
            _ => limits::PRECISIONS[0],
        };
        for _ in 0..limits::PRECISIONS.len() {
            let (witness, target) = self.witness_at(left, right, sample, (precision, needed))?;
            if !matches!(witness, Witness::Nothing) {
                return Ok(witness);
            }
            if precision >= limits::PRECISION_MAX {
                break;
            }
            precision = margin(target).max(2 * precision).min(limits::PRECISION_MAX);
        }
        Ok(Witness::Nothing)
    }

    /// The witness at one precision, and the bits that agreement needs there: a term
    /// that is tiny beside another must not vanish in the agreement.
    fn witness_at(
        &mut self,
        left: Id,
        right: Id,
        sample: &Sample,
        (precision, needed): (usize, i64),
    ) -> Result<(Witness, i64), Exhausted> {
        let mut arithmetic = Arithmetic::new(precision);
        let (values, range) =
            self.pool.enclosures(&[left, right], sample, &mut arithmetic, &mut self.fuel)?;
        let needed = needed.max(range.saturating_add(limits::AGREEMENT_BITS));
        let [reference, answer] = &values[..] else {
            return Ok((Witness::Nothing, needed));
        };
        // A side without an enclosure may get one from some more bits, not from all.
        let known = reference.parts().is_some() && answer.parts().is_some();
        let target = if known { needed } else { 0 };
        let outside = !sample.is_empty()
            && (reference.is_surely_not_real() || matches!(reference, Enclosure::Undefined))
            && !self.pool.traits(&[left]).has_imaginary;
        if outside {
            // Beyond the real domain of the reference nothing is asked.
            return Ok((Witness::Outside, target));
        }
        Ok((compare(reference, answer, &arithmetic, needed), target))
    }

    /// The order of two constants, when it can be proved.
    pub(crate) fn order(&mut self, left: Id, right: Id) -> Result<Option<Ordering>, Exhausted> {
        if left == right {
            return Ok(Some(Ordering::Equal));
        }
        if let (Some(a), Some(b)) = (self.pool.as_rational(left), self.pool.as_rational(right)) {
            return Ok(Some(a.cmp(b)));
        }
        if self.same(left, right)?.is_equal() {
            return Ok(Some(Ordering::Equal));
        }
        for precision in limits::PRECISIONS {
            let mut arithmetic = Arithmetic::new(precision);
            let (values, _) = self.pool.enclosures(
                &[left, right],
                &Sample::new(),
                &mut arithmetic,
                &mut self.fuel,
            )?;
            if let [Enclosure::Real(a), Enclosure::Real(b)] = &values[..] {
                let sign = arithmetic.sub(a, b).and_then(|difference| difference.sign());
                if sign.is_some() {
                    return Ok(sign);
                }
            }
        }
        Ok(None)
    }

    /// The integer next to a real constant; a guess that needs a proof of its own.
    pub(crate) fn nearest_integer(&mut self, id: Id) -> Result<Option<IBig>, Exhausted> {
        let half = self.pool.rational(exact::fraction(1, 2))?;
        let shifted = self.pool.sum(id, half)?;
        let mut arithmetic = Arithmetic::new(limits::PRECISIONS[0]);
        let (values, _) =
            self.pool.enclosures(&[shifted], &Sample::new(), &mut arithmetic, &mut self.fuel)?;
        Ok(match values.first() {
            Some(Enclosure::Real(ball)) => arithmetic.floor(ball),
            _ => None,
        })
    }
}

/// Bits that two constants must share: more for longer constants, so that a
/// difference that is written down can never be rounded away.
fn needed_bits(traits: &Traits) -> i64 {
    let bits = i64::try_from(traits.constant_bits).unwrap_or(i64::MAX / 4);
    limits::AGREEMENT_BITS.saturating_add(bits)
}

fn compare(
    reference: &Enclosure,
    answer: &Enclosure,
    arithmetic: &Arithmetic,
    needed: i64,
) -> Witness {
    match (reference, answer) {
        (Enclosure::Huge { negative, bits }, Enclosure::Real(ball))
        | (Enclosure::Real(ball), Enclosure::Huge { negative, bits }) => {
            let small = ball.upper().log2().is_none_or(|size| size + 1 < *bits);
            let other_side = match ball.sign() {
                Some(Ordering::Less) => !*negative,
                Some(_) => *negative,
                None => false,
            };
            return if small || other_side { Witness::Differ } else { Witness::Nothing };
        }
        (Enclosure::Real(_), other) if other.is_surely_not_real() => return Witness::Differ,
        _ => {}
    }
    let (Some((a, b)), Some((c, d))) = (reference.parts(), answer.parts()) else {
        return Witness::Nothing;
    };
    if !reference.is_real() && reference.is_surely_not_real() && answer.is_real() {
        return Witness::Differ;
    }
    let (Some(re), Some(im)) = (arithmetic.sub(&a, &c), arithmetic.sub(&b, &d)) else {
        return Witness::Nothing;
    };
    if !re.lower().is_zero() || !im.lower().is_zero() {
        return Witness::Differ;
    }
    let scale = [&a, &b, &c, &d].iter().fold(Magnitude::ZERO, |scale, part| {
        let size = part.lower();
        if size.compare(scale) == Ordering::Greater { size } else { scale }
    });
    // Next to an exact zero the closeness is absolute; elsewhere it is relative.
    let zero = |re: &Ball, im: &Ball| re.is_exact_zero() && im.is_exact_zero();
    let scale = if zero(&a, &b) || zero(&c, &d) { Magnitude::ONE } else { scale };
    let agreed = re.certain_bits(scale).min(im.certain_bits(scale));
    if agreed >= needed { Witness::Agree } else { Witness::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::Function;
    use crate::reason::Verdict;

    #[test]
    fn radicals_are_decided_both_ways() {
        let mut bench = Workbench::new(7);
        let two = bench.pool.integer(2).unwrap();
        let three = bench.pool.integer(3).unwrap();
        let root = bench.pool.square_root(two).unwrap();
        let double = bench.pool.product(two, root).unwrap();
        let inner = bench.pool.sum(three, double).unwrap();
        let nested = bench.pool.square_root(inner).unwrap();
        let one = bench.pool.integer(1).unwrap();
        let simple = bench.pool.sum(one, root).unwrap();
        assert_eq!(bench.same(simple, nested).unwrap().verdict, Verdict::Equal);
        assert_eq!(bench.same(two, nested).unwrap().verdict, Verdict::Different);
    }

    #[test]
    fn pythagorean_identity_holds_and_its_mirror_fails() {
        let mut bench = Workbench::new(7);
        let x = bench.pool.variable("x").unwrap();
        let two = bench.pool.integer(2).unwrap();
        let one = bench.pool.integer(1).unwrap();
        let sine = bench.pool.apply(Function::Sin, x).unwrap();
        let cosine = bench.pool.apply(Function::Cos, x).unwrap();
        let sine_square = bench.pool.power(sine, two).unwrap();
        let cosine_square = bench.pool.power(cosine, two).unwrap();
        let sum = bench.pool.sum(sine_square, cosine_square).unwrap();
        let difference = bench.pool.difference(sine_square, cosine_square).unwrap();
        assert_eq!(bench.same(one, sum).unwrap().verdict, Verdict::Equal);
        assert_eq!(bench.same(one, difference).unwrap().verdict, Verdict::Different);
    }

    #[test]
    fn difference_far_behind_the_point_is_not_rounded_away() {
        let mut bench = Workbench::new(7);
        let pi = bench.pool.insert(crate::expression::Node::Pi).unwrap();
        let sine = bench.pool.apply(Function::Sin, pi).unwrap();
        assert_eq!(bench.pool.as_rational(sine), Some(&dashu_ratio::RBig::ZERO));
        let e = bench.pool.insert(crate::expression::Node::Euler).unwrap();
        let both = bench.pool.sum(pi, e).unwrap();
        let tiny = exact::power(&exact::integer(10), &(-300).into()).unwrap();
        let tiny = bench.pool.rational(tiny).unwrap();
        let near = bench.pool.sum(both, tiny).unwrap();
        assert_eq!(bench.same(both, near).unwrap().verdict, Verdict::Different);
    }
}
