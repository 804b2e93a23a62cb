//! YAML as a tree that remembers its lines. Bounded: size, depth, and what aliases unfold to.

use std::collections::HashMap;

use yaml_rust2::parser::{Event, MarkedEventReceiver, Parser};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use crate::limits::{INIT_BYTES_MAX, INIT_NODES_MAX};

/// A node and the line on which it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Yaml,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yaml {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// Keys with their lines, each once.
    Map(Vec<(String, usize, Node)>),
}

/// Depth up to which documents are read.
const DEPTH_MAX: usize = 48;

/// Reads one document.
///
/// # Errors
/// The line, and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Node, (usize, String)> {
    if text.len() > INIT_BYTES_MAX {
        return Err((0, format!("larger than {INIT_BYTES_MAX} bytes")));
    }
    check_depth(text)?;
    let mut loader = Loader::default();
    Parser::new_from_str(text)
        .load(&mut loader, false)
        .map_err(|error| (error.marker().line(), error.info().to_owned()))?;
    match (loader.fault, loader.root) {
        (Some(fault), _) => Err(fault),
        (None, Some(root)) => Ok(root),
        (None, None) => Ok(Node { line: 1, value: Yaml::Null }),
    }
}

/// The parser calls itself for each level, so a document that could be too deep is not shown to it.
/// Counts more than there is where brackets stand in texts.
fn check_depth(text: &str) -> Result<(), (usize, String)> {
    let mut open = 0_usize;
    for (at, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let marks = line.split(' ').take_while(|part| matches!(*part, "" | "-" | "?")).count();
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > DEPTH_MAX {
                return Err((at + 1, "nested too deep".to_owned()));
            }
        }
        if indent > 4 * DEPTH_MAX || marks > 4 * DEPTH_MAX {
            return Err((at + 1, "nested too deep".to_owned()));
        }
    }
    Ok(())
}

enum Open {
    List {
        line: usize,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        line: usize,
        anchor: usize,
        entries: Vec<(String, usize, Node)>,
        key: Option<(String, usize)>,
    },
}

#[derive(Default)]
struct Loader {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    fault: Option<(usize, String)>,
}

impl MarkedEventReceiver for Loader {
    fn on_event(&mut self, event: Event, mark: Marker) {
        if self.fault.is_some() {
            return;
        }
        let line = mark.line();
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = scalar(text, style);
                self.add(Node { line, value }, anchor);
            }
            Event::SequenceStart(anchor, _) => {
                self.open.push(Open::List { line, anchor, items: Vec::new() });
            }
            Event::MappingStart(anchor, _) => {
                let (entries, key) = (Vec::new(), None);
                self.open.push(Open::Map { line, anchor, entries, key });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { line, anchor, items }) => {
                    self.add(Node { line, value: Yaml::List(items) }, anchor);
                }
                Some(Open::Map { line, anchor, entries, .. }) => {
                    self.add(Node { line, value: Yaml::Map(entries) }, anchor);
                }
                None => self.fail(line, "an end without a beginning"),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.nodes += size(&node);
                    self.add(Node { line, ..node }, 0);
                }
                None => self.fail(line, "an alias of something that contains it"),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart
            | Event::DocumentEnd => {}
        }
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Yaml::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Yaml::Map(entries) => 1 + entries.iter().map(|(_, _, node)| size(node)).sum::<usize>(),
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) => 1,
    }
}

impl Loader {
    fn fail(&mut self, line: usize, reason: &str) {
        self.fault = Some((line, reason.to_owned()));
    }

    fn add(&mut self, node: Node, anchor: usize) {
        self.nodes += 1;
        let line = node.line;
        if self.nodes > INIT_NODES_MAX {
            return self.fail(line, "too many nodes");
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((name, line)) => entries.push((name, line, node)),
                None => match key_text(&node.value) {
                    Some(name) if entries.iter().any(|(known, ..)| *known == name) => {
                        self.fail(line, &format!("key `{name}` is there twice"));
                    }
                    Some(name) => *key = Some((name, line)),
                    None => self.fail(line, "a key that is no text"),
                },
            },
        }
    }
}

fn key_text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::Text(text) => Some(text.clone()),
        Yaml::Number(number) => Some(number.to_string()),
        Yaml::Bool(truth) => Some(truth.to_string()),
        Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
    }
}

/// A plain scalar as PyYAML reads it; a quoted one is a text.
fn scalar(text: String, style: TScalarStyle) -> Yaml {
    if style != TScalarStyle::Plain {
        return Yaml::Text(text);
    }
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Yaml::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Yaml::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Yaml::Bool(false)
        }
        _ => match text.replace('_', "").parse::<f64>() {
            Ok(number)
                if number.is_finite()
                    && text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) =>
            {
                Yaml::Number(number)
            }
            Ok(_) | Err(_) => Yaml::Text(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nodes_know_their_lines() {
        let root = parse("a: 1\nb:\n  - x\n  - {c: yes}\n").unwrap();
        let Yaml::Map(entries) = &root.value else { panic!("no map") };
        assert_eq!((entries[0].1, entries[1].1), (1, 2));
        let Yaml::List(items) = &entries[1].2.value else { panic!("no list") };
        assert_eq!((items[0].line, items[1].line), (3, 4));
        assert_eq!(items[0].value, Yaml::Text("x".to_owned()));
    }

    #[test]
    fn what_is_broken_comes_with_its_line() {
        assert_eq!(parse("a: 1\nb: }\nc: 1\n").unwrap_err().0, 2);
        let twice = parse("a: 1\na: 2\n").unwrap_err();
        assert_eq!(twice, (2, "key `a` is there twice".to_owned()));
        assert_eq!(parse("").unwrap().value, Yaml::Null);
    }

    #[test]
    fn depth_and_aliases_are_bounded() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
        let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (last, next) in
            ["a", "b", "c", "d", "e", "f", "g"].iter().zip(["b", "c", "d", "e", "f", "g", "h"])
        {
            laughs.push_str(&format!(
                "{next}: &{next} [{}]\n",
                vec![format!("*{last}"); 9].join(",")
            ));
        }
        assert!(parse(&laughs).unwrap_err().1.contains("too many nodes"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[-\\[\\]{}&*:,a \n\"'|>!%#?]{0,60}|.{0,40}") {
            drop(parse(&text));
        }
    }
}
