//! Finds test cases in an archive by the names of its files.

use std::collections::BTreeMap;

use fancy_regex::{Regex, RegexBuilder};

/// Case numbers follow `in` or `.in`; a batch number may stand before.
const INPUT_DEFAULT: &str =
    r"^(?=.*?\.in|in).*?(?:(?:^|\W)(?P<batch>\d+)[^\d\s]+)?(?P<case>\d+)[^\d\s]*$";
const OUTPUT_DEFAULT: &str =
    r"^(?=.*?\.out|out).*?(?:(?:^|\W)(?P<batch>\d+)[^\d\s]+)?(?P<case>\d+)[^\d\s]*$";

/// Steps that one match may take before it is given up.
const STEPS_MAX: usize = 100_000;

/// Bytes of a pattern, and the product of all its counts (`{3,5}` is 5): what is repeated is written out
/// when a pattern is compiled.
const PATTERN_BYTES_MAX: usize = 1024;
const PATTERN_COUNTS_MAX: u64 = 1000;

/// A name's number; names without digits come first, as texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Text(String),
    Integer(u64),
}

/// Input and output of a case, as far as they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
}

/// A case, or the cases of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Case(Pair),
    Batch(Vec<Pair>),
}

/// Finds cases among `names`.
pub(super) fn find(
    names: &[String],
    input: Option<&str>,
    output: Option<&str>,
) -> Result<Vec<Found>, String> {
    let mut groups: BTreeMap<Number, BTreeMap<Number, Pair>> = BTreeMap::new();
    let mut batches = std::collections::BTreeSet::new();
    for (is_input, pattern) in
        [(true, input.unwrap_or(INPUT_DEFAULT)), (false, output.unwrap_or(OUTPUT_DEFAULT))]
    {
        let pattern = compile(pattern)?;
        for name in names {
            let Some((batch, case)) = position(&pattern, name)? else { continue };
            if let Some(batch) = &batch {
                batches.insert(batch.clone());
            }
            let pair = groups.entry(batch.unwrap_or_else(|| case.clone())).or_default().entry(case);
            let file = Some(name.clone());
            if is_input { pair.or_default().input = file } else { pair.or_default().output = file }
        }
    }
    groups
        .into_iter()
        .map(|(number, pairs)| {
            if batches.contains(&number) {
                return Ok(Found::Batch(pairs.into_values().collect()));
            }
            let mut pairs = pairs.into_values();
            match (pairs.next(), pairs.next()) {
                (Some(pair), None) => Ok(Found::Case(pair)),
                _ => Err(format!("the files of {number:?} contradict each other")),
            }
        })
        .collect()
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX || counts(pattern) > PATTERN_COUNTS_MAX {
        let shown: String = pattern.chars().take(64).collect();
        return Err(format!("the pattern {shown:?} cannot be used: it is too large"));
    }
    // As Python's `match`: at the beginning, and without regard to case.
    RegexBuilder::new(&format!("^(?i:{pattern})"))
        .backtrack_limit(STEPS_MAX)
        .build()
        .map_err(|error| format!("the pattern {pattern:?} cannot be used: {error}"))
}

/// The product of all counts in a pattern, nested or not, escaped or not.
fn counts(pattern: &str) -> u64 {
    let inside = |part: &str| part.split_once('}').map_or("", |(inside, _)| inside).to_owned();
    let number = |text: &str| match text.trim().parse::<u64>() {
        Ok(count) => count.max(1),
        // Too many digits for a number are too many repetitions.
        Err(_) if text.len() > 18 && text.trim().bytes().all(|b| b.is_ascii_digit()) => u64::MAX,
        Err(_) => 1,
    };
    let largest = |inside: String| inside.split(',').map(number).max().unwrap_or(1);
    pattern.split('{').skip(1).map(|part| largest(inside(part))).fold(1, u64::saturating_mul)
}

type Position = Option<(Option<Number>, Number)>;

fn position(pattern: &Regex, name: &str) -> Result<Position, String> {
    let found = pattern.captures(name).map_err(|error| format!("file {name:?}: {error}"))?;
    let Some(found) = found else {
        return Ok(None);
    };
    let number = |group: &str| {
        let text = found.name(group)?.as_str();
        Some(text.parse().map_or_else(|_| Number::Text(text.to_owned()), Number::Integer))
    };
    match number("case") {
        Some(case) => Ok(Some((number("batch"), case))),
        None => Err(format!("the pattern finds no case number in {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(input: &str, output: &str) -> Pair {
        Pair { input: Some(input.to_owned()), output: Some(output.to_owned()) }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn cases_are_found_by_their_numbers() {
        let files = names(&["x.10.in", "x.10.out", "x.2.in", "x.2.out", "README"]);
        let found = find(&files, None, None).unwrap();
        let cases = [pair("x.2.in", "x.2.out"), pair("x.10.in", "x.10.out")];
        assert_eq!(found, cases.map(Found::Case));
    }

    #[test]
    fn batches_are_found_by_the_number_before() {
        let files =
            names(&["p.1-1.in", "p.1-2.in", "p.1-1.out", "p.1-2.out", "p.2-1.in", "p.2-1.out"]);
        let found = find(&files, None, None).unwrap();
        let batches = [
            vec![pair("p.1-1.in", "p.1-1.out"), pair("p.1-2.in", "p.1-2.out")],
            vec![pair("p.2-1.in", "p.2-1.out")],
        ];
        assert_eq!(found, batches.map(Found::Batch));
    }

    #[test]
    fn patterns_may_be_given() {
        let files = names(&["s1.txt", "s1.ans", "s2.txt", "s2.ans"]);
        let found = find(&files, Some(r"s(?P<case>\d+)\.txt"), Some(r"s(?P<case>\d+)\.ans"));
        let cases = [pair("s1.txt", "s1.ans"), pair("s2.txt", "s2.ans")];
        assert_eq!(found.unwrap(), cases.map(Found::Case));
        assert!(find(&files, Some("("), None).unwrap_err().contains("pattern"));
        for large in
            ["(?:(?=s)s){4000000000}", "(?:(?:(?=s)s){999}){999}", "(?=s){1,99999999999999999999}"]
        {
            assert!(find(&files, Some(large), None).unwrap_err().contains("too large"), "{large}");
        }
        assert!(find(&files, Some("s{1000}"), None).is_ok() && counts(r"\d{2}\{x{3,40}") == 80);
        assert!(find(&files, Some("s"), None).unwrap_err().contains("no case number"));
    }

    #[test]
    fn a_pattern_that_never_ends_is_given_up() {
        let files = names(&["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"]);
        assert!(find(&files, Some(r"(?=(a+)+$)(?P<case>a)\1"), None).is_err());
    }
}
