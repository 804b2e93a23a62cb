//! The interface over scripted slots: every error is JSON with a code, and nothing is lost.

use axum::body::to_bytes;
use axum::http::Request as HttpRequest;
use sandbox::Outcome;
use sandbox::outcome::{Captured, Termination, Usage};
use serde_json::{Value, json};

use super::*;
use crate::slots::scripted::ScriptedSlots;

fn accepted() -> Result<Outcome, sandbox::Error> {
    Ok(Outcome {
        termination: Termination::Exited { code: 0 },
        usage: Usage::default(),
        stdout: Captured { bytes: "1\n".into(), truncated: false },
        stderr: Captured::default(),
        files: Vec::new(),
    })
}

fn service(runs: usize) -> Arc<Service> {
    let mut config = Config::default();
    config.admission.queue_submissions_max = 4.try_into().unwrap();
    config.admission.batch_submissions_max = 3.try_into().unwrap();
    config.admission.body_bytes_max = 4096.try_into().unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let slots = ScriptedSlots::new((0..runs).map(|_| accepted()));
    let judge = Judge::new(Arc::new(slots), Arc::clone(&metrics), crate::pipeline::Caches::none());
    let languages = Languages::resolve(|path| !path.contains("rustc")).unwrap();
    Arc::new(Service::new(config, languages, judge, metrics))
}

async fn send(
    service: &Arc<Service>,
    request: HttpRequest<Body>,
) -> (StatusCode, http::HeaderMap, Vec<u8>) {
    let response = tower_call(router(Arc::clone(service)), request).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, body.to_vec())
}

async fn tower_call(router: Router, request: HttpRequest<Body>) -> Response {
    use hyper::service::Service as _;
    hyper_util::service::TowerToHyperService::new(router).call(request).await.unwrap()
}

async fn post_to(service: &Arc<Service>, path: &str, body: impl Into<Body>) -> (u16, Value) {
    let request = HttpRequest::post(path).body(body.into()).unwrap();
    let (status, _, body) = send(service, request).await;
    (status.as_u16(), serde_json::from_slice(&body).unwrap())
}

fn submission(id: &str) -> Value {
    json!({"id": id, "language": "python", "source": "print(1)",
           "problem": {"kind": "stdio", "tests": [{"stdout": "1"}]}})
}

async fn code_of(service: &Arc<Service>, body: Value) -> (u16, String) {
    let (status, reply) = post_to(service, "/v1/judge", body.to_string()).await;
    assert!(!reply["error"]["hint"].as_str().unwrap().is_empty(), "{reply}");
    (status, reply["error"]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn one_submission_or_many_are_judged_in_the_order_of_the_request() {
    let service = service(4);
    let (status, reply) = post_to(&service, "/v1/judge", submission("a").to_string()).await;
    assert_eq!((status, &reply["results"][0]["verdict"]), (200, &json!("accepted")));
    let body = json!({"submissions": [submission("a"), submission("b"), submission("c")]});
    let (_, reply) = post_to(&service, "/v1/judge", body.to_string()).await;
    let ids: Vec<_> = (0..3).map(|n| reply["results"][n]["id"].clone()).collect();
    assert_eq!(ids, [json!("a"), json!("b"), json!("c")]);
    assert_eq!(reply["results"][0]["reward"], json!(1.0));
    assert_eq!(reply["results"][0]["compile"], Value::Null);
    assert_eq!(service.admission.queued(), 0);
}

#[tokio::test]
async fn results_are_streamed_as_lines_where_asked() {
    let service = service(2);
    let body = json!({"submissions": [submission("a"), submission("b")]});
    let request = HttpRequest::post("/v1/judge")
        .header("accept", "application/x-ndjson")
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, headers, body) = send(&service, request).await;
    assert_eq!(
        (status.as_u16(), headers["content-type"].to_str().unwrap()),
        (200, "application/x-ndjson")
    );
    let lines: Vec<Value> = String::from_utf8(body)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["valid"] == json!(true)));
}

#[tokio::test]
async fn bad_input_gets_a_code_a_sentence_and_a_hint() {
    let service = service(0);
    let with = |key: &str, value: Value| {
        let mut body = submission("a");
        body[key] = value;
        body
    };
    let duplicate = json!({"submissions": [submission("a"), submission("a")]});
    let many = json!({"submissions": vec![submission("a"); 4]});
    for (body, status, code) in [
        (json!([]), 422, "invalid_request"),
        (json!({"submissions": []}), 422, "empty_batch"),
        (many, 422, "too_many_submissions"),
        (duplicate, 422, "duplicate_id"),
        (with("sauce", json!(1)), 422, "invalid_request"),
        (with("completion", json!("x")), 422, "source_or_completion"),
        (with("language", json!("cobol")), 422, "unknown_language"),
        (with("language", json!("rust")), 422, "language_unavailable"),
        (with("source", json!("a\u{0}b")), 422, "nul_byte"),
        (with("source", json!(7)), 422, "invalid_request"),
        (with("limits", json!({"pids": 0})), 422, "limit_out_of_range"),
        (with("limits", json!({"cpu_time_ms": -1})), 422, "invalid_request"),
        (with("limits", json!({"memory_bytes": u64::MAX})), 422, "limit_out_of_range"),
        (with("problem", json!({"kind": "stdio", "tests": []})), 422, "empty_problem"),
        (with("problem", json!({"kind": "repository"})), 422, "unsupported_problem_kind"),
        (with("problem", json!({"kind": "maths"})), 422, "unknown_problem_kind"),
        (with("problem", json!({"tests": []})), 422, "invalid_request"),
        (with("source", json!("x".repeat(5000))), 413, "body_too_large"),
    ] {
        let shown: String = body.to_string().chars().take(100).collect();
        assert_eq!(code_of(&service, body).await, (status, code.to_owned()), "{shown}");
    }
    assert_eq!(service.admission.queued(), 0);
}

#[tokio::test]
async fn what_cannot_be_read_or_judged_soundly_is_refused() {
    let service = service(0);
    let pascal = json!({"language": "pascal", "source": "x",
                      "problem": {"kind": "assertions", "code": "true"}});
    assert_eq!(code_of(&service, pascal).await.1, "assertions_unsupported");
    for (body, code) in [(&b"{"[..], "malformed_json"), (b"\xff", "invalid_utf8")] {
        let (status, reply) = post_to(&service, "/v1/judge", body).await;
        assert_eq!((status, &reply["error"]["code"]), (400, &json!(code)));
    }
    assert_eq!(service.admission.queued(), 0);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back_and_a_lost_client_makes_room() {
    let service = service(0);
    let body = json!({"submissions": [submission("a"), submission("b"), submission("c")]});
    let waiting = tokio::spawn({
        let (service, body) = (Arc::clone(&service), body.to_string());
        async move { post_to(&service, "/v1/judge", body).await }
    });
    while service.admission.queued() == 0 {
        tokio::task::yield_now().await;
    }
    let request = HttpRequest::post("/v1/judge").body(Body::from(body.to_string())).unwrap();
    let (status, headers, _) = send(&service, request).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    waiting.abort();
    while service.admission.queued() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wrong_path_and_a_wrong_method_are_json_too() {
    let service = service(0);
    let (status, reply) = post_to(&service, "/v2/judge", "").await;
    assert_eq!((status, &reply["error"]["code"]), (404, &json!("not_found")));
    let (status, reply) = post_to(&service, "/v1/languages", "").await;
    assert_eq!((status, &reply["error"]["code"]), (405, &json!("method_not_allowed")));
}

#[tokio::test]
async fn a_closing_service_is_not_ready_and_takes_nothing() {
    let service = service(0);
    let ready = || HttpRequest::get("/readyz").body(Body::empty()).unwrap();
    assert_eq!(send(&service, ready()).await.0, StatusCode::OK);
    service.close();
    assert_eq!(send(&service, ready()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let healthy = HttpRequest::get("/healthz").body(Body::empty()).unwrap();
    assert_eq!(send(&service, healthy).await.0, StatusCode::OK);
    let (status, reply) = post_to(&service, "/v1/judge", submission("a").to_string()).await;
    assert_eq!((status, &reply["error"]["code"]), (503, &json!("shutting_down")));
}

#[tokio::test]
async fn a_run_returns_facts() {
    let service = service(1);
    let body = json!({"language": "py", "source": "print(1)", "files": {"a/b": "x"}});
    let (status, reply) = post_to(&service, "/v1/run", body.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(reply["termination"], json!({"kind": "exited", "code": 0}));
    let outside = json!({"language": "py", "source": "x", "files": {"../b": "x"}});
    let (status, reply) = post_to(&service, "/v1/run", outside.to_string()).await;
    assert_eq!((status, &reply["error"]["code"]), (422, &json!("invalid_path")));
}
