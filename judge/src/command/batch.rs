//! `assay judge --batch FILE.jsonl`: many submissions, in this process.

use std::collections::{BTreeMap, HashSet};
use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use judge::admission::Admission;
use judge::batch;
use judge::config::Config;
use judge::language::Languages;
use judge::limits::{PROGRAM_LIMITS_MAX, QUEUE_SUBMISSIONS_MAX};
use judge::problem::folder;
use judge::reward::length::Groups;
use judge::submission::Rules;
use judge::task::{RewardModelNames, Task, TaskRules};
use protocol::{Submission, SubmissionResult, Verdict};

use super::engine::{self, Engine};
use super::judge::{end_of, json_line, verdict_name};
use super::table::Table;
use super::{End, Failed, JudgeArgs, emit, ours, usage};

pub(super) async fn judge(path: &Path, args: &JudgeArgs) -> Result<End, Failed> {
    let mut config = Config::default();
    config.slots = args.slots.unwrap_or(config.slots);
    let image = sandbox::Image::host().map_err(ours)?;
    let languages = engine::languages(&image, &engine::store(&config), config.warm_starts)?;
    let tasks = read(path, &languages)?;
    let count = tasks.len();
    let engine = Engine::start(&config).await?;
    let ticket = Admission::new(count, 0, 1).admit(count).map_err(ours)?;
    let mut results = batch::judge(engine.judge.clone(), tasks, ticket);
    let bar = progress_bar(count);
    let mut summary = Summary::default();
    while let Some(report) = results.next().await {
        let result = report.to_wire();
        summary.count(&result);
        if args.json {
            let line = json_line(&result)?;
            bar.suspend(|| emit(&line))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    engine.places.close().await;
    if !args.json {
        emit(&summary.table())?;
    }
    Ok(summary.end.unwrap_or(End::Good))
}

fn read(path: &Path, languages: &Languages) -> Result<Vec<Task>, Failed> {
    let text = folder::read_text(path).map_err(usage)?;
    let mut submissions = Vec::new();
    let mut lines = Vec::new();
    let mut ids = HashSet::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |error: String| usage(anyhow!("{}:{}: {error}", path.display(), number + 1));
        let submission: Submission =
            serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if let Some(id) = submission.id.clone().filter(|id| !ids.insert(id.clone())) {
            return Err(wrong(format!("id {id:?} is there twice")));
        }
        submissions.push(submission);
        lines.push(number + 1);
        if submissions.len() > QUEUE_SUBMISSIONS_MAX {
            return Err(wrong(format!("more than {QUEUE_SUBMISSIONS_MAX} submissions")));
        }
    }
    if submissions.is_empty() {
        return Err(usage(anyhow!("{}: there is no submission", path.display())));
    }
    let programs =
        Rules { languages, limits_max: &PROGRAM_LIMITS_MAX, testlib: None, repositories: None };
    let reward_models = RewardModelNames::default();
    let rules = TaskRules { programs, reward_models: &reward_models };
    let groups = Groups::of(&submissions).map_err(usage)?;
    let check = |(index, submission)| {
        let wrong = |error| usage(anyhow!("{}:{}: {error}", path.display(), lines[index]));
        rules.task(submission, index, &groups).map_err(wrong)
    };
    submissions.into_iter().enumerate().map(check).collect()
}

/// A bar on standard error, hidden where that is no terminal.
fn progress_bar(count: usize) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(u64::try_from(count).ok(), target);
    let style = "{bar:40} {pos}/{len}  {per_sec}  {eta} left";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[derive(Debug, Default)]
struct Summary {
    verdicts: BTreeMap<&'static str, usize>,
    rejected: Vec<(usize, String, Option<Verdict>)>,
    end: Option<End>,
}

impl Summary {
    fn count(&mut self, result: &SubmissionResult) {
        *self.verdicts.entry(verdict_name(result.verdict)).or_default() += 1;
        self.end = self.end.max(Some(end_of(result)));
        if result.verdict != Some(Verdict::Accepted) {
            let name = result.id.clone().unwrap_or_else(|| format!("#{}", result.index));
            self.rejected.push((result.index, name, result.verdict));
        }
    }

    fn table(&mut self) -> String {
        let mut rejected = Table::new(["submission", "verdict"]);
        self.rejected.sort_by_key(|(index, ..)| *index);
        for (_, name, verdict) in &self.rejected {
            rejected.push([name.clone(), verdict_name(*verdict).to_owned()]);
        }
        let mut counts = Table::new(["verdict", "submissions"]);
        for (verdict, count) in &self.verdicts {
            counts.push([(*verdict).to_owned(), count.to_string()]);
        }
        if self.rejected.is_empty() { counts.to_string() } else { format!("{rejected}\n{counts}") }
    }
}
