//! slime: `/rm`, its `remote_rm`. The body of the reply is the reward, a bare number.
//!
//! `label` names the problem ([`super::label`]). The client tries ten times with growing pauses, so a
//! failure of ours is HTTP 503, or the configured number.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};
use super::label;
use crate::task::Task;

pub(super) const PATHS: [&str; 1] = ["/rm"];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/rm", post(remote_rm))
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct RmRequest {
    /// Not needed: the response comes apart from it.
    #[serde(default, rename = "prompt")]
    _prompt: Value,
    response: String,
    label: Value,
}

protocol::read_object!(RmRequest);

async fn remote_rm(State(service): State<Arc<Service>>, request: Request) -> Response {
    let reward = async {
        let tasks = door::read(&service, request, read).await?;
        let result = door::judge(&service, tasks).await?.pop();
        match result {
            Some(result) => match (result.reward, result.failure) {
                (Some(reward), _) => Ok(reward),
                (None, Some(failure)) => Err(Fault::Failure(failure)),
                (None, None) => Err(ApiError::internal().into()),
            },
            None => Err(ApiError::internal().into()),
        }
    };
    match (reward.await, service.config.compat.failure_reward) {
        (Ok(reward), _) => axum::Json(reward).into_response(),
        (Err(Fault::Failure(_)), Some(number)) => axum::Json(number).into_response(),
        (Err(fault), _) => refuse(&fault),
    }
}

fn read(service: &Service, bytes: &[u8]) -> Result<Vec<Task>, ApiError> {
    let request: RmRequest = body::parse(bytes)?;
    let response = label::without_end_tokens(&request.response).to_owned();
    door::tasks(service, vec![label::submission(request.label, response)?])
}

fn refuse(fault: &Fault) -> Response {
    let status = match (fault, fault.meaning()) {
        (Fault::Request(error), Meaning::Wrong) => error.status,
        (_, Meaning::Wrong | Meaning::Busy | Meaning::MayPass | Meaning::Stays) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    fault.reply(status, &json!({"error": {"code": fault.class(), "message": fault.message()}}))
}
