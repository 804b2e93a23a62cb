//! Passes over tokens before they are read: spellings of one thing become one spelling, and
//! what only introduces or qualifies an answer goes. Every pass keeps the meaning.

use crate::lex::{CLOSE_BRACE, Kind, OPEN_BRACE, Token};
use crate::limits;
use crate::number::exact;
use crate::parse::words;
use crate::units::Unit;

/// Words that introduce a value and are no part of it.
const INTRODUCTIONS: [&str; 22] = [
    "maximum",
    "minimum",
    "max",
    "min",
    "value",
    "is",
    "of",
    "the",
    "answer",
    "result",
    "total",
    "area",
    "perimeter",
    "volume",
    "length",
    "sum",
    "largest",
    "smallest",
    "greatest",
    "least",
    "distance",
    "probability",
];

/// Words that say for whom something holds: all, or whatever is chosen.
const QUANTIFIERS: [&str; 14] = [
    "all",
    "any",
    "every",
    "each",
    "some",
    "constant",
    "constants",
    "arbitrary",
    "integer",
    "integers",
    "real",
    "reals",
    "number",
    "numbers",
];

/// Words in a qualification that change what is said.
const CHANGES: [&str; 12] = [
    "positive", "negative", "odd", "even", "prime", "except", "nonzero", "not", "non", "greater",
    "less", "only",
];

/// Rewrites that keep the meaning.
pub(super) fn always(tokens: &mut Vec<Token>) {
    infix_fractions(tokens);
    bracketed_arrays(tokens);
    drop_quantifier(tokens);
    drop_introduction(tokens);
    spoken_numbers(tokens);
    spread_inequations(tokens);
    write_out_dots(tokens);
    compound_quantity(tokens);
    drop_count_noun(tokens);
    drop_membership(tokens);
}

pub(super) fn mark(mark: char) -> Token {
    Token { kind: Kind::Mark(mark), spaced: false }
}

pub(super) fn command(name: &str) -> Token {
    Token { kind: Kind::Command(name.to_owned()), spaced: false }
}

pub(super) fn is_mark(token: Option<&Token>, mark: char) -> bool {
    token.is_some_and(|token| token.kind == Kind::Mark(mark))
}

fn is_command(token: Option<&Token>, name: &str) -> bool {
    matches!(token, Some(Token { kind: Kind::Command(command), .. }) if command == name)
}

fn word_of(token: Option<&Token>) -> Option<String> {
    match token.map(|token| &token.kind) {
        Some(Kind::Word(word)) => Some(word.to_lowercase()),
        _ => None,
    }
}

pub(super) fn digits_of(token: Option<&Token>) -> Option<&str> {
    match token.map(|token| &token.kind) {
        Some(Kind::Digits(digits)) => Some(digits),
        _ => None,
    }
}

pub(super) fn letter_of(token: Option<&Token>) -> Option<&str> {
    match token.map(|token| &token.kind) {
        Some(Kind::Letters(letter)) => Some(letter),
        _ => None,
    }
}

/// `{a \over b}` is `\frac{a}{b}`, `{n \choose k}` is `\binom{n}{k}`.
fn infix_fractions(tokens: &mut Vec<Token>) {
    for _ in 0..limits::DEPTH_MAX {
        let infix = tokens.iter().position(|token| {
            matches!(&token.kind, Kind::Command(name) if name == "over" || name == "choose")
        });
        let Some(at) = infix else {
            return;
        };
        let name = if is_command(tokens.get(at), "over") { "frac" } else { "binom" };
        let (start, end) = enclosing_braces(tokens, at);
        let mut fraction = vec![command(name), mark('{')];
        fraction.extend_from_slice(&tokens[start..at]);
        fraction.extend([mark('}'), mark('{')]);
        fraction.extend_from_slice(&tokens[at + 1..end]);
        fraction.push(mark('}'));
        tokens.splice(start..end, fraction);
    }
}

/// What stands between the braces around a token; all tokens where there are none.
fn enclosing_braces(tokens: &[Token], at: usize) -> (usize, usize) {
    let bound = |range: &mut dyn Iterator<Item = usize>, inward: char, outward: char| {
        let mut depth = 0_usize;
        for index in range {
            if is_mark(tokens.get(index), inward) {
                depth += 1;
            } else if is_mark(tokens.get(index), outward) {
                if depth == 0 {
                    return Some(index);
                }
                depth -= 1;
            }
        }
        None
    };
    let start = bound(&mut (0..at).rev(), '}', '{').map_or(0, |open| open + 1);
    let end = bound(&mut (at + 1..tokens.len()), '{', '}').unwrap_or(tokens.len());
    (start, end)
}

/// `\left[\begin{array}{cc} .. \end{array}\right]` is a matrix, between bars a determinant.
fn bracketed_arrays(tokens: &mut Vec<Token>) {
    let mut index = 0;
    while index + 1 < tokens.len() {
        let begins = matches!(&tokens[index + 1].kind, Kind::Begin(name) if name == "array" || name == "matrix");
        let close = match tokens[index].kind {
            Kind::Mark('[') => ']',
            Kind::Mark('(') => ')',
            Kind::Mark('|') => '|',
            _ => ' ',
        };
        let end = tokens[index..]
            .iter()
            .position(|token| matches!(token.kind, Kind::End(_)))
            .map(|length| index + length);
        if let Some(end) = end.filter(|end| begins && is_mark(tokens.get(end + 1), close)) {
            let name = if close == '|' { "vmatrix" } else { "pmatrix" };
            tokens[index + 1].kind = Kind::Begin(name.to_owned());
            tokens[end].kind = Kind::End(name.to_owned());
            tokens.remove(end + 1);
            tokens.remove(index);
        }
        index += 1;
    }
}

/// `.. for all real x`, `.. where c is a constant`, `.. (k is an integer)`: the last becomes
/// `, k \in \mathbb{Z}`, the others say nothing.
fn drop_quantifier(tokens: &mut Vec<Token>) {
    let opens = |word: &str| matches!(word, "for" | "where" | "with");
    let found = tokens.iter().enumerate().position(|(index, token)| {
        index > 0 && word_of(Some(token)).is_some_and(|word| opens(&word))
    });
    let Some(at) = found else {
        return;
    };
    let tail = &tokens[at + 1..];
    let tail_words: Vec<String> = tail.iter().filter_map(|token| word_of(Some(token))).collect();
    let says = |list: &[&str]| tail_words.iter().any(|word| list.contains(&word.as_str()));
    let plain = tail.iter().all(|token| match &token.kind {
        Kind::Word(_) | Kind::Letters(_) | Kind::Gap => true,
        Kind::Mark(mark) => matches!(mark, ',' | '{' | '}' | ')' | '_'),
        Kind::Command(name) => matches!(name.as_str(), "in" | "mathbb"),
        Kind::Digits(_) | Kind::Begin(_) | Kind::End(_) | Kind::Row | Kind::GroupComma => false,
    });
    if !plain || !says(&QUANTIFIERS) || says(&CHANGES) || says(&["or", "and"]) {
        return;
    }
    let letters: Vec<Token> =
        tail.iter().filter(|token| matches!(token.kind, Kind::Letters(_))).cloned().collect();
    let whole = says(&["integer", "integers"]) && !says(&["all", "every", "each"]);
    let mut end = at;
    while end > 0 && matches!(tokens[end - 1].kind, Kind::Mark(',' | '(') | Kind::Gap) {
        end -= 1;
    }
    tokens.truncate(end);
    if let ([letter], true) = (&letters[..], whole) {
        tokens.extend([mark(','), letter.clone(), command("in"), command("mathbb")]);
        let integers = Token { kind: Kind::Letters("Z".to_owned()), spaced: false };
        tokens.extend([mark('{'), integers, mark('}')]);
    }
}

/// `maximum value 5`, `minimum: -3`, `\max = 5`.
fn drop_introduction(tokens: &mut Vec<Token>) {
    let introduces = |token: &Token| match &token.kind {
        Kind::Word(word) => INTRODUCTIONS.contains(&word.to_lowercase().as_str()),
        Kind::Command(name) => matches!(name.as_str(), "max" | "min"),
        Kind::Mark(_)
        | Kind::Digits(_)
        | Kind::Letters(_)
        | Kind::Begin(_)
        | Kind::End(_)
        | Kind::Row
        | Kind::GroupComma
        | Kind::Gap => false,
    };
    let count = tokens.iter().take_while(|token| introduces(token)).count();
    let sign = matches!(tokens.get(count).map(|token| &token.kind), Some(Kind::Mark('=' | ':')));
    let lone_command = matches!(tokens.first().map(|token| &token.kind), Some(Kind::Command(_)));
    let rest = count + usize::from(sign);
    let starts_value = match tokens.get(rest).map(|token| &token.kind) {
        Some(Kind::Digits(_) | Kind::Mark('-')) => true,
        Some(Kind::Command(name)) => {
            matches!(name.as_str(), "frac" | "dfrac" | "tfrac" | "sqrt" | "pi")
        }
        _ => false,
    };
    let again = tokens.get(rest..).is_some_and(|rest| rest.iter().any(introduces));
    if count > 0 && starts_value && !again && (sign || !lone_command) {
        tokens.drain(..rest);
    }
}

/// `two-thirds`, `a dozen`, `3 to 2`, `7 AM`, `Rs. 500`, `0.(3)`.
fn spoken_numbers(tokens: &mut Vec<Token>) {
    let half_day = |token: &Token| {
        matches!(&token.kind, Kind::Word(word) | Kind::Letters(word)
            if matches!(word.to_lowercase().as_str(), "am" | "pm"))
    };
    if matches!(&tokens[..], [hour, half] if digits_of(Some(hour)).is_some_and(|hour| hour.len() <= 2) && half_day(half))
    {
        let minutes = Token { kind: Kind::Digits("00".to_owned()), spaced: false };
        tokens.splice(1..1, [mark(':'), minutes]);
    }
    let rupees = matches!(tokens.first().map(|token| &token.kind), Some(Kind::Letters(word) | Kind::Word(word)) if word == "Rs");
    let point = usize::from(is_mark(tokens.get(1), '.'));
    if rupees && digits_of(tokens.get(1 + point)).is_some() {
        tokens.drain(..=point);
    }
    let open_repeat = digits_of(tokens.first()).is_some()
        && is_mark(tokens.get(1), '.')
        && is_mark(tokens.get(2), '(')
        && digits_of(tokens.get(3)).is_some()
        && is_mark(tokens.get(4), ')');
    if open_repeat {
        tokens[2] = mark('{');
        tokens[4] = mark('}');
        tokens.insert(2, command("overline"));
    }
    let mut index = 0;
    while index < tokens.len() {
        let here = word_of(tokens.get(index));
        let next = word_of(tokens.get(index + 1));
        let article = matches!(here.as_deref(), Some("a" | "an"))
            || letter_of(tokens.get(index)) == Some("a");
        let counted = next.as_deref().is_some_and(|next| {
            words::multiplier(next).is_some() || (words::part(next).is_some() && next != "second")
        });
        if article && counted && index == 0 {
            tokens[index].kind = Kind::Digits("1".to_owned());
        }
        let number = here.as_deref().is_some_and(|here| words::number(here).is_some());
        let hyphen = is_mark(tokens.get(index + 1), '-');
        let after = word_of(tokens.get(index + 2));
        if number && hyphen && after.as_deref().is_some_and(|after| words::part(after).is_some()) {
            tokens.remove(index + 1);
        }
        index += 1;
    }
    let ratio = matches!(&tokens[..], [a, to, b]
        if digits_of(Some(a)).is_some() && word_of(Some(to)).as_deref() == Some("to")
            && digits_of(Some(b)).is_some());
    if ratio {
        tokens[1].kind = Kind::Mark(':');
    }
}

/// `x \ne 1, 2` is `x \ne 1 \land x \ne 2`.
fn spread_inequations(tokens: &mut Vec<Token>) {
    let unequal = |token: Option<&Token>| is_command(token, "ne") || is_command(token, "neq");
    if letter_of(tokens.first()).is_none() || !unequal(tokens.get(1)) {
        return;
    }
    let relations = tokens[2..].iter().any(|token| super::is_relation(&token.kind));
    if relations || tokens.len() > 64 {
        return;
    }
    let subject = [tokens[0].clone(), tokens[1].clone()];
    let mut depth = 0_usize;
    let mut spread = Vec::with_capacity(tokens.len() * 2);
    for token in tokens.drain(..) {
        match token.kind {
            Kind::Mark('(' | '{' | '[') => depth += 1,
            Kind::Mark(')' | '}' | ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && token.kind == Kind::Mark(',') {
            spread.push(command("land"));
            spread.extend(subject.iter().cloned());
        } else {
            spread.push(token);
        }
    }
    *tokens = spread;
}

/// `1, 2, \ldots, 10` between literal integers in even steps, written out.
fn write_out_dots(tokens: &mut Vec<Token>) {
    let dots = tokens.iter().position(|token| {
        matches!(&token.kind, Kind::Command(name)
            if matches!(name.as_str(), "ldots" | "dots" | "cdots" | "dotsc"))
    });
    let Some(at) = dots else {
        return;
    };
    let whole = |index: Option<usize>| -> Option<i64> {
        let index = index?;
        let value: i64 = digits_of(tokens.get(index))?.parse().ok()?;
        let before = index.checked_sub(1).map(|before| &tokens[before].kind);
        matches!(before, None | Some(Kind::Mark(',' | '(' | '[' | OPEN_BRACE))).then_some(value)
    };
    let comma = |index: Option<usize>| is_mark(index.and_then(|index| tokens.get(index)), ',');
    if !comma(at.checked_sub(1)) || !comma(Some(at + 1)) {
        return;
    }
    let (Some(last), Some(end)) = (whole(at.checked_sub(2)), whole(Some(at + 2))) else {
        return;
    };
    let step = match whole(at.checked_sub(4)).filter(|_| comma(at.checked_sub(3))) {
        Some(first) => last - first,
        None => 1,
    };
    let even = match whole(at.checked_sub(6)).filter(|_| comma(at.checked_sub(5))) {
        Some(earlier) => earlier + 2 * step == last,
        None => true,
    };
    let ends = matches!(
        tokens.get(at + 3).map(|token| &token.kind),
        None | Some(Kind::Mark(')' | ']' | CLOSE_BRACE | ','))
    );
    let between = (end - last).checked_rem(step) == Some(0);
    let count = (end - last).checked_div(step).unwrap_or(-1);
    let bounded = usize::try_from(count).is_ok_and(|count| count < limits::ENTRIES_MAX / 2);
    if !(even && ends && between && bounded && count > 0) {
        return;
    }
    let mut written = Vec::new();
    for index in 1..=count {
        let value = last + index * step;
        if value < 0 {
            return;
        }
        written.push(Token { kind: Kind::Digits(value.to_string()), spaced: false });
        written.push(mark(','));
    }
    written.pop();
    tokens.splice(at..=at + 2, written);
}

/// `1 hour 30 minutes`, `5 feet 6 inches`: whole numbers of units, each a whole part of the one
/// before; the sum in the last unit.
fn compound_quantity(tokens: &mut Vec<Token>) {
    let mut rest = &tokens[..];
    let mut parts: Vec<(i64, Unit, Token)> = Vec::new();
    while let [number, unit, after @ ..] = rest {
        let value = digits_of(Some(number)).and_then(|digits| digits.parse::<i64>().ok());
        let word = match &unit.kind {
            Kind::Word(word) | Kind::Letters(word) => Unit::named(word),
            _ => None,
        };
        let (Some(value), Some(named)) = (value.filter(|value| *value < 1 << 40), word) else {
            return;
        };
        parts.push((value, named, unit.clone()));
        rest = after;
        while let [first, others @ ..] = rest {
            if !is_mark(Some(first), ',') && word_of(Some(first)).as_deref() != Some("and") {
                break;
            }
            rest = others;
        }
    }
    if parts.len() < 2 || parts.len() > 4 || !rest.is_empty() {
        return;
    }
    let mut total = parts[0].0;
    for pair in parts.windows(2) {
        let factor = pair[0].1.conversion(&pair[1].1).as_ref().and_then(exact::small_integer);
        let same = pair[0].1.same_dimension(&pair[1].1);
        let next = factor
            .filter(|factor| same && *factor > 1)
            .and_then(|factor| total.checked_mul(factor)?.checked_add(pair[1].0));
        let Some(next) = next else {
            return;
        };
        total = next;
    }
    if let Some((_, _, Token { kind: Kind::Word(word) | Kind::Letters(word), .. })) = parts.pop() {
        let kind = Kind::Digits(total.to_string());
        let unit = Token { kind: Kind::Word(word), spaced: true };
        *tokens = vec![Token { kind, spaced: false }, unit];
    }
}

/// `4n^2 ways`: what is counted, behind an expression with letters.
fn drop_count_noun(tokens: &mut Vec<Token>) {
    let count = tokens.iter().rev().take_while(|token| matches!(token.kind, Kind::Word(_))).count();
    let rest = tokens.len() - count;
    if count == 0 || count > 3 || rest == 0 {
        return;
    }
    let noun = |token: &Token| {
        word_of(Some(token)).is_some_and(|word| {
            let plural = word.len() > 3 && word.ends_with('s') && !word.ends_with("ss");
            let known = QUANTIFIERS.contains(&word.as_str()) || CHANGES.contains(&word.as_str());
            let other = known
                || words::is_hedge(&word)
                || words::part(&word).is_some()
                || Unit::named(&word).is_some()
                || matches!(word.as_str(), "units" | "radians" | "degrees" | "divides" | "equals");
            plural && !other
        })
    };
    let formula = tokens[..rest].iter().all(|token| {
        !matches!(token.kind, Kind::Word(_) | Kind::Gap) && !super::is_relation(&token.kind)
    });
    let letters = tokens[..rest].iter().any(|token| matches!(token.kind, Kind::Letters(_)));
    let hedged = tokens[rest..].iter().any(|token| {
        word_of(Some(token)).is_some_and(|word| words::is_hedge(&word) || word == "and")
    });
    if letters && formula && !hedged && tokens.last().is_some_and(noun) {
        tokens.truncate(rest);
    }
}

/// `(x, y) \in \{(1, 2), (2, 1)\}` is the set behind the sign.
fn drop_membership(tokens: &mut Vec<Token>) {
    let Some(close) = tokens.iter().position(|token| is_mark(Some(token), ')')) else {
        return;
    };
    let names = is_mark(tokens.first(), '(')
        && tokens[1..close].iter().enumerate().all(|(index, token)| match index % 2 {
            0 => letter_of(Some(token)).is_some(),
            _ => is_mark(Some(token), ','),
        });
    if names
        && is_command(tokens.get(close + 1), "in")
        && is_mark(tokens.get(close + 2), OPEN_BRACE)
    {
        tokens.drain(..close + 2);
    }
}
