//! The problem of a submission, given inline.
//!
//! `kind` is read first, so that a kind this version does not judge is told apart from a broken
//! problem: it arrives as [`Problem::Unsupported`], and the service words the error.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{AnswerProblem, FreeFormProblem, MathProblem};

/// Kinds that belong to the wire format but are not judged by this version.
pub const LATER_KINDS: [&str; 4] = ["function", "unit_tests", "repository", "dmoj"];

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
    /// Another kind.
    #[serde(skip)]
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
}

/// Test cases of input and answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StdioProblem {
    /// At least one test case; they run in this order.
    pub tests: Vec<TestCase>,
    /// How output is compared with the answer.
    #[serde(default)]
    #[schema(value_type = CheckerSchema)]
    pub checker: Checker,
}

/// One input and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What the program reads; empty where left out.
    #[serde(default)]
    pub stdin: String,
    /// What it should write.
    pub stdout: String,
}

/// An assertion program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssertionsProblem {
    /// Runs after the source, in its namespace; must end without an error.
    pub code: String,
}

/// How output is compared with the answer: a name, or an object with a name and its options.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Checker {
    /// The same tokens, whatever white space is between them.
    #[default]
    Tokens,
    /// The same bytes.
    Exact,
    /// Tokens; numbers may differ by an absolute or a relative tolerance.
    Floats {
        /// Absolute tolerance.
        absolute: f64,
        /// Relative tolerance.
        relative: f64,
    },
}

/// The shape of [`Checker`] in the OpenAPI description.
#[derive(Clone, Debug, ToSchema, Serialize)]
#[schema(as = Checker)]
#[serde(untagged)]
pub enum CheckerSchema {
    /// `tokens`, `exact`, or `floats` with its default tolerances.
    Name(CheckerName),
    /// A name with options.
    WithOptions {
        /// Only `floats` takes options.
        name: CheckerName,
        /// Absolute tolerance of `floats`.
        absolute: Option<f64>,
        /// Relative tolerance of `floats`.
        relative: Option<f64>,
    },
}

/// Names of checkers.
#[derive(Clone, Copy, Debug, ToSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckerName {
    /// The same tokens.
    Tokens,
    /// The same bytes.
    Exact,
    /// Tokens, numbers within a tolerance.
    Floats,
}

impl Checker {
    /// Tolerance of `floats` where none is given.
    pub const TOLERANCE_DEFAULT: f64 = 1e-6;

    fn from_parts<E: de::Error>(
        name: &str,
        absolute: Option<f64>,
        relative: Option<f64>,
    ) -> Result<Self, E> {
        let tolerances = absolute.is_some() || relative.is_some();
        match name {
            "tokens" | "exact" if tolerances => {
                Err(E::custom(format!("checker `{name}` takes no tolerance")))
            }
            "tokens" => Ok(Self::Tokens),
            "exact" => Ok(Self::Exact),
            "floats" if !tolerances => Ok(Self::Floats {
                absolute: Self::TOLERANCE_DEFAULT,
                relative: Self::TOLERANCE_DEFAULT,
            }),
            "floats" => Ok(Self::Floats {
                absolute: absolute.unwrap_or(0.0),
                relative: relative.unwrap_or(0.0),
            }),
            other => Err(E::unknown_variant(other, &["tokens", "exact", "floats"])),
        }
    }
}

impl Serialize for Checker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Tokens => serializer.serialize_str("tokens"),
            Self::Exact => serializer.serialize_str("exact"),
            Self::Floats { absolute, relative } => {
                let mut map = serializer.serialize_map(Some(3))?;
                map.serialize_entry("name", "floats")?;
                map.serialize_entry("absolute", absolute)?;
                map.serialize_entry("relative", relative)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Checker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CheckerVisitor;
        impl<'de> Visitor<'de> for CheckerVisitor {
            type Value = Checker;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a checker: \"tokens\", \"exact\", \"floats\", or an object with a name",
                )
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Checker, E> {
                Checker::from_parts(name, None, None)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Checker, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Parts {
                    name: String,
                    absolute: Option<f64>,
                    relative: Option<f64>,
                }
                let parts = Parts::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Checker::from_parts(&parts.name, parts.absolute, parts.relative)
            }
        }
        deserializer.deserialize_any(CheckerVisitor)
    }
}

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde_json::Value;
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
            _ => Ok(Self::Unsupported { kind }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checker(json: &str) -> Result<Checker, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn checkers_are_read_by_name_or_with_options() {
        assert_eq!(checker("\"tokens\""), Ok(Checker::Tokens));
        assert_eq!(checker("{\"name\":\"exact\"}"), Ok(Checker::Exact));
        let floats = Checker::Floats { absolute: 1e-6, relative: 1e-6 };
        assert_eq!(checker("\"floats\""), Ok(floats));
        let absolute = Checker::Floats { absolute: 0.5, relative: 0.0 };
        assert_eq!(checker("{\"name\":\"floats\",\"absolute\":0.5}"), Ok(absolute));
    }

    #[test]
    fn a_checker_with_a_wrong_name_or_option_is_refused_with_the_names() {
        assert!(checker("\"token\"").unwrap_err().contains("`tokens`, `exact`, `floats`"));
        assert!(checker("{\"name\":\"tokens\",\"absolute\":1}").is_err());
        assert!(checker("{\"name\":\"floats\",\"epsilon\":1}").is_err());
        assert!(checker("3").unwrap_err().contains("a checker"));
    }

    #[test]
    fn a_later_kind_is_told_apart_from_a_broken_problem() {
        let later: Problem = serde_json::from_str(r#"{"kind":"dmoj","answer":"3"}"#).unwrap();
        assert_eq!(later, Problem::Unsupported { kind: "dmoj".into() });
        let broken = serde_json::from_str::<Problem>(r#"{"kind":"stdio","test":[]}"#);
        assert!(broken.unwrap_err().to_string().contains("unknown field `test`"));
        let missing = serde_json::from_str::<Problem>(r#"{"tests":[]}"#);
        assert!(missing.unwrap_err().to_string().contains("kind"));
    }

    #[test]
    fn a_problem_survives_the_wire() {
        let problem = Problem::Stdio(StdioProblem {
            tests: vec![TestCase { stdin: "1".into(), stdout: "2".into() }],
            checker: Checker::Floats { absolute: 0.1, relative: 0.0 },
        });
        let wire = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&wire).unwrap(), problem);
    }
}
