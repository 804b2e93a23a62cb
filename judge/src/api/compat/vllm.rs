//! vLLM: `/classify`, by which trainers ask a reward model for a score.
//!
//! The configuration's value heads answer, by the name in `model`, or the first; texts are scored as
//! they are, and the score is calibrated. Clients read the last probability. They try again unless the
//! status is a 4xx, so that a failure of ours, a full queue too, is HTTP 503.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Service;
use super::super::body;
use super::super::error::ApiError;
use super::door::{self, Fault, Meaning};
use crate::limits::COMPAT_CLASSIFIED_MAX;
use crate::pipeline::Judge;
use crate::report::{FailureKind, JudgeFailure, Retry};

pub(super) const PATHS: [&str; 1] = ["/classify"];

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/classify", post(classify))
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct ClassifyRequest {
    #[serde(default)]
    model: Option<String>,
    input: Input,
    /// Scores are calibrated probabilities whatever these say; clients send them.
    #[serde(default, rename = "activation")]
    _activation: Option<bool>,
    #[serde(default, rename = "use_activation")]
    _use_activation: Option<bool>,
    #[serde(default, rename = "add_special_tokens")]
    _add_special_tokens: Option<bool>,
    #[serde(default, rename = "truncate_prompt_tokens")]
    _truncate_prompt_tokens: Option<i64>,
    #[serde(default, rename = "user")]
    _user: Option<String>,
    #[serde(default, rename = "priority")]
    _priority: Option<i64>,
}

protocol::read_object!(ClassifyRequest);

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

async fn classify(State(service): State<Arc<Service>>, request: Request) -> Response {
    let reply = async {
        let (model, texts) = door::read(&service, request, read).await?;
        let mut scores = Vec::new();
        for text in &texts {
            let scored = door::admitted(&service, async |judge| score(&judge, &model, text).await);
            scores.push(scored.await?);
        }
        door::json(&service, StatusCode::OK, &reply(&model, &scores))
    };
    match reply.await {
        Ok(response) => response,
        Err(fault) => refuse(&fault),
    }
}

fn read(service: &Service, bytes: &[u8]) -> Result<(String, Vec<String>), ApiError> {
    let request: ClassifyRequest = body::parse(bytes)?;
    let heads = &service.judge.reward_model_names().value_heads;
    let model = match request.model {
        Some(model) if heads.contains(&model) => model,
        Some(_) | None if heads.is_empty() => {
            return Err(ApiError::unprocessable(
                "no_value_head",
                "no reward model is configured",
                "add a [[value_head]] to the service's configuration",
            ));
        }
        Some(model) => {
            return Err(ApiError::unprocessable(
                "unknown_value_head",
                format!("reward model {model:?} is not configured"),
                format!("configured: {}", heads.join(", ")),
            ));
        }
        None => heads.first().cloned().unwrap_or_default(),
    };
    let texts = match request.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    if texts.is_empty() || texts.len() > COMPAT_CLASSIFIED_MAX {
        let message =
            format!("`input` has {} texts, 1 to {COMPAT_CLASSIFIED_MAX} allowed", texts.len());
        return Err(ApiError::unprocessable("too_many_submissions", message, "split the request"));
    }
    Ok((model, texts))
}

async fn score(judge: &Judge, model: &str, text: &str) -> Result<f64, JudgeFailure> {
    judge.reward_models().score_text(model, text).await.map_err(|fault| {
        tracing::warn!(%fault, model, "a value head gave no score");
        JudgeFailure {
            class: FailureKind::Judge,
            retry: Retry::Later,
            message: Cow::Borrowed("the reward model gave no score"),
        }
    })
}

fn reply(model: &str, scores: &[f64]) -> Value {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let one = |(index, score): (usize, &f64)| json!({"index": index, "label": "LABEL_0", "probs": [score], "num_classes": 1});
    let data: Vec<Value> = scores.iter().enumerate().map(one).collect();
    json!({
        "id": format!("classify-{}", crate::reward_model::random_word()),
        "object": "list",
        "created": created,
        "model": model,
        "data": data,
        "usage": {"prompt_tokens": 0, "total_tokens": 0, "completion_tokens": 0},
    })
}

fn refuse(fault: &Fault) -> Response {
    let status = match (fault, fault.meaning()) {
        (Fault::Request(error), Meaning::Wrong) => error.status,
        (_, Meaning::Wrong | Meaning::Busy | Meaning::MayPass | Meaning::Stays) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let error = json!({
        "message": fault.message(),
        "type": fault.class(),
        "param": null,
        "code": status.as_u16(),
    });
    fault.reply(status, &json!({"error": error}))
}
