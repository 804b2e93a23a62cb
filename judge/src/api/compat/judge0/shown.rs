//! How Judge0 shows a submission: its statuses, its fields, texts plain or in base64.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::super::error::ApiError;
use super::super::door::Fault;
use super::super::program;
use super::submission::Wanted;

/// What is shown where a request does not name fields.
const DEFAULT_FIELDS: [&str; 8] =
    ["stdout", "time", "memory", "stderr", "token", "compile_output", "message", "status"];

/// Judge0's numbers and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Processing = 2,
    Accepted = 3,
    WrongAnswer = 4,
    TimeLimitExceeded = 5,
    CompilationError = 6,
    Segmentation = 7,
    FileSize = 8,
    Arithmetic = 9,
    Aborted = 10,
    NonZeroExit = 11,
    RuntimeOther = 12,
    InternalError = 13,
}

impl Status {
    const ALL: [Self; 12] = [
        Self::Processing,
        Self::Accepted,
        Self::WrongAnswer,
        Self::TimeLimitExceeded,
        Self::CompilationError,
        Self::Segmentation,
        Self::FileSize,
        Self::Arithmetic,
        Self::Aborted,
        Self::NonZeroExit,
        Self::RuntimeOther,
        Self::InternalError,
    ];

    /// The status of a program that a signal ended.
    pub(super) fn of_signal(signal: i32) -> Self {
        match signal {
            11 => Self::Segmentation,
            25 => Self::FileSize,
            8 => Self::Arithmetic,
            6 => Self::Aborted,
            _ => Self::RuntimeOther,
        }
    }

    fn describe(self) -> Value {
        let words = match self {
            Self::Processing => "Processing",
            Self::Accepted => "Accepted",
            Self::WrongAnswer => "Wrong Answer",
            Self::TimeLimitExceeded => "Time Limit Exceeded",
            Self::CompilationError => "Compilation Error",
            Self::Segmentation => "Runtime Error (SIGSEGV)",
            Self::FileSize => "Runtime Error (SIGXFSZ)",
            Self::Arithmetic => "Runtime Error (SIGFPE)",
            Self::Aborted => "Runtime Error (SIGABRT)",
            Self::NonZeroExit => "Runtime Error (NZEC)",
            Self::RuntimeOther => "Runtime Error (Other)",
            Self::InternalError => "Internal Error",
        };
        json!({"id": self as u8, "description": words})
    }
}

/// Every status that is given.
pub(super) fn statuses() -> Vec<Value> {
    Status::ALL.into_iter().map(Status::describe).collect()
}

/// What is known of a submission.
#[derive(Clone, Debug)]
pub(in super::super) enum Done {
    /// It runs, or waits to.
    Processing,
    /// It has run.
    Finished(Arc<Finished>),
}

/// A submission that has run.
#[derive(Clone, Debug)]
pub(in super::super) struct Finished {
    pub(super) status: Status,
    pub(super) language_id: u32,
    pub(super) source: Bytes,
    pub(super) stdout: Option<Bytes>,
    pub(super) stderr: Option<Bytes>,
    pub(super) compile_output: Option<Bytes>,
    pub(super) message: Option<String>,
    pub(super) exit_code: Option<i32>,
    pub(super) exit_signal: Option<i32>,
    pub(super) time: Option<Duration>,
    pub(super) wall_time: Option<Duration>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) created_at: SystemTime,
    pub(super) finished_at: Option<SystemTime>,
}

impl Finished {
    /// What is known before it runs.
    pub(super) fn new(language_id: u32, source: &str) -> Self {
        Self {
            status: Status::Processing,
            language_id,
            source: Bytes::copy_from_slice(source.as_bytes()),
            stdout: None,
            stderr: None,
            compile_output: None,
            message: None,
            exit_code: None,
            exit_signal: None,
            time: None,
            wall_time: None,
            memory_bytes: None,
            created_at: SystemTime::now(),
            finished_at: None,
        }
    }
}

impl Done {
    /// What is said where there was no room for what it wrote: our failure, not a result.
    pub(super) fn lost() -> Self {
        let mut finished = Finished::new(0, "");
        finished.status = Status::InternalError;
        finished.message = Some("there was no room to keep the result; send it again".to_owned());
        finished.finished_at = Some(SystemTime::now());
        Self::Finished(Arc::new(finished))
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Processing => 512,
            Self::Finished(it) => {
                let texts = [&it.stdout, &it.stderr, &it.compile_output];
                let texts: usize = texts.into_iter().flatten().map(Bytes::len).sum();
                texts + it.source.len() + 512
            }
        }
    }
}

/// A submission as a reply shows it.
///
/// # Errors
/// A text is no UTF-8, and base64 was not asked for.
pub(super) fn show(token: &str, done: &Done, wanted: Wanted<'_>) -> Result<Value, Fault> {
    let whole = match done {
        Done::Processing => of_processing(token),
        Done::Finished(finished) => of_finished(token, finished, wanted)?,
    };
    let fields: Vec<&str> = match wanted.fields {
        None => DEFAULT_FIELDS.to_vec(),
        Some("*") => return Ok(Value::Object(whole)),
        Some(fields) => fields.split(',').map(str::trim).collect(),
    };
    let shown = fields.into_iter().map(|name| match name {
        "status_id" => Ok((name.to_owned(), whole["status"]["id"].clone())),
        name => match whole.get(name) {
            Some(value) => Ok((name.to_owned(), value.clone())),
            None => Err(Fault::Request(ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_fields",
                format!("invalid field {name:?}"),
                "fields=* shows all",
            ))),
        },
    });
    Ok(Value::Object(shown.collect::<Result<_, _>>()?))
}

fn of_processing(token: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    for name in FIELDS {
        fields.insert(name.to_owned(), Value::Null);
    }
    fields.insert("token".to_owned(), json!(token));
    fields.insert("status".to_owned(), Status::Processing.describe());
    fields
}

/// All fields but those that repeat the request.
const FIELDS: [&str; 15] = [
    "source_code",
    "language_id",
    "stdout",
    "stderr",
    "compile_output",
    "message",
    "exit_code",
    "exit_signal",
    "status",
    "time",
    "wall_time",
    "memory",
    "token",
    "created_at",
    "finished_at",
];

fn of_finished(
    token: &str,
    it: &Finished,
    wanted: Wanted<'_>,
) -> Result<Map<String, Value>, Fault> {
    let text = |bytes: Option<&Bytes>| match bytes {
        None => Ok(Value::Null),
        Some(bytes) if wanted.base64 => Ok(json!(program::to_base64(bytes) + "\n")),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(json!(text)),
            Err(_) => Err(Fault::Request(ApiError::new(
                StatusCode::BAD_REQUEST,
                "not_text",
                "some attributes for this submission cannot be converted to UTF-8",
                "use base64_encoded=true query parameter",
            ))),
        },
    };
    let message = it.message.as_ref().map(|message| Bytes::copy_from_slice(message.as_bytes()));
    let seconds = |time: Option<Duration>| time.map(|time| format!("{:.3}", time.as_secs_f64()));
    let values = [
        text(Some(&it.source))?,
        json!(it.language_id),
        text(it.stdout.as_ref())?,
        text(it.stderr.as_ref())?,
        text(it.compile_output.as_ref())?,
        text(message.as_ref())?,
        json!(it.exit_code),
        json!(it.exit_signal),
        it.status.describe(),
        json!(seconds(it.time)),
        json!(seconds(it.wall_time)),
        json!(it.memory_bytes.map(|bytes| bytes / 1024)),
        json!(token),
        json!(timestamp(it.created_at)),
        json!(it.finished_at.map(timestamp)),
    ];
    Ok(FIELDS.into_iter().map(str::to_owned).zip(values).collect())
}

/// A moment in the form of ISO 8601, with milliseconds, in UTC.
fn timestamp(moment: SystemTime) -> String {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let milliseconds = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Year, month and day of a number of days since 1970, by eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        let at = |seconds| timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_825_600_000), "2000-02-29T12:00:00.000Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    fn finished(stdout: &'static [u8]) -> Done {
        let mut finished = Finished::new(71, "print(1)");
        finished.status = Status::Accepted;
        finished.stdout = Some(Bytes::from_static(stdout));
        finished.time = Some(Duration::from_micros(12_345));
        finished.memory_bytes = Some(2048 * 1024);
        Done::Finished(Arc::new(finished))
    }

    #[test]
    fn fields_are_shown_as_asked() {
        let show = |done: &Done, base64, fields| show("T", done, Wanted { base64, fields });
        let plain = show(&finished(b"1\n"), false, None).unwrap();
        assert_eq!(plain["stdout"], "1\n");
        assert_eq!((&plain["time"], &plain["memory"]), (&json!("0.012"), &json!(2048)));
        assert_eq!(plain["status"], json!({"id": 3, "description": "Accepted"}));
        assert_eq!(plain.get("source_code"), None);
        let some = show(&finished(b"1\n"), true, Some("stdout,status_id")).unwrap();
        assert_eq!(some, json!({"stdout": "MQo=\n", "status_id": 3}));
        assert_eq!(show(&finished(b"1\n"), false, Some("*")).unwrap()["source_code"], "print(1)");
        assert!(show(&finished(b"1\n"), false, Some("nonsense")).is_err());
        assert!(show(&finished(b"\xff"), false, None).is_err());
        assert_eq!(show(&Done::Processing, false, None).unwrap()["status"]["id"], 2);
    }
}
