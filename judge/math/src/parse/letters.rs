//! Runs of letters outside text commands: function names, words of a plain answer,
//! units behind numbers, or a product of one-letter variables.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a parser names the tokens that it takes; all others fail alike"
)]

use crate::lex::{Kind, Token};
use crate::parse::words;
use crate::units::Unit;

/// Names that mean the same as the command of that name.
const NAMES: &[&str] = &[
    "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "arcsin", "arccos",
    "arctan", "arccot", "arcsec", "arccsc", "asin", "acos", "atan", "ln", "log", "lg", "exp",
    "sqrt", "cbrt", "abs", "floor", "ceil", "max", "min", "gcd", "lcm", "pi", "infty", "theta",
    "alpha", "beta", "gamma", "lambda", "phi", "binom", "mod", "det", "arsinh", "arcosh", "artanh",
    "arcsinh", "arccosh", "arctanh", "sgn", "oo", "frac", "cdot", "times", "sech", "csch", "asinh",
    "acosh", "atanh", "cis",
];

/// Short words that are never a product of variables.
const SHORT_WORDS: &[&str] = &[
    "and", "or", "yes", "no", "not", "the", "is", "are", "odd", "DNE", "for", "all", "any", "if",
    "of", "to", "one", "two", "six", "ten", "red", "men", "day", "per", "NO", "YES", "a.m", "am",
    "pm", "AM", "PM", "sum", "none", "None", "th", "st", "nd", "rd", "inf", "he", "she", "it",
    "we", "at", "by", "boy", "nil", "NOT", "But", "but", "The", "Yes", "No", "Odd", "on", "us",
    "Tom", "Bob", "Sam", "Amy", "Joe", "sec", "pts", "pt",
];

/// Replaces runs of letters by single letters, commands and words.
pub(crate) fn resolve(tokens: Vec<Token>) -> Vec<Token> {
    let mut resolved: Vec<Token> = Vec::with_capacity(tokens.len());
    let count = tokens.len();
    let wordy = tokens.iter().filter(|token| is_long_word(&token.kind)).count() >= 2;
    let following = tokens.clone();
    for (index, token) in tokens.into_iter().enumerate() {
        let Kind::Letters(run) = &token.kind else {
            resolved.push(token);
            continue;
        };
        let after_number = matches!(
            resolved.last().map(|token| &token.kind),
            Some(Kind::Digits(_) | Kind::Mark('}' | ')'))
        );
        let after_unit = resolved.len() >= 2
            && matches!(resolved.last().map(|token| &token.kind), Some(Kind::Mark('/')))
            && matches!(resolved[resolved.len() - 2].kind, Kind::Word(_));
        let last = index + 1 == count || divides_by_unit(&following, index);
        if run.chars().count() == 1 {
            let lone_unit = token.spaced && after_number && last && is_lone_unit(run);
            let denominator = after_unit && Unit::named(run).is_some();
            let article = wordy && token.spaced && (run == "a" || run == "I");
            let kind = if lone_unit || denominator || article {
                Kind::Word(run.clone())
            } else {
                token.kind
            };
            resolved.push(Token { kind, spaced: token.spaced });
            continue;
        }
        let as_unit = after_number || after_unit;
        split_run(run, token.spaced, as_unit, &mut resolved);
    }
    resolved
}

fn is_long_word(kind: &Kind) -> bool {
    match kind {
        Kind::Letters(run) => run.chars().count() >= 3 && !NAMES.contains(&run.as_str()),
        Kind::Word(_) => true,
        _ => false,
    }
}

/// `m` in `10 m/s`: a slash, another unit, and nothing but its exponent behind it.
fn divides_by_unit(tokens: &[Token], index: usize) -> bool {
    let kind = |at: usize| tokens.get(at).map(|token| &token.kind);
    let unit = matches!(kind(index + 2), Some(Kind::Letters(run)) if Unit::named(run).is_some());
    let ends = matches!(kind(index + 3), None | Some(Kind::Mark('^')));
    kind(index + 1) == Some(&Kind::Mark('/')) && unit && ends
}

fn is_lone_unit(run: &str) -> bool {
    matches!(run, "m" | "g" | "s" | "h" | "L" | "N" | "J" | "W")
}

fn split_run(run: &str, spaced: bool, as_unit: bool, resolved: &mut Vec<Token>) {
    let length = run.chars().count();
    let school = match run {
        "tg" => Some("tan"),
        "ctg" | "cotg" => Some("cot"),
        "arctg" => Some("arctan"),
        "arcctg" => Some("arccot"),
        "cosec" => Some("csc"),
        _ => None,
    };
    if let Some(name) = school {
        resolved.push(Token { kind: Kind::Command(name.to_owned()), spaced });
        return;
    }
    if NAMES.contains(&run) {
        resolved.push(Token { kind: Kind::Command(run.to_owned()), spaced });
        return;
    }
    let upper = run.chars().all(|letter| letter.is_ascii_uppercase());
    let is_word = SHORT_WORDS.contains(&run)
        || words::number(run).is_some()
        || (as_unit && Unit::is_plain(run))
        || !run.is_ascii();
    if is_word {
        resolved.push(Token { kind: Kind::Word(run.to_owned()), spaced });
        return;
    }
    let prefix = NAMES
        .iter()
        .filter(|name| run.starts_with(**name) && name.len() + 2 >= length)
        .max_by_key(|name| name.len());
    if let Some(name) = prefix {
        resolved.push(Token { kind: Kind::Command((*name).to_owned()), spaced });
        push_letters(&run[name.len()..], false, resolved);
        return;
    }
    if length <= 3 || (upper && length <= 4) {
        push_letters(run, spaced, resolved);
        return;
    }
    resolved.push(Token { kind: Kind::Word(run.to_owned()), spaced });
}

fn push_letters(run: &str, spaced: bool, resolved: &mut Vec<Token>) {
    for (index, letter) in run.chars().enumerate() {
        let kind = Kind::Letters(letter.to_string());
        resolved.push(Token { kind, spaced: spaced && index == 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lex::lex;

    fn kinds(text: &str) -> Vec<Kind> {
        resolve(lex(text).unwrap()).into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn short_runs_are_products_and_long_ones_words() {
        assert_eq!(kinds("xy").len(), 2);
        assert_eq!(kinds("Evelyn"), vec![Kind::Word("Evelyn".into())]);
        assert_eq!(kinds("sinx")[0], Kind::Command("sin".into()));
    }

    #[test]
    fn units_need_a_number_before() {
        assert_eq!(kinds("5cm")[1], Kind::Word("cm".into()));
        assert_eq!(kinds("cm").len(), 2);
    }
}
