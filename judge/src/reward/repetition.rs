//! How much a response repeats itself, from 0 (not at all) to -1. Pure, and linear in the text.
//!
//! Three detectors, of which the worst counts: the end of the text has a short period that comes at
//! least four times (a model that got stuck); the share of word triples that came before (as
//! TRL penalises it, above what plain prose has); and the tail shrinks to a tenth under
//! compression (as slime detects it), which sees repetition of long passages.

use std::collections::HashSet;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Tokens at the end that are searched for a period.
const PERIOD_WINDOW: usize = 512;
/// The longest period that is looked for.
const PERIOD_MAX: usize = 128;
/// How often a period must come.
const PERIOD_REPEATS_MIN: usize = 4;
/// How many tokens all repeats must have together.
const PERIOD_TOKENS_MIN: usize = 64;
/// Words of an n-gram.
const NGRAM: usize = 3;
/// Words below which triples say nothing.
const NGRAM_WORDS_MIN: usize = 64;
/// The share of repeated triples that ordinary reasoning has; only what is above it counts.
const NGRAM_SHARE_FREE: f64 = 0.5;
/// Bytes at the end that are compressed.
const COMPRESSED_BYTES: usize = 10_000;
/// Bytes below which compression says nothing.
const COMPRESSED_BYTES_MIN: usize = 1_000;
/// How much smaller the tail must become.
const COMPRESSED_RATIO: usize = 10;

/// The penalty of a response.
#[must_use]
pub fn measure(text: &str) -> f64 {
    let words: Vec<&str> = text.split_whitespace().collect();
    if has_period(&words) || has_period(&last_characters(text)) || is_compressible(text) {
        return -1.0;
    }
    let share = repeated_share(&words);
    // Adding zero turns a negative zero into a plain one.
    -((share - NGRAM_SHARE_FREE) / (1.0 - NGRAM_SHARE_FREE)).max(0.0) + 0.0
}

/// The characters that a text without white space repeats.
fn last_characters(text: &str) -> Vec<char> {
    let mut characters: Vec<char> = text.chars().rev().take(PERIOD_WINDOW).collect();
    // A line of dashes or dots is layout; a stuck model repeats more than one character.
    if characters.windows(2).all(|pair| pair[0] == pair[1]) && characters.len() < PERIOD_WINDOW {
        characters.clear();
    }
    characters.reverse();
    characters
}

/// Whether the end has a period: the failure function of the reversed tail gives the smallest one
/// of each of its beginnings.
fn has_period<T: PartialEq>(tokens: &[T]) -> bool {
    let tail: Vec<&T> = tokens.iter().rev().take(PERIOD_WINDOW).collect();
    let mut borders = vec![0_usize; tail.len()];
    let mut border = 0;
    for index in 1..tail.len() {
        while border > 0 && tail[index] != tail[border] {
            border = borders[border - 1];
        }
        border += usize::from(tail[index] == tail[border]);
        borders[index] = border;
        let length = index + 1;
        let period = length - border;
        let repeats = length / period;
        if period <= PERIOD_MAX && repeats >= PERIOD_REPEATS_MIN && length >= PERIOD_TOKENS_MIN {
            return true;
        }
    }
    false
}

/// The share of word triples that came before.
#[expect(clippy::cast_precision_loss, reason = "a ratio of counts needs no more than 52 bits")]
fn repeated_share(words: &[&str]) -> f64 {
    if words.len() < NGRAM_WORDS_MIN {
        return 0.0;
    }
    let total = words.len() - (NGRAM - 1);
    let unique: HashSet<&[&str]> = words.windows(NGRAM).collect();
    1.0 - unique.len() as f64 / total as f64
}

fn is_compressible(text: &str) -> bool {
    let tail = &text.as_bytes()[text.len().saturating_sub(COMPRESSED_BYTES)..];
    if tail.len() < COMPRESSED_BYTES_MIN {
        return false;
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(tail).and_then(|()| encoder.finish());
    compressed.is_ok_and(|compressed| compressed.len() * COMPRESSED_RATIO < tail.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_that_is_stuck_at_its_end_pays_in_full() {
        let stuck = format!("We start. {}", "so the answer is 4. ".repeat(20));
        assert_eq!(measure(&stuck), -1.0);
        assert_eq!(measure(&"哈嗯".repeat(60)), -1.0);
        let once = "We start. so the answer is 4. so the answer is 4. so the answer is 4.";
        assert_eq!(measure(once), 0.0);
    }

    #[test]
    fn a_long_passage_that_comes_again_and_again_pays() {
        let passage: String = (0..200).map(|n| format!("w{} ", n * 7919 % 1000)).collect();
        assert_eq!(measure(&passage), 0.0);
        assert!(measure(&passage.repeat(8)) < -0.5);
    }

    #[test]
    fn a_period_is_found_at_its_bound_and_not_below_it() {
        let period = |tokens: usize, repeats: usize| {
            let one: Vec<usize> = (0..tokens).collect();
            has_period(&one.repeat(repeats))
        };
        assert!(period(16, 4));
        assert!(!period(16, 3));
        assert!(!period(15, 4));
        assert!(period(PERIOD_MAX, 4));
        assert!(!period(PERIOD_MAX + 1, 4));
    }

    #[test]
    fn short_and_empty_texts_are_never_repetitive() {
        for text in ["", "4", "ha ha ha", "----------"] {
            assert_eq!(measure(text), 0.0, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_penalty_is_a_share(text in "([a-c]{1,3} ?){0,300}") {
            prop_assert!((-1.0..=0.0).contains(&measure(&text)));
        }

        #[test]
        fn repeating_a_text_never_helps(words in prop::collection::vec("[a-z]{1,6}", 70..100)) {
            let text = words.join(" ") + " ";
            prop_assert!(measure(&text.repeat(6)) <= measure(&text));
        }
    }
}
