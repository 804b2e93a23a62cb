//! What somebody meets at the command line who makes a mistake: it is said by name, before time is
//! spent on it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use trainer::metrics;
use trainer::rollout::store::ReplayStore;

mod support;
use support::judge::{Act, StandIn};
use support::{SMALL_RUN, run_command};

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_assay-train"))
}

/// What a command that must fail says, and that it said so before any warm start.
fn refusal(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(!said.contains("warm start"), "{said}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_folder_that_another_run_has_is_refused_before_the_warm_start() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let _theirs = ReplayStore::open(&run.join("replay.redb")).unwrap();
    let error = refusal(&run_command(folder.path(), "http://127.0.0.1:9", &[]).output().unwrap());
    assert!(error.contains("replay.redb is in use: another run has this folder"), "{error}");
}

#[test]
fn an_address_in_use_is_named_before_the_warm_start() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap().to_string();
    let run = |arguments: &[&str]| {
        let mut command = run_command(folder.path(), "http://127.0.0.1:9", &[]);
        refusal(&command.args(arguments).output().unwrap())
    };
    let metrics = run(&["--metrics", &address]);
    let ranks = run(&["--rendezvous", &address, "--ranks", "2"]);
    let config = folder.path().join("run.toml");
    let worker = binary().arg("worker").arg(config).args(["--listen", &address]).output().unwrap();
    for error in [metrics, ranks, refusal(&worker)] {
        assert!(error.contains(&format!("listening at {address}")), "{error}");
        assert!(error.contains("in use"), "{error}");
    }
}

#[test]
fn a_run_without_a_service_says_so_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run_command(folder.path(), &url, &["judge.deadline_ms=50"]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    let (missing, warm) = (format!("nobody listens at {url} yet"), "warm start");
    assert!(said.find(&missing).unwrap() < said.find(warm).unwrap(), "{said}");
    let heard = StandIn::start(|_| Act::Answer);
    let output = run_command(folder.path(), &heard.url, &["iterations=1"]).output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("nobody listens"));
}

#[test]
fn a_dry_run_needs_no_folder_and_a_run_does() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    std::fs::write(&config, SMALL_RUN).unwrap();
    let output = binary().arg("run").arg(&config).arg("--dry-run").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("iterations = 12"));
    let error = refusal(&binary().arg("run").arg(&config).output().unwrap());
    assert!(error.contains("--out"), "{error}");
}

#[test]
fn an_experiment_that_is_none_and_no_seeds_are_refused() {
    let refused = |arguments: &[&str]| {
        let arguments = [&["experiment"], arguments, &["--out", "/proc/none"]].concat();
        refusal(&binary().args(arguments).output().unwrap())
    };
    let error = refused(&["opmd-rest"]);
    assert!(error.contains("opmd_rest, opmd_rest_reuse, sampling"), "{error}");
    let error = refused(&["context", "--seeds", "0"]);
    assert!(error.contains("--seeds"), "{error}");
}

fn plot(runs: &[&Path], figures: &[&str], out: &Path) -> Output {
    let mut command = binary();
    command.arg("plot").args(runs).arg("--out").arg(out);
    for figure in figures {
        command.args(["--figure", figure]);
    }
    command.output().unwrap()
}

#[test]
fn a_plot_of_nothing_is_refused_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (run, empty) = (folder.path().join("run"), folder.path().join("empty"));
    let out = folder.path().join("plot.svg");
    for made in [&run, &empty] {
        std::fs::create_dir(made).unwrap();
    }
    std::fs::write(run.join("metrics.jsonl"), "{\"iteration\":0,\"held_out/success\":0.5}\n")
        .unwrap();
    assert_eq!(metrics::read(&run).unwrap().len(), 1);
    let missing = folder.path().join("missing");
    for wrong in [&empty, &missing] {
        let error = refusal(&plot(&[&run, wrong], &["held_out/success"], &out));
        assert!(error.contains(&format!("{} has no figures", wrong.display())), "{error}");
    }
    let error = refusal(&plot(&[&run], &["held_out/sucess"], &out));
    assert!(error.contains("held_out/sucess") && error.contains("held_out/success"), "{error}");
    assert!(!out.exists());
    let error = refusal(&plot(&[&run], &["held_out/success"], &missing.join("plot.svg")));
    assert!(error.contains("missing/plot.svg"), "{error}");
    assert!(plot(&[&run], &["held_out/success"], &out).status.success());
    assert!(out.exists());
}

/// `make train` where another program has the service's port: no run is begun with it as its judge.
#[test]
fn make_train_does_not_take_another_program_for_its_service() {
    let folder = tempfile::tempdir().unwrap();
    let binaries = folder.path().join("target/release");
    std::fs::create_dir_all(&binaries).unwrap();
    let script = |name: &str, text: &str| {
        let path = binaries.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(path).status().unwrap().success());
    };
    // It takes its time to find out, as the real one does where the machine is busy.
    script("assay", "sleep 0.3; echo 'cannot listen on it: address in use'; exit 2");
    script("assay-train", "touch begun");
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = theirs.local_addr().unwrap().port().to_string();
    let output = Command::new("bash")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("train.sh"))
        .args(["none.toml", "runs", "1"])
        .env("PORT", port)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("cannot listen on it"), "{error}");
    assert!(!folder.path().join("begun").exists(), "a run was begun");
}
