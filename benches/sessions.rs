//! What sessions cost: opened, one cell, closed, over HTTP to a service of its own, next to a bare start
//! of the same interpreter and its first answer in the same run. Prints a table and one JSON line.
#![expect(clippy::print_stdout, reason = "the figures are the output of a bench")]

use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::{Client, Service};
use serde_json::{Value, json};
use support::table::{Table, milliseconds, times};
use support::{Clock, Times};

/// Sessions of each engine, one after the other.
const SESSIONS: usize = 40;
/// Cells of one session.
const CELLS: usize = 200;
/// Sessions and cells before the first that is timed.
const WARM_UP: usize = 3;
/// A Jupyter kernel takes a second to start.
const KERNELS: usize = 5;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

/// An engine's times.
struct Costs {
    open: Times,
    cell: Times,
    close: Times,
}

async fn measure() -> Result<()> {
    let bare = Times::of(SESSIONS, || {
        let output = Command::new("/usr/bin/python3").args(["-c", "print(1 + 1)"]).output()?;
        ensure!(output.stdout == b"2\n", "the baseline answers wrongly");
        Ok(())
    })?;
    let service = Service::start().await?;
    let engines = [
        ("python", json!({}), "1 + 1", SESSIONS),
        ("bash", json!({"language": "bash"}), "echo 2", SESSIONS),
        ("kernel python3", json!({"kernel": "python3"}), "1 + 1", KERNELS),
    ];
    let mut table = Table::new(&["median", "open", "to bare", "one cell", "close"]);
    table.row(["bare python3 -c".to_owned(), milliseconds(bare.median())]);
    let mut figures = serde_json::Map::new();
    for (name, request, code, count) in engines {
        let costs = costs(&service.client(), &request, code, count).await?;
        let ratio = costs.open.median().as_secs_f64() / bare.median().as_secs_f64();
        table.row([
            name.to_owned(),
            milliseconds(costs.open.median()),
            times(ratio),
            milliseconds(costs.cell.median()),
            milliseconds(costs.close.median()),
        ]);
        let figure = json!({
            "open": costs.open.report(Some(&bare)),
            "cell": costs.cell.report(None),
            "close": costs.close.report(None),
        });
        figures.insert(name.to_owned(), figure);
    }
    service.terminate().await?;
    print!("{table}");
    let machine = support::machine();
    println!("{}", json!({"bench": "sessions", "figures": figures, "machine": machine}));
    Ok(())
}

async fn costs(client: &Client, request: &Value, code: &str, count: usize) -> Result<Costs> {
    for _ in 0..WARM_UP {
        let path = open(client, request).await?;
        close(client, &path).await?;
    }
    let (mut opening, mut closing) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut clock = Clock::start();
        let path = open(client, request).await?;
        clock.lap();
        opening.push(clock.stop());
        let mut clock = Clock::start();
        close(client, &path).await?;
        clock.lap();
        closing.push(clock.stop());
    }
    let path = open(client, request).await?;
    let cell = json!({"code": code});
    for _ in 0..WARM_UP {
        execute(client, &path, &cell).await?;
    }
    let mut clock = Clock::start();
    for _ in 0..CELLS {
        execute(client, &path, &cell).await?;
        clock.lap();
    }
    let cell = clock.stop();
    close(client, &path).await?;
    let [open, close] = [opening, closing].map(Times::side_by_side);
    Ok(Costs { open, cell, close })
}

async fn open(client: &Client, request: &Value) -> Result<String> {
    let reply = client.post("/v1/sessions", request).await?;
    ensure!(reply.status == 201, "{}: {}", reply.status, reply.text());
    let id = reply.json()?["id"].as_str().context("no id")?.to_owned();
    Ok(format!("/v1/sessions/{id}"))
}

async fn execute(client: &Client, path: &str, cell: &Value) -> Result<()> {
    let reply = client.post(&format!("{path}/execute"), cell).await?.ok_json()?;
    ensure!(reply["status"] == "ok", "{reply}");
    Ok(())
}

async fn close(client: &Client, path: &str) -> Result<()> {
    let reply = client.delete(path).await?;
    ensure!(reply.status == 204, "{}: {}", reply.status, reply.text());
    Ok(())
}
