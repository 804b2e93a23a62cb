//! `POST /v1/notebooks/run`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::{
    ErrorBody, Failure, FailureClass, FileContent, NotebookRequest, NotebookResponse, OpenRequest,
};
use sandbox::outcome::Collected;
use sandbox::spec::RelativePath;

use super::body::{self, Received};
use super::error::ApiError;
use super::{CountedBody, Service};
use crate::limits::{
    NOTEBOOK_CELLS_MAX, NOTEBOOK_FILES_MAX, NOTEBOOK_TIME, SESSION_TIME_MIN,
    SESSION_TIME_TO_LIVE_MAX, SOURCE_BYTES_MAX,
};
use crate::session::notebook::{Check, Notebook, NotebookError, grade};
use crate::session::{CellsRequest, CellsRun, SessionRules, run_cells};

/// Runs a whole notebook in a session of its own, and grades it where checks are given.
#[utoipa::path(
    post,
    path = "/v1/notebooks/run",
    tag = "sessions",
    request_body = NotebookRequest,
    responses(
        (status = 200, description = "The notebook with its outputs", body = NotebookResponse),
        (status = 400, description = "The body is not JSON", body = ErrorBody),
        (status = 422, description = "The request makes no sense, or the engine does not start",
            body = ErrorBody),
        (status = 429, description = "Too many sessions", body = ErrorBody),
        (status = 503, description = "The service is shutting down", body = ErrorBody),
    )
)]
pub(super) async fn run(
    State(service): State<Arc<Service>>,
    CountedBody(body): CountedBody,
) -> Result<Json<NotebookResponse>, ApiError> {
    service.check_open()?;
    let sessions = service.sessions()?;
    let Received { bytes, ticket } = body::receive(&service, body).await?;
    let reader = Arc::clone(&service);
    let valid = body::work(bytes, move |bytes| {
        ValidNotebook::read(body::parse(bytes)?, &reader.session_rules())
    })
    .await?;
    let ValidNotebook { notebook, checks, mut request, fetch } = valid;
    request.session.owner = service.tenant();
    let run = run_cells(sessions, request).await?;
    drop(ticket);
    Ok(Json(response(notebook, &checks, fetch, run)))
}

/// A notebook, and how it is run.
#[derive(Debug)]
pub struct ValidNotebook {
    /// The notebook.
    pub notebook: Notebook,
    /// What grades it.
    pub checks: Vec<Check>,
    /// Its cells, and those of the checks after them.
    pub request: CellsRequest,
    /// Names of the files that are handed back.
    pub fetch: Vec<String>,
}

impl ValidNotebook {
    /// Checks a request.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(request: NotebookRequest, rules: &SessionRules<'_>) -> Result<Self, ApiError> {
        let notebook = Notebook::read(request.notebook)?;
        let checks = Check::read(request.checks)?;
        let sources = notebook.sources().map(str::to_owned);
        let cells: Vec<String> =
            sources.chain(checks.iter().map(|check| check.code.clone())).collect();
        check_sizes(&cells, request.fetch_files.len())?;
        let total_time = total_time(request.total_time_ms)?;
        let (language, kernel) = match (request.language, request.kernel) {
            (None, None) => engine(&notebook),
            given => given,
        };
        let opened = OpenRequest {
            language,
            kernel,
            image: request.image,
            limits: request.limits,
            // It ends with its cells, and never for having been idle.
            time_to_live_ms: Some(milliseconds(SESSION_TIME_TO_LIVE_MAX)),
            idle_time_ms: Some(milliseconds(SESSION_TIME_TO_LIVE_MAX)),
            files: request.files,
        };
        let session = rules.session(opened)?;
        let fetch = request.fetch_files;
        let paths = fetch.iter().map(|path| RelativePath::new(path.as_str()));
        let paths = paths.collect::<Result<Vec<_>, _>>().map_err(|error| {
            let hint = "use relative paths of plain names, such as data/output.txt";
            ApiError::unprocessable("invalid_path", format!("fetch_files: {error}"), hint)
        })?;
        let request = CellsRequest {
            session,
            cells,
            always: checks.len(),
            on_error: request.on_error,
            total_time,
            fetch: paths,
        };
        Ok(Self { notebook, checks, request, fetch })
    }
}

/// Checks how many cells and files there are, and how large they are.
pub(super) fn check_sizes(cells: &[String], files: usize) -> Result<(), ApiError> {
    let too_large = |what: &str, max: usize| {
        let message = format!("{what}: too large or too many");
        Err(ApiError::unprocessable("too_large", message, format!("at most {max}")))
    };
    if cells.len() > NOTEBOOK_CELLS_MAX {
        return too_large("cells and checks", NOTEBOOK_CELLS_MAX);
    }
    if cells.iter().any(|code| code.len() > SOURCE_BYTES_MAX) {
        return too_large("the source of a cell", SOURCE_BYTES_MAX);
    }
    if files > NOTEBOOK_FILES_MAX {
        return too_large("fetch_files", NOTEBOOK_FILES_MAX);
    }
    Ok(())
}

fn total_time(asked: Option<u64>) -> Result<Duration, ApiError> {
    let Some(asked) = asked else { return Ok(NOTEBOOK_TIME) };
    let time = Duration::from_millis(asked);
    if time >= SESSION_TIME_MIN && time <= SESSION_TIME_TO_LIVE_MAX {
        return Ok(time);
    }
    let [min, max] = [SESSION_TIME_MIN, SESSION_TIME_TO_LIVE_MAX].map(milliseconds);
    let message = format!("total_time_ms is {asked}");
    let hint = format!("choose total_time_ms from {min} to {max}, or leave it out");
    Err(ApiError::unprocessable("limit_out_of_range", message, hint))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Language and kernel of a notebook whose request names neither.
fn engine(notebook: &Notebook) -> (Option<String>, Option<String>) {
    match notebook.kernelspec() {
        (Some("bash"), _) => (Some("bash".to_owned()), None),
        (Some("python") | None, _) | (_, None) => (Some("python".to_owned()), None),
        (Some(_), Some(kernel)) => (None, Some(kernel.to_owned())),
    }
}

/// What is told of a notebook that ran.
#[must_use]
pub fn response(
    notebook: Notebook,
    checks: &[Check],
    fetch: Vec<String>,
    mut run: CellsRun,
) -> NotebookResponse {
    let own = run.cells.len() - checks.len().min(run.cells.len());
    let checked = run.cells.split_off(own);
    let (notebook, cells) = notebook.executed(run.cells);
    let grade = (!checks.is_empty() && !run.failed).then(|| grade(checks, checked));
    let all = |grade: &protocol::NotebookGrade| grade.checks.iter().all(|check| check.passed);
    let reward = grade.as_ref().map(|grade| f64::from(u8::from(all(grade))));
    let failure = run.failed.then(|| Failure {
        class: FailureClass::Infrastructure,
        retryable: true,
        message: "a slot failed; the notebook was not graded".to_owned(),
    });
    let files: BTreeMap<String, FileContent> = fetch
        .into_iter()
        .zip(run.files)
        .filter_map(|(path, found)| match found {
            Collected::File(content) => Some((path, content_to_wire(&content))),
            Collected::Missing | Collected::TooLarge => None,
        })
        .collect();
    NotebookResponse { notebook, cells, files, grade, reward, valid: !run.failed, failure }
}

/// Text where it is some, else base64.
fn content_to_wire(content: &[u8]) -> FileContent {
    match std::str::from_utf8(content) {
        Ok(text) => FileContent::Text(text.to_owned()),
        Err(_) => FileContent::Bytes { base64: STANDARD.encode(content) },
    }
}

impl From<NotebookError> for ApiError {
    fn from(error: NotebookError) -> Self {
        let hint = "notebook: JSON of an .ipynb file; GET /openapi.json describes every field";
        Self::unprocessable("invalid_notebook", error.to_string(), hint)
    }
}
