//! Notebooks: the code cells of one, what they showed put back into it, and what checks say of it.
//!
//! The rule of grading: cells that the notebook does not know run after its own, and what they show is
//! compared outside with what is expected. An assertion that ran inside would prove nothing, as the
//! notebook shares its interpreter and can answer for it; a value that it does not know it must compute.
//!
//! Pure: nothing runs here.

use protocol::{CellOutput, CellStatus, CheckResult, NotebookCell, NotebookCheck, NotebookGrade};
use serde_json::{Value, json};

use super::run::CellRun;
use crate::grade::checker::Checker;
use crate::limits::{NOTEBOOK_CELLS_MAX, STREAM_HEAD_BYTES, WEIGHT_MAX};
use crate::problem::checkers;

/// A notebook that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Notebook {
    value: Value,
    /// Position and source of each code cell.
    code: Vec<(usize, String)>,
}

/// What is wrong with a notebook or its checks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotebookError(String);

fn wrong<T>(message: impl Into<String>) -> Result<T, NotebookError> {
    Err(NotebookError(message.into()))
}

impl Notebook {
    /// Reads a notebook of nbformat 4.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(value: Value) -> Result<Self, NotebookError> {
        let version = value.get("nbformat").and_then(Value::as_u64);
        if version != Some(4) {
            return wrong("nbformat: only version 4 is known");
        }
        let Some(cells) = value.get("cells").and_then(Value::as_array) else {
            return wrong("cells: there are none");
        };
        if cells.len() > NOTEBOOK_CELLS_MAX {
            return wrong(format!("cells: at most {NOTEBOOK_CELLS_MAX}"));
        }
        let mut code = Vec::new();
        for (index, cell) in cells.iter().enumerate() {
            if !cell.is_object() {
                return wrong(format!("cells[{index}]: not an object"));
            }
            if cell.get("cell_type").and_then(Value::as_str) == Some("code") {
                let Some(source) = cell.get("source").and_then(text) else {
                    return wrong(format!("cells[{index}].source: not text"));
                };
                if source.contains('\0') {
                    return wrong(format!("cells[{index}].source: contains a NUL byte"));
                }
                code.push((index, source));
            }
        }
        Ok(Self { value, code })
    }

    /// The source of each code cell.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.code.iter().map(|(_, source)| source.as_str())
    }

    /// The language of its kernelspec, and its kernel's name.
    #[must_use]
    pub fn kernelspec(&self) -> (Option<&str>, Option<&str>) {
        let spec = self.value.get("metadata").and_then(|metadata| metadata.get("kernelspec"));
        let word = |key: &str| spec.and_then(|spec| spec.get(key)).and_then(Value::as_str);
        (word("language"), word("name"))
    }

    /// The notebook with what its cells showed, and how each ended.
    #[must_use]
    pub fn executed(mut self, runs: Vec<CellRun>) -> (Value, Vec<NotebookCell>) {
        let mut cells = Vec::new();
        for ((index, _), run) in self.code.iter().zip(runs) {
            let place = self.value.get_mut("cells").and_then(|cells| cells.get_mut(*index));
            if let Some(Value::Object(cell)) = place {
                let count = run.reply.as_ref().map(|reply| reply.execution_count);
                let outputs = serde_json::to_value(&run.outputs).unwrap_or_else(|_| json!([]));
                cell.insert("execution_count".to_owned(), json!(count));
                cell.insert("outputs".to_owned(), outputs);
            }
            cells.push(NotebookCell { index: *index, reply: run.reply });
        }
        (self.value, cells)
    }
}

/// Text as nbformat has it: a string, or a list of them.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// A check that can be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The code of its cell.
    pub code: String,
    expected: String,
    checker: Checker,
    points: f64,
}

impl Check {
    /// Reads the checks of a request.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn read(checks: Vec<NotebookCheck>) -> Result<Vec<Self>, NotebookError> {
        let read = |(index, check): (usize, NotebookCheck)| {
            let NotebookCheck { code, expected, checker, points } = check;
            let checker = checkers::checker(&checker.name, checker.options)
                .map_err(|error| NotebookError(format!("checks[{index}].checker: {error}")))?;
            if !(points > 0.0 && points <= WEIGHT_MAX) {
                return wrong(format!("checks[{index}].points: above 0, at most {WEIGHT_MAX}"));
            }
            if code.contains('\0') {
                return wrong(format!("checks[{index}].code: contains a NUL byte"));
            }
            if expected.trim().is_empty() {
                return wrong(format!(
                    "checks[{index}].expected: is empty, and a notebook that says nothing would pass"
                ));
            }
            Ok(Self { code, expected, checker, points })
        };
        checks.into_iter().enumerate().map(read).collect()
    }
}

/// Compares what the cells of checks showed with what is expected.
#[must_use]
pub fn grade(checks: &[Check], runs: Vec<CellRun>) -> NotebookGrade {
    let (mut points, mut results) = (0.0, Vec::new());
    for (check, run) in checks.iter().zip(runs) {
        let shown = shown(&run.outputs);
        let has_run = run.reply.as_ref().is_some_and(|reply| reply.status == CellStatus::Ok);
        // A checker that cannot compare does not pass.
        let marks = check.checker.check(shown.as_bytes(), check.expected.as_bytes());
        let passed = has_run && marks.is_ok_and(|marks| marks.accepted);
        if passed {
            points += check.points;
        }
        results.push(CheckResult { passed, reply: run.reply, shown: head(&shown) });
    }
    let points_max: f64 = checks.iter().map(|check| check.points).sum();
    NotebookGrade { fraction: points / points_max, points, points_max, checks: results }
}

/// What is shown of a cell on standard output, and the text of its value after it.
fn shown(outputs: &[CellOutput]) -> String {
    let text = |output: &CellOutput| match output {
        CellOutput::Stream { name, text } if name == "stdout" => Some(text.clone()),
        CellOutput::ExecuteResult { data, .. } => {
            data.get("text/plain").and_then(Value::as_str).map(|text| format!("{text}\n"))
        }
        CellOutput::Stream { .. } | CellOutput::DisplayData { .. } | CellOutput::Error(_) => None,
    };
    outputs.iter().filter_map(text).collect()
}

fn head(text: &str) -> String {
    let end = (0..=text.len().min(STREAM_HEAD_BYTES)).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use protocol::{ExecuteReply, SessionState};

    use super::*;

    fn ran(status: CellStatus, outputs: Value) -> CellRun {
        let reply = ExecuteReply {
            status,
            execution_count: 3,
            exit_code: None,
            stopped: None,
            truncated: false,
            state: SessionState::Idle,
            cpu_time_ms: 0.0,
            wall_time_ms: 0.0,
        };
        CellRun { outputs: serde_json::from_value(outputs).unwrap(), reply: Some(reply) }
    }

    fn stdout(text: &str) -> Value {
        json!([{"output_type": "stream", "name": "stdout", "text": text}])
    }

    #[test]
    fn outputs_are_put_where_they_belong_and_all_else_stays() {
        let value = json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {"own": 1}, "cells": [
            {"cell_type": "markdown", "source": "# a", "metadata": {}},
            {"cell_type": "code", "source": ["x = 1\n", "x"], "metadata": {"k": 2}, "outputs": []},
            {"cell_type": "code", "source": "y", "metadata": {}, "outputs": stdout("old")},
        ]});
        let notebook = Notebook::read(value.clone()).unwrap();
        assert_eq!(notebook.sources().collect::<Vec<_>>(), ["x = 1\nx", "y"]);
        let runs = vec![ran(CellStatus::Ok, stdout("new")), CellRun::default()];
        let (executed, cells) = notebook.executed(runs);
        let mut expected = value;
        expected["cells"][1]["execution_count"] = json!(3);
        expected["cells"][1]["outputs"] = stdout("new");
        expected["cells"][2]["execution_count"] = json!(null);
        expected["cells"][2]["outputs"] = json!([]);
        assert_eq!(executed, expected);
        assert_eq!((cells[0].index, cells[1].index), (1, 2));
        assert!(cells[1].reply.is_none());
    }

    #[test]
    fn what_is_no_notebook_is_refused() {
        for value in [
            json!(1),
            json!({"nbformat": 3, "worksheets": []}),
            json!({"nbformat": 4}),
            json!({"nbformat": 4, "cells": [1]}),
            json!({"nbformat": 4, "cells": [{"cell_type": "code"}]}),
            json!({"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}),
            json!({"nbformat": 4, "cells": [{"cell_type": "code", "source": "\0"}]}),
        ] {
            assert!(Notebook::read(value.clone()).is_err(), "{value} was accepted");
        }
    }

    fn checks(value: Value) -> Result<Vec<Check>, NotebookError> {
        Check::read(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn only_what_is_expected_earns_points() {
        let checks = checks(json!([
            {"code": "f(2)", "expected": "4", "points": 3},
            {"code": "f(3)", "expected": "9"},
            {"code": "f(4)", "expected": "16"},
            {"code": "f(5)", "expected": "25"},
        ]))
        .unwrap();
        let value = |text: &str| {
            json!([{"output_type": "execute_result", "data": {"text/plain": text},
                "metadata": {}, "execution_count": 1}])
        };
        let runs = vec![
            ran(CellStatus::Ok, value("4")),
            ran(CellStatus::Ok, stdout("passed\n")),
            // What an error leaves behind is no answer, whatever it says.
            ran(CellStatus::Error, stdout("16\n")),
            CellRun::default(),
        ];
        let grade = grade(&checks, runs);
        let passed: Vec<bool> = grade.checks.iter().map(|check| check.passed).collect();
        assert_eq!(passed, [true, false, false, false]);
        assert_eq!((grade.points, grade.points_max, grade.fraction), (3.0, 6.0, 0.5));
    }

    #[test]
    fn a_check_that_nothing_could_fail_is_refused() {
        assert!(checks(json!([{"code": "1", "expected": " \n"}])).is_err());
        assert!(checks(json!([{"code": "1", "expected": "1", "points": 0}])).is_err());
        assert!(checks(json!([{"code": "1", "expected": "1", "checker": "none"}])).is_err());
    }
}
