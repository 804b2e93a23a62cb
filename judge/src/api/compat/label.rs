//! What a trainer's `label` may be, and which part of its `query` is the model's answer.
//!
//! A label names the problem. In this order, given as JSON or as a text that holds JSON:
//! 1. an object with `problem`: a submission of ours without its program (`language`, `limits`,
//!    `reward` and the like may be given);
//! 2. an object with `kind`: a problem of ours;
//! 3. an object with `inputs` and `outputs` (and `fn_name`, `preset`): an `input_output`;
//! 4. an object with `assert_case`, a list of texts: assertions, one after the other;
//! 5. a list of texts: mathematical references, any of which may be met;
//! 6. any other text, or a number: a mathematical reference.
//!
//! Programs are in Python where the label names no language.

use protocol::{
    AssertionsProblem, InputOutputProblem, MathPolicy, MathProblem, Problem, Submission,
};
use serde_json::{Map, Value};

use super::super::error::ApiError;
use crate::limits::COMPAT_PROMPT_TAIL_CHARS;

/// Tokens at the end of a response that are no part of it.
const END_TOKENS: [&str; 14] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|eom_id|>",
    "<|return|>",
    "<|end▁of▁sentence|>",
    "<end_of_turn>",
    "<eos>",
    "</s>",
    "<pad>",
    "<|pad|>",
    "[EOS]",
];

/// A submission of `completion` for the problem that `label` names.
///
/// # Errors
/// The label names none.
pub(super) fn submission(label: Value, completion: String) -> Result<Submission, ApiError> {
    let mut submission = match label {
        Value::Object(object) => of_object(object)?,
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => of_object(object)?,
            Ok(_) | Err(_) => math(vec![text])?,
        },
        Value::Number(number) => math(vec![number.to_string()])?,
        Value::Array(items) => math(items.into_iter().map(reference).collect::<Result<_, _>>()?)?,
        Value::Null | Value::Bool(_) => return Err(wrong("it is null or a truth value")),
    };
    submission.completion = Some(completion);
    Ok(submission)
}

fn wrong(reason: &str) -> ApiError {
    ApiError::unprocessable(
        "invalid_label",
        format!("the label names no problem: {reason}"),
        "a problem as JSON, an `input_output` as JSON, or a mathematical reference",
    )
}

fn reference(item: Value) -> Result<String, ApiError> {
    match item {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong("an item of its list is neither text nor number"))
        }
    }
}

fn of_object(mut object: Map<String, Value>) -> Result<Submission, ApiError> {
    if object.contains_key("problem") {
        for field in ["source", "answer", "completion", "id"] {
            if object.contains_key(field) {
                return Err(wrong(&format!("`{field}` is not for a label")));
            }
        }
        let mut submission: Submission = typed(Value::Object(object))?;
        if submission.language.is_none() && is_program(&submission.problem) {
            submission.language = Some("python".to_owned());
        }
        return Ok(submission);
    }
    if object.contains_key("kind") {
        return Ok(of_problem(typed(Value::Object(object))?));
    }
    if object.contains_key("inputs") && object.contains_key("outputs") {
        object.retain(|name, value| !(value.is_null() && matches!(&**name, "fn_name" | "preset")));
        let problem: InputOutputProblem = typed(Value::Object(object))?;
        return Ok(of_problem(Problem::InputOutput(problem)));
    }
    if let Some(Value::Array(cases)) = object.get("assert_case") {
        let cases: Option<Vec<&str>> = cases.iter().map(Value::as_str).collect();
        let cases = cases.ok_or_else(|| wrong("`assert_case` is no list of texts"))?;
        let code = cases.join("\n");
        return Ok(of_problem(Problem::Assertions(AssertionsProblem { code })));
    }
    Err(wrong("it has neither `problem`, `kind`, `inputs` with `outputs`, nor `assert_case`"))
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))
}

/// A submission for `problem`, in Python where it is a program.
pub(super) fn of_problem(problem: Problem) -> Submission {
    let language = is_program(&problem).then(|| "python".to_owned());
    Submission { language, ..empty(problem) }
}

/// A submission with nothing but its problem.
pub(super) fn empty(problem: Problem) -> Submission {
    Submission {
        id: None,
        language: None,
        image: None,
        source: None,
        answer: None,
        completion: None,
        problem,
        limits: protocol::Limits::default(),
        stop_early: false,
        reward: None,
        group: None,
        length_tokens: None,
        feedback: protocol::Feedback::default(),
        on_flag: protocol::OnFlag::default(),
        scoring: protocol::Scoring::default(),
        fresh: false,
        deadline_ms: None,
    }
}

fn is_program(problem: &Problem) -> bool {
    !matches!(problem, Problem::Math(_) | Problem::Answer(_) | Problem::FreeForm(_))
}

fn math(references: Vec<String>) -> Result<Submission, ApiError> {
    if references.iter().all(|reference| reference.trim().is_empty()) {
        return Err(wrong("it is empty"));
    }
    Ok(of_problem(mathematical(references, None)))
}

/// A mathematical problem.
pub(super) fn mathematical(references: Vec<String>, question: Option<String>) -> Problem {
    Problem::Math(MathProblem {
        references,
        policy: MathPolicy::default(),
        question,
        undecided: None,
        judge: None,
    })
}

/// The part of `query` that the model wrote, without the tokens that end it.
///
/// The prompt is cut off, where it stands whole, or by its last characters where it was shortened or
/// its first token is spelt otherwise. Where neither is found the query is refused: judged as it is,
/// an example in the prompt would count as the answer.
///
/// # Errors
/// The prompt is not in the query.
pub(super) fn response(query: &str, prompt: &str) -> Result<String, ApiError> {
    let tail_at =
        prompt.char_indices().rev().nth(COMPAT_PROMPT_TAIL_CHARS - 1).map_or(0, |it| it.0);
    let tail = &prompt[tail_at..];
    let rest = match (query.find(prompt), query.find(tail)) {
        (Some(at), _) => &query[at + prompt.len()..],
        (None, Some(at)) => &query[at + tail.len()..],
        (None, None) => {
            return Err(ApiError::unprocessable(
                "prompt_not_in_query",
                "the query does not contain its prompt",
                "send `prompts` as they were given to the tokenizer",
            ));
        }
    };
    Ok(without_end_tokens(rest).to_owned())
}

/// `text` without the tokens that end it.
pub(super) fn without_end_tokens(text: &str) -> &str {
    let mut text = text.trim_end();
    while let Some(shorter) = END_TOKENS.iter().find_map(|token| text.strip_suffix(token)) {
        text = shorter.trim_end();
    }
    text
}

/// The text of a prompt that may be a list of messages.
pub(super) fn text_of(prompt: &Value) -> String {
    match prompt {
        Value::String(text) => text.clone(),
        Value::Array(messages) => {
            let contents = messages.iter().filter_map(|message| message.get("content")?.as_str());
            contents.collect::<Vec<_>>().join("\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => prompt.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(label: Value) -> Result<Submission, ApiError> {
        submission(label, "x".to_owned())
    }

    #[test]
    fn a_label_is_a_problem_an_input_output_or_a_reference() {
        let stdio = json!({"kind": "stdio", "tests": [{"stdout": "1"}]});
        for label in [stdio.clone(), json!(stdio.to_string())] {
            let found = of(label).unwrap();
            assert!(matches!(found.problem, Problem::Stdio(_)));
            assert_eq!(found.language.as_deref(), Some("python"));
        }
        let whole = json!({"problem": stdio, "language": "cpp", "stop_early": true});
        let found = of(whole).unwrap();
        assert_eq!((found.language.as_deref(), found.stop_early), (Some("cpp"), true));
        let rows = json!({"inputs": ["1"], "outputs": ["2"], "fn_name": null}).to_string();
        assert!(matches!(of(json!(rows)).unwrap().problem, Problem::InputOutput(_)));
        let Problem::Assertions(found) = of(json!({"assert_case": ["a", "b"]})).unwrap().problem
        else {
            panic!("not assertions");
        };
        assert_eq!(found.code, "a\nb");
        for (label, references) in [
            (json!("\\frac{1}{2}"), vec!["\\frac{1}{2}"]),
            (json!("[1,2]"), vec!["[1,2]"]),
            (json!("7"), vec!["7"]),
            (json!(7), vec!["7"]),
            (json!(["1", 2]), vec!["1", "2"]),
        ] {
            let found = of(label).unwrap();
            let Problem::Math(math) = found.problem else { panic!("not mathematical") };
            assert_eq!(
                (math.references, found.language),
                (references.into_iter().map(str::to_owned).collect(), None)
            );
        }
    }

    #[test]
    fn a_label_that_names_no_problem_is_refused() {
        for label in [
            json!(null),
            json!(true),
            json!(" "),
            json!([[]]),
            json!({}),
            json!({"kind": "stdio", "test": []}),
            json!({"kind": "stdio"}),
            json!({"problem": {"kind": "math", "references": ["1"]}, "source": "x"}),
            json!({"inputs": ["1"], "outputs": ["2"], "fn": "x"}),
            json!({"assert_case": [1]}),
        ] {
            assert_eq!(of(label.clone()).unwrap_err().code, "invalid_label", "{label}");
        }
    }

    #[test]
    fn the_response_is_what_follows_the_prompt() {
        let response = |query: &str, prompt: &str| response(query, prompt).map_err(|it| it.code);
        assert_eq!(response("<s>1+1?2</s>", "1+1?").as_deref(), Ok("2"));
        let chat = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
        let query = format!("{chat}hello<|im_end|>\n<|endoftext|>");
        assert_eq!(response(&query, chat).as_deref(), Ok("hello"));
        let long = "x".repeat(300) + "tail of the prompt";
        assert_eq!(response(&format!("{}answer", &long[100..]), &long).as_deref(), Ok("answer"));
        assert_eq!(response("an answer", "a prompt"), Err("prompt_not_in_query"));
        assert_eq!(response("q", ""), Ok("q".to_owned()));
        assert_eq!(response("é1", "é"), Ok("1".to_owned()));
    }

    #[test]
    fn a_response_that_repeats_the_prompt_keeps_its_repetition() {
        assert_eq!(response("ask: ask: 2", "ask: ").unwrap(), "ask: 2");
    }
}
