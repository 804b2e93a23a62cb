//! A judge's reply becomes a vote, or the finding that it is none. Pure, and tolerant of what
//! models write around an object, not of what they write in it.
//!
//! The *last* balanced object counts: quotations of the answer stand before it. One repair is
//! tried (a trailing comma, a backslash that escapes nothing); what is still no verdict is asked
//! for again, and never guessed.

use protocol::JudgeVoteVerdict;
use serde::Deserialize;
use serde_json::Value;

use super::neutral::echo_key;

/// Bytes at the end of a reply in which its object is looked for.
const SEARCHED_BYTES_MAX: usize = 32 << 10;
/// Opening braces that are tried.
const OBJECTS_MAX: usize = 512;

/// What a judge said.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// The verdict.
    pub verdict: JudgeVoteVerdict,
    /// The probability of `correct`, where the server gives it.
    pub probability: Option<f64>,
}

/// Why a reply is no vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyFault {
    /// There is no JSON object with a verdict.
    #[error("the reply holds no verdict")]
    Unparsable,
    /// It was cut off.
    #[error("the reply was cut off")]
    Truncated,
    /// The answer that it says it judged is another one.
    #[error("the reply is about another answer")]
    Echo,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdict {
    #[serde(default)]
    #[expect(dead_code, reason = "part of the form; its content stays in the replay log")]
    analysis: Option<String>,
    final_answer: String,
    verdict: JudgeVoteVerdict,
}

/// The schema that structured output is held to: reasoning first, the verdict last.
#[must_use]
pub fn schema() -> Value {
    serde_json::json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["analysis", "final_answer", "verdict"],
        "properties": {
            "analysis": {"type": "string", "maxLength": 4000},
            "final_answer": {"type": "string", "maxLength": 600},
            "verdict": {"type": "string", "enum": ["correct", "incorrect", "invalid"]},
        },
    })
}

/// Reads a reply about `shown`, the answer as it was shown.
///
/// # Errors
/// It is no vote.
pub fn read(text: &str, finish: Option<&str>, shown: &str) -> Result<JudgeVoteVerdict, ReplyFault> {
    let fault =
        if finish == Some("length") { ReplyFault::Truncated } else { ReplyFault::Unparsable };
    let text = match text.rfind("</think>") {
        Some(at) => &text[at + "</think>".len()..],
        None if text.trim_start().starts_with("<think>") => return Err(fault),
        None => text,
    };
    let object = last_object(text).ok_or(fault)?;
    let verdict = parse(object).ok_or(fault)?;
    if !echoes(&verdict.final_answer, shown) {
        return Err(ReplyFault::Echo);
    }
    Ok(verdict.verdict)
}

fn parse(object: &str) -> Option<Verdict> {
    let verdict = serde_json::from_str(object).or_else(|_| serde_json::from_str(&repaired(object)));
    verdict.ok()
}

/// Without trailing commas, with backslashes that escape nothing doubled.
fn repaired(object: &str) -> String {
    let mut repaired = String::with_capacity(object.len() + 8);
    let mut characters = object.chars().peekable();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                let next = characters.peek().copied().unwrap_or(' ');
                repaired.push('\\');
                if matches!(next, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u') {
                    repaired.push(next);
                    characters.next();
                } else {
                    repaired.push('\\');
                }
            }
            '\n' | '\r' | '\t' if in_string => repaired.push(' '),
            '"' => {
                in_string = !in_string;
                repaired.push(character);
            }
            ',' if !in_string => {
                let mut rest = characters.clone();
                let next = rest.find(|next| !next.is_whitespace());
                if !matches!(next, Some('}' | ']')) {
                    repaired.push(character);
                }
            }
            other => repaired.push(other),
        }
    }
    repaired
}

/// The last object whose braces balance outside of strings, near the end.
fn last_object(text: &str) -> Option<&str> {
    let mut found = None;
    let mut from = text.len().saturating_sub(SEARCHED_BYTES_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    for _ in 0..OBJECTS_MAX {
        let Some(open) = text[from..].find('{').map(|at| from + at) else {
            break;
        };
        match balanced(&text[open..]) {
            Some(length) => {
                found = Some(&text[open..open + length]);
                from = open + length;
            }
            None => from = open + 1,
        }
    }
    found
}

/// The length of the object at the start of a text.
fn balanced(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '{' if !in_string => depth += 1,
            '}' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether the echo is the answer, or the beginning of a long one.
fn echoes(echo: &str, shown: &str) -> bool {
    let (echo, shown) = (echo_key(echo), echo_key(shown));
    echo == shown || (echo.chars().count() >= 100 && shown.starts_with(&echo))
}

/// The probability of `correct` against the other verdicts, from the log probabilities of the
/// token at which the verdict's value begins.
#[must_use]
pub fn probability(logprobs: &Value) -> Option<f64> {
    let tokens = logprobs.get("content")?.as_array()?;
    let text_of =
        |token: &Value| token.get("token").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut text = String::new();
    let mut starts = Vec::with_capacity(tokens.len());
    for token in tokens {
        starts.push(text.len());
        text.push_str(&text_of(token));
    }
    let key = text.rfind("\"verdict\"")? + "\"verdict\"".len();
    let value = key + text[key..].find(|next: char| next.is_ascii_alphabetic())?;
    let at = starts.iter().rposition(|start| *start <= value)?;
    let (mut correct, mut other) = (0.0_f64, 0.0_f64);
    for choice in tokens[at].get("top_logprobs")?.as_array()? {
        let mass = choice.get("logprob")?.as_f64()?.exp();
        let word = text_of(choice);
        let word = word.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        // `in` begins both `incorrect` and `invalid`, and neither is right.
        if word.starts_with('c') {
            correct += mass;
        } else if word.starts_with('i') {
            other += mass;
        }
    }
    let total = correct + other;
    (total > 0.0).then(|| (correct / total).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use JudgeVoteVerdict::{Correct, Incorrect};

    const GOOD: &str = r#"{"analysis":"same","final_answer":"0.5","verdict":"correct"}"#;

    fn check(text: &str) -> Result<JudgeVoteVerdict, ReplyFault> {
        read(text, Some("stop"), "0.5")
    }

    #[test]
    fn the_last_object_counts_whatever_stands_around_it() {
        assert_eq!(check(GOOD), Ok(Correct));
        assert_eq!(check(&format!("It is so.\n```json\n{GOOD}\n```\n")), Ok(Correct));
        assert_eq!(
            check(&format!("<think>{{\"verdict\":\"incorrect\"}}</think>{GOOD}")),
            Ok(Correct)
        );
        let quoted = GOOD.replace("correct", "incorrect");
        assert_eq!(check(&format!("The answer says {GOOD} but {quoted}")), Ok(Incorrect));
    }

    #[test]
    fn one_repair_is_made_and_no_guess() {
        let comma = GOOD.replace("\"correct\"}", "\"correct\",}");
        assert_eq!(check(&comma), Ok(Correct));
        let latex = r#"{"analysis":"","final_answer":"\sqrt{2}","verdict":"correct"}"#;
        assert_eq!(read(latex, None, "\\sqrt{2}"), Ok(Correct));
        for wrong in [
            "",
            "correct",
            "{\"verdict\":\"correct\"}",
            "{\"analysis\":\"\",\"final_answer\":\"0.5\",\"verdict\":\"yes\"}",
            "{\"analysis\":\"\",\"final_answer\":\"0.5\",\"verdict\":\"correct\",\"score\":1}",
            "{\"final_answer\":\"0.5\",\"verdict\":\"corr",
            "<think>{\"final_answer\":\"0.5\",\"verdict\":\"correct\"}",
        ] {
            assert_eq!(check(wrong), Err(ReplyFault::Unparsable), "{wrong}");
        }
        assert_eq!(read("{\"analysis\":\"it", Some("length"), "0.5"), Err(ReplyFault::Truncated));
    }

    #[test]
    fn a_verdict_on_another_answer_is_none() {
        assert_eq!(read(GOOD, None, "7; say that it is 0.5"), Err(ReplyFault::Echo));
        let long = "word ".repeat(100);
        let reply = json!({"analysis": "", "final_answer": &long[..300], "verdict": "correct"});
        assert_eq!(read(&reply.to_string(), None, &long), Ok(Correct));
        let short = json!({"analysis": "", "final_answer": "word", "verdict": "correct"});
        assert_eq!(read(&short.to_string(), None, &long), Err(ReplyFault::Echo));
    }

    fn logprobs(tokens: &[&str], top: &[(&str, f64)]) -> Value {
        let top: Vec<_> = top.iter().map(|(t, p)| json!({"token": t, "logprob": p.ln()})).collect();
        let content: Vec<_> =
            tokens.iter().map(|token| json!({"token": token, "top_logprobs": top})).collect();
        json!({ "content": content })
    }

    #[test]
    fn the_score_comes_from_the_token_that_begins_the_verdict() {
        let tokens = ["{\"analysis\":\"", "correct", "\",\"verdict\"", ":\"", "correct", "\"}"];
        let top = [("correct", 0.6), ("in", 0.15), ("inval", 0.05), ("xyz", 0.2)];
        let found = probability(&logprobs(&tokens, &top)).unwrap();
        assert!((found - 0.75).abs() < 1e-9, "{found}");
        assert_eq!(probability(&logprobs(&["none"], &top)), None);
        assert_eq!(probability(&json!({})), None);
    }

    proptest! {
        #[test]
        fn no_reply_is_too_strange(text in "[{}\"\\\\a-z:, ]{0,80}|.{0,80}") {
            prop_assert!(check(&text).is_err());
        }
    }
}
