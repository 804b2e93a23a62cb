//! What judging costs: the built-in mixes, posted by `assay load` to a service of its own, next to
//! bare starts of the same programs in the same run. Prints one JSON line.
//!
//! A bare judgement compiles where the language needs it, starts the program once for each test,
//! writes the input and compares the output: no isolation, no limit, no HTTP, and no memory of what
//! was judged before. What the service adds, or saves by warm interpreters, is in the ratio.
//!
//! Where DMOJ's judge is installed it gets the same programs and tests, on as many judges as there are
//! slots: [`dmoj`].
#![expect(clippy::print_stdout, reason = "the figures are the output of a bench")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use harness::service::executable_beside_us;
use harness::{Service, ServiceConfig};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Map, Value, json};

mod dmoj;

/// What is sent, as the load generator calls it, and how many submissions at least.
const MIXES: [(&str, usize); 4] =
    [("python-print", 64), ("aplusb-10", 32), ("cpp-10", 8), ("rl-duplicates", 256)];
/// What is sent once more to a service that starts every program cold: what judging costs beside programs
/// that cost what they cost elsewhere.
const COLD: [&str; 2] = ["python-print", "aplusb-10"];
/// Requests at the same time; the service has as many slots as the machine has processors.
const CONCURRENCY: usize = 4;
/// How long each mix is sent, and how long its baseline runs.
const TIME: Duration = Duration::from_secs(6);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(measure())?;
    println!("{figures}");
    Ok(())
}

async fn measure() -> Result<Value> {
    let slots = std::thread::available_parallelism()?.get();
    let service = Service::start_with(ServiceConfig { slots, ..ServiceConfig::default() }).await?;
    let mut figures = Map::new();
    for (mix, count) in MIXES {
        // The first submissions of a kind make templates and fill the page cache.
        loaded(&service, mix, &["--count", &count.to_string()]).await?;
        let time = format!("{}s", TIME.as_secs());
        let report = loaded(&service, mix, &["--duration", &time]).await?;
        let items = items(mix)?;
        let bare = bare(&items)?;
        let peer = match (dmoj::Dmoj::find(), items.as_slice()) {
            (Some(dmoj), [item]) => Some(dmoj.per_second(item, slots, TIME)?),
            _ => None,
        };
        let figure = |name: &str| report[name].as_f64().unwrap_or_default();
        let cost = Cost::of(&report);
        let entry = json!({
            "per_second": round(figure("per_second")),
            "ratio_to_bare": round(figure("per_second") / bare.per_second),
            "latency_ms": report["latency_ms"],
            "known": report["known"],
            "cpu_ms_per_submission": round(cost.all),
            "cpu_ms_of_programs": round(cost.programs),
            "cpu_overhead": round(cost.overhead()),
            "bare_per_second": round(bare.per_second),
            "bare_cpu_ms_per_submission": round(bare.cpu_ms),
            "dmoj_per_second": peer.map(round),
        });
        figures.insert(mix.to_owned(), entry);
    }
    service.terminate().await?;
    let toml = "warm_starts = false\n".to_owned();
    let config = ServiceConfig { slots, toml, ..ServiceConfig::default() };
    let service = Service::start_with(config).await?;
    for mix in COLD {
        loaded(&service, mix, &["--count", "16"]).await?;
        let time = format!("{}s", TIME.as_secs());
        let report = loaded(&service, mix, &["--duration", &time]).await?;
        let cost = Cost::of(&report);
        let entry = json!({
            "per_second": round(report["per_second"].as_f64().unwrap_or_default()),
            "cpu_ms_per_submission": round(cost.all),
            "cpu_ms_of_programs": round(cost.programs),
            "cpu_overhead": round(cost.overhead()),
        });
        figures.insert(format!("{mix}, cold"), entry);
    }
    service.terminate().await?;
    Ok(json!({
        "bench": "judge_throughput",
        "concurrency": CONCURRENCY,
        "slots": slots,
        "figures": figures,
        "machine": support::machine(),
    }))
}

/// Processor time of one submission, milliseconds.
struct Cost {
    all: f64,
    programs: f64,
}

impl Cost {
    fn of(report: &Value) -> Self {
        let cpu = |name: &str| report["cpu"][name].as_f64().unwrap_or_default();
        Self { all: cpu("ms_per_submission"), programs: cpu("programs_ms_per_submission") }
    }

    /// What judging costs on top of the programs, as a share of what they cost.
    fn overhead(&self) -> f64 {
        self.all / self.programs - 1.0
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The report of a load; it must have found every verdict right.
async fn loaded(service: &Service, mix: &str, arguments: &[&str]) -> Result<Value> {
    let output = tokio::process::Command::new(executable_beside_us("assay")?)
        .args(["load", &service.url(), "--json", "--mix", mix])
        .args(["--concurrency", &CONCURRENCY.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{mix}: {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| mix.to_owned())
}

/// What the baseline comes to.
struct Bare {
    per_second: f64,
    cpu_ms: f64,
}

/// One item of a mix: how often, its program and its tests.
struct Item {
    weight: usize,
    language: String,
    source: String,
    tests: Vec<(String, String)>,
}

/// As many workers as the service has clients, each judging one submission after the other.
fn bare(items: &[Item]) -> Result<Bare> {
    // Each item as often as its weight says, in turn.
    let turn: Vec<&Item> =
        items.iter().flat_map(|item| std::iter::repeat_n(item, item.weight)).collect();
    let scratch = tempfile::tempdir()?;
    let (begun, before) = (Instant::now(), cpu_of_children()?);
    let counts: Result<Vec<u32>> = std::thread::scope(|scope| {
        let work = |worker: usize| {
            let folder = scratch.path().join(worker.to_string());
            std::fs::create_dir(&folder)?;
            let mut count = 0;
            let order = turn.iter().cycle().skip(worker * turn.len() / CONCURRENCY);
            for item in order {
                if begun.elapsed() >= TIME {
                    break;
                }
                judge_bare(item, &folder)?;
                count += 1;
            }
            anyhow::Ok(count)
        };
        let threads: Vec<_> =
            (0..CONCURRENCY).map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().ok().context("a worker panicked")?).collect()
    });
    let count: u32 = counts?.iter().sum();
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_of_children()? - before);
    ensure!(count > 0, "the baseline judged nothing");
    Ok(Bare { per_second: f64::from(count) / seconds, cpu_ms: 1000.0 * cpu / f64::from(count) })
}

/// Reads a mix as the load generator has it.
fn items(mix: &str) -> Result<Vec<Item>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../judge/src/command/load/mixes/");
    let text = std::fs::read_to_string(format!("{folder}{mix}.toml"))?;
    let table: toml::Table = toml::from_str(&text)?;
    let items = table["item"].as_array().context("no items")?;
    let text = |value: &toml::Value, name: &str| -> String {
        value.get(name).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    };
    let item = |item: &toml::Value| {
        let submission = item.get("submission").context("no submission")?;
        let tests = submission.get("problem").and_then(|problem| problem.get("tests"));
        let tests = tests.and_then(toml::Value::as_array).context("no tests")?;
        let weight = item.get("weight").and_then(toml::Value::as_integer).unwrap_or(1);
        Ok(Item {
            weight: usize::try_from(weight)?,
            language: text(submission, "language"),
            source: text(submission, "source"),
            tests: tests.iter().map(|test| (text(test, "stdin"), text(test, "stdout"))).collect(),
        })
    };
    items.iter().map(item).collect()
}

/// Compiles and runs; what a wrong program writes is compared all the same.
fn judge_bare(item: &Item, folder: &Path) -> Result<()> {
    let program = prepare_bare(item, folder)?;
    for (stdin, stdout) in &item.tests {
        let mut child = Command::new(&program[0])
            .args(&program[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", program[0].display()))?;
        let mut pipe = child.stdin.take().context("a pipe")?;
        // A program that has ended already reads nothing.
        pipe.write_all(stdin.as_bytes()).ok();
        drop(pipe);
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let right =
            output.status.success() && text.split_whitespace().eq(stdout.split_whitespace());
        std::hint::black_box(right);
    }
    Ok(())
}

fn prepare_bare(item: &Item, folder: &Path) -> Result<Vec<PathBuf>> {
    match item.language.as_str() {
        "python" => {
            let source = folder.join("main.py");
            std::fs::write(&source, &item.source)?;
            Ok(vec!["/usr/bin/python3".into(), source])
        }
        "cpp" => {
            let (source, program) = (folder.join("main.cpp"), folder.join("main"));
            std::fs::write(&source, &item.source)?;
            let status = Command::new("/usr/bin/g++")
                .args(["-O2", "-o"])
                .args([&program, &source])
                .status()
                .context("start g++")?;
            ensure!(status.success(), "g++ failed");
            Ok(vec![program])
        }
        other => bail!("the baseline does not know {other}"),
    }
}

/// Seconds of processor time of all children that ended.
fn cpu_of_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or_default()).as_secs_f64()
            + f64::from(i32::try_from(time.tv_usec()).unwrap_or_default()) / 1e6
    };
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
