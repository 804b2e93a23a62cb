//! The standard checkers of DMOJ, by its rules. Pure.
//!
//! All work on bytes. "Lines" are what lies between `\r` and `\n`, each of them alone.

use super::checker::{CheckerFault, Marks};
use super::python::{byte_rstrip, byte_strip, byte_tokens, float, is_byte_space};

/// A standard checker with its options.
#[derive(Clone, Debug, PartialEq)]
pub enum Dmoj {
    /// Tokens; a gap with a line end must meet a gap with a line end. Lines that are empty, and white
    /// space at either end of a line, do not count.
    Standard,
    /// The same bytes.
    Identical {
        /// Whether to say so where `standard` would have accepted.
        pe_allowed: bool,
    },
    /// The same lines, but for white space at their ends.
    Rstripped {
        /// Drop lines without any byte first.
        filter_new_line: bool,
    },
    /// Lines and tokens in equal number; a token that is a number in the answer is compared as one.
    Floats {
        /// The tolerance is ten to the power of minus this.
        precision: i32,
        /// How the tolerance is meant.
        error_mode: ErrorMode,
    },
    /// The same lines (as lists of tokens) or the same tokens, in any order.
    Sorted {
        /// What is sorted.
        split_on: SplitOn,
    },
    /// The same characters but for white space and case, in any order.
    Easy,
    /// Points for each line that is equal but for white space at its ends. Looks at the output of a
    /// program that failed, too.
    Linecount {
        /// Show which lines matched.
        feedback: bool,
    },
    /// Points for each line that is the same.
    Linematches {
        /// The points of each line of the answer.
        point_distribution: Vec<f64>,
        /// Whether output and answer must have as many lines as each other.
        filler_lines_required: bool,
    },
}

/// What the tolerance of `floats` is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorMode {
    /// Either of the other two, nearly.
    Default,
    /// Nothing.
    Absolute,
    /// The answer.
    Relative,
}

/// What `sorted` sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitOn {
    /// Lines.
    Lines,
    /// Tokens.
    Whitespace,
}

impl Dmoj {
    /// Whether the checker looks at the output of a program that failed.
    #[must_use]
    pub fn runs_on_error(&self) -> bool {
        matches!(self, Self::Linecount { .. })
    }

    /// Its name and version in replies.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Standard => "dmoj-standard/1",
            Self::Identical { .. } => "dmoj-identical/1",
            Self::Rstripped { .. } => "dmoj-rstripped/1",
            Self::Floats { .. } => "dmoj-floats/1",
            Self::Sorted { .. } => "dmoj-sorted/1",
            Self::Easy => "dmoj-easy/1",
            Self::Linecount { .. } => "dmoj-linecount/1",
            Self::Linematches { .. } => "dmoj-linematches/1",
        }
    }

    pub(super) fn check(&self, output: &[u8], answer: &[u8]) -> Result<Marks, CheckerFault> {
        Ok(match self {
            Self::Standard => Marks::of(standard(output, answer)),
            Self::Identical { pe_allowed } => {
                let mut marks = Marks::of(output == answer);
                if !marks.accepted && *pe_allowed && standard(output, answer) {
                    marks.feedback = Some("Presentation Error, check your whitespace".to_owned());
                }
                marks
            }
            Self::Rstripped { filter_new_line } => {
                Marks::of(rstripped(output, answer, *filter_new_line))
            }
            Self::Floats { precision, error_mode } => {
                Marks::of(floats(output, answer, *precision, *error_mode))
            }
            Self::Sorted { split_on } => Marks::of(sorted(output, answer, *split_on)),
            Self::Easy => Marks::of(easy(output) == easy(answer)),
            Self::Linecount { feedback } => linecount(output, answer, *feedback),
            Self::Linematches { point_distribution, filler_lines_required } => {
                return linematches(output, answer, point_distribution, *filler_lines_required);
            }
        })
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\r' | b'\n'))
}

fn filled_lines(text: &[u8]) -> Vec<&[u8]> {
    lines(text).filter(|line| !line.is_empty()).collect()
}

/// What lies between two tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    Spaces,
    Line,
}

/// Takes white space from the front of `text`.
fn take_gap(text: &mut &[u8]) -> Gap {
    let length = text.iter().take_while(|byte| is_byte_space(**byte)).count();
    let (gap, rest) = text.split_at(length);
    *text = rest;
    if gap.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        Gap::Line
    } else if gap.is_empty() {
        Gap::None
    } else {
        Gap::Spaces
    }
}

fn take_token<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let length = text.iter().take_while(|byte| !is_byte_space(**byte)).count();
    let (token, rest) = text.split_at(length);
    *text = rest;
    token
}

/// The rule of `standard`.
pub(super) fn standard(mut output: &[u8], mut answer: &[u8]) -> bool {
    take_gap(&mut output);
    take_gap(&mut answer);
    loop {
        let gaps = (take_gap(&mut output), take_gap(&mut answer));
        if output.is_empty() || answer.is_empty() {
            return output.is_empty() && answer.is_empty();
        }
        if gaps.0 != gaps.1 || take_token(&mut output) != take_token(&mut answer) {
            return false;
        }
    }
}

fn rstripped(output: &[u8], answer: &[u8], filter: bool) -> bool {
    let all = |text| lines(text).filter(move |line| !filter || !line.is_empty()).map(byte_rstrip);
    all(output).eq(all(answer))
}

fn floats(output: &[u8], answer: &[u8], precision: i32, mode: ErrorMode) -> bool {
    let (outputs, answers) = (filled_lines(output), filled_lines(answer));
    let epsilon = 10_f64.powf(-f64::from(precision));
    outputs.len() == answers.len()
        && outputs.iter().zip(answers).all(|(output, answer)| {
            let (mut outputs, mut answers) = (byte_tokens(output), byte_tokens(answer));
            loop {
                match (outputs.next(), answers.next()) {
                    (None, None) => return true,
                    (Some(output), Some(answer)) if same(output, answer, epsilon, mode) => {}
                    (Some(_) | None, Some(_) | None) => return false,
                }
            }
        })
}

fn same(output: &[u8], answer: &[u8], epsilon: f64, mode: ErrorMode) -> bool {
    let number =
        |token: &[u8]| std::str::from_utf8(token).ok().filter(|t| t.is_ascii()).and_then(float);
    let Some(b) = number(answer) else {
        return output == answer;
    };
    let Some(a) = number(output) else {
        return false;
    };
    match mode {
        ErrorMode::Absolute => (a - b).abs() <= epsilon,
        ErrorMode::Relative => {
            let (p, q) = (b * (1.0 - epsilon), b * (1.0 + epsilon));
            p.min(q) <= a && a <= p.max(q)
        }
        ErrorMode::Default => {
            // Python raises at a division by zero, and what raises is not accepted.
            (a - b).abs() <= epsilon
                || (b.abs() >= epsilon && b != 0.0 && (1.0 - a / b).abs() <= epsilon)
        }
    }
}

fn sorted(output: &[u8], answer: &[u8], split_on: SplitOn) -> bool {
    match split_on {
        SplitOn::Whitespace => {
            let all = |text| {
                let mut tokens: Vec<&[u8]> = byte_tokens(text).collect();
                tokens.sort_unstable();
                tokens
            };
            all(output) == all(answer)
        }
        SplitOn::Lines => {
            let all = |text| {
                let mut lines: Vec<Vec<&[u8]>> = filled_lines(text)
                    .into_iter()
                    .map(|line| byte_tokens(line).collect())
                    .collect();
                lines.sort_unstable();
                lines
            };
            all(output) == all(answer)
        }
    }
}

/// How often each byte occurs.
fn easy(text: &[u8]) -> [usize; 256] {
    let mut counts = [0; 256];
    for byte in text.iter().filter(|byte| !is_byte_space(**byte)) {
        counts[usize::from(byte.to_ascii_lowercase())] += 1;
    }
    counts
}

fn linecount(output: &[u8], answer: &[u8], feedback: bool) -> Marks {
    let (outputs, answers) = (filled_lines(output), filled_lines(answer));
    if outputs.len() > answers.len() {
        return Marks::of(false);
    }
    if answers.is_empty() {
        return Marks::of(true);
    }
    let matches: Vec<bool> = answers
        .iter()
        .enumerate()
        .map(|(at, answer)| outputs.get(at).is_some_and(|o| byte_strip(o) == byte_strip(answer)))
        .collect();
    let count = matches.iter().filter(|matched| **matched).count();
    let signs = || matches.iter().map(|matched| if *matched { '✓' } else { '✗' }).collect();
    Marks {
        accepted: count == answers.len(),
        fraction: ratio(count, answers.len()),
        feedback: feedback.then(signs),
    }
}

#[expect(clippy::cast_precision_loss, reason = "line counts are far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

fn linematches(
    output: &[u8],
    answer: &[u8],
    points: &[f64],
    filler_lines_required: bool,
) -> Result<Marks, CheckerFault> {
    let (outputs, answers) = (filled_lines(output), filled_lines(answer));
    if answers.len() != points.len() {
        return Err(CheckerFault(format!(
            "linematches: the answer has {} lines, point_distribution {}",
            answers.len(),
            points.len()
        )));
    }
    let total: f64 = points.iter().sum();
    if total == 0.0 {
        return Err(CheckerFault("linematches: the points sum up to 0".to_owned()));
    }
    if filler_lines_required && outputs.len() != answers.len() {
        return Ok(Marks::of(false));
    }
    let lines = outputs.iter().zip(&answers).zip(points);
    let earned: f64 =
        lines.filter(|((output, answer), _)| output == answer).map(|(_, points)| points).sum();
    Ok(Marks { accepted: earned > 0.0, fraction: earned / total, feedback: None })
}
