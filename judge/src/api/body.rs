//! Reads a request body: bounded in bytes, in time and together with all others, then decoded and
//! parsed.
//!
//! The content type is not looked at: a body is JSON or it is an error. Messages name the field,
//! the line and the column.

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::Service;
use super::caller::{Caller, mark_of};
use super::encoding::{self, Encoding};
use super::error::ApiError;
use crate::admission::BodyTicket;

/// Bodies above this are parsed beside the event loop.
const PARSE_INLINE_BYTES_MAX: usize = 64 << 10;

/// A body, and the right to hold it.
#[derive(Debug)]
pub struct Received {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Dropped when what the body became is no longer held.
    pub ticket: BodyTicket,
}

/// A body on its way in.
#[derive(Debug)]
pub struct Incoming {
    /// What comes.
    pub(super) body: Body,
    /// How it is encoded.
    pub(super) encoding: Encoding,
}

/// Reads `incoming` to its end.
///
/// # Errors
/// It is too large, too slow, not encoded as it says, or there is no room.
pub async fn receive(service: &Service, incoming: Incoming) -> Result<Received, ApiError> {
    let time_max = std::time::Duration::from_millis(service.config.timeouts.body_read_ms);
    let Incoming { body, encoding } = incoming;
    let Ok(received) = tokio::time::timeout(time_max, read(service, body)).await else {
        return Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            format!("the body was not complete after {} ms", time_max.as_millis()),
            "send the body without pauses, or split the batch",
        ));
    };
    let received = mark(received?).await?;
    match encoding {
        Encoding::Identity => Ok(received),
        Encoding::Gzip | Encoding::Zstd => decode(service, received, encoding).await,
    }
}

/// Lets the caller be known by the body when it comes again.
async fn mark(received: Received) -> Result<Received, ApiError> {
    let Received { bytes, ticket } = received;
    let digest = |bytes: Vec<u8>| (mark_of(&bytes), bytes);
    let (mark, bytes) = if bytes.len() <= PARSE_INLINE_BYTES_MAX {
        digest(bytes)
    } else {
        tokio::task::spawn_blocking(move || digest(bytes)).await.map_err(|error| {
            tracing::error!(%error, "digesting a body failed");
            ApiError::internal()
        })?
    };
    Caller::current().set_mark(mark);
    Ok(Received { bytes, ticket })
}

async fn read(service: &Service, mut body: Body) -> Result<Received, ApiError> {
    let bytes_max = service.config.admission.body_bytes_max.get();
    let mut ticket = service.admission.admit_body(&service.tenant(), 0)?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "body_incomplete",
                format!("the body could not be read: {error}"),
                "send the whole body",
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        ticket.grow(bytes.len() + data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Received { bytes, ticket })
}

/// Decodes a body beside the event loop. Both forms count until the encoded one is gone.
async fn decode(
    service: &Service,
    received: Received,
    encoding: Encoding,
) -> Result<Received, ApiError> {
    let bytes_max = service.config.admission.body_bytes_max.get();
    let decoded = tokio::task::spawn_blocking(move || {
        let Received { bytes, mut ticket } = received;
        let decoded = encoding::decode(&bytes, encoding, |decoded| {
            if decoded > bytes_max {
                return Err(too_large(bytes_max));
            }
            Ok(ticket.grow(bytes.len() + decoded)?)
        })?;
        Ok(Received { bytes: decoded, ticket })
    });
    decoded.await.unwrap_or_else(|error| {
        tracing::error!(%error, "decoding a body failed");
        Err(ApiError::internal())
    })
}

/// A body that says beforehand that it is too large.
pub fn check_length(service: &Service, length: Option<u64>) -> Result<(), ApiError> {
    let bytes_max = service.config.admission.body_bytes_max.get();
    match length {
        Some(length) if usize::try_from(length).is_ok_and(|length| length <= bytes_max) => Ok(()),
        Some(_) => Err(too_large(bytes_max)),
        None => Ok(()),
    }
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body is larger than {bytes_max} bytes"),
        "split the batch, or raise admission.body_bytes_max in the configuration",
    )
}

/// Runs `work` on `bytes`, beside the event loop where there are many.
///
/// # Errors
/// What `work` returns.
pub async fn work<T: Send + 'static>(
    bytes: Vec<u8>,
    work: impl FnOnce(&[u8]) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if bytes.len() <= PARSE_INLINE_BYTES_MAX {
        return work(&bytes);
    }
    match tokio::task::spawn_blocking(move || work(&bytes)).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "parsing a body failed");
            Err(ApiError::internal())
        }
    }
}

/// Parses JSON.
///
/// # Errors
/// Field, line and column of what is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_utf8",
            format!("the body is not UTF-8: byte {} is wrong", error.valid_up_to()),
            "encode the body as UTF-8",
        )
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        worded(&error, &place)
    })?;
    reader.end().map_err(|error| worded(&error, ""))?;
    Ok(value)
}

fn worded(error: &serde_json::Error, place: &str) -> ApiError {
    match error.classify() {
        Category::Data => ApiError::unprocessable(
            "invalid_request",
            format!("{place}{error}"),
            "GET /openapi.json describes every field",
        ),
        Category::Syntax | Category::Eof | Category::Io => ApiError::new(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            format!("the body is not JSON: {place}{error}"),
            "send one JSON object",
        ),
    }
}

#[cfg(test)]
mod tests {
    use protocol::JudgeRequest;

    use super::*;

    fn error(body: &[u8]) -> ApiError {
        parse::<JudgeRequest>(body).unwrap_err()
    }

    #[test]
    fn errors_name_field_line_and_column() {
        let unknown = error(b"{\"submissions\":[\n{\"language\":\"c\",\"sauce\":\"\"}]}");
        assert_eq!(unknown.code, "invalid_request");
        assert!(unknown.message.contains("submissions[0].sauce"), "{}", unknown.message);
        assert!(unknown.message.contains("line 2"), "{}", unknown.message);
        let syntax = error(b"{\"submissions\":[}");
        assert_eq!((syntax.code, syntax.status.as_u16()), ("malformed_json", 400));
        assert!(syntax.message.contains("line 1 column 17"), "{}", syntax.message);
        assert_eq!(error(b"").code, "malformed_json");
        assert_eq!(error(b"{\"submissions\":[]} x").code, "malformed_json");
        assert_eq!(error(b"{\"submissions\":[\"\xff\"]}").code, "invalid_utf8");
    }

    #[test]
    fn deep_nesting_is_refused_without_a_fall() {
        let deep = [b"{\"submissions\":".to_vec(), b"[".repeat(100_000)].concat();
        assert_eq!(error(&deep).status.as_u16() / 100, 4);
    }
}
