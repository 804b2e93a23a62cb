//! `assay judge FILE --tests ...`: one program, in this process.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use judge::config::Config;
use judge::language::Languages;
use judge::limits::PROGRAM_LIMITS_MAX;
use judge::problem::folder;
use judge::submission::Rules;
use protocol::{Checker, Limits, Submission, SubmissionResult, TestResult, Verdict};

use super::engine::Engine;
use super::table::Table;
use super::{End, Failed, JudgeArgs, emit, usage};

/// Lines of standard error shown of the first test that was not accepted.
const STDERR_LINES: usize = 12;

pub(super) async fn judge(args: &JudgeArgs) -> Result<End, Failed> {
    let mut config = Config { testlib: args.testlib.clone(), ..Config::default() };
    let testlib = config.read_testlib().map_err(usage)?;
    // What is wrong with the files is said before slots are built.
    let image = sandbox::Image::host().map_err(super::ours)?;
    let languages =
        super::engine::languages(&image, &super::engine::store(&config), config.warm_starts)?;
    let submission = read(args, &languages)?;
    let rules = Rules {
        languages: &languages,
        limits_max: &PROGRAM_LIMITS_MAX,
        testlib: testlib.as_ref(),
        repositories: None,
    };
    let submission = rules.submission(submission, 0).map_err(usage)?;
    let slots = submission.problem.slots();
    config.slots = args.slots.or_else(|| NonZeroUsize::new(slots)).unwrap_or(NonZeroUsize::MIN);
    let engine = Engine::start(&config).await?;
    let result = engine.judge.judge(&submission).await.to_wire();
    engine.places.close().await;
    emit(&if args.json { json_line(&result)? } else { describe(&result) })?;
    Ok(end_of(&result))
}

fn read(args: &JudgeArgs, languages: &Languages) -> Result<Submission, Failed> {
    let missing = |what: &str| usage(anyhow!("{what} is missing"));
    let file = args.file.as_deref().ok_or_else(|| missing("the program"))?;
    let tests = args.tests.as_deref().ok_or_else(|| missing("--tests"))?;
    let text = folder::read_text(file).map_err(usage)?;
    let checker = args.checker.as_deref().map(Checker::named);
    let problem = folder::read(tests, checker).map_err(usage)?;
    let language = match &args.language {
        Some(language) => language.clone(),
        None => language_of(file, languages)?,
    };
    let (source, completion) =
        if args.completion { (None, Some(text)) } else { (Some(text), None) };
    let limits = Limits {
        cpu_time_ms: args.cpu_time_ms,
        wall_time_ms: args.wall_time_ms,
        memory_bytes: args.memory_bytes,
        ..Limits::default()
    };
    let stop_early = args.stop_early;
    let language = Some(language);
    Ok(Submission {
        id: None,
        language,
        image: args.image.clone(),
        source,
        answer: None,
        completion,
        problem,
        limits,
        stop_early,
        feedback: protocol::Feedback::default(),
        on_flag: protocol::OnFlag::default(),
        scoring: protocol::Scoring::default(),
        fresh: true,
        reward: None,
        group: None,
        length_tokens: None,
        deadline_ms: None,
    })
}

fn language_of(file: &Path, languages: &Languages) -> Result<String, Failed> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    languages
        .by_extension(extension)
        .map(str::to_owned)
        .with_context(|| format!("{}: say the language with --language", file.display()))
        .map_err(usage)
}

/// One result as one line of JSON.
pub(super) fn json_line(result: &SubmissionResult) -> Result<String, Failed> {
    Ok(serde_json::to_string(result).map_err(super::ours)? + "\n")
}

/// How the command ends after `result`.
pub(super) fn end_of(result: &SubmissionResult) -> End {
    match result.verdict {
        None => End::Failed,
        Some(Verdict::Accepted) => End::Good,
        Some(
            Verdict::WrongAnswer
            | Verdict::TimeLimitExceeded
            | Verdict::WallTimeLimitExceeded
            | Verdict::MemoryLimitExceeded
            | Verdict::OutputLimitExceeded
            | Verdict::RuntimeError
            | Verdict::CompileError
            | Verdict::NotCollected
            | Verdict::PatchError,
        ) => End::NotAccepted,
    }
}

/// A verdict's name on the wire.
pub(super) fn verdict_name(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        None => "not judged",
        Some(Verdict::Accepted) => "accepted",
        Some(Verdict::WrongAnswer) => "wrong_answer",
        Some(Verdict::TimeLimitExceeded) => "time_limit_exceeded",
        Some(Verdict::WallTimeLimitExceeded) => "wall_time_limit_exceeded",
        Some(Verdict::MemoryLimitExceeded) => "memory_limit_exceeded",
        Some(Verdict::OutputLimitExceeded) => "output_limit_exceeded",
        Some(Verdict::RuntimeError) => "runtime_error",
        Some(Verdict::CompileError) => "compile_error",
        Some(Verdict::NotCollected) => "not_collected",
        Some(Verdict::PatchError) => "patch_error",
    }
}

fn describe(result: &SubmissionResult) -> String {
    let mut text = String::new();
    if let Some(compile) = &result.compile {
        text += &compile.stderr;
        if let Some(message) = &compile.message {
            text += &format!("{message}\n");
        }
    }
    if !result.tests.is_empty() {
        text += &tests_table(&result.tests);
    }
    let failed = |test: &&TestResult| test.verdict.is_some_and(|v| v != Verdict::Accepted);
    if let Some(test) = result.tests.iter().find(failed) {
        let lines: Vec<_> = test.stderr.lines().collect();
        for line in &lines[lines.len().saturating_sub(STDERR_LINES)..] {
            text += &format!("  {line}\n");
        }
    }
    if let Some(failure) = &result.failure {
        text += &format!("{}\n", failure.message);
    }
    let reward = result.reward.map_or_else(|| "none".to_owned(), |reward| reward.to_string());
    text += &format!("verdict {}, reward {reward}", verdict_name(result.verdict));
    if !result.flags.is_empty() {
        text += &format!(" ({})", result.flags.join(", "));
    }
    text + "\n"
}

fn tests_table(tests: &[TestResult]) -> String {
    let mut table = Table::new(["test", "verdict", "cpu ms", "wall ms", "memory MiB"]);
    for (number, test) in tests.iter().enumerate() {
        let number = (number + 1).to_string();
        if test.skipped {
            table.push([number, "skipped".into(), String::new(), String::new(), String::new()]);
            continue;
        }
        // Thousandths of a MiB are enough for a table, and exact in 32 bits up to 4 TiB.
        let kib = u32::try_from(test.peak_memory_bytes >> 10).unwrap_or(u32::MAX);
        table.push([
            number,
            verdict_name(test.verdict).to_owned(),
            format!("{:.1}", test.cpu_time_ms),
            format!("{:.1}", test.wall_time_ms),
            format!("{:.1}", f64::from(kib) / 1024.0),
        ]);
    }
    table.to_string()
}
