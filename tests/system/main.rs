//! System tests on the real kernel, one after the other in this one process.
//!
//! Each test runs under a deadline, and after each, whether it passed or not, nothing may be left:
//! no process, mount, control group, file, ipc object or descriptor. The slots of the tests that
//! use the sandbox in process start from this executable, hence the first statement of `main`.

mod batches;
mod cli;
mod faults;
mod formats;
mod ground;
mod humaneval;
mod image_builds;
mod images;
mod languages;
mod load;
mod notebooks;
mod page;
mod programs;
mod python_client;
mod refusals;
mod repositories;
mod reward_models;
mod rootless;
mod sandbox_runs;
mod sandbox_sessions;
mod sandbox_streams;
mod sandbox_views;
mod service;
mod session_ends;
mod session_images;
mod sessions;
mod stability;
mod tables;
mod tidy;
mod unit_tests;
mod verdicts;
mod warm;
mod wasm;
mod wire;
mod wires;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use harness::{Baseline, browser, skip};
use libtest_mimic::{Arguments, Failed, Trial};
use sandbox::image::Store;
use tokio::runtime::{Builder, Runtime};

/// How long one test may take, where it does not say otherwise.
const TEST_TIME_MAX: Duration = Duration::from_secs(120);
/// By how much a test that does not even yield may outlive its deadline before the whole run is
/// given up.
const HANG_TIME_MAX: Duration = Duration::from_secs(60);

/// What a test does; it runs on the thread that waits for it and need not be `Send`.
type Body = Pin<Box<dyn Future<Output = Result<()>>>>;

/// What a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// The privileges to build slots.
    Slots,
    /// These, and a browser.
    Browser,
    /// These, what images are built with, and Debian's packages.
    Builder,
    /// These, and an image that is built on this machine: nobody builds one for a test.
    Image(&'static str),
    /// Nothing but the source tree.
    Source,
}

fn main() -> ExitCode {
    sandbox::resident_entry();
    if std::env::args().nth(1).as_deref() == Some(faults::VICTIM) {
        return ExitCode::from(u8::from(
            runtime().and_then(|it| it.block_on(faults::victim())).is_err(),
        ));
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        #[expect(clippy::print_stderr, reason = "there is no test yet that could fail")]
        Err(error) => {
            eprintln!("the tests could not be set up: {error:#}");
            ExitCode::from(101)
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    Baseline::adopt_orphans()?;
    // The first runtime opens descriptors that stay for good; no test shall be blamed for them.
    drop(runtime()?);
    let mut trials = tidy::trials();
    trials.extend(sandbox_runs::trials());
    trials.extend(sandbox_sessions::trials());
    trials.extend(sandbox_streams::trials());
    trials.extend(sandbox_views::trials());
    trials.extend(rootless::trials());
    trials.extend(warm::trials());
    trials.extend(wasm::trials());
    trials.extend(faults::trials());
    trials.extend(image_builds::trials());
    trials.extend(images::trials());
    trials.extend(reward_models::trials());
    trials.extend(service::trials());
    trials.extend(batches::trials());
    trials.extend(sessions::trials());
    trials.extend(session_ends::trials());
    trials.extend(session_images::trials());
    trials.extend(notebooks::trials());
    trials.extend(refusals::trials());
    trials.extend(wires::trials());
    trials.extend(python_client::trials());
    trials.extend(languages::trials());
    trials.extend(verdicts::trials());
    trials.extend(formats::trials());
    trials.extend(unit_tests::trials());
    trials.extend(repositories::trials());
    trials.extend(stability::trials());
    trials.extend(load::trials());
    trials.extend(page::trials());
    trials.extend(cli::trials());
    trials.extend(programs::trials()?);
    trials.extend(humaneval::trials());
    Ok(trials)
}

fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start a runtime")
}

/// A named test with the usual deadline and its leak check.
fn trial(name: String, needs: Needs, body: impl FnOnce() -> Body + Send + 'static) -> Trial {
    trial_within(TEST_TIME_MAX, name, needs, body)
}

/// The same with a deadline of its own.
fn trial_within(
    time_max: Duration,
    name: String,
    needs: Needs,
    body: impl FnOnce() -> Body + Send + 'static,
) -> Trial {
    let (missing, what) = match needs {
        Needs::Slots => (skip::slots_missing(), "slots"),
        Needs::Browser => match browser::missing() {
            Some(missing) => (Some(missing), "browser"),
            None => (skip::slots_missing(), "slots"),
        },
        Needs::Builder => match image_builds::missing() {
            Some(missing) => (Some(missing), "builder"),
            None => (skip::slots_missing(), "slots"),
        },
        Needs::Image(_) => (skip::slots_missing(), "slots"),
        Needs::Source => (None, ""),
    };
    let not_built = match needs {
        Needs::Image(image) if Store::of_caller().manifest(image).is_err() => Some(image),
        Needs::Image(_) | Needs::Slots | Needs::Browser | Needs::Builder | Needs::Source => None,
    };
    let skipped = not_built.is_some() || missing.is_some() && skip::is_allowed(what);
    // The kind stands beside the name of a test that was left out.
    let kind = not_built.map(|image| format!("assay image build {image}"));
    let label = name.clone();
    Trial::test(name, move || {
        if let Some(missing) = missing {
            let hint = format!("set ALLOW_MISSING={what} to skip, and count, what needs it");
            return Err(Failed::from(format!("no {what} here: {missing}; {hint}")));
        }
        checked(&label, time_max, body).map_err(|error| Failed::from(format!("{error:#}")))
    })
    .with_ignored_flag(skipped)
    .with_kind(kind.unwrap_or_default())
}

/// Runs `body` and then looks for what it left; both findings are reported.
fn checked(name: &str, time_max: Duration, body: impl FnOnce() -> Body) -> Result<()> {
    let watchdog = Watchdog::start(name, time_max + HANG_TIME_MAX);
    let before = Baseline::record(&[]);
    let result = in_runtime(time_max, body);
    let left = before.assert_restored(&[]);
    drop(watchdog);
    match (result, left) {
        (Err(error), Err(left)) => bail!("{error:#}\nand then {left:#}"),
        (Err(error), Ok(())) => Err(error),
        (Ok(()), left) => left,
    }
}

fn in_runtime(time_max: Duration, body: impl FnOnce() -> Body) -> Result<()> {
    let runtime = runtime()?;
    let result = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { tokio::time::timeout(time_max, body()).await })
    }));
    runtime.shutdown_timeout(Duration::from_secs(5));
    match result {
        Ok(Ok(result)) => result,
        Ok(Err(_elapsed)) => bail!("not done after {time_max:?}"),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            bail!("panicked: {}", text.unwrap_or("without a message"))
        }
    }
}

/// Ends the whole run when one test blocks the thread that should time it out.
struct Watchdog(#[expect(dead_code, reason = "its drop is the signal")] mpsc::Sender<()>);

impl Watchdog {
    fn start(name: &str, time_max: Duration) -> Self {
        let (alive, done) = mpsc::channel::<()>();
        let name = name.to_owned();
        std::thread::spawn(move || {
            if done.recv_timeout(time_max) == Err(mpsc::RecvTimeoutError::Timeout) {
                #[expect(clippy::print_stderr, reason = "the last words before an abort")]
                {
                    eprintln!("test {name} blocks for more than {time_max:?}");
                }
                std::process::abort();
            }
        });
        Self(alive)
    }
}

/// The trials of a module: each name is an `async fn() -> Result<()>`.
macro_rules! named {
    ($needs:expr, $module:literal, [$($name:ident),+ $(,)?]) => {
        vec![$($crate::trial(
            concat!($module, "::", stringify!($name)).to_owned(),
            $needs,
            || Box::pin($name()),
        )),+]
    };
}
use named;
