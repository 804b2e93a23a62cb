//! Words of answers: numbers, synonyms, and the normal form of plain text.

use crate::value::{NamedSet, Value};

/// The value of a number word up to one hundred, and of a few collectives.
pub(crate) fn number(word: &str) -> Option<i64> {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] =
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let lower = word.to_lowercase();
    let small = SMALL.iter().position(|known| *known == lower);
    let tens = || TENS.iter().position(|known| *known == lower).map(|index| (index + 2) * 10);
    let index = small.or_else(tens)?;
    i64::try_from(index).ok()
}

/// Words that multiply the number before them.
pub(crate) fn multiplier(word: &str) -> Option<i64> {
    Some(match word.to_lowercase().as_str() {
        "hundred" => 100,
        "thousand" => 1_000,
        "million" => 1_000_000,
        "billion" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        "dozen" => 12,
        _ => return None,
    })
}

/// Words for parts, as their denominator: `two thirds`.
pub(crate) fn part(word: &str) -> Option<i64> {
    Some(match word.to_lowercase().trim_end_matches('s') {
        "half" | "halve" => 2,
        "third" => 3,
        "quarter" | "fourth" => 4,
        "fifth" => 5,
        "sixth" => 6,
        "eighth" => 8,
        "tenth" => 10,
        _ => return None,
    })
}

/// Words that make a label a hedge or a denial instead of a label.
pub(crate) fn is_hedge(word: &str) -> bool {
    matches!(
        word.to_lowercase().as_str(),
        "or" | "not"
            | "maybe"
            | "perhaps"
            | "either"
            | "but"
            | "if"
            | "unless"
            | "possibly"
            | "probably"
            | "except"
            | "wrong"
            | "incorrect"
            | "correct"
            | "answer"
            | "never"
            | "no"
            | "else"
            | "likely"
            | "neither"
            | "nor"
            | "could"
            | "might"
            | "is"
            | "can"
            | "would"
            | "ignore"
            | "verdict"
            | "between"
            | "than"
            | "least"
            | "most"
            | "approximately"
    )
}

/// Lower case, single spaces, no punctuation, no articles, no LaTeX commands.
pub(crate) fn normalize(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character == '\\' {
            let mut name = String::new();
            while let Some(letter) = rest.peek().copied().filter(char::is_ascii_alphabetic) {
                name.push(letter);
                rest.next();
            }
            let layout = matches!(
                name.as_str(),
                "text"
                    | "mbox"
                    | "textbf"
                    | "mathrm"
                    | "mathbf"
                    | "textit"
                    | "left"
                    | "right"
                    | "quad"
                    | "rm"
                    | "bf"
                    | "textrm"
                    | "boxed"
                    | "operatorname"
            );
            if !layout {
                plain.push_str(&name);
            }
            plain.push(' ');
        } else if character.is_alphanumeric() || "+-*/^=<>%".contains(character) {
            plain.extend(character.to_lowercase());
        } else if character == '\'' {
        } else {
            plain.push(' ');
        }
    }
    plain
        .split_whitespace()
        .filter(|word| !matches!(*word, "a" | "an" | "the"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A text without white space, layout: for notation that has no value here.
pub(crate) fn tight(text: &str) -> String {
    let mut tight = text.to_owned();
    for layout in
        ["\\left", "\\right", "\\text", "\\mathrm", "\\,", "\\!", "\\;", "\\displaystyle", "\\quad"]
    {
        tight = tight.replace(layout, "");
    }
    // `7 2` is not `72`: white space between two digits stays.
    let characters: Vec<char> = tight.chars().collect();
    let digit = |at: Option<&char>| at.is_some_and(char::is_ascii_digit);
    let kept = characters.iter().enumerate().filter(|(index, character)| {
        let before = characters[..*index].iter().rev().find(|before| !before.is_whitespace());
        let after = characters[index + 1..].iter().find(|after| !after.is_whitespace());
        !character.is_whitespace() || (digit(before) && digit(after))
    });
    kept.map(|(_, character)| *character).collect()
}

/// The answer behind an opening phrase.
pub(crate) fn without_lead(text: &str) -> &str {
    const LEADS: [&str; 12] = [
        "the final answer is",
        "the correct answer is",
        "the answer is",
        "final answer:",
        "final answer is",
        "answer is",
        "answer:",
        "therefore",
        "thus",
        "hence",
        "so",
        "we get",
    ];
    let mut rest = text;
    for _ in 0..3 {
        let lead = LEADS.iter().find(|lead| {
            let head = rest.get(..lead.len());
            let next = rest.get(lead.len()..).and_then(|after| after.chars().next());
            let ends = next.is_none_or(|next| !next.is_alphanumeric());
            head.is_some_and(|head| head.eq_ignore_ascii_case(lead)) && ends
        });
        let Some(lead) = lead else { break };
        let after = rest[lead.len()..].trim_start_matches([':', ',', ' ']);
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    rest
}

/// A phrase without the noun that says what kind of thing it names: `quadrant ii` is `ii`,
/// `isosceles triangle` is `isosceles`.
pub(crate) fn core(normalized: &str) -> String {
    const NOUNS: [&str; 30] = [
        "all",
        "any",
        "every",
        "on",
        "it",
        "is",
        "numbers",
        "in",
        "quadrant",
        "triangle",
        "quadrilateral",
        "number",
        "option",
        "choice",
        "case",
        "type",
        "group",
        "row",
        "column",
        "line",
        "figure",
        "graph",
        "month",
        "day",
        "statement",
        "statements",
        "quadrants",
        "curve",
        "only",
        "angle",
    ];
    let words: Vec<&str> = normalized.split(' ').collect();
    let kept: Vec<&str> =
        words.iter().copied().filter(|word| !NOUNS.contains(word) && *word != "and").collect();
    let singular = |word: &&str| {
        let long = word.len() > 3 && !word.ends_with("ss");
        word.strip_suffix('s').filter(|_| long).unwrap_or(word).to_owned()
    };
    let kept: Vec<String> = kept.iter().map(singular).collect();
    if kept.is_empty() { normalized.to_owned() } else { kept.join(" ") }
}

/// What whole phrases stand for.
pub(crate) fn phrase(normalized: &str) -> Option<Value> {
    let empty = [
        "no solution",
        "no solutions",
        "no real solution",
        "no real solutions",
        "empty set",
        "none",
        "no such values",
        "no such number",
        "no such numbers",
        "there are no solutions",
        "there is no solution",
        "null set",
        "no roots",
        "no real roots",
        "no values",
        "no value",
        "no integer solutions",
        "no such integers",
        "no solution exists",
    ];
    if empty.contains(&normalized) {
        return Some(Value::Named(NamedSet::Empty));
    }
    let reals = [
        "all real numbers",
        "all reals",
        "all real",
        "real numbers",
        "any real number",
        "set of all real numbers",
        "every real number",
        "all real values",
    ];
    if reals.contains(&normalized) {
        return Some(Value::Named(NamedSet::Reals));
    }
    if ["all integers", "integers", "set of integers"].contains(&normalized) {
        return Some(Value::Named(NamedSet::Integers));
    }
    None
}

/// Phrases of one meaning, as their first member.
pub(crate) fn synonym(normalized: &str) -> &str {
    const GROUPS: &[&[&str]] = &[
        &[
            "does not exist",
            "dne",
            "doesnt exist",
            "limit does not exist",
            "undefined",
            "not defined",
        ],
        &[
            "infinitely many",
            "infinitely many solutions",
            "infinite",
            "infinity",
            "infinite number of solutions",
            "infinite solutions",
            "positive infinity",
        ],
        &["true", "t"],
        &["false", "f"],
        &["cannot be determined", "not enough information", "can not be determined"],
        &["impossible", "not possible"],
        &["sunday", "sun"],
        &["monday", "mon"],
        &["tuesday", "tue"],
        &["wednesday", "wed"],
        &["thursday", "thu"],
        &["friday", "fri"],
        &["saturday", "sat"],
        &["diverges", "divergent", "diverge", "series diverges"],
        &["converges", "convergent", "converge", "series converges"],
    ];
    GROUPS
        .iter()
        .find(|group| group.contains(&normalized))
        .and_then(|group| group.first().copied())
        .unwrap_or(normalized)
}
