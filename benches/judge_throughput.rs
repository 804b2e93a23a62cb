//! What judging costs: submissions of a Python "A+B" with ten cases, posted over HTTP to a service of
//! its own, next to bare starts of the same program in the same run. Prints one JSON line.
//!
//! A bare judgement starts the interpreter once for each case, writes the input and compares the
//! output, with no isolation, no limit and no HTTP: what the service adds is all in the ratio.
#![expect(clippy::print_stdout, reason = "the figures are the output of a bench")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use harness::{Client, Service, ServiceConfig};
use serde_json::{Map, Value, json};
use support::Times;
use tokio::task::JoinSet;

/// The program that is judged.
const SOURCE: &str = "a, b = map(int, input().split())\nprint(a + b)\n";
/// Cases of one submission.
const CASES: usize = 10;
/// Submissions for each worker, at each concurrency.
const COUNT: usize = 60;
/// Submissions before the first that is timed.
const WARM_UP: usize = 5;
/// Clients at the same time; the service has as many slots as the machine has processors.
const CONCURRENCIES: [usize; 3] = [1, 2, 4];

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(measure())?;
    println!("{figures}");
    Ok(())
}

async fn measure() -> Result<Value> {
    let slots = std::thread::available_parallelism()?.get();
    let service = Service::start_with(ServiceConfig { slots, ..ServiceConfig::default() }).await?;
    let mut figures = Map::new();
    for concurrency in CONCURRENCIES {
        let bare = bare(concurrency)?;
        let judged = judged(service.client(), concurrency).await?;
        let figure = json!({"judged": judged.report(Some(&bare)), "bare": bare.report(None)});
        figures.insert(format!("concurrency_{concurrency}"), figure);
    }
    service.terminate().await?;
    Ok(json!({
        "bench": "judge_throughput",
        "work": format!("python A+B with {CASES} cases"),
        "submissions": COUNT,
        "slots": slots,
        "figures": figures,
        "machine": support::machine(),
    }))
}

/// Inputs with their answers.
fn cases() -> Vec<(String, String)> {
    (0..CASES).map(|n| (format!("{n} {}\n", n * n), format!("{}\n", n + n * n))).collect()
}

/// The service's times: each worker posts one submission after the other.
async fn judged(client: Client, concurrency: usize) -> Result<Times> {
    let tests: Vec<Value> =
        cases().iter().map(|(stdin, stdout)| json!({"stdin": stdin, "stdout": stdout})).collect();
    // No two sources are equal: what the service has judged before it remembers.
    let body = move |worker: usize, n: usize| {
        json!({"submissions": [{
            "language": "python",
            "source": format!("{SOURCE}# {concurrency} {worker} {n}\n"),
            "problem": {"kind": "stdio", "tests": &tests},
        }]})
    };
    for n in 0..WARM_UP {
        accepted(&client, &body(concurrency, n)).await?;
    }
    let mut workers = JoinSet::new();
    for worker in 0..concurrency {
        let body = body.clone();
        workers.spawn(async move {
            let mut clock = support::Clock::start();
            for n in 0..COUNT {
                accepted(&client, &body(worker, n)).await?;
                clock.lap();
            }
            anyhow::Ok(clock.stop())
        });
    }
    let times: Result<Vec<Times>> = workers.join_all().await.into_iter().collect();
    Ok(Times::side_by_side(times?))
}

async fn accepted(client: &Client, body: &Value) -> Result<()> {
    let reply = client.post("/v1/judge", body).await?.ok_json()?;
    ensure!(reply["results"][0]["verdict"] == "accepted", "not accepted: {reply}");
    Ok(())
}

/// The baseline's times.
fn bare(concurrency: usize) -> Result<Times> {
    let scratch = tempfile::tempdir()?;
    let program = scratch.path().join("solution.py");
    std::fs::write(&program, SOURCE)?;
    let cases = cases();
    let one = || -> Result<()> {
        for (stdin, stdout) in &cases {
            let mut child = Command::new("/usr/bin/python3")
                .arg(&program)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("start /usr/bin/python3")?;
            child.stdin.take().context("a pipe")?.write_all(stdin.as_bytes())?;
            let output = child.wait_with_output()?;
            ensure!(output.stdout == stdout.as_bytes(), "the baseline answers wrongly");
        }
        Ok(())
    };
    let workers: Result<Vec<Times>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..concurrency).map(|_| scope.spawn(|| Times::of(COUNT, one))).collect();
        threads.into_iter().map(|thread| thread.join().ok().context("a worker panicked")?).collect()
    });
    Ok(Times::side_by_side(workers?))
}
