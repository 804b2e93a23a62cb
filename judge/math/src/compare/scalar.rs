//! Expressions against expressions: marks first, then values under the numeric policy.

use std::cmp::Ordering;

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use super::{Comparison, Outcome};
use crate::expression::Id;
use crate::number::exact;
use crate::parse::plain;
use crate::policy::{Numeric, Percent, Units};
use crate::reason::{Finding, Holds, Reason, Verdict};
use crate::value::{Mark, Scalar, Shape};

/// Significant digits that a decimal of a multiple of pi or e must show.
const TRANSCENDENTAL_DIGITS_MIN: u32 = 4;

impl Comparison<'_> {
    pub(super) fn scalars(&mut self, reference: &Scalar, answer: &Scalar) -> Outcome {
        match (&reference.mark, &answer.mark) {
            (Mark::None, Mark::None) => self.plain_numbers(reference, answer),
            (Mark::Percent, _) | (_, Mark::Percent) => self.percents(reference, answer),
            (Mark::Degrees, _) | (_, Mark::Degrees) => self.angles(reference, answer),
            (Mark::Unit(_), _) | (_, Mark::Unit(_)) => self.quantities(reference, answer),
            (Mark::Currency(a), Mark::Currency(b)) if a != b => {
                Ok(Finding::different(Reason::Unit))
            }
            (Mark::Currency(_), Mark::Label(label)) if label == "cent" => {
                let hundredth = self.bench.pool.rational(exact::fraction(1, 100))?;
                let id = self.bench.pool.product(answer.id, hundredth)?;
                self.numbers(reference, &Scalar::exact(id))
            }
            (Mark::Label(label), Mark::Currency(_)) if label == "cent" => {
                let hundredth = self.bench.pool.rational(exact::fraction(1, 100))?;
                let id = self.bench.pool.product(reference.id, hundredth)?;
                self.numbers(&Scalar::exact(id), answer)
            }
            (Mark::Label(a), Mark::Label(b)) => {
                let finding = self.numbers(reference, answer)?;
                if a == b || a.ends_with(b.as_str()) || b.ends_with(a.as_str()) {
                    return Ok(finding);
                }
                Ok(if finding.is_equal() { Finding::undecided(Reason::Label) } else { finding })
            }
            (Mark::Currency(_) | Mark::Label(_) | Mark::None, _) => self.numbers(reference, answer),
        }
    }

    fn percents(&mut self, reference: &Scalar, answer: &Scalar) -> Outcome {
        let compatible = |mark: &Mark| matches!(mark, Mark::None | Mark::Percent | Mark::Label(_));
        if !compatible(&reference.mark) || !compatible(&answer.mark) {
            return Ok(Finding::different(Reason::Percent));
        }
        if reference.mark == answer.mark {
            return self.numbers(reference, answer);
        }
        let hundredth = |comparison: &mut Self, scalar: &Scalar| -> Result<Scalar, _> {
            let id = plain(comparison.bench, scalar)?;
            let shape = match (&scalar.mark, scalar.shape) {
                (Mark::Percent, Shape::Decimal { decimals, significant }) => {
                    Shape::Decimal { decimals: decimals + 2, significant }
                }
                (_, shape) => shape,
            };
            Ok::<_, crate::fuel::Exhausted>(Scalar {
                id,
                shape,
                mark: Mark::None,
                reducible: false,
            })
        };
        let left = hundredth(self, reference)?;
        let right = hundredth(self, answer)?;
        let by_value = self.numbers(&left, &right)?;
        if by_value.is_equal() {
            return Ok(Finding::equal(Reason::Percent));
        }
        let dropped = match self.policy.percent {
            Percent::Value => false,
            Percent::SignMayBeDropped | Percent::AnyScale => {
                self.may_be_percents(reference)? && self.numbers(reference, answer)?.is_equal()
            }
        };
        if dropped {
            return Ok(Finding::equal(Reason::Percent));
        }
        Ok(Finding { reason: Reason::Percent, ..by_value })
    }

    /// A reference with the sign, or a plain one that cannot be a share of one.
    fn may_be_percents(&mut self, reference: &Scalar) -> Result<bool, crate::fuel::Exhausted> {
        if reference.mark == Mark::Percent {
            return Ok(true);
        }
        let one = self.bench.pool.integer(1)?;
        Ok(self.bench.order(reference.id, one)? == Some(Ordering::Greater))
    }

    /// Numbers; where the policy takes any scale of percents, also 100 times either.
    fn plain_numbers(&mut self, reference: &Scalar, answer: &Scalar) -> Outcome {
        let finding = self.numbers(reference, answer)?;
        if finding.is_equal() || self.policy.percent != Percent::AnyScale {
            return Ok(finding);
        }
        for scale in [exact::integer(100), exact::fraction(1, 100)] {
            let scale = self.bench.pool.rational(scale)?;
            let scaled = Scalar::exact(self.bench.pool.product(answer.id, scale)?);
            if self.numbers(reference, &scaled)?.is_equal() {
                return Ok(Finding::equal(Reason::Percent));
            }
        }
        Ok(finding)
    }

    fn angles(&mut self, reference: &Scalar, answer: &Scalar) -> Outcome {
        if reference.mark == answer.mark {
            return self.numbers(reference, answer);
        }
        let temperature = |mark: &Mark| match mark {
            Mark::Unit(unit) => matches!(unit.name(), "Celsius" | "Fahrenheit"),
            Mark::None | Mark::Degrees | Mark::Label(_) => true,
            Mark::Percent | Mark::Currency(_) => false,
        };
        if !temperature(&reference.mark) || !temperature(&answer.mark) {
            return Ok(Finding::different(Reason::Angle));
        }
        let left = Scalar::exact(plain(self.bench, reference)?);
        let right = Scalar::exact(plain(self.bench, answer)?);
        let radians = self.numbers(&left, &right)?;
        if radians.is_equal() {
            return Ok(Finding::equal(Reason::Angle));
        }
        let radian = |mark: &Mark| matches!(mark, Mark::Label(label) if label == "radian");
        let circular = self.bench.pool.traits(&[reference.id, answer.id]).has_pi
            || radian(&reference.mark)
            || radian(&answer.mark);
        if !circular
            && self.policy.degree_may_be_dropped.is_on()
            && self.numbers(reference, answer)?.is_equal()
        {
            return Ok(Finding::equal(Reason::Angle));
        }
        Ok(Finding { reason: Reason::Angle, ..radians })
    }

    fn quantities(&mut self, reference: &Scalar, answer: &Scalar) -> Outcome {
        if self.policy.units == Units::Ignored {
            return self.numbers(reference, answer);
        }
        let (Mark::Unit(a), Mark::Unit(b)) = (&reference.mark, &answer.mark) else {
            let labelled =
                matches!(reference.mark, Mark::Label(_)) || matches!(answer.mark, Mark::Label(_));
            let currency = matches!(reference.mark, Mark::Currency(_))
                || matches!(answer.mark, Mark::Currency(_));
            let finding = self.numbers(reference, answer)?;
            if currency
                || (self.policy.units == Units::Required && matches!(reference.mark, Mark::Unit(_)))
            {
                return Ok(Finding::different(Reason::Unit));
            }
            if labelled && finding.is_equal() {
                return Ok(Finding::undecided(Reason::Unit));
            }
            return Ok(finding);
        };
        if !a.same_dimension(b) {
            return Ok(Finding::different(Reason::Unit));
        }
        if a.same_scale(b) {
            return self.numbers(reference, answer);
        }
        if self.policy.units == Units::OptionalVerbatim {
            return Ok(Finding::different(Reason::Unit));
        }
        let Some(factor) = b.conversion(a) else {
            return Ok(Finding::undecided(Reason::Unit));
        };
        let factor = self.bench.pool.rational(factor)?;
        let converted = self.bench.pool.product(answer.id, factor)?;
        let converted = Scalar { id: converted, ..Scalar::exact(converted) };
        let finding = self.numbers(reference, &converted)?;
        Ok(Finding { reason: Reason::Unit, ..finding })
    }

    /// Values without their marks.
    pub(super) fn numbers(&mut self, reference: &Scalar, answer: &Scalar) -> Outcome {
        let finding = self.expressions(reference.id, answer.id)?;
        if finding.is_equal() {
            let reduced = self.policy.lowest_terms.is_on() && answer.reducible;
            return Ok(if reduced { Finding::different(Reason::SameForm) } else { finding });
        }
        if reference.shape == Shape::Exact
            && answer.shape == Shape::Exact
            && !self.tolerates_exact()
        {
            return Ok(finding);
        }
        let constant =
            self.bench.pool.is_constant(reference.id) && self.bench.pool.is_constant(answer.id);
        if !constant {
            return Ok(finding);
        }
        match self.close(reference, answer)? {
            Holds::Yes if self.is_rounding() => Ok(Finding::equal(Reason::Rounded)),
            Holds::Yes => Ok(Finding::equal(Reason::Tolerance)),
            Holds::No | Holds::Unknown => Ok(finding),
        }
    }

    fn is_rounding(&self) -> bool {
        matches!(self.policy.numeric, Numeric::Rounding { .. })
    }

    fn tolerates_exact(&self) -> bool {
        match self.policy.numeric {
            Numeric::Exact | Numeric::Rounding { .. } => false,
            Numeric::Relative { .. } | Numeric::Absolute { .. } | Numeric::SignificantDigits(_) => {
                true
            }
        }
    }

    fn close(
        &mut self,
        reference: &Scalar,
        answer: &Scalar,
    ) -> Result<Holds, crate::fuel::Exhausted> {
        match self.policy.numeric {
            Numeric::Exact => Ok(Holds::No),
            Numeric::Rounding { answer_digits_min, reference_digits_min } => {
                self.rounded(reference, answer, (answer_digits_min, reference_digits_min))
            }
            Numeric::Absolute { digits } => {
                self.within(reference.id, answer.id, &unit(i64::from(digits)))
            }
            Numeric::Relative { digits } => {
                let margin = unit(i64::from(digits));
                let pool = &mut self.bench.pool;
                let margin = pool.rational(margin)?;
                let size = pool.apply(crate::expression::Function::Abs, reference.id)?;
                let margin = pool.product(size, margin)?;
                self.within_margin(reference.id, answer.id, margin)
            }
            Numeric::SignificantDigits(digits) => {
                let pool = &mut self.bench.pool;
                let margin = pool.rational(unit(i64::from(digits)) * exact::fraction(1, 2))?;
                let size = pool.apply(crate::expression::Function::Abs, reference.id)?;
                let margin = pool.product(size, margin)?;
                self.within_margin(reference.id, answer.id, margin)
            }
        }
    }

    /// The rules of correct rounding, by which side is the decimal.
    fn rounded(
        &mut self,
        reference: &Scalar,
        answer: &Scalar,
        (answer_digits, reference_digits): (u32, u32),
    ) -> Result<Holds, crate::fuel::Exhausted> {
        let half = exact::fraction(1, 2);
        match (reference.shape, answer.shape) {
            (Shape::Exact, Shape::Exact) => Ok(Holds::No),
            (Shape::Exact, Shape::Decimal { decimals, significant }) => {
                if significant < answer_digits {
                    return Ok(Holds::No);
                }
                self.within(reference.id, answer.id, &(unit(decimals) * half))
            }
            (Shape::Decimal { decimals, significant }, Shape::Exact) => {
                let traits = self.bench.pool.traits(&[answer.id]);
                let needed = if traits.has_pi || traits.has_euler {
                    reference_digits.max(TRANSCENDENTAL_DIGITS_MIN)
                } else {
                    reference_digits
                };
                let whole = self.bench.pool.as_rational(answer.id).is_some_and(RBig::is_int);
                if significant < needed || whole {
                    return Ok(Holds::No);
                }
                self.within(reference.id, answer.id, &(unit(decimals) * half))
            }
            (
                Shape::Decimal { decimals: own, significant },
                Shape::Decimal { decimals: other, significant: shown },
            ) => {
                if other > own && significant >= reference_digits {
                    // A finer answer: close in proportion as well, so that 12.49 is not 12.5.
                    let near = self.within(reference.id, answer.id, &(unit(own) * half))?;
                    let pool = &mut self.bench.pool;
                    let margin = pool.rational(exact::fraction(1, 2000))?;
                    let size = pool.apply(crate::expression::Function::Abs, reference.id)?;
                    let margin = pool.product(size, margin)?;
                    let tight = self.within_margin(reference.id, answer.id, margin)?;
                    return Ok(if near == Holds::Yes { tight } else { near });
                }
                if other < own && shown >= answer_digits {
                    return self.within(reference.id, answer.id, &(unit(other) * half));
                }
                Ok(Holds::No)
            }
        }
    }

    fn within(
        &mut self,
        left: Id,
        right: Id,
        margin: &RBig,
    ) -> Result<Holds, crate::fuel::Exhausted> {
        let margin = self.bench.pool.rational(margin.clone())?;
        self.within_margin(left, right, margin)
    }

    /// Whether two constants differ by at most `margin`, as a proof.
    fn within_margin(
        &mut self,
        left: Id,
        right: Id,
        margin: Id,
    ) -> Result<Holds, crate::fuel::Exhausted> {
        let pool = &mut self.bench.pool;
        let difference = pool.difference(left, right)?;
        let size = pool.apply(crate::expression::Function::Abs, difference)?;
        Ok(match self.bench.order(size, margin)? {
            Some(Ordering::Less | Ordering::Equal) => Holds::Yes,
            Some(Ordering::Greater) => Holds::No,
            None => Holds::Unknown,
        })
    }

    /// Expression equality, with renamed variables where the policy says so.
    pub(super) fn expressions(&mut self, reference: Id, answer: Id) -> Outcome {
        let finding = self.bench.same(reference, answer)?;
        if finding.verdict == Verdict::Equal || self.policy.symbols == crate::policy::Symbols::Exact
        {
            return Ok(finding);
        }
        let left = self.bench.pool.traits(&[reference]).variables;
        let right = self.bench.pool.traits(&[answer]).variables;
        if left.is_empty() || left.len() != right.len() {
            return Ok(finding);
        }
        let mut pairs = Vec::new();
        for (to, from) in left.into_iter().zip(right) {
            let from = self.bench.pool.insert(crate::expression::Node::Variable(from))?;
            let to = self.bench.pool.insert(crate::expression::Node::Variable(to))?;
            pairs.push((from, to));
        }
        let renamed = self.bench.pool.substitute(answer, &pairs)?;
        self.bench.same(reference, renamed)
    }
}

/// `10^-digits`.
fn unit(digits: i64) -> RBig {
    let power = UBig::from(10u8).pow(usize::try_from(digits.unsigned_abs()).unwrap_or(0).min(4096));
    if digits >= 0 { RBig::from_parts(IBig::ONE, power) } else { RBig::from(IBig::from(power)) }
}
