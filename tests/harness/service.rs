//! The real `assay serve`, as a child process on a free loopback port.
//!
//! A [`Service`] that is dropped is asked to end, given a moment, and then killed; its scratch
//! folder goes with it. Tests that look at how it ends use [`Service::terminate`].

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Client, deadline};

/// How long a start may take: slots are built and every toolchain is looked at.
const READY_TIME_MAX: Duration = Duration::from_secs(30);
/// How long an orderly end may take when nothing is in flight.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// How the service is started.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Programs that may run at the same time.
    pub slots: usize,
    /// Submissions that may wait; the service's own default where `None`.
    pub queue: Option<usize>,
    /// More of its configuration, in TOML.
    pub toml: String,
    /// The executable; the one beside this test executable where `None`.
    pub executable: Option<PathBuf>,
    /// Where images are; an empty folder where `None`, not the machine's.
    pub image_store: Option<PathBuf>,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self { slots: 2, queue: None, toml: String::new(), executable: None, image_store: None }
    }
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    child: Child,
    address: SocketAddr,
    /// There until another service takes it over.
    scratch: Option<TempDir>,
    config: ServiceConfig,
}

impl Service {
    /// Starts one with two slots and waits until it is ready.
    ///
    /// # Errors
    /// No executable, or not ready in time; with what the service said.
    pub async fn start() -> Result<Self> {
        Self::start_with(ServiceConfig::default()).await
    }

    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// No executable, or not ready in time; with what the service said.
    pub async fn start_with(config: ServiceConfig) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("assay-test-").tempdir()?;
        fs::create_dir(scratch.path().join("tmp"))?;
        Self::start_in(scratch, config, free_address()?).await
    }

    /// Starts another in the same folders and at the same address, after this one has ended.
    ///
    /// # Errors
    /// As [`Self::start_with`].
    pub async fn restart(mut self) -> Result<Self> {
        ensure!(self.child.try_wait()?.is_some(), "the service still runs");
        let scratch = self.scratch.take().context("the scratch folder is gone")?;
        Self::start_in(scratch, self.config.clone(), self.address).await
    }

    async fn start_in(
        scratch: TempDir,
        config: ServiceConfig,
        address: SocketAddr,
    ) -> Result<Self> {
        let executable = match &config.executable {
            Some(path) => path.clone(),
            None => executable_beside_us("assay")?,
        };
        let log = File::create(scratch.path().join("log"))?;
        let child = Command::new(&executable)
            .args(arguments(&config, address, scratch.path())?)
            .env("TMPDIR", scratch.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", executable.display()))?;
        let mut service = Self { child, address, scratch: Some(scratch), config };
        service.wait_ready().await?;
        Ok(service)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Speaks to it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its process number.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<i32> {
        let pid = self.child.id().context("the service has ended")?;
        Ok(i32::try_from(pid)?)
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    fn folder(&self) -> &Path {
        self.scratch.as_ref().map_or_else(|| Path::new(""), TempDir::path)
    }

    /// Files that it keeps while it runs; all must be gone when it has ended.
    #[must_use]
    pub fn temporary_folder(&self) -> PathBuf {
        self.folder().join("tmp")
    }

    /// Sends `signal`. It is our child and not yet waited for, so the number is still its own.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid()?), signal).context("failed to signal the service")
    }

    /// Writes its configuration anew, with `toml` in place of what it was started with, and asks it to
    /// read it.
    ///
    /// # Errors
    /// It cannot be written, or the service has ended.
    pub fn reconfigure(&self, toml: &str) -> Result<()> {
        let config = ServiceConfig { toml: toml.to_owned(), ..self.config.clone() };
        arguments(&config, self.address, self.folder())?;
        self.signal(Signal::SIGHUP)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Still running after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let Ok(status) = tokio::time::timeout(limit, self.child.wait()).await else {
            bail!("the service still runs after {limit:?}; it said:\n{}", self.log());
        };
        Ok(status?)
    }

    /// Ends it in order and checks that it ended well and left no file.
    ///
    /// # Errors
    /// It ended otherwise or not at all, or left a file.
    pub async fn terminate(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.wait(STOP_TIME_MAX).await?;
        ensure!(status.success(), "the service ended with {status}; it said:\n{}", self.log());
        let entries = fs::read_dir(self.temporary_folder())?;
        let left: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        ensure!(left.is_empty(), "the service left {left:?}");
        Ok(())
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let client = self.client();
        let end = tokio::time::Instant::now() + READY_TIME_MAX;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the service ended with {status} before it was ready:\n{}", self.log());
            }
            if client.get("/readyz").await.is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            if tokio::time::Instant::now() > end {
                bail!("not ready after {READY_TIME_MAX:?}; it said:\n{}", self.log());
            }
            // Readiness is asked for, not announced.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Service {
    /// A test that fails must not leave slots behind for the next one, so the end is in order
    /// where possible.
    fn drop(&mut self) {
        if self.signal(Signal::SIGTERM).is_ok() {
            deadline::poll_blocking(STOP_TIME_MAX, || self.child.try_wait().ok().flatten());
        }
    }
}

fn arguments(config: &ServiceConfig, address: SocketAddr, folder: &Path) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = vec![
        "serve".into(),
        "--listen".into(),
        address.to_string().into(),
        "--slots".into(),
        config.slots.to_string().into(),
    ];
    let store = config.image_store.clone().unwrap_or_else(|| folder.join("images"));
    let mut text = format!("image_store = {:?}\n", store.display().to_string());
    if let Some(queue) = config.queue {
        text += &format!(
            "[admission]\nqueue_submissions_max = {queue}\nbatch_submissions_max = {queue}\n"
        );
    }
    text += &config.toml;
    let file = folder.join("assay.toml");
    fs::write(&file, text)?;
    arguments.extend(["--config".into(), file.into()]);
    Ok(arguments)
}

/// `target/PROFILE/NAME`, where this executable is `target/PROFILE/deps/system-HASH`.
///
/// # Errors
/// It is not there; with what to do.
pub fn executable_beside_us(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe().context("failed to find this executable")?;
    let folder = me.parent().context("this executable has no folder")?;
    let folders = [Some(folder), folder.parent()];
    let found = folders.into_iter().flatten().map(|folder| folder.join(name)).find(|p| p.is_file());
    found.with_context(|| {
        format!(
            "no `{name}` beside {}: build it first with the same profile: \
             cargo build --workspace --bins",
            me.display()
        )
    })
}

/// A port that was free a moment ago. Another process may take it in between; then the start fails
/// loudly.
///
/// # Errors
/// There is none.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
