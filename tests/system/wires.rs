//! The foreign wires against the real service: recorded exchanges in `tests/golden/wires/`, and what
//! takes more than one request.
//!
//! `UPDATE_GOLDEN=1` writes the replies of the exchanges. Times, sizes, random ids and versions stand
//! there as `"<time>"` and the like.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use harness::http::Content;
use harness::{Client, RewardServer, Service, ServiceConfig, deadline};
use hyper::Method;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::batches::new_key;
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "wires",
        [
            areal_is_answered_as_recorded,
            go_judge_is_answered_as_recorded,
            judge0_is_answered_as_recorded,
            nemo_gym_is_answered_as_recorded,
            openrlhf_is_answered_as_recorded,
            piston_is_answered_as_recorded,
            sandbox_fusion_is_answered_as_recorded,
            slime_is_answered_as_recorded,
            a_binary_is_compiled_once_and_run_from_the_store,
            files_are_sent_listed_and_removed_by_their_owner_alone,
            tokens_are_asked_for_until_they_are_done,
            a_reward_model_is_asked_by_the_wire_of_vllm,
            whole_outputs_go_back_up_to_the_limit,
            a_client_of_a_wire_that_leaves_frees_its_slot,
            a_client_of_judge0_sends_its_key_as_a_token,
            notebooks_that_find_no_session_are_told_to_come_back,
        ]
    )
}

async fn areal_is_answered_as_recorded() -> Result<()> {
    replay("areal").await
}

async fn go_judge_is_answered_as_recorded() -> Result<()> {
    replay("go_judge").await
}

async fn judge0_is_answered_as_recorded() -> Result<()> {
    replay("judge0").await
}

async fn nemo_gym_is_answered_as_recorded() -> Result<()> {
    replay("nemo_gym").await
}

async fn openrlhf_is_answered_as_recorded() -> Result<()> {
    replay("openrlhf").await
}

async fn piston_is_answered_as_recorded() -> Result<()> {
    replay("piston").await
}

async fn sandbox_fusion_is_answered_as_recorded() -> Result<()> {
    replay("sandbox_fusion").await
}

async fn slime_is_answered_as_recorded() -> Result<()> {
    replay("slime").await
}

/// Sends each recorded request and compares the reply with the recorded one.
async fn replay(wire: &str) -> Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/wires/{wire}.json"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut exchanges: Vec<Value> = serde_json::from_str(&text)?;
    let service = Service::start().await?;
    let client = service.client();
    let mut wrong = Vec::new();
    for exchange in &mut exchanges {
        let reply = ask(client, exchange).await?;
        if exchange.get("reply") != Some(&reply) {
            wrong.push(format!("{} {}\n  now {reply}", exchange["path"], exchange["body"]));
        }
        exchange["reply"] = reply;
    }
    service.terminate().await?;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&exchanges)? + "\n")?;
        return Ok(());
    }
    ensure!(wrong.is_empty(), "{wire} answers otherwise than recorded:\n{}", wrong.join("\n"));
    Ok(())
}

async fn ask(client: Client, exchange: &Value) -> Result<Value> {
    let text = |name: &str| exchange[name].as_str().context("an exchange has no path");
    let method = Method::from_bytes(text("method")?.as_bytes())?;
    let content = exchange.get("body").map(Content::json).unwrap_or_default();
    let reply = client.request(method, text("path")?, content).await?;
    let body = match serde_json::from_slice(&reply.body) {
        Ok(body) => settled("", body),
        Err(_) => json!(reply.text()),
    };
    let mut settled = json!({"status": reply.status, "body": body});
    if let Some(after) = reply.headers.get("retry-after") {
        settled["retry_after"] = json!(after.to_str()?);
    }
    Ok(settled)
}

/// A reply without what differs from run to run; long texts stand as their lengths.
fn settled(name: &str, value: Value) -> Value {
    match (name, value) {
        ("execution_time" | "cpu_time" | "wall_time" | "time" | "runTime", value)
            if !value.is_null() =>
        {
            json!("<time>")
        }
        ("memory", Value::Number(_)) => json!("<bytes>"),
        ("token", Value::String(_)) => json!("<token>"),
        ("version", Value::String(_)) => json!("<version>"),
        ("created_at" | "finished_at", Value::String(_)) => json!("<moment>"),
        // What compilers say is theirs to change.
        ("compile_output", Value::String(_)) => json!("<what the compiler says>"),
        ("compile_result" | "compile", Value::Object(mut said)) => {
            for stream in ["stdout", "stderr", "output"] {
                if said.get(stream).is_some_and(|text| text != "") {
                    said.insert(stream.to_owned(), json!("<what the compiler says>"));
                }
            }
            settled("", Value::Object(said))
        }
        (_, Value::String(text)) if text.len() > 1000 => json!(format!("<{} bytes>", text.len())),
        // Tracebacks name lines of the interpreter.
        ("traceback", Value::Array(_)) => json!("<traceback>"),
        ("stderr", Value::String(text)) if text.contains("Traceback") => json!("<traceback>"),
        ("output", Value::String(text)) if text.contains("Traceback") => json!("<traceback>"),
        (_, Value::Array(items)) => items.into_iter().map(|item| settled("", item)).collect(),
        (_, Value::Object(fields)) => {
            let one = |(name, value): (String, Value)| {
                let value = settled(&name, value);
                (name, value)
            };
            Value::Object(fields.into_iter().map(one).collect())
        }
        (_, value) => value,
    }
}

const SQUARE: &str = "#include <stdio.h>\nint main(void) { int n; \
    if (scanf(\"%d\", &n) != 1) return 1; printf(\"%d\\n\", n * n); return 0; }\n";

/// A command with standard input and captured outputs.
fn command(args: &[&str], stdin: &str) -> Value {
    json!({
        "args": args,
        "env": ["PATH=/usr/bin:/bin"],
        "files": [{"content": stdin}, {"name": "stdout", "max": 10240}, {"name": "stderr", "max": 10240}],
        "cpuLimit": 10_000_000_000_u64,
        "memoryLimit": 536_870_912,
        "procLimit": 64,
    })
}

async fn a_binary_is_compiled_once_and_run_from_the_store() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let mut compile = command(&["/usr/bin/gcc", "a.c", "-O2", "-o", "a"], "");
    compile["copyIn"] = json!({"a.c": {"content": SQUARE}});
    compile["copyOutCached"] = json!(["a"]);
    let reply = client.post("/run", &json!({"cmd": [compile]})).await?.ok_json()?;
    ensure!(reply[0]["status"] == "Accepted", "{reply}");
    let id = reply[0]["fileIds"]["a"].as_str().context("no file was kept")?.to_owned();
    for (stdin, stdout) in [("7", "49\n"), ("-3", "9\n")] {
        let mut run = command(&["a"], stdin);
        run["copyIn"] = json!({"a": {"fileId": id}});
        let reply = client.post("/run", &json!({"cmd": [run]})).await?.ok_json()?;
        ensure!(reply[0]["status"] == "Accepted", "{reply}");
        ensure!(reply[0]["files"]["stdout"] == stdout, "{reply}");
    }
    let removed =
        client.request(Method::DELETE, &format!("/file/{id}"), Content::default()).await?;
    ensure!(removed.status == 200, "{}", removed.text());
    let mut run = command(&["a"], "1");
    run["copyIn"] = json!({"a": {"fileId": id}});
    let reply = client.post("/run", &json!({"cmd": [run]})).await?;
    ensure!(reply.status == 400, "{}", reply.text());
    service.terminate().await
}

async fn files_are_sent_listed_and_removed_by_their_owner_alone() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let body = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.txt\"\r\n\r\n\
        kept\r\n--XX--\r\n";
    let content = Content {
        body: Bytes::from_static(body.as_bytes()),
        content_type: Some("multipart/form-data; boundary=XX"),
        accept: None,
    };
    let id = client.request(Method::POST, "/file", content).await?.ok_json()?;
    let id = id.as_str().context("no id")?.to_owned();
    let listed = client.get("/file").await?.ok_json()?;
    ensure!(listed == json!({id.clone(): "in.txt"}), "{listed}");
    let found = client.get(&format!("/file/{id}")).await?;
    ensure!(&found.body[..] == b"kept", "{}", found.text());
    let mut read = command(&["/bin/cat", "x"], "");
    read["copyIn"] = json!({"x": {"fileId": id}});
    let reply = client.post("/run", &json!({"cmd": [read]})).await?.ok_json()?;
    ensure!(reply[0]["files"]["stdout"] == "kept", "{reply}");
    let gone = client.request(Method::DELETE, &format!("/file/{id}"), Content::default()).await?;
    ensure!(gone.status == 200 && client.get(&format!("/file/{id}")).await?.status == 404);
    service.terminate().await
}

async fn tokens_are_asked_for_until_they_are_done() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let submission = |source: &str| json!({"source_code": source, "language_id": 71});
    let batch =
        json!({"submissions": [submission("print(1)"), submission(""), submission("exit(2)")]});
    let created = client.post("/submissions/batch", &batch).await?;
    ensure!(created.status == 201, "{}", created.text());
    let created = created.json()?;
    ensure!(created[1]["error"].is_string(), "{created}");
    let tokens: Vec<&str> = [0, 2].iter().filter_map(|at| created[at]["token"].as_str()).collect();
    let path =
        format!("/submissions/batch?tokens={}&fields=status_id,stdout,token", tokens.join("%2C"));
    let done = deadline::poll_async(Duration::from_secs(60), async || {
        let shown = client.get(&path).await.ok()?.ok_json().ok()?;
        let id = |at: usize| shown["submissions"][at]["status_id"].as_u64();
        (id(0)? > 2 && id(1)? > 2).then_some(shown)
    })
    .await
    .context("the submissions do not end")?;
    ensure!(done["submissions"][0]["status_id"] == 3, "{done}");
    ensure!(done["submissions"][0]["stdout"] == "1\n", "{done}");
    ensure!(done["submissions"][1]["status_id"] == 11, "{done}");
    service.terminate().await
}

async fn a_reward_model_is_asked_by_the_wire_of_vllm() -> Result<()> {
    let server = RewardServer::start().await?;
    let head = |name: &str, behaviour: &str, shape: &str| {
        format!(
            "[[value_head]]\nname = \"{name}\"\nurl = \"{}\"\nshape = \"{shape}\"\n\
             calls = {{ try_timeout_ms = 2000, deadline_ms = 4000, tries_max = 2, backoff_ms = 10, \
             backoff_max_ms = 20 }}\n",
            server.url(behaviour)
        )
    };
    let toml =
        head("rm", "head/classify", "vllm_classify") + &head("broken", "head/classify", "openrlhf");
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let client = service.client();
    let body = json!({"model": "rm", "input": "how good is it", "activation": false});
    let reply = client.post("/classify", &body).await?.ok_json()?;
    ensure!(reply["data"][0]["probs"][0].is_f64() && reply["model"] == "rm", "{reply}");
    let many = json!({"input": ["one", "two"]});
    let reply = client.post("/classify", &many).await?.ok_json()?;
    ensure!(reply["data"].as_array().is_some_and(|data| data.len() == 2), "{reply}");
    let failed = client.post("/classify", &json!({"model": "broken", "input": "x"})).await?;
    ensure!(
        failed.status == 503 && failed.headers.contains_key("retry-after"),
        "{}",
        failed.text()
    );
    let unknown = client.post("/classify", &json!({"model": "none", "input": "x"})).await?;
    ensure!(unknown.status == 422, "{}", unknown.text());
    service.terminate().await
}

async fn whole_outputs_go_back_up_to_the_limit() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let print =
        |bytes: usize| json!({"language": "python", "code": format!("print('x' * {})", bytes - 1)});
    const LIMIT: usize = 16 << 20;
    let reply = client.post("/run_code", &print(LIMIT)).await?.ok_json()?;
    ensure!(reply["status"] == "Success", "{}", reply["message"]);
    let length = reply["run_result"]["stdout"].as_str().map(str::len);
    ensure!(length == Some(LIMIT), "{length:?}");
    let reply = client.post("/run_code", &print(LIMIT + 1)).await?.ok_json()?;
    ensure!(reply["run_result"]["return_code"] == -25, "{}", reply["message"]);
    service.terminate().await
}

async fn a_client_of_a_wire_that_leaves_frees_its_slot() -> Result<()> {
    let service =
        Service::start_with(ServiceConfig { slots: 1, ..ServiceConfig::default() }).await?;
    let client = service.client();
    let endless = json!({"language": "python", "code": "while True: pass", "run_timeout": 100});
    let waiting = tokio::spawn(async move { client.post("/run_code", &endless).await });
    deadline::poll_async(Duration::from_secs(30), async || {
        let metrics = client.get("/metrics").await.ok()?;
        metrics.text().contains("assay_slots_leased 1").then_some(())
    })
    .await
    .context("the program does not run")?;
    waiting.abort();
    let quick = json!({"language": "python", "code": "print(1)"});
    let reply = client.post("/run_code", &quick).await?.ok_json()?;
    ensure!(reply["run_result"]["stdout"] == "1\n", "{reply}");
    service.terminate().await
}

async fn a_client_of_judge0_sends_its_key_as_a_token() -> Result<()> {
    let (key, toml) = new_key("judge0")?;
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let client = service.client();
    let key = key.trim_start_matches("Bearer ");
    let body = json!({"source_code": "print(1)", "language_id": 71, "expected_output": "1"});
    for (headers, status) in [
        (vec![], 401),
        (vec![("x-auth-token", "assay_wrong")], 401),
        (vec![("x-auth-token", key)], 201),
    ] {
        let path = "/submissions?wait=true";
        let content = Content::json(&body);
        let reply = client.request_with(Method::POST, path, content, &headers).await?;
        ensure!(reply.status == status, "{headers:?}: {} {}", reply.status, reply.text());
    }
    service.terminate().await
}

async fn notebooks_that_find_no_session_are_told_to_come_back() -> Result<()> {
    let toml = "[sessions]\nopen_max = 1\n".to_owned();
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let client = service.client();
    let session = client.post("/v1/sessions", &json!({})).await?;
    ensure!(session.status == 201, "{}", session.text());
    let cells = json!({"cells": ["print(1)"]});
    let full = client.post("/run_jupyter", &cells).await?;
    ensure!(full.status == 504 && full.headers.contains_key("retry-after"), "{}", full.text());
    ensure!(full.json()?["detail"].is_string(), "{}", full.text());
    let path = format!("/v1/sessions/{}", session.json()?["id"].as_str().context("no id")?);
    client.request(Method::DELETE, &path, Content::default()).await?;
    let reply = client.post("/run_jupyter", &cells).await?.ok_json()?;
    ensure!(reply["cells"][0]["stdout"] == "1\n", "{reply}");
    let listed = client.get("/v1/sessions").await?.ok_json()?;
    ensure!(listed["sessions"] == json!([]), "{listed}");
    service.terminate().await
}
