//! Test files of each framework on a real example, with every outcome a session can have, and what
//! replies tell of hidden tests.

use anyhow::{Context, Result, ensure};
use harness::{Client, Service};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::{brief, expect_verdict, judge, judge_one};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "unit_tests",
        [
            pytest_gets_every_outcome,
            unittest_gets_every_outcome,
            node_test_gets_every_outcome,
            junit_4_gets_every_outcome,
            junit_5_gets_every_outcome,
            tests_are_reported_by_name_and_scored,
            a_test_that_is_not_collected_is_an_outcome_of_its_own,
            hidden_tests_are_hidden_at_every_level,
            honest_programs_raise_no_flag,
            what_no_framework_can_judge_is_refused,
        ]
    )
}

fn submission(language: &str, source: &str, problem: &Value) -> Value {
    json!({
        "language": language, "source": source, "problem": problem,
        "limits": {"cpu_time_ms": 3000, "memory_bytes": 512 << 20, "output_bytes": 1 << 20},
    })
}

async fn expect(
    client: &Client,
    language: &str,
    source: &str,
    problem: &Value,
    verdict: &str,
) -> Result<Value> {
    let result = judge_one(client, &submission(language, source, problem)).await?;
    expect_verdict(&result, verdict).with_context(|| format!("{language}: {source}"))?;
    Ok(result)
}

/// The verdicts of a result's tests by their names.
fn verdicts(result: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let tests = result["tests"].as_array().map(Vec::as_slice).unwrap_or_default();
    tests.iter().map(|test| (text(&test["name"]), text(&test["verdict"]))).collect()
}

pub(crate) const TEST_ADD: &str = "from solution import add\n\n\ndef test_small():\n    assert add(1, 2) == 3\n\n\ndef test_negative():\n    assert add(-1, -2) == -3\n";

fn pytest() -> Value {
    json!({"kind": "unit_tests", "framework": "pytest",
        "files": {"tests/test_add.py": TEST_ADD},
        "tests": ["tests/test_add.py::test_small", "tests/test_add.py::test_negative"]})
}

const RIGHT: &str = "def add(a, b):\n    return a + b\n";

/// What a program in Python does, and the verdict it gets from either framework.
const PYTHON: [(&str, &str); 9] = [
    ("return a + b", "accepted"),
    ("return abs(a + b)", "wrong_answer"),
    ("return a // 0", "runtime_error"),
    ("while True: pass", "time_limit_exceeded"),
    ("x = []\n    while True: x.append(bytearray(1 << 20))", "memory_limit_exceeded"),
    ("import os\n    while True: os.write(2, b'x' * 65536)", "output_limit_exceeded"),
    ("import os; os._exit(0)", "wrong_answer"),
    ("import os; os._exit(3)", "runtime_error"),
    ("raise SystemExit(0)", "runtime_error"),
];

async fn pytest_gets_every_outcome() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    for (body, verdict) in PYTHON {
        // pytest captures what is printed, in files; what fills those is no output.
        if verdict == "output_limit_exceeded" {
            continue;
        }
        let source = format!("def add(a, b):\n    {body}\n");
        expect(&client, "python", &source, &pytest(), verdict).await?;
    }
    let broken =
        expect(&client, "python", "def add(a, b) return", &pytest(), "not_collected").await?;
    let told = broken["tests"][0]["message"].as_str().unwrap_or_default();
    ensure!(told.contains("SyntaxError"), "{}", brief(&broken));
    service.terminate().await
}

async fn unittest_gets_every_outcome() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let file = "import unittest\nfrom solution import add\n\n\nclass AddTest(unittest.TestCase):\n    def test_small(self):\n        self.assertEqual(add(1, 2), 3)\n\n    def test_negative(self):\n        self.assertEqual(add(-1, -2), -3)\n";
    let names = ["tests.test_add.AddTest.test_small", "tests.test_add.AddTest.test_negative"];
    let problem = json!({"kind": "unit_tests", "framework": "unittest",
        "files": {"tests/test_add.py": file}, "tests": names});
    for (body, verdict) in PYTHON {
        let source = format!("def add(a, b):\n    {body}\n");
        expect(&client, "python", &source, &problem, verdict).await?;
    }
    expect(&client, "python", "def plus(a, b): pass", &problem, "not_collected").await?;
    service.terminate().await
}

async fn node_test_gets_every_outcome() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let file = "const { test, describe, it } = require('node:test');\nconst assert = require('node:assert');\nconst { add } = require('../solution.js');\ntest('small', () => assert.strictEqual(add(1, 2), 3));\ndescribe('signs', () => { it('negative', async () => assert.strictEqual(add(-1, -2), -3)); });\n";
    let problem = json!({"kind": "unit_tests", "framework": "node_test",
        "files": {"tests/add.test.js": file}, "tests": ["small", "signs > negative"]});
    for (body, verdict) in [
        ("return a + b", "accepted"),
        ("return Math.abs(a + b)", "wrong_answer"),
        ("return nothing", "runtime_error"),
        ("for (;;);", "time_limit_exceeded"),
        ("const x = []; for (;;) x.push(new Array(1e5).fill(a))", "memory_limit_exceeded"),
        // Node writes to a pipe without waiting: a full one is an exception, not the end.
        (
            "for (;;) try { require('fs').writeSync(2, 'x'.repeat(65536)); } catch {}",
            "output_limit_exceeded",
        ),
        ("process.exit(0)", "wrong_answer"),
        ("process.exit(3)", "runtime_error"),
    ] {
        let source = format!("exports.add = (a, b) => {{ {body}; }};\n");
        expect(&client, "javascript", &source, &problem, verdict).await?;
    }
    expect(&client, "javascript", "exports.add = (", &problem, "not_collected").await?;
    service.terminate().await
}

const JUNIT_4: &str = "import static org.junit.Assert.assertEquals;\nimport org.junit.Test;\n\npublic class AddTest {\n  @Test public void small() { assertEquals(3, Calculator.add(1, 2)); }\n  @Test public void negative() { assertEquals(-3, Calculator.add(-1, -2)); }\n}\n";

/// Judges all bodies of `add` as one batch, since each starts several virtual machines.
async fn expect_of_junit(framework: &str, file: &str, rows: &[(&str, &str)]) -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let problem = json!({"kind": "unit_tests", "framework": framework,
        "files": {"AddTest.java": file}, "tests": ["AddTest.small", "AddTest.negative"]});
    let source = |body: &str| {
        format!("public class Calculator {{ static int add(int a, int b) {{ {body} }} }}")
    };
    let submissions: Vec<Value> =
        rows.iter().map(|(body, _)| submission("java", &source(body), &problem)).collect();
    for (result, (body, verdict)) in judge(&client, &submissions).await?.iter().zip(rows) {
        expect_verdict(result, verdict).with_context(|| format!("{framework}: {body}"))?;
    }
    service.terminate().await
}

async fn junit_4_gets_every_outcome() -> Result<()> {
    expect_of_junit(
        "junit4",
        JUNIT_4,
        &[
            ("return a + b;", "accepted"),
            ("return Math.abs(a + b);", "wrong_answer"),
            ("throw new IllegalStateException();", "runtime_error"),
            ("for (;;);", "time_limit_exceeded"),
            (
                "var x = new java.util.ArrayList<int[]>(); for (;;) x.add(new int[1 << 20]);",
                "memory_limit_exceeded",
            ),
            ("System.exit(0); return 3;", "wrong_answer"),
            ("return a +", "compile_error"),
        ],
    )
    .await
}

async fn junit_5_gets_every_outcome() -> Result<()> {
    let file = JUNIT_4
        .replace("org.junit.Assert.", "org.junit.jupiter.api.Assertions.")
        .replace("org.junit.Test;", "org.junit.jupiter.api.Test;");
    let rows = [
        ("return a + b;", "accepted"),
        ("return Math.abs(a + b);", "wrong_answer"),
        ("throw new IllegalStateException();", "runtime_error"),
        ("Runtime.getRuntime().halt(0); return 3;", "wrong_answer"),
        ("return 1; } static int plus(int a, int b) {", "compile_error"),
    ];
    expect_of_junit("junit5", &file, &rows).await
}

async fn tests_are_reported_by_name_and_scored() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let mut problem = pytest();
    problem["tests"][0] = json!({"name": "tests/test_add.py::test_small", "points": 3});
    let mut half = submission("python", "def add(a, b):\n    return abs(a + b)\n", &problem);
    half["scoring"] = json!("points");
    let result = judge_one(&client, &half).await?;
    let expected = [("test_small", "accepted"), ("test_negative", "wrong_answer")]
        .map(|(name, verdict)| (format!("tests/test_add.py::{name}"), verdict.to_owned()));
    ensure!(verdicts(&result) == expected, "{}", brief(&result));
    ensure!(result["reward"] == 0.75, "{}", brief(&result));
    let told = result["tests"][1]["message"].as_str().unwrap_or_default();
    ensure!(told.contains("assert 3 == -3"), "{}", brief(&result));
    let grade = result["stages"].as_array().and_then(|stages| stages.last().cloned());
    ensure!(grade.is_some_and(|grade| grade["reason"] == "tests_failed"), "{}", brief(&result));

    // Without names, all that is collected counts.
    problem.as_object_mut().context("problem")?.remove("tests");
    let result = expect(&client, "python", RIGHT, &problem, "accepted").await?;
    ensure!(verdicts(&result).len() == 2, "{}", brief(&result));

    // A completion is a program, too.
    let completion = json!({"language": "python", "problem": problem, "limits": {"cpu_time_ms": 3000},
        "completion": format!("So:\n```python\n{RIGHT}```\n")});
    expect_verdict(&judge_one(&client, &completion).await?, "accepted")?;
    service.terminate().await
}

async fn a_test_that_is_not_collected_is_an_outcome_of_its_own() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let mut problem = pytest();
    problem["tests"][1] = json!("tests/test_add.py::test_other");
    let result = expect(&client, "python", RIGHT, &problem, "not_collected").await?;
    ensure!(verdicts(&result)[0].1 == "accepted", "{}", brief(&result));
    let grade = result["stages"].as_array().and_then(|stages| stages.last().cloned());
    let reason = grade.map(|grade| grade["reason"].clone());
    ensure!(reason == Some(json!("tests_not_collected")), "{}", brief(&result));

    // A file without tests would else accept everything.
    let empty = json!({"kind": "unit_tests", "framework": "pytest",
        "files": {"test_add.py": "import solution\n"}});
    expect(&client, "python", RIGHT, &empty, "not_collected").await?;
    service.terminate().await
}

async fn hidden_tests_are_hidden_at_every_level() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let file = TEST_ADD.replace("-3", "-3, 'the secret reason'");
    let problem = json!({"kind": "unit_tests", "framework": "pytest", "hidden": true,
        "files": {"tests/test_add.py": file}});
    for feedback in ["none", "verdict", "first_failure", "full"] {
        let mut hidden = submission("python", "def add(a, b):\n    return 3\n", &problem);
        hidden["feedback"] = json!(feedback);
        let result = judge_one(&client, &hidden).await?;
        expect_verdict(&result, "wrong_answer")?;
        let text = result.to_string();
        for secret in ["secret reason", "test_negative", "test_add"] {
            ensure!(!text.contains(secret), "{feedback}: {secret}: {}", brief(&result));
        }
        let stages = result["stages"].as_array().map_or(0, Vec::len);
        ensure!((stages > 0) == (feedback != "none"), "{feedback}: {}", brief(&result));
    }
    service.terminate().await
}

/// What looks at frames, code or modules for honest reasons: in Python's own library, mostly.
async fn honest_programs_raise_no_flag() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let python = "import collections, dataclasses, enum, functools, inspect, logging, threading, traceback, typing, warnings\n\nPair = collections.namedtuple('Pair', 'a b')\nTyped = typing.NamedTuple('Typed', [('x', int)])\nKind = enum.Enum('Kind', 'ONE TWO')\n\n\n@dataclasses.dataclass\nclass Sum:\n    pair: Pair\n\n    @functools.cached_property\n    def value(self):\n        return eval('self.pair.a + self.pair.b')\n\n\ndef add(a, b):\n    logging.getLogger('x').warning('adding %s', a)\n    warnings.warn('slow')\n    try:\n        raise KeyError(a)\n    except KeyError:\n        traceback.print_exc()\n        logging.exception('caught')\n    assert inspect.signature(add).parameters['a'].name == 'a'\n    thread = threading.Thread(target=print, args=('beside',))\n    thread.start()\n    thread.join()\n    return Sum(Pair(a, b)).value\n";
    let result = expect(&client, "python", python, &pytest(), "accepted").await?;
    ensure!(result["flags"] == json!([]), "{}", brief(&result));
    let node = "const E = require('events');\nconst { Readable } = require('stream');\nclass Own extends E { constructor() { super(); this.emit = this.emit.bind(this); this.on = this.on.bind(this); } }\nclass Numbers extends Readable { _read() {} push(x) { return super.push(x); } }\nArray.prototype.last = function () { return this[this.length - 1]; };\nexports.add = (a, b) => { const own = new Own(); let sum; own.on('sum', (x) => { sum = x; }); own.emit('sum', [a + b].last()); new Numbers({ objectMode: true }).push(sum); return sum; };\n";
    let problem = json!({"kind": "unit_tests", "framework": "node_test", "files": {"add.test.mjs":
        "import { test } from 'node:test';\nimport assert from 'node:assert';\nimport { add } from './solution.js';\ntest('small', () => assert.strictEqual(add(1, 2), 3));\n"}});
    let result = expect(&client, "javascript", node, &problem, "accepted").await?;
    ensure!(result["flags"] == json!([]), "{}", brief(&result));
    service.terminate().await
}

async fn what_no_framework_can_judge_is_refused() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    for (language, key, value, code) in [
        ("python", "framework", json!("nose"), "invalid_problem"),
        ("c", "framework", json!("pytest"), "framework_unavailable"),
        ("python", "files", json!({"a.py": ""}), "invalid_problem"),
        ("python", "files", json!({"../test_a.py": ""}), "invalid_problem"),
        ("python", "colour", json!(1), "invalid_field"),
    ] {
        let mut problem = pytest();
        problem["tests"] = json!([]);
        problem[key] = value;
        let reply = client.post("/v1/judge", &submission(language, RIGHT, &problem)).await?;
        ensure!((400..500).contains(&reply.status), "{key}: {}", reply.status);
        let error = reply.json()?["error"]["code"].clone();
        ensure!(error == code || code == "invalid_field", "{key}: {error}");
    }
    service.terminate().await
}
