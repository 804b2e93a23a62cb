//! `assay` as a person at a terminal, or a script, meets it: tables, JSON lines and exit codes.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use harness::service::executable_beside_us;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::wire::{ADD, SUBTRACT, add_submission, expect_verdict};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "cli",
        [
            judge_prints_a_table_and_ends_with_the_verdict,
            judge_prints_one_json_line_on_request,
            judge_reads_tests_from_a_json_file,
            judge_runs_an_assertion_program,
            judge_takes_the_last_block_of_a_completion,
            a_batch_gives_a_result_a_line,
            a_batch_ends_with_a_summary,
            wrong_usage_is_told_apart_from_a_wrong_program,
            problem_check_tells_line_and_key,
            preflight_names_every_layer,
            languages_are_listed,
            a_service_that_cannot_listen_says_so,
            a_service_lacking_a_layer_serves_only_when_told_to,
        ]
    )
}

/// A folder with a right and a wrong program and their tests.
fn ground() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("assay-test-").tempdir()?;
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content);
    write("add.py", ADD)?;
    write("subtract.py", SUBTRACT)?;
    write("broken.c", "int main(void) { return x; }\n")?;
    write("function.py", "def add(a, b):\n    return a + b\n")?;
    write("assertions.py", "assert add(1, 2) == 3\n")?;
    write("completion.md", &format!("So:\n```python\n{SUBTRACT}```\nNo:\n```python\n{ADD}```\n"))?;
    write("tests.json", &json!({"tests": [{"stdin": "1 2", "stdout": "3"}]}).to_string())?;
    fs::create_dir(folder.path().join("tests"))?;
    for (number, (input, answer)) in [("0 0\n", "0\n"), ("1 2\n", "3\n")].iter().enumerate() {
        write(&format!("tests/{number}.in"), input)?;
        write(&format!("tests/{number}.ans"), answer)?;
    }
    Ok(folder)
}

async fn assay(folder: &Path, arguments: &[&str]) -> Result<Output> {
    Command::new(executable_beside_us("assay")?)
        .args(arguments)
        .current_dir(folder)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run assay")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn expect_code(output: &Output, code: i32) -> Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "expected exit code {code}, got {}: {}{stderr}",
        output.status,
        stdout(output)
    );
    Ok(())
}

async fn judge_prints_a_table_and_ends_with_the_verdict() -> Result<()> {
    let folder = ground()?;
    for (file, code, words) in [
        ("add.py", 0, vec!["accepted", "reward 1"]),
        ("subtract.py", 1, vec!["wrong_answer", "accepted", "reward 0"]),
        ("broken.c", 1, vec!["compile_error", "error", "reward 0"]),
    ] {
        let output = assay(folder.path(), &["judge", file, "--tests", "tests"]).await?;
        expect_code(&output, code)?;
        for word in words {
            ensure!(stdout(&output).contains(word), "{file}: no {word:?} in {}", stdout(&output));
        }
    }
    Ok(())
}

async fn judge_prints_one_json_line_on_request() -> Result<()> {
    let folder = ground()?;
    let arguments = ["judge", "add.py", "--tests", "tests", "--json"];
    let output = assay(folder.path(), &arguments).await?;
    expect_code(&output, 0)?;
    ensure!(stdout(&output).lines().count() == 1, "{}", stdout(&output));
    let result: Value = serde_json::from_str(&stdout(&output))?;
    expect_verdict(&result, "accepted")?;
    ensure!(result["tests"].as_array().is_some_and(|tests| tests.len() == 2), "{result}");
    Ok(())
}

async fn judge_reads_tests_from_a_json_file() -> Result<()> {
    let folder = ground()?;
    for (file, code) in [("add.py", 0), ("subtract.py", 1)] {
        let output = assay(folder.path(), &["judge", file, "--tests", "tests.json"]).await?;
        expect_code(&output, code)?;
    }
    Ok(())
}

async fn judge_runs_an_assertion_program() -> Result<()> {
    let folder = ground()?;
    for (file, code) in [("function.py", 0), ("add.py", 1)] {
        let output = assay(folder.path(), &["judge", file, "--tests", "assertions.py"]).await?;
        expect_code(&output, code)?;
    }
    Ok(())
}

async fn judge_takes_the_last_block_of_a_completion() -> Result<()> {
    let folder = ground()?;
    let arguments =
        ["judge", "completion.md", "--completion", "--language", "python", "--tests", "tests"];
    expect_code(&assay(folder.path(), &arguments).await?, 0)
}

fn batch(folder: &Path, sources: &[&str]) -> Result<()> {
    let lines: Vec<String> = sources
        .iter()
        .enumerate()
        .map(|(number, source)| add_submission(&format!("s{number}"), source).to_string())
        .collect();
    Ok(fs::write(folder.join("batch.jsonl"), lines.join("\n"))?)
}

async fn a_batch_gives_a_result_a_line() -> Result<()> {
    let folder = ground()?;
    batch(folder.path(), &[ADD, SUBTRACT, ADD, ADD])?;
    let output = assay(folder.path(), &["judge", "--batch", "batch.jsonl", "--json"]).await?;
    expect_code(&output, 1)?;
    let mut ids = Vec::new();
    for line in stdout(&output).lines() {
        let result: Value = serde_json::from_str(line)?;
        let verdict = if result["id"] == "s1" { "wrong_answer" } else { "accepted" };
        expect_verdict(&result, verdict)?;
        ids.push(result["id"].as_str().unwrap_or_default().to_owned());
    }
    ids.sort();
    ensure!(ids == ["s0", "s1", "s2", "s3"], "{ids:?}");
    Ok(())
}

/// No progress bar where standard error is no terminal.
async fn a_batch_ends_with_a_summary() -> Result<()> {
    let folder = ground()?;
    batch(folder.path(), &[ADD, ADD, SUBTRACT])?;
    let output = assay(folder.path(), &["judge", "--batch", "batch.jsonl"]).await?;
    expect_code(&output, 1)?;
    for word in ["accepted", "2", "wrong_answer", "1", "s2"] {
        ensure!(stdout(&output).contains(word), "no {word:?} in {}", stdout(&output));
    }
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    batch(folder.path(), &[ADD, ADD])?;
    expect_code(&assay(folder.path(), &["judge", "--batch", "batch.jsonl"]).await?, 0)
}

async fn wrong_usage_is_told_apart_from_a_wrong_program() -> Result<()> {
    let folder = ground()?;
    fs::write(folder.path().join("bad.jsonl"), "{\"language\":\"python\"}\n")?;
    fs::write(folder.path().join("bad.json"), "{")?;
    for arguments in [
        vec!["judge"],
        vec!["judge", "add.py"],
        vec!["judge", "missing.py", "--tests", "tests"],
        vec!["judge", "add.py", "--tests", "missing"],
        vec!["judge", "add.py", "--tests", "bad.json"],
        vec!["judge", "add.py", "--tests", "tests", "--language", "cobol"],
        vec!["judge", "add.py", "--tests", "tests", "--cpu-time-ms", "0"],
        vec!["judge", "--batch", "bad.jsonl"],
        vec!["judge", "--batch", "missing.jsonl"],
        vec!["serve", "--config", "missing.toml"],
        vec!["fly"],
    ] {
        let output = assay(folder.path(), &arguments).await?;
        expect_code(&output, 2).with_context(|| arguments.join(" "))?;
        ensure!(!output.stderr.is_empty(), "{arguments:?} says nothing");
    }
    Ok(())
}

async fn problem_check_tells_line_and_key() -> Result<()> {
    let folder = ground()?;
    let unit_tests = "{\"kind\": \"unit_tests\",\n \"framework\": \"pytest\",\n \"files\": {\"test_a.py\": \"def test_x(): pass\"},\n \"tests\": [\n  \"test_a.py::test_x\",\n  \"test_b.py::test_y\"]}\n";
    let repository = "{\"kind\": \"repository\",\n \"base\": {\"files\": {\"a.py\": \"\"}},\n \"test\": {\n  \"framework\": \"nose\"},\n \"fail_to_pass\": [\"a.py::test\"]}\n";
    for (text, good, bad, place) in [
        (unit_tests, ("test_b.py::", "test_a.py::"), 6, "tests[1]: the problem has no file"),
        (repository, ("nose", "pytest"), 4, "test.framework: must be one of"),
    ] {
        fs::write(folder.path().join("problem.json"), text)?;
        let output = assay(folder.path(), &["problem", "check", "problem.json"]).await?;
        expect_code(&output, 2)?;
        let told = stdout(&output);
        ensure!(told.starts_with(&format!("problem.json:{bad}: {place}")), "{told}");
        let text = text.replace(good.0, good.1);
        fs::write(folder.path().join("problem.json"), text)?;
        let output = assay(folder.path(), &["problem", "check", "problem.json"]).await?;
        expect_code(&output, 0)?;
        ensure!(stdout(&output).starts_with("ok: kind "), "{}", stdout(&output));
    }
    Ok(())
}

async fn preflight_names_every_layer() -> Result<()> {
    let folder = ground()?;
    let output = assay(folder.path(), &["preflight"]).await?;
    expect_code(&output, 0)?;
    for layer in ["user namespace", "seccomp", "overlay"] {
        let found = stdout(&output).to_lowercase().contains(layer);
        ensure!(found, "no {layer:?} in {}", stdout(&output));
    }
    let output = assay(folder.path(), &["preflight", "--json"]).await?;
    serde_json::from_slice::<Value>(&output.stdout).context("preflight --json")?;
    Ok(())
}

async fn languages_are_listed() -> Result<()> {
    let folder = ground()?;
    let output = assay(folder.path(), &["languages"]).await?;
    expect_code(&output, 0)?;
    for language in ["python", "c", "cpp", "java", "javascript", "bash", "rust"] {
        ensure!(stdout(&output).contains(language), "no {language} in {}", stdout(&output));
    }
    Ok(())
}

async fn a_service_that_cannot_listen_says_so() -> Result<()> {
    let folder = ground()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let output = assay(folder.path(), &["serve", "--listen", &address]).await?;
    expect_code(&output, 2)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(stderr.contains(&address), "{stderr}");
    Ok(())
}

/// The kernel seems to have no overlay file system, in a mount namespace of the service's own.
async fn a_service_lacking_a_layer_serves_only_when_told_to() -> Result<()> {
    let folder = ground()?;
    let assay = executable_beside_us("assay")?;
    let serve = |arguments: &[&str]| {
        let script = "mount --bind add.py /proc/filesystems && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(&assay);
        command.args(["serve", "--listen", "127.0.0.1:0", "--slots", "1"]).args(arguments);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let output = serve(&[]).output().await?;
    expect_code(&output, 2)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    for word in ["overlay", "modprobe overlay", "--without-missing-layers"] {
        ensure!(stderr.contains(word), "no {word:?} in {stderr}");
    }
    let mut told = serve(&["--without-missing-layers"]).spawn()?;
    let mut lines = BufReader::new(told.stdout.take().context("no output")?).lines();
    let first = lines.next_line().await?.context("it ended")?;
    ensure!(first.contains("listens on"), "{first}");
    let mut off = false;
    while let Some(line) = lines.next_line().await?
        && !line.contains("Try it")
    {
        off |= line.contains("off") && line.contains("overlay");
    }
    ensure!(off, "the greeting says nothing of it");
    let pid = i32::try_from(told.id().context("it ended")?)?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
    ensure!(told.wait().await?.success(), "it did not stop well");
    Ok(())
}
