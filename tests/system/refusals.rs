//! Bad input: each gets a 4xx with a code, a sentence and what to do, and costs nobody else.

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use harness::http::Content;
use harness::{Client, Reply, Service};
use hyper::Method;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::{ADD, add_submission, expect_verdict, judge_one};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(Needs::Slots, "service", [bad_input_is_refused_with_code_message_and_hint])
}

/// A body that must be refused.
struct Bad {
    title: &'static str,
    path: &'static str,
    body: Bytes,
}

impl Bad {
    fn json(title: &'static str, path: &'static str, body: &Value) -> Self {
        Self { title, path, body: Bytes::from(body.to_string()) }
    }

    fn raw(title: &'static str, body: impl Into<Bytes>) -> Self {
        Self { title, path: "/v1/judge", body: body.into() }
    }
}

/// The good submission with one field changed; `null` takes the field away.
fn changed(title: &'static str, field: &str, value: Value) -> Bad {
    let mut submission = add_submission("x", ADD);
    if let Some(object) = submission.as_object_mut() {
        if value.is_null() {
            object.remove(field);
        } else {
            object.insert(field.to_owned(), value);
        }
    }
    Bad::json(title, "/v1/judge", &json!({"submissions": [submission]}))
}

fn bad_bodies() -> Vec<Bad> {
    let good = add_submission("x", ADD).to_string();
    let mut invalid_utf8 = format!("{{\"submissions\":[{good}]}}").into_bytes();
    if let Some(at) = invalid_utf8.windows(5).position(|window| window == b"print") {
        invalid_utf8[at] = 0xff;
    }
    let same = add_submission("same", ADD);
    vec![
        Bad::raw("empty body", ""),
        Bad::raw("no JSON", "hello"),
        Bad::raw("half of a JSON", "{\"submissions\":["),
        Bad::raw("an array", "[]"),
        Bad::raw("null", "null"),
        Bad::raw("deeply nested", "[".repeat(100_000)),
        Bad::raw("invalid UTF-8", invalid_utf8),
        Bad::json("no submissions", "/v1/judge", &json!({"submissions": []})),
        Bad::json("the same id twice", "/v1/judge", &json!({"submissions": [same, same]})),
        Bad::json("unknown field", "/v1/judge", &json!({"submissions": [], "x": 1})),
        Bad::json("run: unknown language", "/v1/run", &json!({"language": "x", "source": ""})),
        Bad::json("run: no source", "/v1/run", &json!({"language": "python"})),
        Bad::json(
            "run: a file outside",
            "/v1/run",
            &json!({"language": "python", "source": "", "files": {"../x": ""}}),
        ),
        Bad::json(
            "run: an absolute file",
            "/v1/run",
            &json!({"language": "python", "source": "", "files": {"/etc/x": ""}}),
        ),
    ]
}

fn bad_fields() -> Vec<Bad> {
    let later = json!({"kind": "repository"});
    let many: Vec<Value> = vec![json!({"stdin": "", "stdout": ""}); 100_000];
    vec![
        changed("unknown language", "language", json!("cobol-85")),
        changed("language is a number", "language", json!(3)),
        changed("no language", "language", Value::Null),
        changed("neither source nor completion", "source", Value::Null),
        changed("both source and completion", "completion", json!("```\nx\n```")),
        changed("unknown field", "languag", json!("python")),
        changed("NUL in the source", "source", json!("print(1)\u{0}")),
        changed("source is a list", "source", json!(["print(1)"])),
        changed("huge source", "source", json!("#".repeat(16 << 20))),
        changed("huge id", "id", json!("i".repeat(100_000))),
        changed("no problem", "problem", Value::Null),
        changed("unknown kind", "problem", json!({"kind": "telepathy"})),
        changed("a kind of a later version", "problem", later),
        changed("no kind", "problem", json!({"tests": []})),
        changed("no tests", "problem", json!({"kind": "stdio", "tests": []})),
        changed("too many tests", "problem", json!({"kind": "stdio", "tests": many})),
        changed("a test without an answer", "problem", json!({"kind": "stdio", "tests": [{}]})),
        changed(
            "unknown checker",
            "problem",
            json!({"kind": "stdio", "tests": [{"stdout": ""}], "checker": "vibes"}),
        ),
        changed("assertions without code", "problem", json!({"kind": "assertions"})),
        changed("empty assertions", "problem", json!({"kind": "assertions", "code": ""})),
        changed("cpu time 0", "limits", json!({"cpu_time_ms": 0})),
        changed("cpu time beyond all", "limits", json!({"cpu_time_ms": u64::MAX})),
        changed("negative wall time", "limits", json!({"wall_time_ms": -1})),
        changed("fractional pids", "limits", json!({"pids": 1.5})),
        changed("memory of one byte", "limits", json!({"memory_bytes": 1})),
        changed("memory beyond all", "limits", json!({"memory_bytes": 1_u64 << 60})),
        changed("no processes", "limits", json!({"pids": 0})),
        changed("output beyond all", "limits", json!({"output_bytes": 1_u64 << 50})),
        changed("unknown limit", "limits", json!({"memory_mb": 256})),
        changed("limit as text", "limits", json!({"cpu_time_ms": "2000"})),
    ]
}

async fn bad_input_is_refused_with_code_message_and_hint() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let mut wrong = Vec::new();
    for bad in bad_bodies().into_iter().chain(bad_fields()) {
        let content =
            Content { body: bad.body, content_type: Some("application/json"), accept: None };
        // A service may refuse a body before it has read all of it; then the connection may break.
        let reply = client.request(Method::POST, bad.path, content).await;
        let problem = match &reply {
            Ok(reply) => refusal_problem(reply),
            Err(error) => Some(format!("{error:#}")),
        };
        wrong.extend(problem.map(|problem| format!("{}: {problem}", bad.title)));
    }
    for (method, path) in [(Method::GET, "/v1/judge"), (Method::GET, "/v2/x"), (Method::POST, "/")]
    {
        let reply = client.request(method, path, Content::default()).await?;
        wrong.extend(refusal_problem(&reply).map(|problem| format!("{path}: {problem}")));
    }
    huge_body(&client).await?;
    expect_verdict(&judge_one(&client, &add_submission("x", ADD)).await?, "accepted")?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    service.terminate().await
}

/// What is wrong with a refusal; `None` where it is as promised.
pub(crate) fn refusal_problem(reply: &Reply) -> Option<String> {
    if !(400..500).contains(&reply.status) {
        return Some(format!("status {}: {:.300}", reply.status, reply.text()));
    }
    let Ok(body) = reply.json() else {
        return Some(format!("no JSON: {:.300}", reply.text()));
    };
    let texts = ["code", "message", "hint"].map(|name| body["error"][name].as_str());
    let complete = texts.iter().all(|text| text.is_some_and(|text| !text.is_empty()));
    let code = texts[0].unwrap_or_default();
    let stable = code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let short = reply.body.len() < 8 << 10;
    (!complete || !stable || !short).then(|| format!("{}: {:.300}", reply.status, reply.text()))
}

/// 413 for a body above every bound; the service may answer before it was sent in full.
async fn huge_body(client: &Client) -> Result<()> {
    let content = Content {
        body: Bytes::from(vec![b' '; 100 << 20]),
        content_type: Some("application/json"),
        accept: None,
    };
    match client.request(Method::POST, "/v1/judge", content).await {
        Ok(reply) if reply.status == 413 => Ok(()),
        Ok(reply) => bail!("status {} for a body of 100 MiB", reply.status),
        Err(error) => {
            let text = format!("{error:#}");
            let cut =
                ["reset", "closed", "Broken pipe", "canceled"].iter().any(|w| text.contains(w));
            ensure!(cut, "{text}");
            Ok(())
        }
    }
}
