//! Test files: how sessions can end besides the verdicts of `verdicts.rs`, what is reported by name, and
//! what replies tell of hidden tests.

use anyhow::{Context, Result, ensure};
use harness::{Client, Service};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::{self, brief, expect_verdict, judge_one, program, roomy_limits};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "unit_tests",
        [
            a_process_that_ends_before_its_tests_has_an_outcome,
            a_virtual_machine_that_ends_before_its_tests_has_an_outcome,
            tests_are_reported_by_name_and_scored,
            a_test_that_is_not_collected_is_an_outcome_of_its_own,
            hidden_tests_are_hidden_at_every_level,
            honest_programs_raise_no_flag,
            what_no_framework_can_judge_is_refused,
        ]
    )
}

fn submission(language: &str, source: &str, problem: &Value) -> Value {
    program(language, source, problem, &roomy_limits())
}

async fn expect(
    client: &Client,
    language: &str,
    source: &str,
    problem: &Value,
    verdict: &str,
) -> Result<Value> {
    wire::expect(client, &submission(language, source, problem), verdict).await
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

async fn a_process_that_ends_before_its_tests_has_an_outcome() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let mut unittest = pytest();
    unittest["framework"] = json!("unittest");
    unittest["files"] = json!({"tests/test_add.py": "import unittest\nfrom solution import add\n\n\nclass AddTest(unittest.TestCase):\n    def test_small(self):\n        self.assertEqual(add(1, 2), 3)\n"});
    unittest["tests"] = json!(["tests.test_add.AddTest.test_small"]);
    let node = json!({"kind": "unit_tests", "framework": "node_test", "tests": ["small"],
        "files": {"add.test.js": "const { test } = require('node:test');\nconst { add } = require('./solution.js');\ntest('small', () => add(1, 2));\n"}});
    let python = |body: &str| format!("def add(a, b):\n    {body}\n");
    let javascript = |body: &str| format!("exports.add = (a, b) => {{ {body}; }};\n");
    for (language, source, problem, verdict) in [
        ("python", python("import os; os._exit(0)"), &pytest(), "wrong_answer"),
        ("python", python("import os; os._exit(3)"), &pytest(), "runtime_error"),
        ("python", python("raise SystemExit(0)"), &pytest(), "runtime_error"),
        ("python", python("import os; os._exit(0)"), &unittest, "wrong_answer"),
        ("python", python("import os; os._exit(3)"), &unittest, "runtime_error"),
        ("python", python("raise SystemExit(0)"), &unittest, "runtime_error"),
        ("javascript", javascript("process.exit(0)"), &node, "wrong_answer"),
        ("javascript", javascript("process.exit(3)"), &node, "runtime_error"),
    ] {
        expect(&client, language, &source, problem, verdict).await?;
    }
    let broken =
        expect(&client, "python", "def add(a, b) return", &pytest(), "not_collected").await?;
    let told = broken["tests"][0]["message"].as_str().unwrap_or_default();
    ensure!(told.contains("SyntaxError"), "{}", brief(&broken));
    service.terminate().await
}

const JUNIT_4: &str = "import static org.junit.Assert.assertEquals;\nimport org.junit.Test;\n\npublic class AddTest {\n  @Test public void small() { assertEquals(3, Calculator.add(1, 2)); }\n}\n";

async fn a_virtual_machine_that_ends_before_its_tests_has_an_outcome() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let jupiter = JUNIT_4
        .replace("org.junit.Assert.", "org.junit.jupiter.api.Assertions.")
        .replace("org.junit.Test;", "org.junit.jupiter.api.Test;");
    let source = "public class Calculator { static int add(int a, int b) { EXIT(0); return 3; } }";
    for (framework, file, exit) in [
        ("junit4", JUNIT_4, "System.exit"),
        ("junit5", jupiter.as_str(), "Runtime.getRuntime().halt"),
    ] {
        let problem = json!({"kind": "unit_tests", "framework": framework,
            "files": {"AddTest.java": file}, "tests": ["AddTest.small"]});
        expect(&client, "java", &source.replace("EXIT", exit), &problem, "wrong_answer").await?;
    }
    service.terminate().await
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
    // Such modules open libraries, make code objects and run threads.
    let modules = "import asyncio\nimport concurrent.futures\nimport ctypes\nimport logging\nimport types\nimport unittest.mock\nimport uuid\n\nimport numpy\nimport numpy.random\n\n\n@types.coroutine\ndef step():\n    yield\n\n\ndef add(a, b):\n    async def later():\n        await step()\n        return int(numpy.add(a, b))\n\n    logging.warning('adding', stack_info=True)\n    with concurrent.futures.ThreadPoolExecutor(2) as pool:\n        assert pool.submit(numpy.add, 1, 2).result() == 3\n    assert unittest.mock.Mock(return_value=3)(1) == 3\n    return asyncio.run(later())\n";
    let assertions = json!({"kind": "assertions", "code":
        "import numpy\nassert add(1, 2) == 3\nassert numpy.array([add(-1, -2)]).sum() == -3\n"});
    for problem in [pytest(), assertions] {
        let result = expect(&client, "python", modules, &problem, "accepted").await?;
        ensure!(result["flags"] == json!([]), "{}", brief(&result));
    }
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
