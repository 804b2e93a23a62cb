//! Notebooks: run as a whole, handed back, graded.

use anyhow::{Context, Result, ensure};
use harness::Service;
use harness::service::executable_beside_us;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "notebooks",
        [
            a_notebook_is_handed_back_with_state_a_plot_an_error_and_a_timeout,
            checks_grade_what_the_notebook_computes,
            a_notebook_cannot_answer_for_its_checks,
            what_is_no_notebook_is_refused,
            the_command_line_runs_and_grades_notebooks,
        ]
    )
}

fn notebook(cells: &[&str]) -> Value {
    let code = |source: &&str| {
        json!({"cell_type": "code", "source": source, "metadata": {}, "outputs": [],
            "execution_count": null, "id": "c"})
    };
    let mut all = vec![json!({"cell_type": "markdown", "source": ["# t"], "metadata": {}})];
    all.extend(cells.iter().map(code));
    json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": all})
}

async fn run(service: &Service, request: &Value) -> Result<Value> {
    service.client().post("/v1/notebooks/run", request).await?.ok_json()
}

async fn a_notebook_is_handed_back_with_state_a_plot_an_error_and_a_timeout() -> Result<()> {
    let service = Service::start().await?;
    let cells = [
        "x = 20\nprint('hello')",
        "x += 1\nx * 2",
        "import matplotlib.pyplot as plt\n_ = plt.plot([1, 3, 2])",
        "1 / 0",
        "while True: pass",
        "open('out.txt', 'w').write(str(x)); open('out.bin', 'wb').write(b'\\xff'); x",
    ];
    let request = json!({"notebook": notebook(&cells), "on_error": "continue",
        "limits": {"cpu_time_ms": 20_000, "wall_time_ms": 30_000},
        "fetch_files": ["out.txt", "out.bin", "none"]});
    // The endless cell has the whole limit of a cell, so that a busy machine does not end the others.
    let reply = run(&service, &request).await?;
    let cells = reply["notebook"]["cells"].as_array().context("no cells")?;
    ensure!(cells[0] == notebook(&[])["cells"][0], "{}", cells[0]);
    let outputs = |index: usize| &cells[index]["outputs"];
    ensure!(outputs(1)[0]["text"] == "hello\n", "{}", cells[1]);
    ensure!(outputs(2)[0]["data"]["text/plain"] == "42", "{}", cells[2]);
    ensure!(cells[2]["execution_count"] == 2, "{}", cells[2]);
    let image = outputs(3)[0]["data"]["image/png"].as_str();
    ensure!(image.is_some_and(|image| image.starts_with("iVBORw0KGgo")), "no image");
    ensure!(outputs(4)[0]["ename"] == "ZeroDivisionError", "{}", cells[4]);
    ensure!(outputs(5)[0]["ename"] == "KeyboardInterrupt", "{}", cells[5]);
    ensure!(reply["cells"][4]["reply"]["stopped"] == "cpu_time_limit", "{}", reply["cells"][4]);
    ensure!(outputs(6)[0]["data"]["text/plain"] == "21", "{}", cells[6]);
    ensure!(
        reply["files"] == json!({"out.txt": "21", "out.bin": {"base64": "/w=="}}),
        "{}",
        reply["files"]
    );
    ensure!(reply["reward"].is_null() && reply["valid"] == true, "{}", reply["reward"]);
    // Where an error ends it, the cells that follow do not run.
    let request = json!({"notebook": notebook(&["y = 1", "1 / 0", "print('no')"])});
    let reply = run(&service, &request).await?;
    ensure!(reply["cells"][2]["reply"].is_null(), "{reply}");
    ensure!(reply["notebook"]["cells"][3]["outputs"] == json!([]), "{reply}");
    service.terminate().await
}

async fn checks_grade_what_the_notebook_computes() -> Result<()> {
    let service = Service::start().await?;
    let checks = json!([
        {"code": "square(12)", "expected": "144", "points": 2},
        {"code": "print(square(1.5))", "expected": "2.25", "checker": {"name": "floats", "absolute": 1e-9}},
    ]);
    for (source, reward, points) in [
        ("def square(x): return x * x", 1.0, 3.0),
        ("def square(x): return x * x\n1 / 0", 1.0, 3.0),
        ("def square(x): return int(x * x)", 0.0, 2.0),
        ("def square(x): return 144", 0.0, 2.0),
        ("def square(x): raise SystemExit(0)", 0.0, 0.0),
        ("import os\nos._exit(0)", 0.0, 0.0),
        ("pass", 0.0, 0.0),
    ] {
        let request = json!({"notebook": notebook(&[source]), "checks": checks});
        let reply = run(&service, &request).await?;
        let grade = &reply["grade"];
        ensure!(reply["reward"] == reward && reply["valid"] == true, "{source}: {reply}");
        ensure!(grade["points"] == points && grade["points_max"] == 3.0, "{source}: {grade}");
    }
    service.terminate().await
}

/// It takes over what runs the checks, and still does not know what they expect.
async fn a_notebook_cannot_answer_for_its_checks() -> Result<()> {
    let service = Service::start().await?;
    let checks = json!([{"code": "assert square(12) == 144\nsquare(13)", "expected": "169"}]);
    for source in [
        "import __session__ as s\ns.Cells.cell = lambda self, code: True",
        "import __session__ as s\ndef cell(self, code):\n print(code)\n return True\ns.Cells.cell = cell",
        "import builtins\nclass Same:\n def __eq__(self, other): return True\n def __repr__(self): return 'ok'\n\
         square = lambda x: Same()",
        "import __session__ as s, os, json\nfor n in range(5): os.write(s.ANSWERS, (json.dumps({'type': 'end', \
         'content': {'id': n, 'ok': True, 'execution_count': n}}) + '\\n').encode())",
    ] {
        let request = json!({"notebook": notebook(&[source]), "checks": checks});
        let reply = run(&service, &request).await?;
        ensure!(reply["reward"] == 0.0, "{source}: {reply}");
    }
    service.terminate().await
}

async fn what_is_no_notebook_is_refused() -> Result<()> {
    let service = Service::start().await?;
    let good = notebook(&["1"]);
    for request in [
        json!({}),
        json!({"notebook": {}}),
        json!({"notebook": {"nbformat": 3}}),
        json!({"notebook": good, "kernel": "/"}),
        json!({"notebook": good, "total_time_ms": 1}),
        json!({"notebook": good, "fetch_files": ["../x"]}),
        json!({"notebook": good, "checks": [{"code": "1", "expected": ""}]}),
        json!({"notebook": good, "on_error": "maybe"}),
    ] {
        let reply = service.client().post("/v1/notebooks/run", &request).await?;
        ensure!(reply.status == 422, "{request}: {} {}", reply.status, reply.text());
    }
    service.terminate().await
}

async fn the_command_line_runs_and_grades_notebooks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("in.ipynb"), notebook(&["def f(x): return x + 1", "f(1)"]).to_string())?;
    for (expected, code) in [("43", 0), ("44", 1)] {
        let checks = json!([{"code": "f(42)", "expected": expected}]);
        std::fs::write(path("checks.json"), checks.to_string())?;
        let ended = Command::new(executable_beside_us("assay")?)
            .args(["notebook", "run", &path("in.ipynb"), "--out", &path("out.ipynb")])
            .args(["--checks", &path("checks.json")])
            .output()
            .await?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!(
            ended.status.code() == Some(code),
            "{said}{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        ensure!(said.contains(&format!("{} of 1 checks passed", 1 - code)), "{said}");
    }
    let executed: Value = serde_json::from_slice(&std::fs::read(path("out.ipynb"))?)?;
    let shown = &executed["cells"][2]["outputs"][0]["data"]["text/plain"];
    ensure!(shown == "2", "{executed}");
    Ok(())
}
