//! The comparison rules of other graders of standard output, as they are. Pure.
//!
//! All work on text: output that is no UTF-8 has its wrong bytes replaced, as those graders do.

use std::collections::BTreeSet;

use super::python::{Decimal, float, split_lines, strip, tokens};

/// Another grader's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// LiveCodeBench: both stripped, as many lines, each line the same when stripped or a list of the
    /// same decimal numbers.
    Lcb,
    /// APPS and TACO: whole, line by line, as floats, and last as sets of sets of tokens.
    Apps,
    /// `prime_code` of verl: as APPS, without the sets.
    PrimeCode,
    /// `sandbox_fusion` of verl: the same but for newlines at the end.
    Verl,
    /// SandboxFusion: lower case, lines stripped; two lines that are floats may differ a little.
    SandboxFusion,
    /// MultiPL-E: what the program writes does not matter, it must end well.
    MultiplE,
}

impl Preset {
    /// Its name and version in replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lcb => "lcb/1",
            Self::Apps => "apps/1",
            Self::PrimeCode => "prime_code/1",
            Self::Verl => "verl/1",
            Self::SandboxFusion => "sandbox_fusion/1",
            Self::MultiplE => "multipl-e/1",
        }
    }

    pub(super) fn accepts(self, output: &[u8], answer: &[u8]) -> bool {
        let (output, answer) = (String::from_utf8_lossy(output), String::from_utf8_lossy(answer));
        match self {
            Self::Lcb => lcb(&output, &answer),
            Self::Apps => line_rules(&output, &answer) || as_sets(&output, &answer),
            Self::PrimeCode => line_rules(&output, &answer),
            Self::Verl => output.trim_end_matches('\n') == answer.trim_end_matches('\n'),
            Self::SandboxFusion => sandbox_fusion(&output, &answer),
            Self::MultiplE => true,
        }
    }
}

fn lcb(output: &str, answer: &str) -> bool {
    let (output, answer) = (strip(output), strip(answer));
    if output.split('\n').count() != answer.split('\n').count() {
        return false;
    }
    output.split('\n').zip(answer.split('\n')).all(|(output, answer)| {
        let (output, answer) = (strip(output), strip(answer));
        output == answer
            || matches!((decimals(output), decimals(answer)), (Some(a), Some(b)) if a == b)
    })
}

fn decimals(line: &str) -> Option<Vec<Decimal>> {
    tokens(line).map(Decimal::parse).collect()
}

/// The rules of APPS up to the floats.
fn line_rules(output: &str, answer: &str) -> bool {
    let lines = split_lines(output);
    let stripped: Vec<&str> = lines.iter().map(|line| strip(line)).collect();
    if strip(&lines.join("\n")) == strip(answer) || strip(&stripped.join("\n")) == strip(answer) {
        return true;
    }
    if lines == [answer] {
        return true;
    }
    let answers = answer_lines(answer);
    if lines == answers {
        return true;
    }
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    lines == answers || all_close(&lines, &answers)
}

fn answer_lines(answer: &str) -> Vec<&str> {
    answer.split('\n').filter(|line| !line.is_empty()).map(strip).collect()
}

/// As many lines, each of them one float, not all of them integers, and `numpy.allclose`.
fn all_close(outputs: &[&str], answers: &[&str]) -> bool {
    let is_digits =
        |line: &&str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
    if outputs.len() != answers.len() {
        return false;
    }
    if outputs.iter().zip(answers).all(|(a, b)| is_digits(a) && is_digits(b)) {
        return false;
    }
    let floats = |lines: &[&str]| lines.iter().map(|line| float(line)).collect::<Option<Vec<_>>>();
    match (floats(outputs), floats(answers)) {
        (Some(a), Some(b)) => a.iter().zip(&b).all(|(a, b)| is_close(*a, *b)),
        (None, _) | (_, None) => false,
    }
}

/// `numpy.isclose` with its own tolerances.
fn is_close(a: f64, b: f64) -> bool {
    #[expect(clippy::float_cmp, reason = "infinities are close where they are the same")]
    if a.is_finite() && b.is_finite() { (a - b).abs() <= 1e-8 + 1e-5 * b.abs() } else { a == b }
}

/// Each line as a set of tokens, all lines as a set; or the same of numbers, rounded to 3 digits.
fn as_sets(output: &str, answer: &str) -> bool {
    let outputs: Vec<Vec<&str>> = split_lines(output)
        .into_iter()
        .filter(|line| !line.is_empty())
        .map(|line| tokens(line).collect::<Vec<_>>())
        .filter(|tokens| !tokens.is_empty())
        .collect();
    let answers: Vec<Vec<&str>> =
        answer_lines(answer).into_iter().map(|line| tokens(line).collect()).collect();
    if set_of_sets(&outputs, |token| *token) == set_of_sets(&answers, |token| *token) {
        return true;
    }
    match (rounded(&outputs), rounded(&answers)) {
        (Some(a), Some(b)) => {
            let bits = |lines: &[Vec<f64>]| set_of_sets(lines, |number| (number + 0.0).to_bits());
            // Two that are not numbers are never the same.
            a.iter().chain(&b).flatten().all(|number| !number.is_nan()) && bits(&a) == bits(&b)
        }
        (None, _) | (_, None) => false,
    }
}

fn rounded(lines: &[Vec<&str>]) -> Option<Vec<Vec<f64>>> {
    let round = |token: &&str| {
        let number = float(token)?;
        // The exact value is rounded, half to even, as Python's `round` does.
        if number.is_finite() { format!("{number:.3}").parse().ok() } else { Some(number) }
    };
    lines.iter().map(|line| line.iter().map(round).collect()).collect()
}

fn set_of_sets<T, K: Ord>(lines: &[Vec<T>], key: impl Fn(&T) -> K) -> BTreeSet<BTreeSet<K>> {
    lines.iter().map(|line| line.iter().map(&key).collect()).collect()
}

fn sandbox_fusion(output: &str, answer: &str) -> bool {
    let mut outputs: Vec<&str> = strip(output).split('\n').collect();
    let mut answers: Vec<&str> = strip(answer).split('\n').collect();
    // Written as that grader has it; after the strip a last line is never empty beside another.
    if outputs.len() == answers.len() + 1 && outputs.last() == Some(&"") {
        outputs.pop();
    } else if answers.len() == outputs.len() + 1 && answers.last() == Some(&"") {
        answers.pop();
    }
    outputs.len() == answers.len()
        && outputs.iter().zip(answers).all(|(output, answer)| {
            let (output, answer) = (output.to_lowercase(), answer.to_lowercase());
            let (output, answer) = (strip(&output), strip(&answer));
            output == answer
                || matches!((float(output), float(answer)), (Some(a), Some(b))
                    if (a - b).abs() / b.abs().max(1e-10) < 1e-5)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(preset: Preset, output: &str, answer: &str, expected: bool) {
        let found = preset.accepts(output.as_bytes(), answer.as_bytes());
        assert_eq!(found, expected, "{preset:?} {output:?} {answer:?}");
    }

    #[test]
    fn lcb_compares_stripped_lines_and_exact_decimals() {
        for (output, answer, expected) in [
            ("1 2\n", "1 2", true),
            ("  1 2  \n3\n", "1 2\n 3", true),
            ("1.0 2", "1 2.00", true),
            ("1  2", "1 2", true),
            ("a  b", "a b", false),
            ("1\n\n2", "1\n2", false),
            ("50000000000000000", "50000000000000001", false),
            ("0.3333333", "0.33333333", false),
            ("YES", "yes", false),
            ("", "\n", true),
        ] {
            check(Preset::Lcb, output, answer, expected);
        }
    }

    #[test]
    fn apps_falls_back_step_by_step() {
        for (output, answer, apps, prime) in [
            ("1\n2\n", "1\n2", true, true),
            ("  1  \n 2\n", "1\n2\n", true, true),
            ("1\n\n2", "1\n2", true, true),
            ("0.33333333", "0.33333334", true, true),
            ("1", "2", false, false),
            ("100000000", "100000001", false, false),
            ("2 1", "1 2", true, false),
            ("b\na\n", "a\nb", true, false),
            ("1.0001 2", "1 2.0", true, false),
            ("1.001 2", "1 2.0", false, false),
            ("a", "b", false, false),
        ] {
            check(Preset::Apps, output, answer, apps);
            check(Preset::PrimeCode, output, answer, prime);
        }
    }

    #[test]
    fn verl_forgives_newlines_at_the_end_and_nothing_else() {
        check(Preset::Verl, "1\n\n", "1", true);
        check(Preset::Verl, "1 \n", "1", false);
        check(Preset::Verl, "1\r\n", "1\n", false);
    }

    #[test]
    fn sandbox_fusion_ignores_case_and_small_differences_of_single_floats() {
        for (output, answer, expected) in [
            ("YES\n", "yes", true),
            (" a \nb", "a\nb", true),
            ("1.000001", "1", true),
            ("1.0001", "1", false),
            ("1.000001 2", "1 2", false),
            ("0", "1e-20", true),
            ("a\n\nb", "a\nb", false),
            ("nan", "1", false),
        ] {
            check(Preset::SandboxFusion, output, answer, expected);
        }
    }

    #[test]
    fn multipl_e_looks_at_no_output() {
        check(Preset::MultiplE, "anything", "", true);
    }
}
