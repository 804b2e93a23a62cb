//! Rows of data sets that come with the request: `/list_ids`, `/get_prompts`, `/get_prompt_by_id`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::Service;
use super::super::super::body;
use super::super::super::error::ApiError;
use super::super::door;
use super::refuse;

/// How a request asks for a row.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub(super) struct TestConfig {
    pub(super) dataset_type: Option<String>,
    pub(super) language: Option<String>,
    pub(super) locale: Option<String>,
    pub(super) is_fewshot: Option<bool>,
    pub(super) compile_timeout: Option<f64>,
    pub(super) run_timeout: Option<f64>,
    pub(super) custom_extract_logic: Option<String>,
    pub(super) provided_data: Option<Value>,
    pub(super) extra: Map<String, Value>,
}

protocol::read_object!(TestConfig);

/// A row of a data set.
pub(super) type Row = Map<String, Value>;

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct IdsRequest {
    dataset: String,
    #[serde(default)]
    config: TestConfig,
}

protocol::read_object!(IdsRequest);

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct PromptsRequest {
    dataset: String,
    #[serde(default)]
    config: TestConfig,
    #[serde(default)]
    offset: usize,
    #[serde(default = "all")]
    limit: usize,
}

protocol::read_object!(PromptsRequest);

fn all() -> usize {
    1_000_000
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct PromptRequest {
    dataset: String,
    #[serde(default)]
    config: TestConfig,
    id: Value,
}

protocol::read_object!(PromptRequest);

/// There is none: rows come with requests.
pub(super) async fn list_datasets() -> axum::Json<[&'static str; 0]> {
    axum::Json([])
}

pub(super) async fn list_ids(State(service): State<Arc<Service>>, request: Request) -> Response {
    answer(service, request, |_, bytes| {
        let IdsRequest { dataset, config } = body::parse(bytes)?;
        let rows = config.rows(&dataset)?;
        Ok(rows.iter().map(|row| row.get("id").cloned().unwrap_or_default()).collect())
    })
    .await
}

pub(super) async fn get_prompts(State(service): State<Arc<Service>>, request: Request) -> Response {
    answer(service, request, |_, bytes| {
        let PromptsRequest { dataset, config, offset, limit } = body::parse(bytes)?;
        let rows = config.rows(&dataset)?;
        Ok(rows.iter().skip(offset).take(limit).map(prompt).collect())
    })
    .await
}

pub(super) async fn get_prompt_by_id(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Response {
    answer(service, request, |_, bytes| {
        let PromptRequest { dataset, config, id } = body::parse(bytes)?;
        Ok(prompt(&config.row(&dataset, &id)?))
    })
    .await
}

async fn answer(
    service: Arc<Service>,
    request: Request,
    work: impl FnOnce(&Service, &[u8]) -> Result<Value, ApiError> + Send + 'static,
) -> Response {
    let reply = async {
        let value = door::read(&service, request, work).await?;
        door::json(&service, StatusCode::OK, &value)
    };
    match reply.await {
        Ok(response) => response.into_response(),
        Err(fault) => refuse(&service, &fault),
    }
}

fn prompt(row: &Row) -> Value {
    let text = ["prompt", "content"].iter().find_map(|name| row.get(*name));
    let labels = match row.get("labels") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| json!({})),
        Some(labels) => labels.clone(),
        None => json!({}),
    };
    json!({"id": row.get("id"), "prompt": text, "labels": labels})
}

impl TestConfig {
    /// The rows that came with the request.
    pub(super) fn rows(&self, dataset: &str) -> Result<Vec<Row>, ApiError> {
        match self.provided_data.clone() {
            Some(Value::Object(row)) => Ok(vec![row]),
            Some(Value::Array(rows)) => rows
                .into_iter()
                .map(|row| match row {
                    Value::Object(row) => Ok(row),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_) => {
                        Err(unusable("a row of `provided_data` is no object".to_owned()))
                    }
                })
                .collect(),
            Some(_) => Err(unusable("`provided_data` is neither a row nor rows".to_owned())),
            None => Err(ApiError::unprocessable(
                "no_data_set",
                format!("data set {dataset:?} is not here"),
                "send its row in config.provided_data, and its class in config.dataset_type",
            )),
        }
    }

    /// The row with this id; the only one, where there is but one and it has none.
    pub(super) fn row(&self, dataset: &str, id: &Value) -> Result<Row, ApiError> {
        let mut rows = self.rows(dataset)?;
        // Ids are numbers or texts, and clients mix them up.
        let same = |row: &Row| row.get("id").is_some_and(|own| plain(own) == plain(id));
        if let Some(at) = rows.iter().position(same) {
            return Ok(rows.swap_remove(at));
        }
        match rows.pop() {
            Some(row) if rows.is_empty() => Ok(row),
            Some(_) | None => Err(unusable(format!("`provided_data` has no row {}", plain(id)))),
        }
    }
}

fn plain(id: &Value) -> String {
    match id {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            id.to_string()
        }
    }
}

/// What is wrong with a row.
pub(super) fn unusable(message: String) -> ApiError {
    ApiError::unprocessable(
        "invalid_row",
        message,
        "rows look as the data set class of SandboxFusion has them",
    )
}
