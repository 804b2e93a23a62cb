//! The ground of the tests that use the sandbox by its library: a pool, programs, expectations.

use std::num::NonZeroUsize;

use anyhow::{Context, Result, ensure};
use sandbox::outcome::{Outcome, Termination};
use sandbox::{Image, Lease, PoolConfig, RunSpec, SlotPool};

/// A pool; its folder of locks is the machine's, as all pools must name the same.
pub(crate) struct Ground {
    pub(crate) pool: SlotPool,
}

impl Ground {
    pub(crate) async fn new(slots: usize) -> Result<Self> {
        let slots = NonZeroUsize::new(slots).context("no slots")?;
        let config = PoolConfig { slots, ..PoolConfig::new(Image::host()?) };
        Ok(Self { pool: SlotPool::new(config).await? })
    }

    /// One run in a lease of its own.
    pub(crate) async fn run(&self, spec: RunSpec) -> Result<Outcome> {
        let mut lease: Lease = self.pool.lease().await?;
        Ok(lease.run(&spec).await?)
    }

    pub(crate) async fn close(self) -> Result<()> {
        ensure!(self.pool.status().leased == 0, "a lease is left");
        self.pool.close().await;
        Ok(())
    }
}

/// A program whose answers do not hang on the machine's Python set-up.
const PYTHON: &str = "/usr/bin/python3";

pub(crate) fn python(code: &str) -> Result<RunSpec> {
    Ok(RunSpec::new([PYTHON, "-I", "-S", "-c", code])?)
}

pub(crate) fn shell(code: &str) -> Result<RunSpec> {
    Ok(RunSpec::new(["/bin/sh", "-c", code])?.env(["PATH=/usr/bin:/bin"])?)
}

pub(crate) fn text(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout.bytes).into_owned()
}

/// The outcome without the bulk of its output.
pub(crate) fn brief(outcome: &Outcome) -> String {
    let head = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
    format!(
        "{:?} {:?} stdout {:?} stderr {:?}",
        outcome.termination,
        outcome.usage,
        head(&outcome.stdout.bytes),
        head(&outcome.stderr.bytes)
    )
}

pub(crate) fn expect_end(outcome: &Outcome, termination: Termination) -> Result<()> {
    ensure!(outcome.termination == termination, "expected {termination:?}, got {}", brief(outcome));
    Ok(())
}

pub(crate) fn expect_stdout(outcome: &Outcome, stdout: &str) -> Result<()> {
    expect_end(outcome, Termination::Exited { code: 0 })?;
    ensure!(text(outcome) == stdout, "expected {stdout:?}, got {}", brief(outcome));
    Ok(())
}
