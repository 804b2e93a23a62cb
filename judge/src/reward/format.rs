//! Whether a completion has the form that was asked for: tags, a box, JSON, tool calls. Pure.

use protocol::FormatSpec;
use serde_json::Value;

/// Bytes of a tag's name.
const TAG_BYTES_MAX: usize = 64;

/// Whether a form requires nothing.
#[must_use]
pub fn is_empty(format: &FormatSpec) -> bool {
    format.tags.is_empty() && !format.boxed && !format.json && !format.tool_calls
}

/// Whether this can be the name of a tag.
#[must_use]
pub fn is_tag_name(tag: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !tag.is_empty() && tag.len() <= TAG_BYTES_MAX && tag.chars().all(plain)
}

/// 1 where `text` has the form, else 0.
#[must_use]
pub fn measure(format: &FormatSpec, text: &str) -> f64 {
    let visible = after_reasoning(text);
    let holds = has_tags(&format.tags, text)
        && (!format.boxed || math::extract(visible, math::Extraction::Box).is_some())
        && (!format.json || is_json(visible))
        && (!format.tool_calls || has_tool_calls(visible));
    if holds { 1.0 } else { 0.0 }
}

/// What stands after the last reasoning block.
fn after_reasoning(text: &str) -> &str {
    text.rfind("</think>").map_or(text, |at| &text[at + "</think>".len()..])
}

/// Each tag is opened once and closed once, something stands between, and they do not overlap or
/// change places; nothing but white space stands before the first and after the last.
fn has_tags(tags: &[String], text: &str) -> bool {
    let mut rest = text;
    for tag in tags {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        if text.matches(&open).count() != 1 || text.matches(&close).count() != 1 {
            return false;
        }
        let Some(inner) = rest.trim_start().strip_prefix(&open) else {
            return false;
        };
        let Some((content, after)) = inner.split_once(&close) else {
            return false;
        };
        if content.trim().is_empty() {
            return false;
        }
        rest = after;
    }
    tags.is_empty() || rest.trim().is_empty()
}

fn is_json(text: &str) -> bool {
    let text = text.trim();
    let inner = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"))
        .map(|rest| rest.strip_prefix("json").unwrap_or(rest));
    serde_json::from_str::<serde::de::IgnoredAny>(inner.unwrap_or(text)).is_ok()
}

/// At least one block, every block closed, and each a call.
fn has_tool_calls(text: &str) -> bool {
    let mut blocks = text.split("<tool_call>");
    if blocks.next().is_some_and(|before| before.contains("</tool_call>")) {
        return false;
    }
    let mut count = 0_usize;
    for block in blocks {
        let Some((call, after)) = block.split_once("</tool_call>") else {
            return false;
        };
        if after.contains("</tool_call>") || !is_call(call) {
            return false;
        }
        count += 1;
    }
    count > 0
}

fn is_call(text: &str) -> bool {
    let Ok(Value::Object(call)) = serde_json::from_str(text) else {
        return false;
    };
    let name = call.get("name").and_then(Value::as_str).is_some_and(|name| !name.trim().is_empty());
    name && call.get("arguments").is_some_and(Value::is_object)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(json: &str, text: &str) -> bool {
        measure(&serde_json::from_str(json).unwrap(), text) > 0.5
    }

    #[test]
    fn tags_stand_once_each_and_in_order() {
        let tags = r#"{"tags":["think","answer"]}"#;
        assert!(check(tags, "<think>a</think>\n<answer>b</answer>\n"));
        for wrong in [
            "<answer>b</answer><think>a</think>",
            "<think>a</think>",
            "<think>a</think><answer></answer>",
            "<think>a</think><answer>b</answer><answer>c</answer>",
            "<think>a<answer>b</answer></think>",
            "<think>a</think><answer>b",
            "hello <think>a</think><answer>b</answer>",
            "<think>a</think><answer>b</answer> and more",
            "",
        ] {
            assert!(!check(tags, wrong), "{wrong}");
        }
    }

    #[test]
    fn a_box_counts_after_the_reasoning_only() {
        assert!(check(r#"{"boxed":true}"#, "<think>x</think> so \\boxed{4}"));
        assert!(!check(r#"{"boxed":true}"#, "<think>\\boxed{4}</think> so 4"));
        assert!(!check(r#"{"boxed":true}"#, "so \\boxed{4"));
    }

    #[test]
    fn json_is_parsed_and_not_guessed() {
        let json = r#"{"json":true}"#;
        assert!(check(json, " {\"a\": 1} "));
        assert!(check(json, "<think>hm</think>```json\n[1]\n```"));
        assert!(!check(json, "{\"a\": 1,}"));
        assert!(!check(json, "the answer is {\"a\": 1}"));
    }

    #[test]
    fn every_tool_call_must_be_one() {
        let calls = r#"{"tool_calls":true}"#;
        let good = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
        assert!(check(calls, good));
        assert!(check(calls, &format!("first {good} then {good}")));
        for wrong in [
            "no call".to_owned(),
            format!("{good}<tool_call>{{}}</tool_call>"),
            "<tool_call>{\"name\":\"f\",\"arguments\":\"x\"}</tool_call>".to_owned(),
            "<tool_call>{\"name\":\" \",\"arguments\":{}}</tool_call>".to_owned(),
            format!("{good}</tool_call>"),
            "<tool_call>{\"name\":\"f\",\"arguments\":{}}".to_owned(),
        ] {
            assert!(!check(calls, &wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[<>/a-z{}\\\\\"]{0,60}|.{0,60}") {
            for json in [r#"{"tags":["a","b"]}"#, r#"{"boxed":true}"#, r#"{"json":true,"tool_calls":true}"#] {
                check(json, &text);
            }
        }

        #[test]
        fn a_well_formed_text_passes(a in "[a-z ]{0,20}x", b in "[a-z ]{0,20}x") {
            let text = format!("<think>{a}</think><answer>{b}</answer>");
            let passes = check(r#"{"tags":["think","answer"]}"#, &text);
            prop_assert!(passes);
        }
    }
}
