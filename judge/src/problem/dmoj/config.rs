//! A map of `init.yml`, with the maps that it inherits from.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is no such node is wrong here, whatever else it is"
)]

use serde_json::{Map, Value as Json};

use super::Findings;
use super::yaml::{Node, Yaml};

/// Keys that a case, a batch or the root may have.
const KEYS: [&str; 32] = [
    "archive",
    "batched",
    "binary_data",
    "checker",
    "custom_judge",
    "dependencies",
    "generator",
    "generator_args",
    "generator_in",
    "hints",
    "in",
    "interactive",
    "meta",
    "out",
    "output_limit_length",
    "output_prefix_length",
    "points",
    "pretest_test_cases",
    "short_circuit",
    "signature_grader",
    "symlinks",
    "test_cases",
    "unbuffered",
    "validator",
    "wall_time_factor",
    "name",
    "description",
    "time_limit",
    "memory_limit",
    "file_io",
    "grader",
    "allow_main",
];

/// A map, and where it looks for what it lacks.
#[derive(Clone, Debug)]
pub(super) struct Config<'a> {
    path: String,
    line: usize,
    entries: &'a [(String, usize, Node)],
    parents: Vec<&'a [(String, usize, Node)]>,
}

impl<'a> Config<'a> {
    pub(super) fn root(node: &'a Node, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Yaml::Map(entries) if !entries.is_empty() => {
                let config =
                    Self { path: String::new(), line: node.line, entries, parents: Vec::new() };
                config.check_keys(&KEYS, findings);
                Some(config)
            }
            Yaml::Null | Yaml::Map(_) => {
                findings.add(0, "", "is empty");
                None
            }
            Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) => {
                findings.add(node.line, "", "must be a map");
                None
            }
        }
    }

    /// A case or a batch in it.
    pub(super) fn child(
        &self,
        node: &'a Node,
        path: &str,
        findings: &mut Findings,
    ) -> Option<Self> {
        let Yaml::Map(entries) = &node.value else {
            findings.add(node.line, path, "must be a map");
            return None;
        };
        let parents = std::iter::once(self.entries).chain(self.parents.iter().copied()).collect();
        let config = Self { path: path.to_owned(), line: node.line, entries, parents };
        config.check_keys(&KEYS, findings);
        Some(config)
    }

    /// A map with keys of its own, which inherits nothing.
    pub(super) fn part(
        node: &'a Node,
        path: &str,
        known: &[&str],
        findings: &mut Findings,
    ) -> Option<Self> {
        let Yaml::Map(entries) = &node.value else {
            findings.add(node.line, path, "must be a map");
            return None;
        };
        let config = Self { path: path.to_owned(), line: node.line, entries, parents: Vec::new() };
        config.check_keys(known, findings);
        Some(config)
    }

    fn check_keys(&self, known: &[&str], findings: &mut Findings) {
        for (key, line, _) in self.entries {
            if !known.contains(&key.as_str()) {
                findings.add(*line, &self.path_of(key), "is no key that is known here");
            }
        }
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The node of a key of its own.
    pub(super) fn own(&self, key: &str) -> Option<(usize, &'a Node)> {
        find(self.entries, key)
    }

    /// The node of a key, its own or inherited. One that is null counts as absent.
    pub(super) fn node(&self, key: &str) -> Option<(usize, &'a Node)> {
        std::iter::once(self.entries)
            .chain(self.parents.iter().copied())
            .find_map(|entries| find(entries, key))
    }

    pub(super) fn text(&self, key: &str, findings: &mut Findings) -> Option<(usize, String)> {
        let (line, node) = self.node(key)?;
        match &node.value {
            Yaml::Text(text) => Some((line, text.clone())),
            Yaml::Number(number) => Some((line, number.to_string())),
            Yaml::Null | Yaml::Bool(_) | Yaml::List(_) | Yaml::Map(_) => {
                findings.add(line, &self.path_of(key), "must be a text");
                None
            }
        }
    }

    pub(super) fn number(&self, key: &str, findings: &mut Findings) -> Option<f64> {
        let (line, node) = self.node(key)?;
        match &node.value {
            Yaml::Number(number) if *number >= 0.0 => Some(*number),
            _ => {
                findings.add(line, &self.path_of(key), "must be a number from 0 up");
                None
            }
        }
    }

    pub(super) fn truth(&self, key: &str, default: bool, findings: &mut Findings) -> bool {
        match self.node(key) {
            None => default,
            Some((_, Node { value: Yaml::Bool(truth), .. })) => *truth,
            Some((line, _)) => {
                findings.add(line, &self.path_of(key), "must be true or false");
                default
            }
        }
    }

    /// One text, or a list of texts and numbers.
    pub(super) fn texts(&self, key: &str, findings: &mut Findings) -> Option<(usize, Vec<String>)> {
        let (line, node) = self.node(key)?;
        match texts_of(node) {
            Some(texts) => Some((line, texts)),
            None => {
                findings.add(line, &self.path_of(key), "must be a text or a list of texts");
                None
            }
        }
    }
}

fn find<'a>(entries: &'a [(String, usize, Node)], key: &str) -> Option<(usize, &'a Node)> {
    let entry = entries.iter().find(|(name, ..)| name == key)?;
    (entry.2.value != Yaml::Null).then_some((entry.1, &entry.2))
}

/// One text, or a list of texts and numbers.
pub(super) fn texts_of(node: &Node) -> Option<Vec<String>> {
    let one = |node: &Node| match &node.value {
        Yaml::Text(text) => Some(text.clone()),
        Yaml::Number(number) => Some(number.to_string()),
        Yaml::Bool(truth) => Some(if *truth { "True" } else { "False" }.to_owned()),
        Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
    };
    match &node.value {
        Yaml::List(items) => items.iter().map(one).collect(),
        _ => one(node).map(|text| vec![text]),
    }
}

/// A node as JSON, for options that both formats have.
pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Yaml::Null => Json::Null,
        Yaml::Bool(truth) => Json::Bool(*truth),
        Yaml::Number(number) => integral(*number),
        Yaml::Text(text) => Json::String(text.clone()),
        Yaml::List(items) => Json::Array(items.iter().map(json).collect()),
        Yaml::Map(entries) => {
            let entries = entries.iter().map(|(key, _, node)| (key.clone(), json(node)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is integral and within range")]
fn integral(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Json::from(number as i64)
    } else {
        Json::from(number)
    }
}
