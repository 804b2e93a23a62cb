//! The 164 problems of HumanEval, and one mutant of each solution that its tests catch.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};

const PROBLEMS: &[u8] = include_bytes!("../data/humaneval.jsonl.gz");
const MUTANTS: &str = include_str!("../data/humaneval_mutants.json");

/// One problem as published.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// `HumanEval/0` and so on.
    pub task_id: String,
    /// Imports, signature and documentation of the function asked for.
    pub prompt: String,
    /// The function's name.
    pub entry_point: String,
    /// A right body.
    pub canonical_solution: String,
    /// Defines `check(candidate)`.
    pub test: String,
}

impl Problem {
    /// The submission of `source` to this problem, as sent.
    #[must_use]
    pub fn submission(&self, source: &str) -> Value {
        let code = format!("{}\ncheck({})\n", self.test, self.entry_point);
        json!({
            "id": self.task_id,
            "language": "python",
            "source": source,
            "problem": {"kind": "assertions", "code": code},
        })
    }

    /// The right program.
    #[must_use]
    pub fn canonical(&self) -> String {
        format!("{}{}", self.prompt, self.canonical_solution)
    }

    /// The prompt with another body.
    #[must_use]
    pub fn with_body(&self, body: &str) -> String {
        format!("{}{body}", self.prompt)
    }
}

/// All problems, in their published order.
///
/// # Errors
/// The file is not what it should be.
pub fn problems() -> Result<Vec<Problem>> {
    let mut text = String::new();
    GzDecoder::new(PROBLEMS).read_to_string(&mut text).context("humaneval.jsonl.gz")?;
    let problems: Vec<Problem> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(problems.len() == 164, "{} problems", problems.len());
    Ok(problems)
}

/// Off-by-one mutants by `task_id`.
///
/// # Errors
/// The file is not what it should be.
pub fn mutants() -> Result<BTreeMap<String, String>> {
    serde_json::from_str(MUTANTS).context("humaneval_mutants.json")
}
