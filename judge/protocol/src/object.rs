//! Structs that are read from JSON objects alone.
//!
//! A derived `Deserialize` reads a struct from an array as well, its fields in their order: `[]` would be
//! a request in which everything is left out, and `["1 2\n", "3\n"]` a test. Whoever sends that means
//! something else, and a field that is added here would change what it means. A struct with
//! `#[serde(remote = "Self")]` has what is derived as plain functions; [`read_object`](crate::read_object)
//! makes them a `Deserialize` that asks for an object.

use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// A deserializer that gives structs from objects alone.
#[derive(Debug)]
pub struct Object<D>(
    /// What it reads from.
    pub D,
);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Object<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Makes a struct with `#[serde(remote = "Self")]` one that is read from objects alone.
#[macro_export]
macro_rules! read_object {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $name::deserialize($crate::object::Object(deserializer))
            }
        }
    };
}

/// The same for one that is written, too.
macro_rules! object {
    ($name:ident) => {
        $crate::read_object!($name);

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $name::serialize(self, serializer)
            }
        }
    };
}
pub(crate) use object;

#[cfg(test)]
mod tests {
    use crate::{FileContent, JudgeRequest, Limits, OpenRequest, Problem, Submission};

    #[test]
    fn no_struct_is_read_from_an_array() {
        fn refused<T: serde::de::DeserializeOwned>(text: &str) {
            let Err(error) = serde_json::from_str::<T>(text) else {
                panic!("{text} was read as a {}", std::any::type_name::<T>());
            };
            assert!(error.to_string().contains("sequence") || text.contains("base64"), "{error}");
        }
        refused::<OpenRequest>("[]");
        refused::<Limits>("[]");
        refused::<Limits>("[100]");
        refused::<JudgeRequest>("[[]]");
        refused::<JudgeRequest>(r#"{"submissions":[["a"]]}"#);
        refused::<Submission>(r#"{"problem":{"kind":"stdio","tests":[]},"limits":[100]}"#);
        refused::<Problem>(r#"{"kind":"stdio","tests":[["1 2\n","3\n"]]}"#);
        refused::<Problem>(r#"{"kind":"function","entry":"f","tests":[["1","2"]]}"#);
        assert!(serde_json::from_str::<FileContent>(r#"["YQ=="]"#).is_err());
        assert!(serde_json::from_str::<FileContent>(r#"{"base64":"YQ=="}"#).is_ok());
    }

    #[test]
    fn every_struct_of_a_request_is_an_object() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let mut attribute = "";
            for line in text.lines() {
                if line.starts_with("#[serde(") {
                    attribute = line;
                }
                let declared = line.strip_prefix("pub struct ");
                if let Some(name) = declared.filter(|_| attribute.contains("deny_unknown_fields")) {
                    assert!(attribute.contains("remote = \"Self\""), "{name}");
                    found += 1;
                }
                if line == "}" {
                    attribute = "";
                }
            }
        }
        assert!(found > 25, "{found}");
    }
}
