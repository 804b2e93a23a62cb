//! `OpenRLHF`: `/get_reward`, the remote reward model of its trainers.
//!
//! `query` is prompt and response as tokens spell them; the response is what follows the prompt.
//! `labels` name problems ([`super::label`]). The client tries five times and then trains without the
//! reward, so a failure of ours is HTTP 503, or the configured number.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use protocol::SubmissionResult;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};
use super::label;
use crate::task::Task;

pub(super) const PATHS: [&str; 1] = ["/get_reward"];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/get_reward", post(get_reward))
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct RewardRequest {
    query: Vec<String>,
    #[serde(default)]
    prompts: Vec<Value>,
    #[serde(default)]
    labels: Vec<Value>,
}

protocol::read_object!(RewardRequest);

async fn get_reward(State(service): State<Arc<Service>>, request: Request) -> Response {
    let rewards = async {
        let tasks = door::read(&service, request, read).await?;
        let results = door::judge(&service, tasks).await?;
        let fallback = service.config.compat.failure_reward;
        door::json(&service, StatusCode::OK, &reply(&results, fallback)?)
    };
    match rewards.await {
        Ok(response) => response,
        Err(fault) => refuse(&fault),
    }
}

fn read(service: &Service, bytes: &[u8]) -> Result<Vec<Task>, ApiError> {
    let RewardRequest { query, prompts, labels } = body::parse(bytes)?;
    if query.is_empty() || prompts.len() != query.len() || labels.len() != query.len() {
        let (queries, prompts, labels) = (query.len(), prompts.len(), labels.len());
        return Err(ApiError::unprocessable(
            "unequal_lengths",
            format!("there are {queries} queries, {prompts} prompts and {labels} labels"),
            "send at least one query, and a prompt and a label for each",
        ));
    }
    let items = query.iter().zip(prompts).zip(labels).enumerate();
    let submissions = items.map(|(at, ((query, prompt), label))| {
        let response = label::response(query, &label::text_of(&prompt));
        let submission = response.and_then(|response| label::submission(label, response));
        submission.map_err(|error| error.at(&format!("item {at}")))
    });
    door::tasks(service, submissions.collect::<Result<_, _>>()?)
}

/// Rewards, scores from 0 to 1, and what is logged beside them.
fn reply(results: &[SubmissionResult], fallback: Option<f64>) -> Result<Value, Fault> {
    let mut rewards = Vec::new();
    for result in results {
        let failure = result.failure.clone().map(Fault::Failure);
        rewards.push(match (result.reward.or(fallback), failure) {
            (Some(reward), _) => reward,
            (None, Some(fault)) => return Err(fault),
            (None, None) => return Err(ApiError::internal().into()),
        });
    }
    let valid: Vec<f64> = results.iter().map(|result| f64::from(u8::from(result.valid))).collect();
    let passed = |result: &SubmissionResult| {
        f64::from(u8::from(result.verdict == Some(protocol::Verdict::Accepted)))
    };
    let accepted: Vec<f64> = results.iter().map(passed).collect();
    let scores: Vec<f64> = rewards.iter().map(|reward| reward.clamp(0.0, 1.0)).collect();
    Ok(json!({
        "rewards": rewards,
        "scores": scores,
        "extra_logs": {"accepted": accepted, "valid": valid},
    }))
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

#[cfg(test)]
mod tests {
    use protocol::{Failure, FailureClass};

    use super::*;

    fn results() -> Vec<SubmissionResult> {
        let failure =
            Failure { class: FailureClass::Judge, retryable: false, message: "no".into() };
        let right = SubmissionResult {
            reward: Some(1.0),
            valid: true,
            verdict: Some(protocol::Verdict::Accepted),
            ..SubmissionResult::default()
        };
        vec![right, SubmissionResult { failure: Some(failure), ..SubmissionResult::default() }]
    }

    #[test]
    fn a_failure_is_never_a_reward_unless_a_number_is_configured() {
        assert!(matches!(reply(&results(), None), Err(Fault::Failure(_))));
        let reply = reply(&results(), Some(-1.0)).unwrap();
        assert_eq!(reply["rewards"], json!([1.0, -1.0]));
        assert_eq!(reply["scores"], json!([1.0, 0.0]));
        assert_eq!(reply["extra_logs"], json!({"accepted": [1.0, 0.0], "valid": [1.0, 0.0]}));
    }
}
