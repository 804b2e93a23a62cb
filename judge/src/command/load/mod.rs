//! `assay load`: presses a service with work whose right verdicts are known, and says what came.
//!
//! [`mix`] is what is sent, [`drive`] when, [`wire`] how; [`record`] counts every end, [`watch`] looks
//! at the service meanwhile, [`report`] and [`html`] say what it came to. A verdict that is not the
//! right one fails the run, whatever the figures are.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{End, Failed, emit, ours, usage};

mod client;
mod drive;
mod histogram;
mod html;
mod limits;
mod mix;
mod record;
mod report;
mod watch;
mod wire;

use client::{Client, Fault};
use drive::{Again, Ended, Extent, Load, Pace, Run};
use limits::{BATCH_MAX, CALIBRATION_TIME, COUNT_MAX, IN_FLIGHT_MAX, RATE_MAX, REQUEST_TIME_MAX};
use mix::Mix;
use report::{Facts, Report};
use watch::{CpuClock, Samples};
use wire::{Peer, Wire};

pub(super) const EXAMPLES: &str = "\
Examples:
  assay load                                        Python that prints, 4 at a time, for 10 seconds
  assay load --mix aplusb-10 --count 1000 --html report.html
  assay load --mix hostile --rate 200 --duration 60s   open loop: latency counts from when it was due
  assay load --mix soak --rate 2x --count 100000    at twice of what the service sustains
  assay load --mix mine.toml http://judge.example:8080 --api-key-env ASSAY_API_KEY
  assay load --peer sandbox_fusion http://127.0.0.1:8081 --mix python-print

Mixes: python-print aplusb-10 cpp-10 rl-duplicates languages hostile soak, or a file:
  [[item]]                     # or one such object a line, as JSON, in a file of another extension
  name = \"adds\"
  weight = 3                   # how often, compared with the other items
  copies = 4                   # so many in a row are equal; 0: all are
  pad_bytes = 1000             # the source is made longer by a comment
  expect = \"accepted\"          # or a list of verdicts that are right
  submission = { language = \"python\", source = \"print(3)\", problem = { kind = \"stdio\", tests = [{ stdout = \"3\" }] } }

Exit codes: 0 all is right, 1 a verdict is wrong, 2 wrong usage, 3 something was not judged or not
answered, 130 interrupted.";

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// Where the service listens
    #[arg(default_value = "http://127.0.0.1:8080")]
    url: String,
    /// What is sent: a name, or a file in TOML or of JSON lines
    #[arg(long, value_name = "NAME|FILE", default_value = "python-print")]
    mix: String,
    /// The service is another one, spoken to on its own wire
    #[arg(long, value_enum, value_name = "KIND")]
    peer: Option<Peer>,
    /// Closed loop: so many requests at the same time [default: 4]
    #[arg(long, value_name = "COUNT", conflicts_with = "rate")]
    concurrency: Option<usize>,
    /// Open loop: so many submissions a second; or, as `2x`, a multiple of what is sustained, which
    /// is found out first
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// Submissions in all
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
    /// How long submissions are begun, as 30s or 5m [default: 10s without --count]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    duration: Option<Duration>,
    /// Submissions of one request [default: the mix's own]
    #[arg(long, value_name = "COUNT")]
    batch: Option<usize>,
    /// Requests without an answer at most; more are held back, and count as late
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    in_flight_max: usize,
    /// How long a service that cannot be reached is waited for
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    patience: Duration,
    /// A refusal or a broken connection ends a submission; else it is sent again, after what
    /// Retry-After says
    #[arg(long)]
    no_retry: bool,
    /// The environment variable that holds the API key
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
    /// The service's process: its memory is read from the machine
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the report as a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What `--rate` says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    PerSecond(f64),
    Times(f64),
}

pub(super) async fn load(args: LoadArgs) -> Result<End, Failed> {
    let load = Arc::new(prepare(&args).map_err(usage)?);
    let (concurrency, rate, extent) = plan(&args).map_err(usage)?;
    reach(&load, args.peer).await.map_err(usage)?;
    let begun_unix_seconds =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut sustained = None;
    if let Some(Rate::Times(_)) = rate {
        match calibrate(&load, concurrency).await? {
            Some(rate) => sustained = Some(rate),
            None => return Ok(End::Interrupted),
        }
    }
    let pace = match (rate, sustained) {
        (None, _) => Pace::Closed(concurrency),
        (Some(Rate::PerSecond(rate)), _) => Pace::Open(rate),
        (Some(Rate::Times(times)), sustained) => Pace::Open(times * sustained.unwrap_or(1.0)),
    };
    let run = Run::new(&load, extent);
    let mut samples = Samples::default();
    let cpu = CpuClock::start();
    let bar = progress_bar(&run);
    let client = args.peer.is_none().then_some(&load.client);
    let ended = tokio::select! {
        ended = run.drive(pace, interrupted()) => ended,
        () = watch::watch(&run, client, args.pid, &mut samples) => Ended::Done,
        () = show(&run, &bar) => Ended::Done,
    };
    let seconds = run.record().begun().elapsed().as_secs_f64();
    bar.finish_and_clear();
    let facts = Facts {
        load: &load,
        wire: wire::name(args.peer),
        pace,
        sustainable_per_second: sustained,
        ended,
        begun_unix_seconds,
        seconds,
        cpu: cpu.used().filter(|_| is_loopback(load.client.base())),
    };
    let report = Report::new(&facts, &run.record().state(), &samples);
    publish(&report, &args)?;
    Ok(end(&report))
}

fn end(report: &Report) -> End {
    let ends = &report.submissions;
    if ends.wrong > 0 {
        End::NotAccepted
    } else if ends.invalid + ends.given_up + report.lost > 0 {
        End::Failed
    } else if report.interrupted {
        End::Interrupted
    } else {
        End::Good
    }
}

fn prepare(args: &LoadArgs) -> anyhow::Result<Load> {
    let mix = Mix::find(&args.mix)?;
    let batch = args.batch.unwrap_or(mix.batch);
    ensure!((1..=BATCH_MAX).contains(&batch), "--batch: 1 to {BATCH_MAX}");
    ensure!(
        (1..=IN_FLIGHT_MAX).contains(&args.in_flight_max),
        "--in-flight-max: 1 to {IN_FLIGHT_MAX}"
    );
    let key = args.api_key_env.as_ref().map(|name| {
        std::env::var(name).with_context(|| format!("--api-key-env: {name} is not set"))
    });
    let key = key.transpose()?;
    let wire = Wire::new(&mix, args.peer, batch)?;
    let client = Client::new(&args.url, key.as_deref(), REQUEST_TIME_MAX)?;
    let again = if args.no_retry { Again::Never } else { Again::Within(args.patience) };
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no random bytes: {error}"))?;
    let run = format!("{:08x}", u32::from_le_bytes(random));
    Ok(Load { mix, wire, client, batch, again, in_flight_max: args.in_flight_max, run })
}

fn plan(args: &LoadArgs) -> anyhow::Result<(usize, Option<Rate>, Extent)> {
    let concurrency = args.concurrency.unwrap_or(4);
    ensure!((1..=IN_FLIGHT_MAX).contains(&concurrency), "--concurrency: 1 to {IN_FLIGHT_MAX}");
    let rate = args.rate.as_deref().map(parse_rate).transpose()?;
    if let Some(count) = args.count {
        ensure!((1..=COUNT_MAX).contains(&count), "--count: 1 to {COUNT_MAX}");
    }
    let time = match (args.count, args.duration) {
        (None, None) => Some(Duration::from_secs(10)),
        (_, time) => time,
    };
    Ok((concurrency, rate, Extent { count: args.count, time }))
}

fn parse_rate(text: &str) -> anyhow::Result<Rate> {
    let (number, times) = match text.strip_suffix('x') {
        Some(number) => (number, true),
        None => (text, false),
    };
    let value: f64 = number.parse().with_context(|| format!("--rate: {text:?} is no number"))?;
    ensure!(value > 0.0 && value <= RATE_MAX, "--rate: above 0 and at most {RATE_MAX}");
    Ok(if times { Rate::Times(value) } else { Rate::PerSecond(value) })
}

/// `500ms`, `30s`, `5m`, `1h`, or seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit of time; there are ms, s, m and h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no time"))?;
    let seconds = number * seconds;
    if seconds > 0.0 && seconds <= 7.0 * 86_400.0 {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("{text:?}: above 0 and at most a week"))
    }
}

/// Whether somebody listens there at all: a wrong address is a mistake, not a load.
async fn reach(load: &Load, peer: Option<Peer>) -> anyhow::Result<()> {
    let path = if peer.is_none() { "/healthz" } else { "/" };
    match load.client.get(path).await {
        Err(Fault::Connection(said)) => {
            Err(anyhow!("cannot reach {}: {said}; is the service running?", load.client.base()))
        }
        Ok(_) | Err(Fault::Full(_) | Fault::Status(..) | Fault::Timeout | Fault::Malformed(_)) => {
            Ok(())
        }
    }
}

/// How many submissions a second the service answers when it is never idle; `None` where this was
/// interrupted.
async fn calibrate(load: &Arc<Load>, concurrency: usize) -> Result<Option<f64>, Failed> {
    let run = Run::new(load, Extent { count: None, time: Some(CALIBRATION_TIME) });
    let bar = progress_bar(&run);
    let ended = tokio::select! {
        ended = run.drive(Pace::Closed(concurrency), interrupted()) => ended,
        () = show(&run, &bar) => Ended::Done,
    };
    bar.finish_and_clear();
    if ended == Ended::Interrupted {
        return Ok(None);
    }
    let seconds = run.record().begun().elapsed().as_secs_f64();
    let state = run.record().state();
    if let Some(wrong) = state.wrong.first() {
        return Err(Failed {
            end: End::NotAccepted,
            error: anyhow!("wrong before the load began: {:?}: {}", wrong.item, wrong.answer),
        });
    }
    let right = u32::try_from(state.ends.right).unwrap_or(u32::MAX);
    if right == 0 {
        let said = state.faults.values().next().map(|fault| fault.last.clone());
        return Err(ours(anyhow!("nothing was answered: {}", said.unwrap_or_default())));
    }
    Ok(Some(f64::from(right) / seconds))
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "interrupts cannot be caught");
        std::future::pending::<()>().await;
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.split("//").nth(1).unwrap_or_default();
    ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start))
}

fn publish(report: &Report, args: &LoadArgs) -> Result<(), Failed> {
    let json = serde_json::to_string_pretty(report).map_err(ours)? + "\n";
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text)
            .with_context(|| format!("failed to write {}", path.display()))
            .map_err(usage)
    };
    if let Some(path) = &args.out {
        write(path, &json)?;
    }
    if let Some(path) = &args.html {
        write(path, &html::html(report))?;
    }
    emit(&if args.json { json } else { report.text() })
}

/// On standard error, hidden where that is no terminal.
fn progress_bar(run: &Run) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(run.count(), target);
    let style = match run.count() {
        Some(_) => "{bar:30} {pos}/{len}  {msg}",
        None => "{spinner} {elapsed} {pos}  {msg}",
    };
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Keeps the bar up to date until it is dropped.
async fn show(run: &Run, bar: &ProgressBar) {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let (position, message) = progress(run);
        bar.set_position(position);
        bar.set_message(message);
    }
}

fn progress(run: &Run) -> (u64, String) {
    let seconds = run.record().begun().elapsed().as_secs_f64().max(0.001);
    let state = run.record().state();
    let ends = state.ends;
    let ended = ends.right + ends.wrong + ends.invalid + ends.given_up;
    let each = f64::from(u32::try_from(ended).unwrap_or(u32::MAX)) / seconds;
    let quantile = |per_mille| state.latency.quantile_ms(per_mille);
    let mut message = format!(
        "{each:.0}/s  p50 {:.1}  p90 {:.1}  p99 {:.1} ms  waiting {}  wrong {}",
        quantile(500),
        quantile(900),
        quantile(990),
        run.in_flight(),
        ends.wrong,
    );
    if ends.invalid > 0 {
        message.push_str(&format!("  not judged {}", ends.invalid));
    }
    for (class, fault) in &state.faults {
        message.push_str(&format!("  {class} {}", fault.count));
    }
    (ended, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_read_with_their_bounds() {
        assert_eq!(parse_rate("200").unwrap(), Rate::PerSecond(200.0));
        assert_eq!(parse_rate("1.5x").unwrap(), Rate::Times(1.5));
        for wrong in ["", "x", "0", "-1", "nan", "1e9", "2y"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_time("1.5"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "s", "0s", "1y", "-1s", "1e3s", "900h"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_this_machine_counts_as_this_machine() {
        assert!(is_loopback("http://127.0.0.1:8080"));
        assert!(is_loopback("http://[::1]:8080"));
        assert!(!is_loopback("http://10.0.0.1:8080"));
    }
}
