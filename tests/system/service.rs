//! The service as a client meets it: right answers, streams, refusals, a full queue, and its end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Service, ServiceConfig, deadline};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::refusals::refusal_problem;
use crate::wire::{
    ADD, ADD_SLOWLY, SLEEP, SUBTRACT, add_submission, assertions_submission, brief, expect_verdict,
    judge, judge_one, run, stdio_submission, with_limits,
};
use crate::{Needs, named};

/// How long an answer may take that nothing holds up.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "service",
        [
            health_and_readiness_are_answered,
            a_right_program_is_accepted_and_its_usage_reported,
            a_wrong_program_is_told_apart_test_by_test,
            checkers_compare_as_they_say,
            json_results_keep_the_order_of_the_request,
            a_stream_gives_the_fast_result_before_the_slow_one,
            a_stream_gives_each_result_once_and_ends,
            stop_early_skips_the_tests_after_the_first_failure,
            a_completion_is_judged_by_its_last_fenced_block,
            a_completion_without_code_earns_nothing_and_is_flagged,
            assertions_are_accepted_or_rejected,
            a_run_reports_facts_and_no_verdict,
            a_run_gets_its_arguments_files_and_input,
            limits_are_accepted_at_their_bounds,
            a_full_queue_answers_429_with_retry_after,
            a_client_that_disconnects_frees_its_slot,
            the_end_finishes_what_was_admitted,
            a_killed_service_leaves_nothing_after_its_successor_ran,
            metrics_have_the_promised_names,
            the_api_description_names_every_path,
            two_services_run_side_by_side,
        ]
    )
}

async fn health_and_readiness_are_answered() -> Result<()> {
    let service = Service::start().await?;
    for path in ["/healthz", "/readyz", "/metrics", "/v1/languages", "/openapi.json"] {
        let reply = service.client().get(path).await?;
        ensure!(reply.status == 200, "{path}: {}", reply.status);
    }
    service.terminate().await
}

async fn a_right_program_is_accepted_and_its_usage_reported() -> Result<()> {
    let service = Service::start().await?;
    let result = judge_one(&service.client(), &add_submission("a", ADD)).await?;
    expect_verdict(&result, "accepted")?;
    ensure!(result["id"] == "a" && result["compile"].is_null(), "{}", brief(&result));
    let tests = result["tests"].as_array().context("no tests")?;
    ensure!(tests.len() == 2, "{} tests", tests.len());
    for test in tests {
        let number = |name: &str| test[name].as_f64().unwrap_or(-1.0);
        ensure!(test["verdict"] == "accepted", "{}", brief(test));
        ensure!(number("cpu_time_ms") > 0.0 && number("cpu_time_ms") < 2_000.0, "{}", brief(test));
        ensure!(number("wall_time_ms") >= 1.0, "{}", brief(test));
        ensure!(number("peak_memory_bytes") > 1e6, "{}", brief(test));
    }
    ensure!(tests[0]["stdout"] == "3\n" && tests[1]["stdout"] == "42\n", "{}", brief(&result));
    service.terminate().await
}

async fn a_wrong_program_is_told_apart_test_by_test() -> Result<()> {
    let service = Service::start().await?;
    let tests = [("0 0\n", "0\n"), ("1 2\n", "3\n"), ("5 0\n", "5\n")];
    let submission = stdio_submission("w", "python", SUBTRACT, &tests);
    let result = judge_one(&service.client(), &submission).await?;
    expect_verdict(&result, "wrong_answer")?;
    let verdicts: Vec<&str> =
        (0..3).filter_map(|i| result["tests"][i]["verdict"].as_str()).collect();
    ensure!(verdicts == ["accepted", "wrong_answer", "accepted"], "{verdicts:?}");
    service.terminate().await
}

/// Each checker at its boundary: what it must take and what it must not.
async fn checkers_compare_as_they_say() -> Result<()> {
    let floats = json!({"name": "floats", "absolute": 0.01});
    let cases = [
        (json!("tokens"), "1  2\n\n3", "1 2 3\n", "accepted"),
        (json!("tokens"), "1 23", "1 2 3\n", "wrong_answer"),
        (json!("tokens"), "1.0", "1", "wrong_answer"),
        (json!("exact"), "1 2\n", "1 2\n", "accepted"),
        (json!("exact"), "1 2", "1 2\n", "wrong_answer"),
        (json!("floats"), "0.3333333333", "0.333333333333\n", "accepted"),
        (json!("floats"), "0.334", "0.333333\n", "wrong_answer"),
        (floats.clone(), "1.009", "1.0\n", "accepted"),
        (floats.clone(), "1.011", "1.0\n", "wrong_answer"),
        (floats.clone(), "nan", "1.0\n", "wrong_answer"),
        (floats, "", "1.0\n", "wrong_answer"),
    ];
    let service = Service::start().await?;
    let submissions: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(number, (checker, output, answer, _))| {
            let source = format!("import sys\nsys.stdout.write({output:?})\n");
            let mut submission =
                stdio_submission(&number.to_string(), "python", &source, &[("", answer)]);
            submission["problem"]["checker"] = checker.clone();
            submission
        })
        .collect();
    let results = judge(&service.client(), &submissions).await?;
    for (result, (checker, output, answer, verdict)) in results.iter().zip(&cases) {
        expect_verdict(result, verdict)
            .with_context(|| format!("{checker} of {output:?} with {answer:?}"))?;
    }
    service.terminate().await
}

async fn json_results_keep_the_order_of_the_request() -> Result<()> {
    let service = Service::start().await?;
    let submissions: Vec<Value> = (0..8)
        .map(|i| add_submission(&format!("s{i}"), if i == 0 { ADD_SLOWLY } else { ADD }))
        .collect();
    let results = judge(&service.client(), &submissions).await?;
    for (i, result) in results.iter().enumerate() {
        ensure!(result["id"] == format!("s{i}") && result["index"] == i, "{}", brief(result));
        expect_verdict(result, "accepted")?;
    }
    service.terminate().await
}

async fn a_stream_gives_the_fast_result_before_the_slow_one() -> Result<()> {
    let service = Service::start().await?;
    let body = json!({"submissions": [
        add_submission("slow", ADD_SLOWLY),
        add_submission("fast", ADD),
    ]});
    let mut lines = service.client().stream("/v1/judge", &body).await?;
    ensure!(lines.status == 200, "status {}", lines.status);
    let mut ids = Vec::new();
    while let Some(line) = lines.next().await? {
        expect_verdict(&line, "accepted")?;
        ids.push(line["id"].as_str().unwrap_or_default().to_owned());
    }
    ensure!(ids == ["fast", "slow"], "{ids:?}");
    service.terminate().await
}

async fn a_stream_gives_each_result_once_and_ends() -> Result<()> {
    let service = Service::start().await?;
    let submissions: Vec<Value> = (0..20)
        .map(|i| add_submission(&format!("s{i}"), if i % 3 == 0 { SUBTRACT } else { ADD }))
        .collect();
    let body = json!({"submissions": submissions});
    let lines = service.client().stream("/v1/judge", &body).await?.collect().await?;
    let mut indexes: Vec<u64> = lines.iter().filter_map(|line| line["index"].as_u64()).collect();
    for line in &lines {
        let wrong = line["index"].as_u64().is_some_and(|i| i % 3 == 0);
        expect_verdict(line, if wrong { "wrong_answer" } else { "accepted" })?;
    }
    indexes.sort_unstable();
    ensure!(indexes == (0..20).collect::<Vec<u64>>(), "{indexes:?}");
    service.terminate().await
}

async fn stop_early_skips_the_tests_after_the_first_failure() -> Result<()> {
    let service = Service::start().await?;
    let tests = [("1 2\n", "3\n"), ("0 0\n", "0\n")];
    let mut submission = stdio_submission("w", "python", SUBTRACT, &tests);
    submission["stop_early"] = json!(true);
    let result = judge_one(&service.client(), &submission).await?;
    expect_verdict(&result, "wrong_answer")?;
    ensure!(result["tests"][1]["skipped"] == true, "{}", brief(&result));
    ensure!(result["tests"][1]["verdict"].is_null(), "{}", brief(&result));
    service.terminate().await
}

async fn a_completion_is_judged_by_its_last_fenced_block() -> Result<()> {
    let block = |source: &str| format!("```python\n{source}```\n");
    let completions = [
        (format!("Here it is:\n{}", block(ADD)), "accepted"),
        (format!("First\n{}better\n{}Done.", block(SUBTRACT), block(ADD)), "accepted"),
        (format!("First\n{}worse\n{}", block(ADD), block(SUBTRACT)), "wrong_answer"),
        (format!("~~~python\n{ADD}~~~\n"), "accepted"),
        (format!("```\n{ADD}```"), "accepted"),
    ];
    let service = Service::start().await?;
    for (completion, verdict) in &completions {
        let mut submission = add_submission("c", "");
        submission["completion"] = json!(completion);
        submission.as_object_mut().context("an object")?.remove("source");
        let result = judge_one(&service.client(), &submission).await?;
        expect_verdict(&result, verdict).with_context(|| completion.clone())?;
        ensure!(result["extraction"]["rule"].is_string(), "{}", brief(&result));
    }
    service.terminate().await
}

async fn a_completion_without_code_earns_nothing_and_is_flagged() -> Result<()> {
    let service = Service::start().await?;
    let mut submission = add_submission("c", "");
    submission["completion"] = json!("I would rather not write any code today.");
    submission.as_object_mut().context("an object")?.remove("source");
    let result = judge_one(&service.client(), &submission).await?;
    ensure!(result["reward"] == 0.0 && result["verdict"] != "accepted", "{}", brief(&result));
    service.terminate().await
}

async fn assertions_are_accepted_or_rejected() -> Result<()> {
    let code = "assert add(1, 2) == 3\nassert add(-1, 1) == 0\n";
    let cases = [
        ("def add(a, b):\n    return a + b\n", "accepted"),
        ("def add(a, b):\n    return a - b\n", "wrong_answer"),
        ("def add(a, b):\n    return a / 0\n", "runtime_error"),
        ("def plus(a, b):\n    return a + b\n", "runtime_error"),
        ("def add(a, b:\n    return a + b\n", "runtime_error"),
        ("import sys\nsys.exit(0)\n", "wrong_answer"),
    ];
    let service = Service::start().await?;
    for (source, verdict) in cases {
        let submission = assertions_submission("a", source, code);
        let result = judge_one(&service.client(), &submission).await?;
        let syntax = source.contains("b:\n") && result["verdict"] == "compile_error";
        if !syntax {
            expect_verdict(&result, verdict).with_context(|| source.to_owned())?;
        }
    }
    service.terminate().await
}

async fn a_run_reports_facts_and_no_verdict() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let cases = [
        ("import sys\nprint('out')\nsys.exit(7)\n", json!({"kind": "exited", "code": 7})),
        ("import os\nos.kill(os.getpid(), 11)\n", json!({"kind": "signalled", "signal": 11})),
        ("while True: pass\n", json!({"kind": "cpu_time_limit"})),
        (SLEEP, json!({"kind": "wall_time_limit"})),
        ("x = []\nwhile True: x.append(bytearray(1 << 20))\n", json!({"kind": "memory_limit"})),
        ("while True: print('x' * 1000)\n", json!({"kind": "output_limit"})),
    ];
    let limits = json!({"cpu_time_ms": 500, "wall_time_ms": 3000, "memory_bytes": 64 << 20,
                        "output_bytes": 100_000});
    for (source, termination) in cases {
        let body = json!({"language": "python", "source": source, "limits": limits});
        let reply = run(&client, &body).await?;
        ensure!(reply["termination"] == termination, "{source}: {}", brief(&reply));
        ensure!(reply.get("verdict").is_none() && reply.get("reward").is_none(), "a judgement");
        ensure!(reply["failure"].is_null(), "{}", brief(&reply));
    }
    service.terminate().await
}

async fn a_run_gets_its_arguments_files_and_input() -> Result<()> {
    let service = Service::start().await?;
    let source = "import sys\nprint(sys.argv[1:], sys.stdin.read(), open('data/in.txt').read())\n";
    let body = json!({"language": "python", "source": source, "stdin": "from stdin",
        "args": ["one", "two words", ""], "files": {"data/in.txt": "from file"}});
    let reply = run(&service.client(), &body).await?;
    let expected = "['one', 'two words', ''] from stdin from file\n";
    ensure!(reply["stdout"] == expected, "{}", brief(&reply));
    service.terminate().await
}

async fn limits_are_accepted_at_their_bounds() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let limits = json!({"cpu_time_ms": 60_000, "wall_time_ms": 120_000, "memory_bytes": 1 << 30,
        "pids": 64, "output_bytes": 1 << 20, "disk_bytes": 1 << 20, "open_files": 64});
    let submission = with_limits(add_submission("x", ADD), limits);
    expect_verdict(&judge_one(&client, &submission).await?, "accepted")?;
    let source = "import sys\nsys.stdout.write('x' * int(input()))\n";
    for (bytes, verdict) in
        [(999, "wrong_answer"), (1000, "wrong_answer"), (1001, "output_limit_exceeded")]
    {
        let submission = stdio_submission("o", "python", source, &[(&bytes.to_string(), "y")]);
        let submission = with_limits(submission, json!({"output_bytes": 1000}));
        expect_verdict(&judge_one(&client, &submission).await?, verdict)
            .with_context(|| format!("{bytes} bytes"))?;
    }
    service.terminate().await
}

/// The first line of the stream is the event that says: the second submission has been admitted.
async fn a_full_queue_answers_429_with_retry_after() -> Result<()> {
    let config = ServiceConfig { slots: 1, queue: Some(2), ..ServiceConfig::default() };
    let service = Service::start_with(config).await?;
    let client = service.client();
    let body = json!({"submissions": [add_submission("fast", ADD), add_submission("s", SLEEP)]});
    let mut lines = client.stream("/v1/judge", &body).await?;
    lines.next().await?.context("no first line")?;
    let more = json!({"submissions": [add_submission("1", ADD), add_submission("2", ADD)]});
    let reply = client.post("/v1/judge", &more).await?;
    ensure!(reply.status == 429, "status {}: {}", reply.status, reply.text());
    let retry = reply.headers.get("retry-after").context("no Retry-After")?.to_str()?;
    ensure!(retry.parse::<u64>().is_ok_and(|seconds| seconds >= 1), "Retry-After: {retry}");
    ensure!(refusal_problem(&reply).is_none(), "{:?}", refusal_problem(&reply));
    drop(lines);
    // The queue is free again once the service has noticed that nobody waits.
    let again = deadline::poll_async(ANSWER_TIME_MAX, || async {
        let reply = client.post("/v1/judge", &more).await.ok()?;
        (reply.status == 200).then_some(())
    });
    again.await.context("still full after the client went away")?;
    service.terminate().await
}

async fn a_client_that_disconnects_frees_its_slot() -> Result<()> {
    let config = ServiceConfig { slots: 1, ..ServiceConfig::default() };
    let service = Service::start_with(config).await?;
    let client = service.client();
    let limits = json!({"wall_time_ms": 600_000});
    let sleeper = with_limits(add_submission("s", SLEEP), limits);
    let body = json!({"submissions": [add_submission("fast", ADD), sleeper]});
    for _ in 0..3 {
        let mut lines = client.stream("/v1/judge", &body).await?;
        lines.next().await?.context("no first line")?;
        drop(lines);
        let next = add_submission("next", ADD);
        let next = judge_one(&client, &next);
        let result =
            tokio::time::timeout(ANSWER_TIME_MAX, next).await.context("slot not freed")??;
        expect_verdict(&result, "accepted")?;
    }
    service.terminate().await
}

async fn the_end_finishes_what_was_admitted() -> Result<()> {
    let config = ServiceConfig { slots: 1, ..ServiceConfig::default() };
    let mut service = Service::start_with(config).await?;
    let client = service.client();
    let submissions: Vec<Value> = std::iter::once(add_submission("first", ADD))
        .chain((0..2).map(|i| add_submission(&format!("slow{i}"), ADD_SLOWLY)))
        .collect();
    let mut lines = client.stream("/v1/judge", &json!({"submissions": submissions})).await?;
    lines.next().await?.context("no first line")?;
    service.signal(Signal::SIGTERM)?;
    let more = json!({"submissions": [add_submission("n", ADD)]});
    let closed = deadline::poll_async(ANSWER_TIME_MAX, || async {
        let reply = client.post("/v1/judge", &more).await;
        reply.map_or(true, |reply| reply.status == 503).then_some(())
    });
    closed.await.context("new submissions are still admitted")?;
    let rest = lines.collect().await?;
    ensure!(rest.len() == 2, "{} results after the signal", rest.len());
    for result in &rest {
        expect_verdict(result, "accepted")?;
    }
    let status = service.wait(ANSWER_TIME_MAX).await?;
    ensure!(status.success(), "ended with {status}: {}", service.log());
    Ok(())
}

/// SIGKILL leaves no process; what the kernel keeps beyond its owner, the next start removes.
async fn a_killed_service_leaves_nothing_after_its_successor_ran() -> Result<()> {
    let mut service = Service::start().await?;
    let body = json!({"submissions": [add_submission("fast", ADD), add_submission("s", SLEEP)]});
    let mut lines = service.client().stream("/v1/judge", &body).await?;
    lines.next().await?.context("no first line")?;
    service.signal(Signal::SIGKILL)?;
    service.wait(ANSWER_TIME_MAX).await?;
    let successor = service.restart().await?;
    let result = judge_one(&successor.client(), &add_submission("a", ADD)).await?;
    expect_verdict(&result, "accepted")?;
    successor.terminate().await
}

async fn metrics_have_the_promised_names() -> Result<()> {
    let service = Service::start().await?;
    // A slot tells of its reset with the end of the next run.
    for id in ["a", "b", "c"] {
        judge_one(&service.client(), &add_submission(id, &format!("{ADD}# {id}"))).await?;
    }
    let reply = service.client().get("/metrics").await?;
    let text = reply.text();
    for part in ["overlay", "cgroup"] {
        let name = format!("assay_slot_reset_seconds_count{{part=\"{part}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok());
        ensure!(count > Some(0), "no reset of {part} in:\n{text}");
    }
    for name in METRICS {
        ensure!(text.contains(&format!("# TYPE {name} ")), "no metric {name} in:\n{text}");
    }
    service.terminate().await
}

/// What operators' boards may count on.
const METRICS: [&str; 10] = [
    "assay_failures_total",
    "assay_http_request_duration_seconds",
    "assay_queue_refused_total",
    "assay_queue_submissions",
    "assay_returns_total",
    "assay_slot_reset_seconds",
    "assay_slots",
    "assay_slots_leased",
    "assay_stage_duration_seconds",
    "assay_verdicts_total",
];

async fn the_api_description_names_every_path() -> Result<()> {
    let service = Service::start().await?;
    let description = service.client().get("/openapi.json").await?.ok_json()?;
    let paths = [
        "/v1/judge",
        "/v1/run",
        "/v1/sessions",
        "/v1/sessions/{id}/execute",
        "/v1/sessions/{id}/files/{path}",
        "/v1/notebooks/run",
        "/v1/languages",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ];
    for path in paths {
        ensure!(description["paths"][path].is_object(), "{path} is not described");
    }
    service.terminate().await
}

async fn two_services_run_side_by_side() -> Result<()> {
    let (one, two) = tokio::try_join!(Service::start(), Service::start())?;
    one.terminate().await?;
    let result = judge_one(&two.client(), &add_submission("a", ADD)).await?;
    expect_verdict(&result, "accepted")?;
    two.terminate().await
}
