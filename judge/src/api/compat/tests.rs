//! The wires over scripted slots: every row of the table of failures in `README.md`, and what is
//! refused. What a wire says of real programs is held by `tests/system/wires.rs`.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::language::Languages;
use crate::pipeline::{Caches, Judge};
use crate::slots::scripted::ScriptedSlots;
use crate::telemetry::Metrics;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// It makes no sense.
    Wrong,
    /// There is no room.
    Busy,
    /// The slot fails, and its successor too.
    MayPass,
    /// The host cannot run programs at all.
    Stays,
}

use Event::{Busy, MayPass, Stays, Wrong};

fn service(event: Event, config: Config) -> Arc<Service> {
    let error = || match event {
        Stays => sandbox::Error::EntryMissing,
        Wrong | Busy | MayPass => {
            sandbox::Error::Slot { slot: 0, step: "run", reason: "it is gone".into() }
        }
    };
    let slots = ScriptedSlots::new((0..2).map(|_| Err(error())));
    let metrics = Arc::new(Metrics::new().unwrap());
    let judge = Judge::new(Arc::new(slots), Arc::clone(&metrics), Caches::none());
    let languages = Languages::resolve(|_| true).unwrap();
    Arc::new(Service::new(config, languages, judge, metrics))
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

async fn send(service: &Arc<Service>, method: &str, path: &str, body: Body) -> Reply {
    use hyper::service::Service as _;
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    let router = super::super::router(Arc::clone(service));
    let response =
        hyper_util::service::TowerToHyperService::new(router).call(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Reply { status, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
}

async fn asked(event: Event, config: Config, path: &str, right: &Value) -> Reply {
    let mut config = config;
    config.admission.queue_submissions_max = 4.try_into().unwrap();
    config.admission.batch_submissions_max = 4.try_into().unwrap();
    let service = service(event, config);
    let full = (event == Busy).then(|| service.admission.admit(4).unwrap());
    let mut body = right.clone();
    if event == Wrong {
        body["unheard_of"] = json!(1);
        // Bodies that go back as they came may hold anything, but not nothing.
        if path == "/verify" {
            body = json!({"response": {}});
        }
    }
    let reply = send(&service, "POST", path, Body::from(body.to_string())).await;
    drop(full);
    assert_eq!(service.admission.queued(), 0, "{path} {event:?}");
    reply
}

fn exercise(path: &str) -> Value {
    let stdio = json!({"kind": "stdio", "tests": [{"stdout": "1"}]});
    let row = json!({"test": [{"input": {"stdin": ""}, "output": {"stdout": "1"}}]});
    match path {
        "/run_code" => json!({"code": "print(1)", "language": "python"}),
        "/submit" => json!({"dataset": "x", "id": 1, "completion": "```python\nprint(1)\n```",
            "config": {"dataset_type": "CommonOJDataset", "language": "python", "provided_data": row}}),
        "/get_reward" => json!({"query": ["p```\nx\n```"], "prompts": ["p"], "labels": [stdio]}),
        "/rm" => json!({"prompt": "p", "response": "```\nx\n```", "label": stdio}),
        "/verify" => json!({"verifier_metadata": {"problem": stdio}, "response": {"output": [
            {"type": "message", "content": [{"type": "output_text", "text": "```\nx\n```"}]}]}}),
        "/api/v2/execute" => {
            json!({"language": "python", "version": "*", "files": [{"content": "print(1)"}]})
        }
        "/submissions?wait=true" => json!({"source_code": "print(1)", "language_id": 71}),
        "/run" => json!({"cmd": [{"args": ["/bin/true"]}]}),
        "/apis/functioncalls" => json!({"uid": "u", "language": "PYTHON", "code": "print(1)",
            "testcases": [{"input": "", "expectedOutput": "1"}]}),
        other => panic!("no exercise for {other}"),
    }
}

/// The table of `README.md`: path, event, status, whether it says when to come back, and what stands
/// where in the body.
#[tokio::test]
async fn each_wire_says_in_its_own_words_that_we_failed() {
    let rows: [(&str, Event, u16, bool, &str, Value); 36] = [
        ("/run_code", Wrong, 422, false, "/detail", Value::Null),
        ("/run_code", Busy, 504, true, "/detail", Value::Null),
        ("/run_code", MayPass, 504, true, "/detail", Value::Null),
        ("/run_code", Stays, 200, false, "/status", json!("SandboxError")),
        ("/submit", Wrong, 422, false, "/detail", Value::Null),
        ("/submit", Busy, 504, true, "/detail", Value::Null),
        ("/submit", MayPass, 504, true, "/detail", Value::Null),
        ("/submit", Stays, 500, false, "/detail", Value::Null),
        ("/get_reward", Wrong, 422, false, "/error/code", json!("bad_request")),
        ("/get_reward", Busy, 503, true, "/error/code", json!("overloaded")),
        ("/get_reward", MayPass, 503, true, "/error/code", json!("infrastructure_failed")),
        ("/get_reward", Stays, 503, false, "/error/code", json!("infrastructure_failed")),
        ("/rm", Wrong, 422, false, "/error/code", json!("bad_request")),
        ("/rm", Busy, 503, true, "/error/code", json!("overloaded")),
        ("/rm", MayPass, 503, true, "/error/code", json!("infrastructure_failed")),
        ("/rm", Stays, 503, false, "/error/code", json!("infrastructure_failed")),
        ("/verify", Wrong, 422, false, "/detail", Value::Null),
        ("/verify", Busy, 200, false, "/_ng_failure_class", json!("overloaded")),
        ("/verify", MayPass, 200, false, "/_ng_failure_class", json!("infrastructure_failed")),
        ("/verify", Stays, 200, false, "/_ng_failure_terminal", json!(true)),
        ("/api/v2/execute", Wrong, 400, false, "/message", Value::Null),
        ("/api/v2/execute", Busy, 503, true, "/message", Value::Null),
        ("/api/v2/execute", MayPass, 503, true, "/message", Value::Null),
        ("/api/v2/execute", Stays, 500, false, "/message", Value::Null),
        ("/submissions?wait=true", Wrong, 422, false, "/error", Value::Null),
        ("/submissions?wait=true", Busy, 503, true, "/error", Value::Null),
        ("/submissions?wait=true", MayPass, 201, false, "/status/id", json!(13)),
        ("/submissions?wait=true", Stays, 201, false, "/status/id", json!(13)),
        ("/run", Wrong, 400, false, "", Value::Null),
        ("/run", Busy, 503, true, "", Value::Null),
        ("/run", MayPass, 200, false, "/0/status", json!("Internal Error")),
        ("/run", Stays, 200, false, "/0/status", json!("Internal Error")),
        ("/apis/functioncalls", Wrong, 422, false, "/results/0/errorType", json!("UnknownError")),
        ("/apis/functioncalls", Busy, 200, true, "/results/0/errorType", json!("SystemError")),
        ("/apis/functioncalls", MayPass, 200, true, "/results/0/errorType", json!("SystemError")),
        ("/apis/functioncalls", Stays, 200, false, "/results/0/errorType", json!("SystemError")),
    ];
    for (path, event, status, comes_back, place, expected) in rows {
        let reply = asked(event, Config::default(), path, &exercise(path)).await;
        let shown = format!("{path} {event:?}: {} {}", reply.status, reply.body);
        assert_eq!(reply.status, status, "{shown}");
        assert_eq!(reply.headers.contains_key("retry-after"), comes_back, "{shown}");
        let found = reply.body.pointer(place).unwrap_or_else(|| panic!("{shown}"));
        if expected.is_null() {
            assert!(found.is_string(), "{shown}");
        } else {
            assert_eq!(*found, expected, "{shown}");
        }
    }
}

#[tokio::test]
async fn a_number_or_another_status_is_said_where_one_is_configured() {
    let mut config = Config::default();
    config.compat.failure_reward = Some(-1.0);
    config.compat.sandbox_fusion_retry_status = config::RetryStatus::ServiceUnavailable;
    for event in [MayPass, Stays] {
        let reply = asked(event, config.clone(), "/rm", &exercise("/rm")).await;
        assert_eq!((reply.status, reply.body), (200, json!(-1.0)));
        let reply = asked(event, config.clone(), "/get_reward", &exercise("/get_reward")).await;
        assert_eq!(reply.body["rewards"], json!([-1.0]));
        assert_eq!(reply.body["extra_logs"]["valid"], json!([0.0]));
    }
    // Overload is no failure: the client is to come back, whatever it would be told otherwise.
    let reply = asked(Busy, config.clone(), "/rm", &exercise("/rm")).await;
    assert_eq!(reply.status, 503);
    let reply = asked(MayPass, config, "/run_code", &exercise("/run_code")).await;
    assert_eq!(reply.status, 503);
}

#[tokio::test]
async fn a_wire_that_is_switched_off_is_not_there() {
    let mut config = Config::default();
    config.compat.wires = [Wire::Slime].into();
    let service = service(MayPass, config);
    for (path, status) in [("/rm", 422), ("/run_code", 404), ("/submissions", 404)] {
        let reply = send(&service, "POST", path, Body::from("{}")).await;
        assert_eq!(reply.status, status, "{path}");
    }
}

#[tokio::test]
async fn all_wires_share_the_paths_of_one_service() {
    let service = service(MayPass, Config::default());
    for (path, expected) in [
        ("/v1/ping", json!("pong")),
        ("/reverify_mode", json!("stateless")),
        ("/list_datasets", json!([])),
        ("/file", json!({})),
    ] {
        assert_eq!(send(&service, "GET", path, Body::empty()).await.body, expected, "{path}");
    }
    for path in ["/version", "/about", "/statuses", "/languages", "/api/v2/runtimes"] {
        assert_eq!(send(&service, "GET", path, Body::empty()).await.status, 200, "{path}");
    }
    for path in ["/file/x", "/submissions/x", "/languages/1"] {
        assert_eq!(send(&service, "GET", path, Body::empty()).await.status, 404, "{path}");
    }
}

#[test]
fn what_follows_the_path_of_a_wire_is_not_counted_apart() {
    assert_eq!(endpoint("/file/abc"), Some("/file"));
    assert_eq!(endpoint("/submissions/batch"), Some("/submissions/batch"));
    assert_eq!(endpoint("/submissions/abc"), Some("/submissions"));
    assert_eq!(endpoint("/runner"), None);
}

/// Path, body, and the word that its refusal says.
fn not_done_here() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/run_code", json!({"code": "x", "language": "cuda"}), "cuda"),
        ("/run_code", json!({"code": "x", "language": "python", "run_timeout": 0}), "run_timeout"),
        (
            "/run_code",
            json!({"code": "x", "language": "python", "files": {"/etc/x": ""}}),
            "absolute",
        ),
        (
            "/run_code",
            json!({"code": "x", "language": "python", "fetch_files": ["../x"]}),
            "component",
        ),
        ("/run", json!({"cmd": []}), "0 commands"),
        ("/run", json!({"cmd": [{"args": ["/bin/sh"], "tty": true}]}), "tty"),
        ("/run", json!({"cmd": [{"args": []}]}), "args is empty"),
        (
            "/run",
            json!({"cmd": [{"args": ["/a"], "copyIn": {"x": {"src": "/etc/passwd"}}}]}),
            "src",
        ),
        (
            "/run",
            json!({"cmd": [{"args": ["/a"], "copyIn": {"x": {"fileId": "none"}}}]}),
            "not here",
        ),
        (
            "/run",
            json!({"cmd": [{"args": ["/a"], "copyIn": {"../x": {"content": ""}}}]}),
            "component",
        ),
        (
            "/run",
            json!({"cmd": [{"args": ["/a"]}], "pipeMapping": [
            {"in": {"index": 0, "fd": 1}, "out": {"index": 1, "fd": 0}}]}),
            "two commands",
        ),
        (
            "/run",
            json!({"cmd": [{"args": ["/a"]}, {"args": ["/a"]}], "pipeMapping": [
            {"in": {"index": 0, "fd": 2}, "out": {"index": 1, "fd": 0}}]}),
            "fd 1",
        ),
        ("/run", json!({"cmd": [{"args": ["/a"], "memoryLimit": 1}]}), "memory_bytes"),
        ("/submissions", json!({"source_code": "x", "language_id": 1}), "doesn't exist"),
        ("/submissions", json!({"source_code": "", "language_id": 71}), "blank"),
        (
            "/api/v2/execute",
            json!({"language": "python", "version": "1.0.0", "files": [
            {"content": "x"}]}),
            "python-1.0.0 runtime is unknown",
        ),
        ("/api/v2/execute", json!({"language": "python", "version": "*", "files": []}), "one file"),
        ("/get_reward", json!({"query": ["a"], "prompts": [], "labels": []}), "0 prompts"),
        ("/get_reward", json!({"query": [], "prompts": [], "labels": []}), "0 queries"),
        (
            "/apis/functioncalls",
            json!({"uid": "u", "language": "PYTHON", "code": "x",
            "isRemote": true, "testcases": []}),
            "isRemote",
        ),
        ("/list_ids", json!({"dataset": "x"}), "not here"),
        ("/classify", json!({"input": "x"}), "no reward model"),
    ]
}

#[tokio::test]
async fn what_is_not_done_here_is_refused_by_name() {
    for (path, body, word) in not_done_here() {
        let service = service(MayPass, Config::default());
        let reply = send(&service, "POST", path, Body::from(body.to_string())).await;
        assert_eq!(reply.status / 100, 4, "{path} {}", reply.body);
        assert!(reply.body.to_string().contains(word), "{path} {body}: {}", reply.body);
        assert_eq!(service.admission.queued(), 0);
    }
}

#[tokio::test]
async fn rows_that_come_with_a_request_are_listed() {
    let service = service(MayPass, Config::default());
    let rows =
        json!([{"id": 1, "content": "one", "labels": "{\"a\": 2}"}, {"id": "b", "prompt": "two"}]);
    let body = json!({"dataset": "x", "config": {"provided_data": rows}});
    let ask = |path, body: Value| {
        let service = Arc::clone(&service);
        async move { send(&service, "POST", path, Body::from(body.to_string())).await.body }
    };
    assert_eq!(ask("/list_ids", body.clone()).await, json!([1, "b"]));
    let one = json!({"id": 1, "prompt": "one", "labels": {"a": 2}});
    let two = json!({"id": "b", "prompt": "two", "labels": {}});
    assert_eq!(ask("/get_prompts", body.clone()).await, json!([one, two]));
    let mut by_id = body;
    by_id["id"] = json!("1");
    assert_eq!(ask("/get_prompt_by_id", by_id.clone()).await, one);
    by_id["id"] = json!("c");
    assert!(ask("/get_prompt_by_id", by_id).await["detail"].is_string());
}
