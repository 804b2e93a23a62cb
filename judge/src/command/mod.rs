//! The command line: arguments, and exit codes.
//!
//! 0: accepted, or done. 1: judged, and not accepted. 2: the command line or a file is wrong.
//! 3: we failed. 130: interrupted.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod batch;
mod calibrate;
mod configuration;
mod engine;
mod image;
mod inspect;
mod judge;
mod load;
mod math;
mod notebook;
mod problem;
mod serve;
mod smoke;
mod table;

/// Judges untrusted programs and gives rewards that can be trusted.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

const CHECKERS: &str = "How output is compared: tokens, exact, floats, a checker of DMOJ \
(dmoj-standard, dmoj-floats and so on) or another grader's rule (lcb, apps, prime_code, verl, \
sandbox_fusion, multipl-e)";

const EXIT_CODES: &str = "\
Exit codes: 0 accepted or done, 1 judged and not accepted, 2 wrong usage or input, 3 our failure.";

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the service
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Print the whole configuration, or check one
    #[command(subcommand)]
    Config(ConfigAction),
    /// Make keys for tenants
    #[command(subcommand)]
    Key(KeyAction),
    /// Judge a program, or a batch of submissions, without a service
    #[command(after_help = JUDGE_EXAMPLES)]
    Judge(Box<JudgeArgs>),
    /// Press a service with work whose right verdicts are known, and report what came
    #[command(after_help = load::EXAMPLES)]
    Load(Box<load::LoadArgs>),
    /// Compare mathematical answers by exact rules
    #[command(after_help = MATH_EXAMPLES)]
    Math(Box<math::MathArgs>),
    /// Look at problems
    #[command(subcommand)]
    Problem(ProblemAction),
    /// Run and grade notebooks
    #[command(subcommand)]
    Notebook(notebook::NotebookAction),
    /// Turn labelled scores of a value head into a calibration, with AUC and calibration error
    Calibrate(calibrate::CalibrateArgs),
    /// List the languages, and what each that is missing needs
    Languages(OutputArgs),
    /// Build, import, list, check and remove images
    Image(image::ImageArgs),
    /// Say whether this host is fit, layer by layer, and what to do about what is missing
    Preflight(OutputArgs),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  assay serve
  assay serve --listen 0.0.0.0:9000 --slots 8
  assay serve --config assay.toml";

const JUDGE_EXAMPLES: &str = "\
Examples:
  assay judge solution.py --tests tests/            pairs NAME.in and NAME.out (or NAME.ans)
  assay judge solution.cpp --tests tests.json       {\"tests\":[{\"stdin\":\"1 2\",\"stdout\":\"3\"}]}
  assay judge solution.py --tests assertions.py     a program of assertions
  assay judge solution.py --tests tests/ --checker floats --cpu-time-ms 500 --json
  assay judge --batch submissions.jsonl --json > results.jsonl";

const MATH_EXAMPLES: &str = "\
Examples:
  assay math '\\frac{1}{2}' 0.5
  assay math '(0,1)' '0<x<1' --explain
  assay math 5cm 0.05m --preset strict --json
  assay math '\\pi' 3.14 --numeric significant_digits:3
  assay math 4 'so the answer is \\boxed{4}.' --completion
  assay math --batch pairs.jsonl                    {\"gold\":\"1/2\",\"pred\":\"0.5\"} a line";

#[derive(Debug, Args)]
struct ServeArgs {
    /// A TOML file; every key is optional, unknown keys are refused
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<std::net::SocketAddr>,
    /// How many programs run at the same time [default: number of processors]
    #[arg(long, value_name = "COUNT")]
    slots: Option<std::num::NonZeroUsize>,
    /// Serve although an isolation layer is off (see `assay preflight`)
    #[arg(long)]
    without_missing_layers: bool,
    /// Run WebAssembly modules alone, which needs no namespaces
    #[arg(long)]
    wasm_only: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Print the whole configuration with its defaults and what they mean
    Default,
    /// Read a file and the environment as a start would, and say what is wrong with them
    Check {
        /// A TOML file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// Print a new key, and the lines of the configuration that let its holder in
    New {
        /// The tenant's name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum ProblemAction {
    /// Say all that is wrong with a problem folder or file, by line and key
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// A DMOJ problem folder, a folder of NAME.in and NAME.out, or a .json file
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct JudgeArgs {
    /// The program
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    file: Option<PathBuf>,
    /// A folder of NAME.in and NAME.out or NAME.ans, a DMOJ problem folder, a .json file, or a
    /// program of assertions
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "batch")]
    tests: Option<PathBuf>,
    /// A file with one submission object a line
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["tests", "language", "checker"])]
    batch: Option<PathBuf>,
    /// The language [default: by the file's extension]
    #[arg(long)]
    language: Option<String>,
    /// The image that it runs in [default: the first that has the language]
    #[arg(long)]
    image: Option<String>,
    /// The file is a model's completion; judge its last fenced code block
    #[arg(long, requires = "language")]
    completion: bool,
    /// How output is compared
    #[arg(long, value_name = "NAME", help = CHECKERS)]
    checker: Option<String>,
    /// A copy of testlib.h for checkers and interactors in C++
    #[arg(long, value_name = "FILE")]
    testlib: Option<PathBuf>,
    /// Skip the tests after the first that is not accepted
    #[arg(long)]
    stop_early: bool,
    /// Processor time of each test
    #[arg(long, value_name = "MS")]
    cpu_time_ms: Option<u64>,
    /// Time on the clock of each test
    #[arg(long, value_name = "MS")]
    wall_time_ms: Option<u64>,
    /// Memory of each test
    #[arg(long, value_name = "BYTES")]
    memory_bytes: Option<u64>,
    /// How many programs run at the same time [default: 1, or the number of processors for a batch]
    #[arg(long, value_name = "COUNT")]
    slots: Option<std::num::NonZeroUsize>,
    /// Print results as JSON, one a line
    #[arg(long)]
    json: bool,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Accepted, or done.
    Good,
    /// Judged, and not accepted.
    NotAccepted,
    /// Wrong usage or input.
    Usage,
    /// We failed.
    Failed,
    /// Interrupted.
    Interrupted,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Good => 0,
            End::NotAccepted => 1,
            End::Usage => 2,
            End::Failed => 3,
            End::Interrupted => 130,
        })
    }
}

/// An error, and whose it is.
#[derive(Debug)]
struct Failed {
    end: End,
    error: anyhow::Error,
}

/// The caller's error.
fn usage(error: impl Into<anyhow::Error>) -> Failed {
    Failed { end: End::Usage, error: error.into() }
}

/// Our error.
fn ours(error: impl Into<anyhow::Error>) -> Failed {
    Failed { end: End::Failed, error: error.into() }
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let command = Command::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(act(command.action)),
        Err(error) => Err(ours(error)),
    };
    match result {
        Ok(end) => end.into(),
        Err(Failed { end, error }) => {
            complain(&error);
            end.into()
        }
    }
}

async fn act(action: Action) -> Result<End, Failed> {
    match action {
        Action::Serve(args) => serve::serve(args).await,
        Action::Judge(args) => {
            let interrupted = tokio::signal::ctrl_c();
            tokio::select! {
                end = judge_any(*args) => end,
                _ = interrupted => Ok(End::Interrupted),
            }
        }
        Action::Load(args) => load::load(*args).await,
        Action::Config(action) => configuration::config(&action),
        Action::Key(action) => configuration::key(&action),
        Action::Math(args) => math::math(&args),
        Action::Notebook(action) => {
            let interrupted = tokio::signal::ctrl_c();
            tokio::select! {
                end = notebook::notebook(action) => end,
                _ = interrupted => Ok(End::Interrupted),
            }
        }
        Action::Image(args) => image::image(args).await,
        Action::Problem(ProblemAction::Check(args)) => problem::check(&args),
        Action::Calibrate(args) => calibrate::calibrate(&args),
        Action::Languages(args) => inspect::languages(&args),
        Action::Preflight(args) => inspect::preflight(&args),
    }
}

async fn judge_any(args: JudgeArgs) -> Result<End, Failed> {
    match &args.batch {
        Some(path) => batch::judge(path, &args).await,
        None => judge::judge(&args).await,
    }
}

/// Writes to standard output; a reader that went away is no error.
fn emit(text: &str) -> Result<(), Failed> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ours(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The error and its causes; a cause that the message in front of it names already is left out.
fn explain(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if parts.last().is_none_or(|part| !part.contains(&cause)) {
            parts.push(cause);
        }
    }
    parts.join(": ")
}

#[expect(clippy::print_stderr, reason = "this is where the command line says what went wrong")]
fn complain(error: &anyhow::Error) {
    eprintln!("assay: {}", explain(error));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn a_cause_is_named_once() {
        let error = anyhow::anyhow!("no such file").context("failed to read x: no such file");
        assert_eq!(explain(&error.context("it is so")), "it is so: failed to read x: no such file");
    }

    #[test]
    fn a_program_needs_tests_and_a_batch_needs_neither() {
        let parse = |args: &[&str]| Command::try_parse_from([&["assay"], args].concat());
        assert!(parse(&["judge", "a.py", "--tests", "t"]).is_ok());
        assert!(parse(&["judge", "a.py"]).is_err());
        assert!(parse(&["judge", "--batch", "b.jsonl"]).is_ok());
        assert!(parse(&["judge", "a.py", "--batch", "b.jsonl"]).is_err());
        assert!(parse(&["serve", "--slots", "0"]).is_err());
    }
}
