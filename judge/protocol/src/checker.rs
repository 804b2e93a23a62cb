//! How output or results are compared: a name, or an object with a name and options.
//!
//! Which names there are, and what options each takes, the judge says.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// How output is compared with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checker {
    /// Such as `tokens`, `dmoj-standard` or `lcb`; `program` for one of the problem's own.
    pub name: String,
    /// What it takes.
    pub options: Map<String, Value>,
}

/// The shape of [`Checker`] in the OpenAPI description.
#[derive(Clone, Debug, ToSchema, Serialize)]
#[schema(as = Checker)]
#[serde(untagged)]
pub enum CheckerSchema {
    /// A name.
    Name(String),
    /// A name with options.
    WithOptions {
        /// The name.
        name: String,
        /// `floats`: absolute tolerance.
        absolute: Option<f64>,
        /// `floats`: relative tolerance.
        relative: Option<f64>,
        /// `program`: the checker.
        program: Option<Box<crate::problem::HelperProgram>>,
    },
}

impl Checker {
    /// A checker without options.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), options: Map::new() }
    }
}

impl Default for Checker {
    fn default() -> Self {
        Self::named("tokens")
    }
}

impl Serialize for Checker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.options.is_empty() {
            return serializer.serialize_str(&self.name);
        }
        let mut map = serializer.serialize_map(Some(self.options.len() + 1))?;
        map.serialize_entry("name", &self.name)?;
        for (name, value) in &self.options {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Checker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CheckerVisitor;
        impl<'de> Visitor<'de> for CheckerVisitor {
            type Value = Checker;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a checker: a name such as \"tokens\", or an object with a name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Checker, E> {
                Ok(Checker::named(name))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Checker, A::Error> {
                let reader = de::value::MapAccessDeserializer::new(map);
                let mut options = Map::<String, Value>::deserialize(reader)?;
                match options.remove("name") {
                    Some(Value::String(name)) => Ok(Checker { name, options }),
                    Some(_) => Err(de::Error::custom("`name` of a checker must be a string")),
                    None => Err(de::Error::missing_field("name")),
                }
            }
        }
        deserializer.deserialize_any(CheckerVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkers_are_read_by_name_or_with_options() {
        let read = |json: &str| serde_json::from_str::<Checker>(json);
        assert_eq!(read("\"tokens\"").unwrap(), Checker::named("tokens"));
        assert_eq!(read("{\"name\":\"exact\"}").unwrap(), Checker::named("exact"));
        let floats = read("{\"name\":\"floats\",\"absolute\":0.5}").unwrap();
        assert_eq!(floats.options["absolute"], 0.5);
        let wire = serde_json::to_string(&floats).unwrap();
        assert_eq!(read(&wire).unwrap(), floats);
        assert!(read("3").unwrap_err().to_string().contains("a checker"));
        assert!(read("{}").unwrap_err().to_string().contains("name"));
    }
}
