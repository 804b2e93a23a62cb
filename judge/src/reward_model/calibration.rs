//! From the raw score of a value head to the probability that the answer is right. Pure.
//!
//! Platt: a logistic function of the score, fitted by Newton's method with Platt's targets, which
//! keep it from being sure of what it has seen only once. Isotonic: the steps that fit best among
//! those that never fall (pool adjacent violators), linear between their middles.

use serde::{Deserialize, Serialize};

/// Rounds of Newton's method.
const ROUNDS_MAX: usize = 100;
/// Bins of the expected calibration error.
const BINS: usize = 10;
/// Steps of an isotonic calibration that are kept.
const STEPS_MAX: usize = 4096;

/// A fitted calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum Calibration {
    /// `1 / (1 + exp(-(slope * score + intercept)))`.
    Platt {
        /// Of the score.
        slope: f64,
        /// At score 0.
        intercept: f64,
    },
    /// Linear between points; flat outside.
    Isotonic {
        /// Score and probability, both rising.
        points: Vec<(f64, f64)>,
    },
}

/// A score and whether the answer was right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    /// What the value head said.
    pub score: f64,
    /// The truth.
    pub right: bool,
}

/// How good scores are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// How many there are.
    pub count: usize,
    /// How many of them are right.
    pub right: usize,
    /// The chance that a right one scores above a wrong one.
    pub auc: f64,
    /// The mean distance between probability and frequency, over ten bins.
    pub expected_calibration_error: f64,
    /// The mean squared distance between probability and truth.
    pub brier: f64,
    /// The share judged rightly at the threshold that is best on these data.
    pub best_accuracy: f64,
    /// That threshold.
    pub best_threshold: f64,
}

/// What is wrong with labelled scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// Nothing can be learnt from one kind.
    #[error("there must be right and wrong answers among the labels")]
    OneKind,
    /// A score that is no number.
    #[error("score {index} is not finite")]
    NotFinite {
        /// Which, from 0.
        index: usize,
    },
    /// A calibration that no fit can have made.
    #[error("the calibration is not one: {0}")]
    Broken(&'static str),
}

impl Calibration {
    /// The identity of the logistic function, where nothing was fitted.
    #[must_use]
    pub fn plain() -> Self {
        Self::Platt { slope: 1.0, intercept: 0.0 }
    }

    /// Checks what was read from a file.
    ///
    /// # Errors
    /// It is no calibration.
    pub fn check(&self) -> Result<(), CalibrationError> {
        match self {
            Self::Platt { slope, intercept } if !slope.is_finite() || !intercept.is_finite() => {
                Err(CalibrationError::Broken("a number is not finite"))
            }
            Self::Platt { slope, .. } if *slope <= 0.0 => {
                Err(CalibrationError::Broken("the slope is not positive: higher scores are worse"))
            }
            Self::Platt { .. } => Ok(()),
            Self::Isotonic { points } => {
                let numbers = points.iter().all(|(x, y)| x.is_finite() && (0.0..=1.0).contains(y));
                let rises =
                    points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
                match (points.is_empty(), numbers, rises) {
                    (true, ..) => Err(CalibrationError::Broken("it has no points")),
                    (_, false, _) => Err(CalibrationError::Broken("a point is out of bounds")),
                    (_, _, false) => Err(CalibrationError::Broken("its points do not rise")),
                    (false, true, true) => Ok(()),
                }
            }
        }
    }

    /// The probability that an answer of this score is right.
    #[must_use]
    pub fn probability(&self, score: f64) -> f64 {
        match self {
            Self::Platt { slope, intercept } => logistic(slope * score + intercept),
            Self::Isotonic { points } => interpolate(points, score),
        }
    }
}

fn logistic(x: f64) -> f64 {
    // Both forms are exact where the other would overflow.
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

fn interpolate(points: &[(f64, f64)], score: f64) -> f64 {
    let after = points.partition_point(|(x, _)| *x <= score);
    match (after.checked_sub(1).and_then(|at| points.get(at)), points.get(after)) {
        (Some((_, y)), None) | (None, Some((_, y))) => *y,
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (score - x0) / (x1 - x0),
        (None, None) => 0.5,
    }
}

fn checked(data: &[Labelled]) -> Result<(usize, usize), CalibrationError> {
    if let Some(index) = data.iter().position(|one| !one.score.is_finite()) {
        return Err(CalibrationError::NotFinite { index });
    }
    let right = data.iter().filter(|one| one.right).count();
    if right == 0 || right == data.len() {
        return Err(CalibrationError::OneKind);
    }
    Ok((right, data.len() - right))
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples are far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}

/// Fits a logistic function.
///
/// # Errors
/// Nothing can be learnt from these data.
pub fn platt(data: &[Labelled]) -> Result<Calibration, CalibrationError> {
    let (right, wrong) = checked(data)?;
    let (high, low) = ((float(right) + 1.0) / (float(right) + 2.0), 1.0 / (float(wrong) + 2.0));
    // On scores of size one the method needs no care for scale.
    let mean = data.iter().map(|one| one.score).sum::<f64>() / float(data.len());
    let variance =
        data.iter().map(|one| (one.score - mean).powi(2)).sum::<f64>() / float(data.len());
    let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    let scaled: Vec<(f64, f64)> = data
        .iter()
        .map(|one| ((one.score - mean) / scale, if one.right { high } else { low }))
        .collect();
    let loss = |a: f64, b: f64| -> f64 {
        let each = |(x, t): &(f64, f64)| {
            let z = a * x + b;
            // log(1 + e^z) - t z, without overflow.
            z.max(0.0) + (-z.abs()).exp().ln_1p() - t * z
        };
        scaled.iter().map(each).sum()
    };
    let (mut a, mut b) = (0.0, ((float(right) + 1.0) / (float(wrong) + 1.0)).ln());
    for _ in 0..ROUNDS_MAX {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 1e-9, 0.0, 1e-9);
        for (x, t) in &scaled {
            let p = logistic(a * x + b);
            let (error, weight) = (p - t, p * (1.0 - p));
            ga += error * x;
            gb += error;
            haa += weight * x * x;
            hab += weight * x;
            hbb += weight;
        }
        let determinant = haa * hbb - hab * hab;
        let (da, db) = ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant);
        let mut step = 1.0;
        let here = loss(a, b);
        while step > 1e-10 && loss(a - step * da, b - step * db) > here {
            step /= 2.0;
        }
        (a, b) = (a - step * da, b - step * db);
        if (step * da).abs().max((step * db).abs()) < 1e-10 {
            break;
        }
    }
    let calibration = Calibration::Platt { slope: a / scale, intercept: b - a * mean / scale };
    calibration.check().map(|()| calibration)
}

/// Fits steps that never fall.
///
/// # Errors
/// Nothing can be learnt from these data.
pub fn isotonic(data: &[Labelled]) -> Result<Calibration, CalibrationError> {
    checked(data)?;
    let mut sorted = data.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    /// Neighbours with one value: sums of scores and of right answers, and how many.
    struct Block {
        scores: f64,
        right: f64,
        count: f64,
    }
    let mut blocks: Vec<Block> = Vec::new();
    let mut last = None;
    for one in &sorted {
        let right = if one.right { 1.0 } else { 0.0 };
        match blocks.last_mut() {
            // Equal scores are one point, whatever their order.
            Some(block) if last == Some(one.score) => {
                block.scores += one.score;
                block.right += right;
                block.count += 1.0;
            }
            _ => blocks.push(Block { scores: one.score, right, count: 1.0 }),
        }
        last = Some(one.score);
        let ends = sorted.len();
        while blocks.len() > 1 && ends > 0 {
            let [.., below, above] = &blocks[..] else {
                break;
            };
            if below.right / below.count < above.right / above.count {
                break;
            }
            if let (Some(above), Some(below)) = (blocks.pop(), blocks.last_mut()) {
                below.scores += above.scores;
                below.right += above.right;
                below.count += above.count;
            }
        }
    }
    let mut points: Vec<(f64, f64)> = blocks
        .iter()
        .map(|block| (block.scores / block.count, block.right / block.count))
        .collect();
    points.dedup_by(|next, before| next.0 <= before.0);
    if points.len() > STEPS_MAX {
        let step = points.len().div_ceil(STEPS_MAX);
        points = points.into_iter().step_by(step).collect();
    }
    let calibration = Calibration::Isotonic { points };
    calibration.check().map(|()| calibration)
}

/// How good scores are under a calibration.
///
/// # Errors
/// Nothing can be said about these data.
pub fn quality(data: &[Labelled], calibration: &Calibration) -> Result<Quality, CalibrationError> {
    let (right, wrong) = checked(data)?;
    let mut sorted = data.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let (best_accuracy, best_threshold) = best_cut(&sorted, right, calibration);
    let probabilities: Vec<(f64, bool)> =
        data.iter().map(|one| (calibration.probability(one.score), one.right)).collect();
    let squares = |(p, right): &(f64, bool)| (p - if *right { 1.0 } else { 0.0 }).powi(2);
    Ok(Quality {
        count: data.len(),
        right,
        auc: area(&sorted, right, wrong),
        expected_calibration_error: calibration_error(&probabilities),
        brier: probabilities.iter().map(squares).sum::<f64>() / float(data.len()),
        best_accuracy,
        best_threshold,
    })
}

/// Mann and Whitney's statistic; ties count half.
fn area(sorted: &[Labelled], right: usize, wrong: usize) -> f64 {
    let (mut below, mut sum) = (0_usize, 0.0);
    for tied in sorted.chunk_by(|a, b| a.score == b.score) {
        let rights = tied.iter().filter(|one| one.right).count();
        let wrongs = tied.len() - rights;
        sum += float(rights) * (float(below) + float(wrongs) / 2.0);
        below += wrongs;
    }
    sum / (float(right) * float(wrong))
}

/// The accuracy at the best cut, and the probability there.
fn best_cut(sorted: &[Labelled], right: usize, calibration: &Calibration) -> (f64, f64) {
    // Everything above the cut is taken for right.
    let mut hits = right;
    let mut best = (hits, 0.0);
    let mut index = 0;
    for tied in sorted.chunk_by(|a, b| a.score == b.score) {
        let rights = tied.iter().filter(|one| one.right).count();
        hits = hits + (tied.len() - rights) - rights;
        index += tied.len();
        if hits > best.0 {
            let here = calibration.probability(tied[0].score);
            let next = sorted.get(index).map_or(1.0, |next| calibration.probability(next.score));
            best = (hits, f64::midpoint(here, next));
        }
    }
    (float(best.0) / float(sorted.len()), best.1)
}

fn calibration_error(probabilities: &[(f64, bool)]) -> f64 {
    let mut bins = [(0_usize, 0.0_f64, 0_usize); BINS];
    for (p, right) in probabilities {
        let bin = (1..BINS).find(|edge| *p < float(*edge) / float(BINS)).unwrap_or(BINS) - 1;
        bins[bin].0 += 1;
        bins[bin].1 += p;
        bins[bin].2 += usize::from(*right);
    }
    let distance = |(count, sum, right): &(usize, f64, usize)| {
        if *count == 0 { 0.0 } else { (sum - float(*right)).abs() }
    };
    bins.iter().map(distance).sum::<f64>() / float(probabilities.len().max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scores whose truth follows a known logistic function.
    fn sample(count: u32, slope: f64, intercept: f64) -> Vec<Labelled> {
        let mut state = 12345_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31)
        };
        (0..count)
            .map(|_| {
                let score = uniform() * 8.0 - 4.0;
                Labelled { score, right: uniform() < logistic(slope * score + intercept) }
            })
            .collect()
    }

    #[test]
    fn platt_finds_the_function_that_made_the_data() {
        let data = sample(20_000, 1.7, -0.6);
        let Calibration::Platt { slope, intercept } = platt(&data).unwrap() else { unreachable!() };
        assert!((slope - 1.7).abs() < 0.1 && (intercept + 0.6).abs() < 0.1, "{slope} {intercept}");
    }

    #[test]
    fn both_methods_mend_what_a_plain_logistic_gets_wrong() {
        let data = sample(4_000, 0.4, 1.0);
        let (learn, test) = data.split_at(2_000);
        let plain = quality(test, &Calibration::plain()).unwrap();
        for fitted in [platt(learn).unwrap(), isotonic(learn).unwrap()] {
            let found = quality(test, &fitted).unwrap();
            assert!(found.expected_calibration_error < 0.05, "{found:?}");
            assert!(found.expected_calibration_error < plain.expected_calibration_error / 2.0);
            assert!((found.auc - plain.auc).abs() < 1e-12);
        }
    }

    #[test]
    fn the_area_counts_ties_half() {
        let data = [(1.0, false), (2.0, true), (2.0, false), (3.0, true)]
            .map(|(score, right)| Labelled { score, right });
        assert_eq!(quality(&data, &Calibration::plain()).unwrap().auc, 0.875);
        let perfect = [(0.0, false), (1.0, true)].map(|(score, right)| Labelled { score, right });
        let found = quality(&perfect, &Calibration::plain()).unwrap();
        assert_eq!((found.auc, found.best_accuracy), (1.0, 1.0));
    }

    #[test]
    fn data_that_say_nothing_are_refused() {
        let one = [Labelled { score: 1.0, right: true }];
        assert_eq!(platt(&one), Err(CalibrationError::OneKind));
        let nan =
            [Labelled { score: f64::NAN, right: true }, Labelled { score: 0.0, right: false }];
        assert_eq!(isotonic(&nan), Err(CalibrationError::NotFinite { index: 0 }));
        let upside_down = sample(500, -2.0, 0.0);
        assert!(matches!(platt(&upside_down), Err(CalibrationError::Broken(_))));
        let falls = Calibration::Isotonic { points: vec![(0.0, 0.9), (1.0, 0.1)] };
        assert!(falls.check().is_err());
    }

    proptest! {
        #[test]
        fn a_fit_never_falls_and_stays_a_probability(
            data in prop::collection::vec((-100.0..100.0_f64, any::<bool>()), 2..80),
            at in prop::collection::vec(-200.0..200.0_f64, 2..20),
        ) {
            let mut data: Vec<_> = data.into_iter().map(|(score, right)| Labelled { score, right }).collect();
            data.extend([Labelled { score: -101.0, right: false }, Labelled { score: 101.0, right: true }]);
            let mut at = at;
            at.sort_by(f64::total_cmp);
            for fitted in [platt(&data), isotonic(&data)].into_iter().flatten() {
                let found: Vec<f64> = at.iter().map(|score| fitted.probability(*score)).collect();
                prop_assert!(found.iter().all(|p| (0.0..=1.0).contains(p)));
                prop_assert!(found.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
            }
        }
    }
}
