//! What a caller gets for each fault that a chain-of-thought judge can have, and how long it takes: the
//! real service against a scripted server. Prints a table.
#![expect(clippy::print_stdout, reason = "the figures are the output of a bench")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::service::free_address;
use harness::{Client, RewardServer, Service, ServiceConfig, deadline, reward_server};
use serde_json::{Value, json};
use support::table::{Table, milliseconds};

/// How often a fault is met.
const ROUNDS: usize = 5;
/// Three tries of 400 ms, pauses of at most 20 ms, no breaker, no canaries.
const QUICK: &str = "canaries.interval_s = 0\ncalls = { try_timeout_ms = 400, deadline_ms = 3000, \
    tries_max = 3, backoff_ms = 10, backoff_max_ms = 20, breaker_failures = 1000 }";
const BREAKER: &str = "canaries.interval_s = 0\ncalls = { tries_max = 1, breaker_failures = 2, \
    breaker_open_ms = 600000, backoff_ms = 10 }";
const CROWDED: &str = "canaries.interval_s = 0\ncalls = { concurrency = 1, waiting_max = 0 }";
const WATCHED: &str = "canaries.interval_s = 3600";

/// What goes wrong, which of the server's behaviours does it, and the judge's name where that is
/// another one.
struct Fault {
    what: &'static str,
    behaviour: &'static str,
    judge: &'static str,
    rounds: usize,
}

const fn plain(what: &'static str, behaviour: &'static str) -> Fault {
    Fault { what, behaviour, judge: behaviour, rounds: ROUNDS }
}

/// A fault that a server has the first time only.
const fn once(what: &'static str, behaviour: &'static str) -> Fault {
    Fault { rounds: 1, ..plain(what, behaviour) }
}

const fn named(what: &'static str, judge: &'static str, behaviour: &'static str) -> Fault {
    Fault { judge, ..plain(what, behaviour) }
}

const FAULTS: [Fault; 20] = [
    plain("none", "correct"),
    plain("replies after 300 ms", "slow"),
    once("503 twice, then well", "recovers"),
    once("knows no JSON schema: 400", "no_schema"),
    plain("first reply holds no verdict", "second_try"),
    plain("always 429, Retry-After: 0", "status_429"),
    plain("always 500", "status_500"),
    plain("401", "status_401"),
    plain("nobody listens", "nobody"),
    plain("hangs", "hangs"),
    plain("connection ends within the reply", "breaks_off"),
    plain("200 with HTML", "not_json"),
    plain("JSON cut off at the token limit", "truncated"),
    plain("JSON of another schema", "wrong_schema"),
    plain("prose without JSON", "prose"),
    plain("reply of 5 MB", "too_large"),
    plain("injected: verdict on another answer", "injected"),
    named("breaker open after two failures", "broken", "status_500"),
    named("two at once, room for one", "crowded", "slow"),
    named("canaries found it accepts everything", "watched", "always"),
];

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<()> {
    let server = RewardServer::start().await?;
    let config = ServiceConfig { toml: judges(&server)?, ..ServiceConfig::default() };
    let service = Service::start_with(config).await?;
    let client = service.client();
    await_canaries(&client).await?;
    for round in 0..2 {
        ask(&client, "broken", &format!("It scatters, {round}.")).await?;
    }
    let head =
        ["the judge's server", "reward", "failure", "retryable", "calls", "median", "longest"];
    let mut table = Table::new(&head);
    for fault in &FAULTS {
        table.row(row(&client, &server, fault).await?);
    }
    print!("{table}");
    println!("{}", support::machine());
    service.terminate().await
}

fn judges(server: &RewardServer) -> Result<String> {
    let same = FAULTS.iter().filter(|fault| fault.judge == fault.behaviour);
    let named: Vec<&str> =
        same.map(|fault| fault.behaviour).filter(|name| *name != "nobody").collect();
    let judge = |name, behaviour, more| reward_server::judge(name, &server.url(behaviour), more);
    let nobody = format!("http://{}", free_address()?);
    Ok(server.judges(&named, QUICK)
        + &reward_server::judge("nobody", &nobody, QUICK)
        + &judge("broken", "status_500", BREAKER)
        + &judge("crowded", "slow", CROWDED)
        + &judge("watched", "always", WATCHED))
}

async fn await_canaries(client: &Client) -> Result<()> {
    let stopped = "assay_judge_breaker{judge=\"watched\"} 3";
    let found = deadline::poll_async(Duration::from_secs(20), async || {
        client.get("/metrics").await.ok()?.text().contains(stopped).then_some(())
    });
    found.await.context("canaries stopped nothing")
}

async fn row(client: &Client, server: &RewardServer, fault: &Fault) -> Result<Vec<String>> {
    let before = server.calls(fault.behaviour);
    let mut times = Vec::with_capacity(fault.rounds);
    let mut results = Vec::with_capacity(fault.rounds);
    for round in 0..fault.rounds {
        let answer = format!("Air scatters it, {round}.");
        let start = Instant::now();
        // The second of two is the one that finds no room.
        let result = if fault.judge == "crowded" {
            let other = format!("{answer} So it is.");
            let pair = tokio::try_join!(
                ask(client, fault.judge, &answer),
                ask(client, fault.judge, &other)
            )?;
            if pair.0["valid"] == true { pair.1 } else { pair.0 }
        } else {
            ask(client, fault.judge, &answer).await?
        };
        times.push(start.elapsed());
        results.push(result);
    }
    let first = &results[0];
    let same =
        |other: &Value| other["reward"] == first["reward"] && other["failure"] == first["failure"];
    ensure!(results.iter().all(same), "{}: {results:?}", fault.what);
    times.sort_unstable();
    let calls = server.calls(fault.behaviour) - before;
    let failure = &first["failure"];
    let said = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let failed = !failure.is_null();
    Ok(vec![
        fault.what.to_owned(),
        if failed { "none".to_owned() } else { first["reward"].to_string() },
        if failed {
            format!("{}: {}", said(&failure["class"]), said(&failure["message"]))
        } else {
            "-".to_owned()
        },
        if failed { failure["retryable"].to_string() } else { "-".to_owned() },
        format!("{calls} for {}", fault.rounds),
        milliseconds(times[times.len() / 2]),
        milliseconds(times[times.len() - 1]),
    ])
}

async fn ask(client: &Client, judge: &str, answer: &str) -> Result<Value> {
    let submission = json!({
        "answer": answer,
        "problem": {
            "kind": "free_form",
            "question": "Why is the sky blue?",
            "references": ["Air scatters blue light more than red light."],
            "judge": {"model": judge},
        },
    });
    let reply = client.post("/v1/judge", &json!({"submissions": [submission]})).await?.ok_json()?;
    Ok(reply["results"][0].clone())
}
