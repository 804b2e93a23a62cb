//! Variables of the environment that stand for keys of the configuration, and come after its file.
//!
//! The rule: `ASSAY_`, then the key in capitals, with two underscores where a table begins:
//! `ASSAY_LISTEN`, `ASSAY_ADMISSION__BODY_BYTES_MAX`. A value is TOML where it can be read as such
//! and makes sense there, else a string. A variable that names an unknown key of a known table is an
//! error; one whose first part is no key may be anybody's and is only warned of.

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{Config, ConfigError};

const PREFIX: &str = "ASSAY_";
const SEPARATOR: &str = "__";
/// The first parts of keys.
pub(super) const KEYS: [&str; 21] = [
    "listen",
    "slots",
    "wasm_only",
    "warm_starts",
    "cgroup_parent",
    "state_dir",
    "image_store",
    "admission",
    "timeouts",
    "limits_max",
    "sessions",
    "cache",
    "testlib",
    "repositories",
    "log",
    "tls",
    "batches",
    "tenant",
    "judge",
    "value_head",
    "compat",
];

/// A variable, and the key that it stands for.
#[derive(Debug)]
pub(super) struct Override {
    name: String,
    path: Vec<String>,
    value: String,
}

/// The variables that stand for keys, by name.
pub(super) fn overrides(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Override> {
    let known = |(name, value): (String, String)| {
        let path = path(&name)?;
        KEYS.contains(&path[0].as_str()).then_some(Override { name, path, value })
    };
    let mut overrides: Vec<_> = variables.into_iter().filter_map(known).collect();
    overrides.sort_by(|one, other| one.name.cmp(&other.name));
    overrides
}

/// Names that begin like ours and stand for no key.
pub fn unknown(variables: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let names = variables.into_iter().map(|(name, _)| name);
    let is_ours = |name: &String| path(name).is_some_and(|path| !KEYS.contains(&path[0].as_str()));
    let mut names: Vec<_> = names.filter(is_ours).collect();
    names.sort();
    names
}

fn path(name: &str) -> Option<Vec<String>> {
    let path = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    Some(path.split(SEPARATOR).map(str::to_owned).collect())
}

/// Applies the variables one after the other, so that each error names its own.
pub(super) fn apply(mut table: Table, overrides: Vec<Override>) -> Result<Config, ConfigError> {
    let mut config = Config::deserialize(table.clone()).unwrap_or_default();
    for Override { name, path, value } in overrides {
        let wrong = |reason: String| ConfigError::Environment { name: name.clone(), reason };
        let mut reason = String::new();
        let mut applied = None;
        for value in readings(value) {
            let mut changed = table.clone();
            set(&mut changed, &path, value).map_err(wrong)?;
            match Config::deserialize(changed.clone()) {
                Ok(config) => {
                    applied = Some((changed, config));
                    break;
                }
                Err(error) if reason.is_empty() => reason = error.message().to_owned(),
                Err(_) => {}
            }
        }
        (table, config) = applied.ok_or_else(|| wrong(reason))?;
    }
    Ok(config)
}

/// What a value may mean, the likelier first.
fn readings(value: String) -> impl Iterator<Item = Value> {
    let read = toml::from_str::<Table>(&format!("value = {value}"));
    let read = read.ok().and_then(|mut table| table.remove("value"));
    read.into_iter().chain([Value::String(value)])
}

fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    match path {
        [] => Ok(()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [key, rest @ ..] => match table.entry(key).or_insert_with(|| Table::new().into()) {
            Value::Table(inner) => set(inner, rest, value),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => Err(format!("`{key}` is no table")),
        },
    }
}
