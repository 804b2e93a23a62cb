//! `sandbox`: runs one program in a slot and prints the facts.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line")]

use std::io::{Read, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use sandbox::limits::Bytes;
use sandbox::outcome::Termination;
use sandbox::preflight::State;
use sandbox::spec::{BOX_DIR, FileMode, InputFile, RelativePath};
use sandbox::{Image, Lease, Limits, Outcome, PoolConfig, RunSpec, SlotPool, preflight};

/// Runs untrusted programs in full isolation and reports facts.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Examples:\n  \
    sandbox run -- /usr/bin/python3 -c 'print(1 + 1)'\n  \
    sandbox run --json --cpu-time-ms 500 --memory-mib 64 -- /bin/sh -c 'while :; do :; done'\n  \
    sandbox run --file main.py --stdin - -- /usr/bin/python3 /box/main.py < input.txt\n  \
    sandbox preflight"
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one program in a fresh slot.
    Run(Box<Run>),
    /// Tell whether this host can isolate programs, layer by layer.
    Preflight,
}

#[derive(Args)]
struct Run {
    /// Print the facts and both streams as one JSON object.
    #[arg(long)]
    json: bool,
    /// Processor time of all processes together.
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    cpu_time_ms: u64,
    /// Time on the clock.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    wall_time_ms: u64,
    /// Memory of all processes together.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory_mib: u64,
    /// Processes and threads alive at once.
    #[arg(long, default_value_t = 64)]
    pids: u32,
    /// Bytes of standard output, and as many of standard error.
    #[arg(long, value_name = "KIB", default_value_t = 16_384)]
    output_kib: u64,
    /// File to read standard input from; `-` for this program's own.
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// File to put below /box, under its own name; may be given several times.
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Run it so many times, one after the other in the same slot; the last ends this program.
    #[arg(long, value_name = "TIMES", default_value = "1")]
    repeat: NonZeroU32,
    /// Environment entry, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The program, an absolute path inside the slot, and its arguments.
    #[arg(required = true, last = true)]
    argv: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn run_async(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => run(&arguments).await,
        Command::Preflight => Ok(print_preflight()),
    }
}

fn main() -> ExitCode {
    sandbox::resident_entry();
    match run_async(CommandLine::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sandbox: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn print_preflight() -> ExitCode {
    let layers = preflight::preflight();
    for layer in &layers {
        let state = match layer.state {
            State::On => "on",
            State::Degraded => "degraded",
            State::Off => "OFF",
        };
        println!("{:<24} {state:<9} {}", layer.name, layer.detail);
        if !layer.advice.is_empty() {
            println!("{:<24} {:<9} -> {}", "", "", layer.advice);
        }
    }
    let fit = layers.iter().all(|layer| layer.state != State::Off);
    ExitCode::from(u8::from(!fit))
}

async fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    let spec = spec(arguments)?;
    let mut files = Vec::new();
    for path in &arguments.file {
        let name =
            path.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
        let content = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let (path, mode) = (RelativePath::new(name)?, FileMode::Executable);
        files.push(InputFile { path, content: content.into(), mode });
    }
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = NonZeroUsize::MIN;
    let pool = SlotPool::new(config).await?;
    let outcome = {
        let mut lease = pool.lease().await?;
        if !files.is_empty() {
            lease.install(&files).await.with_context(|| format!("install files in {BOX_DIR}"))?;
        }
        repeat(&mut lease, &spec, arguments).await
    };
    pool.close().await;
    print(&outcome?, arguments.json)
}

/// All but the last outcome are printed here.
async fn repeat(lease: &mut Lease, spec: &RunSpec, arguments: &Run) -> anyhow::Result<Outcome> {
    for _ in 1..arguments.repeat.get() {
        print(&lease.run(spec).await?, arguments.json)?;
    }
    Ok(lease.run(spec).await?)
}

fn spec(arguments: &Run) -> anyhow::Result<RunSpec> {
    let mut stdin = Vec::new();
    match &arguments.stdin {
        Some(path) if path.as_os_str() == "-" => {
            std::io::stdin().read_to_end(&mut stdin).context("read standard input")?;
        }
        Some(path) => {
            stdin = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        }
        None => {}
    }
    let mut env = vec!["PATH=/usr/local/bin:/usr/bin:/bin".to_owned(), "HOME=/w".to_owned()];
    env.extend(arguments.env.iter().cloned());
    let limits = Limits {
        cpu_time: Duration::from_millis(arguments.cpu_time_ms),
        wall_time: Duration::from_millis(arguments.wall_time_ms),
        memory: Bytes::mib(arguments.memory_mib),
        pids: arguments.pids,
        output: Bytes::kib(arguments.output_kib),
        ..Limits::default()
    };
    Ok(RunSpec::new(&arguments.argv)?.env(&env)?.stdin(stdin)?.limits(limits)?)
}

/// The program's exit code where it has one, 1 where a limit or a signal ended it.
fn print(outcome: &Outcome, json: bool) -> anyhow::Result<ExitCode> {
    let usage = &outcome.usage;
    if json {
        let facts = serde_json::json!({
            "termination": outcome.termination,
            "cpu_time_ms": usage.cpu_time.as_secs_f64() * 1e3,
            "wall_time_ms": usage.wall_time.as_secs_f64() * 1e3,
            "peak_memory_bytes": usage.peak_memory.0,
            "stdout": String::from_utf8_lossy(&outcome.stdout.bytes),
            "stdout_truncated": outcome.stdout.truncated,
            "stderr": String::from_utf8_lossy(&outcome.stderr.bytes),
            "stderr_truncated": outcome.stderr.truncated,
        });
        println!("{facts}");
    } else {
        std::io::stdout().write_all(&outcome.stdout.bytes)?;
        std::io::stderr().write_all(&outcome.stderr.bytes)?;
        eprintln!(
            "sandbox: {:?}, cpu {:?}, wall {:?}, memory {} KiB",
            outcome.termination,
            usage.cpu_time,
            usage.wall_time,
            usage.peak_memory.0 >> 10,
        );
    }
    Ok(match outcome.termination {
        Termination::Exited { code } => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Termination::Signalled { .. }
        | Termination::CpuTimeLimit
        | Termination::WallTimeLimit
        | Termination::MemoryLimit
        | Termination::OutputLimit => ExitCode::from(1),
    })
}
