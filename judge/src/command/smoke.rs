//! `assay image test`: the programs of `smoke.toml` that must run in an image.
//!
//! Each is judged against what it prints, which must be accepted, and against something else, which
//! must not; its assertions too, where it has some.

use std::path::Path;

use anyhow::anyhow;
use judge::config::Config;
use judge::limits::PROGRAM_LIMITS_MAX;
use judge::submission::Rules;
use protocol::{Submission, SubmissionResult, Verdict};
use sandbox::image::Store;
use sandbox::image::recipe::Recipes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::engine::Engine;
use super::judge::verdict_name;
use super::table::Table;
use super::{End, Failed, emit, ours, usage};

/// Processor time of each test: some load a hundred modules.
const CPU_TIME_MS: u64 = 20_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Smoke {
    program: Vec<Program>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    language: String,
    /// Prints `stdout` when it reads `stdin`.
    source: Option<String>,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    stdout: String,
    /// A candidate, assertions that it passes, and assertions that it fails.
    candidate: Option<String>,
    passes: Option<String>,
    fails: Option<String>,
}

/// What the table has a line for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Tests,
    Languages,
}

/// Judges the programs of each image.
pub(super) async fn test(
    store: &Store,
    recipes: &Path,
    names: &[String],
    show: Show,
) -> Result<End, Failed> {
    let config = Config { image_store: Some(store.root().to_owned()), ..Config::default() };
    let engine = Engine::start(&config).await?;
    let mut tests = Table::new(["image", "language", "test", "compile ms", "run ms", "verdict"]);
    let mut languages = Table::new(LANGUAGES);
    let mut end = End::Good;
    let recipes = Recipes::at(recipes);
    for name in names {
        let path = recipes.folder(name).join("smoke.toml");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| usage(anyhow!("{}: {error}", path.display())))?;
        let smoke: Smoke =
            toml::from_str(&text).map_err(|error| usage(anyhow!("{}: {error}", path.display())))?;
        for program in &smoke.program {
            let mut results = Vec::new();
            for (test, submission, wanted) in submissions(name, program) {
                let result = judge(&engine, submission).await?;
                let good = match wanted {
                    Wanted::Accepted => result.verdict == Some(Verdict::Accepted),
                    Wanted::Refused => {
                        matches!(result.verdict, Some(Verdict::WrongAnswer | Verdict::RuntimeError))
                    }
                };
                if !good {
                    end = End::NotAccepted;
                    emit(&complaint(name, program, test, &result))?;
                }
                tests.push(line(name, program, test, &result));
                results.push((test, result));
            }
            languages.push(language_line(name, program, &results));
        }
    }
    engine.places.close().await;
    emit(&match show {
        Show::Tests => tests.to_string(),
        Show::Languages => languages.to_string(),
    })?;
    Ok(end)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Accepted,
    Refused,
}

fn submissions(image: &str, program: &Program) -> Vec<(&'static str, Value, Wanted)> {
    let stdio = |stdout: &str| {
        json!({
            "language": program.language, "image": image, "source": program.source,
            "limits": {"cpu_time_ms": CPU_TIME_MS},
            "problem": {"kind": "stdio", "tests": [{"stdin": program.stdin, "stdout": stdout}]},
        })
    };
    let assertions = |code: &Option<String>| {
        json!({
            "language": program.language, "image": image, "source": program.candidate,
            "limits": {"cpu_time_ms": CPU_TIME_MS},
            "problem": {"kind": "assertions", "code": code},
        })
    };
    let mut all = Vec::new();
    if program.source.is_some() {
        all.push(("prints", stdio(&program.stdout), Wanted::Accepted));
        all.push(("prints else", stdio("something else"), Wanted::Refused));
    }
    if program.candidate.is_some() {
        all.push(("passes", assertions(&program.passes), Wanted::Accepted));
        all.push(("fails", assertions(&program.fails), Wanted::Refused));
    }
    all
}

async fn judge(engine: &Engine, submission: Value) -> Result<SubmissionResult, Failed> {
    let submission: Submission = serde_json::from_value(submission).map_err(usage)?;
    let rules = Rules {
        languages: &engine.languages,
        limits_max: &PROGRAM_LIMITS_MAX,
        testlib: None,
        repositories: None,
    };
    let submission = rules.submission(submission, 0).map_err(usage)?;
    Ok(engine.judge.judge(&submission).await.to_wire())
}

fn line(image: &str, program: &Program, test: &str, result: &SubmissionResult) -> [String; 6] {
    let compile = result.compile.as_ref().map(|compile| compile.wall_time_ms);
    let run = result.tests.first().map(|test| test.wall_time_ms);
    let show = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}"));
    let verdict = verdict_name(result.verdict);
    [image, &program.language, test, &show(compile), &show(run), verdict].map(str::to_owned)
}

/// Columns of the table of languages: hello world with its times, and each test with its verdict.
const LANGUAGES: [&str; 8] = [
    "language",
    "image",
    "compile ms",
    "run ms",
    "right output",
    "wrong output",
    "right assertions",
    "wrong assertions",
];

fn language_line(
    image: &str,
    program: &Program,
    results: &[(&str, SubmissionResult)],
) -> [String; 8] {
    let of = |test: &str| results.iter().find(|(name, _)| *name == test).map(|(_, it)| it);
    let verdict = |test: &str| of(test).map_or("-", |it| verdict_name(it.verdict)).to_owned();
    // Hello world, or where there is none, the assertions.
    let timed = of("prints").or_else(|| of("passes"));
    let times = timed.map(|result| line(image, program, "", result));
    let [_, _, _, compile, run, _] = times.unwrap_or_default();
    let [right, wrong] = [verdict("prints"), verdict("prints else")];
    let [passes, fails] = [verdict("passes"), verdict("fails")];
    [program.language.clone(), image.to_owned(), compile, run, right, wrong, passes, fails]
}

fn complaint(image: &str, program: &Program, test: &str, result: &SubmissionResult) -> String {
    let text = serde_json::to_string(result).map_err(ours).unwrap_or_default();
    let text: String = text.chars().take(3000).collect();
    format!("{image}: {}: {test}: {text}\n", program.language)
}
