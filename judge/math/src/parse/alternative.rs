//! Further readings of a text, as tokens: each is tried where the first reading did not make
//! the answers equal, so that a match counts and a mismatch changes nothing.

use super::rewrite::{command, digits_of, is_mark, letter_of, mark};
use crate::lex::{Kind, Token};

/// Further readings of a text, each instead of the first.
pub(crate) fn alternatives(tokens: &[Token], other: &[Token]) -> Vec<Vec<Token>> {
    let mut found = Vec::new();
    let has_equals = |tokens: &[Token]| tokens.iter().any(|token| is_mark(Some(token), '='));
    found.extend(named_point(tokens).filter(|_| is_mark(other.first(), '(')));
    found.extend(without_name(tokens).filter(|_| !has_equals(other)));
    found.extend(choose_by_letters(tokens));
    let floors = |token: &Token| matches!(&token.kind, Kind::Command(name) if name == "lfloor" || name == "floor");
    found.extend(floor_brackets(tokens).filter(|_| other.iter().any(floors)));
    found.extend(repeating_in_brackets(tokens));
    let wordy = |token: &Token| matches!(token.kind, Kind::Word(_));
    found.extend(roman_number(tokens).filter(|_| other.iter().any(wordy)));
    found
}

/// `[n/2]` as the floor of what stands in the brackets.
fn floor_brackets(tokens: &[Token]) -> Option<Vec<Token>> {
    let comma = tokens.iter().any(|token| is_mark(Some(token), ','));
    let brackets = tokens.iter().filter(|token| is_mark(Some(token), '[')).count();
    if comma || brackets == 0 {
        return None;
    }
    let floor = |token: &Token| match token.kind {
        Kind::Mark('[') => command("lfloor"),
        Kind::Mark(']') => command("rfloor"),
        _ => token.clone(),
    };
    Some(tokens.iter().map(floor).collect())
}

/// `1.2(34)` as a decimal whose last digits repeat.
fn repeating_in_brackets(tokens: &[Token]) -> Option<Vec<Token>> {
    let at = tokens.windows(4).position(|window| {
        let decimal = digits_of(window.first()).is_some_and(|digits| digits.contains('.'));
        let repeats = digits_of(window.get(2)).is_some_and(|digits| !digits.contains('.'));
        let tight = window[1..].iter().all(|token| !token.spaced);
        decimal && repeats && tight && is_mark(window.get(1), '(') && is_mark(window.get(3), ')')
    })?;
    let mut rewritten = tokens.to_vec();
    rewritten[at + 3] = mark('}');
    rewritten[at + 1] = mark('{');
    rewritten.insert(at + 1, command("overline"));
    Some(rewritten)
}

/// `II` beside words is a number, not a product.
fn roman_number(tokens: &[Token]) -> Option<Vec<Token>> {
    let letters: Option<String> = tokens.iter().map(|token| letter_of(Some(token))).collect();
    let word = letters.filter(|letters| letters.chars().all(|letter| "IVX".contains(letter)))?;
    (word.len() > 1).then(|| vec![Token { kind: Kind::Word(word), spaced: false }])
}

/// `P(3, 4)` as the point behind its name.
fn named_point(tokens: &[Token]) -> Option<Vec<Token>> {
    let capital = letter_of(tokens.first())?.chars().all(|letter| letter.is_ascii_uppercase());
    let mut depth = 0_usize;
    let mut comma = false;
    for (index, token) in tokens.iter().enumerate().skip(1) {
        match token.kind {
            Kind::Mark('(') => depth += 1,
            Kind::Mark(')') => depth = depth.saturating_sub(1),
            Kind::Mark(',') if depth == 1 => comma = true,
            _ => {}
        }
        if depth == 0 && index + 1 < tokens.len() {
            return None;
        }
    }
    (capital && comma && is_mark(tokens.get(1), '(')).then(|| tokens[1..].to_vec())
}

/// `\vec a \cdot \vec b = 3`, `|AB| = 5`, `f^{-1}(x) = ..`: the value behind the name.
fn without_name(tokens: &[Token]) -> Option<Vec<Token>> {
    let equals = tokens.iter().position(|token| is_mark(Some(token), '='))?;
    let (name, value) = (&tokens[..equals], &tokens[equals + 1..]);
    if value.is_empty() || value.iter().any(|token| super::is_relation(&token.kind)) {
        return None;
    }
    let inverse = matches!(name, [f, power, open, minus, one, close, bracket, .., end]
        if letter_of(Some(f)).is_some() && is_mark(Some(power), '^') && is_mark(Some(open), '{')
            && is_mark(Some(minus), '-') && digits_of(Some(one)) == Some("1")
            && is_mark(Some(close), '}') && is_mark(Some(bracket), '(') && is_mark(Some(end), ')'));
    let vector = |token: &Token| {
        matches!(&token.kind, Kind::Command(name) if matches!(name.as_str(),
            "vec" | "overrightarrow" | "angle" | "triangle" | "overline" | "odot" | "widehat"))
    };
    let set = |token: &Token| {
        matches!(&token.kind, Kind::Command(name) if matches!(name.as_str(),
            "cup" | "cap" | "complement" | "setminus" | "complementary"))
    };
    let part = |token: &Token| match &token.kind {
        Kind::Letters(_) | Kind::Mark('{' | '}' | '|' | '‖' | '_' | '(' | ')') => true,
        Kind::Command(command) => {
            vector(token) || set(token) || command == "cdot" || command == "times"
        }
        Kind::Mark(_)
        | Kind::Digits(_)
        | Kind::Word(_)
        | Kind::Begin(_)
        | Kind::End(_)
        | Kind::Row
        | Kind::GroupComma
        | Kind::Gap => false,
    };
    let capitals = name.iter().filter(|token| {
        letter_of(Some(token)).is_some_and(|letter| letter.chars().all(char::is_uppercase))
    });
    let length = is_mark(name.first(), '|') && is_mark(name.last(), '|') && capitals.count() >= 2;
    let bracketed = name.iter().any(|token| is_mark(Some(token), '('));
    let sets = name.iter().any(set)
        && name.iter().all(|token| match letter_of(Some(token)) {
            Some(letter) => letter.chars().all(char::is_uppercase),
            None => true,
        });
    let named =
        name.iter().all(part) && (sets || (!bracketed && (length || name.iter().any(vector))));
    (inverse || named).then(|| value.to_vec())
}

/// `C_n^2` and `C(n, 2)` with letters as binomial coefficients.
fn choose_by_letters(tokens: &[Token]) -> Option<Vec<Token>> {
    let mut rewritten = Vec::with_capacity(tokens.len());
    let mut index = 0;
    let mut found = false;
    while index < tokens.len() {
        if let Some((top, bottom, next)) = choice_at(tokens, index) {
            rewritten.extend([command("binom"), mark('{')]);
            rewritten.extend(top);
            rewritten.extend([mark('}'), mark('{')]);
            rewritten.extend(bottom);
            rewritten.push(mark('}'));
            index = next;
            found = true;
        } else {
            rewritten.push(tokens[index].clone());
            index += 1;
        }
    }
    found.then_some(rewritten)
}

fn choice_at(tokens: &[Token], at: usize) -> Option<(Vec<Token>, Vec<Token>, usize)> {
    if letter_of(tokens.get(at)) != Some("C") {
        return None;
    }
    if is_mark(tokens.get(at + 1), '_') {
        let (top, next) = argument_at(tokens, at + 2)?;
        let (bottom, end) =
            argument_at(tokens, next + 1).filter(|_| is_mark(tokens.get(next), '^'))?;
        return Some((top, bottom, end));
    }
    let inner = tokens.get(at + 2..)?;
    let comma = inner.iter().position(|token| is_mark(Some(token), ','))?;
    let close = inner.iter().position(|token| is_mark(Some(token), ')'))?;
    let nested = inner[..close].iter().any(|token| is_mark(Some(token), '('));
    (is_mark(tokens.get(at + 1), '(') && comma > 0 && comma + 1 < close && !nested)
        .then(|| (inner[..comma].to_vec(), inner[comma + 1..close].to_vec(), at + 3 + close))
}

/// One token, or what stands in braces; and where it ends.
fn argument_at(tokens: &[Token], at: usize) -> Option<(Vec<Token>, usize)> {
    if !is_mark(tokens.get(at), '{') {
        let token = tokens.get(at)?;
        let plain = matches!(token.kind, Kind::Digits(_) | Kind::Letters(_));
        return plain.then(|| (vec![token.clone()], at + 1));
    }
    let close = tokens[at..].iter().position(|token| is_mark(Some(token), '}'))? + at;
    let inner = tokens[at + 1..close].to_vec();
    let nested = inner.iter().any(|token| is_mark(Some(token), '{'));
    (!inner.is_empty() && !nested).then_some((inner, close + 1))
}
