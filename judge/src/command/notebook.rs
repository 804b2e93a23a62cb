//! `assay notebook run FILE.ipynb`: a whole notebook, in this process.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use judge::api::notebooks::{ValidNotebook, response};
use judge::config::{Config, SessionsConfig};
use judge::limits::PROGRAM_LIMITS_MAX;
use judge::problem::folder;
use judge::session::{SessionRules, run_cells};
use protocol::{CellStatus, Limits, NotebookCheck, NotebookRequest, NotebookResponse, OnError};

use super::engine::Engine;
use super::table::Table;
use super::{End, Failed, emit, ours, usage};

#[derive(Debug, Subcommand)]
pub(super) enum NotebookAction {
    /// Run all cells of a notebook in a session of its own
    #[command(after_help = EXAMPLES)]
    Run(Box<NotebookArgs>),
}

const EXAMPLES: &str = "\
Examples:
  assay notebook run report.ipynb --out executed.ipynb
  assay notebook run report.ipynb --image jupyter --kernel python3 --continue
  assay notebook run homework.ipynb --checks checks.json    [{\"code\":\"f(2)\",\"expected\":\"4\"}]";

#[derive(Debug, Args)]
pub(super) struct NotebookArgs {
    /// The notebook
    #[arg(value_name = "FILE.ipynb")]
    file: PathBuf,
    /// Where the executed notebook goes
    #[arg(long, value_name = "FILE.ipynb")]
    out: Option<PathBuf>,
    /// A JSON list of checks, which run after its cells and grade it
    #[arg(long, value_name = "FILE.json")]
    checks: Option<PathBuf>,
    /// python or bash [default: what the notebook says, or python]
    #[arg(long, conflicts_with = "kernel")]
    language: Option<String>,
    /// A Jupyter kernel of the image
    #[arg(long)]
    kernel: Option<String>,
    /// The image that it runs in [default: the first that has the language]
    #[arg(long)]
    image: Option<String>,
    /// Run the cells after one that failed
    #[arg(long = "continue")]
    goes_on: bool,
    /// Processor time of each cell
    #[arg(long, value_name = "MS")]
    cpu_time_ms: Option<u64>,
    /// Time on the clock of each cell
    #[arg(long, value_name = "MS")]
    wall_time_ms: Option<u64>,
    /// Time on the clock of all cells together
    #[arg(long, value_name = "MS")]
    total_time_ms: Option<u64>,
    /// Memory of the session
    #[arg(long, value_name = "BYTES")]
    memory_bytes: Option<u64>,
    /// Print the whole result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn notebook(action: NotebookAction) -> Result<End, Failed> {
    let NotebookAction::Run(args) = action;
    let request = request(&args)?;
    let sessions = SessionsConfig { open_max: 1, memory_bytes_max: u64::MAX };
    let config = Config { slots: NonZeroUsize::MIN, sessions, ..Config::default() };
    let engine = Engine::start(&config).await?;
    let rules = SessionRules { languages: &engine.languages, limits_max: &PROGRAM_LIMITS_MAX };
    let valid = ValidNotebook::read(request, &rules)
        .map_err(|error| usage(anyhow!("{}: {} ({})", error.code, error.message, error.hint)));
    let sessions = engine.sessions(&config).await?.context("no sessions").map_err(ours)?;
    let result = match valid {
        Ok(ValidNotebook { notebook, checks, request, fetch }) => {
            let run = run_cells(&sessions, request).await.map_err(ours);
            run.map(|run| response(notebook, &checks, fetch, run))
        }
        Err(failed) => Err(failed),
    };
    sessions.close_all().await;
    engine.places.close().await;
    let result = result?;
    if let Some(path) = &args.out {
        let text = serde_json::to_string_pretty(&result.notebook).map_err(ours)? + "\n";
        std::fs::write(path, text)
            .with_context(|| format!("failed to write {}", path.display()))
            .map_err(usage)?;
    }
    emit(&if args.json {
        serde_json::to_string(&result).map_err(ours)? + "\n"
    } else {
        describe(&result)
    })?;
    Ok(end_of(&result))
}

fn request(args: &NotebookArgs) -> Result<NotebookRequest, Failed> {
    let checks: Vec<NotebookCheck> = match &args.checks {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    Ok(NotebookRequest {
        notebook: read(&args.file)?,
        language: args.language.clone(),
        kernel: args.kernel.clone(),
        image: args.image.clone(),
        limits: Limits {
            cpu_time_ms: args.cpu_time_ms,
            wall_time_ms: args.wall_time_ms,
            memory_bytes: args.memory_bytes,
            ..Limits::default()
        },
        total_time_ms: args.total_time_ms,
        on_error: if args.goes_on { OnError::Continue } else { OnError::Stop },
        files: std::collections::BTreeMap::new(),
        fetch_files: Vec::new(),
        checks,
    })
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failed> {
    let text = folder::read_text(path).map_err(usage)?;
    serde_json::from_str(&text).map_err(|error| usage(anyhow!("{}: {error}", path.display())))
}

fn describe(result: &NotebookResponse) -> String {
    let mut table = Table::new(["cell", "status", "stopped", "cpu ms", "wall ms"]);
    for cell in &result.cells {
        let (status, stopped, times) = match &cell.reply {
            None => ("not run".to_owned(), String::new(), [0.0; 2]),
            Some(reply) => (
                format!("{:?}", reply.status).to_lowercase(),
                reply.stopped.map(|reason| format!("{reason:?}")).unwrap_or_default(),
                [reply.cpu_time_ms, reply.wall_time_ms],
            ),
        };
        let [cpu, wall] = times.map(|time| format!("{time:.1}"));
        table.push([cell.index.to_string(), status, stopped, cpu, wall]);
    }
    let mut text = table.to_string();
    if let Some(grade) = &result.grade {
        let passed = grade.checks.iter().filter(|check| check.passed).count();
        text += &format!(
            "{passed} of {} checks passed, {} of {} points\n",
            grade.checks.len(),
            grade.points,
            grade.points_max
        );
    }
    text
}

/// How the command ends after `result`.
fn end_of(result: &NotebookResponse) -> End {
    if !result.valid {
        return End::Failed;
    }
    let ran_well = |cell: &protocol::NotebookCell| {
        cell.reply.as_ref().is_some_and(|reply| reply.status == CellStatus::Ok)
    };
    let is_good = match result.reward {
        Some(reward) => reward >= 1.0,
        None => result.cells.iter().all(ran_well),
    };
    if is_good { End::Good } else { End::NotAccepted }
}
