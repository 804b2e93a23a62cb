//! Errors of the caller, as JSON: a code, a sentence, and what to do.
//!
//! Whoever makes an [`ApiError`] decides the status; nothing else in the crate knows HTTP.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::{ErrorBody, ErrorDetail};

use crate::admission::Full;
use crate::language::LanguageError;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::problem::answer::AnswerError;
use crate::problem::inline::ProblemError;
use crate::reward::RewardError;
use crate::session::{NotOpened, OpenError, Whose};
use crate::submission::SubmissionError;
use crate::task::TaskError;

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// After how many seconds to try again.
    pub retry_after_seconds: Option<u64>,
}

impl ApiError {
    /// An error without a time to try again.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (message, hint) = (shorten(message.into()), hint.into());
        Self { status, code, message, hint, retry_after_seconds: None }
    }

    /// A request that can be read and makes no sense.
    pub fn unprocessable(
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message, hint)
    }

    /// The same error, with the part of the request that it is about in front.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.message = shorten(format!("{place}: {}", self.message));
        self
    }

    /// Our own fault.
    #[must_use]
    pub fn internal() -> Self {
        let message = "the service failed to answer";
        let hint = "try again; if it stays, look into the service's log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message, hint)
    }

    /// The service is stopping.
    #[must_use]
    pub fn shutting_down() -> Self {
        let hint = "send the request to another instance, or again when this one is back";
        let mut error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting_down",
            "the service is shutting down",
            hint,
        );
        error.retry_after_seconds = Some(5);
        error
    }
}

fn shorten(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
    message
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error =
            ErrorDetail { code: self.code.to_owned(), message: self.message, hint: self.hint };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Full> for ApiError {
    fn from(full: Full) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            full.what.name(),
            full.to_string(),
            format!("send it again in {} s", full.retry_after_seconds),
        );
        error.retry_after_seconds = Some(full.retry_after_seconds);
        error
    }
}

impl From<SubmissionError> for ApiError {
    fn from(error: SubmissionError) -> Self {
        let (code, hint) = match &error {
            SubmissionError::Language(LanguageError::Unknown { known, .. }) => {
                ("unknown_language", format!("known languages: {}", known.join(", ")))
            }
            SubmissionError::Language(LanguageError::UnknownImage { known, .. }) => {
                ("unknown_image", format!("known images: {}", known.join(", ")))
            }
            SubmissionError::Language(LanguageError::Unavailable { .. }) => (
                "language_unavailable",
                "build an image that has the toolchain, or install it where the service runs, and \
                 start it again; GET /v1/languages lists what is available"
                    .to_owned(),
            ),
            SubmissionError::NoLanguage => {
                ("language_missing", "GET /v1/languages lists what can be given".to_owned())
            }
            SubmissionError::Problem(problem) => problem_hint(problem),
            SubmissionError::Code { .. } => (
                "source_or_completion",
                "give `source` for a program, or `completion` for a model's whole answer"
                    .to_owned(),
            ),
            SubmissionError::Nul { .. } => {
                ("nul_byte", "remove the NUL byte; no toolchain reads past it".to_owned())
            }
            SubmissionError::TooLarge { max, .. } => ("too_large", format!("at most {max}")),
            SubmissionError::Limit { name, min, max, .. } => (
                "limit_out_of_range",
                format!("choose {name} from {min} to {max}, or leave it out"),
            ),
            SubmissionError::NoAssertions { .. } => (
                "assertions_unsupported",
                "there is no sound way to prove that assertions ran in this language; \
                 use a problem of kind stdio"
                    .to_owned(),
            ),
            SubmissionError::NoCalls { .. } => (
                "calls_unsupported",
                "functions are called in python, javascript, java and cpp".to_owned(),
            ),
            SubmissionError::NoFramework { .. } => (
                "framework_unavailable",
                "GET /v1/languages lists the `frameworks` of each language".to_owned(),
            ),
            SubmissionError::NoSignature { .. } => {
                ("signature_unsupported", "send a program in c or cpp".to_owned())
            }
            SubmissionError::Path { .. } => (
                "invalid_path",
                "use a relative path of plain names, such as data/input.txt".to_owned(),
            ),
        };
        Self::unprocessable(code, error.to_string(), hint)
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        let (code, hint) = match &error {
            TaskError::Submission(error) => return error.clone().into(),
            TaskError::Answer(error) => answer_hint(error),
            TaskError::Reward(error) => return error.clone().into(),
            TaskError::Field { .. } => ("wrong_field", "leave it out".to_owned()),
            TaskError::Deadline { .. } => {
                ("deadline_out_of_range", "choose another, or leave it out".to_owned())
            }
            TaskError::Given { .. } => (
                "answer_or_completion",
                "give `answer` for the answer alone, or `completion` for a model's whole answer"
                    .to_owned(),
            ),
        };
        Self::unprocessable(code, error.to_string(), hint)
    }
}

impl From<NotOpened> for ApiError {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Full { whose, retry_after_seconds, .. } => {
                let hint = format!("close one, or try again in {retry_after_seconds} s");
                let code = match whose {
                    Whose::Everybody => "too_many_sessions",
                    Whose::Tenant => "too_many_sessions_of_tenant",
                };
                let status = StatusCode::TOO_MANY_REQUESTS;
                let mut full = Self::new(status, code, error.to_string(), hint);
                full.retry_after_seconds = Some(retry_after_seconds);
                full
            }
            NotOpened::Engine(message) => no_engine(&message),
            NotOpened::File(_) => Self::unprocessable(
                "file_refused",
                error.to_string(),
                "give it a path of its own, or the session a larger disk_bytes",
            ),
            NotOpened::Closing => Self::shutting_down(),
            NotOpened::Sandbox(error) => error.into(),
        }
    }
}

/// A session's engine does not start.
pub(super) fn no_engine(message: &str) -> ApiError {
    ApiError::unprocessable(
        "engine_failed",
        format!("the session's engine does not start: {message}"),
        "name an image that has it, or give the session larger limits",
    )
}

impl From<sandbox::Error> for ApiError {
    fn from(error: sandbox::Error) -> Self {
        if matches!(error, sandbox::Error::Closed) {
            return Self::new(
                StatusCode::NOT_FOUND,
                "session_not_found",
                "the session has ended",
                "POST /v1/sessions opens another",
            );
        }
        tracing::error!(%error, "a session failed");
        Self::internal()
    }
}

impl From<OpenError> for ApiError {
    fn from(error: OpenError) -> Self {
        let (code, hint) = match &error {
            OpenError::Submission(error) => return error.clone().into(),
            OpenError::NoEngine { .. } => {
                ("no_engine", "languages: python, bash; or name a `kernel` of the image")
            }
            OpenError::Kernel { .. } => ("invalid_kernel", "for instance \"kernel\": \"python3\""),
            OpenError::Time { .. } => ("limit_out_of_range", "choose a time between them"),
            OpenError::Files(_) | OpenError::Spec(_) => {
                ("invalid_files", "relative paths of plain names; content as text or {\"base64\"}")
            }
        };
        Self::unprocessable(code, error.to_string(), hint)
    }
}

impl From<RewardError> for ApiError {
    fn from(error: RewardError) -> Self {
        let hint = match &error {
            RewardError::Lengths { .. } => "tokens and characters cannot be compared",
            RewardError::UnknownValueHead { .. } => {
                "name one of the configuration's [[value_head]], or add it there"
            }
            RewardError::Count { .. }
            | RewardError::Weight { .. }
            | RewardError::Component { .. } => "GET /openapi.json describes every field",
        };
        Self::unprocessable("invalid_reward", error.to_string(), hint)
    }
}

fn answer_hint(error: &AnswerError) -> (&'static str, String) {
    match error {
        AnswerError::Policy(_) => {
            ("invalid_policy", format!("presets: {}", crate::policy::PRESETS.join(", ")))
        }
        AnswerError::Empty { .. } => {
            ("empty_problem", "an answer needs something to be compared with".to_owned())
        }
        AnswerError::TooLarge { max, .. } => ("too_large", format!("at most {max}")),
        AnswerError::Field { .. } => ("wrong_field", "leave it out".to_owned()),
        AnswerError::UnknownJudge { known, .. } => {
            ("unknown_reward_model", format!("configured: {}", known.join(", ")))
        }
        AnswerError::NoJudge => {
            ("no_reward_model", "add a [[judge]] to the service's configuration".to_owned())
        }
        AnswerError::Votes { .. } => ("votes_out_of_range", "choose another number".to_owned()),
    }
}

fn problem_hint(error: &ProblemError) -> (&'static str, String) {
    let kinds = || {
        "kinds judged: stdio, function, input_output, livecodebench, dmoj, assertions, \
                     unit_tests, repository, math, answer, free_form"
            .to_owned()
    };
    match error {
        ProblemError::UnknownKind { .. } => ("unknown_problem_kind", kinds()),
        ProblemError::NoProgram { .. } => {
            ("wrong_field", "give `answer` or `completion`, and no language".to_owned())
        }
        ProblemError::Empty { .. } => {
            ("empty_problem", "a problem that tests nothing would accept everything".to_owned())
        }
        ProblemError::TooLarge { max, .. } => ("too_large", format!("at most {max}")),
        ProblemError::Nul => {
            ("nul_byte", "remove the NUL byte; no toolchain reads past it".to_owned())
        }
        ProblemError::Checker(_) => {
            ("invalid_checker", "GET /openapi.json tells what a checker may say".to_owned())
        }
        ProblemError::Files(_) | ProblemError::Dmoj(_) => (
            "invalid_problem",
            "`assay problem check DIR` finds all that is wrong with a problem folder".to_owned(),
        ),
        ProblemError::Language { .. } => {
            ("language_unavailable", "GET /v1/languages lists what is available".to_owned())
        }
        ProblemError::Limits { .. } | ProblemError::Wrong { .. } => {
            ("invalid_problem", "GET /openapi.json describes every field".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let error = ApiError::unprocessable("x", "é".repeat(MESSAGE_BYTES_MAX), "");
        assert!(error.message.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
        assert!(error.message.ends_with('…'));
    }
}
