//! The flow of one comparison: repair, guards, special forms, readings, verdict.

use crate::calendar;
use crate::choice;
use crate::compare as comparison;
use crate::fuel::Exhausted;
use crate::identity::Workbench;
use crate::json;
use crate::lex::{Kind, Token};
use crate::limits;
use crate::number::modular::mix;
use crate::parse::{self, Comma, Failure, Logarithm, Reading, alternative, words};
use crate::policy::Policy;
use crate::reason::{Decision, Explanation, Finding, Holds, Reason, Verdict};
use crate::repair::repair;
use crate::value::Value;

/// Both readings and what follows from them.
struct Judged {
    finding: Finding,
    reference: String,
    answer: String,
}

impl Judged {
    fn plain(finding: Finding, reference: &str, answer: &str) -> Self {
        Self { finding, reference: shown(reference), answer: shown(answer) }
    }
}

fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(200).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("\"{cut}\"")
}

/// Decides whether `answer` means the same as `reference` under `policy`.
#[must_use]
pub fn compare(reference: &str, answer: &str, policy: &Policy) -> Decision {
    let mut bench = Workbench::new(seed(reference, answer));
    let judged = if reference.len().max(answer.len()) > limits::INPUT_BYTES_MAX {
        Judged::plain(Finding::undecided(Reason::TooLong), reference, answer)
    } else {
        let left = repair(reference);
        let right = repair(answer);
        judge(words::without_lead(&left), words::without_lead(&right), policy, &mut bench)
    };
    let rule = rule_text(judged.finding);
    Decision {
        verdict: judged.finding.verdict,
        reason: judged.finding.reason,
        explanation: Explanation { reference: judged.reference, answer: judged.answer, rule },
        fuel_spent: bench.fuel.spent(),
    }
}

/// Decides against several acceptable references: equal to any is equal; different
/// only if different from all.
#[must_use]
pub fn compare_any<'a>(
    references: impl IntoIterator<Item = &'a str>,
    answer: &str,
    policy: &Policy,
) -> Option<Decision> {
    best_of(references.into_iter().map(|reference| compare(reference, answer, policy)))
}

/// Equal if any is; different only if all are.
pub(crate) fn best_of(decisions: impl Iterator<Item = Decision>) -> Option<Decision> {
    let mut best: Option<Decision> = None;
    for decision in decisions {
        let better = match (&best, decision.verdict) {
            (None, _) | (_, Verdict::Equal) => true,
            (Some(known), Verdict::Undecided) => known.verdict == Verdict::Different,
            (Some(_), Verdict::Different) => false,
        };
        let done = decision.verdict == Verdict::Equal;
        if better {
            best = Some(decision);
        }
        if done {
            break;
        }
    }
    best
}

/// The same for both orders of the texts, so that a comparison has no direction of luck.
fn seed(left: &str, right: &str) -> u64 {
    let hash = |text: &str| text.bytes().fold(0x5eed, |state, byte| mix(state ^ u64::from(byte)));
    hash(left).wrapping_add(hash(right))
}

fn judge(left: &str, right: &str, policy: &Policy, bench: &mut Workbench) -> Judged {
    if left == right && !is_blank(left) {
        return Judged::plain(Finding::equal(Reason::SameText), left, right);
    }
    if is_blank(right) {
        return Judged::plain(Finding::different(Reason::Empty), left, right);
    }
    if is_blank(left) {
        return Judged::plain(Finding::undecided(Reason::Unreadable), left, right);
    }
    if let Some(finding) = special_forms(left, right, policy) {
        return Judged::plain(finding, left, right);
    }
    let judged = mathematics(left, right, policy, bench);
    match judged {
        Ok(judged) => judged,
        Err(Exhausted) => Judged::plain(Finding::undecided(Reason::FuelExhausted), left, right),
    }
}

/// Nothing but punctuation: no letter, digit or symbol of mathematics.
fn is_blank(text: &str) -> bool {
    const SYMBOLS: [&str; 4] = ["\\emptyset", "\\varnothing", "\\infty", "\\{\\}"];
    let tight: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    !text.chars().any(char::is_alphanumeric) && !SYMBOLS.contains(&tight.as_str())
}

/// JSON, dates and choice letters.
fn special_forms(left: &str, right: &str, policy: &Policy) -> Option<Finding> {
    if let Some(reference) = json::parse(left) {
        return Some(match json::parse(right) {
            Some(answer) => Finding::when(Holds::from_bool(reference == answer), Reason::Json),
            None => Finding::undecided(Reason::Json),
        });
    }
    if let (Some(reference), Some(answer)) = (calendar::date(left), calendar::date(right)) {
        let same_day = reference[1..] == answer[1..];
        let same_year = reference[0] == answer[0] || reference[0] == 0 || answer[0] == 0;
        return Some(Finding::when(Holds::from_bool(same_day && same_year), Reason::Calendar));
    }
    if let (Some(reference), Some(answer)) = (choice::circled(left), choice::circled(right))
        && (reference.is_marked || answer.is_marked)
    {
        let same = reference.letters == answer.letters;
        return Some(Finding::when(Holds::from_bool(same), Reason::Choice));
    }
    if policy.choice_letters.is_on()
        && let (Some(reference), Some(answer)) = (choice::choice(left), choice::choice(right))
        && (reference.is_marked || answer.is_marked)
    {
        let same = reference.letters == answer.letters;
        return Some(Finding::when(Holds::from_bool(same), Reason::Choice));
    }
    None
}

/// One side under one reading.
type Side = Result<Value, Failure>;

fn mathematics(
    left: &str,
    right: &str,
    policy: &Policy,
    bench: &mut Workbench,
) -> Result<Judged, Exhausted> {
    let (Ok(left_tokens), Ok(right_tokens)) = (parse::tokens(left), parse::tokens(right)) else {
        return Err(Exhausted);
    };
    let logarithms: &[Logarithm] = if bare_logarithm(&left_tokens) || bare_logarithm(&right_tokens)
    {
        &[Logarithm::Natural, Logarithm::Ten]
    } else {
        &[Logarithm::Natural]
    };
    let first =
        readings((left, &left_tokens), (right, &right_tokens), logarithms, (policy, bench))?;
    if first.finding.is_equal() {
        return Ok(first);
    }
    // Notation that can be read otherwise: a match counts, a mismatch changes nothing.
    let tokens = (&left_tokens, &right_tokens);
    let ours = alternative::alternatives(tokens.0, tokens.1);
    let theirs = alternative::alternatives(tokens.1, tokens.0);
    let pairs = ours
        .iter()
        .map(|ours| (ours, tokens.1))
        .chain(theirs.iter().map(|theirs| (tokens.0, theirs)));
    for (ours, theirs) in pairs {
        let judged = readings((left, ours), (right, theirs), logarithms, (policy, bench))?;
        if judged.finding.is_equal() {
            return Ok(judged);
        }
    }
    Ok(first)
}

/// Both sides under each meaning of commas and logarithms.
fn readings(
    (left, left_tokens): (&str, &[Token]),
    (right, right_tokens): (&str, &[Token]),
    logarithms: &[Logarithm],
    (policy, bench): (&Policy, &mut Workbench),
) -> Result<Judged, Exhausted> {
    let reference_commas = commas(left_tokens, false);
    let answer_commas = commas(right_tokens, policy.decimal_comma.is_on());
    let mut best: Option<Judged> = None;
    let mut tried = 0;
    for logarithm in logarithms {
        for comma in &reference_commas {
            let reading = Reading { comma: *comma, logarithm: *logarithm };
            let reference = side(left, left_tokens, reading, bench);
            for comma in &answer_commas {
                tried += 1;
                if tried > limits::READINGS_MAX {
                    break;
                }
                let reading = Reading { comma: *comma, logarithm: *logarithm };
                let answer = side(right, right_tokens, reading, bench);
                let judged = sides(&reference, &answer, (left, right), (policy, bench));
                if judged.finding.is_equal() {
                    return Ok(judged);
                }
                best = Some(more_cautious(best, judged));
            }
        }
    }
    best.ok_or(Exhausted)
}

/// Undecided under any reading outweighs different under another.
fn more_cautious(known: Option<Judged>, next: Judged) -> Judged {
    match known {
        None => next,
        Some(known)
            if next.finding.verdict == Verdict::Undecided
                && known.finding.verdict == Verdict::Different =>
        {
            next
        }
        Some(known) => known,
    }
}

fn bare_logarithm(tokens: &[Token]) -> bool {
    tokens.iter().enumerate().any(|(index, token)| {
        let log = matches!(&token.kind, Kind::Command(name) if name == "log");
        log && tokens.get(index + 1).is_none_or(|next| next.kind != Kind::Mark('_'))
    })
}

/// What a comma between digits may mean on one side, likeliest first.
fn commas(tokens: &[Token], decimal: bool) -> Vec<Comma> {
    let digits = |index: usize| match tokens.get(index).map(|token| (&token.kind, token.spaced)) {
        Some((Kind::Digits(digits), spaced)) => Some((digits.as_str(), spaced)),
        _ => None,
    };
    let mut thousands = false;
    let mut tight = 0;
    let mut other = 0;
    for (index, token) in tokens.iter().enumerate() {
        if token.kind != Kind::Mark(',') {
            continue;
        }
        let before = index.checked_sub(1).and_then(digits);
        match (before, digits(index + 1)) {
            (Some((head, _)), Some((tail, false))) if !token.spaced => {
                tight += 1;
                let group = tail.split('.').next().map_or(0, str::len) == 3;
                thousands |= group && head.len() <= 3;
            }
            _ => other += 1,
        }
    }
    let mut meanings = Vec::new();
    if thousands {
        meanings.push(Comma::Thousands);
    }
    meanings.push(Comma::List);
    if decimal && tight == 1 && other == 0 && !thousands {
        meanings.push(Comma::Decimal);
    }
    meanings
}

fn side(text: &str, tokens: &[Token], reading: Reading, bench: &mut Workbench) -> Side {
    if let Some(date) = calendar::date(text) {
        return Ok(Value::Date(date));
    }
    let plain = words::normalize(text);
    if let Some(value) = words::phrase(&plain) {
        return Ok(value);
    }
    match parse::parse(tokens, reading, bench) {
        Err(Failure::Words) => Ok(Value::Words(plain)),
        other => other,
    }
}

fn sides(
    reference: &Side,
    answer: &Side,
    (left, right): (&str, &str),
    (policy, bench): (&Policy, &mut Workbench),
) -> Judged {
    let (Ok(a), Ok(b)) = (reference, answer) else {
        return Judged::plain(unread(reference, answer, (left, right)), left, right);
    };
    let finding = comparison::compare(bench, policy, a, b)
        .unwrap_or(Finding::undecided(Reason::FuelExhausted));
    Judged { finding, reference: described(a, bench), answer: described(b, bench) }
}

/// One side at least has no value.
fn unread(reference: &Side, answer: &Side, (left, right): (&str, &str)) -> Finding {
    if words::tight(left) == words::tight(right) {
        return Finding::equal(Reason::SameText);
    }
    let exhausted = |side: &Side| matches!(side, Err(Failure::Exhausted));
    if exhausted(reference) || exhausted(answer) {
        return Finding::undecided(Reason::FuelExhausted);
    }
    let unsupported = |side: &Side| matches!(side, Err(Failure::Unsupported));
    if unsupported(reference) || unsupported(answer) {
        return Finding::undecided(Reason::Unsupported);
    }
    Finding::undecided(Reason::Unreadable)
}

fn described(value: &Value, bench: &Workbench) -> String {
    format!("{}: {}", value.kind(), value.show(&bench.pool))
}

fn rule_text(finding: Finding) -> String {
    format!("{} by rule {}", finding.verdict, finding.reason)
}
