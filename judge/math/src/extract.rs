//! The final answer of a whole completion: text after the last reasoning block,
//! then the last box, then the last answer phrase, then the last formula or number.
//! Each rule is one pass; the span and the rule are reported.

use crate::limits;
use crate::policy::Extraction;

/// The rule that found an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `\boxed{..}` or `\fbox{..}`.
    Box,
    /// `final answer is ..` or `Answer: ..`.
    Phrase,
    /// `#### 72`.
    Hashes,
    /// The last formula between delimiters.
    Formula,
    /// The last number.
    Number,
}

impl Rule {
    /// A stable word for logs and wires.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Phrase => "phrase",
            Self::Hashes => "hashes",
            Self::Formula => "formula",
            Self::Number => "number",
        }
    }
}

/// An answer and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The answer, as written.
    pub text: String,
    /// The rule that found it.
    pub rule: Rule,
    /// Byte offset in the completion.
    pub offset: usize,
}

/// Finds the final answer of a completion.
#[must_use]
pub fn extract(completion: &str, extraction: Extraction) -> Option<Extracted> {
    let (start, text) = visible(completion)?;
    let found = match extraction {
        Extraction::Box => last_boxes(text),
        Extraction::AnswerLine => answer_line(text),
        Extraction::BoxOrPhrase => last_boxes(text).or_else(|| phrase(text)),
        Extraction::Lenient => last_boxes(text)
            .or_else(|| phrase(text))
            .or_else(|| last_formula(text))
            .or_else(|| last_number(text)),
    };
    found.map(|found| Extracted { offset: found.offset + start, ..found })
}

/// The part of the completion that counts, with its offset: none where reasoning never ends.
fn visible(completion: &str) -> Option<(usize, &str)> {
    let mut start = completion.len().saturating_sub(limits::COMPLETION_BYTES_MAX);
    while !completion.is_char_boundary(start) {
        start += 1;
    }
    let tail = &completion[start..];
    match tail.rfind("</think>") {
        Some(at) => Some((start + at + 8, &tail[at + 8..])),
        None if completion.trim_start().starts_with("<think>") => None,
        None => Some((start, tail)),
    }
}

/// The last box, joined with boxes before it that only connectors part from it.
fn last_boxes(text: &str) -> Option<Extracted> {
    let mut boxes: Vec<(usize, usize, &str)> = Vec::new();
    let mut from = 0;
    while let Some((at, open)) = next_box(text, from) {
        match box_content(text, open) {
            Some((content, end)) => {
                boxes.push((at, end, content));
                from = end;
            }
            None => from = open,
        }
    }
    let (mut offset, _, last) = *boxes.last()?;
    let mut parts = vec![last];
    for pair in boxes.windows(2).rev() {
        let [(at, end, content), (next, ..)] = pair else {
            break;
        };
        if !is_connector(&text[*end..*next]) {
            break;
        }
        parts.push(content);
        offset = *at;
    }
    parts.reverse();
    Some(Extracted { text: parts.join(", "), rule: Rule::Box, offset })
}

fn next_box(text: &str, from: usize) -> Option<(usize, usize)> {
    let rest = text.get(from..)?;
    let boxed = rest.find("\\boxed").map(|at| (from + at, from + at + 6));
    let framed = rest.find("\\fbox").map(|at| (from + at, from + at + 5));
    match (boxed, framed) {
        (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// The content of a box by matching braces, and the offset behind it.
fn box_content(text: &str, open: usize) -> Option<(&str, usize)> {
    let rest = text.get(open..)?;
    let trimmed = rest.trim_start();
    let start = open + rest.len() - trimmed.len();
    if !trimmed.starts_with('{') {
        // `\boxed 4`.
        let token = trimmed
            .split(|next: char| next.is_whitespace() || matches!(next, '$' | '.' | ','))
            .next()?;
        return (!token.is_empty()).then_some((token, start + token.len()));
    }
    let mut depth = 0_usize;
    let mut escaped = false;
    for (index, character) in trimmed.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some((&trimmed[1..index], start + index + 1));
                }
            }
            _ => {}
        }
    }
    None
}

fn is_connector(between: &str) -> bool {
    if between.len() > 40 {
        return false;
    }
    let mut rest = between.to_owned();
    for word in ["and", "or", "\\quad", "\\qquad", "\\text", "\\;", "\\,", "$", ",", "{", "}", ";"]
    {
        rest = rest.replace(word, " ");
    }
    rest.trim().is_empty()
}

const PHRASES: [&str; 7] = [
    "final answer is",
    "final answer:",
    "answer is",
    "answer:",
    "answer :",
    "answer to the problem is",
    "answers are",
];

/// The text behind the last phrase, up to the end of its line or sentence.
fn phrase(text: &str) -> Option<Extracted> {
    let lower = text.to_ascii_lowercase();
    let hashes = text.rfind("####").map(|at| (at, at + 4, Rule::Hashes));
    let phrases = PHRASES
        .iter()
        .filter_map(|phrase| lower.rfind(phrase).map(|at| (at, at + phrase.len(), Rule::Phrase)));
    let (_, end, rule) = phrases.chain(hashes).max_by_key(|found| (found.1, found.0))?;
    let after = &text[end..];
    let skipped = after.len() - after.trim_start_matches([':', ' ', '*', '\n', '\t', '\r']).len();
    let line = after[skipped..].lines().next().unwrap_or("");
    let answer = sentence(line).trim().trim_end_matches("**").trim();
    (!answer.is_empty()).then(|| Extracted { text: answer.to_owned(), rule, offset: end + skipped })
}

fn answer_line(text: &str) -> Option<Extracted> {
    let lower = text.to_ascii_lowercase();
    let at = lower.rfind("answer")?;
    let after = text[at + 6..].trim_start_matches([' ', '*']);
    let line = after.strip_prefix(':')?.lines().next().unwrap_or("").trim();
    let offset = text.len() - after.len() + 1;
    (!line.is_empty()).then(|| Extracted { text: line.to_owned(), rule: Rule::Phrase, offset })
}

/// The line up to a period that ends a sentence.
fn sentence(line: &str) -> &str {
    let end = line.match_indices(". ").map(|(at, _)| at).find(|at| {
        !line[..*at].ends_with(|last: char| last.is_ascii_uppercase()) || line[..*at].len() > 2
    });
    end.map_or(line, |end| &line[..end])
}

fn last_formula(text: &str) -> Option<Extracted> {
    let pairs = [("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")];
    let mut best: Option<Extracted> = None;
    for (open, close) in pairs {
        let Some(end) = text.rfind(close) else {
            continue;
        };
        let Some(start) = text[..end].rfind(open) else {
            continue;
        };
        let from = start + open.len();
        let content = text[from..end].trim();
        let later = best.as_ref().is_none_or(|known| from > known.offset);
        if !content.is_empty() && later {
            best = Some(Extracted { text: content.to_owned(), rule: Rule::Formula, offset: from });
        }
    }
    best
}

fn last_number(text: &str) -> Option<Extracted> {
    let end = text.rfind(|next: char| next.is_ascii_digit())? + 1;
    let keep = |next: char| next.is_ascii_digit() || matches!(next, '.' | ',' | '/');
    let start = text[..end]
        .rfind(|next| !keep(next))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let number = text[start..end].trim_start_matches([',', '.', '/']);
    let mut offset = end - number.len();
    if text[..offset].ends_with('-') {
        offset -= 1;
    }
    Some(Extracted { text: text[offset..end].to_owned(), rule: Rule::Number, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, extraction: Extraction) -> Option<String> {
        extract(text, extraction).map(|found| found.text)
    }

    #[test]
    fn last_complete_box_wins() {
        let text = "so \\boxed{1}. No: \\boxed{\\frac{1}{2}} and then \\boxed{3";
        assert_eq!(found(text, Extraction::Box).as_deref(), Some("\\frac{1}{2}"));
        assert_eq!(found("x = \\boxed 4.", Extraction::Box).as_deref(), Some("4"));
        assert_eq!(found("\\boxed{\\{1\\}}", Extraction::Box).as_deref(), Some("\\{1\\}"));
    }

    #[test]
    fn boxes_are_joined_only_by_connectors() {
        assert_eq!(found("\\boxed{1} and \\boxed{2}", Extraction::Box).as_deref(), Some("1, 2"));
        assert_eq!(
            found("\\boxed{1} is wrong, so \\boxed{2}", Extraction::Box).as_deref(),
            Some("2")
        );
    }

    #[test]
    fn reasoning_is_not_looked_at() {
        let text = "<think>\\boxed{1}</think> The answer is 5.";
        assert_eq!(found(text, Extraction::BoxOrPhrase).as_deref(), Some("5."));
        assert_eq!(found(text, Extraction::Box), None);
        assert_eq!(found("<think>so \\boxed{1} and", Extraction::Lenient), None);
    }

    #[test]
    fn phrases_hashes_and_numbers() {
        assert_eq!(found("Final Answer: **73**", Extraction::BoxOrPhrase).as_deref(), Some("73"));
        assert_eq!(found("so 6*12\n#### 72", Extraction::BoxOrPhrase).as_deref(), Some("72"));
        assert_eq!(found("we get -3,5 or so", Extraction::BoxOrPhrase), None);
        assert_eq!(found("it is -12.5 metres", Extraction::Lenient).as_deref(), Some("-12.5"));
        assert_eq!(found("thus $x=3$ holds", Extraction::Lenient).as_deref(), Some("x=3"));
        assert_eq!(found("Answer: 7\nbye", Extraction::AnswerLine).as_deref(), Some("7"));
    }
}
