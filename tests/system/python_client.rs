//! The Python client's own tests against the real service. Those that need a trainer's package are
//! skipped, and counted, where it is not installed.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use harness::Service;
use libtest_mimic::Trial;
use tokio::process::Command;

use crate::{Needs, named};

/// Tests of the client that need nothing but the service.
const TESTS_MIN: usize = 45;

pub(crate) fn trials() -> Vec<Trial> {
    named!(Needs::Slots, "python_client", [the_clients_tests_pass_against_the_service])
}

async fn the_clients_tests_pass_against_the_service() -> Result<()> {
    let service = Service::start().await?;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../judge/python");
    let output = Command::new("python3")
        .args([
            "-W",
            "error::ResourceWarning",
            "-m",
            "unittest",
            "discover",
            "-s",
            "tests",
            "-t",
            ".",
        ])
        .current_dir(&folder)
        .env("PYTHONPATH", folder.join("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("ASSAY_URL", service.url())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("python3 is needed")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    let number = |mark: &str, end: char| {
        let rest = &said[said.rfind(mark)? + mark.len()..];
        rest[..rest.find(end)?].parse::<usize>().ok()
    };
    let ran = number("Ran ", ' ').context("no number of tests")?;
    let skipped = number("skipped=", ')').unwrap_or(0);
    ensure!(ran - skipped >= TESTS_MIN, "{ran} tests, {skipped} of them skipped:\n{said}");
    service.terminate().await
}
