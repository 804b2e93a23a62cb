//! Reads the `input_output` of LiveCodeBench, APPS and TACO, and the rows of LiveCodeBench.

use serde_json::Value as Json;

use super::inline::{ProblemError, check_count, read_entry, wrong};
use super::{Call, Calls, Case, Data, Judging, Problem, Stdio, Task, TestInfo, checkers};
use crate::grade::Value;
use crate::grade::value::Origin;

/// Reads inputs and outputs.
///
/// # Errors
/// What is wrong with them.
pub fn read(wire: protocol::InputOutputProblem) -> Result<Problem, ProblemError> {
    check_count(wire.inputs.len())?;
    if wire.inputs.len() != wire.outputs.len() {
        let counts = format!("{} inputs, {} outputs", wire.inputs.len(), wire.outputs.len());
        return Err(wrong("input_output", counts));
    }
    let preset = wire.preset.as_deref().unwrap_or("lcb");
    if !["lcb", "apps", "prime_code", "verl", "sandbox_fusion"].contains(&preset) {
        return Err(wrong("preset", "must be lcb, apps, prime_code, verl or sandbox_fusion"));
    }
    let pairs = wire.inputs.into_iter().zip(wire.outputs).enumerate();
    match wire.fn_name {
        None => {
            let pairs: Result<Vec<_>, ProblemError> = pairs
                .map(|(at, (input, output))| {
                    let input = text(format!("inputs[{at}]"), input)?;
                    Ok((input, text(format!("outputs[{at}]"), output)?))
                })
                .collect();
            stdio(pairs?, preset)
        }
        Some(name) => {
            let calls: Result<Vec<_>, ProblemError> = pairs
                .map(|(at, (input, output))| {
                    call(at, &arguments(format!("inputs[{at}]"), input)?, result(output))
                })
                .collect();
            let rule = if preset == "lcb" { "lcb" } else { "apps" };
            functions(name, calls?, rule)
        }
    }
}

/// Reads the tests of a row.
///
/// # Errors
/// What is wrong with them.
pub fn read_livecodebench(wire: protocol::LivecodebenchProblem) -> Result<Problem, ProblemError> {
    check_count(wire.tests.len())?;
    let kinds = |kind: &str| wire.tests.iter().all(|test| test.testtype == kind);
    let hidden: Vec<bool> = wire.tests.iter().map(|test| test.hidden).collect();
    let mut problem = if kinds("stdin") {
        stdio(wire.tests.into_iter().map(|test| (test.input, test.output)).collect(), "lcb")?
    } else if kinds("functional") {
        let name = function_name(&wire.metadata)?;
        let calls: Result<Vec<_>, ProblemError> = wire
            .tests
            .into_iter()
            .enumerate()
            .map(|(at, test)| call(at, &lines(&test.input), test.output))
            .collect();
        functions(name, calls?, "lcb")?
    } else {
        return Err(wrong("testtype", "must be stdin for all tests, or functional for all"));
    };
    for (test, hidden) in problem.tests.iter_mut().zip(hidden) {
        test.hidden = hidden;
    }
    Ok(problem)
}

/// `func_name` of the metadata, which is an object or the text of one.
fn function_name(metadata: &Json) -> Result<String, ProblemError> {
    let parsed;
    let metadata = match metadata {
        Json::String(text) => {
            parsed = serde_json::from_str(text).unwrap_or(Json::Null);
            &parsed
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => metadata,
    };
    let name = metadata.get("func_name").and_then(Json::as_str);
    name.map(str::to_owned).ok_or_else(|| wrong("metadata", "has no `func_name`"))
}

fn stdio(pairs: Vec<(String, String)>, preset: &str) -> Result<Problem, ProblemError> {
    let checker = checkers::checker(preset, serde_json::Map::new())?;
    let tests = vec![TestInfo::default(); pairs.len()];
    let cases = pairs.into_iter().map(|(stdin, answer)| Case {
        data: Data::Given { stdin: stdin.into(), answer: answer.into() },
        judging: Judging::Checker(checker.clone()),
        output_max: None,
        wall_time_factor: None,
        files: Vec::new(),
    });
    let task = Task::Stdio(Stdio { cases: cases.collect(), ..Stdio::default() });
    Ok(Problem::ungrouped(task, tests))
}

fn functions(name: String, calls: Vec<Call>, rule: &str) -> Result<Problem, ProblemError> {
    // Some rows name the method with its class.
    let name = name.strip_prefix("Solution.").map(str::to_owned).unwrap_or(name);
    let entry = read_entry("fn_name", name)?;
    let rule = checkers::call_rule(rule, serde_json::Map::new())?;
    let tests = vec![TestInfo::default(); calls.len()];
    Ok(Problem::ungrouped(Task::Calls(Calls { entry, calls, rule }), tests))
}

fn call(at: usize, args: &[String], answer: String) -> Result<Call, ProblemError> {
    for (position, argument) in args.iter().enumerate() {
        Value::parse(argument, Origin::Problem)
            .map_err(|reason| wrong(format!("input {at}, argument {position}"), reason))?;
    }
    let expected = Value::parse(&answer, Origin::Problem)
        .map_err(|reason| wrong(format!("output {at}"), reason))?;
    Ok(Call { args: format!("[{}]", args.join(",")), answer, expected })
}

fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(str::to_owned).collect()
}

/// A text, or the lines of one.
fn text(what: String, value: Json) -> Result<String, ProblemError> {
    match value {
        Json::String(text) => Ok(text),
        Json::Array(lines) => {
            let lines: Option<Vec<&str>> = lines.iter().map(Json::as_str).collect();
            let lines = lines.ok_or_else(|| wrong(what, "must be a text or a list of lines"))?;
            Ok(lines.join("\n"))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Err(wrong(what, "must be a text or a list of lines"))
        }
    }
}

/// The arguments of a call: a text with one JSON value a line, or a list of them.
fn arguments(what: String, value: Json) -> Result<Vec<String>, ProblemError> {
    match value {
        Json::String(text) => Ok(lines(&text)),
        Json::Array(items) => Ok(items.iter().map(Json::to_string).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Err(wrong(what, "must be a text with a JSON value a line, or a list of arguments"))
        }
    }
}

/// The result of a call: the text of a JSON value, or the value.
fn result(value: Json) -> String {
    match value {
        Json::String(text) if Value::parse(&text, Origin::Problem).is_ok() => text,
        value @ (Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::String(_)
        | Json::Array(_)
        | Json::Object(_)) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::inline::tests::read_json;
    use super::*;
    use crate::grade::CallRule;

    #[test]
    fn lists_of_lines_are_joined() {
        let problem = read_json(json!({"kind": "input_output", "inputs": ["1\n2\n", ["3", "4"]],
            "outputs": ["3", ["7"]], "preset": "apps"}))
        .unwrap();
        let Task::Stdio(stdio) = problem.task else { panic!("not stdio") };
        let Data::Given { stdin, answer } = &stdio.cases[1].data else { panic!("not given") };
        assert_eq!((&stdin[..], &answer[..]), (&b"3\n4"[..], &b"7"[..]));
    }

    #[test]
    fn arguments_are_one_value_a_line_or_a_list() {
        let problem = read_json(json!({"kind": "input_output", "fn_name": "f",
            "inputs": ["[1, 2]\n\"a\"", [[1, 2], "a"]], "outputs": ["[true]", [true]]}))
        .unwrap();
        let Task::Calls(calls) = problem.task else { panic!("no calls") };
        assert_eq!(calls.calls[0].args, r#"[[1, 2],"a"]"#);
        assert_eq!(calls.calls[1].args, r#"[[1,2],"a"]"#);
        assert_eq!(calls.rule, CallRule::Lcb);
    }

    #[test]
    fn a_row_of_livecodebench_is_read_by_its_test_type() {
        let row = |kind: &str, metadata: Json| {
            let test = json!({"input": "1", "output": "2", "testtype": kind, "hidden": true});
            read_json(json!({"kind": "livecodebench", "tests": [test], "metadata": metadata}))
        };
        let problem = row("functional", json!("{\"func_name\": \"f\"}")).unwrap();
        assert!(problem.tests[0].hidden && matches!(problem.task, Task::Calls(_)));
        assert!(matches!(row("stdin", json!({})).unwrap().task, Task::Stdio(_)));
        assert!(row("functional", json!({})).unwrap_err().to_string().contains("func_name"));
        assert!(row("other", json!({})).is_err());
    }

    #[test]
    fn what_is_broken_is_named() {
        let read = |inputs: Json, outputs: Json| {
            let problem = json!({"kind": "input_output", "fn_name": "f", "inputs": inputs, "outputs": outputs});
            read_json(problem).unwrap_err().to_string()
        };
        assert!(read(json!(["1"]), json!([])).contains("1 inputs, 0 outputs"));
        assert!(read(json!(["[1"]), json!(["1"])).contains("input 0, argument 0"));
        assert!(read(json!([1]), json!(["1"])).contains("inputs[0]"));
    }
}
