//! The source tree keeps the invariants that the architecture states: who may say what, who may
//! depend on whom, how long a file may be. Plain Rust over plain text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harness::program;
use libtest_mimic::Trial;

use crate::{Needs, named};

/// Lines of one Rust file before its tests.
const FILE_LINES_MAX: usize = 600;

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Source,
        "tidy",
        [
            unsafe_stands_only_in_the_kernel_modules,
            the_sandbox_never_speaks_of_judging,
            the_judge_never_speaks_of_kernel_mechanisms,
            crates_depend_only_along_the_arrows,
            no_file_is_too_long,
            no_file_has_a_name_that_says_nothing,
            every_module_says_what_it_is,
            no_test_is_ignored,
            no_path_of_a_developers_machine_is_left,
            every_program_folder_is_complete,
        ]
    )
}

/// A text file of the repository, by its path from the root.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Lines above the module's own tests, with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| *line != "#[cfg(test)]")
            .map(|(number, line)| (number + 1, line))
    }

    /// The same without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(number, line)| (number, line.split(" // ").next().unwrap_or(line)))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_sources(folders: &[&str]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in folders {
        read(&root().join(folder), folder, &["rs"], &mut sources)?;
    }
    ensure!(!sources.is_empty(), "no source under {folders:?}");
    Ok(sources)
}

fn read(folder: &Path, name: &str, extensions: &[&str], sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| name.to_owned())? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = if name == "." { file.clone() } else { format!("{name}/{file}") };
        if entry.file_type()?.is_dir() {
            if !file.starts_with('.') && file != "target" {
                read(&entry.path(), &path, extensions, sources)?;
            }
            continue;
        }
        let extension = Path::new(&file).extension().unwrap_or_default().to_string_lossy();
        if extensions.contains(&extension.as_ref()) {
            let text = fs::read_to_string(entry.path()).with_context(|| path.clone())?;
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

/// Whether `word` stands in `line` by itself: not inside a longer word.
fn says(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric();
        let before = line[..at].chars().next_back().is_some_and(part);
        let after = line[at + word.len()..].chars().next().is_some_and(part);
        !before && !after
    })
}

fn none(findings: &[String]) -> Result<()> {
    ensure!(findings.is_empty(), "\n{}", findings.join("\n"));
    Ok(())
}

async fn unsafe_stands_only_in_the_kernel_modules() -> Result<()> {
    let mut findings = Vec::new();
    for source in rust_sources(&["sandbox", "judge", "trainer", "tests", "benches"])? {
        // The trainer opens LibTorch's CUDA half at run time: one call, in one file.
        let allowed = source.path.starts_with("sandbox/src/kernel/")
            || source.path == "trainer/src/device.rs";
        if allowed {
            continue;
        }
        for (number, line) in source.code() {
            let is_block = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|form| line.contains(form) && !line.contains('"'));
            if is_block {
                findings.push(format!("{}:{number}: {line}", source.path));
            }
        }
    }
    none(&findings)
}

async fn the_sandbox_never_speaks_of_judging() -> Result<()> {
    let banned =
        ["submission", "verdict", "problem", "reward", "submissions", "verdicts", "rewards"];
    none(&spoken("sandbox/src", &banned, Source::lines)?)
}

/// What the sandbox's public interface itself says, and the judge hence must.
const SANDBOX_NAMES: [&str; 3] = ["cgroup_parent", "error::cgroup", "\"cgroup\""];

/// In code only: documentation may name what the sandbox does for it.
async fn the_judge_never_speaks_of_kernel_mechanisms() -> Result<()> {
    let banned =
        ["cgroup", "cgroups", "mount", "umount", "seccomp", "namespace", "clone3", "nix", "libc"];
    none(&spoken("judge/src", &banned, Source::code)?)
}

fn spoken<'a, I>(
    folder: &str,
    banned: &[&str],
    lines: impl Fn(&'static Source) -> I,
) -> Result<Vec<String>>
where
    I: Iterator<Item = (usize, &'a str)>,
{
    let mut findings = Vec::new();
    for source in Vec::leak(rust_sources(&[folder])?) {
        for (number, line) in lines(source) {
            let mut lower = line.to_lowercase();
            for name in SANDBOX_NAMES {
                lower = lower.replace(name, "");
            }
            let words = banned.iter().filter(|word| says(&lower, word));
            findings.extend(words.map(|word| format!("{}:{number}: {word}", source.path)));
        }
    }
    Ok(findings)
}

/// What each crate may depend on among ours; the trainer links neither judge nor sandbox.
async fn crates_depend_only_along_the_arrows() -> Result<()> {
    let arrows: [(&str, &[&str]); 5] = [
        ("sandbox", &[]),
        ("judge", &["assay-protocol", "assay-sandbox", "assay-math"]),
        ("judge/protocol", &[]),
        ("judge/math", &[]),
        ("trainer", &["assay-protocol"]),
    ];
    let ours: BTreeSet<&str> =
        ["assay-sandbox", "assay-protocol", "assay-math", "judge", "assay-tests", "trainer"].into();
    let mut findings = Vec::new();
    for (name, allowed) in arrows {
        let path = root().join(name).join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let manifest: toml::Table = toml::from_str(&text).with_context(|| name.to_owned())?;
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(toml::Value::Table(dependencies)) = manifest.get(table) else {
                continue;
            };
            let wrong = dependencies
                .keys()
                .filter(|key| ours.contains(key.as_str()) && !allowed.contains(&key.as_str()));
            findings.extend(wrong.map(|key| format!("{name}/Cargo.toml: {table}.{key}")));
        }
    }
    none(&findings)
}

async fn no_file_is_too_long() -> Result<()> {
    let sources = rust_sources(&["sandbox", "judge", "trainer", "tests", "benches"])?;
    let long = sources.iter().map(|source| (source.lines().count(), &source.path));
    let long = long.filter(|(lines, _)| *lines > FILE_LINES_MAX);
    none(&long.map(|(lines, path)| format!("{path}: {lines} lines")).collect::<Vec<_>>())
}

async fn no_file_has_a_name_that_says_nothing() -> Result<()> {
    let banned =
        ["util", "utils", "helper", "helpers", "common", "misc", "manager", "stuff", "lib2"];
    let mut findings = Vec::new();
    for source in rust_sources(&["sandbox", "judge", "trainer", "tests", "benches"])? {
        let parts = source.path.trim_end_matches(".rs").split('/');
        if parts.into_iter().any(|part| banned.contains(&part)) {
            findings.push(source.path);
        }
    }
    none(&findings)
}

async fn every_module_says_what_it_is() -> Result<()> {
    let sources =
        rust_sources(&["sandbox/src", "judge", "tests/harness", "tests/system", "benches"])?;
    // Drivers are data here: parts of programs that are compiled in slots.
    let modules = sources.into_iter().filter(|source| !source.path.contains("/drivers/"));
    let silent = modules.filter(|source| !source.text.starts_with("//! "));
    none(&silent.map(|source| source.path).collect::<Vec<_>>())
}

async fn no_test_is_ignored() -> Result<()> {
    let attribute = concat!("#[", "ignore");
    let mut findings = Vec::new();
    for source in rust_sources(&["sandbox", "judge", "trainer", "tests", "benches"])? {
        if source.text.lines().any(|line| line.trim_start().starts_with(attribute)) {
            findings.push(source.path);
        }
    }
    none(&findings)
}

async fn no_path_of_a_developers_machine_is_left() -> Result<()> {
    let banned = [concat!("/wo", "rk/"), concat!("/home/", "runner"), concat!("/Us", "ers/")];
    let mut sources = Vec::new();
    let extensions = ["rs", "toml", "md", "json", "py", "sh", "c", "js", "yml", "yaml"];
    read(&root(), ".", &extensions, &mut sources)?;
    let mut findings = Vec::new();
    for source in &sources {
        for (number, line) in source.text.lines().enumerate() {
            if banned.iter().any(|path| line.contains(path)) {
                findings.push(format!("{}:{}: {line:.200}", source.path, number + 1));
            }
        }
    }
    none(&findings)
}

async fn every_program_folder_is_complete() -> Result<()> {
    let findings: Vec<String> = program::names()?
        .iter()
        .filter_map(|name| program::Program::load(name).err())
        .map(|error| format!("{error:#}"))
        .collect();
    none(&findings)
}
