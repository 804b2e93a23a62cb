//! `/v1/sessions`: open, run cells, files, interrupt, restart, close.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use protocol::{
    CellOutput, ErrorBody, ExecuteReply, ExecuteRequest, ExecuteResponse, FileInfo, FileKind,
    FilesResponse, OpenRequest, SessionEvent, SessionInfo, SessionsResponse,
};
use sandbox::outcome::Collected;
use sandbox::session::{Kind, Written};
use sandbox::spec::{FileMode, InputFile, RelativePath};
use tokio::sync::mpsc;

use super::body::{self, Received};
use super::error::ApiError;
use super::stream::Form;
use super::{CountedBody, Service};
use crate::limits::{CELL_EVENTS_MAX, SOURCE_BYTES_MAX};
use crate::session::{Cell, Handle, NotTaken, Outputs, Sessions};

const NDJSON: &str = "application/x-ndjson";

/// Opens a session: an interpreter or a shell that keeps its state between cells, without a network.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    tag = "sessions",
    request_body = OpenRequest,
    responses(
        (status = 201, description = "The session; Location names it", body = SessionInfo),
        (status = 400, description = "The body is not JSON", body = ErrorBody),
        (status = 422, description = "The request makes no sense, or the engine does not start",
            body = ErrorBody),
        (status = 429, description = "Too many sessions; Retry-After says when one ends by itself",
            body = ErrorBody),
        (status = 503, description = "The service is shutting down", body = ErrorBody),
    )
)]
pub(super) async fn open(
    State(service): State<Arc<Service>>,
    CountedBody(body): CountedBody,
) -> Result<Response, ApiError> {
    service.check_open()?;
    let sessions = service.sessions()?;
    let Received { bytes, ticket } = body::receive(&service, body).await?;
    let reader = Arc::clone(&service);
    let mut valid = body::work(bytes, move |bytes| {
        let request: OpenRequest =
            if bytes.is_empty() { OpenRequest::default() } else { body::parse(bytes)? };
        reader.session_rules().session(request).map_err(ApiError::from)
    })
    .await?;
    valid.owner = service.tenant();
    let handle = sessions.open(valid).await?;
    drop(ticket);
    let location = format!("/v1/sessions/{}", handle.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(handle.info())).into_response())
}

/// Lists the open sessions.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "sessions",
    responses((status = 200, description = "The open sessions", body = SessionsResponse))
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
) -> Result<Json<SessionsResponse>, ApiError> {
    let (sessions, open_max) = service.sessions()?.list(&service.tenant().name);
    Ok(Json(SessionsResponse { sessions, open_max }))
}

/// Tells what a session is doing.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = SessionInfo),
        (status = 404, description = "There is no such session", body = ErrorBody),
    )
)]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<SessionInfo>, ApiError> {
    Ok(Json(find(&service, &id)?.info()))
}

/// Closes a session, whatever it does.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "Nothing of it is left"),
        (status = 404, description = "There is no such session", body = ErrorBody),
    )
)]
pub(super) async fn close(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let handle = find(&service, &id)?;
    service.sessions()?.close(&handle).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a cell, or a command, after those that wait.
///
/// With `Accept: application/x-ndjson` each message is sent as one line as it comes, in Jupyter's
/// shapes; the last is `execute_reply`. When the client goes away the cell is interrupted.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/execute",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    request_body = ExecuteRequest,
    responses(
        (status = 200, description = "What the cell did", content(
            (ExecuteResponse = "application/json"),
            (SessionEvent = "application/x-ndjson"),
        )),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 409, description = "The interpreter has ended", body = ErrorBody),
        (status = 422, description = "The request makes no sense", body = ErrorBody),
        (status = 429, description = "Too many cells wait", body = ErrorBody),
    )
)]
pub(super) async fn execute(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    CountedBody(body): CountedBody,
) -> Result<Response, ApiError> {
    service.check_open()?;
    let handle = find(&service, &id)?;
    let Received { bytes, ticket } = body::receive(&service, body).await?;
    let request: ExecuteRequest = body::work(bytes, body::parse).await?;
    let (events, received) = mpsc::channel(CELL_EVENTS_MAX);
    handle.run(cell(&service, &handle, request, events)?)?;
    drop(ticket);
    match Form::of(&headers) {
        Form::Lines | Form::Events => Ok(stream_events(received)),
        Form::Whole => collect(received).await,
    }
}

fn cell(
    service: &Service,
    handle: &Handle,
    request: ExecuteRequest,
    events: mpsc::Sender<SessionEvent>,
) -> Result<Cell, ApiError> {
    let ExecuteRequest { code, silent, cpu_time_ms, wall_time_ms } = request;
    if code.len() > SOURCE_BYTES_MAX {
        let message = format!("`code` has {} bytes", code.len());
        let hint = format!("at most {SOURCE_BYTES_MAX}");
        return Err(ApiError::unprocessable("too_large", message, hint));
    }
    if code.contains('\0') {
        let hint = "remove the NUL byte; no interpreter reads past it";
        return Err(ApiError::unprocessable("nul_byte", "`code` contains a NUL byte", hint));
    }
    let limits = protocol::Limits { cpu_time_ms, wall_time_ms, ..protocol::Limits::default() };
    crate::submission::check_limits(&limits, service.session_rules().limits_max)?;
    let own = &handle.valid().limits;
    let cpu_time = cpu_time_ms.map_or(own.cpu_time, Duration::from_millis);
    let wall_time = wall_time_ms.map_or(own.wall_time, Duration::from_millis);
    Ok(Cell { code, silent, cpu_time, wall_time, events })
}

fn stream_events(received: mpsc::Receiver<SessionEvent>) -> Response {
    let lines = stream::unfold(received, |mut received| async {
        let event = received.recv().await?;
        let line = match serde_json::to_vec(&event) {
            Ok(mut line) => {
                line.push(b'\n');
                line
            }
            Err(error) => {
                tracing::error!(%error, "an event could not be encoded");
                Vec::new()
            }
        };
        Some((Ok::<_, Infallible>(Bytes::from(line)), received))
    });
    (StatusCode::OK, [(CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
}

async fn collect(received: mpsc::Receiver<SessionEvent>) -> Result<Response, ApiError> {
    match Outputs::collect(received).await {
        Some((outputs, reply)) => Ok(Json(response(outputs, reply)).into_response()),
        None => Err(not_there()),
    }
}

fn response(outputs: Vec<CellOutput>, reply: ExecuteReply) -> ExecuteResponse {
    ExecuteResponse { reply, outputs }
}

/// Interrupts the cell that runs; without one, nothing happens.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/interrupt",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 202, description = "The cell was interrupted; its end comes with its own reply",
            body = SessionInfo),
        (status = 404, description = "There is no such session", body = ErrorBody),
    )
)]
pub(super) async fn interrupt(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let handle = find(&service, &id)?;
    handle.interrupt().await;
    Ok((StatusCode::ACCEPTED, Json(handle.info())).into_response())
}

/// Starts the interpreter anew. Its state is lost, and the cells that wait; its files stay.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/restart",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = SessionInfo),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 422, description = "The engine does not start", body = ErrorBody),
    )
)]
pub(super) async fn restart(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<SessionInfo>, ApiError> {
    let handle = find(&service, &id)?;
    handle.restart().await.map_err(|message| super::error::no_engine(&message))?;
    Ok(Json(handle.info()))
}

/// Lists the files of a session.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/files",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "Its files", body = FilesResponse),
        (status = 404, description = "There is no such session", body = ErrorBody),
    )
)]
pub(super) async fn files(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<FilesResponse>, ApiError> {
    let handle = find(&service, &id)?;
    handle.used();
    let listing = handle.session.list().await?;
    let file = |(path, kind)| {
        let (kind, bytes) = match kind {
            Kind::File { bytes } => (FileKind::File, Some(bytes)),
            Kind::Folder => (FileKind::Folder, None),
            Kind::Other => (FileKind::Other, None),
        };
        FileInfo { path, kind, bytes }
    };
    let files = listing.entries.into_iter().map(file).collect();
    Ok(Json(FilesResponse { files, truncated: listing.truncated }))
}

/// Fetches a file of a session, while a cell runs as well.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/files/{path}",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "Below the folder in which it started"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>,
            content_type = "application/octet-stream"),
        (status = 404, description = "There is no such session or file", body = ErrorBody),
        (status = 413, description = "The file is too large", body = ErrorBody),
    )
)]
pub(super) async fn fetch(
    State(service): State<Arc<Service>>,
    Path((id, path)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let handle = find(&service, &id)?;
    let relative = relative(&path)?;
    handle.used();
    let bytes_max = sandbox::limits::SESSION_FILE_BYTES_MAX;
    match handle.session.read(&relative, bytes_max).await? {
        Collected::File(content) => {
            let kind = [(CONTENT_TYPE, "application/octet-stream")];
            Ok((StatusCode::OK, kind, content).into_response())
        }
        Collected::Missing => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "file_not_found",
            format!("the session has no file {path:?}"),
            "GET /v1/sessions/{id}/files lists its files; links and pipes cannot be fetched",
        )),
        Collected::TooLarge => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "file_too_large",
            format!("{path:?} has more than {bytes_max} bytes"),
            "let a cell split or compress it",
        )),
    }
}

/// Puts a file into a session, in place of one that is there, while a cell runs as well.
#[utoipa::path(
    put,
    path = "/v1/sessions/{id}/files/{path}",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("path" = String, Path, description = "Below the folder in which it started"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 204, description = "It is there"),
        (status = 404, description = "There is no such session", body = ErrorBody),
        (status = 409, description = "There is no room, or something is in its way",
            body = ErrorBody),
        (status = 413, description = "It is too large", body = ErrorBody),
    )
)]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    Path((id, path)): Path<(String, String)>,
    CountedBody(body): CountedBody,
) -> Result<StatusCode, ApiError> {
    service.check_open()?;
    let handle = find(&service, &id)?;
    let relative = relative(&path)?;
    let Received { bytes, ticket } = body::receive(&service, body).await?;
    handle.used();
    let file = InputFile { path: relative, content: bytes.into(), mode: FileMode::Plain };
    let written = handle.session.write(vec![file]).await?;
    drop(ticket);
    match written {
        Written::Done => Ok(StatusCode::NO_CONTENT),
        Written::Refused(error) => Err(ApiError::new(
            StatusCode::CONFLICT,
            "file_refused",
            format!("{path:?} cannot be written: {error}"),
            "remove what is in its way, or open the session with a larger disk_bytes",
        )),
    }
}

fn relative(path: &str) -> Result<RelativePath, ApiError> {
    RelativePath::new(path).map_err(|error| {
        let hint = "use a relative path of plain names, such as data/input.txt";
        ApiError::unprocessable("invalid_path", error.to_string(), hint)
    })
}

fn find(service: &Service, id: &str) -> Result<Arc<Handle>, ApiError> {
    service.sessions()?.find(id, &service.tenant().name).ok_or_else(not_there)
}

fn not_there() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "session_not_found",
        "there is no such session",
        "it was closed, or its time was over; POST /v1/sessions opens another",
    )
}

impl From<NotTaken> for ApiError {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Closed => not_there(),
            NotTaken::Full => {
                let mut error = Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_cells",
                    "too many cells of this session wait",
                    "wait for the replies to some of them",
                );
                error.retry_after_seconds = Some(1);
                error
            }
            NotTaken::Dead(reason) => {
                let reason = reason.map(|reason| format!(" ({reason:?})")).unwrap_or_default();
                Self::new(
                    StatusCode::CONFLICT,
                    "session_dead",
                    format!("the interpreter of this session has ended{reason}"),
                    "POST /v1/sessions/{id}/restart starts it anew; its files are still there",
                )
            }
        }
    }
}

impl Service {
    /// The sessions, where the service keeps any.
    pub(super) fn sessions(&self) -> Result<&Sessions, ApiError> {
        self.sessions.as_ref().ok_or_else(|| {
            ApiError::new(
                StatusCode::NOT_FOUND,
                "no_sessions",
                "this service keeps no sessions",
                "set sessions.open_max in the configuration",
            )
        })
    }
}
