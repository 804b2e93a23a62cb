//! `/submit`: a completion is judged against a row that comes with the request.
//!
//! | class | row | judged as |
//! |---|---|---|
//! | `CommonOJ` | `test: [{input: {stdin}, output: {stdout}}]` | `stdio`, by the comparison of the original |
//! | `HumanEval` | `prompt`, `test`, `entry_point` | assertions after prompt and program |
//! | `MBPP` | `test`, or `test_list` | assertions after the program |
//! | `MultiPL-E` | `prompt`, `tests`, `language` | assertions in that language |
//! | `AutoEval` | `test: {code}` with `#<INSERT>` | what stands before it and the program, then what stands after it as assertions |
//!
//! A completion without a fence is taken for the continuation of the prompt, where there is one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use protocol::{
    AssertionsProblem, Checker, Problem, StdioProblem, Submission, SubmissionResult, TestCase,
    TestResult, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::super::Service;
use super::super::super::body;
use super::super::super::error::ApiError;
use super::super::door::{self, Meaning};
use super::super::{label, program};
use super::rows::{Row, TestConfig, unusable};
use super::{CommandResult, CommandStatus, RunCodeReply, RunStatus, language, refuse};
use crate::extract::{self, Rule};
use crate::task::Task;

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct SubmitRequest {
    dataset: String,
    id: Value,
    completion: String,
    #[serde(default)]
    config: TestConfig,
}

protocol::read_object!(SubmitRequest);

#[derive(Debug, Serialize)]
struct EvalResult {
    id: Value,
    accepted: bool,
    extracted_code: String,
    full_code: Option<String>,
    test_code: Option<String>,
    tests: Vec<EvalTest>,
    extracted_type: Option<&'static str>,
    extra: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct EvalTest {
    passed: bool,
    exec_info: RunCodeReply,
    test_info: Value,
}

/// What is judged, and what its reply repeats.
struct Judged {
    task: Option<Task>,
    id: Value,
    code: String,
    found: &'static str,
    infos: Vec<Value>,
}

pub(super) async fn submit(State(service): State<Arc<Service>>, request: Request) -> Response {
    let reply = async {
        let mut judged = door::read(&service, request, read).await?;
        let result = match judged.task.take() {
            None => None,
            Some(task) => door::judge(&service, vec![task]).await?.pop(),
        };
        if let Some(failure) = result.as_ref().and_then(|result| result.failure.clone()) {
            return Err(door::Fault::Failure(failure));
        }
        door::json(&service, StatusCode::OK, &reply(judged, result))
    };
    match reply.await {
        Ok(response) => response,
        // A result of this shape would say that the completion is wrong.
        Err(fault) if fault.meaning() == Meaning::Stays => {
            fault.reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({"detail": fault.message()}))
        }
        Err(fault) => refuse(&service, &fault),
    }
}

fn read(service: &Service, bytes: &[u8]) -> Result<Judged, ApiError> {
    let request: SubmitRequest = body::parse(bytes)?;
    let config = &request.config;
    if config.custom_extract_logic.is_some() {
        return Err(ApiError::unprocessable(
            "unsupported",
            "`custom_extract_logic` is a program of the caller, and is not run here",
            "fence the program in the completion",
        ));
    }
    let row = config.row(&request.dataset, &request.id)?;
    let class = config.dataset_type.as_ref().unwrap_or(&request.dataset);
    let class: String = class.to_lowercase().chars().filter(char::is_ascii_alphabetic).collect();
    let case = Case { row: &row, config, completion: &request.completion };
    let built = match class.strip_suffix("dataset").unwrap_or(&class) {
        "commonoj" => case.common(service)?,
        "humaneval" => case.python(service, Continues::PromptAndKeeps)?,
        "mbpp" => case.python(service, Continues::Nothing)?,
        "multiple" => case.multiple(service)?,
        "autoeval" => case.automatic(service)?,
        _ => {
            return Err(ApiError::unprocessable(
                "unknown_class",
                format!("`dataset_type` {class:?} is not judged here"),
                "CommonOJ, HumanEval, MBPP, MultiPL-E or AutoEval",
            ));
        }
    };
    let Built { submission, code, found, infos } = built;
    let tasks = submission.map(|submission| door::tasks(service, vec![*submission])).transpose()?;
    let task = tasks.and_then(|mut tasks| tasks.pop());
    Ok(Judged { task, id: request.id, code, found, infos })
}

struct Case<'a> {
    row: &'a Row,
    config: &'a TestConfig,
    completion: &'a str,
}

/// A submission, or nothing where the completion has no program.
struct Built {
    submission: Option<Box<Submission>>,
    code: String,
    found: &'static str,
    infos: Vec<Value>,
}

impl Case<'_> {
    fn common(&self, service: &Service) -> Result<Built, ApiError> {
        let language = self.language(None)?;
        let tests = match self.row.get("test") {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
            Some(tests) => tests.clone(),
            None => Value::Null,
        };
        let Value::Array(tests) = tests else {
            return Err(unusable("`test` is no list of tests".to_owned()));
        };
        let cases: Vec<TestCase> = tests.iter().map(test_case).collect::<Result<_, _>>()?;
        let problem = Problem::Stdio(StdioProblem {
            tests: cases,
            checker: Checker::named("sandbox_fusion"),
            ..StdioProblem::default()
        });
        let mut built = self.built(service, &language, problem, Continues::Nothing)?;
        built.infos = tests;
        if let Some(submission) = &mut built.submission {
            let all = self.config.extra.get("run_all_cases").and_then(Value::as_bool);
            submission.stop_early = !all.unwrap_or(false);
        }
        Ok(built)
    }

    fn python(&self, service: &Service, continues: Continues) -> Result<Built, ApiError> {
        let mut code = self.test_code()?;
        if let Some(entry) = self.text(&["entry_point"]) {
            let call = format!("check({entry})");
            if code.contains("def check(") && !code.contains(&call) {
                code = format!("{code}\n{call}\n");
            }
        }
        let problem = Problem::Assertions(AssertionsProblem { code });
        self.built(service, "python", problem, continues)
    }

    fn multiple(&self, service: &Service) -> Result<Built, ApiError> {
        let language = self.language(Some("language"))?;
        let mut code = self.test_code()?;
        // Such tests close the function that the prompt opens; a whole function has closed itself.
        let closes = code.trim_start().strip_prefix('}').map(str::to_owned);
        if let Some(rest) = &closes {
            code.clone_from(rest);
        }
        let problem = Problem::Assertions(AssertionsProblem { code });
        let mut built = self.built(service, &language, problem, Continues::Prompt)?;
        if built.found == "heuristic"
            && closes.is_some()
            && let Some(source) = built.submission.as_mut().and_then(|it| it.source.as_mut())
        {
            source.push_str("\n}\n");
        }
        Ok(built)
    }

    fn automatic(&self, service: &Service) -> Result<Built, ApiError> {
        const INSERT: &str = "#<INSERT>";
        let language = self.language(Some("execution_language"))?;
        let code = self.test_code()?;
        let Some((before, after)) = code.split_once(INSERT) else {
            return Err(unusable(format!("`test.code` has no {INSERT}")));
        };
        let problem = Problem::Assertions(AssertionsProblem { code: after.to_owned() });
        let mut built = self.built(service, &language, problem, Continues::Nothing)?;
        if let Some(source) = built.submission.as_mut().and_then(|it| it.source.as_mut()) {
            source.insert_str(0, before);
        }
        Ok(built)
    }

    fn built(
        &self,
        service: &Service,
        language: &str,
        problem: Problem,
        continues: Continues,
    ) -> Result<Built, ApiError> {
        let (found, code) = self.extraction(service, language)?;
        let prompt = self.text(&["prompt", "content"]).filter(|_| continues != Continues::Nothing);
        let (code, source, found) = match (code, prompt) {
            (Some(code), Some(prompt)) if continues == Continues::PromptAndKeeps => {
                (code.clone(), format!("{prompt}\n    pass\n\n{code}"), found)
            }
            (Some(code), _) => (code.clone(), code, found),
            (None, Some(prompt)) if !self.completion.trim().is_empty() => {
                let completion = self.completion.to_owned();
                (completion.clone(), prompt + &completion, "heuristic")
            }
            (None, _) => {
                return Ok(Built {
                    submission: None,
                    code: String::new(),
                    found: "empty",
                    infos: vec![],
                });
            }
        };
        let mut submission = label::empty(problem);
        submission.language = Some(language.to_owned());
        submission.source = Some(source);
        let seconds = self.config.run_timeout.unwrap_or(20.0);
        submission.limits = program::time_limits("run_timeout", seconds)?;
        submission.limits.memory_bytes = Some(super::memory(service, -1));
        Ok(Built { submission: Some(Box::new(submission)), code, found, infos: vec![Value::Null] })
    }

    /// The program of the completion, and how it was found.
    fn extraction(
        &self,
        service: &Service,
        language: &str,
    ) -> Result<(&'static str, Option<String>), ApiError> {
        let known = service.languages.find(language, None);
        let known = known.map_err(crate::submission::SubmissionError::from)?;
        let extraction = extract::extract(self.completion, &known.fences);
        let found = match extraction.rule {
            Rule::TaggedFence | Rule::PlainFence | Rule::OtherFence => "fenced",
            Rule::TaggedFenceUnfinished
            | Rule::PlainFenceUnfinished
            | Rule::OtherFenceUnfinished => "incomplete_fenced",
            Rule::NoFence | Rule::UnfinishedReasoning => "empty",
        };
        Ok((found, extraction.source))
    }

    fn language(&self, of_row: Option<&str>) -> Result<String, ApiError> {
        let names = [of_row.unwrap_or("language"), "programming_language", "language"];
        let given = self.config.language.clone().or_else(|| self.text(&names));
        match given {
            Some(given) => language(&given),
            None => Err(unusable("no language is given".to_owned())),
        }
    }

    fn test_code(&self) -> Result<String, ApiError> {
        let of = |value: &Value| match value {
            Value::String(text) => match serde_json::from_str::<Map<String, Value>>(text) {
                Ok(inner) => inner.get("code").and_then(Value::as_str).map(str::to_owned),
                Err(_) => Some(text.clone()),
            },
            Value::Object(inner) => inner.get("code").and_then(Value::as_str).map(str::to_owned),
            Value::Array(lines) => {
                let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
                lines.map(|lines| lines.join("\n"))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        };
        let given = ["test", "tests", "test_list"].iter().find_map(|name| self.row.get(*name));
        given.and_then(of).ok_or_else(|| unusable("the row has no `test` with code".to_owned()))
    }

    /// A text of the row, or of its labels.
    fn text(&self, names: &[&str]) -> Option<String> {
        let labels = match self.row.get("labels") {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
            Some(labels) => labels.clone(),
            None => Value::Null,
        };
        let of = |name: &&str| self.row.get(*name).or_else(|| labels.get(name))?.as_str();
        names.iter().find_map(of).map(str::to_owned)
    }
}

/// What a completion without a fence, or a program in one, goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Continues {
    /// It stands alone.
    Nothing,
    /// A completion without a fence goes on from the prompt.
    Prompt,
    /// And a fenced one keeps what the prompt defines.
    PromptAndKeeps,
}

fn test_case(test: &Value) -> Result<TestCase, ApiError> {
    let stream = |side: &str, name: &str| -> Result<String, ApiError> {
        let files = test.get(side).and_then(Value::as_object);
        let files = files.ok_or_else(|| unusable(format!("a test has no `{side}`")))?;
        if let Some(other) = files.keys().find(|key| *key != name) {
            return Err(unusable(format!("`{side}` has a file {other:?}; only {name} is judged")));
        }
        Ok(files.get(name).and_then(Value::as_str).unwrap_or_default().to_owned())
    };
    let (stdin, stdout) = (stream("input", "stdin")?, stream("output", "stdout")?);
    Ok(TestCase { stdin, stdout, ..TestCase::default() })
}

fn reply(judged: Judged, result: Option<SubmissionResult>) -> EvalResult {
    let accepted = result.as_ref().is_some_and(|result| result.reward == Some(1.0));
    let compile = result.as_ref().and_then(|result| result.compile.as_ref()).map(compiled);
    let mut tests: Vec<EvalTest> = Vec::new();
    if let Some(result) = &result {
        let ran = result.tests.iter().filter(|test| !test.skipped).zip(&judged.infos);
        tests.extend(ran.map(|(test, info)| eval_test(test, info, compile.clone())));
        if result.verdict == Some(Verdict::CompileError) {
            tests.push(EvalTest {
                passed: false,
                exec_info: RunCodeReply {
                    compile_result: compile,
                    ..RunCodeReply::bare(RunStatus::Failed, String::new())
                },
                test_info: judged.infos.first().cloned().unwrap_or_default(),
            });
        }
    }
    EvalResult {
        id: judged.id,
        accepted,
        extracted_code: judged.code,
        full_code: None,
        test_code: None,
        tests,
        extracted_type: Some(judged.found),
        extra: Map::new(),
    }
}

fn eval_test(test: &TestResult, info: &Value, compile: Option<CommandResult>) -> EvalTest {
    let late =
        matches!(test.verdict, Some(Verdict::TimeLimitExceeded | Verdict::WallTimeLimitExceeded));
    let return_code = match test.verdict {
        _ if late => None,
        Some(Verdict::MemoryLimitExceeded) => Some(-9),
        Some(Verdict::OutputLimitExceeded) => Some(-25),
        _ => test.exit_code.or_else(|| test.signal.map(|signal| -signal)),
    };
    let run_result = CommandResult {
        status: if late { CommandStatus::TimeLimitExceeded } else { CommandStatus::Finished },
        execution_time: test.wall_time_ms / 1000.0,
        cpu_time: test.cpu_time_ms / 1000.0,
        return_code,
        stdout: test.stdout.clone(),
        stderr: test.stderr.clone(),
    };
    let status = if return_code == Some(0) { RunStatus::Success } else { RunStatus::Failed };
    EvalTest {
        passed: test.verdict == Some(Verdict::Accepted),
        exec_info: RunCodeReply {
            compile_result: compile,
            run_result: Some(run_result),
            ..RunCodeReply::bare(status, test.message.clone().unwrap_or_default())
        },
        test_info: info.clone(),
    }
}

fn compiled(compile: &protocol::CompileResult) -> CommandResult {
    CommandResult {
        status: CommandStatus::Finished,
        execution_time: compile.wall_time_ms / 1000.0,
        cpu_time: compile.cpu_time_ms / 1000.0,
        return_code: Some(i32::from(!compile.ok)),
        stdout: compile.stdout.clone(),
        stderr: compile.stderr.clone(),
    }
}
