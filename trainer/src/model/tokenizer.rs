//! Text to tokens and back, by the `tokenizer.json` of a checkpoint, and chats to text by its
//! template.
//!
//! Rollouts are tokens from sampling to training; text is made of them only for the judge and for
//! people, and never turned into tokens again.

use std::path::Path;

use minijinja::{Environment, context};
use serde_json::{Value, json};

use super::ModelError;

/// A tokenizer and, where the checkpoint has one, its chat template.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: Vec<u8>,
    chat_template: Option<String>,
}

/// How the vocabulary of a made-up task is cut out of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// At white space; tokens are joined by a blank.
    Words,
    /// At every character; tokens are joined as they are.
    Characters,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and `tokenizer_config.json` or `chat_template.jinja` for the
    /// template.
    ///
    /// # Errors
    /// Files that cannot be read or make no tokenizer.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer.json");
        let json = std::fs::read(&path).map_err(|source| ModelError::File { path, source })?;
        let mut tokenizer = Self::from_json(json)?;
        tokenizer.chat_template = template(folder);
        Ok(tokenizer)
    }

    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(json: Vec<u8>) -> Result<Self, ModelError> {
        let inner = tokenizers::Tokenizer::from_bytes(&json).map_err(failed)?;
        Ok(Self { inner, json, chat_template: None })
    }

    /// The tokenizer of a made-up task: the index in `words` is the token.
    ///
    /// # Errors
    /// None for distinct words.
    pub fn of_words(words: &[&str], cut: Cut) -> Result<Self, ModelError> {
        let vocabulary: serde_json::Map<String, Value> =
            words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
        let (splitter, decoder) = match cut {
            Cut::Words => (json!({"type": "WhitespaceSplit"}), Value::Null),
            Cut::Characters => (
                json!({"type": "Split", "pattern": {"Regex": "[\\s\\S]"},
                    "behavior": "Isolated", "invert": false}),
                json!({"type": "Fuse"}),
            ),
        };
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": splitter, "post_processor": null,
            "decoder": decoder,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": words[0]},
        });
        Self::from_json(json.to_string().into_bytes())
    }

    /// The content of its `tokenizer.json`.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// How many tokens there are.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The tokens of a text, without any that mark its start or end.
    ///
    /// # Errors
    /// What the tokenizer says.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        Ok(self.inner.encode(text, false).map_err(failed)?.get_ids().to_vec())
    }

    /// The text of tokens, without special ones.
    ///
    /// # Errors
    /// What the tokenizer says.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, ModelError> {
        self.inner.decode(tokens, true).map_err(failed)
    }

    /// The token that is written so, if there is one.
    #[must_use]
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// The prompt of a single message of the user, by the checkpoint's template where it has one.
    ///
    /// # Errors
    /// A template that cannot be rendered.
    pub fn chat(&self, message: &str) -> Result<String, ModelError> {
        let Some(template) = &self.chat_template else {
            return Ok(message.to_owned());
        };
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(python_methods);
        environment.add_function("raise_exception", |reason: String| -> Result<(), _> {
            Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, reason))
        });
        let messages = json!([{"role": "user", "content": message}]);
        environment
            .render_str(template, context! { messages, add_generation_prompt => true })
            .map_err(|error| ModelError::Tokenizer(format!("chat template: {error:#}")))
    }
}

/// The methods of Python's strings that chat templates use.
fn python_methods(
    _state: &minijinja::State<'_, '_>,
    value: &minijinja::Value,
    method: &str,
    arguments: &[minijinja::Value],
) -> Result<minijinja::Value, minijinja::Error> {
    use minijinja::{Error, ErrorKind};
    let text = value.as_str().ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
    let argument = arguments.first().and_then(minijinja::Value::as_str);
    match (method, argument) {
        ("strip", None) => Ok(text.trim().into()),
        ("lstrip", None) => Ok(text.trim_start().into()),
        ("rstrip", None) => Ok(text.trim_end().into()),
        ("strip", Some(set)) => Ok(text.trim_matches(|c| set.contains(c)).into()),
        ("lstrip", Some(set)) => Ok(text.trim_start_matches(|c| set.contains(c)).into()),
        ("rstrip", Some(set)) => Ok(text.trim_end_matches(|c| set.contains(c)).into()),
        ("startswith", Some(start)) => Ok(text.starts_with(start).into()),
        ("endswith", Some(end)) => Ok(text.ends_with(end).into()),
        ("split", Some(at)) => Ok(text.split(at).map(str::to_owned).collect::<Vec<_>>().into()),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn template(folder: &Path) -> Option<String> {
    if let Ok(template) = std::fs::read_to_string(folder.join("chat_template.jinja")) {
        return Some(template);
    }
    let text = std::fs::read_to_string(folder.join("tokenizer_config.json")).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    value["chat_template"].as_str().map(str::to_owned)
}

fn failed(error: tokenizers::Error) -> ModelError {
    ModelError::Tokenizer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_characters_come_back_as_they_were() {
        let words = Tokenizer::of_words(&["<pad>", "<eos>", "+", "dup", "a"], Cut::Words).unwrap();
        assert_eq!(words.encode("a dup +").unwrap(), [4, 3, 2]);
        assert_eq!(words.decode(&[4, 3, 2]).unwrap(), "a dup +");
        let characters =
            Tokenizer::of_words(&["<pad>", "a", " ", "\n", "("], Cut::Characters).unwrap();
        assert_eq!(characters.encode("a (\n").unwrap(), [1, 2, 4, 3]);
        assert_eq!(characters.decode(&[1, 2, 4, 3]).unwrap(), "a (\n");
    }

    #[test]
    fn a_chat_template_is_rendered_with_the_methods_of_python() {
        let mut tokenizer = Tokenizer::of_words(&["<pad>", "a"], Cut::Words).unwrap();
        assert_eq!(tokenizer.chat("plain").unwrap(), "plain");
        tokenizer.chat_template = Some(
            "{% for m in messages %}<|{{ m.role }}|>{{ m['content'].strip() }}<|end|>{% endfor %}\
             {% if add_generation_prompt %}<|assistant|>{% endif %}"
                .to_owned(),
        );
        assert_eq!(tokenizer.chat(" hi ").unwrap(), "<|user|>hi<|end|><|assistant|>");
        tokenizer.chat_template = Some("{{ raise_exception('no tools') }}".to_owned());
        assert!(tokenizer.chat("x").unwrap_err().to_string().contains("no tools"));
    }
}
