//! The interface over scripted slots: every error is JSON with a code, and nothing is lost.

use axum::body::{Body, to_bytes};
use axum::http::Request as HttpRequest;
use axum::response::Response;
use sandbox::Outcome;
use sandbox::outcome::{Captured, Termination, Usage};
use serde_json::{Value, json};

use super::compat::Wire;
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
    service_of(runs, Config::default())
}

fn service_of(runs: usize, mut config: Config) -> Arc<Service> {
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
        (with("problem", json!({"kind": "repository"})), 422, "invalid_request"),
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

fn lines(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn three() -> String {
    json!({"submissions": [submission("a"), submission("b"), submission("c")]}).to_string()
}

#[tokio::test]
async fn results_are_numbered_and_sent_as_events_where_asked() {
    let service = service(3);
    let request = HttpRequest::post("/v1/judge")
        .header("accept", "text/event-stream")
        .body(Body::from(three()))
        .unwrap();
    let (_, headers, body) = send(&service, request).await;
    assert_eq!(headers["content-type"], "text/event-stream");
    let text = String::from_utf8(body).unwrap();
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 4, "{text}");
    for (at, event) in events[..3].iter().enumerate() {
        let head = format!("id: {}\nevent: result\ndata: ", at + 1);
        let result: Value = serde_json::from_str(event.strip_prefix(&head).unwrap()).unwrap();
        assert_eq!((&result["number"], &result["valid"]), (&json!(at + 1), &json!(true)));
    }
    assert_eq!(events[3], "event: end\ndata: {\"status\":\"done\",\"submissions\":3}");
}

#[tokio::test]
async fn a_group_sends_its_problem_once_and_gets_its_figures() {
    let service = service(2);
    let mut template = submission("");
    for field in ["id", "source"] {
        template.as_object_mut().unwrap().remove(field);
    }
    let group = |change: Value| {
        let mut group = json!({"group": "g", "submission": template,
            "completions": ["```python\nprint(1)\n```", "I cannot."]});
        group.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        group
    };
    let body = json!({"submissions": [submission("a")], "groups": [group(json!({}))]});
    let (status, reply) = post_to(&service, "/v1/judge", body.to_string()).await;
    assert_eq!(status, 200, "{reply}");
    let groups: Vec<&Value> = (0..3).map(|at| &reply["results"][at]["group"]).collect();
    assert_eq!(groups, [&Value::Null, &json!("g"), &json!("g")]);
    let figures = &reply["groups"][0];
    assert_eq!((&figures["valid"], &figures["accepted"]), (&json!(2), &json!(1)), "{reply}");
    assert_eq!(figures["reward_mean"], json!(0.5));
    for (wrong, code) in [
        (json!({"length_tokens": [1]}), "wrong_length"),
        (json!({"submission": submission("x")}), "wrong_field"),
        (json!({"completions": []}), "empty_batch"),
        (json!({"completions": vec!["x"; 4]}), "too_many_submissions"),
    ] {
        let body = json!({"groups": [group(wrong)]});
        assert_eq!(code_of(&service, body).await, (422, code.to_owned()));
    }
    let twice = json!({"groups": [group(json!({"completions": ["x"]})),
        group(json!({"completions": ["x"]}))]});
    assert_eq!(code_of(&service, twice).await.1, "duplicate_group");
    // Told as for a submission of its own, and not as too large.
    let mut unknown = template.clone();
    unknown["problem"] = json!({"kind": "essay", "length": 3});
    let one = json!({"group": "h", "submission": unknown, "completions": ["x"]});
    let one = json!({"groups": [one]});
    assert_eq!(code_of(&service, one).await, (422, "unknown_problem_kind".to_owned()));
    let mut large = template.clone();
    large["problem"]["tests"][0]["stdin"] = json!("x".repeat(1800));
    let large =
        json!({"groups": [group(json!({"submission": large, "completions": vec!["x"; 3]}))]});
    assert_eq!(code_of(&service, large).await, (413, "body_too_large".to_owned()));
}

#[tokio::test]
async fn deadlines_outside_of_their_bounds_are_refused() {
    let service = service(0);
    for ms in [0, 24 * 3600 * 1000 + 1] {
        let mut one = submission("a");
        one["deadline_ms"] = json!(ms);
        assert_eq!(code_of(&service, one).await.1, "deadline_out_of_range");
        let all = json!({"submissions": [submission("a")], "deadline_ms": ms});
        assert_eq!(code_of(&service, all).await.1, "deadline_out_of_range");
    }
    let late = json!({"submissions": [submission("a"), submission("b")], "deadline_ms": 1});
    let (_, reply) = post_to(&service, "/v1/judge", late.to_string()).await;
    for at in 0..2 {
        let result = &reply["results"][at];
        assert_eq!((&result["reward"], &result["valid"]), (&Value::Null, &json!(false)));
        assert_eq!(result["failure"]["class"], json!("deadline"));
    }
}

async fn request(
    service: &Arc<Service>,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (u16, http::HeaderMap, Vec<u8>) {
    let mut request = HttpRequest::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (status, headers, body) = send(service, request.body(body.into()).unwrap()).await;
    (status.as_u16(), headers, body)
}

#[tokio::test]
async fn a_batch_is_read_again_after_a_number_and_forgotten_by_nobody_else() {
    let service = service(3);
    let (status, headers, body) = request(&service, ("POST", "/v1/batches"), &[], three()).await;
    let begun: Value = serde_json::from_slice(&body).unwrap();
    let path = format!("/v1/batches/{}", begun["id"].as_str().unwrap());
    assert_eq!((status, headers["location"].to_str().unwrap()), (202, path.as_str()));
    let events = format!("{path}/events");
    let (status, _, body) = request(&service, ("GET", &events), &[], "").await;
    let all = lines(&body);
    let numbers: Vec<_> = all.iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert_eq!((status, numbers), (200, vec![1, 2, 3]));
    let (_, _, body) = request(&service, ("GET", &format!("{events}?after=1")), &[], "").await;
    assert_eq!(lines(&body), all[1..]);
    let resumed = [("last-event-id", "2"), ("accept", "text/event-stream")];
    let (_, _, body) = request(&service, ("GET", &events), &resumed, "").await;
    let text = String::from_utf8(body).unwrap();
    assert!(text.starts_with("id: 3\nevent: result\n") && text.contains("event: end\n"), "{text}");
    let (_, _, body) = request(&service, ("GET", &path), &[], "").await;
    let whole: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&whole["status"], &whole["answered"]), (&json!("done"), &json!(3)));
    assert_eq!(whole["results"].as_array().unwrap(), &all);
    for (path, status) in [
        ("/v1/batches/0123", 404),
        ("/v1/batches/0123/events", 404),
        (&format!("{events}?after=x"), 422),
        (&format!("{events}?before=1"), 422),
    ] {
        let (found, _, body) = request(&service, ("GET", path), &[], "").await;
        assert_eq!(found, status, "{path}: {}", String::from_utf8_lossy(&body));
    }
    assert_eq!(service.batches.counts(), (0, 1));
}

#[tokio::test]
async fn a_cancelled_batch_frees_the_queue_and_reports_the_rest() {
    let service = service(1);
    let (_, _, body) = request(&service, ("POST", "/v1/batches"), &[], three()).await;
    let begun: Value = serde_json::from_slice(&body).unwrap();
    let path = format!("/v1/batches/{}", begun["id"].as_str().unwrap());
    let batch = service.batches.find("open", begun["id"].as_str().unwrap()).unwrap();
    batch.events.next(0).await.expect("one of three has an end");
    let (status, _, body) = request(&service, ("DELETE", &path), &[], "").await;
    let ended: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &ended["status"]), (200, &json!("cancelled")));
    assert_eq!(ended["answered"], json!(3));
    let (_, _, body) = request(&service, ("GET", &path), &[], "").await;
    let whole: Value = serde_json::from_slice(&body).unwrap();
    let cancelled = |result: &&Value| result["failure"]["class"] == json!("cancelled");
    let results = whole["results"].as_array().unwrap();
    assert_eq!(results.iter().filter(cancelled).count(), 2, "{whole}");
    assert!(results.iter().filter(cancelled).all(|result| result["reward"].is_null()));
    service.admission.emptied().await;
    let (status, ..) = request(&service, ("DELETE", &path), &[], "").await;
    assert_eq!(status, 200, "to delete twice is no error");
}

#[tokio::test]
async fn the_same_key_is_the_same_work_and_never_another() {
    let service = service(1);
    let key = [("idempotency-key", "step-7")];
    let one = submission("a").to_string();
    let (_, _, first) = request(&service, ("POST", "/v1/judge"), &key, one.clone()).await;
    // There is no second run in the script: a request that was judged anew would never end.
    let (_, _, second) = request(&service, ("POST", "/v1/judge"), &key, one.clone()).await;
    assert_eq!(first, second);
    let lined = [key[0], ("accept", "application/x-ndjson")];
    let (_, _, streamed) = request(&service, ("POST", "/v1/judge"), &lined, one.clone()).await;
    assert_eq!(lines(&streamed).len(), 1);
    let (status, _, batch) = request(&service, ("POST", "/v1/batches"), &key, one).await;
    let batch: Value = serde_json::from_slice(&batch).unwrap();
    assert_eq!((status, &batch["status"]), (202, &json!("done")));
    let other = submission("b").to_string();
    let (status, _, body) = request(&service, ("POST", "/v1/judge"), &key, other).await;
    assert_eq!(status, 422, "{}", String::from_utf8_lossy(&body));
    let long = "k".repeat(257);
    for bad in ["", &long] {
        let key = [("idempotency-key", bad)];
        let (status, ..) = request(&service, ("POST", "/v1/judge"), &key, three()).await;
        assert_eq!(status, 422, "{bad}");
    }
}

/// Two tenants of which one is an operator, and their keys.
fn tenants() -> (Config, String, String) {
    let (one, first) = crate::tenants::new_key().unwrap();
    let (two, second) = crate::tenants::new_key().unwrap();
    let text = format!(
        "[[tenant]]\nname = \"one\"\nkeys = [\"{first}\"]\n\
         [[tenant]]\nname = \"two\"\nkeys = [\"{second}\"]\noperator = true\n\
         submissions_per_second = 0.001\nburst = 1"
    );
    (toml::from_str(&text).unwrap(), format!("Bearer {one}"), format!("Bearer {two}"))
}

#[tokio::test]
async fn nobody_enters_without_a_key_and_no_tenant_sees_another() {
    let (config, one, two) = tenants();
    let service = service_of(9, config);
    for path in ["/v1/languages", "/metrics", "/v1/batches/0123", "/nothing"] {
        for headers in [&[][..], &[("authorization", "Bearer assay_wrong")]] {
            let (status, headers, body) = request(&service, ("GET", path), headers, "").await;
            assert_eq!(status, 401, "{path}: {}", String::from_utf8_lossy(&body));
            assert_eq!(headers["www-authenticate"], "Bearer");
        }
    }
    let judged = request(&service, ("POST", "/v1/judge"), &[], three()).await;
    assert_eq!((judged.0, service.admission.queued()), (401, 0));
    assert_eq!(request(&service, ("GET", "/healthz"), &[], "").await.0, 200);
    let (as_one, as_two) = ([("authorization", &*one)], [("authorization", &*two)]);
    assert_eq!(request(&service, ("GET", "/metrics"), &as_one, "").await.0, 403);
    assert_eq!(request(&service, ("GET", "/metrics"), &as_two, "").await.0, 200);
    let keyed = [as_one[0], ("idempotency-key", "k")];
    let (status, _, body) =
        request(&service, ("POST", "/v1/batches"), &keyed, submission("a").to_string()).await;
    let begun: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 202, "{begun}");
    let path = format!("/v1/batches/{}", begun["id"].as_str().unwrap());
    assert_eq!(request(&service, ("GET", &path), &as_one, "").await.0, 200);
    for method in ["GET", "DELETE"] {
        assert_eq!(request(&service, (method, &path), &as_two, "").await.0, 404);
    }
    // The same key of another tenant is another key.
    let keyed = [as_two[0], ("idempotency-key", "k")];
    let other = request(&service, ("POST", "/v1/batches"), &keyed, submission("b").to_string());
    assert_eq!(other.await.0, 202);
    let (status, headers, body) =
        request(&service, ("POST", "/v1/judge"), &as_two, submission("c").to_string()).await;
    let reply: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &reply["error"]["code"]), (429, &json!("rate_limited")));
    let after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((990..=1000).contains(&after), "{after}");
}

#[tokio::test]
async fn a_request_has_an_id_and_may_bring_its_own() {
    let service = service(0);
    let (_, headers, _) = request(&service, ("GET", "/healthz"), &[], "").await;
    assert_eq!(headers["x-request-id"].len(), 16);
    let own = [("x-request-id", "run-1.step-2")];
    let (_, headers, _) = request(&service, ("GET", "/nothing"), &own, "").await;
    assert_eq!(headers["x-request-id"], "run-1.step-2");
    let priority = [("assay-priority", "urgent")];
    assert_eq!(request(&service, ("POST", "/v1/judge"), &priority, three()).await.0, 422);
}

#[tokio::test]
async fn a_body_may_be_compressed_and_is_bounded_after_that() {
    use std::io::Write as _;
    let service = service(1);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let encoding = [("content-encoding", "gzip")];
    let judge = ("POST", "/v1/judge");
    let small = gzip(submission("a").to_string().as_bytes());
    assert_eq!(request(&service, judge, &encoding, small).await.0, 200);
    let bomb = gzip(&vec![b' '; 1 << 20]);
    assert!(bomb.len() < 4096);
    assert_eq!(request(&service, judge, &encoding, bomb).await.0, 413);
    assert_eq!(request(&service, judge, &encoding, three()).await.0, 400);
    let unknown = [("content-encoding", "br")];
    assert_eq!(request(&service, judge, &unknown, three()).await.0, 415);
    // Nothing is held any more.
    drop(service.admission.admit_body(&Arc::new(Tenant::open()), 512 << 20).unwrap());
}

#[tokio::test]
async fn another_configuration_takes_the_place_of_the_first() {
    let first = service(4);
    let site = server::Site::new(Service::clone(&first)).unwrap();
    let (config, one, _) = tenants();
    let mut config = config;
    config.admission.queue_submissions_max = 1.try_into().unwrap();
    config.tls = None;
    site.replace(first.reconfigured(config.clone())).unwrap();
    let second = site.service();
    assert_eq!(request(&second, ("POST", "/v1/judge"), &[], three()).await.0, 401);
    let key = [("authorization", &*one)];
    assert_eq!(request(&second, ("POST", "/v1/judge"), &key, three()).await.0, 429);
    let single = submission("a").to_string();
    assert_eq!(request(&second, ("POST", "/v1/judge"), &key, single).await.0, 200);
    // One that cannot be used leaves things as they are.
    let missing = std::path::PathBuf::from("/nowhere/cert.pem");
    config.tls = Some(crate::config::TlsConfig { cert: missing.clone(), key: missing });
    assert!(site.replace(first.reconfigured(config)).is_err());
    assert!(Arc::ptr_eq(&site.service(), &second));
    first.close();
    assert_eq!(request(&second, ("GET", "/readyz"), &[], "").await.0, 503);
}

#[tokio::test]
async fn an_array_is_no_object_anywhere() {
    let service = service(0);
    let one_array = |field: &str, value: Value| {
        let mut body = submission("a");
        body[field] = value;
        body
    };
    let mut bodies = vec![
        json!([]),
        json!([null, null, null, null, null, null]),
        json!([[]]),
        json!({"submissions": [["a", "python"]]}),
        json!({"groups": [["g", submission("a"), ["x"]]]}),
        one_array("limits", json!([100])),
        one_array("reward", json!([[]])),
        one_array("problem", json!([])),
    ];
    bodies.push(one_array("problem", json!({"kind": "stdio", "tests": [["1", "2"]]})));
    bodies.push(one_array("problem", json!({"kind": "stdio", "tests": [], "limits": [1]})));
    for body in bodies {
        for path in ["/v1/judge", "/v1/batches"] {
            let (status, reply) = post_to(&service, path, body.to_string()).await;
            assert_eq!(status, 422, "{path} {body}: {reply}");
        }
    }
    let compat = Wire::ALL.into_iter().flat_map(|wire| wire.paths().iter().copied());
    // It reads nothing.
    let compat = compat.filter(|path| *path != "/seed_session");
    let others = ["/v1/run", "/v1/sessions", "/v1/notebooks/run"];
    for path in others.into_iter().chain(compat) {
        for body in ["[]", "[null, null, null, null, null, null, null, null]"] {
            let request = HttpRequest::post(path).body(Body::from(body)).unwrap();
            let (status, _, reply) = send(&service, request).await;
            let reply = String::from_utf8_lossy(&reply);
            assert_eq!(status.as_u16() / 100, 4, "{path} {body}: {reply}");
        }
    }
    assert_eq!(service.admission.queued(), 0);
}
