//! A real browser without a window, driven over WebDriver (W3C, 2018): chromedriver as a child
//! process, and the few commands that tests need, as plain HTTP.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use hyper::Method;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::http::Content;
use crate::service::free_address;
use crate::{Client, deadline, process};

/// The programs that this needs.
const PROGRAMS: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromedriver"];
/// How long driver and browser may take to start on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a page may take to show something.
const SHOW_TIME_MAX: Duration = Duration::from_secs(30);
/// How long all its processes may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// What is being looked at with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// A window of a desk.
    Desktop,
    /// A phone, with its touch and its density.
    Phone,
}

/// A browser with one tab.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
    _scratch: TempDir,
}

/// Why there is no browser here; `None` where there is.
#[must_use]
pub fn missing() -> Option<String> {
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|path| !Path::new(path).exists()).collect();
    if missing.is_empty() { None } else { Some(format!("no {}", missing.join(", no "))) }
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// It is missing, or does not start in time.
    pub async fn start(screen: Screen) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("assay-test-browser-").tempdir()?;
        let address = free_address()?;
        let driver = Command::new(PROGRAMS[1])
            .arg(format!("--port={}", address.port()))
            .env("HOME", scratch.path())
            .env("TMPDIR", scratch.path())
            .env("XDG_CONFIG_HOME", scratch.path())
            .env("XDG_CACHE_HOME", scratch.path())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of their own, so that all of them can be ended at once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("failed to start chromedriver")?;
        let client = Client::new(address);
        let mut browser = Self { driver, client, session: String::new(), _scratch: scratch };
        browser.open(screen).await?;
        Ok(browser)
    }

    async fn open(&mut self, screen: Screen) -> Result<()> {
        let client = self.client;
        let ready = deadline::poll_async(START_TIME_MAX, || async {
            client.get("/status").await.is_ok_and(|reply| reply.status == 200).then_some(())
        });
        ready.await.context("chromedriver did not start in time")?;
        let profile = self._scratch.path().join("profile");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-crash-reporter".to_owned(),
            "--disable-breakpad".to_owned(),
            format!("--user-data-dir={}", profile.display()),
        ];
        let mut options = json!({"binary": PROGRAMS[0]});
        match screen {
            Screen::Desktop => arguments.push("--window-size=1280,1000".to_owned()),
            Screen::Phone => {
                options["mobileEmulation"] = json!({
                    "deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2.0},
                });
            }
        }
        options["args"] = json!(arguments);
        let body = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let value = self.command(Method::POST, "/session", &body).await?;
        let session = value["sessionId"].as_str().context("no session")?;
        self.session = format!("/session/{session}");
        Ok(())
    }

    /// Loads a page.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn visit(&self, url: &str) -> Result<()> {
        self.post("/url", &json!({"url": url})).await.map(drop)
    }

    /// Runs a function's body in the page and returns what it returns.
    ///
    /// # Errors
    /// It throws.
    pub async fn script(&self, body: &str) -> Result<Value> {
        self.post("/execute/sync", &json!({"script": body, "args": []})).await
    }

    /// Waits until an expression is neither null nor false nor empty.
    ///
    /// # Errors
    /// It is not in time; with what the page says instead.
    pub async fn until(&self, expression: &str) -> Result<Value> {
        let script = format!("return {expression};");
        let end = tokio::time::Instant::now() + SHOW_TIME_MAX;
        loop {
            let value = self.script(&script).await?;
            if !matches!(&value, Value::Null | Value::Bool(false)) && value != json!("") {
                return Ok(value);
            }
            if tokio::time::Instant::now() > end {
                let text = self.script("return document.body.innerText;").await?;
                bail!("{expression} stays {value}; the page says:\n{text}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Clicks on what a CSS selector finds, as a hand would.
    ///
    /// # Errors
    /// There is no such thing, or it cannot be clicked.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let element = self.element(selector).await?;
        self.post(&format!("/element/{element}/click"), &json!({})).await.map(drop)
    }

    /// Puts `text` in place of what stands in a field, by keys.
    ///
    /// # Errors
    /// There is no such field.
    pub async fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.element(selector).await?;
        self.post(&format!("/element/{element}/clear"), &json!({})).await?;
        let body = json!({"text": text});
        self.post(&format!("/element/{element}/value"), &body).await.map(drop)
    }

    /// The whole page from top to bottom, as PNG.
    ///
    /// # Errors
    /// The browser fails.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        let size = "const page = document.documentElement;
                    return [page.scrollWidth, page.scrollHeight];";
        let size = self.script(size).await?;
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        let parameters = json!({"captureBeyondViewport": true, "clip": clip});
        let body = json!({"cmd": "Page.captureScreenshot", "params": parameters});
        let value = self.post("/goog/cdp/execute", &body).await?;
        let text = value["data"].as_str().context("no picture")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
    }

    /// Ends it and waits until all its processes are gone.
    ///
    /// # Errors
    /// One of them stays.
    pub async fn close(mut self) -> Result<()> {
        let session = self.session.clone();
        self.command(Method::DELETE, &session, &Value::Null).await?;
        self.end();
        self.driver.wait().await?;
        let me = i32::try_from(std::process::id())?;
        let ours = ["chrom", "chrome_crashpad"];
        let gone = deadline::poll(END_TIME_MAX, || {
            let left = process::descendants(me);
            let alive = left.iter().filter(|it| it.state != 'Z');
            let is_ours = |name: &str| ours.iter().any(|start| name.starts_with(start));
            (!alive.map(|it| &it.name).any(|name| is_ours(name))).then_some(())
        });
        gone.await.context("a process of the browser does not end")
    }

    fn end(&self) {
        let group = self.driver.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(group) = group {
            killpg(Pid::from_raw(group), Signal::SIGKILL).ok();
        }
    }

    async fn element(&self, selector: &str) -> Result<String> {
        let body = json!({"using": "css selector", "value": selector});
        let found = self.post("/element", &body).await.with_context(|| selector.to_owned())?;
        let name = found.as_object().and_then(|object| object.values().next());
        Ok(name.and_then(Value::as_str).context("no element")?.to_owned())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.command(Method::POST, &format!("{}{path}", self.session), body).await
    }

    async fn command(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let content = if body.is_null() { Content::default() } else { Content::json(body) };
        let reply = self.client.request(method, path, content).await?;
        let mut value = reply.json()?;
        ensure!(reply.status == 200, "{path}: {}", value["value"]["message"]);
        Ok(value["value"].take())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
    }
}
