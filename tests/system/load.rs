//! `assay load` before the real service: it finds wrong verdicts, loses nothing, and says what came.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::service::executable_beside_us;
use harness::{Client, Service, ServiceConfig, deadline};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Needs, named};

/// How long what is waited for may take on a busy machine.
const WAIT_TIME_MAX: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "load",
        [
            a_hostile_mix_is_judged_rightly_and_counted_once,
            a_batch_of_duplicates_is_judged_once_each,
            a_wrong_verdict_fails_the_run_and_is_shown,
            a_full_service_is_come_back_to,
            who_comes_back_when_told_gets_in,
            a_killed_service_loses_nothing,
            a_peer_of_each_kind_is_sent_the_same_work,
            an_interrupted_run_says_what_it_has,
            a_service_that_is_not_there_is_named,
        ]
    )
}

/// A run of `assay load` with its report.
struct Load {
    child: Child,
    folder: TempDir,
}

impl Load {
    fn start(url: &str, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("assay-test-").tempdir()?;
        let child = Command::new(executable_beside_us("assay")?)
            .args(["load", url, "--out", "report.json", "--html", "report.html"])
            .args(arguments)
            .current_dir(folder.path())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start assay load")?;
        Ok(Self { child, folder })
    }

    fn interrupt(&self) -> Result<()> {
        let pid = i32::try_from(self.child.id().context("it has ended")?)?;
        kill(Pid::from_raw(pid), Signal::SIGINT).context("failed to interrupt it")
    }

    /// Waits for its end; the report, and what it said.
    async fn end(self, code: i32) -> Result<(Value, String)> {
        let output = self.child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.code() == Some(code), "not {code} but {}: {said}", output.status);
        let report = std::fs::read_to_string(self.folder.path().join("report.json"));
        let report = report.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?;
        let page = std::fs::read_to_string(self.folder.path().join("report.html"));
        ensure!(report.is_null() || page?.contains("<svg"), "the page has no plot");
        Ok((report, said))
    }
}

/// Each of `counts`, and nothing lost.
fn expect_ends(report: &Value, counts: &[(&str, u64)]) -> Result<()> {
    let ends = &report["submissions"];
    for (name, count) in counts {
        ensure!(ends[name] == *count, "{name} is not {count}: {ends}\n{}", report["wrong"]);
    }
    let number = |name: &str| ends[name].as_u64().unwrap_or_default();
    let ended: u64 =
        ["right", "wrong", "invalid", "given_up", "cancelled"].into_iter().map(number).sum();
    ensure!(ended == number("issued") && report["lost"] == 0, "{ends}");
    Ok(())
}

async fn a_hostile_mix_is_judged_rightly_and_counted_once() -> Result<()> {
    let service = Service::start().await?;
    let arguments = ["--mix", "hostile", "--rate", "60", "--count", "240"];
    let (report, said) = Load::start(&service.url(), &arguments)?.end(0).await?;
    expect_ends(&report, &[("right", 240), ("wrong", 0), ("invalid", 0)])?;
    ensure!(report["pace"]["kind"] == "open" && said.contains("240"), "{said}");
    let hostile = report["items"].as_array().context("no items")?;
    let hostile = hostile.iter().filter(|item| item["hostile"] == true);
    let judged: u64 = hostile.filter_map(|item| item["right"].as_u64()).sum();
    ensure!(judged > 0, "nothing hostile was sent");
    let memory = report["samples"][0]["memory_bytes"].as_u64();
    ensure!(memory > Some(1 << 20), "the service's memory is not seen: {}", report["samples"]);
    service.terminate().await
}

async fn a_batch_of_duplicates_is_judged_once_each() -> Result<()> {
    let service = Service::start().await?;
    let arguments = ["--mix", "rl-duplicates", "--count", "128", "--concurrency", "2"];
    let (report, _) = Load::start(&service.url(), &arguments)?.end(0).await?;
    expect_ends(&report, &[("right", 128), ("wrong", 0)])?;
    ensure!(report["requests"] == 4, "{}", report["requests"]);
    ensure!(report["known"].as_u64() > Some(64), "{}", report["known"]);
    service.terminate().await
}

async fn a_wrong_verdict_fails_the_run_and_is_shown() -> Result<()> {
    let service = Service::start().await?;
    let folder = tempfile::Builder::new().prefix("assay-test-").tempdir()?;
    let mix: PathBuf = folder.path().join("mix.jsonl");
    let line = r#"{"name":"a lie","expect":"wrong_answer","submission":{"language":"python","source":"print(1)","problem":{"kind":"stdio","tests":[{"stdout":"1"}]}}}"#;
    std::fs::write(&mix, line)?;
    let mix = mix.to_str().context("a path")?;
    let arguments = ["--mix", mix, "--count", "3", "--batch", "2"];
    let (report, said) = Load::start(&service.url(), &arguments)?.end(1).await?;
    expect_ends(&report, &[("right", 0), ("wrong", 3)])?;
    ensure!(report["wrong"][0]["answer"] == "accepted", "{}", report["wrong"]);
    ensure!(said.contains("a lie") && said.contains("wrong_answer is right"), "{said}");
    std::fs::write(mix, line.replace("submission", "submision"))?;
    let (_, said) = Load::start(&service.url(), &arguments)?.end(2).await?;
    ensure!(said.contains("line 1") && said.contains("submision"), "{said}");
    service.terminate().await
}

async fn a_full_service_is_come_back_to() -> Result<()> {
    let config = ServiceConfig { queue: Some(2), ..ServiceConfig::default() };
    let service = Service::start_with(config).await?;
    let arguments = ["--mix", "python-print", "--count", "40", "--concurrency", "8"];
    let (report, _) = Load::start(&service.url(), &arguments)?.end(0).await?;
    expect_ends(&report, &[("right", 40), ("given_up", 0)])?;
    let refusals = &report["refusals"];
    ensure!(refusals["count"].as_u64() > Some(0), "nothing was refused: {refusals}");
    ensure!(refusals["without_time"] == 0, "a refusal without a time: {refusals}");
    let arguments = [&arguments[..], &["--no-retry"]].concat();
    let (report, _) = Load::start(&service.url(), &arguments)?.end(3).await?;
    let given_up = report["submissions"]["given_up"].as_u64();
    ensure!(given_up > Some(0) && given_up == report["refusals"]["count"].as_u64(), "{report}");
    expect_ends(&report, &[("wrong", 0)])?;
    service.terminate().await
}

/// Goal: `Retry-After` is true. Method: offer far more than the service can judge, and look at those
/// who came back when they were told.
async fn who_comes_back_when_told_gets_in() -> Result<()> {
    let config = ServiceConfig { queue: Some(32), ..ServiceConfig::default() };
    let service = Service::start_with(config).await?;
    // What a service can do it knows once it has done some.
    let first = ["--mix", "aplusb-10", "--count", "40"];
    Load::start(&service.url(), &first)?.end(0).await?;
    let arguments = ["--mix", "aplusb-10", "--rate", "2000", "--count", "800"];
    let arguments = [&arguments[..], &["--in-flight-max", "200"]].concat();
    let (report, _) = Load::start(&service.url(), &arguments)?.end(0).await?;
    expect_ends(&report, &[("right", 800), ("wrong", 0), ("given_up", 0)])?;
    let count = |name: &str| report["refusals"][name].as_u64().unwrap_or_default();
    let (admitted, refused) = (count("then_accepted"), count("then_refused"));
    ensure!(admitted >= 100, "few were told to come back: {}", report["refusals"]);
    ensure!(refused * 5 <= admitted, "many were told in vain: {}", report["refusals"]);
    let metrics = service.client().get("/metrics").await?.text();
    ensure!(metrics.contains("assay_returns_total{result=\"admitted\"}"), "{metrics}");
    service.terminate().await
}

/// Goal: whoever waits for a verdict gets it, though the service dies meanwhile. Method: kill it under
/// load, start its successor at the same address.
async fn a_killed_service_loses_nothing() -> Result<()> {
    let mut service = Service::start().await?;
    let arguments = ["--mix", "soak", "--rate", "100", "--count", "400", "--in-flight-max", "64"];
    let load = Load::start(&service.url(), &arguments)?;
    judged(&service.client(), 100).await?;
    service.signal(Signal::SIGKILL)?;
    service.wait(WAIT_TIME_MAX).await?;
    let successor = service.restart().await?;
    let (report, _) = load.end(0).await?;
    expect_ends(&report, &[("right", 400), ("wrong", 0), ("invalid", 0), ("given_up", 0)])?;
    ensure!(report["faults"]["connection"]["count"].as_u64() > Some(0), "{}", report["faults"]);
    successor.terminate().await
}

/// Goal: the same work goes to each kind of peer by its own wire. Method: this service speaks all of
/// them; programs that are right, wrong and fail, compiled and not, with one test and with ten.
async fn a_peer_of_each_kind_is_sent_the_same_work() -> Result<()> {
    let service = Service::start().await?;
    let folder = tempfile::Builder::new().prefix("assay-test-").tempdir()?;
    let mix: PathBuf = folder.path().join("mix.jsonl");
    let tests = r#"[{"stdin":"1 2","stdout":"3"},{"stdin":"5 6","stdout":"11"}]"#;
    let item = |name: &str, expect: &str, language: &str, source: &str| {
        format!(
            r#"{{"name":"{name}","expect":"{expect}","submission":{{"language":"{language}","source":{source},"problem":{{"kind":"stdio","tests":{tests}}}}}}}"#
        )
    };
    let lines = [
        item("adds", "accepted", "python", r#""print(sum(map(int, input().split())))""#),
        item("subtracts", "wrong_answer", "python", r#""print(-1)""#),
        item("fails", "runtime_error", "python", r#""exit(3)""#),
        item(
            "compiles",
            "accepted",
            "c",
            r#""int main(void){int a,b;scanf(\"%d %d\",&a,&b);printf(\"%d\",a+b);}""#,
        )
        .replace("\"int main", "\"#include <stdio.h>\\nint main"),
        item("does not compile", "compile_error", "c", r#""int main(void) { return }""#),
    ];
    std::fs::write(&mix, lines.join("\n"))?;
    let mix = mix.to_str().context("a path")?;
    for peer in ["sandbox_fusion", "go_judge", "piston"] {
        let arguments = ["--peer", peer, "--mix", mix, "--count", "20", "--concurrency", "2"];
        let (report, said) = Load::start(&service.url(), &arguments)?.end(0).await?;
        expect_ends(&report, &[("right", 20), ("wrong", 0), ("invalid", 0), ("given_up", 0)])?;
        ensure!(report["wire"] == peer, "{}: {said}", report["wire"]);
        let items = report["items"].as_array().context("no items")?;
        ensure!(items.iter().all(|item| item["right"].as_u64() > Some(0)), "{}", report["items"]);
    }
    // What a peer says that is not so is seen.
    let lie = lines[0].replace("accepted", "wrong_answer");
    std::fs::write(mix, lie)?;
    for peer in ["sandbox_fusion", "go_judge", "piston"] {
        let arguments = ["--peer", peer, "--mix", mix, "--count", "2"];
        let (report, _) = Load::start(&service.url(), &arguments)?.end(1).await?;
        expect_ends(&report, &[("right", 0), ("wrong", 2)])?;
    }
    // go-judge's compiled programs are removed again.
    let files = service.client().get("/file").await?.ok_json()?;
    ensure!(files == serde_json::json!({}), "left behind: {files}");
    service.terminate().await
}

async fn an_interrupted_run_says_what_it_has() -> Result<()> {
    let service = Service::start().await?;
    let load = Load::start(&service.url(), &["--mix", "aplusb-10", "--duration", "5m"])?;
    judged(&service.client(), 10).await?;
    load.interrupt()?;
    let (report, said) = load.end(130).await?;
    ensure!(report["interrupted"] == true && said.contains("interrupted"), "{said}");
    expect_ends(&report, &[("wrong", 0)])?;
    ensure!(report["submissions"]["right"].as_u64() >= Some(10), "{}", report["submissions"]);
    service.terminate().await
}

async fn a_service_that_is_not_there_is_named() -> Result<()> {
    let address = harness::service::free_address()?;
    let url = format!("http://{address}");
    let (_, said) = Load::start(&url, &["--count", "1"])?.end(2).await?;
    ensure!(said.contains(&url) && said.contains("is the service running?"), "{said}");
    Ok(())
}

/// Waits until the service has judged so many.
async fn judged(client: &Client, count: u64) -> Result<()> {
    let seen = deadline::poll_async(WAIT_TIME_MAX, || async {
        let stats = client.get("/v1/stats?recent=0&seconds=0").await.ok()?.ok_json().ok()?;
        let verdicts = stats["verdicts"].as_object()?;
        let judged: u64 = verdicts.values().filter_map(Value::as_u64).sum();
        (judged >= count).then_some(())
    });
    match seen.await {
        Some(()) => Ok(()),
        None => bail!("{count} were not judged in time"),
    }
}
