//! What people look at: the command line, figures for Prometheus, TensorBoard's own reader.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use trainer::metrics;

mod support;
use support::judge::{Act, StandIn};
use support::{SMALL_RUN, run_to_end, small_run};

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_assay-train"))
}

#[test]
fn every_configuration_is_shown_by_a_dry_run_and_makes_nothing() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let folder = tempfile::tempdir().unwrap();
    let mut shown = 0;
    for entry in std::fs::read_dir(configs).unwrap() {
        let out = folder.path().join("run");
        let output = binary()
            .arg("run")
            .arg(entry.unwrap().path())
            .arg("--out")
            .arg(&out)
            .args(["--set", "algorithm.tau=0.75", "--dry-run"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table["algorithm"]["tau"].as_float(), Some(0.75));
        // Defaults are filled in.
        assert!(table["rollout"]["lease_ms"].as_integer().is_some());
        assert!(!out.exists());
        shown += 1;
    }
    assert!(shown >= 4, "{shown} configurations");
    let refused = binary()
        .args(["run", "trainer/configs/none.toml", "--out", "x", "--dry-run"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
}

fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn prometheus_reads_the_figures_of_a_run_that_goes_on() {
    let judge = StandIn::start(|n| if n == 30 { Act::Hangs } else { Act::Answer });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    std::fs::write(&config, SMALL_RUN).unwrap();
    let mut run = binary()
        .arg("run")
        .arg(config)
        .arg("--out")
        .arg(folder.path().join("run"))
        .args(["--set", &format!("judge.url={}", judge.url)])
        .args(["--metrics", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines
        .find_map(|line| {
            Some(line.strip_prefix("metrics at http://")?.trim_end_matches("/metrics").to_owned())
        })
        .unwrap();
    // Iterations are shown once their figures are there; the judge then holds the run.
    lines.find(|line| line.starts_with("iteration    3/")).unwrap();
    let reply = scrape(&address);
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    for name in ["reward_value_mean", "time_iteration_seconds", "weights_first_token_seconds"] {
        let line = reply.lines().find(|line| line.starts_with(&format!("assay_train_{name} ")));
        let value: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(value.is_finite());
    }
}

/// Where `make test` installs TensorBoard; a machine without it says so, unless `ALLOW_MISSING`
/// names it.
fn tensorboard() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tensorboard");
    if folder.join("tensorboard").exists() {
        return Some(folder);
    }
    let allowed = std::env::var("ALLOW_MISSING")
        .is_ok_and(|list| list.split(',').any(|item| item.trim() == "tensorboard"));
    assert!(
        allowed,
        "TensorBoard is not installed: run `make tensorboard`, or set ALLOW_MISSING=tensorboard to \
         skip this test"
    );
    eprintln!("skipped: TensorBoard is not installed");
    None
}

/// Prints what TensorBoard itself finds in a folder, as JSON by tag.
const READER: &str = r"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'tensors': 0})
events.Reload()
tags = events.Tags()
print(json.dumps({tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags['scalars']}))
";

#[test]
fn tensorboard_itself_reads_every_figure_of_a_run() {
    let Some(installed) = tensorboard() else { return };
    let judge = StandIn::start(|_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("judge.url={}", judge.url);
    let run = folder.path().join("run");
    run_to_end(small_run(folder.path(), &[&url]), &run).unwrap();
    let output = Command::new("python3")
        .env("PYTHONPATH", installed)
        .args(["-c", READER])
        .arg(run.join("tensorboard"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut compared = 0;
    for (iteration, row) in metrics::read(&run).unwrap() {
        // The number of the iteration is the step itself.
        for (name, value) in row.0.into_iter().filter(|(name, _)| name != "iteration") {
            let points = read[&name].as_array().unwrap_or_else(|| panic!("{name} is missing"));
            let point = points.iter().find(|point| point[0] == iteration).unwrap();
            let found = point[1].as_f64().unwrap();
            assert!((found - value).abs() <= value.abs() * 1e-6, "{name}: {found}, not {value}");
            compared += 1;
        }
    }
    assert!(compared > 12 * 40, "{compared} figures");
}
