//! The programs of a problem: generators, checkers, interactors.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is neither a name nor a map is wrong here, whatever else it is"
)]

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use sandbox::Limits;
use sandbox::limits::Bytes as Size;

use super::super::inline::{Context, read_flags, with_testlib};
use super::super::{Helper, HelperUse, Judging, checkers};
use super::config::{Config, json};
use super::yaml::{Node, Yaml};
use super::{Files, Findings};
use crate::grade::Checker;
use crate::grade::dmoj::Dmoj;
use crate::grade::exit::Convention;
use crate::limits::HELPER_LIMITS;

/// What a checker written in Python for DMOJ imports, and what calls it.
const MODULE_DRIVER: &str = include_str!("../../drivers/dmoj_checker.py");
/// The name under which the module is put beside its driver.
const MODULE_NAME: &str = "assay_checker_module.py";

/// Collects the helpers of a problem, each once.
#[derive(Debug)]
pub(super) struct Programs<'a> {
    files: &'a Files,
    context: &'a Context<'a>,
    pub(super) helpers: Vec<Helper>,
    known: HashMap<String, usize>,
}

/// How a program is described.
struct Description {
    line: usize,
    key: String,
    names: Vec<String>,
    language: Option<String>,
    flags: Vec<String>,
    time: Option<f64>,
    memory_kib: Option<f64>,
    compile_time: Option<f64>,
}

impl<'a> Programs<'a> {
    pub(super) fn new(files: &'a Files, context: &'a Context<'a>) -> Self {
        Self { files, context, helpers: Vec::new(), known: HashMap::new() }
    }

    /// The generator of a case, with its arguments.
    pub(super) fn generator(
        &mut self,
        config: &Config<'_>,
        findings: &mut Findings,
    ) -> Option<(usize, Vec<String>)> {
        let (line, node) = config.node("generator")?;
        let key = config.path_of("generator");
        let mut description = Description::new(line, &key);
        let mut args = config.texts("generator_args", findings).map(|(_, args)| args);
        if let Yaml::Map(_) = node.value {
            let known = [
                "source",
                "flags",
                "args",
                "time_limit",
                "memory_limit",
                "compiler_time_limit",
                "language",
            ];
            let part = Config::part(node, &key, &known, findings)?;
            description.names = part.texts("source", findings)?.1;
            description.language = part.text("language", findings).map(|(_, name)| name);
            description.take_limits(&part, "time_limit", findings);
            // The case's own arguments count, where it has any.
            let own = part.texts("args", findings).map(|(_, args)| args);
            args = args.filter(|args| !args.is_empty()).or(own);
        } else {
            description.names = config.texts("generator", findings)?.1;
        }
        let helper = self.helper(&description, findings)?;
        Some((helper, args.unwrap_or_default()))
    }

    /// The interactor of the problem.
    pub(super) fn interactor(
        &mut self,
        root: &Config<'_>,
        findings: &mut Findings,
    ) -> Option<HelperUse> {
        let (line, node) = root.own("interactive")?;
        let known = [
            "files",
            "lang",
            "type",
            "flags",
            "unbuffered",
            "preprocessing_time",
            "memory_limit",
            "compiler_time_limit",
            "feedback",
            "args_format_string",
            "cached",
        ];
        let part = Config::part(node, "interactive", &known, findings)?;
        let mut description = Description::new(line, "interactive");
        description.names = part.texts("files", findings)?.1;
        description.language = part.text("lang", findings).map(|(_, name)| name);
        description.take_limits(&part, "preprocessing_time", findings);
        let convention = convention(&part, findings);
        // What it may use beside what the submission may use while it waits for it.
        description.time =
            Some(description.time.unwrap_or(0.0) + HELPER_LIMITS.cpu_time.as_secs_f64());
        let args = arguments(&part, convention.interactor_args(), findings);
        let feedback = part.truth("feedback", true, findings);
        let helper = self.helper(&description, findings)?;
        Some(HelperUse { helper, convention, args, feedback })
    }

    /// The checker of a case.
    pub(super) fn checker(&mut self, config: &Config<'_>, findings: &mut Findings) -> Judging {
        self.read_checker(config, findings)
            .unwrap_or(Judging::Checker(Checker::Dmoj(Dmoj::Standard)))
    }

    fn read_checker(&mut self, config: &Config<'_>, findings: &mut Findings) -> Option<Judging> {
        let (line, node) = config.node("checker")?;
        let key = config.path_of("checker");
        let part;
        let (name, args) = match &node.value {
            Yaml::Text(name) => (name.clone(), None),
            Yaml::Map(_) => {
                part = Config::part(node, &key, &["name", "args"], findings)?;
                let Some((_, name)) = part.text("name", findings) else {
                    findings.add(line, &key, "has no `name`");
                    return None;
                };
                (name, part.own("args"))
            }
            _ => {
                findings.add(line, &key, "must be a name or a map");
                return None;
            }
        };
        if name == "bridged" {
            return self.bridged(line, &key, args?, findings);
        }
        let options = match args.map(|(_, node)| json(node)) {
            None => serde_json::Map::new(),
            Some(serde_json::Value::Object(options)) => options,
            Some(_) => {
                findings.add(line, &key, "`args` must be a map");
                return None;
            }
        };
        if name.contains('.') {
            return self.module((line, &key), &name, &options, findings);
        }
        match checkers::dmoj(&name, options) {
            Ok(checker) => Some(Judging::Checker(checker)),
            Err(error) => {
                findings.add(line, &key, error.to_string());
                None
            }
        }
    }

    /// A checker that is a program of its own.
    fn bridged(
        &mut self,
        line: usize,
        key: &str,
        (_, args): (usize, &Node),
        findings: &mut Findings,
    ) -> Option<Judging> {
        let known = [
            "files",
            "lang",
            "type",
            "flags",
            "args_format_string",
            "args",
            "feedback",
            "cached",
            "time_limit",
            "memory_limit",
            "compiler_time_limit",
        ];
        let part = Config::part(args, &format!("{key}.args"), &known, findings)?;
        let mut description = Description::new(line, key);
        let Some((_, names)) = part.texts("files", findings) else {
            findings.add(line, key, "a bridged checker has no `files`");
            return None;
        };
        description.names = names;
        description.language = part.text("lang", findings).map(|(_, name)| name);
        description.take_limits(&part, "time_limit", findings);
        let convention = convention(&part, findings);
        let args = arguments(&part, convention.checker_args(), findings);
        let feedback = part.truth("feedback", true, findings);
        let helper = self.helper(&description, findings)?;
        Some(Judging::Program(HelperUse { helper, convention, args, feedback }))
    }

    /// A checker that is a Python file with a function `check`.
    fn module(
        &mut self,
        (line, key): (usize, &str),
        name: &str,
        options: &serde_json::Map<String, serde_json::Value>,
        findings: &mut Findings,
    ) -> Option<Judging> {
        let Some(module) = self.files.get(name) else {
            findings.add(line, key, format!("there is no file {name:?}"));
            return None;
        };
        let language = match self.context.languages.find("python", None) {
            Ok(language) => language,
            Err(error) => {
                findings.add(line, key, error.to_string());
                return None;
            }
        };
        let options = serde_json::Value::Object(options.clone()).to_string();
        let known = format!("module {name} {options}");
        let helper = *self.known.entry(known).or_insert_with(|| {
            let files = vec![
                (MODULE_NAME.to_owned(), module.clone()),
                ("assay_checker_options.json".to_owned(), Bytes::from(options)),
            ];
            self.helpers.push(Helper {
                language,
                source: Bytes::from_static(MODULE_DRIVER.as_bytes()),
                files,
                more_sources: Vec::new(),
                flags: Vec::new(),
                limits: HELPER_LIMITS,
                compile_time: None,
            });
            self.helpers.len() - 1
        });
        let args = ["{input}", "{output}", "{answer}", "{points}"].map(str::to_owned).to_vec();
        let convention = Convention::Module;
        Some(Judging::Program(HelperUse { helper, convention, args, feedback: true }))
    }

    /// The helper that is described so, made where there is none yet.
    fn helper(&mut self, description: &Description, findings: &mut Findings) -> Option<usize> {
        let Description { line, key, names, .. } = description;
        let identity = description.identity();
        if let Some(known) = self.known.get(&identity) {
            return Some(*known);
        }
        let mut files = Vec::new();
        for name in names {
            let Some(content) = self.files.get(name) else {
                findings.add(*line, key, format!("there is no file {name:?}"));
                return None;
            };
            files.push((name.clone(), content.clone()));
        }
        let extension = |name: &str| name.rsplit_once('.').map(|(_, end)| end.to_lowercase());
        let language = match &description.language {
            Some(name) => Some(language_name(name)),
            None => names.iter().find_map(|name| {
                let extension = extension(name)?;
                self.context.languages.by_extension(&extension).map(str::to_owned)
            }),
        };
        let Some(language) = language else {
            findings.add(*line, key, "the language cannot be told; set `lang`");
            return None;
        };
        let language = match self.context.languages.find(&language, None) {
            Ok(language) => language,
            Err(error) => {
                findings.add(*line, key, error.to_string());
                return None;
            }
        };
        let is_source = |name: &str| {
            extension(name).is_some_and(|end| {
                language.source.ends_with(&format!(".{end}")) || language.fences.contains(&end)
            })
        };
        let Some(main) = files.iter().position(|(name, _)| is_source(name)) else {
            findings.add(*line, key, format!("no file is a source in {}", language.name));
            return None;
        };
        let (_, source) = files.remove(main);
        let more_sources =
            files.iter().map(|(name, _)| name.clone()).filter(|name| is_source(name)).collect();
        let flags = match read_flags(key, description.flags.clone()) {
            Ok(flags) => flags,
            Err(error) => {
                findings.add(*line, key, error.to_string());
                return None;
            }
        };
        self.helpers.push(Helper {
            language,
            source,
            files: with_testlib(files, self.context),
            more_sources,
            flags,
            limits: description.limits(self.context.limits_max),
            compile_time: description.compile_time.map(seconds),
        });
        self.known.insert(identity, self.helpers.len() - 1);
        Some(self.helpers.len() - 1)
    }
}

impl Description {
    fn new(line: usize, key: &str) -> Self {
        Self {
            line,
            key: key.to_owned(),
            names: Vec::new(),
            language: None,
            flags: Vec::new(),
            time: None,
            memory_kib: None,
            compile_time: None,
        }
    }

    fn take_limits(&mut self, part: &Config<'_>, time: &str, findings: &mut Findings) {
        self.flags = part.texts("flags", findings).map(|(_, flags)| flags).unwrap_or_default();
        self.time = part.number(time, findings);
        self.memory_kib = part.number("memory_limit", findings);
        self.compile_time = part.number("compiler_time_limit", findings);
    }

    fn identity(&self) -> String {
        format!(
            "program {:?} {:?} {:?} {:?} {:?} {:?}",
            self.names, self.language, self.flags, self.time, self.memory_kib, self.compile_time
        )
    }

    fn limits(&self, max: &Limits) -> Limits {
        let mut limits = HELPER_LIMITS;
        if let Some(time) = self.time {
            limits.cpu_time = seconds(time).min(max.cpu_time);
            limits.wall_time = limits.cpu_time.saturating_mul(3) + Duration::from_secs(5);
        }
        if let Some(kib) = self.memory_kib {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 up"
            )]
            let bytes = Size((kib * 1024.0) as u64);
            // A runtime needs room for itself before it runs anything.
            limits.memory = bytes.max(Size::mib(16)).min(max.memory);
        }
        limits
    }
}

/// Between a millisecond and an hour.
fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.001, 3600.0))
}

fn convention(part: &Config<'_>, findings: &mut Findings) -> Convention {
    let Some((line, name)) = part.text("type", findings) else {
        return Convention::Default;
    };
    Convention::named(&name).unwrap_or_else(|| {
        findings.add(line, &part.path_of("type"), "must be default, testlib, coci or peg");
        Convention::Default
    })
}

/// The arguments as `args_format_string` gives them, or those of the convention.
fn arguments(part: &Config<'_>, default: &str, findings: &mut Findings) -> Vec<String> {
    let given = part.text("args_format_string", findings).or_else(|| part.text("args", findings));
    let format = given.map_or_else(|| default.to_owned(), |(_, format)| format);
    format
        .split_whitespace()
        .map(|word| {
            word.trim_matches(['\'', '"'])
                .replace("{input_file}", "{input}")
                .replace("{output_file}", "{output}")
                .replace("{answer_file}", "{answer}")
        })
        .collect()
}

/// DMOJ names languages by their standards; we name them by themselves.
fn language_name(name: &str) -> String {
    let upper = name.to_uppercase();
    for (prefix, language) in [
        ("CPP", "cpp"),
        ("CLANGX", "cpp"),
        ("CLANG", "c"),
        ("JAVA8", "java"),
        ("JAVA", "java"),
        ("PY", "python"),
        ("V8JS", "javascript"),
        ("NODEJS", "javascript"),
        ("RUST", "rust"),
        ("SBASH", "bash"),
        ("C1", "c"),
    ] {
        if upper.starts_with(prefix) && upper != "JAVASCRIPT" {
            return language.to_owned();
        }
    }
    name.to_lowercase()
}
