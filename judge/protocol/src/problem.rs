//! The problem of a submission, given inline.
//!
//! `kind` is read first, so that a kind this version does not judge is told apart from a broken
//! problem: it arrives as [`Problem::Unsupported`], and the service words the error.

use std::collections::BTreeMap;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::object::object;

use crate::answer::{AnswerProblem, FreeFormProblem, MathProblem};
use crate::checker::{Checker, CheckerSchema};
use crate::submission::Limits;
use crate::suite::{RepositoryProblem, UnitTestsProblem};

/// What a program should do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Problem {
    /// Reads standard input, writes standard output.
    Stdio(StdioProblem),
    /// Must pass an assertion program that runs after it.
    Assertions(AssertionsProblem),
    /// Is a mathematical answer.
    Math(MathProblem),
    /// Is an answer of a named type.
    Answer(AnswerProblem),
    /// Is an answer that only a reward model can judge.
    FreeForm(FreeFormProblem),
    /// Has a function that is called, and whose results are compared.
    Function(FunctionProblem),
    /// The `input_output` of LiveCodeBench, APPS and TACO: standard input, or calls of `fn_name`.
    InputOutput(InputOutputProblem),
    /// A row of LiveCodeBench.
    Livecodebench(LivecodebenchProblem),
    /// A problem folder of DMOJ.
    Dmoj(DmojProblem),
    /// Must pass test files of a framework.
    UnitTests(UnitTestsProblem),
    /// Changes a tree of files so that its tests pass.
    Repository(Box<RepositoryProblem>),
    /// Another kind. Of its problem nothing more is known.
    #[serde(untagged)]
    Unsupported {
        /// Its name.
        kind: String,
    },
}

/// The shape of [`Problem`] in the OpenAPI description.
#[derive(Clone, Debug, ToSchema, Serialize)]
#[schema(as = Problem)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProblemSchema {
    /// Reads standard input, writes standard output.
    Stdio(StdioProblem),
    /// Must pass an assertion program that runs after it.
    Assertions(AssertionsProblem),
    /// Is a mathematical answer.
    Math(MathProblem),
    /// Is an answer of a named type.
    Answer(AnswerProblem),
    /// Is an answer that only a reward model can judge.
    FreeForm(FreeFormProblem),
    /// Has a function that is called, and whose results are compared.
    Function(FunctionProblem),
    /// The `input_output` of LiveCodeBench, APPS and TACO: standard input, or calls of `fn_name`.
    InputOutput(InputOutputProblem),
    /// A row of LiveCodeBench.
    Livecodebench(LivecodebenchProblem),
    /// A problem folder of DMOJ.
    Dmoj(DmojProblem),
    /// Must pass test files of a framework.
    UnitTests(UnitTestsProblem),
    /// Changes a tree of files so that its tests pass.
    Repository(Box<RepositoryProblem>),
}

/// Test cases of input and answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct StdioProblem {
    /// At least one test case; they run in this order.
    pub tests: Vec<TestCase>,
    /// How output is compared with the answer.
    #[serde(default)]
    #[schema(value_type = CheckerSchema)]
    pub checker: Checker,
    /// Tests that are scored together; a test that is in none is a group of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<TestGroup>,
    /// A program that talks with the submission while it runs; standard input is then its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactor: Option<HelperProgram>,
}

object!(StdioProblem);

/// One input and its answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TestCase {
    /// What the program reads; empty where left out.
    #[serde(default)]
    pub stdin: String,
    /// What it should write; may be empty where a program of the problem judges.
    pub stdout: String,
    /// What it is worth; 1 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<f64>,
    /// Whether its input, answer and output stay out of replies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

object!(TestCase);

/// Tests that are scored together: the group earns the part that its worst test earns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TestGroup {
    /// Positions of its tests, from 0, in one piece.
    pub tests: Vec<usize>,
    /// What it is worth; 1 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<f64>,
    /// Positions of earlier groups that must pass before it is run.
    #[serde(default)]
    pub depends_on: Vec<usize>,
    /// Whether the tests after one that is not accepted are skipped.
    #[serde(default = "yes")]
    pub stop_early: bool,
}

object!(TestGroup);

fn yes() -> bool {
    true
}

/// A program of the problem: a checker, an interactor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct HelperProgram {
    /// A name or alias of `GET /v1/languages`.
    pub language: String,
    /// Its source.
    pub source: String,
    /// Files beside it, such as headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileContent>,
    /// Arguments of its compiler.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// What its arguments and its exit code mean: `default`, `testlib`, `coci` or `peg`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What it may use.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

object!(HelperProgram);

/// What is in a file: text, or bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, from = "Content")]
pub enum FileContent {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes {
        /// In the standard alphabet, padded.
        base64: String,
    },
}

/// [`FileContent`] as it is read: an object is one, and no list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Bytes(Encoded),
}

#[derive(Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct Encoded {
    base64: String,
}

crate::read_object!(Encoded);

impl From<Content> for FileContent {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Bytes(Encoded { base64 }) => Self::Bytes { base64 },
        }
    }
}

/// Calls of a function, each in a process of its own. What it prints does not matter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct FunctionProblem {
    /// The function's name; one of a class `Solution` is found without it.
    pub entry: String,
    /// At least one call.
    pub tests: Vec<CallCase>,
    /// How results are compared: `plain`, `lcb`, `apps`, or `floats` with its tolerances.
    #[serde(default = "plain")]
    #[schema(value_type = CheckerSchema)]
    pub compare: Checker,
}

object!(FunctionProblem);

fn plain() -> Checker {
    Checker::named("plain")
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct CallCase {
    /// The arguments.
    pub args: Vec<Value>,
    /// The result.
    pub expected: Value,
    /// What it is worth; 1 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<f64>,
    /// Whether its arguments and results stay out of replies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

object!(CallCase);

/// `input_output` as LiveCodeBench, APPS and TACO have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct InputOutputProblem {
    /// Texts, or lists of lines; with `fn_name` the arguments, one JSON value a line.
    pub inputs: Vec<Value>,
    /// As many texts or lists of lines; with `fn_name` a JSON value each.
    pub outputs: Vec<Value>,
    /// The function that is called; where left out, programs read standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fn_name: Option<String>,
    /// Whose rules: `lcb` (the default), `apps`, `prime_code`, `verl` or `sandbox_fusion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
}

object!(InputOutputProblem);

/// The tests of a row of LiveCodeBench.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct LivecodebenchProblem {
    /// The public tests and the private ones.
    pub tests: Vec<LivecodebenchTest>,
    /// The row's metadata, whose `func_name` names the function.
    #[serde(default)]
    pub metadata: Value,
}

object!(LivecodebenchProblem);

/// One test of a row of LiveCodeBench.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct LivecodebenchTest {
    /// Standard input, or the arguments, one JSON value a line.
    pub input: String,
    /// Standard output, or the result.
    pub output: String,
    /// `stdin` or `functional`; the same for all tests of a row.
    pub testtype: String,
    /// Whether it stays out of replies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

object!(LivecodebenchTest);

/// The files of a problem folder of DMOJ. Time and memory come from the submission's limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct DmojProblem {
    /// By name; `init.yml` among them, archives as base64.
    pub files: BTreeMap<String, FileContent>,
}

object!(DmojProblem);

/// An assertion program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct AssertionsProblem {
    /// Runs after the source, in its namespace; must end without an error.
    pub code: String,
}

object!(AssertionsProblem);

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = serde_json::Map::<String, Value>::deserialize(deserializer)?;
        let kind = match fields.remove("kind") {
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(de::Error::custom("`kind` of a problem must be a string")),
            None => return Err(de::Error::missing_field("kind")),
        };
        let fields = Value::Object(fields);
        let worded = |error: serde_json::Error| de::Error::custom(format!("problem: {error}"));
        match kind.as_str() {
            "stdio" => StdioProblem::deserialize(fields).map(Self::Stdio).map_err(worded),
            "assertions" => {
                AssertionsProblem::deserialize(fields).map(Self::Assertions).map_err(worded)
            }
            "math" => MathProblem::deserialize(fields).map(Self::Math).map_err(worded),
            "answer" => AnswerProblem::deserialize(fields).map(Self::Answer).map_err(worded),
            "free_form" => FreeFormProblem::deserialize(fields).map(Self::FreeForm).map_err(worded),
            "function" => FunctionProblem::deserialize(fields).map(Self::Function).map_err(worded),
            "input_output" => {
                InputOutputProblem::deserialize(fields).map(Self::InputOutput).map_err(worded)
            }
            "livecodebench" => {
                LivecodebenchProblem::deserialize(fields).map(Self::Livecodebench).map_err(worded)
            }
            "unit_tests" => {
                UnitTestsProblem::deserialize(fields).map(Self::UnitTests).map_err(worded)
            }
            "repository" => RepositoryProblem::deserialize(fields)
                .map(|problem| Self::Repository(Box::new(problem)))
                .map_err(worded),
            "dmoj" => DmojProblem::deserialize(fields).map(Self::Dmoj).map_err(worded),
            _ => Ok(Self::Unsupported { kind }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_told_apart_from_a_broken_problem() {
        let later: Problem = serde_json::from_str(r#"{"kind":"essay","answer":"3"}"#).unwrap();
        assert_eq!(later, Problem::Unsupported { kind: "essay".into() });
        assert_eq!(serde_json::to_string(&later).unwrap(), r#"{"kind":"essay"}"#);
        let broken = serde_json::from_str::<Problem>(r#"{"kind":"stdio","test":[]}"#);
        assert!(broken.unwrap_err().to_string().contains("unknown field `test`"));
        let missing = serde_json::from_str::<Problem>(r#"{"tests":[]}"#);
        assert!(missing.unwrap_err().to_string().contains("kind"));
    }

    #[test]
    fn a_problem_survives_the_wire() {
        let problem = Problem::Stdio(StdioProblem {
            tests: vec![TestCase { stdin: "1".into(), stdout: "2".into(), ..TestCase::default() }],
            checker: Checker::named("lcb"),
            ..StdioProblem::default()
        });
        let wire = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&wire).unwrap(), problem);
    }
}
