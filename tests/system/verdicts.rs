//! Every format on a real example with every verdict that it can have: each row of the table in
//! `tests/README.md` is a test here, each cell a program that is judged.

use anyhow::{Context, Result, ensure};
use harness::Service;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::tables::{documented, table};
use crate::wire::{brief, expect_verdict, judge, program};
use crate::{Needs, named, trial};

mod examples;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials =
        named!(Needs::Source, "verdicts", [the_table_in_the_documentation_is_this_one]);
    for format in examples::all() {
        let name = format!("verdicts::{}", format.name);
        trials.push(trial(name, Needs::Slots, move || Box::pin(judged(format))));
    }
    trials
}

/// What a program can come to, in the order of the columns.
const COLUMNS: [(&str, &str); 8] = [
    ("accepted", "accepted"),
    ("wrong", "wrong_answer"),
    ("time", "time_limit_exceeded"),
    ("memory", "memory_limit_exceeded"),
    ("output", "output_limit_exceeded"),
    ("run-time error", "runtime_error"),
    ("compile error", "compile_error"),
    ("checker failure", NO_VERDICT),
];

/// A failure of class `judge`, without a verdict and without a reward.
const NO_VERDICT: &str = "no verdict";

/// A format, its example, and a cell for each column.
struct Format {
    /// The name of its row and of its test.
    name: &'static str,
    /// Which it is, for readers.
    about: &'static str,
    language: &'static str,
    problem: Value,
    limits: Value,
    cells: [Cell; 8],
}

/// What stands in one column.
enum Cell {
    /// A program with the verdict of the column.
    Is(String),
    /// A program with another verdict, since the format knows no such thing.
    Gets(&'static str, String),
    /// A program in another language.
    In(&'static str, String),
    /// The right program with another problem.
    With(Value),
    /// It cannot be, for this reason.
    Never(&'static str),
}

impl Cell {
    /// The submission and the verdict that it is to get.
    fn case(&self, format: &Format, at: usize) -> Option<(Value, &'static str)> {
        let usual = COLUMNS[at].1;
        let right = match &format.cells[0] {
            Self::Is(source) => source.as_str(),
            Self::Gets(..) | Self::In(..) | Self::With(_) | Self::Never(_) => "",
        };
        let (language, source, problem, verdict) = match self {
            Self::Is(source) => (format.language, source.as_str(), &format.problem, usual),
            Self::Gets(verdict, source) => {
                (format.language, source.as_str(), &format.problem, *verdict)
            }
            Self::In(language, source) => (*language, source.as_str(), &format.problem, usual),
            Self::With(problem) => (format.language, right, problem, usual),
            Self::Never(_) => return None,
        };
        Some((program(language, source, problem, &format.limits), verdict))
    }

    /// What the table shows: whether it is the verdict of the column, or which; or why not.
    fn shown(&self, reasons: &mut Vec<&'static str>) -> String {
        match self {
            Self::Is(_) | Self::With(_) => "yes".to_owned(),
            Self::In(language, _) => format!("yes ({language})"),
            Self::Gets(verdict, _) => format!("`{verdict}`"),
            Self::Never(reason) => {
                let known = reasons.iter().position(|known| known == reason);
                let at = known.unwrap_or_else(|| {
                    reasons.push(*reason);
                    reasons.len() - 1
                });
                format!("— ({})", at + 1)
            }
        }
    }
}

/// Judges all cells of a format as one batch.
async fn judged(format: Format) -> Result<()> {
    let service = Service::start().await?;
    let cells = format.cells.iter().enumerate();
    let cases: Vec<_> = cells.filter_map(|(at, cell)| cell.case(&format, at)).collect();
    let submissions: Vec<Value> = cases.iter().map(|(submission, _)| submission.clone()).collect();
    let results = judge(&service.client(), &submissions).await?;
    for (result, (submission, verdict)) in results.iter().zip(&cases) {
        let told = || format!("{}: {}", format.name, submission["source"]);
        if *verdict == NO_VERDICT {
            let is_none = result["verdict"].is_null() && result["reward"].is_null();
            ensure!(is_none && result["valid"] == false, "{}: {}", told(), brief(result));
            ensure!(result["failure"]["class"] == "judge", "{}: {}", told(), brief(result));
        } else {
            expect_verdict(result, verdict).with_context(told)?;
        }
    }
    service.terminate().await
}

async fn the_table_in_the_documentation_is_this_one() -> Result<()> {
    let mut rows = vec![vec!["format".to_owned(), "test".to_owned()]];
    rows[0].extend(COLUMNS.iter().map(|(column, _)| (*column).to_owned()));
    let mut reasons = Vec::new();
    for format in examples::all() {
        let mut row = vec![format.about.to_owned(), format!("`verdicts::{}`", format.name)];
        row.extend(format.cells.iter().map(|cell| cell.shown(&mut reasons)));
        rows.push(row);
    }
    let mut text = table(&rows);
    text.push('\n');
    for (at, reason) in reasons.iter().enumerate() {
        text.push_str(&format!("{}. {reason}\n", at + 1));
    }
    documented("formats", &text)
}
