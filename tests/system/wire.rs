//! Requests as a client writes them and what is read out of the replies, in plain JSON: the tests
//! hold the wire format itself, so they do not go through the types that produce it.

use anyhow::{Context, Result, ensure};
use harness::Client;
use serde_json::{Value, json};

/// Adds two numbers, rightly.
pub(crate) const ADD: &str = "a, b = map(int, input().split())\nprint(a + b)\n";
/// Subtracts where it should add.
pub(crate) const SUBTRACT: &str = "a, b = map(int, input().split())\nprint(a - b)\n";
/// Answers right after a second.
pub(crate) const ADD_SLOWLY: &str =
    "import time\na, b = map(int, input().split())\ntime.sleep(1)\nprint(a + b)\n";
/// Sleeps for longer than any test lasts.
pub(crate) const SLEEP: &str = "import time\ntime.sleep(1000)\n";

/// A Python submission to "A+B".
pub(crate) fn add_submission(id: &str, source: &str) -> Value {
    stdio_submission(id, "python", source, &[("1 2\n", "3\n"), ("40 2\n", "42\n")])
}

/// A submission with test cases of input and answer.
pub(crate) fn stdio_submission(
    id: &str,
    language: &str,
    source: &str,
    tests: &[(&str, &str)],
) -> Value {
    let tests: Vec<Value> =
        tests.iter().map(|(stdin, stdout)| json!({"stdin": stdin, "stdout": stdout})).collect();
    json!({
        "id": id,
        "language": language,
        "source": source,
        "problem": {"kind": "stdio", "tests": tests},
    })
}

/// A Python submission with an assertion program.
pub(crate) fn assertions_submission(id: &str, source: &str, code: &str) -> Value {
    json!({
        "id": id,
        "language": "python",
        "source": source,
        "problem": {"kind": "assertions", "code": code},
    })
}

/// Limits that a program of a test meets soon.
pub(crate) fn small_limits() -> Value {
    json!({"cpu_time_ms": 1000, "memory_bytes": 128 << 20, "output_bytes": 1 << 20})
}

/// The same for runtimes that begin with a heap of their own.
pub(crate) fn roomy_limits() -> Value {
    json!({"cpu_time_ms": 3000, "memory_bytes": 512 << 20, "output_bytes": 1 << 20})
}

/// A program for any problem.
pub(crate) fn program(language: &str, source: &str, problem: &Value, limits: &Value) -> Value {
    json!({"language": language, "source": source, "problem": problem, "limits": limits})
}

/// Judges a program, which is to get this verdict.
pub(crate) async fn expect(client: &Client, submission: &Value, verdict: &str) -> Result<Value> {
    let result = judge_one(client, submission).await?;
    let told = || format!("{}: {}", submission["language"], submission["source"]);
    expect_verdict(&result, verdict).with_context(told)?;
    Ok(result)
}

/// The submission with other limits.
pub(crate) fn with_limits(mut submission: Value, limits: Value) -> Value {
    submission["limits"] = limits;
    submission
}

/// Posts submissions and returns their results in the order of the request.
pub(crate) async fn judge(client: &Client, submissions: &[Value]) -> Result<Vec<Value>> {
    let reply = client.post("/v1/judge", &json!({"submissions": submissions})).await?.ok_json()?;
    let results = reply["results"].as_array().context("no results")?.clone();
    ensure!(results.len() == submissions.len(), "{} results", results.len());
    Ok(results)
}

/// Posts one submission.
pub(crate) async fn judge_one(client: &Client, submission: &Value) -> Result<Value> {
    let mut results = judge(client, std::slice::from_ref(submission)).await?;
    results.pop().context("no result")
}

/// Posts one program to be run.
pub(crate) async fn run(client: &Client, body: &Value) -> Result<Value> {
    client.post("/v1/run", body).await?.ok_json()
}

/// Checks verdict and reward, and that verdict, reward, validity and failure agree.
pub(crate) fn expect_verdict(result: &Value, verdict: &str) -> Result<()> {
    let reward = if verdict == "accepted" { 1.0 } else { 0.0 };
    ensure!(
        result["verdict"] == verdict
            && result["reward"] == reward
            && result["valid"] == true
            && result["failure"].is_null(),
        "expected {verdict}, got {}",
        brief(result)
    );
    Ok(())
}

/// A result short enough for a message.
pub(crate) fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 2000 {
        return text;
    }
    let cut = (0..=2000).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}... ({} bytes)", &text[..cut], text.len())
}
