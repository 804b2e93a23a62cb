//! Letters of a multiple choice: `C`, `(C)`, `C.`, `C. x = 42`, `\textbf{(C)}`.

use std::collections::BTreeSet;

/// Last letter that names a choice.
const LAST: char = 'J';

/// A text as chosen letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) letters: BTreeSet<char>,
    /// Whether the letter was written as a capital or in brackets.
    pub(crate) is_marked: bool,
}

/// The letters of a text that is nothing but a choice, perhaps with its content.
pub(crate) fn choice(repaired: &str) -> Option<Choice> {
    let plain = strip(repaired);
    let text = plain.trim();
    let text = ["option", "choice", "answer"]
        .iter()
        .find_map(|word| strip_word(text, word))
        .unwrap_or(text);
    let (letters, rest) = leading_letters(text)?;
    let rest = rest.trim_start();
    let ends = rest.is_empty()
        || ((rest.starts_with(['.', ':']) || text.starts_with('(')) && letters.len() == 1);
    let follows_bracket = rest.strip_prefix(')').is_some_and(|_| letters.len() == 1);
    if !(ends || follows_bracket) {
        return None;
    }
    let hedged = rest
        .split(|next: char| !next.is_alphanumeric())
        .any(|word| matches!(word, "or" | "not" | "wrong" | "incorrect" | "and" | "is"));
    let other_choice =
        rest.match_indices('(').any(|(at, _)| leading_letters(&rest[at..]).is_some());
    if hedged || other_choice {
        return None;
    }
    let is_marked = letters.iter().all(char::is_ascii_uppercase) || text.starts_with('(');
    let letters: BTreeSet<char> = letters.iter().map(char::to_ascii_uppercase).collect();
    let known = letters.iter().all(|letter| ('A'..=LAST).contains(letter));
    known.then_some(Choice { letters, is_marked })
}

/// Circled numbers such as `①③`, which may be answered by `(1)(3)`.
pub(crate) fn circled(repaired: &str) -> Option<Choice> {
    let plain = strip(repaired).replace("\\quad", " ").replace("and", " ");
    let mut letters = BTreeSet::new();
    let mut is_marked = false;
    let mut rest = plain.as_str();
    while let Some(next) = rest.chars().next() {
        let code = u32::from(next);
        if (0x2460..0x2474).contains(&code) {
            letters.insert(next);
            is_marked = true;
            rest = &rest[next.len_utf8()..];
        } else if let Some(inner) = rest.strip_prefix('(') {
            let (digits, after) = inner.split_once(')')?;
            let number =
                digits.trim().parse::<u32>().ok().filter(|number| (1..=20).contains(number))?;
            letters.insert(char::from_u32(0x245f + number)?);
            rest = after;
        } else if matches!(next, ' ' | ',' | ';') {
            rest = &rest[1..];
        } else {
            return None;
        }
    }
    (!letters.is_empty()).then_some(Choice { letters, is_marked })
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = text.get(word.len()..)?;
    (head.eq_ignore_ascii_case(word) && rest.starts_with([' ', ':']))
        .then(|| rest.trim_start_matches([' ', ':']))
}

/// Removes text commands and braces, keeps their content.
fn strip(text: &str) -> String {
    let mut plain = text.to_owned();
    for command in [
        "\\textbf", "\\text", "\\mathrm", "\\mathbf", "\\mbox", "\\boxed", "\\textrm", "\\rm",
        "\\left", "\\right", "\\bf",
    ] {
        plain = plain.replace(command, "");
    }
    plain.replace(['{', '}'], "").replace("\\ ", " ")
}

/// Letters at the start: one, or several in a row or between commas.
fn leading_letters(text: &str) -> Option<(Vec<char>, &str)> {
    let mut rest = text;
    let bracketed = rest.strip_prefix('(').or_else(|| rest.strip_prefix('['));
    if let Some(inner) = bracketed {
        let letter = inner.chars().next()?;
        let mut after = inner[letter.len_utf8()..].strip_prefix([')', ']'])?;
        let mut letters = vec![letter];
        // `(A) and (C)`, `(A), (C)`: the connector tells them from a hedge.
        while letters.len() < 8 {
            let joined = after.trim_start();
            let joined = joined
                .strip_prefix(", and ")
                .or_else(|| joined.strip_prefix(','))
                .or_else(|| joined.strip_prefix("and "));
            let Some(inner) =
                joined.map(str::trim_start).and_then(|next| next.strip_prefix(['(', '[']))
            else {
                break;
            };
            let Some(next) = inner.chars().next().filter(char::is_ascii_alphabetic) else {
                break;
            };
            let Some(rest) = inner[1..].strip_prefix([')', ']']) else {
                break;
            };
            letters.push(next);
            after = rest;
        }
        let all = letters.iter().all(char::is_ascii_alphabetic);
        return all.then_some((letters, after));
    }
    let mut letters = Vec::new();
    while let Some(letter) = rest.chars().next().filter(char::is_ascii_alphabetic) {
        letters.push(letter);
        rest = &rest[1..];
        let next = rest.trim_start_matches([',', ' ']);
        let next = next.strip_prefix("and ").or_else(|| next.strip_prefix("& ")).unwrap_or(next);
        let lone = |text: &str| {
            let mut characters = text.chars();
            let first = characters.next().is_some_and(|letter| letter.is_ascii_uppercase());
            first
                && !characters
                    .next()
                    .is_some_and(|next| next.is_ascii_alphanumeric() && !next.is_ascii_uppercase())
        };
        if next.len() < rest.len() && lone(next) {
            rest = next;
        } else if !rest.starts_with(|next: char| next.is_ascii_uppercase()) {
            break;
        }
        if letters.len() > 8 {
            return None;
        }
    }
    // `II` is a number, `AA` is a name.
    let repeats =
        letters.iter().enumerate().any(|(index, letter)| letters[..index].contains(letter));
    if repeats {
        return None;
    }
    let several = letters.len() > 1;
    let capitals = letters.iter().all(char::is_ascii_uppercase);
    if letters.is_empty() || (several && !capitals) {
        return None;
    }
    Some((letters, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Option<String> {
        choice(text).map(|choice| choice.letters.into_iter().collect())
    }

    #[test]
    fn letters_with_and_without_dress() {
        for text in
            ["C", "(C)", "\\text{(C)}", "C.", "C. x = 42", "\\textbf{(C)}\\ 12", "c", "Option C"]
        {
            assert_eq!(letters(text).as_deref(), Some("C"), "{text}");
        }
        assert_eq!(letters("A, C").as_deref(), Some("AC"));
        assert_eq!(letters("AB").as_deref(), Some("AB"));
    }

    #[test]
    fn other_texts_are_no_choices() {
        for text in [
            "x",
            "Cat",
            "C + 1",
            "5",
            "",
            "A = 3",
            "Bob",
            "AD = 5",
            "(A) is wrong",
            "A. or B.",
            "(A) (B)",
        ] {
            assert_eq!(letters(text), None, "{text}");
        }
    }
}
