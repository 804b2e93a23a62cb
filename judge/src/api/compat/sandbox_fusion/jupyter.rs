//! `/run_jupyter`: cells in a session of their own, one after the other, whatever became of those
//! before.
//!
//! What a cell raises is its own; the whole is told by the driver's result, which stands here for the
//! session: it ended well where every cell could run to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use protocol::{
    CellError, CellOutput, FailureClass, FileContent, Limits, MimeBundle, OnError, OpenRequest,
    StopReason,
};
use sandbox::spec::RelativePath;
use serde::{Deserialize, Serialize};

use super::super::super::Service;
use super::super::super::body;
use super::super::super::error::ApiError;
use super::super::super::notebooks::check_sizes;
use super::super::door::{self, Fault};
use super::super::program;
use super::{CommandResult, CommandStatus, RunStatus, memory, refuse_as, unlimited};
use crate::pipeline::sandbox_failure;
use crate::session::{CellRun, CellsRequest, CellsRun, NotOpened, run_cells};

/// The kernel that is the interpreter of sessions.
const PYTHON: [&str; 2] = ["python3", "python"];

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct JupyterRequest {
    cells: Vec<String>,
    #[serde(default)]
    cell_timeout: f64,
    #[serde(default = "total_timeout")]
    total_timeout: f64,
    #[serde(default = "unlimited", rename = "memory_limit_MB")]
    memory_limit_mb: i64,
    #[serde(default = "kernel")]
    kernel: String,
    #[serde(default)]
    files: BTreeMap<String, Option<String>>,
    #[serde(default)]
    fetch_files: Vec<String>,
}

protocol::read_object!(JupyterRequest);

fn total_timeout() -> f64 {
    45.0
}

fn kernel() -> String {
    PYTHON[0].to_owned()
}

#[derive(Clone, Debug, Serialize)]
struct JupyterReply {
    status: RunStatus,
    message: String,
    driver: Option<CommandResult>,
    cells: Vec<Cell>,
    executor_pod_name: Option<String>,
    files: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Cell {
    stdout: String,
    stderr: String,
    display: Vec<MimeBundle>,
    error: Vec<CellError>,
}

/// What is to be run, and the names of the files that go back.
#[derive(Debug)]
struct Plan {
    request: CellsRequest,
    fetched: Vec<String>,
}

pub(super) async fn run_jupyter(State(service): State<Arc<Service>>, request: Request) -> Response {
    let reply = async {
        let Plan { mut request, fetched } = door::read(&service, request, plan).await?;
        request.session.owner = service.tenant();
        let run = run_cells(service.sessions()?, request).await.map_err(fault)?;
        door::json(&service, StatusCode::OK, &reply(run, &fetched)?)
    };
    match reply.await {
        Ok(response) => response,
        Err(fault) => refuse_as(&service, &fault, &JupyterReply::failed(fault.message())),
    }
}

fn plan(service: &Service, bytes: &[u8]) -> Result<Plan, ApiError> {
    let request: JupyterRequest = body::parse(bytes)?;
    check_sizes(&request.cells, request.fetch_files.len())?;
    let total = program::time_limits("total_timeout", request.total_timeout)?;
    let each = if request.cell_timeout == 0.0 {
        total
    } else {
        program::time_limits("cell_timeout", request.cell_timeout)?
    };
    let memory_bytes = Some(memory(service, request.memory_limit_mb));
    let (language, kernel) = if PYTHON.contains(&request.kernel.as_str()) {
        (Some("python".to_owned()), None)
    } else {
        (None, Some(request.kernel))
    };
    let files = request.files.into_iter();
    let files = files.filter_map(|(path, content)| {
        let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
        Some((path, FileContent::Bytes { base64: content? }))
    });
    let opened = OpenRequest {
        language,
        kernel,
        limits: Limits { memory_bytes, ..each },
        files: files.collect(),
        ..OpenRequest::default()
    };
    let fetch = request.fetch_files.iter().map(|path| program::relative(path));
    let cells = CellsRequest {
        session: service.session_rules().session(opened)?,
        cells: request.cells,
        always: 0,
        on_error: OnError::Continue,
        total_time: Duration::from_millis(total.wall_time_ms.unwrap_or_default()),
        fetch: fetch.collect::<Result<Vec<RelativePath>, _>>()?,
    };
    Ok(Plan { request: cells, fetched: request.fetch_files })
}

/// Why there is no session.
fn fault(error: NotOpened) -> Fault {
    match error {
        NotOpened::Sandbox(error) => {
            tracing::error!(%error, "a session failed");
            Fault::Failure(sandbox_failure(&error).to_wire())
        }
        error @ (NotOpened::Full { .. }
        | NotOpened::Engine(_)
        | NotOpened::File(_)
        | NotOpened::Closing) => Fault::Request(error.into()),
    }
}

fn reply(run: CellsRun, fetched: &[String]) -> Result<JupyterReply, Fault> {
    if run.failed {
        return Err(Fault::Failure(protocol::Failure {
            class: FailureClass::Infrastructure,
            retryable: true,
            message: "a slot failed while the cells ran".to_owned(),
        }));
    }
    let (status, return_code, message) = ending(&run.cells);
    let sum = |part: fn(&protocol::ExecuteReply) -> f64| {
        run.cells.iter().filter_map(|cell| cell.reply.as_ref()).map(part).sum::<f64>() / 1e3
    };
    let driver = CommandResult {
        status,
        execution_time: sum(|reply| reply.wall_time_ms),
        cpu_time: sum(|reply| reply.cpu_time_ms),
        return_code,
        stdout: String::new(),
        stderr: String::new(),
    };
    Ok(JupyterReply {
        status: if return_code == Some(0) { RunStatus::Success } else { RunStatus::Failed },
        message: message.to_owned(),
        driver: Some(driver),
        files: program::fetched(fetched, &run.files),
        cells: run.cells.into_iter().map(|cell| Cell::of(cell.outputs)).collect(),
        executor_pod_name: None,
    })
}

/// How the session ended, as far as its cells could not run to their ends.
fn ending(cells: &[CellRun]) -> (CommandStatus, Option<i32>, &'static str) {
    use CommandStatus::{Finished, TimeLimitExceeded};
    for cell in cells {
        let Some(reply) = &cell.reply else {
            return (TimeLimitExceeded, None, "the time of all cells together was over");
        };
        let Some(reason) = reply.stopped else { continue };
        return match reason {
            StopReason::CpuTimeLimit | StopReason::IdleCpuTimeLimit => {
                (TimeLimitExceeded, None, "a cell met its limit of cpu time")
            }
            StopReason::WallTimeLimit | StopReason::TimeToLive | StopReason::IdleTime => {
                (TimeLimitExceeded, None, "a cell met its limit of wall time")
            }
            StopReason::MemoryLimit => (Finished, Some(-9), "the cells met their limit of memory"),
            StopReason::OutputLimit => (Finished, Some(-25), "a cell met its limit of output"),
            StopReason::Exited => (Finished, Some(1), "a cell ended the interpreter"),
            StopReason::Interrupted
            | StopReason::ClientGone
            | StopReason::Restarted
            | StopReason::Closed
            | StopReason::SlotFailed => (Finished, Some(1), "the session was ended"),
        };
    }
    (Finished, Some(0), "")
}

impl JupyterReply {
    /// The wire's word for a failure of the sandbox.
    fn failed(message: String) -> Self {
        Self {
            status: RunStatus::SandboxError,
            driver: Some(CommandResult::failed(&message)),
            message,
            cells: Vec::new(),
            executor_pod_name: None,
            files: BTreeMap::new(),
        }
    }
}

impl Cell {
    fn of(outputs: Vec<CellOutput>) -> Self {
        let mut cell = Self::default();
        for output in outputs {
            match output {
                CellOutput::Stream { name, text } if name == "stderr" => cell.stderr += &text,
                CellOutput::Stream { text, .. } => cell.stdout += &text,
                CellOutput::DisplayData { data, .. } | CellOutput::ExecuteResult { data, .. } => {
                    cell.display.push(data);
                }
                CellOutput::Error(error) => cell.error.push(error),
            }
        }
        cell
    }
}

#[cfg(test)]
mod tests {
    use protocol::{CellStatus, ExecuteReply, SessionState};
    use serde_json::{Value, json};

    use super::super::super::door::Meaning;
    use super::*;
    use crate::session::Whose;

    fn ran(stopped: Option<StopReason>) -> CellRun {
        let reply = ExecuteReply {
            status: CellStatus::Ok,
            execution_count: 1,
            exit_code: None,
            stopped,
            truncated: false,
            state: SessionState::Idle,
            cpu_time_ms: 250.0,
            wall_time_ms: 500.0,
        };
        CellRun { outputs: Vec::new(), reply: Some(reply) }
    }

    fn told(cells: Vec<CellRun>, failed: bool) -> Value {
        match reply(CellsRun { cells, files: Vec::new(), failed }, &[]) {
            Ok(reply) => serde_json::to_value(reply).unwrap(),
            Err(fault) => json!(format!("{:?}", fault.meaning())),
        }
    }

    #[test]
    fn each_end_of_a_session_is_said_in_the_wires_words() {
        let well = told(vec![ran(None), ran(None)], false);
        assert_eq!(
            (&well["status"], &well["driver"]["return_code"]),
            (&json!("Success"), &json!(0))
        );
        assert_eq!(well["driver"]["execution_time"], 1.0);
        assert_eq!(well["driver"]["cpu_time"], 0.5);
        let late = told(vec![ran(None), CellRun::default()], false);
        assert_eq!(late["driver"]["status"], "TimeLimitExceeded");
        for (reason, status, code) in [
            (StopReason::CpuTimeLimit, "TimeLimitExceeded", Value::Null),
            (StopReason::WallTimeLimit, "TimeLimitExceeded", Value::Null),
            (StopReason::MemoryLimit, "Finished", json!(-9)),
            (StopReason::OutputLimit, "Finished", json!(-25)),
            (StopReason::Exited, "Finished", json!(1)),
        ] {
            let said = told(vec![ran(Some(reason)), CellRun::default()], false);
            assert_eq!(said["status"], "Failed", "{said}");
            assert_eq!(said["driver"]["status"], status, "{said}");
            assert_eq!(said["driver"]["return_code"], code, "{said}");
            assert!(said["message"] != "", "{said}");
        }
        assert_eq!(told(vec![ran(Some(StopReason::SlotFailed))], true), "MayPass");
        let slot = || sandbox::Error::Slot { slot: 0, step: "run", reason: "it is gone".into() };
        let full = NotOpened::Full {
            whose: Whose::Everybody,
            open: 1,
            open_max: 1,
            retry_after_seconds: 3,
        };
        for (error, meaning) in [
            (full, Meaning::Busy),
            (NotOpened::Closing, Meaning::Busy),
            (NotOpened::Engine("no".to_owned()), Meaning::Wrong),
            (NotOpened::Sandbox(slot()), Meaning::MayPass),
            (NotOpened::Sandbox(sandbox::Error::EntryMissing), Meaning::Stays),
        ] {
            assert_eq!(fault(error).meaning(), meaning);
        }
    }

    #[test]
    fn what_a_cell_showed_is_told_by_kind() {
        let outputs = json!([
            {"output_type": "stream", "name": "stdout", "text": "a"},
            {"output_type": "stream", "name": "stderr", "text": "b"},
            {"output_type": "stream", "name": "stdout", "text": "c"},
            {"output_type": "display_data", "data": {"image/png": "x"}, "metadata": {}},
            {"output_type": "execute_result", "data": {"text/plain": "1"}, "metadata": {},
             "execution_count": 1},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
        ]);
        let cell = Cell::of(serde_json::from_value(outputs).unwrap());
        assert_eq!((cell.stdout.as_str(), cell.stderr.as_str()), ("ac", "b"));
        assert_eq!(cell.display.len(), 2);
        assert_eq!(cell.error[0].ename, "E");
    }
}
