//! Answers of a named type, each with its own rules: letters of a choice, texts, numbers
//! with units, dates, JSON values, outputs. What is evened out before texts are compared is
//! named by [`TextRule`], and the explanation of a decision lists it.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::calendar;
use crate::choice;
use crate::engine::{best_of, compare};
use crate::json;
use crate::limits;
use crate::parse::words;
use crate::policy::Policy;
use crate::reason::{Decision, Explanation, Reason, Verdict};
use crate::repair::{is_invisible, repair};

/// A type of answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerKind {
    /// Letters of a multiple choice.
    Choice {
        /// What stands behind A, B, C and so on; may be empty.
        options: Vec<String>,
    },
    /// A word or a phrase.
    Text(TextRules),
    /// A number, with or without a unit.
    Number,
    /// A date.
    Date,
    /// A JSON value.
    Json,
    /// What a program printed.
    Output(TextRules),
}

/// One thing that is evened out before texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextRule {
    /// Compatibility forms and typographic marks become plain; invisible characters go.
    Unicode,
    /// Accents go.
    Diacritics,
    /// Capitals become small letters.
    Case,
    /// Punctuation becomes white space.
    Punctuation,
    /// `a`, `an` and `the` go.
    Articles,
    /// White space at the ends of lines and empty lines at the end go.
    TrailingWhitespace,
    /// Runs of white space become one space; none at the ends.
    Whitespace,
}

/// TextRules in the order in which they are applied, each at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextRules(Vec<TextRule>);

impl TextRules {
    /// Those of words and phrases: all but accents.
    #[must_use]
    pub fn text() -> Self {
        use TextRule::{Articles, Case, Punctuation, Unicode, Whitespace};
        [Unicode, Case, Punctuation, Articles, Whitespace].into_iter().collect()
    }

    /// Those of outputs: white space at ends of lines.
    #[must_use]
    pub fn output() -> Self {
        std::iter::once(TextRule::TrailingWhitespace).collect()
    }

    /// The text, evened out.
    #[must_use]
    pub fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, rule| rule.apply(&text))
    }

    fn names(&self) -> String {
        self.0.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", ")
    }
}

impl FromIterator<TextRule> for TextRules {
    fn from_iter<I: IntoIterator<Item = TextRule>>(rules: I) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_unstable();
        rules.dedup();
        Self(rules)
    }
}

impl TextRule {
    /// Its name in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unicode => "unicode",
            Self::Diacritics => "diacritics",
            Self::Case => "case",
            Self::Punctuation => "punctuation",
            Self::Articles => "articles",
            Self::TrailingWhitespace => "trailing_whitespace",
            Self::Whitespace => "whitespace",
        }
    }

    fn apply(self, text: &str) -> String {
        match self {
            Self::Unicode => {
                let visible = text.chars().filter(|character| !is_invisible(*character));
                visible.map(plain_mark).nfkc().collect()
            }
            Self::Diacritics => {
                text.nfd().filter(|character| !is_combining_mark(*character)).nfc().collect()
            }
            Self::Case => text.to_lowercase(),
            Self::Punctuation => without_punctuation(text),
            Self::Articles => {
                let article =
                    |word: &str| ["a", "an", "the"].iter().any(|a| word.eq_ignore_ascii_case(a));
                let kept: Vec<_> = text.split(' ').filter(|word| !article(word)).collect();
                // An answer that is nothing but an article is that article.
                if kept.iter().all(|word| word.trim().is_empty()) {
                    text.to_owned()
                } else {
                    kept.join(" ")
                }
            }
            Self::TrailingWhitespace => {
                let lines: Vec<_> = text.lines().map(str::trim_end).collect();
                lines.join("\n").trim_end().to_owned()
            }
            Self::Whitespace => text.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }
}

/// Typographic quotes and dashes as their plain ones; the compatibility forms leave them alone.
const fn plain_mark(character: char) -> char {
    match character {
        '‘' | '’' | '‛' | '′' | '´' => '\'',
        '“' | '”' | '„' | '″' | '«' | '»' => '"',
        '‐' | '‑' | '–' | '—' | '−' => '-',
        other => other,
    }
}

/// Marks between words become spaces, apostrophes go; what stands inside a number or is a sign
/// of mathematics stays, so that `1.5` is not `1 5` and `-3` is not `3`.
fn without_punctuation(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut plain = String::with_capacity(text.len());
    for (index, character) in characters.iter().enumerate() {
        let digit_at = |place: Option<usize>| {
            place.and_then(|place| characters.get(place)).is_some_and(char::is_ascii_digit)
        };
        let in_number = matches!(character, '.' | ',' | ':' | '/')
            && digit_at(index.checked_sub(1))
            && digit_at(Some(index + 1));
        let sign = *character == '-' && digit_at(Some(index + 1));
        match character {
            '\'' => {}
            _ if in_number || sign || "+*=<>%$€£¥^°".contains(*character) => {
                plain.push(*character)
            }
            _ if character.is_alphanumeric() || is_combining_mark(*character) => {
                plain.push(*character)
            }
            _ => plain.push(' '),
        }
    }
    plain
}

/// Decides whether `answer` is `reference` as an answer of `kind`. The policy counts for numbers.
#[must_use]
pub fn compare_typed(
    kind: &AnswerKind,
    reference: &str,
    answer: &str,
    policy: &Policy,
) -> Decision {
    if reference.len().max(answer.len()) > limits::TYPED_BYTES_MAX {
        return decision(Verdict::Undecided, Reason::TooLong, [String::new(), String::new()], "");
    }
    if answer.trim().is_empty() && !reference.trim().is_empty() {
        let shown = [quoted(reference), quoted(answer)];
        return decision(Verdict::Different, Reason::Empty, shown, kind.name());
    }
    match kind {
        AnswerKind::Choice { options } => compare_choices(options, reference, answer),
        AnswerKind::Text(rules) | AnswerKind::Output(rules) => {
            compare_texts(rules, reference, answer)
        }
        AnswerKind::Number => compare_numbers(reference, answer, policy),
        AnswerKind::Date => {
            let show = |[year, month, day]: [i64; 3]| format!("{year:04}-{month:02}-{day:02}");
            compare_read(reference, answer, Reason::Calendar, calendar::date_of_answer, show)
        }
        AnswerKind::Json => {
            let read = |text: &str| json::parse_any(without_fence(text));
            compare_read(reference, answer, Reason::Json, read, |_| "a JSON value".to_owned())
        }
    }
}

/// The same for several acceptable references: equal to any is equal.
#[must_use]
pub fn compare_typed_any<'a>(
    kind: &AnswerKind,
    references: impl IntoIterator<Item = &'a str>,
    answer: &str,
    policy: &Policy,
) -> Option<Decision> {
    best_of(references.into_iter().map(|reference| compare_typed(kind, reference, answer, policy)))
}

impl AnswerKind {
    const fn name(&self) -> &'static str {
        match self {
            Self::Choice { .. } => "choice",
            Self::Text(_) => "text",
            Self::Number => "number",
            Self::Date => "date",
            Self::Json => "json",
            Self::Output(_) => "output",
        }
    }
}

fn decision(verdict: Verdict, reason: Reason, shown: [String; 2], how: &str) -> Decision {
    let [reference, answer] = shown;
    let how = if how.is_empty() { String::new() } else { format!(" ({how})") };
    let rule = format!("{verdict} by rule {reason}{how}");
    Decision {
        verdict,
        reason,
        explanation: Explanation { reference, answer, rule },
        fuel_spent: 0,
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(200).collect::<String>())
}

fn verdict_of(same: bool) -> Verdict {
    if same { Verdict::Equal } else { Verdict::Different }
}

fn compare_texts(rules: &TextRules, reference: &str, answer: &str) -> Decision {
    let (left, right) = (rules.apply(reference), rules.apply(answer));
    // TextRules that leave nothing of a reference would make every other such text equal to it.
    let same = left == right && (!left.trim().is_empty() || reference.trim() == answer.trim());
    let shown = [quoted(&left), quoted(&right)];
    decision(verdict_of(same), Reason::Text, shown, &rules.names())
}

fn compare_choices(options: &[String], reference: &str, answer: &str) -> Decision {
    let read = |text: &str| {
        let repaired = repair(text);
        let plain = words::without_lead(&repaired);
        let named = choice::choice(plain).map(|choice| choice.letters.into_iter().collect());
        named.or_else(|| option_letter(options, plain).map(String::from))
    };
    compare_read(reference, answer, Reason::Choice, read, |letters: String| letters)
}

/// The letter of the one option whose text this is.
fn option_letter(options: &[String], text: &str) -> Option<char> {
    let wanted = words::normalize(text);
    let mut fits = (b'A'..)
        .zip(options)
        .filter(|(_, option)| words::normalize(option) == wanted && !wanted.is_empty());
    match (fits.next(), fits.next()) {
        (Some((letter, _)), None) => Some(char::from(letter)),
        _ => None,
    }
}

/// Compares what both texts are read as. An answer that cannot be read is different; a reference
/// that cannot be is ours to complain about, so nothing is decided.
fn compare_read<T: PartialEq>(
    reference: &str,
    answer: &str,
    reason: Reason,
    read: impl Fn(&str) -> Option<T>,
    show: impl Fn(T) -> String,
) -> Decision {
    match (read(reference), read(answer)) {
        (Some(left), Some(right)) => {
            let verdict = verdict_of(left == right);
            decision(verdict, reason, [show(left), show(right)], "")
        }
        (Some(left), None) => {
            let shown = [show(left), quoted(answer)];
            decision(Verdict::Different, reason, shown, "the answer cannot be read as this type")
        }
        (None, _) => {
            let shown = [quoted(reference), quoted(answer)];
            let how = "the reference cannot be read as this type";
            decision(Verdict::Undecided, Reason::Unreadable, shown, how)
        }
    }
}

/// Numbers by the rules of mathematics; an answer that is no formula at all is no number.
fn compare_numbers(reference: &str, answer: &str, policy: &Policy) -> Decision {
    let mut decision = compare(reference, answer, policy);
    let digits = |text: &str| text.chars().any(|character| character.is_numeric());
    if decision.verdict == Verdict::Undecided && digits(reference) && !digits(answer) {
        decision.verdict = Verdict::Different;
        decision.reason = Reason::Kind;
    }
    decision
}

/// The content of a code fence, where the text is one.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else {
        return text;
    };
    inner.split_once('\n').map_or(inner, |(_, body)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &AnswerKind, reference: &str, answer: &str, expected: Verdict) {
        let found = compare_typed(kind, reference, answer, &Policy::default());
        assert_eq!(found.verdict, expected, "{reference:?} {answer:?} {found:?}");
    }

    use Verdict::{Different, Equal, Undecided};

    #[test]
    fn choices_are_letters_or_the_text_of_one_option() {
        let options = ["12 cm", "15 cm", "the red one"].map(str::to_owned).to_vec();
        let kind = AnswerKind::Choice { options };
        for answer in ["B", "(b)", "\\text{(B)}", "B. 15 cm", "Answer: B", "15 cm", "option b"] {
            check(&kind, "B", answer, Equal);
        }
        for answer in ["A", "A, B", "12 cm", "15", "neither", "B or C", "", "(A) (B)"] {
            check(&kind, "B", answer, Different);
        }
        check(&kind, "C", "Red one", Equal);
        check(&kind, "the red one", "C", Equal);
        check(&kind, "what", "C", Undecided);
    }

    #[test]
    fn texts_are_evened_out_by_the_named_rules_and_no_others() {
        let text = AnswerKind::Text(TextRules::text());
        for (reference, answer) in [
            ("The Eiffel Tower", "eiffel  tower."),
            ("don't", "don’t"),
            ("ＡＢＣ", "abc"),
            ("U.S.A.", "u s a"),
            ("pi is 3.14", "Pi is 3.14!"),
        ] {
            check(&text, reference, answer, Equal);
        }
        for (reference, answer) in [
            ("3.14", "3 14"),
            ("-3", "3"),
            ("café", "cafe"),
            ("!", "?"),
            ("odd", "not odd"),
            ("a", "the"),
        ] {
            check(&text, reference, answer, Different);
        }
        let plain: TextRules = [TextRule::Diacritics].into_iter().collect();
        check(&AnswerKind::Text(plain.clone()), "café", "cafe", Equal);
        check(&AnswerKind::Text(plain), "café", "Cafe", Different);
        let output = AnswerKind::Output(TextRules::output());
        check(&output, "1 2\n3\n", "1 2  \n3", Equal);
        check(&output, "1 2\n3\n", "1  2\n3", Different);
    }

    #[test]
    fn numbers_dates_and_json_are_read() {
        check(&AnswerKind::Number, "5 km", "5000 m", Equal);
        check(&AnswerKind::Number, "5 km", "5000 cm", Different);
        check(&AnswerKind::Number, "5", "five apples or so", Different);
        check(&AnswerKind::Date, "2024-03-04", "March 4th, 2024", Equal);
        check(&AnswerKind::Date, "2024-03-04", "4 March 2024", Equal);
        check(&AnswerKind::Date, "2024-03-04", "Monday, March 4, 2024", Equal);
        check(&AnswerKind::Date, "2024-03-04", "2024-04-03", Different);
        check(&AnswerKind::Date, "2024-03-04", "soon", Different);
        check(&AnswerKind::Json, "{\"a\":[1,2.0]}", "```json\n{ \"a\": [1.0, 2] }\n```", Equal);
        check(&AnswerKind::Json, "\"x\"", "x", Different);
        check(&AnswerKind::Json, "3", "3.0", Equal);
        check(&AnswerKind::Json, "\"\\ud83d\\ude00\"", "\"\\ud83d\\ude01\"", Different);
        check(&AnswerKind::Json, "\"\\ud83d\\ude00\"", "\"😀\"", Equal);
        check(&AnswerKind::Json, "{", "{", Undecided);
    }
}
