//! Test cases, batches and pretests.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is no list, map or number is wrong here, whatever else it is"
)]

use bytes::Bytes;

use super::super::{Case, Data, Group, HelperUse, Judging, TestInfo};
use super::archive::{self, Found};
use super::config::{Config, json, texts_of};
use super::programs::Programs;
use super::yaml::{Node, Yaml};
use super::{Files, Findings};

/// A case or a batch of `init.yml`, or one that was found in the archive.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Case { config: Config<'a>, files: Option<archive::Pair>, points: Option<f64>, pretest: bool },
    Batch { config: Config<'a>, cases: Vec<Self>, points: Option<f64>, pretest: bool },
}

/// Where entries and findings go.
struct Sink<'f, 'a> {
    findings: &'f mut Findings,
    all: Vec<Entry<'a>>,
}

/// The entries, pretests first.
pub(super) fn entries<'a>(
    root: &Config<'a>,
    names: &[String],
    findings: &mut Findings,
) -> Vec<Entry<'a>> {
    let mut sink = Sink { findings, all: Vec::new() };
    if let Some((line, node)) = root.own("pretest_test_cases") {
        match &node.value {
            Yaml::List(items) => listed(root, items, "pretest_test_cases", true, &mut sink),
            _ => sink.findings.add(line, "pretest_test_cases", "must be a list"),
        }
    }
    match root.own("test_cases") {
        Some((_, Node { value: Yaml::List(items), .. })) => {
            listed(root, items, "test_cases", false, &mut sink);
        }
        Some((line, node @ Node { value: Yaml::Map(_), .. })) => {
            let known = ["input_format", "output_format", "case_points"];
            if let Some(part) = Config::part(node, "test_cases", &known, sink.findings) {
                found(root, Some(&part), line, names, &mut sink);
            }
        }
        Some((line, _)) => sink.findings.add(line, "test_cases", "must be a list or a map"),
        None => found(root, None, root.line(), names, &mut sink),
    }
    sink.all
}

fn listed<'a>(
    root: &Config<'a>,
    items: &'a [Node],
    path: &str,
    pretest: bool,
    sink: &mut Sink<'_, 'a>,
) {
    for (at, item) in items.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let Some(config) = root.child(item, &path, sink.findings) else { continue };
        let Some((line, batched)) = config.own("batched") else {
            sink.all.push(Entry::Case { config, files: None, points: None, pretest });
            continue;
        };
        let Yaml::List(items) = &batched.value else {
            sink.findings.add(line, &config.path_of("batched"), "must be a list");
            continue;
        };
        let mut cases = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let path = format!("{}[{at}]", config.path_of("batched"));
            let Some(case) = config.child(item, &path, sink.findings) else { continue };
            if let Some((line, _)) = case.own("batched") {
                sink.findings.add(line, &path, "batches cannot be nested");
                continue;
            }
            cases.push(Entry::Case { config: case, files: None, points: None, pretest });
        }
        if cases.is_empty() {
            sink.findings.add(line, &config.path_of("batched"), "has no cases");
        }
        sink.all.push(Entry::Batch { config, cases, points: None, pretest });
    }
}

/// The cases of the archive.
fn found<'a>(
    root: &Config<'a>,
    part: Option<&Config<'_>>,
    line: usize,
    names: &[String],
    sink: &mut Sink<'_, 'a>,
) {
    if root.own("archive").is_none() {
        return sink.findings.add(line, "test_cases", "without a list there must be an `archive`");
    }
    let mut format =
        |key| part.and_then(|part| part.text(key, sink.findings)).map(|(_, text)| text);
    let (input, output) = (format("input_format"), format("output_format"));
    let points =
        part.and_then(|part| part.own("case_points")).map(|(line, node)| match &node.value {
            Yaml::List(items) => items
                .iter()
                .map(|item| match item.value {
                    Yaml::Number(number) if number >= 0.0 => Some(number),
                    _ => {
                        sink.findings.add(
                            line,
                            "test_cases.case_points",
                            "must be numbers from 0 up",
                        );
                        None
                    }
                })
                .collect(),
            _ => {
                sink.findings.add(line, "test_cases.case_points", "must be a list");
                Vec::new()
            }
        });
    let entries = match archive::find(names, input.as_deref(), output.as_deref()) {
        Ok(entries) => entries,
        Err(reason) => return sink.findings.add(line, "test_cases", reason),
    };
    let counted = points.as_ref().map(Vec::len);
    if counted.is_some_and(|count| count < entries.len()) {
        let reason = format!("has fewer entries than there are cases ({})", entries.len());
        sink.findings.add(line, "test_cases.case_points", reason);
    }
    for (at, entry) in entries.into_iter().enumerate() {
        let points = points.as_ref().and_then(|points| points.get(at).copied().flatten());
        let case = |pair, points| {
            let config = root.clone();
            Entry::Case { config, files: Some(pair), points, pretest: false }
        };
        sink.all.push(match entry {
            Found::Case(pair) => case(pair, points),
            Found::Batch(pairs) => {
                let cases = pairs.into_iter().map(|pair| case(pair, None)).collect();
                Entry::Batch { config: root.clone(), cases, points, pretest: false }
            }
        });
    }
}

/// Makes cases of entries.
#[derive(Debug)]
pub(super) struct Reader<'r, 'p> {
    pub(super) files: &'r Files,
    pub(super) programs: &'r mut Programs<'p>,
    pub(super) interactor: Option<&'r HelperUse>,
    pub(super) findings: &'r mut Findings,
    pub(super) cases: Vec<Case>,
    pub(super) tests: Vec<TestInfo>,
    pub(super) groups: Vec<Group>,
}

impl Reader<'_, '_> {
    pub(super) fn read(&mut self, entries: &[Entry<'_>]) {
        // Batches are numbered from 1; those of the pretests come after all others.
        let mut group_of_batch = vec![None];
        let (last, first): (Vec<_>, Vec<_>) =
            (0..entries.len()).partition(|at| is_pretest(&entries[*at]));
        let numbers: std::collections::HashMap<usize, usize> = first
            .into_iter()
            .chain(last)
            .filter(|at| matches!(entries[*at], Entry::Batch { .. }))
            .enumerate()
            .map(|(number, at)| (at, number + 1))
            .collect();
        group_of_batch.resize(numbers.len() + 1, None);
        for (at, entry) in entries.iter().enumerate() {
            match entry {
                Entry::Case { config, files, points, pretest } => {
                    let points = self.points(config, *points, *pretest);
                    let test = self.case(config, files.as_ref(), points, *pretest);
                    self.groups.push(Group::of_one(test, &self.tests[test]));
                }
                Entry::Batch { config, cases, points, pretest } => {
                    let number = numbers.get(&at).copied().unwrap_or_default();
                    let points = self.points(config, *points, *pretest);
                    let start = self.tests.len();
                    for case in cases {
                        if let Entry::Case { config, files, .. } = case {
                            self.case(config, files.as_ref(), points, *pretest);
                        }
                    }
                    let depends_on = self.dependencies(config, number, &group_of_batch);
                    let stop_early = config.truth("short_circuit", true, self.findings);
                    group_of_batch[number] = Some(self.groups.len());
                    let tests = start..self.tests.len();
                    self.groups.push(Group { tests, points, depends_on, stop_early });
                }
            }
        }
    }

    fn points(&mut self, config: &Config<'_>, given: Option<f64>, pretest: bool) -> f64 {
        let points = given.or_else(|| config.number("points", self.findings)).unwrap_or(1.0);
        if pretest { 0.0 } else { points }
    }

    /// Groups that must pass before batch `number`.
    fn dependencies(
        &mut self,
        config: &Config<'_>,
        number: usize,
        group_of_batch: &[Option<usize>],
    ) -> Vec<usize> {
        let Some((line, node)) = config.node("dependencies") else {
            return Vec::new();
        };
        let key = config.path_of("dependencies");
        let Some(texts) = texts_of(node) else {
            self.findings.add(line, &key, "must be a list of batch numbers");
            return Vec::new();
        };
        let mut groups = Vec::new();
        for text in texts {
            match text.parse::<usize>() {
                Ok(0) | Err(_) => {
                    self.findings.add(line, &key, format!("{text:?} is no batch number"));
                }
                Ok(before) if before >= number => {
                    let reason =
                        format!("batch {number} depends on {before}, which is not before it");
                    self.findings.add(line, &key, reason);
                }
                Ok(before) => match group_of_batch.get(before).copied().flatten() {
                    Some(group) => groups.push(group),
                    None => self.findings.add(line, &key, format!("there is no batch {before}")),
                },
            }
        }
        groups
    }

    /// Adds a case, and returns its position.
    fn case(
        &mut self,
        config: &Config<'_>,
        pair: Option<&archive::Pair>,
        points: f64,
        pretest: bool,
    ) -> usize {
        let data = self.data(config, pair);
        let judging = match self.interactor {
            Some(interactor) => Judging::Interactor(interactor.clone()),
            None => self.programs.checker(config, self.findings),
        };
        let output_max = config.number("output_limit_length", self.findings);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 0")]
        let output_max = Some(output_max.map_or(OUTPUT_LIMIT_DEFAULT, |bytes| bytes as u64));
        let factor = config.number("wall_time_factor", self.findings);
        let files = self.links(config);
        let wall_time_factor = Some(factor.unwrap_or(WALL_TIME_FACTOR_DEFAULT));
        self.cases.push(Case { data, judging, output_max, wall_time_factor, files });
        self.tests.push(TestInfo {
            points,
            hidden: false,
            // A case without points that fails ends all, in a batch or not.
            stops_all: pretest || points == 0.0,
            name: None,
        });
        self.tests.len() - 1
    }

    fn data(&mut self, config: &Config<'_>, pair: Option<&archive::Pair>) -> Data {
        let text = !config.truth("binary_data", false, self.findings);
        let (input, answer) = match pair {
            Some(pair) => (
                self.found(config, pair.input.as_ref(), "input"),
                self.found(config, pair.output.as_ref(), "output"),
            ),
            None => (self.named(config, "in"), self.named(config, "out")),
        };
        let normal = |content: &Bytes| if text { normalized(content) } else { content.clone() };
        match self.programs.generator(config, self.findings) {
            Some((helper, args)) if input.is_none() || answer.is_none() => {
                let stdin = self.named(config, "generator_in").or(input).unwrap_or_default();
                let answer = answer.as_ref().map(normal);
                Data::Generated { helper, args, stdin, input: None, answer, text }
            }
            Some(_) | None => Data::Given {
                stdin: input.as_ref().map(normal).unwrap_or_default(),
                answer: answer.as_ref().map(normal).unwrap_or_default(),
            },
        }
    }

    fn found(&mut self, config: &Config<'_>, name: Option<&String>, what: &str) -> Option<Bytes> {
        let content = name.and_then(|name| self.files.get(name)).cloned();
        if content.is_none() {
            let reason = format!("a case of the archive has no {what}");
            self.findings.add(config.line(), "test_cases", reason);
        }
        content
    }

    /// The file that a key names.
    fn named(&mut self, config: &Config<'_>, key: &str) -> Option<Bytes> {
        let (line, name) = config.text(key, self.findings)?;
        let content = self.files.get(&name).cloned();
        if content.is_none() {
            self.findings.add(line, &config.path_of(key), format!("there is no file {name:?}"));
        }
        content
    }

    /// Files under other names in the folder of the program.
    fn links(&mut self, config: &Config<'_>) -> Vec<(String, Bytes)> {
        let Some((line, node)) = config.node("symlinks") else {
            return Vec::new();
        };
        let key = config.path_of("symlinks");
        let serde_json::Value::Object(links) = json(node) else {
            self.findings.add(line, &key, "must be a map of names to files");
            return Vec::new();
        };
        let mut files = Vec::new();
        for (name, target) in links {
            let content = target.as_str().and_then(|target| self.files.get(target));
            match (sandbox::spec::RelativePath::new(name.as_str()), content) {
                (Ok(_), Some(content)) => files.push((name, content.clone())),
                (Err(error), _) => self.findings.add(line, &key, error.to_string()),
                (Ok(_), None) => {
                    self.findings.add(line, &key, format!("there is no file {target}"));
                }
            }
        }
        files
    }
}

const OUTPUT_LIMIT_DEFAULT: u64 = 25_165_824;
const WALL_TIME_FACTOR_DEFAULT: f64 = 3.0;

fn is_pretest(entry: &Entry<'_>) -> bool {
    match entry {
        Entry::Case { pretest, .. } | Entry::Batch { pretest, .. } => *pretest,
    }
}

/// With line ends made `\n`, one of them last, where there is anything at all.
pub(crate) fn normalized(content: &Bytes) -> Bytes {
    if content.is_empty() || (!content.contains(&b'\r') && content.ends_with(b"\n")) {
        return content.clone();
    }
    let mut text = Vec::with_capacity(content.len() + 1);
    let mut bytes = content.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' {
            bytes.next_if_eq(&b'\n');
            text.push(b'\n');
        } else {
            text.push(byte);
        }
    }
    if text.last() != Some(&b'\n') {
        text.push(b'\n');
    }
    text.into()
}
