//! How long slots stay taken when a client goes away: 500 submissions in flight, the connection is
//! closed, and the time is taken until no slot is leased or being built, the queue is empty, and no
//! program is left. Prints one JSON line.
#![expect(clippy::print_stdout, reason = "the figures are the output of a bench")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::{Client, Service, ServiceConfig, deadline, process};
use serde_json::{Value, json};

const IN_FLIGHT: usize = 500;
const ROUNDS: usize = 20;
const TIME_MAX: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{}", runtime.block_on(measure())?);
    Ok(())
}

async fn measure() -> Result<Value> {
    let slots = std::thread::available_parallelism()?.get();
    let service = Service::start_with(ServiceConfig { slots, ..ServiceConfig::default() }).await?;
    let client = service.client();
    let mut free = Vec::with_capacity(ROUNDS);
    let mut empty = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let submissions: Vec<Value> = (0..IN_FLIGHT).map(sleeper).collect();
        let lines = client.stream("/v1/judge", &json!({"submissions": submissions})).await?;
        let busy = deadline::poll(TIME_MAX, || (sleeping(&service).ok()? == slots).then_some(()));
        busy.await.context("the programs were not started")?;
        let start = Instant::now();
        drop(lines);
        until(&client, "assay_queue_submissions").await?;
        empty.push(start.elapsed());
        until(&client, "assay_slots_leased").await?;
        until(&client, "assay_slots_building").await?;
        ensure!(sleeping(&service)? == 0, "a program was left");
        free.push(start.elapsed());
    }
    service.terminate().await?;
    Ok(json!({
        "bench": "cancellation",
        "in_flight": IN_FLIGHT,
        "slots": slots,
        "queue_empty_ms": figures(empty),
        "slots_free_ms": figures(free),
        "machine": support::machine(),
    }))
}

fn sleeper(number: usize) -> Value {
    json!({
        "id": number.to_string(),
        "language": "bash",
        "source": "exec sleep 98765\n",
        "fresh": true,
        "limits": {"wall_time_ms": 600_000},
        "problem": {"kind": "stdio", "tests": [{"stdout": ""}]},
    })
}

fn sleeping(service: &Service) -> Result<usize> {
    let processes = process::descendants(service.pid()?);
    Ok(processes.iter().filter(|process| process.name == "sleep").count())
}

/// Asks, without a pause, until a metric is 0.
async fn until(client: &Client, name: &str) -> Result<()> {
    let end = Instant::now() + TIME_MAX;
    let line = format!("{name} 0");
    while !client.get("/metrics").await?.text().lines().any(|found| found == line) {
        ensure!(Instant::now() < end, "{name} is not 0 after {TIME_MAX:?}");
    }
    Ok(())
}

fn figures(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |index: usize| times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let round = |ms: f64| (ms * 10.0).round() / 10.0;
    json!({
        "median": round(at(times.len() / 2)),
        "largest": round(at(times.len().saturating_sub(1))),
    })
}
