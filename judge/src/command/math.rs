//! `assay math`: mathematical answers compared by exact rules, without slots and without a service.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use judge::policy;
use judge::problem::folder;
use math::{Decision, Policy, Verdict};
use protocol::{MathPolicy, NumericRule};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{End, Failed, emit, ours, usage};

const RULES: [&str; 9] = [
    "ratio_as_fraction",
    "base_may_be_dropped",
    "base_by_value",
    "degree_may_be_dropped",
    "number_words",
    "decimal_comma",
    "choice_letters",
    "brackets_may_be_dropped",
    "lowest_terms",
];

#[derive(Debug, Args)]
pub(super) struct MathArgs {
    /// The right answer, in LaTeX or plain text
    #[arg(required_unless_present = "batch", conflicts_with = "batch", allow_hyphen_values = true)]
    gold: Option<String>,
    /// The answer to compare with it
    #[arg(required_unless_present = "batch", allow_hyphen_values = true)]
    answer: Option<String>,
    /// More right answers; one of them must be met
    #[arg(long, value_name = "GOLD", allow_hyphen_values = true, conflicts_with = "batch")]
    or: Vec<String>,
    /// A file with one object a line: gold (a text or a list of texts), pred, and perhaps id,
    /// expected (true or false) and others, which are ignored
    #[arg(long, value_name = "FILE.jsonl")]
    batch: Option<PathBuf>,
    /// The answer is a model's whole completion; its final answer is looked for
    #[arg(long)]
    completion: bool,
    /// Show how both were read and which rule decided
    #[arg(long)]
    explain: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Whose habits to follow
    #[arg(long, value_parser = policy::PRESETS, default_value = "default")]
    preset: String,
    /// When a number counts as another: exact, rounding:ANSWER,REFERENCE, relative:DIGITS,
    /// absolute:DIGITS or significant_digits:DIGITS
    #[arg(long, value_name = "RULE")]
    numeric: Option<String>,
    /// Percent signs
    #[arg(long, value_parser = ["value", "sign_may_be_dropped", "any_scale"])]
    percent: Option<String>,
    /// Units of measurement
    #[arg(long, value_parser = ["optional_converted", "optional_verbatim", "required", "ignored"])]
    units: Option<String>,
    /// Order of bare lists
    #[arg(long, value_parser = ["any", "as_given"])]
    list_order: Option<String>,
    /// Names of variables
    #[arg(long, value_parser = ["exact", "renamed"])]
    symbols: Option<String>,
    /// Where the answer is looked for in a completion
    #[arg(long, value_parser = ["lenient", "box_or_phrase", "box", "answer_line"])]
    extraction: Option<String>,
    /// Switch a rule on
    #[arg(long, value_name = "RULE", value_parser = RULES)]
    on: Vec<String>,
    /// Switch a rule off
    #[arg(long, value_name = "RULE", value_parser = RULES)]
    off: Vec<String>,
}

pub(super) fn math(args: &MathArgs) -> Result<End, Failed> {
    let policy = policy::read(&wire_policy(args)?).map_err(usage)?;
    if let Some(path) = &args.batch {
        return batch(path, args, &policy);
    }
    let (Some(gold), Some(answer)) = (&args.gold, &args.answer) else {
        return Err(usage(anyhow!("gold and answer are missing")));
    };
    let references: Vec<&str> = std::iter::once(gold).chain(&args.or).map(String::as_str).collect();
    let found = compare(&references, answer, args, &policy);
    let end = if found.verdict == Verdict::Equal { End::Good } else { End::NotAccepted };
    emit(&if args.json {
        line(found.to_json(args))?
    } else if args.explain {
        found.explain(&references, answer)
    } else {
        format!("{} ({})\n", found.verdict, found.reason)
    })?;
    Ok(end)
}

/// A comparison, or that there was nothing to compare.
struct Found {
    verdict: Verdict,
    reason: &'static str,
    answer: Option<String>,
    rule: Option<&'static str>,
    decision: Option<Decision>,
}

fn compare(references: &[&str], given: &str, args: &MathArgs, policy: &Policy) -> Found {
    let (answer, rule) = if args.completion {
        match math::extract(given, policy.extraction) {
            Some(found) => (Some(found.text), Some(found.rule.as_str())),
            None => (None, None),
        }
    } else {
        (Some(given.to_owned()), None)
    };
    let decision = answer
        .as_deref()
        .and_then(|answer| math::compare_any(references.iter().copied(), answer, policy));
    let (verdict, reason) = match &decision {
        Some(decision) => (decision.verdict, decision.reason.as_str()),
        None => (Verdict::Different, math::Reason::NotFound.as_str()),
    };
    Found { verdict, reason, answer, rule, decision }
}

impl Found {
    fn to_json(&self, args: &MathArgs) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("verdict".to_owned(), json!(self.verdict.as_str()));
        object.insert("reason".to_owned(), json!(self.reason));
        if args.completion {
            object.insert("answer".to_owned(), json!(self.answer));
            object.insert("extraction".to_owned(), json!(self.rule));
        }
        if let Some(decision) = self.decision.as_ref().filter(|_| args.explain || !args.is_batch())
        {
            object.insert("gold_reading".to_owned(), json!(decision.explanation.reference));
            object.insert("answer_reading".to_owned(), json!(decision.explanation.answer));
            object.insert("fuel".to_owned(), json!(decision.fuel_spent));
        }
        object
    }

    fn explain(&self, references: &[&str], given: &str) -> String {
        let mut text = format!("{} ({})\n", self.verdict, self.reason);
        if let Some(rule) = self.rule {
            text +=
                &format!("  found     {} by rule {rule}\n", self.answer.as_deref().unwrap_or(""));
        }
        let Some(decision) = &self.decision else {
            return text + "  the completion holds no answer\n";
        };
        let given = self.answer.as_deref().unwrap_or(given);
        text += &format!("  gold      {}\n", references.join("  or  "));
        text += &format!("    read as {}\n", decision.explanation.reference);
        text += &format!("  answer    {given}\n    read as {}\n", decision.explanation.answer);
        text +=
            &format!("  {}; {} units of work\n", decision.explanation.rule, decision.fuel_spent);
        text
    }
}

impl MathArgs {
    fn is_batch(&self) -> bool {
        self.batch.is_some()
    }
}

fn batch(path: &Path, args: &MathArgs, policy: &Policy) -> Result<End, Failed> {
    let text = folder::read_text(path).map_err(usage)?;
    let mut score = Score::default();
    for (number, row) in text.lines().enumerate().filter(|(_, row)| !row.trim().is_empty()) {
        let wrong = |error: String| usage(anyhow!("{}:{}: {error}", path.display(), number + 1));
        let row: Map<String, Value> =
            serde_json::from_str(row).map_err(|error| wrong(error.to_string()))?;
        let (Some(references), Some(answer)) =
            (golds(&row), row.get("pred").and_then(Value::as_str))
        else {
            return Err(wrong(
                "needs gold (a text or a list of texts) and pred (a text)".to_owned(),
            ));
        };
        let found = compare(&references, answer, args, policy);
        let mut object = found.to_json(args);
        if let Some(id) = row.get("id") {
            object.insert("id".to_owned(), id.clone());
        }
        if let Some(expected) = row.get("expected").and_then(Value::as_bool) {
            score.count(expected, found.verdict);
            object.insert("expected".to_owned(), json!(expected));
        }
        emit(&line(object)?)?;
    }
    score.complain();
    Ok(End::Good)
}

fn golds(row: &Map<String, Value>) -> Option<Vec<&str>> {
    match row.get("gold")? {
        Value::String(gold) => Some(vec![gold]),
        Value::Array(golds) if !golds.is_empty() => golds.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn line(object: Map<String, Value>) -> Result<String, Failed> {
    Ok(serde_json::to_string(&Value::Object(object)).map_err(ours)? + "\n")
}

/// Agreement with the labels of a file.
#[derive(Debug, Default)]
struct Score {
    right: [u32; 3],
    wrong: [u32; 3],
}

impl Score {
    fn count(&mut self, expected: bool, verdict: Verdict) {
        let row = if expected { &mut self.right } else { &mut self.wrong };
        row[match verdict {
            Verdict::Equal => 0,
            Verdict::Different => 1,
            Verdict::Undecided => 2,
        }] += 1;
    }

    /// Says the figures on standard error, so that standard output stays one object a line.
    #[expect(clippy::print_stderr, reason = "standard output is for the results")]
    fn complain(&self) {
        let [rights, wrongs] = [&self.right, &self.wrong].map(|row| row.iter().sum::<u32>());
        if rights + wrongs == 0 {
            return;
        }
        let share = |part: u32, whole: u32| {
            if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) }
        };
        eprintln!(
            "{} labelled: recall {:.3} ({} of {rights} equal, {} undecided), false positive rate {:.3} \
             ({} of {wrongs} equal, {} undecided)",
            rights + wrongs,
            share(self.right[0], rights),
            self.right[0],
            self.right[2],
            share(self.wrong[0], wrongs),
            self.wrong[0],
            self.wrong[2],
        );
    }
}

fn wire_policy(args: &MathArgs) -> Result<MathPolicy, Failed> {
    let switch = |rule: &str| {
        let given = |rules: &[String]| rules.iter().any(|known| known == rule);
        match (given(&args.on), given(&args.off)) {
            (true, true) => Err(usage(anyhow!("{rule} is switched on and off"))),
            (true, false) => Ok(Some(true)),
            (false, true) => Ok(Some(false)),
            (false, false) => Ok(None),
        }
    };
    Ok(MathPolicy {
        preset: Some(args.preset.clone()),
        numeric: args.numeric.as_deref().map(numeric).transpose()?,
        percent: named(args.percent.as_deref())?,
        units: named(args.units.as_deref())?,
        list_order: named(args.list_order.as_deref())?,
        symbols: named(args.symbols.as_deref())?,
        ratio_as_fraction: switch("ratio_as_fraction")?,
        base_may_be_dropped: switch("base_may_be_dropped")?,
        base_by_value: switch("base_by_value")?,
        degree_may_be_dropped: switch("degree_may_be_dropped")?,
        number_words: switch("number_words")?,
        decimal_comma: switch("decimal_comma")?,
        choice_letters: switch("choice_letters")?,
        brackets_may_be_dropped: switch("brackets_may_be_dropped")?,
        lowest_terms: switch("lowest_terms")?,
        extraction: named(args.extraction.as_deref())?,
    })
}

/// A name as the wire writes it.
fn named<T: DeserializeOwned>(name: Option<&str>) -> Result<Option<T>, Failed> {
    name.map(|name| serde_json::from_value(json!(name)).map_err(usage)).transpose()
}

fn numeric(rule: &str) -> Result<NumericRule, Failed> {
    let wrong = || usage(anyhow!("--numeric {rule}: see --help for the rules"));
    let (name, digits) = rule.split_once(':').unwrap_or((rule, ""));
    let digits: Vec<u32> = digits
        .split(',')
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    match (name, digits[..].as_ref()) {
        ("exact", []) => Ok(NumericRule::Exact),
        ("rounding", [answer, reference]) => Ok(NumericRule::Rounding {
            answer_digits_min: *answer,
            reference_digits_min: *reference,
        }),
        ("relative", [digits]) => Ok(NumericRule::Relative { digits: *digits }),
        ("absolute", [digits]) => Ok(NumericRule::Absolute { digits: *digits }),
        ("significant_digits", [digits]) => Ok(NumericRule::SignificantDigits { digits: *digits }),
        _ => Err(wrong()),
    }
}
