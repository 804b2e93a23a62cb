//! Repositories on a small real example: a patch that fixes it, and every way in which one can fail.

use anyhow::{Context, Result, ensure};
use harness::{Client, Service, ServiceConfig};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::{brief, judge_one};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "repositories",
        [
            a_patch_that_fixes_the_base_is_accepted_in_every_form,
            each_failure_is_an_outcome_of_its_own,
            newly_passing_and_still_passing_are_told_apart,
            tests_and_protected_paths_are_the_problems,
            a_build_runs_and_hands_on_nothing_but_its_tree,
            node_and_commands_with_every_parser_are_judged,
            hidden_tests_stay_hidden,
            a_folder_of_the_operators_is_a_base,
            broken_problems_and_hostile_patches_are_refused,
        ]
    )
}

const CALCULATOR: &str = "def add(a, b):\n    return a - b\n\n\ndef negate(a):\n    return -a\n";
const TESTS: &str = "from calculator import add, negate\n\n\ndef test_add():\n    assert add(1, 2) == 3\n\n\ndef test_negate():\n    assert negate(2) == -2\n";
const FIX: &str = "diff --git a/calculator.py b/calculator.py\n--- a/calculator.py\n+++ b/calculator.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a - b\n+    return a + b\n";

fn problem() -> Value {
    json!({"kind": "repository",
        "base": {"files": {"calculator.py": CALCULATOR, "tests/test_calculator.py": TESTS,
            "README.md": "A calculator.\n", "conftest.py": "import sys\n"}},
        "files": {"tests/test_calculator.py": TESTS},
        "test": {"framework": "pytest"},
        "fail_to_pass": ["tests/test_calculator.py::test_add"],
        "pass_to_pass": ["tests/test_calculator.py::test_negate"]})
}

async fn judge(client: &Client, source: &str, problem: &Value) -> Result<Value> {
    let submission = json!({"language": "python", "source": source, "problem": problem,
        "limits": {"cpu_time_ms": 3000}});
    judge_one(client, &submission).await
}

/// The word that tells why a stage failed.
fn reason(result: &Value, stage: &str) -> String {
    let stages = result["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = stages.iter().find(|found| found["stage"] == stage);
    found.and_then(|found| found["reason"].as_str()).unwrap_or("none").to_owned()
}

/// Judges, and expects a verdict and the word of the stage that failed.
async fn expect(
    client: &Client,
    source: &str,
    problem: &Value,
    (verdict, stage, why): (&str, &str, &str),
) -> Result<Value> {
    let result = judge(client, source, problem).await.with_context(|| source.to_owned())?;
    let reward = if verdict == "accepted" { 1.0 } else { 0.0 };
    ensure!(
        result["verdict"] == verdict && result["reward"] == reward && result["valid"] == true,
        "expected {verdict} of {source}: {}",
        brief(&result)
    );
    ensure!(reason(&result, stage) == why, "{stage}, {why}: {}", brief(&result));
    Ok(result)
}

const ACCEPTED: (&str, &str, &str) = ("accepted", "grade", "none");

/// The whole file with another body of `add`.
fn with_body(body: &str) -> String {
    json!({"calculator.py": CALCULATOR.replace("return a - b", body)}).to_string()
}

async fn a_patch_that_fixes_the_base_is_accepted_in_every_form() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let result = expect(&client, FIX, &problem(), ACCEPTED).await?;
    let lists: Vec<&Value> =
        result["tests"].as_array().context("tests")?.iter().map(|test| &test["list"]).collect();
    ensure!(lists == ["fail_to_pass", "pass_to_pass"], "{}", brief(&result));
    let stages: Vec<&Value> =
        result["stages"].as_array().context("stages")?.iter().map(|it| &it["stage"]).collect();
    ensure!(stages == ["apply", "run", "grade"], "{}", brief(&result));
    expect(&client, &with_body("return a + b"), &problem(), ACCEPTED).await?;

    let completion = format!("The sign is wrong.\n\n```diff\n{FIX}```\n\nDone.");
    let submission = json!({"language": "python", "completion": completion, "problem": problem(),
        "limits": {"cpu_time_ms": 3000}});
    let result = judge_one(&client, &submission).await?;
    ensure!(result["reward"] == 1.0, "{}", brief(&result));
    ensure!(result["stages"][0]["stage"] == "extract", "{}", brief(&result));

    // The same base as an archive.
    for archive in [BASE_TAR_GZ, BASE_ZIP] {
        let mut packed = problem();
        packed["base"] = json!({"archive": {"base64": archive}});
        expect(&client, FIX, &packed, ACCEPTED).await?;
        let newly = ("wrong_answer", "grade", "newly_passing_failed");
        expect(&client, &with_body("return a * b"), &packed, newly).await?;
    }
    service.terminate().await
}

/// The base of [`problem`] without its tests, made by `tar -czf` and `base64`.
const BASE_TAR_GZ: &str = include_str!("../data/calculator.tar.gz.base64");

/// The same as a zip archive, with a folder and a file that is private.
const BASE_ZIP: &str = include_str!("../data/calculator.zip.base64");

/// A zip archive with a file `../outside.py`, and one with a symbolic link.
const LEAVING_ZIPS: [&str; 2] = [
    "UEsDBBQAAAAAAAAAIQAJqu+9PwAAAD8AAAANAAAAY2FsY3VsYXRvci5weWRlZiBhZGQoYSwgYik6CiAgICByZXR1cm4gYSAtIGIKCgpkZWYgbmVnYXRlKGEpOgogICAgcmV0dXJuIC1hClBLAwQUAAAAAAAAACEAHwjqRgIAAAACAAAADQAAAC4uL291dHNpZGUucHl4ClBLAQIUAxQAAAAAAAAAIQAJqu+9PwAAAD8AAAANAAAAAAAAAAAAAACAAQAAAABjYWxjdWxhdG9yLnB5UEsBAhQDFAAAAAAAAAAhAB8I6kYCAAAAAgAAAA0AAAAAAAAAAAAAAIABagAAAC4uL291dHNpZGUucHlQSwUGAAAAAAIAAgB2AAAAlwAAAAAA",
    "UEsDBBQAAAAAAAAAIQAKuR8pCwAAAAsAAAAEAAAAbGluay9ldGMvcGFzc3dkUEsBAhQDFAAAAAAAAAAhAAq5HykLAAAACwAAAAQAAAAAAAAAAAAAAP+hAAAAAGxpbmtQSwUGAAAAAAEAAQAyAAAALQAAAAAA",
];

async fn each_failure_is_an_outcome_of_its_own() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let moved = FIX.replace("-    return a - b", "-    return a * b");
    let not_applied = ("patch_error", "apply", "patch_does_not_apply");
    expect(&client, &moved, &problem(), not_applied).await?;
    expect(&client, "I would change line two.", &problem(), not_applied).await?;
    expect(&client, "{\"calculator.py\": 1}", &problem(), not_applied).await?;
    let not_collected = ("not_collected", "grade", "tests_not_collected");
    let broken = expect(&client, &with_body("return ("), &problem(), not_collected).await?;
    let told = broken["tests"][0]["message"].as_str().unwrap_or_default();
    ensure!(told.contains("SyntaxError"), "{}", brief(&broken));
    for (body, verdict) in [
        ("return 1 // 0", "runtime_error"),
        ("while True: pass", "time_limit_exceeded"),
        ("x = []\n    while True: x.append(bytearray(1 << 20))", "memory_limit_exceeded"),
        ("import os; os._exit(0)", "wrong_answer"),
    ] {
        let why = "newly_passing_failed";
        expect(&client, &with_body(body), &problem(), (verdict, "grade", why)).await?;
    }
    let mut built = problem();
    built["build"] = json!([["/usr/bin/python3", "-m", "compileall", "-q", "."], ["false"]]);
    let failed = ("compile_error", "compile", "build_failed");
    expect(&client, FIX, &built, failed).await?;
    built["build"] = json!([["sh", "-c", "while :; do :; done"]]);
    built["build_limits"] = json!({"cpu_time_ms": 500});
    let late = expect(&client, FIX, &built, failed).await?;
    let told = late["compile"]["message"].as_str().unwrap_or_default();
    ensure!(told.contains("cpu time"), "{}", brief(&late));
    service.terminate().await
}

async fn newly_passing_and_still_passing_are_told_apart() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let nothing = json!({"README.md": "Fixed.\n"}).to_string();
    let newly = ("wrong_answer", "grade", "newly_passing_failed");
    let result = expect(&client, &nothing, &problem(), newly).await?;
    ensure!(result["tests"][1]["verdict"] == "accepted", "{}", brief(&result));
    let broke = CALCULATOR.replace("a - b", "a + b").replace("return -a", "return a");
    let broke = json!({"calculator.py": broke}).to_string();
    let still = ("wrong_answer", "grade", "still_passing_broken");
    let result = expect(&client, &broke, &problem(), still).await?;
    ensure!(result["tests"][0]["verdict"] == "accepted", "{}", brief(&result));
    let message = result["stages"].as_array().and_then(|stages| stages.last()?["message"].as_str());
    let message = message.unwrap_or_default();
    ensure!(message.starts_with("0 of 1") && message.contains("1 of 1"), "{message}");
    service.terminate().await
}

async fn tests_and_protected_paths_are_the_problems() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    // Edited tests and a conftest.py that makes all pass are left out, with a flag.
    let hook = "import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n    report = (yield).get_result()\n    report.outcome = 'passed'\n";
    let cheat = json!({"tests/test_calculator.py": "def test_add(): pass\ndef test_negate(): pass\n",
        "conftest.py": hook, "tests/conftest.py": hook, "pytest.ini": "[pytest]\n"});
    let newly = ("wrong_answer", "grade", "newly_passing_failed");
    let result = expect(&client, &cheat.to_string(), &problem(), newly).await?;
    ensure!(result["flags"] == json!(["protected_path"]), "{}", brief(&result));
    // An honest patch that touches its tests, too, loses nothing.
    let mut honest: Value = serde_json::from_str(&with_body("return a + b"))?;
    honest["tests/test_calculator.py"] = json!("# better\n");
    let result = expect(&client, &honest.to_string(), &problem(), ACCEPTED).await?;
    ensure!(result["flags"] == json!(["protected_path"]), "{}", brief(&result));
    let mut strict = problem();
    strict["on_protected"] = json!("refuse");
    let refused = ("patch_error", "apply", "patch_does_not_apply");
    expect(&client, &honest.to_string(), &strict, refused).await?;
    service.terminate().await
}

async fn a_build_runs_and_hands_on_nothing_but_its_tree() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let mut built = problem();
    // What is tested is what the build made of the source.
    built["base"]["files"]["build.py"] = json!(
        "import os, pathlib\nsource = pathlib.Path('calculator.in').read_text()\npathlib.Path('calculator.py').write_text(source)\npathlib.Path('/tmp/left').write_text('x')\n"
    );
    built["base"]["files"]["calculator.in"] = json!(CALCULATOR);
    built["build"] = json!([["/usr/bin/python3", "build.py"]]);
    let newly = ("wrong_answer", "grade", "newly_passing_failed");
    expect(&client, &with_body("return a + b"), &built, newly).await?;
    let right = CALCULATOR.replace("a - b", "a + b");
    let source = json!({"calculator.in": right});
    let result = expect(&client, &source.to_string(), &built, ACCEPTED).await?;
    ensure!(result["compile"]["ok"] == true, "{}", brief(&result));

    // A build that rewrites tests, plants hooks, leaves links, files elsewhere and processes.
    let evil = "import os, pathlib\npathlib.Path('tests/test_calculator.py').write_text('def test_add(): pass\\ndef test_negate(): pass\\n')\npathlib.Path('conftest.py').write_text('import os; os._exit(0)')\nos.symlink('/etc/passwd', 'link')\nos.unlink('README.md'); os.symlink('..', 'README.md')\npathlib.Path('/tmp/sitecustomize.py').write_text('raise SystemExit')\nif os.fork() == 0:\n    os.setsid()\n    while True: pathlib.Path('tests/test_calculator.py').write_text('')\n";
    let patch = json!({"build.py": evil}).to_string();
    expect(&client, &patch, &built, newly).await?;
    let seen = "import os\n    return 3 if os.path.exists('/tmp/left') or os.path.islink('/box/tree/link') else 0";
    let patch = json!({"build.py": evil, "calculator.in": "",
        "calculator.py": CALCULATOR.replace("return a - b", seen)});
    expect(&client, &patch.to_string(), &built, newly).await?;
    service.terminate().await
}

async fn node_and_commands_with_every_parser_are_judged() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let source = "exports.add = (a, b) => a - b;\nexports.negate = (a) => -a;\n";
    let tests = "const { test } = require('node:test');\nconst assert = require('node:assert');\nconst { add, negate } = require('../calculator.js');\ntest('add', () => assert.strictEqual(add(1, 2), 3));\ntest('negate', () => assert.strictEqual(negate(2), -2));\n";
    let node = |test: Value| {
        json!({"kind": "repository", "base": {"files": {"calculator.js": source}},
            "files": {"tests/calculator.test.js": tests}, "test": test,
            "fail_to_pass": ["add"], "pass_to_pass": ["negate"]})
    };
    let tap = ["/usr/bin/node", "--test-reporter=tap", "tests/calculator.test.js"];
    let right = json!({"calculator.js": source.replace("a - b", "a + b")}).to_string();
    let wrong = json!({"calculator.js": source.replace("a - b", "a * b")}).to_string();
    for test in [json!({"framework": "node_test"}), json!({"command": tap, "parser": "tap"})] {
        for (source, verdict) in [(&right, "accepted"), (&wrong, "wrong_answer")] {
            let submission = json!({"language": "javascript", "source": source,
                "problem": node(test.clone()), "limits": {"cpu_time_ms": 3000}});
            let result = judge_one(&client, &submission).await?;
            ensure!(result["verdict"] == verdict, "{test}: {}", brief(&result));
        }
    }
    let pytest = ["/usr/bin/python3", "-m", "pytest", "-rA", "-p", "no:cacheprovider", "tests"];
    let xml = [&pytest[..], &["--junit-xml=report.xml"]].concat();
    let names = |add: &str, negate: &str| (json!([add]), json!([negate]));
    for (test, (newly, still)) in [
        (
            json!({"command": pytest, "parser": "pytest"}),
            names("tests/test_calculator.py::test_add", "tests/test_calculator.py::test_negate"),
        ),
        (
            json!({"command": xml, "parser": "junit_xml", "report": "report.xml"}),
            names("tests.test_calculator.test_add", "tests.test_calculator.test_negate"),
        ),
        (json!({"command": pytest, "parser": "exit_code"}), (json!(["exit_code"]), json!([]))),
    ] {
        let mut problem = problem();
        (problem["test"], problem["fail_to_pass"], problem["pass_to_pass"]) = (test, newly, still);
        expect(&client, FIX, &problem, ACCEPTED).await?;
        let verdict = "wrong_answer";
        let why = "newly_passing_failed";
        expect(&client, &with_body("return 0"), &problem, (verdict, "grade", why)).await?;
    }
    service.terminate().await
}

async fn hidden_tests_stay_hidden() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let mut problem = problem();
    problem["fail_to_pass"] =
        json!([{"name": "tests/test_calculator.py::test_add", "hidden": true}]);
    for feedback in ["none", "verdict", "first_failure", "full"] {
        let submission = json!({"language": "python", "source": with_body("return 0"),
            "problem": problem, "feedback": feedback, "limits": {"cpu_time_ms": 3000}});
        let result = judge_one(&client, &submission).await?;
        ensure!(result["verdict"] == "wrong_answer", "{}", brief(&result));
        let text = result.to_string();
        ensure!(!text.contains("test_add") && !text.contains("== 3"), "{feedback}: {text}");
    }
    service.terminate().await
}

async fn a_folder_of_the_operators_is_a_base() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let base = folder.path().join("calculator");
    std::fs::create_dir_all(base.join(".git"))?;
    std::fs::write(base.join("calculator.py"), CALCULATOR)?;
    std::fs::write(base.join(".git/config"), "[core]\n")?;
    let config = format!("repositories = {:?}\n", folder.path());
    let service =
        Service::start_with(ServiceConfig { toml: config, ..ServiceConfig::default() }).await?;
    let client = service.client();
    let mut problem = problem();
    problem["base"] = json!({"folder": "calculator"});
    expect(&client, FIX, &problem, ACCEPTED).await?;
    // Another content under the same name is another problem, and no remembered verdict counts.
    std::fs::write(base.join("calculator.py"), CALCULATOR.replace("a - b", "b - a"))?;
    expect(&client, FIX, &problem, ("patch_error", "apply", "patch_does_not_apply")).await?;
    std::os::unix::fs::symlink("/etc/passwd", base.join("link"))?;
    for name in ["calculator", "../calculator", "/etc", "nothing"] {
        problem["base"] = json!({"folder": name});
        let submission = json!({"language": "python", "source": FIX, "problem": problem});
        let reply = client.post("/v1/judge", &submission).await?;
        ensure!((400..500).contains(&reply.status), "{name}: {}", reply.status);
    }
    service.terminate().await
}

async fn broken_problems_and_hostile_patches_are_refused() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    for (key, value) in [
        ("base", json!({"files": {"../x": "y"}})),
        ("base", json!({"archive": {"base64": "AAAA"}})),
        ("base", json!({"archive": {"base64": CLAIMS_TEN_GIGABYTES}})),
        ("base", json!({"archive": {"base64": LEAVING_ZIPS[0]}})),
        ("base", json!({"archive": {"base64": LEAVING_ZIPS[1]}})),
        ("test", json!({"framework": "junit4"})),
        ("fail_to_pass", json!(["nowhere.py::test_x"])),
        ("protected", json!(["/etc/"])),
        ("patch", json!("x")),
    ] {
        let mut problem = problem();
        problem[key] = value;
        let submission = json!({"language": "python", "source": FIX, "problem": problem});
        let reply = client.post("/v1/judge", &submission).await?;
        ensure!((400..500).contains(&reply.status), "{key}: {}", reply.status);
        let error = reply.json()?["error"].clone();
        ensure!(error["message"].as_str().is_some_and(|said| !said.is_empty()), "{error}");
    }
    let add = |path: &str| format!("--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+x\n");
    let link = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n";
    for patch in [add("b/../../../etc/x"), add("/etc/x"), add("b/calculator.py/x"), link.to_owned()]
    {
        let refused = ("patch_error", "apply", "patch_does_not_apply");
        expect(&client, &patch, &problem(), refused).await?;
    }
    expect(&client, FIX, &problem(), ACCEPTED).await?;
    service.terminate().await
}

/// The header of a tar archive whose one file says that it has 10 GiB.
const CLAIMS_TEN_GIGABYTES: &str = include_str!("../data/claims_ten_gigabytes.tar.base64");
