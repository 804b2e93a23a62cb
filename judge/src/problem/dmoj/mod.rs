//! Reads the problem folders of DMOJ: `init.yml` and what it names.
//!
//! Every finding comes with its line and key; all that can be found are found, not the first alone. A
//! key that a case lacks is looked for in its batch, then at the root. Line ends of input and answer
//! become `\n`, with one at the end, unless `binary_data`. `custom_judge` is a program for DMOJ's own
//! interface, and refused.

mod archive;
mod cases;
mod config;
mod programs;
mod yaml;

use std::fmt;

use bytes::Bytes;

use super::files::{Files, FilesError};
use super::inline::Context;
use super::{Problem, Signature, Stdio, Task};
use crate::limits::TESTS_MAX;
pub(crate) use cases::normalized;
use config::Config;
use programs::Programs;

/// Why a folder is no problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DmojError {
    /// Everything that was found, in the order of the lines.
    pub findings: Vec<Finding>,
}

impl fmt::Display for DmojError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.findings.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            fmt::Display::fmt(finding, f)?;
        }
        Ok(())
    }
}

/// Something that is wrong with a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line in `init.yml`; 0 where there is none.
    pub line: usize,
    /// The key, as a path.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("init.yml")?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Findings of one reading; bounded.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

/// Findings after which the rest are not told.
const FINDINGS_MAX: usize = 50;

impl Findings {
    fn add(&mut self, line: usize, key: &str, reason: impl Into<String>) {
        let finding = Finding { line, key: key.to_owned(), reason: reason.into() };
        if self.0.len() < FINDINGS_MAX && !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }
}

/// Reads a folder.
///
/// # Errors
/// All that is wrong with it.
pub fn read(files: Files, context: &Context<'_>) -> Result<Problem, DmojError> {
    let mut findings = Findings::default();
    let problem = read_all(files, context, &mut findings);
    findings.0.sort_by_key(|finding| finding.line);
    match problem {
        Some(problem) if findings.0.is_empty() => Ok(problem),
        _ => Err(DmojError { findings: findings.0 }),
    }
}

fn read_all(mut files: Files, context: &Context<'_>, findings: &mut Findings) -> Option<Problem> {
    let Some(init) = files.get("init.yml") else {
        findings.add(0, "", "the folder has no init.yml");
        return None;
    };
    let Ok(text) = std::str::from_utf8(init) else {
        findings.add(0, "", "is not UTF-8");
        return None;
    };
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err((line, reason)) => {
            findings.add(line, "", reason);
            return None;
        }
    };
    let root = Config::root(&root, findings)?;
    let names = unpack(&root, &mut files, findings);
    if let Some((line, _)) = root.own("custom_judge") {
        let reason = "is a program for DMOJ's own interface, which is not run here; use \
                      `interactive`, or a `checker` of type bridged";
        findings.add(line, "custom_judge", reason);
    }
    let mut programs = Programs::new(&files, context);
    let signature = signature(&root, &files, findings);
    let interactor = programs.interactor(&root, findings);
    let entries = cases::entries(&root, &names, findings);
    let mut reader = cases::Reader {
        files: &files,
        programs: &mut programs,
        interactor: interactor.as_ref(),
        findings,
        cases: Vec::new(),
        tests: Vec::new(),
        groups: Vec::new(),
    };
    reader.read(&entries);
    let cases::Reader { cases, tests, groups, .. } = reader;
    if tests.is_empty() {
        findings.add(0, "test_cases", "the problem has no test cases");
        return None;
    }
    if tests.len() > TESTS_MAX {
        let reason = format!("{} test cases, at most {TESTS_MAX} allowed", tests.len());
        findings.add(0, "test_cases", reason);
        return None;
    }
    let task = Task::Stdio(Stdio { cases, helpers: programs.helpers, signature });
    Some(Problem { task, tests, groups })
}

/// Unpacks the archive, and returns the names in it.
fn unpack(root: &Config<'_>, files: &mut Files, findings: &mut Findings) -> Vec<String> {
    let Some((line, name)) = root.text("archive", findings) else {
        return Vec::new();
    };
    match files.unpack(&name) {
        Ok(names) => names,
        Err(error) => {
            let reason = match error {
                FilesError::Archive { reason, .. } => format!("{name:?}: {reason}"),
                error @ (FilesError::Name { .. }
                | FilesError::Base64 { .. }
                | FilesError::TooMany
                | FilesError::TooLarge
                | FilesError::Read { .. }) => error.to_string(),
            };
            findings.add(line, "archive", reason);
            Vec::new()
        }
    }
}

fn signature(root: &Config<'_>, files: &Files, findings: &mut Findings) -> Option<Signature> {
    let (line, node) = root.own("signature_grader")?;
    let known = ["entry", "header", "allow_main", "writable", "fds"];
    let part = Config::part(node, "signature_grader", &known, findings)?;
    let mut file = |key: &str| -> Option<(String, Bytes)> {
        let Some((line, name)) = part.text(key, findings) else {
            findings.add(line, "signature_grader", format!("has no `{key}`"));
            return None;
        };
        let content = files.get(&name).cloned();
        if content.is_none() {
            let key = format!("signature_grader.{key}");
            findings.add(line, &key, format!("there is no file {name:?}"));
        }
        Some((name, content?))
    };
    let (entry, header) = (file("entry"), file("header"));
    let allow_main = part.truth("allow_main", false, findings);
    Some(Signature { entry: entry?.1, header: header?, allow_main })
}

#[cfg(test)]
mod tests;
