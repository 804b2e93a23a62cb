//! Dates in words and in ISO form.

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Year (0 when left out), month, day of a text that is nothing but a date.
pub(crate) fn date(text: &str) -> Option<[i64; 3]> {
    if let Some(date) = iso(text.trim()) {
        return Some(date);
    }
    let cleaned = text.replace("\\text", " ").replace(['{', '}', ',', '.', '\\'], " ");
    let words: Vec<&str> =
        cleaned.split_whitespace().filter(|word| !matches!(*word, "of" | "the")).collect();
    let [first, second, rest @ ..] = &words[..] else {
        return None;
    };
    let (month, day) = match (month(first), month(second)) {
        (Some(month), None) => (month, ordinal(second)?),
        (None, Some(month)) => (month, ordinal(first)?),
        _ => return None,
    };
    let year = match rest {
        [] => 0,
        [year] if year.len() == 4 => year.parse().ok()?,
        _ => return None,
    };
    (1..=31).contains(&day).then_some([year, month, day])
}

/// As [`date`], with a day of the week in front or a lead such as `on`.
pub(crate) fn date_of_answer(text: &str) -> Option<[i64; 3]> {
    const DAYS: [&str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let text = text.trim().trim_end_matches('.');
    let first = text.split([' ', ',']).next().unwrap_or_default();
    let lower = first.trim_end_matches('.').to_lowercase();
    let day = lower.len() >= 3 && DAYS.iter().any(|day| day.starts_with(lower.as_str()));
    let rest = if day || lower == "on" { &text[first.len()..] } else { text };
    date(rest.trim_start_matches([',', ' ', '.']))
}

fn iso(text: &str) -> Option<[i64; 3]> {
    let parts: Vec<&str> = text.split(['-', '/']).collect();
    let [year, month, day] = &parts[..] else {
        return None;
    };
    let digits = |part: &str, length: usize| {
        (part.len() == length && part.bytes().all(|digit| digit.is_ascii_digit()))
            .then(|| part.parse::<i64>().ok())
            .flatten()
    };
    let date = [digits(year, 4)?, digits(month, 2)?, digits(day, 2)?];
    let valid = (1..=12).contains(&date[1]) && (1..=31).contains(&date[2]);
    valid.then_some(date)
}

fn month(word: &str) -> Option<i64> {
    let lower = word.to_lowercase();
    let index = MONTHS.iter().position(|month| {
        *month == lower || (lower.len() >= 3 && lower.len() <= 4 && month.starts_with(&lower))
    })?;
    i64::try_from(index + 1).ok()
}

fn ordinal(word: &str) -> Option<i64> {
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let suffix = &word[digits.len()..];
    let fits = matches!(suffix.to_lowercase().as_str(), "" | "st" | "nd" | "rd" | "th");
    (fits && digits.len() <= 2).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_three_orders_agree() {
        for text in [
            "2024-01-05",
            "January 5, 2024",
            "5 January 2024",
            "Jan 5th, 2024",
            "5th of January 2024",
        ] {
            assert_eq!(date(text), Some([2024, 1, 5]), "{text}");
        }
        for text in ["2024", "5", "May", "2024-13-01", "March 45", "x - 2"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
