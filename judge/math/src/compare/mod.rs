//! Comparison of two typed values. The kind of the reference chooses the rule;
//! coercions between kinds are few and named. No rule guesses: what none decides
//! is undecided.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rule names the kinds that it settles; the rest goes on"
)]

mod collection;
mod equation;
mod family;
mod parameter;
mod prepare;
mod region;
mod scalar;
mod solve;

use std::collections::BTreeSet;

use crate::expression::{Id, Name, Node};
use crate::fuel::Exhausted;
use crate::identity::Workbench;
use crate::parse::words;
use crate::policy::Policy;
use crate::reason::{Finding, Reason, Verdict};
use crate::value::{Mark, Scalar, Value};

pub(crate) type Outcome = Result<Finding, Exhausted>;

/// One comparison: where expressions live, what counts, which names are whole.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) bench: &'a mut Workbench,
    pub(crate) policy: &'a Policy,
    /// Variables that either side declares to be integers.
    whole: BTreeSet<Name>,
    /// Inside of tuples a parameter is shared by the entries: no families there.
    linked: bool,
    /// What happens to a name that all items of a list are assigned to.
    names: SharedNames,
}

/// What happens to a name that all items of a list are assigned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SharedNames {
    /// `x = 1, x = 2` is the list of the values.
    Dropped,
    /// It is a list of equations.
    Kept,
}

/// Compares two values as they were read.
pub(crate) fn compare(
    bench: &mut Workbench,
    policy: &Policy,
    reference: &Value,
    answer: &Value,
) -> Outcome {
    let whole = BTreeSet::new();
    let mut comparison =
        Comparison { bench, policy, whole, linked: false, names: SharedNames::Dropped };
    let finding = comparison.both(reference, answer)?;
    let several = |value: &Value| matches!(value, Value::List { .. } | Value::Chain { .. });
    if finding.is_equal() || !several(reference) || !several(answer) {
        return Ok(finding);
    }
    // `y = x, y = -x` against `x + y = 0, x - y = 0`: as equations, not as values of y.
    comparison.whole.clear();
    comparison.names = SharedNames::Kept;
    let kept = comparison.both(reference, answer)?;
    Ok(if kept.is_equal() { kept } else { finding })
}

impl Comparison<'_> {
    fn both(&mut self, reference: &Value, answer: &Value) -> Outcome {
        let reference = self.prepared(reference.clone())?;
        let ours = std::mem::take(&mut self.whole);
        let answer = self.prepared(answer.clone())?;
        let answer = self.same_parameter(&ours, answer)?;
        self.whole.extend(ours);
        let finding = self.values(&reference, &answer)?;
        if finding.is_equal() {
            return Ok(finding);
        }
        Ok(self.renamed_parameters(&reference, &answer)?.unwrap_or(finding))
    }

    /// The table of kinds.
    pub(crate) fn values(&mut self, reference: &Value, answer: &Value) -> Outcome {
        self.bench.fuel.spend(4)?;
        if reference == answer {
            if let Value::Scalar(scalar) = reference {
                return self.scalars(scalar, scalar);
            }
            return Ok(Finding::equal(Reason::SameForm));
        }
        if let Some(finding) = self.assigned(reference, answer)? {
            return Ok(finding);
        }
        if let Some(finding) = self.families(reference, answer)? {
            return Ok(finding);
        }
        match (reference, answer) {
            (Value::Scalar(a), Value::Scalar(b)) => self.scalars(a, b),
            (Value::Words(a), Value::Words(b)) => Ok(words_finding(a, b)),
            (Value::Words(text), other) | (other, Value::Words(text)) => {
                Ok(self.words_against(text, other))
            }
            (Value::Based { digits, base }, other) | (other, Value::Based { digits, base }) => {
                self.based(digits, *base, other)
            }
            (Value::Ratio(a), Value::Ratio(b)) => self.ratios(a, b),
            (Value::Ratio(parts), Value::Scalar(scalar))
            | (Value::Scalar(scalar), Value::Ratio(parts)) => self.ratio_against(parts, scalar),
            (Value::Time(a), Value::Time(b)) => Ok(times(*a, *b)),
            (Value::Time(time), other) | (other, Value::Time(time)) => {
                self.time_against(*time, other)
            }
            (Value::Date(a), Value::Date(b)) => {
                Ok(Finding::when(crate::reason::Holds::from_bool(a == b), Reason::Calendar))
            }
            (Value::Date(_), _) | (_, Value::Date(_)) => Ok(Finding::different(Reason::Kind)),
            _ => self.structures(reference, answer),
        }
    }

    /// Assignments against values and against each other.
    fn assigned(
        &mut self,
        reference: &Value,
        answer: &Value,
    ) -> Result<Option<Finding>, Exhausted> {
        let left = self.assignment(reference).map(|(name, value)| (name, value.clone()));
        let right = self.assignment(answer).map(|(name, value)| (name, value.clone()));
        match (left, right) {
            (Some((_, value)), None) if !matches!(answer, Value::Chain { .. }) => {
                let answer = answer.clone();
                let finding = self.values(&value, &answer)?;
                Ok(Some(renamed_reason(finding, Reason::Assignment)))
            }
            (None, Some((_, value))) if !matches!(reference, Value::Chain { .. }) => {
                let finding = self.values(reference, &value)?;
                Ok(Some(renamed_reason(finding, Reason::Assignment)))
            }
            (Some((a, left)), Some((b, right))) => self.both_assigned((a, &left), (b, &right)),
            _ => Ok(None),
        }
    }

    fn both_assigned(
        &mut self,
        (a, left): (Id, &Value),
        (b, right): (Id, &Value),
    ) -> Result<Option<Finding>, Exhausted> {
        if a == b {
            let finding = self.values(left, right)?;
            return Ok(Some(renamed_reason(finding, Reason::Assignment)));
        }
        let calls = (self.bench.pool.node(a).clone(), self.bench.pool.node(b).clone());
        match calls {
            (Node::Call(f, from), Node::Call(g, to)) if from.len() == to.len() && f == g => {
                let Value::Scalar(scalar) = right else {
                    return Ok(None);
                };
                let names = to.iter().all(|id| self.bench.pool.as_variable(*id).is_some());
                if !names {
                    return Ok(None);
                }
                let pairs: Vec<(Id, Id)> = to.into_iter().zip(from).collect();
                let id = self.bench.pool.substitute(scalar.id, &pairs)?;
                let renamed = Value::Scalar(Scalar { id, ..scalar.clone() });
                let finding = self.values(left, &renamed)?;
                Ok(Some(renamed_reason(finding, Reason::Assignment)))
            }
            // `f(x) = ...` against `y = ...`.
            (Node::Call(..), Node::Variable(_)) | (Node::Variable(_), Node::Call(..)) => {
                let finding = self.values(left, right)?;
                Ok(Some(renamed_reason(finding, Reason::Assignment)))
            }
            _ => Ok(None),
        }
    }

    fn words_against(&self, text: &str, other: &Value) -> Finding {
        let infinite =
            words::synonym(text) == "infinitely many" || words::synonym(text) == "infinity";
        if let Value::Scalar(scalar) = other {
            if infinite
                && self.bench.pool.as_infinity(scalar.id) == Some(crate::expression::Sign::Positive)
            {
                return Finding::equal(Reason::Text);
            }
            if self.bench.pool.is_constant(scalar.id) {
                let numeric = text.chars().any(|character| character.is_ascii_digit())
                    || text.split(' ').any(|word| words::number(word).is_some());
                let hedged = text.split(' ').any(|word| matches!(word, "or" | "not" | "either"));
                return if numeric && hedged {
                    Finding::different(Reason::Hedged)
                } else if numeric {
                    Finding::undecided(Reason::Text)
                } else {
                    Finding::different(Reason::Kind)
                };
            }
            return Finding::undecided(Reason::Text);
        }
        let symbolic = text.chars().any(|character| character.is_ascii_digit());
        if symbolic { Finding::undecided(Reason::Text) } else { Finding::different(Reason::Kind) }
    }

    fn based(&self, digits: &str, base: u32, other: &Value) -> Outcome {
        match other {
            Value::Based { digits: others, base: other_base } => {
                let same = base == *other_base && same_digits(digits, others);
                Ok(Finding::when(crate::reason::Holds::from_bool(same), Reason::Base))
            }
            Value::Scalar(scalar) if scalar.mark == Mark::None => {
                let shown = self.bench.pool.as_rational(scalar.id).map(ToString::to_string);
                let dropped = self.policy.base_may_be_dropped.is_on()
                    && shown.is_some_and(|shown| same_digits(digits, &shown));
                let value =
                    dashu_int::UBig::from_str_radix(digits, base).ok().map(dashu_int::IBig::from);
                let by_value = self.policy.base_by_value.is_on()
                    && value
                        .zip(self.bench.pool.as_rational(scalar.id))
                        .is_some_and(|(value, known)| *known == dashu_ratio::RBig::from(value));
                Ok(Finding::when(
                    crate::reason::Holds::from_bool(dropped || by_value),
                    Reason::Base,
                ))
            }
            _ => Ok(Finding::different(Reason::Kind)),
        }
    }

    fn ratios(&mut self, left: &[Id], right: &[Id]) -> Outcome {
        if left.len() != right.len() {
            return Ok(Finding::different(Reason::Ratio));
        }
        let mut unknown = false;
        for index in 1..left.len() {
            let pool = &mut self.bench.pool;
            let a = pool.product(left[0], right[index])?;
            let b = pool.product(right[0], left[index])?;
            match self.bench.same(a, b)?.verdict {
                Verdict::Equal => {}
                Verdict::Different => return Ok(Finding::different(Reason::Ratio)),
                Verdict::Undecided => unknown = true,
            }
        }
        Ok(if unknown { Finding::undecided(Reason::Ratio) } else { Finding::equal(Reason::Ratio) })
    }

    fn ratio_against(&mut self, parts: &[Id], scalar: &Scalar) -> Outcome {
        let [top, bottom] = parts else {
            return Ok(Finding::different(Reason::Kind));
        };
        let quotient = self.bench.pool.quotient(*top, *bottom)?;
        let finding = self.bench.same(quotient, scalar.id)?;
        Ok(match finding.verdict {
            Verdict::Equal if self.policy.ratio_as_fraction.is_on() => {
                Finding::equal(Reason::Ratio)
            }
            Verdict::Equal | Verdict::Different => Finding::different(Reason::Ratio),
            Verdict::Undecided => finding,
        })
    }

    /// A time against a ratio of the same digits, or against anything else.
    fn time_against(&mut self, [hours, minutes, _]: [u32; 3], other: &Value) -> Outcome {
        let top = self.bench.pool.integer(i64::from(hours))?;
        let bottom = self.bench.pool.integer(i64::from(minutes))?;
        match other {
            Value::Ratio(parts) => self.ratios(&[top, bottom], parts),
            Value::Scalar(scalar) => self.ratio_against(&[top, bottom], scalar),
            _ => Ok(Finding::different(Reason::Kind)),
        }
    }
}

fn same_digits(left: &str, right: &str) -> bool {
    left.trim_start_matches('0').eq_ignore_ascii_case(right.trim_start_matches('0'))
}

fn times(left: [u32; 3], right: [u32; 3]) -> Finding {
    if left == right {
        return Finding::equal(Reason::Calendar);
    }
    // `1:10` may be a ratio; then `2:20` is the same.
    let same_ratio = left[1] != 0 && right[1] != 0 && left[0] * right[1] == right[0] * left[1];
    if same_ratio {
        Finding::undecided(Reason::Calendar)
    } else {
        Finding::different(Reason::Calendar)
    }
}

/// Same words, or words of one meaning.
pub(crate) fn words_finding(left: &str, right: &str) -> Finding {
    if words::synonym(left) == words::synonym(right) || words::core(left) == words::core(right) {
        return Finding::equal(Reason::Text);
    }
    let bare = |text: &str| text.split(' ').filter(|word| !word.is_empty()).count();
    let denies =
        |text: &str| text.split(' ').any(|word| matches!(word, "not" | "no" | "never" | "neither"));
    let short = bare(left) <= 3 && bare(right) <= 3;
    if short || denies(left) != denies(right) {
        return Finding::different(Reason::Text);
    }
    Finding::undecided(Reason::Text)
}

fn renamed_reason(finding: Finding, reason: Reason) -> Finding {
    if finding.is_equal() { Finding::equal(reason) } else { finding }
}
