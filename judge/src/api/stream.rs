//! Results on their way to the client: one JSON object, one line each, or server-sent events.
//!
//! Lines are results and nothing else, so that a reader needs to know one type. Events carry the
//! number of each result as their id, and end with an event `end`; a pause is filled with comments,
//! so that proxies do not take the connection for dead.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use protocol::{BatchState, GroupResult, JudgeResponse, SubmissionResult};
use serde::Serialize;

use crate::admission::BodyTicket;
use crate::batch::Results;
use crate::batches::{Batch, encoded};
use crate::limits::EVENT_PAUSE_MAX;
use crate::reward::group::Groups;

const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// How results are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All in one object, in the order of the request.
    Whole,
    /// One line each, in the order in which they become ready.
    Lines,
    /// As events, in the same order.
    Events,
}

impl Form {
    /// What the client accepts.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepts = |what: &str| {
            let mut values = headers.get_all(ACCEPT).iter();
            values.any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(what)))
        };
        if accepts(EVENTS) {
            Self::Events
        } else if accepts(NDJSON) {
            Self::Lines
        } else {
            Self::Whole
        }
    }
}

/// Where results come from.
#[derive(Debug)]
pub(super) enum Feed {
    /// A request that ends with its connection.
    Request {
        /// What is still to come.
        results: Results,
        /// What each group came to so far.
        groups: Groups,
        /// The right to hold the request.
        ticket: BodyTicket,
    },
    /// A batch, after a number.
    Batch(Arc<Batch>, usize),
}

/// What follows the last result.
#[derive(Serialize)]
struct End {
    status: BatchState,
    submissions: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupResult>,
}

impl Feed {
    pub(super) fn of(results: Results, ticket: BodyTicket) -> Self {
        Self::Request { results, groups: Groups::default(), ticket }
    }

    /// The next result and its number.
    async fn next(&mut self) -> Option<(usize, Bytes)> {
        match self {
            Self::Request { results, groups, .. } => {
                let result = results.next().await?.to_wire();
                groups.count(&result);
                let number = result.number.and_then(|number| usize::try_from(number).ok());
                Some((number.unwrap_or(usize::MAX), encoded(&result)))
            }
            Self::Batch(batch, number) => {
                let line = batch.events.next(*number).await?;
                *number += 1;
                Some((*number, line))
            }
        }
    }

    fn end(&self, submissions: usize) -> End {
        let (status, groups) = match self {
            Self::Request { groups, .. } => (BatchState::Done, groups.to_wire()),
            Self::Batch(batch, _) => (batch.events.state(), batch.groups()),
        };
        End { status, submissions, groups }
    }

    /// The reply of all results together.
    async fn collect(self) -> Response {
        let mut wire: Vec<SubmissionResult> = Vec::new();
        let groups = match self {
            Self::Request { mut results, mut groups, ticket } => {
                while let Some(report) = results.next().await {
                    let result = report.to_wire();
                    groups.count(&result);
                    wire.push(result);
                }
                drop(ticket);
                groups.to_wire()
            }
            Self::Batch(batch, _) => {
                batch.events.finished().await;
                let lines = batch.events.after(0);
                wire.extend(lines.iter().filter_map(|line| serde_json::from_slice(line).ok()));
                batch.groups()
            }
        };
        wire.sort_by_key(|result| result.index);
        Json(JudgeResponse { results: wire, groups }).into_response()
    }
}

/// Sends what `feed` gives.
pub(super) async fn respond(feed: Feed, form: Form) -> Response {
    match form {
        Form::Whole => feed.collect().await,
        Form::Lines => send(NDJSON, stream::unfold(feed, next_line)),
        Form::Events => {
            let events = stream::unfold(Some((feed, 0)), |state| async {
                let (feed, last) = state?;
                Some(next_event(feed, last).await)
            });
            send(EVENTS, events)
        }
    }
}

type Piece = Result<Bytes, Infallible>;

fn send(
    content_type: &'static str,
    pieces: impl futures_util::Stream<Item = Piece> + Send + 'static,
) -> Response {
    let mut response =
        (StatusCode::OK, [(CONTENT_TYPE, content_type)], Body::from_stream(pieces)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn next_line(mut feed: Feed) -> Option<(Piece, Feed)> {
    let (_, line) = feed.next().await?;
    Some((Ok(Bytes::from([&line[..], b"\n"].concat())), feed))
}

/// A result, the end, or a sign of life.
async fn next_event(mut feed: Feed, last: usize) -> (Piece, Option<(Feed, usize)>) {
    match tokio::time::timeout(EVENT_PAUSE_MAX, feed.next()).await {
        Err(_) => (Ok(Bytes::from_static(b":\n\n")), Some((feed, last))),
        Ok(Some((number, line))) => {
            let head = format!("id: {number}\nevent: result\ndata: ");
            let event = [head.as_bytes(), &line, b"\n\n"].concat();
            (Ok(event.into()), Some((feed, number)))
        }
        Ok(None) => {
            let end = serde_json::to_string(&feed.end(last)).unwrap_or_default();
            (Ok(format!("event: end\ndata: {end}\n\n").into()), None)
        }
    }
}
