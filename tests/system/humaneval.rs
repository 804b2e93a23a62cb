//! HumanEval over HTTP at concurrency 2: every right program is accepted, every wrong one is not,
//! and the verdict names what was wrong with it.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use harness::humaneval::{Problem, mutants, problems};
use harness::{Client, Service};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::{brief, expect_verdict, judge_one, with_limits};
use crate::{Needs, named};

/// Requests in flight, and slots.
const CONCURRENCY: usize = 2;

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "humaneval",
        [
            every_canonical_solution_is_accepted,
            an_empty_body_is_rejected,
            a_body_that_returns_none_is_rejected,
            exiting_before_the_assertions_is_rejected,
            an_off_by_one_mutant_is_rejected,
            an_infinite_loop_meets_the_time_limit,
            a_memory_bomb_meets_the_memory_limit,
            a_hundred_megabytes_of_output_meet_the_output_limit,
            a_fork_bomb_is_contained,
        ]
    )
}

async fn every_canonical_solution_is_accepted() -> Result<()> {
    let submissions = problems()?.iter().map(|p| p.submission(&p.canonical())).collect();
    all_get(submissions, &["accepted"]).await
}

/// The documentation alone is a valid body that returns `None`.
async fn an_empty_body_is_rejected() -> Result<()> {
    let submissions = problems()?.iter().map(|p| p.submission(&p.with_body(""))).collect();
    all_get(submissions, &["wrong_answer", "runtime_error"]).await
}

async fn a_body_that_returns_none_is_rejected() -> Result<()> {
    let body = "    return None\n";
    let submissions = problems()?.iter().map(|p| p.submission(&p.with_body(body))).collect();
    all_get(submissions, &["wrong_answer", "runtime_error"]).await
}

async fn exiting_before_the_assertions_is_rejected() -> Result<()> {
    let exit = "\nimport sys; sys.exit(0)\n";
    let submissions = problems()?.iter().map(|p| p.submission(&(p.canonical() + exit))).collect();
    all_get(submissions, &["wrong_answer"]).await
}

async fn an_off_by_one_mutant_is_rejected() -> Result<()> {
    let mutants = mutants()?;
    let submissions: Vec<Value> = problems()?
        .iter()
        .filter_map(|problem| Some(problem.submission(mutants.get(&problem.task_id)?)))
        .collect();
    ensure!(submissions.len() >= 120, "only {} mutants", submissions.len());
    all_get(submissions, &["wrong_answer", "runtime_error"]).await
}

async fn an_infinite_loop_meets_the_time_limit() -> Result<()> {
    let limits = json!({"cpu_time_ms": 200, "wall_time_ms": 20_000});
    let body = "    while True:\n        pass\n";
    let submissions = problems()?
        .iter()
        .map(|problem| with_limits(problem.submission(&problem.with_body(body)), limits.clone()))
        .collect();
    all_get(submissions, &["time_limit_exceeded"]).await
}

async fn a_memory_bomb_meets_the_memory_limit() -> Result<()> {
    let limits = json!({"memory_bytes": 64 << 20, "wall_time_ms": 20_000});
    let body = "    blocks = []\n    while True:\n        blocks.append(bytearray(1 << 20))\n";
    let submissions = problems()?
        .iter()
        .map(|problem| with_limits(problem.submission(&problem.with_body(body)), limits.clone()))
        .collect();
    all_get(submissions, &["memory_limit_exceeded"]).await
}

async fn a_hundred_megabytes_of_output_meet_the_output_limit() -> Result<()> {
    let limits = json!({"cpu_time_ms": 10_000, "wall_time_ms": 30_000});
    let body = "    for _ in range(100):\n        print('x' * (1 << 20))\n";
    let submissions = problems()?
        .iter()
        .map(|problem| with_limits(problem.submission(&problem.with_body(body)), limits.clone()))
        .collect();
    all_get(submissions, &["output_limit_exceeded"]).await
}

/// However the bomb ends, it earns nothing, and the machine answers at once afterwards.
async fn a_fork_bomb_is_contained() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let limits = json!({"cpu_time_ms": 500, "wall_time_ms": 5_000});
    let body = "    import os\n    while True:\n        try:\n            os.fork()\n        \
                except OSError:\n            pass\n";
    let problems = problems()?;
    for problem in spread(&problems, 20) {
        let bomb = with_limits(problem.submission(&problem.with_body(body)), limits.clone());
        let honest = problem.submission(&problem.canonical());
        let (bombed, beside) =
            tokio::try_join!(judge_one(&client, &bomb), judge_one(&client, &honest))?;
        // Which limit it meets first depends on what else the machine does.
        let wall = bombed["verdict"] == "wall_time_limit_exceeded";
        let limit = if wall { "wall_time_limit_exceeded" } else { "time_limit_exceeded" };
        expect_verdict(&bombed, limit)?;
        expect_verdict(&beside, "accepted")?;
        expect_verdict(&judge_one(&client, &honest).await?, "accepted")?;
    }
    service.terminate().await
}

/// `count` problems, evenly over the set, the first and hence the same ones each time.
fn spread(problems: &[Problem], count: usize) -> impl Iterator<Item = &Problem> {
    problems.iter().step_by(problems.len() / count)
}

/// Posts every submission, each in a request of its own, and prints how long the whole took.
async fn all_get(submissions: Vec<Value>, verdicts: &[&str]) -> Result<()> {
    let service = Service::start().await?;
    let start = Instant::now();
    let half = submissions.len().div_ceil(CONCURRENCY);
    let client = service.client();
    let (first, second) = submissions.split_at(half);
    let (first, second) = tokio::try_join!(in_turn(&client, first), in_turn(&client, second))?;
    let elapsed = start.elapsed();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for result in first.iter().chain(&second) {
        let verdict = result["verdict"].as_str().unwrap_or("none").to_owned();
        if !verdicts.contains(&verdict.as_str()) || expect_verdict(result, &verdict).is_err() {
            wrong.push(brief(result));
        }
        *counts.entry(verdict).or_default() += 1;
    }
    print_summary(submissions.len(), elapsed.as_secs_f64(), &counts);
    ensure!(wrong.is_empty(), "{} wrong: {}", wrong.len(), wrong[..wrong.len().min(3)].join("\n"));
    service.terminate().await
}

async fn in_turn(client: &Client, submissions: &[Value]) -> Result<Vec<Value>> {
    let mut results = Vec::new();
    for submission in submissions {
        let id = &submission["id"];
        results.push(judge_one(client, submission).await.with_context(|| id.to_string())?);
    }
    Ok(results)
}

#[expect(clippy::print_stdout, reason = "the time of the whole set is a figure of this test")]
fn print_summary(count: usize, seconds: f64, verdicts: &BTreeMap<String, usize>) {
    println!(
        "  {count} submissions in {seconds:.2} s at concurrency {CONCURRENCY} ({:.1} a second): {verdicts:?}",
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds
    );
}
