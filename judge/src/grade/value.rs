//! Plain data that a called function returned, and how it is compared. Pure.
//!
//! The driver in the slot writes the result as one line of JSON; what JSON has no word for is an object
//! with one key: `{"tuple":[..]}`, `{"set":[..]}`, `{"dict":[[key,value],..]}`, `{"float":"nan"}`,
//! `{"other":"name of a type"}`. Integers keep all their digits.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "two values are equal only as the pairs say; all other pairs are not"
)]

use super::checker::Tolerance;
use super::python::{float, integer_equals_float};

/// Nesting of a value; deeper ones are refused.
const DEPTH_MAX: usize = 200;

/// Plain data.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer: digits without leading zeros, with a minus where it is below zero.
    Integer(String),
    /// A float.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A tuple.
    Tuple(Vec<Self>),
    /// A set.
    Set(Vec<Self>),
    /// Keys and values, in order.
    Dict(Vec<(Self, Self)>),
    /// Something that is no plain data.
    Other,
}

/// How a result is compared with what is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CallRule {
    /// Numbers by value, tuples as lists at every depth, booleans only with booleans.
    Plain(Option<Tolerance>),
    /// LiveCodeBench: a tuple becomes a list, and then Python's `==`.
    Lcb,
    /// `prime_code` of verl: Python's `==` with the expected value or with its first element.
    Apps,
}

impl CallRule {
    /// Its name and version in replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain(None) => "plain/1",
            Self::Plain(Some(_)) => "plain-floats/1",
            Self::Lcb => "lcb-call/1",
            Self::Apps => "apps-call/1",
        }
    }

    /// Whether `result` is what was expected.
    #[must_use]
    pub fn accepts(self, result: &Value, expected: &Value) -> bool {
        match self {
            Self::Plain(tolerance) => plain(result, expected, tolerance),
            Self::Lcb => python_equal(&listed(result), expected),
            Self::Apps => apps(&listed(result), expected),
        }
    }
}

/// A tuple as a list, and everything else as it is.
fn listed(value: &Value) -> Value {
    match value {
        Value::Tuple(items) => Value::List(items.clone()),
        other => other.clone(),
    }
}

fn apps(result: &Value, expected: &Value) -> bool {
    let expected = int_keys(expected);
    if python_equal(result, &expected) {
        return true;
    }
    let Value::List(items) = &expected else {
        return false;
    };
    let Some(first) = items.first() else {
        return false;
    };
    if python_equal(result, first) {
        return true;
    }
    match result {
        Value::List(rows) if matches!(rows.first(), Some(Value::Tuple(_))) => {
            let rows: Option<Vec<Value>> = rows.iter().map(as_list).collect();
            rows.is_some_and(|rows| python_equal(&Value::List(rows), first))
        }
        _ => false,
    }
}

/// `list(value)`, where that is possible.
fn as_list(value: &Value) -> Option<Value> {
    match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
            Some(Value::List(items.clone()))
        }
        Value::Dict(entries) => {
            Some(Value::List(entries.iter().map(|(key, _)| key.clone()).collect()))
        }
        Value::Text(text) => {
            Some(Value::List(text.chars().map(|c| Value::Text(c.to_string())).collect()))
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Other => None,
    }
}

/// As that grader undoes what JSON does to the keys of a dictionary: one with integer keys, alone or
/// first in a list, becomes a list of that one dictionary.
fn int_keys(expected: &Value) -> Value {
    let converted = |entries: &[(Value, Value)]| -> Option<Value> {
        let entry = |(key, value): &(Value, Value)| match key {
            Value::Text(text) => {
                let digits = text.trim().replace('_', "");
                let number: i128 = digits.parse().ok()?;
                Some((Value::Integer(number.to_string()), value.clone()))
            }
            _ => None,
        };
        let entries: Vec<_> = entries.iter().map(entry).collect::<Option<_>>()?;
        Some(Value::List(vec![Value::Dict(entries)]))
    };
    let found = match expected {
        Value::Dict(entries) => converted(entries),
        Value::List(items) => match items.first() {
            Some(Value::Dict(entries)) => converted(entries),
            _ => None,
        },
        _ => None,
    };
    found.unwrap_or_else(|| expected.clone())
}

/// Python's `==` on plain data.
fn python_equal(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(truth) => Some(Value::Integer(u8::from(*truth).to_string())),
        Value::Integer(_) | Value::Float(_) => Some(value.clone()),
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => return same_number(&a, &b),
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => return false,
    }
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| python_equal(a, b))
        }
        (Value::Set(a), Value::Set(b)) => {
            a.len() == b.len() && a.iter().all(|a| b.iter().any(|b| python_equal(a, b)))
        }
        (Value::Dict(a), Value::Dict(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| {
                    b.iter().any(|(k, v)| python_equal(key, k) && python_equal(value, v))
                })
        }
        _ => false,
    }
}

#[expect(clippy::float_cmp, reason = "Python compares floats so")]
fn same_number(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Integer(integer), Value::Float(float))
        | (Value::Float(float), Value::Integer(integer)) => integer_equals_float(integer, *float),
        _ => false,
    }
}

/// The rule of [`CallRule::Plain`].
fn plain(a: &Value, b: &Value, tolerance: Option<Tolerance>) -> bool {
    let all = |a: &[Value], b: &[Value]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| plain(a, b, tolerance))
    };
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Integer(_) | Value::Float(_), Value::Integer(_) | Value::Float(_)) => {
            same_number(a, b) || tolerance.is_some_and(|tolerance| close(a, b, tolerance))
        }
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::List(a) | Value::Tuple(a), Value::List(b) | Value::Tuple(b)) => all(a, b),
        // What is expected comes from JSON, which has neither sets nor keys that are not texts.
        (Value::Set(a), Value::Set(b) | Value::List(b)) => {
            a.len() == b.len() && a.iter().all(|a| b.iter().any(|b| plain(a, b, tolerance)))
        }
        (Value::Dict(a), Value::Dict(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| {
                    b.iter().any(|(k, v)| same_key(key, k) && plain(value, v, tolerance))
                })
        }
        _ => false,
    }
}

fn same_key(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Integer(digits), Value::Text(text)) => digits == text,
        _ => python_equal(a, b),
    }
}

fn close(a: &Value, b: &Value, tolerance: Tolerance) -> bool {
    let number = |value: &Value| match value {
        Value::Integer(digits) => digits.parse::<f64>().ok(),
        Value::Float(float) => Some(*float),
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.is_finite() && b.is_finite() && tolerance.accepts(a, b),
        (None, _) | (_, None) => false,
    }
}

impl Value {
    /// Reads JSON as Python does (`NaN` and `Infinity` are numbers), and the words of the drivers
    /// where `from_driver`.
    ///
    /// # Errors
    /// Where it is no JSON.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, String> {
        let mut reader = Reader { rest: text, origin };
        let value = reader.value(0)?;
        reader.space();
        if reader.rest.is_empty() {
            Ok(value)
        } else {
            Err(format!("text after the value: {:?}", reader.head()))
        }
    }
}

/// Who wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The problem: plain JSON.
    Problem,
    /// A driver: objects with one known key mean something else.
    Driver,
}

struct Reader<'a> {
    rest: &'a str,
    origin: Origin,
}

impl Reader<'_> {
    fn head(&self) -> String {
        self.rest.chars().take(20).collect()
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested more than {DEPTH_MAX} deep"));
        }
        self.space();
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ] {
            if self.take(word) {
                return Ok(value);
            }
        }
        match self.rest.chars().next() {
            Some('"') => self.text().map(Value::Text),
            Some('[') => self.list(depth).map(Value::List),
            Some('{') => self.object(depth),
            Some('-' | '0'..='9') => self.number(),
            Some(_) => Err(format!("no value: {:?}", self.head())),
            None => Err("the text ends where a value should be".to_owned()),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, String> {
        self.take("[");
        let mut items = Vec::new();
        self.space();
        if self.take("]") {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take("]") {
                return Ok(items);
            }
            if !self.take(",") {
                return Err(format!("neither , nor ]: {:?}", self.head()));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.take("{");
        let mut entries: Vec<(Value, Value)> = Vec::new();
        self.space();
        if !self.take("}") {
            loop {
                self.space();
                let key = Value::Text(self.text()?);
                self.space();
                if !self.take(":") {
                    return Err(format!("no : after a key: {:?}", self.head()));
                }
                let value = self.value(depth + 1)?;
                entries.push((key, value));
                self.space();
                if self.take("}") {
                    break;
                }
                if !self.take(",") {
                    return Err(format!("neither , nor }}: {:?}", self.head()));
                }
            }
        }
        match self.origin {
            Origin::Problem => Ok(Value::Dict(last_of_each(entries))),
            Origin::Driver => word(entries),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        // The scan finds the end; the library reads what is between, escapes and all.
        let bytes = self.rest.as_bytes();
        if bytes.first() != Some(&b'"') {
            return Err(format!("no text: {:?}", self.head()));
        }
        let mut at = 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err("a text without an end".to_owned()),
            }
        }
        let (text, rest) = self.rest.split_at(at + 1);
        self.rest = rest;
        serde_json::from_str(text)
            .or_else(|error| lone_surrogates(text).ok_or_else(|| error.to_string()))
    }

    fn number(&mut self) -> Result<Value, String> {
        let end = self
            .rest
            .find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        let digits = token.strip_prefix('-').unwrap_or(token);
        let wrong = || format!("no number: {token:?}");
        if digits.is_empty()
            || (digits.len() > 1
                && digits.starts_with('0')
                && digits.as_bytes()[1].is_ascii_digit())
        {
            return Err(wrong());
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let zero = digits == "0";
            return Ok(Value::Integer(if zero { "0".to_owned() } else { token.to_owned() }));
        }
        float(token).map(Value::Float).ok_or_else(wrong)
    }
}

/// A text with escapes that name half a character, which Python keeps and Rust cannot: each becomes
/// the replacement character.
fn lone_surrogates(text: &str) -> Option<String> {
    let mut fixed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        fixed.push_str(before);
        let high = |text: &str| {
            let digits = text.get(2..6)?;
            u16::from_str_radix(digits, 16).ok()
        };
        let first = high(escape)?;
        let second = escape.get(6..).filter(|next| next.starts_with("\\u")).and_then(high);
        let taken = match (first, second) {
            (0xd800..=0xdbff, Some(0xdc00..=0xdfff)) => 12,
            (0xd800..=0xdfff, _) => {
                fixed.push_str("\\ufffd");
                rest = escape.get(6..)?;
                continue;
            }
            _ => 6,
        };
        fixed.push_str(escape.get(..taken)?);
        rest = escape.get(taken..)?;
    }
    fixed.push_str(rest);
    serde_json::from_str(&fixed).ok()
}

/// Of entries with the same key the last counts.
fn last_of_each(entries: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    let mut kept: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
    let mut places = std::collections::HashMap::new();
    for (key, value) in entries {
        let Value::Text(text) = &key else { continue };
        if let Some(place) = places.get(text) {
            let place: &usize = place;
            kept[*place].1 = value;
        } else {
            places.insert(text.clone(), kept.len());
            kept.push((key, value));
        }
    }
    kept
}

/// What an object of a driver means.
fn word(entries: Vec<(Value, Value)>) -> Result<Value, String> {
    let [(Value::Text(name), value)] = &entries[..] else {
        return Err("an object without exactly one key".to_owned());
    };
    match (name.as_str(), value) {
        ("tuple", Value::List(items)) => Ok(Value::Tuple(items.clone())),
        ("set", Value::List(items)) => Ok(Value::Set(items.clone())),
        ("float", Value::Text(token)) => {
            float(token).map(Value::Float).ok_or_else(|| format!("no float: {token:?}"))
        }
        ("dict", Value::List(pairs)) => pairs
            .iter()
            .map(|pair| match pair {
                Value::List(pair) => match &pair[..] {
                    [key, value] => Ok((key.clone(), value.clone())),
                    _ => Err("an entry that is no pair".to_owned()),
                },
                _ => Err("an entry that is no pair".to_owned()),
            })
            .collect::<Result<_, _>>()
            .map(Value::Dict),
        ("other", Value::Text(_)) => Ok(Value::Other),
        _ => Err(format!("an object with the key {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expected(text: &str) -> Value {
        Value::parse(text, Origin::Problem).unwrap()
    }

    fn result(text: &str) -> Value {
        Value::parse(text, Origin::Driver).unwrap()
    }

    fn check(rule: CallRule, returned: &str, wanted: &str, accepted: bool) {
        let found = rule.accepts(&result(returned), &expected(wanted));
        assert_eq!(found, accepted, "{rule:?} {returned} {wanted}");
    }

    #[test]
    fn lcb_is_pythons_equality_after_one_tuple() {
        let lcb = CallRule::Lcb;
        check(lcb, "[1,2]", "[1,2]", true);
        check(lcb, r#"{"tuple":[1,2]}"#, "[1,2]", true);
        check(lcb, r#"[{"tuple":[1,2]}]"#, "[[1,2]]", false);
        check(lcb, "1", "1.0", true);
        check(lcb, "true", "1", true);
        check(lcb, "0", "false", true);
        check(lcb, "0.30000000000000004", "0.3", false);
        check(lcb, "9007199254740993", "9007199254740992.0", false);
        check(lcb, "123456789012345678901234567890", "123456789012345678901234567890", true);
        check(lcb, r#"{"float":"nan"}"#, "NaN", false);
        check(lcb, r#"{"float":"inf"}"#, "Infinity", true);
        check(lcb, r#""a""#, r#""a""#, true);
        check(lcb, "null", "null", true);
        check(lcb, r#"{"set":[1]}"#, "[1]", false);
        check(lcb, r#"{"other":"Liar"}"#, "1", false);
        check(lcb, r#"{"dict":[["a",1]]}"#, r#"{"a":1}"#, true);
        check(lcb, r#"{"dict":[[1,1]]}"#, r#"{"1":1}"#, false);
    }

    #[test]
    fn apps_accepts_the_first_element_too() {
        let apps = CallRule::Apps;
        check(apps, "1", "1", true);
        check(apps, "1", "[1]", true);
        check(apps, "[1,2]", "[[1,2]]", true);
        check(apps, r#"[{"tuple":[1,2]}]"#, "[[[1,2]]]", true);
        check(apps, r#"[{"tuple":[1,2]}]"#, "[[1,2]]", false);
        check(apps, "2", "[1]", false);
        check(apps, "[]", "[]", true);
        check(apps, r#"{"dict":[[1,2]]}"#, r#"{"1":2}"#, true);
        check(apps, r#"{"dict":[["x",2]]}"#, r#"{"x":2}"#, true);
    }

    #[test]
    fn plain_takes_numbers_by_value_and_tuples_as_lists() {
        let plain = CallRule::Plain(None);
        check(plain, r#"[{"tuple":[1,2]}]"#, "[[1,2.0]]", true);
        check(plain, "true", "1", false);
        check(plain, "1", "true", false);
        check(plain, r#"{"dict":[[1,2]]}"#, r#"{"1":2}"#, true);
        check(plain, r#"{"set":[2,1]}"#, "[1,2]", true);
        check(plain, "0.30000000000000004", "0.3", false);
        let close = CallRule::Plain(Some(Tolerance::new(1e-9, 0.0).unwrap()));
        check(close, "[0.30000000000000004]", "[0.3]", true);
        check(close, "[0.31]", "[0.3]", false);
        check(close, r#"{"float":"nan"}"#, "1", false);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let all = [
            "",
            "[1",
            "{",
            "01",
            "-",
            "\"",
            "nul",
            "1 2",
            "[1,]",
            "{\"a\" 1}",
            "{1:2}",
            "1e",
            "'a'",
        ];
        for text in all {
            assert!(Value::parse(text, Origin::Problem).is_err(), "{text}");
        }
        for text in ["{}", r#"{"tuple":1}"#, r#"{"a":1}"#, r#"{"dict":[[1]]}"#] {
            assert!(Value::parse(text, Origin::Driver).is_err(), "{text}");
        }
        let deep = "[".repeat(DEPTH_MAX + 2);
        assert!(Value::parse(&deep, Origin::Problem).unwrap_err().contains("deep"));
        assert!(Value::parse(r#""\ud800x""#, Origin::Problem).is_ok());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value as Json;
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            (-1e9..1e9f64).prop_map(Json::from),
            ".{0,6}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::hash_map("[a-z]{1,2}", inner, 0..3)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Slow and plain: by way of another reader.
    fn reference(a: &serde_json::Value, b: &serde_json::Value) -> bool {
        use serde_json::Value as Json;
        let number = |value: &Json| match value {
            Json::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Json::Number(number) => number.as_f64(),
            _ => None,
        };
        match (a, b) {
            (Json::Array(a), Json::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| reference(a, b))
            }
            (Json::Object(a), Json::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| reference(a, b)))
            }
            _ => match (number(a), number(b)) {
                (Some(x), Some(y)) => {
                    // Integers beyond 2^53 are told apart by their digits.
                    x == y && (x.abs() < 9e15 || format!("{a}") == format!("{b}"))
                }
                _ => a == b,
            },
        }
    }

    proptest! {
        #[test]
        fn equality_agrees_with_the_plain_reference(a in json(), b in json()) {
            let (x, y) = (expected(&a.to_string()), expected(&b.to_string()));
            prop_assert_eq!(CallRule::Lcb.accepts(&x, &y), reference(&a, &b));
            prop_assert!(CallRule::Lcb.accepts(&x, &x.clone()));
            prop_assert!(CallRule::Plain(None).accepts(&y, &y.clone()));
        }

        #[test]
        fn no_text_is_too_strange(text in "[\\[\\]{}\":,0-9a-z\\\\ .eE+-]{0,40}|.{0,30}") {
            drop(Value::parse(&text, Origin::Problem));
            drop(Value::parse(&text, Origin::Driver));
        }
    }
}
