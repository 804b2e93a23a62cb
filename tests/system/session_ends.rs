//! How many sessions there may be, whom they can deceive, and how they end by themselves.

use anyhow::{Context, Result, ensure};
use harness::http::Content;
use harness::{Service, ServiceConfig, deadline};
use hyper::Method;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::batches::new_key;
use crate::sessions::{Open, TIME_MAX, outputs, python};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "sessions",
        [
            false_answers_deceive_their_own_session_only,
            there_is_no_network_in_a_session,
            sessions_end_when_their_time_is_over,
            too_many_sessions_are_refused_with_retry_after,
            no_tenant_takes_the_sessions_of_another,
            the_end_of_the_service_ends_sessions,
            two_hundred_sessions_leave_nothing_behind,
            a_jupyter_kernel_is_spoken_to,
        ]
    )
}

/// A cell that knows the service writes answers of its own into the channel.
async fn false_answers_deceive_their_own_session_only() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    let code = r#"
import os, json, __session__ as s
def say(kind, **content): os.write(s.ANSWERS, (json.dumps({"type": kind, "content": content}) + "\n").encode())
os.write(s.ANSWERS, b"\xff\x00 no frame\n{\"type\":\"stream\"}\n")
say("execute_result", data={"text/plain": "false"}, metadata={}, execution_count=-1)
say("ready"); say("failed", message="m"); say("end", id=999, ok=True, execution_count=2**63)
os.write(s.ANSWERS, b"[" * 100_000 + b"\n")
x = 1
"#;
    let reply = session.cell(code).await?;
    ensure!(reply["status"] == "ok" && reply["state"] == "idle", "{:.2000}", reply.to_string());
    session.expect("x", "1").await?;
    // It ends before its time and goes on; the next cell waits for it, and no longer than it may.
    let code = "say('end', id=3, ok=True, execution_count=7)\nwhile True: pass";
    let reply = session.cell(code).await?;
    ensure!(reply["execution_count"] == 7, "{reply}");
    let reply = session.execute(&json!({"code": "2", "wall_time_ms": 300})).await?;
    ensure!(reply["stopped"] == "wall_time_limit", "{reply}");
    let other = python(&service).await?;
    other.expect("3", "3").await?;
    other.close().await?;
    session.close().await?;
    service.terminate().await
}

async fn there_is_no_network_in_a_session() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    let code = "import socket\nsocket.create_connection(('192.0.2.1', 80), 5)";
    let reply = session.cell(code).await?;
    let error = &outputs(&reply)[0];
    ensure!(error["evalue"].as_str().is_some_and(|it| it.contains("unreachable")), "{reply}");
    session.close().await?;
    service.terminate().await
}

async fn sessions_end_when_their_time_is_over() -> Result<()> {
    let service = Service::start().await?;
    let busy = Open::new(service.client(), &json!({"time_to_live_ms": 2000})).await?;
    let idle = Open::new(service.client(), &json!({"idle_time_ms": 1000})).await?;
    let reply = busy.cell("import time\ntime.sleep(1000)").await?;
    ensure!(reply["stopped"] == "time_to_live" && reply["status"] == "aborted", "{reply}");
    for session in [busy, idle] {
        let gone = deadline::poll_async(TIME_MAX, || async {
            let reply = session.client.get(&session.path).await.ok()?;
            (reply.status == 404).then_some(())
        });
        gone.await.context("a session does not end")?;
    }
    let list = service.client().get("/v1/sessions").await?.ok_json()?;
    ensure!(list["sessions"] == json!([]), "{list}");
    service.terminate().await
}

fn with_room(open_max: usize) -> ServiceConfig {
    let toml = format!("[sessions]\nopen_max = {open_max}\nmemory_bytes_max = 4294967296\n");
    ServiceConfig { toml, ..ServiceConfig::default() }
}

async fn too_many_sessions_are_refused_with_retry_after() -> Result<()> {
    let service = Service::start_with(with_room(2)).await?;
    let client = service.client();
    // An array is no object with everything left out.
    let array = client.post("/v1/sessions", &json!([])).await?;
    ensure!(array.status == 422, "{} {}", array.status, array.text());
    let (first, second) = (python(&service).await?, python(&service).await?);
    let refused = client.post("/v1/sessions", &json!({})).await?;
    ensure!(refused.status == 429, "{} {}", refused.status, refused.text());
    let wait: u64 = refused.headers["retry-after"].to_str()?.parse()?;
    ensure!((1..=120).contains(&wait), "{wait}");
    // Judging goes on beside them.
    let run = json!({"language": "python", "source": "print(7)"});
    ensure!(client.post("/v1/run", &run).await?.ok_json()?["stdout"] == "7\n", "no run");
    first.close().await?;
    // There is room for one more, and not for its memory.
    let large = json!({"limits": {"memory_bytes": 4_000_000_000_u64}});
    let large = client.post("/v1/sessions", &large).await?;
    ensure!(large.status == 429, "{} {}", large.status, large.text());
    python(&service).await?.close().await?;
    second.close().await?;
    service.terminate().await
}

/// Four sessions and 4 GiB for two tenants: two and 2 GiB for each, in notebooks too.
async fn no_tenant_takes_the_sessions_of_another() -> Result<()> {
    let ((one, first), (two, second)) = (new_key("one")?, new_key("two")?);
    let config = with_room(4);
    let toml = format!("{}{first}{second}", config.toml);
    let service = Service::start_with(ServiceConfig { toml, ..config }).await?;
    let client = service.client();
    let post = async |key: &str, path: &str, body: Value| {
        let headers = [("authorization", key)];
        client.request_with(Method::POST, path, Content::json(&body), &headers).await
    };
    let (mut paths, small) = (Vec::new(), json!({"limits": {"memory_bytes": 1 << 28}}));
    for key in [&one, &one, &two] {
        let reply = post(key, "/v1/sessions", small.clone()).await?;
        ensure!(reply.status == 201, "{} {}", reply.status, reply.text());
        let id = reply.json()?["id"].as_str().context("no id")?.to_owned();
        paths.push(format!("/v1/sessions/{id}"));
    }
    let notebook =
        json!({"notebook": {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}});
    for (path, body) in [("/v1/sessions", small.clone()), ("/v1/notebooks/run", notebook)] {
        let refused = post(&one, path, body).await?;
        let code = refused.json()?["error"]["code"].clone();
        ensure!(refused.status == 429, "{} {}", refused.status, refused.text());
        ensure!(code == "too_many_sessions_of_tenant", "{}", refused.text());
        let wait: u64 = refused.headers["retry-after"].to_str()?.parse()?;
        ensure!((1..=120).contains(&wait), "{wait}");
    }
    // There is a session left for the other, but not with more than its half of the memory.
    let large = json!({"limits": {"memory_bytes": 2_000_000_000_u64}});
    let reply = post(&two, "/v1/sessions", large).await?;
    ensure!(reply.status == 429, "{} {}", reply.status, reply.text());
    let reply = post(&two, "/v1/sessions", small.clone()).await?;
    ensure!(reply.status == 201, "{} {}", reply.status, reply.text());
    let headers = [("authorization", one.as_str())];
    let closed = client.request_with(Method::DELETE, &paths[0], Content::default(), &headers);
    ensure!(closed.await?.status == 204, "not closed");
    let reply = post(&one, "/v1/sessions", small).await?;
    ensure!(reply.status == 201, "{} {}", reply.status, reply.text());
    service.terminate().await
}

async fn the_end_of_the_service_ends_sessions() -> Result<()> {
    let service = Service::start().await?;
    let _idle = python(&service).await?;
    let busy = python(&service).await?;
    let request = json!({"code": "print('on', flush=True)\nwhile True: pass"});
    let mut lines = busy.client.stream(&busy.at("execute"), &request).await?;
    while let Some(line) = lines.next().await? {
        if line["content"]["text"] == "on\n" {
            break;
        }
    }
    drop(lines);
    service.terminate().await
}

/// Each with state, files and a child that outlives its cell.
async fn two_hundred_sessions_leave_nothing_behind() -> Result<()> {
    let service = Service::start_with(with_room(6)).await?;
    let client = service.client();
    let mut workers = JoinSet::new();
    for worker in 0..6 {
        workers.spawn(async move {
            for number in (worker..200).step_by(6) {
                let session = Open::new(client, &json!({})).await?;
                session.expect(&format!("x = {number}; x"), &number.to_string()).await?;
                let code = "import subprocess, os\nopen('f', 'w').write('x')\n\
                            _ = subprocess.Popen(['sleep', '1000']); os.listdir('.')";
                session.expect(code, "['f']").await?;
                session.close().await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    let metrics = client.get("/metrics").await?.text();
    for line in [
        "assay_sessions_open 0",
        "assay_sessions_ended_total{reason=\"closed\"} 200",
        "assay_session_cells_total{engine=\"python\",status=\"ok\",stopped=\"\"} 400",
    ] {
        ensure!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    service.terminate().await
}

async fn a_jupyter_kernel_is_spoken_to() -> Result<()> {
    let service = Service::start().await?;
    let session = Open::new(service.client(), &json!({"kernel": "python3"})).await?;
    session.expect("x = 20; x + 1", "21").await?;
    let code =
        "from IPython.display import display, HTML\nprint('out')\ndisplay(HTML('<i>'))\n1 / 0";
    let reply = session.cell(code).await?;
    ensure!(outputs(&reply)[0]["text"] == "out\n", "{reply}");
    ensure!(outputs(&reply)[1]["data"]["text/html"] == "<i>", "{reply}");
    ensure!(outputs(&reply)[2]["ename"] == "ZeroDivisionError", "{reply}");
    ensure!(reply["status"] == "error" && reply["execution_count"] == 2, "{reply}");
    let slow = json!({"code": "import time\ntime.sleep(1000)", "wall_time_ms": 500});
    let reply = session.execute(&slow).await?;
    ensure!(reply["stopped"] == "wall_time_limit" && reply["state"] == "idle", "{reply}");
    session.expect("x", "20").await?;
    let reply = session.cell("import os\nos._exit(1)").await?;
    ensure!(reply["status"] == "aborted" && reply["stopped"] == "exited", "{reply}");
    session.restart().await?;
    session.expect("3", "3").await?;
    session.close().await?;
    service.terminate().await
}
