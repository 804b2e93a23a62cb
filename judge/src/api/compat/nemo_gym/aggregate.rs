//! `/aggregate_metrics`: mean, largest, smallest, median and sample deviation of every number in verify
//! responses, for each task and for all. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

const TASK: &str = "_ng_task_index";
const ROLLOUT: &str = "_ng_rollout_index";

/// The metrics of `responses`.
pub(super) fn aggregate(responses: &[Map<String, Value>]) -> Value {
    let mut groups: BTreeMap<i64, Vec<Map<String, Value>>> = BTreeMap::new();
    for response in responses {
        let task = response.get(TASK).and_then(Value::as_i64).unwrap_or(0);
        groups.entry(task).or_default().push(numbers(response));
    }
    let group_level = groups.iter().map(|(task, rows)| {
        let mut metrics = describe(rows.iter());
        metrics.insert(TASK.to_owned(), json!(task));
        metrics.insert("num_rollouts".to_owned(), json!(rows.len()));
        Value::Object(metrics)
    });
    let group_level: Vec<Value> = group_level.collect();
    let agent = describe(groups.values().flatten());
    let key = agent.iter().filter(|(name, _)| name.starts_with("mean/"));
    let key: Map<String, Value> = key.map(|(name, value)| (name.clone(), value.clone())).collect();
    json!({"group_level_metrics": group_level, "agent_metrics": agent, "key_metrics": key})
}

/// The numbers of a response, those of its usage among them; truth values count as 0 and 1.
fn numbers(response: &Map<String, Value>) -> Map<String, Value> {
    let usage = response.get("response").and_then(|inner| inner.get("usage")?.as_object());
    let all = response.iter().chain(usage.into_iter().flatten());
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let named = |(name, value): (&String, &Value)| Some((name.clone(), json!(number(value)?)));
    all.filter(|(name, _)| *name != TASK && *name != ROLLOUT).filter_map(named).collect()
}

fn describe<'a>(rows: impl Iterator<Item = &'a Map<String, Value>> + Clone) -> Map<String, Value> {
    let names: BTreeSet<&String> = rows.clone().flat_map(Map::keys).collect();
    let mut metrics = Map::new();
    for name in names {
        let mut values: Vec<f64> = rows.clone().filter_map(|row| row.get(name)?.as_f64()).collect();
        values.sort_by(f64::total_cmp);
        for (statistic, value) in statistics(&values) {
            metrics.insert(format!("{statistic}/{name}"), json!(value));
        }
    }
    metrics
}

/// Of sorted values, at least one.
fn statistics(values: &[f64]) -> [(&'static str, f64); 5] {
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 values")]
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    let lower =
        if values.len().is_multiple_of(2) { values[middle.saturating_sub(1)] } else { upper };
    [
        ("mean", mean),
        ("max", values.last().copied().unwrap_or(f64::NAN)),
        ("min", values.first().copied().unwrap_or(f64::NAN)),
        ("median", f64::midpoint(lower, upper)),
        ("std", if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn responses(json: Value) -> Vec<Map<String, Value>> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn numbers_are_described_for_each_task_and_for_all() {
        let metrics = aggregate(&responses(json!([
            {TASK: 0, ROLLOUT: 0, "reward": 1.0, "ok": true, "text": "x"},
            {TASK: 0, ROLLOUT: 1, "reward": 0.0, "ok": true},
            {TASK: 3, ROLLOUT: 0, "reward": 0.5, "response": {"usage": {"total_tokens": 7}}},
        ])));
        let group = &metrics["group_level_metrics"][0];
        assert_eq!((&group[TASK], &group["num_rollouts"]), (&json!(0), &json!(2)));
        assert_eq!(group["mean/reward"], json!(0.5));
        assert_eq!(group["std/reward"], json!(0.5_f64.sqrt()));
        assert_eq!(group["mean/ok"], json!(1.0));
        assert_eq!(metrics["group_level_metrics"][1]["std/reward"], json!(0.0));
        assert_eq!(metrics["agent_metrics"]["median/reward"], json!(0.5));
        assert_eq!(metrics["agent_metrics"]["max/reward"], json!(1.0));
        assert_eq!(metrics["agent_metrics"].get("mean/_ng_task_index"), None);
        let key = json!({"mean/reward": 0.5, "mean/ok": 1.0, "mean/total_tokens": 7.0});
        assert_eq!(metrics["key_metrics"], key);
    }

    #[test]
    fn nothing_has_no_metrics() {
        let nothing = json!({"group_level_metrics": [], "agent_metrics": {}, "key_metrics": {}});
        assert_eq!(aggregate(&[]), nothing);
    }
}
