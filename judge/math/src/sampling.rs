//! Where expressions with variables are looked at: fractions spread over intervals
//! near zero and, where an expression has corners, on both sides of its constants.

use dashu_ratio::RBig;

use crate::expression::enclose::Sample;
use crate::expression::traits::Traits;
use crate::limits;
use crate::number::exact;
use crate::number::modular::mix;

/// Intervals that every expression is looked at in; the unit interval several times,
/// because it is the whole domain of some.
const SPANS: [(i64, i64); 8] =
    [(0, 1), (1, 3), (-1, 0), (-4, -1), (0, 1), (3, 12), (0, 1), (-40, -12)];

/// The points of one comparison.
#[derive(Debug)]
pub(crate) struct Plan {
    spans: Vec<(RBig, RBig)>,
    seed: u64,
}

impl Plan {
    pub(crate) fn new(traits: &Traits, seed: u64) -> Self {
        let mut spans: Vec<(RBig, RBig)> =
            SPANS.iter().map(|(low, high)| (exact::integer(*low), exact::integer(*high))).collect();
        if traits.has_branches {
            for centre in traits.constants.iter().take(limits::CORNERS_MAX) {
                let mut centres = vec![centre.clone(), -centre.clone()];
                if let Some(inverse) = exact::div(&RBig::ONE, centre) {
                    centres.extend([inverse.clone(), -inverse]);
                }
                for centre in centres {
                    spans.push((centre.clone(), &centre + RBig::ONE));
                    spans.push((&centre - RBig::ONE, centre));
                }
            }
        }
        Self { spans, seed }
    }

    /// How many points the plan has.
    pub(crate) fn points(&self) -> usize {
        self.spans.len().max(limits::SAMPLES_TRIED)
    }

    /// One point: in the first rounds all variables share an interval, later each
    /// moves on by its position.
    pub(crate) fn sample(&self, traits: &Traits, attempt: usize) -> Sample {
        let mut sample = Sample::new();
        for (index, name) in traits.variables.iter().enumerate() {
            let step = ((attempt as u64) << 20) | index as u64;
            let random = mix(self.seed ^ mix(step));
            let value = if traits.whole.contains(name) {
                let offset = i64::try_from(random % 3).unwrap_or(0);
                exact::integer(i64::try_from(attempt).unwrap_or(0) + 1 + offset)
            } else {
                let turn = if attempt < 2 { attempt } else { attempt + index };
                let (low, high) = &self.spans[turn % self.spans.len()];
                let part = exact::fraction(i64::try_from(random % 1021 + 1).unwrap_or(1), 1023);
                low + part * (high - low)
            };
            sample.push((*name, value));
        }
        sample
    }
}
