//! A classic reward model behind a server: one number for a question and a response, made a
//! probability by a calibration. Four shapes of requests and replies are known.

use serde_json::{Value, json};

use super::calibration::Calibration;
use super::calls::{Calls, CallsFault, Purpose};
use super::config::{ValueHeadConfig, ValueHeadShape};
use super::metrics::Metrics;
use super::transport::{CallFault, Transport};

/// A value head.
#[derive(Debug)]
pub struct ValueHead {
    /// How it is set up.
    pub config: ValueHeadConfig,
    calls: Calls,
    calibration: Calibration,
}

/// What it is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What was asked.
    pub question: &'a str,
    /// A right answer, where there is one.
    pub reference: &'a str,
    /// What the model wrote.
    pub response: &'a str,
}

impl ValueHead {
    /// A value head as `config` says.
    ///
    /// # Errors
    /// The key is not set, or the calibration cannot be read.
    pub fn new(config: ValueHeadConfig, metrics: Metrics) -> Result<Self, String> {
        let transport = Transport::new(&config.url, config.api_key_env.as_deref())?;
        let calibration = match &config.calibration {
            None => Calibration::plain(),
            Some(path) => {
                let shown = path.display();
                let text =
                    std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
                let calibration: Calibration =
                    serde_json::from_str(&text).map_err(|error| format!("{shown}: {error}"))?;
                calibration.check().map_err(|error| format!("{shown}: {error}"))?;
                calibration
            }
        };
        let calls = Calls::new(&config.name, transport, config.calls.clone(), metrics);
        Ok(Self { config, calls, calibration })
    }

    /// The probability that a response is right.
    ///
    /// # Errors
    /// There is no score.
    pub async fn score(&self, subject: Subject<'_>) -> Result<f64, CallsFault> {
        self.score_of(&self.prompt(subject), subject).await
    }

    /// The same for a text that needs no template.
    ///
    /// # Errors
    /// There is no score.
    pub async fn score_text(&self, text: &str) -> Result<f64, CallsFault> {
        self.score_of(text, Subject { question: "", reference: "", response: text }).await
    }

    async fn score_of(&self, text: &str, subject: Subject<'_>) -> Result<f64, CallsFault> {
        let body = self.body(text, subject);
        let tokens = f64::from(u32::try_from(text.len() / 4 + 1).unwrap_or(u32::MAX));
        let deadline = self.calls.deadline();
        let call = self.calls.call(&body, tokens, deadline, Purpose::Verdict);
        let reply = tokio::time::timeout_at(deadline.into(), call)
            .await
            .map_err(|_| CallsFault::Deadline)??;
        let raw = read(self.config.shape, &reply).ok_or_else(|| {
            let start: String = reply.to_string().chars().take(200).collect();
            CallFault::Malformed(format!("there is no score in {start}"))
        })?;
        Ok(self.calibration.probability(raw))
    }

    /// The template, filled in one pass.
    fn prompt(&self, subject: Subject<'_>) -> String {
        let mut filled = String::new();
        let mut rest = self.config.prompt.as_str();
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let places = [
                ("{question}", subject.question),
                ("{reference}", subject.reference),
                ("{response}", subject.response),
            ];
            let (place, text) =
                places.into_iter().find(|(place, _)| rest.starts_with(place)).unwrap_or(("{", "{"));
            filled.push_str(text);
            rest = &rest[place.len()..];
        }
        filled.push_str(rest);
        filled
    }

    fn body(&self, text: &str, subject: Subject<'_>) -> Value {
        let mut body = match self.config.shape {
            ValueHeadShape::VllmClassify => {
                json!({"input": text, "use_activation": false, "add_special_tokens": false})
            }
            ValueHeadShape::SglangEmbeddings => json!({"input": text}),
            ValueHeadShape::SglangClassify => json!({"text": [text]}),
            ValueHeadShape::Openrlhf => {
                json!({"query": [text], "prompts": [subject.question], "labels": [subject.reference]})
            }
        };
        if let (Some(model), false) =
            (&self.config.model, self.config.shape == ValueHeadShape::Openrlhf)
        {
            body["model"] = json!(model);
        }
        body
    }
}

/// The raw score of a reply.
fn read(shape: ValueHeadShape, reply: &Value) -> Option<f64> {
    let last = |value: &Value| match value {
        Value::Array(numbers) => numbers.last().and_then(Value::as_f64),
        Value::Number(number) => number.as_f64(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) => None,
    };
    let raw = match shape {
        ValueHeadShape::VllmClassify => last(&reply["data"][0]["probs"]),
        ValueHeadShape::SglangEmbeddings => last(&reply["data"][0]["embedding"]),
        ValueHeadShape::SglangClassify => last(&reply[0]["embedding"]),
        // A reward may stand in a list of its own.
        ValueHeadShape::Openrlhf => last(&reply["rewards"][0]).or_else(|| last(&reply["rewards"])),
    };
    raw.filter(|raw| raw.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_has_its_place_for_the_score() {
        let vllm = json!({"data": [{"index": 0, "label": null, "probs": [2.5], "num_classes": 1}]});
        assert_eq!(read(ValueHeadShape::VllmClassify, &vllm), Some(2.5));
        let embeddings = json!({"data": [{"embedding": [0.1, -1.5]}]});
        assert_eq!(read(ValueHeadShape::SglangEmbeddings, &embeddings), Some(-1.5));
        assert_eq!(read(ValueHeadShape::SglangClassify, &json!([{"embedding": [7]}])), Some(7.0));
        assert_eq!(read(ValueHeadShape::Openrlhf, &json!({"rewards": [0.25]})), Some(0.25));
        assert_eq!(read(ValueHeadShape::Openrlhf, &json!({"rewards": [[0.5]]})), Some(0.5));
        for shape in [ValueHeadShape::VllmClassify, ValueHeadShape::Openrlhf] {
            assert_eq!(read(shape, &json!({"error": "no"})), None);
            assert_eq!(read(shape, &json!({"data": [{"probs": ["x"]}], "rewards": [null]})), None);
        }
    }
}
