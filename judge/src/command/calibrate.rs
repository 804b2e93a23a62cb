//! `assay calibrate`: scores of a value head with labels in, a calibration out.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use judge::problem::folder;
use judge::reward_model::calibration::{self, Calibration, Labelled, Quality};
use serde::Deserialize;

use super::table::Table;
use super::{End, Failed, emit, ours, usage};

#[derive(Debug, Args)]
pub(super) struct CalibrateArgs {
    /// A file with one object a line: score (what the value head said) and right (true or false);
    /// other fields are ignored
    scores: PathBuf,
    /// How scores become probabilities
    #[arg(long, value_parser = ["platt", "isotonic"], default_value = "platt")]
    method: String,
    /// Where the calibration is written, for `calibration` of a `[[value_head]]`
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Every so many-th line is kept for testing and not learnt from
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=100))]
    hold_out: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Row {
    score: f64,
    right: bool,
}

pub(super) fn calibrate(args: &CalibrateArgs) -> Result<End, Failed> {
    let rows = read(args)?;
    let every = usize::try_from(args.hold_out).unwrap_or(5);
    let part = |held: bool| -> Vec<Labelled> {
        let chosen =
            rows.iter().enumerate().filter(|(index, _)| (index % every == every - 1) == held);
        chosen.map(|(_, one)| *one).collect()
    };
    let (learn, test) = (part(false), part(true));
    let wrong = |what: &'static str| move |error| usage(anyhow::Error::new(error).context(what));
    let fitted = match args.method.as_str() {
        "isotonic" => calibration::isotonic(&learn),
        _ => calibration::platt(&learn),
    };
    let fitted = fitted.map_err(wrong("the scores cannot be calibrated"))?;
    let held_out = "the held-out scores say nothing; give more, or hold out more";
    let before = calibration::quality(&test, &Calibration::plain()).map_err(wrong(held_out))?;
    let after = calibration::quality(&test, &fitted).map_err(wrong(held_out))?;
    if let Some(path) = &args.out {
        let text = serde_json::to_string_pretty(&fitted).map_err(ours)? + "\n";
        std::fs::write(path, text)
            .map_err(|error| usage(anyhow!("failed to write {}: {error}", path.display())))?;
    }
    emit(&if args.json {
        let report = serde_json::json!({
            "learnt_from": learn.len(),
            "calibration": fitted,
            "held_out": {"plain": before, "calibrated": after},
        });
        report.to_string() + "\n"
    } else {
        table(learn.len(), before, after)
    })?;
    Ok(End::Good)
}

fn read(args: &CalibrateArgs) -> Result<Vec<Labelled>, Failed> {
    let text = folder::read_text(&args.scores).map_err(usage)?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Row = serde_json::from_str(line)
            .map_err(|error| usage(anyhow!("{}:{}: {error}", args.scores.display(), number + 1)))?;
        rows.push(Labelled { score: row.score, right: row.right });
    }
    Ok(rows)
}

fn table(learnt: usize, before: Quality, after: Quality) -> String {
    let mut table = Table::new(["on held-out scores", "plain logistic", "calibrated"]);
    let mut row = |name: &str, value: &dyn Fn(Quality) -> f64| {
        table.push([
            name.to_owned(),
            format!("{:.4}", value(before)),
            format!("{:.4}", value(after)),
        ]);
    };
    row("area under the curve", &|quality| quality.auc);
    row("expected calibration error", &|quality| quality.expected_calibration_error);
    row("Brier score", &|quality| quality.brier);
    row("best accuracy", &|quality| quality.best_accuracy);
    row("threshold there", &|quality| quality.best_threshold);
    format!("learnt from {learnt}, held out {} ({} right)\n{table}", after.count, after.right)
}
