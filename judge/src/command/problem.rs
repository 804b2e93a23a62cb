//! `assay problem check DIR`: what is wrong with a problem, before anything is judged.

use std::path::Path;

use judge::limits::PROGRAM_LIMITS_MAX;
use judge::problem::dmoj::Finding;
use judge::problem::inline::{self, Context, ProblemError};
use judge::problem::{Problem, folder, locate};
use serde_json::json;

use super::{CheckArgs, End, Failed, emit, engine, ours};

/// Exit code 0 where nothing is wrong, 2 where something is.
pub(super) fn check(args: &CheckArgs) -> Result<End, Failed> {
    let image = sandbox::Image::host().map_err(ours)?;
    let languages =
        engine::languages(&image, &engine::store(&judge::config::Config::default()), false)?;
    let limits_max = &PROGRAM_LIMITS_MAX;
    let context = Context { languages: &languages, limits_max, testlib: None, repositories: None };
    let read = folder::read(&args.path, None).map_err(|error| error.to_string());
    let found = read.map(|wire| inline::read(wire, &context));
    let (end, findings, problem) = match found {
        Ok(Ok(problem)) => (End::Good, Vec::new(), Some(problem)),
        Ok(Err(error)) => (End::Usage, findings(&error, &args.path), None),
        Err(reason) => (End::Usage, vec![(0, String::new(), reason)], None),
    };
    if args.json {
        let findings: Vec<_> = findings
            .iter()
            .map(|(line, key, reason)| json!({"line": line, "key": key, "reason": reason}))
            .collect();
        let ok = problem.is_some();
        emit(&format!("{}\n", json!({"ok": ok, "findings": findings})))?;
        return Ok(end);
    }
    let name = args.path.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = if args.path.is_dir() { "init.yml".to_owned() } else { name.unwrap_or_default() };
    for (line, key, reason) in &findings {
        let place = if *line > 0 { format!("{file}:{line}: ") } else { String::new() };
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        emit(&format!("{place}{key}{reason}\n"))?;
    }
    if let Some(problem) = problem {
        emit(&describe(&problem))?;
    }
    Ok(end)
}

/// Line, key and reason of each thing that is wrong.
fn findings(error: &ProblemError, path: &Path) -> Vec<(usize, String, String)> {
    if let ProblemError::Wrong { what, reason } = error {
        let text = if path.is_file() { folder::read_text(path).ok() } else { None };
        let line = text.and_then(|text| locate::line_of(&text, what)).unwrap_or(0);
        return vec![(line, what.clone(), reason.clone())];
    }
    let ProblemError::Dmoj(error) = error else {
        return vec![(0, String::new(), error.to_string())];
    };
    let one = |finding: &Finding| (finding.line, finding.key.clone(), finding.reason.clone());
    error.findings.iter().map(one).collect()
}

fn describe(problem: &Problem) -> String {
    let points: f64 = problem.groups.iter().map(|group| group.points).sum();
    let (tests, groups) = (problem.tests.len(), problem.groups.len());
    format!("ok: kind {}, {tests} tests in {groups} groups, {points} points\n", problem.kind())
}
