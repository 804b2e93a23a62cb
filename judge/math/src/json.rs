//! JSON documents: equal as values, whatever the order of keys and the spelling of
//! numbers. Nesting is bounded; numbers are exact.

use std::collections::BTreeMap;

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use crate::limits;

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(RBig),
    Text(String),
    Array(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
    values: usize,
}

/// Reads any value, one that is no container too.
pub(crate) fn parse_any(text: &str) -> Option<Json> {
    let mut reader = Reader { rest: text.trim(), depth: 0, values: 0 };
    let value = reader.value()?;
    reader.rest.trim().is_empty().then_some(value)
}

/// Reads a text that begins as an object or array with quoted strings.
pub(crate) fn parse(text: &str) -> Option<Json> {
    let text = text.trim();
    let container = text.starts_with('{') || text.starts_with('[');
    if !container || text.len() > limits::INPUT_BYTES_MAX || !text.contains('"') {
        return None;
    }
    parse_any(text)
}

impl Reader<'_> {
    fn eat(&mut self, character: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(value)
    }

    fn value(&mut self) -> Option<Json> {
        self.values += 1;
        if self.depth >= limits::DEPTH_MAX || self.values > limits::JSON_VALUES_MAX {
            return None;
        }
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '{' => self.object(),
            '[' => self.array(),
            '"' => self.text().map(Json::Text),
            'n' => self.word("null", Json::Null),
            't' => self.word("true", Json::Bool(true)),
            'f' => self.word("false", Json::Bool(false)),
            _ => self.number(),
        }
    }

    fn object(&mut self) -> Option<Json> {
        self.eat('{');
        self.depth += 1;
        let mut members = BTreeMap::new();
        if !self.eat('}') {
            loop {
                self.rest = self.rest.trim_start();
                let key = self.text()?;
                if !self.eat(':') {
                    return None;
                }
                let value = self.value()?;
                members.insert(key, value);
                if self.eat('}') {
                    break;
                }
                if !self.eat(',') {
                    return None;
                }
            }
        }
        self.depth -= 1;
        Some(Json::Object(members))
    }

    fn array(&mut self) -> Option<Json> {
        self.eat('[');
        self.depth += 1;
        let mut items = Vec::new();
        if !self.eat(']') {
            loop {
                items.push(self.value()?);
                if self.eat(']') {
                    break;
                }
                if !self.eat(',') {
                    return None;
                }
            }
        }
        self.depth -= 1;
        Some(Json::Array(items))
    }

    fn text(&mut self) -> Option<String> {
        self.rest = self.rest.strip_prefix('"')?;
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[index + 1..];
                    return Some(text);
                }
                '\\' => {
                    let (_, escaped) = characters.next()?;
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'u' => unescaped(&mut characters)?,
                        '"' | '\\' | '/' => escaped,
                        _ => return None,
                    });
                }
                other => text.push(other),
            }
        }
        None
    }

    fn number(&mut self) -> Option<Json> {
        let end = self
            .rest
            .find(|next: char| {
                !(next.is_ascii_digit() || matches!(next, '-' | '+' | '.' | 'e' | 'E'))
            })
            .unwrap_or(self.rest.len());
        let (literal, rest) = self.rest.split_at(end);
        self.rest = rest;
        let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let joined = UBig::from_str_radix(&format!("{whole}{fraction}"), 10).ok()?;
        let scale = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()?;
        let size = usize::try_from(scale.unsigned_abs()).ok().filter(|size| *size <= 4096)?;
        let power = UBig::from(10u8).pow(size);
        let value = if scale >= 0 {
            RBig::from(IBig::from(joined * power))
        } else {
            RBig::from_parts(IBig::from(joined), power)
        };
        Some(Json::Number(if negative { -value } else { value }))
    }
}

/// The character that `\u` and four hexadecimal digits stand for, or two such escapes that make a pair.
fn unescaped(characters: &mut std::str::CharIndices<'_>) -> Option<char> {
    let high = code_unit(characters)?;
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high);
    }
    let backslash = characters.next()?.1 == '\\' && characters.next()?.1 == 'u';
    let low = code_unit(characters).filter(|low| backslash && (0xdc00..0xe000).contains(low))?;
    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

fn code_unit(characters: &mut std::str::CharIndices<'_>) -> Option<u32> {
    let mut code = 0;
    for _ in 0..4 {
        code = code * 16 + characters.next()?.1.to_digit(16)?;
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_keys_and_spelling_of_numbers_do_not_matter() {
        assert_eq!(parse(r#"{"a": 1, "b": [2.50]}"#), parse(r#"{"b":[25e-1],"a":1.0}"#));
        assert_ne!(parse(r#"{"a": 1}"#), parse(r#"{"a": 2}"#));
        assert_ne!(parse(r#"["a","b"]"#), parse(r#"["b","a"]"#));
    }

    #[test]
    fn damaged_documents_are_no_json() {
        for text in ["{\"a\":}", "[\"a\",]", "{\"a\" 1}", "[\"a", "{1,2}", "[0,1)"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[\"\",".repeat(500)), None);
    }
}
