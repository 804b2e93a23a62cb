//! Text that repeats itself: found early, stopped, and penalized, so that no budget is spent on it.

use crate::limits::{
    REPETITION_PERIOD_MAX, REPETITION_REPEATS_MIN, REPETITION_TOKENS_MIN, REPETITION_WINDOW,
};

/// The smallest period of the end of `tokens`, where it is repeated often enough to be called a
/// repetition: at least 4 times, over at least 64 of the last 512 tokens, with a period of at most
/// 128. Linear in the window.
#[must_use]
pub fn repeated_period(tokens: &[u32]) -> Option<usize> {
    let window = &tokens[tokens.len().saturating_sub(REPETITION_WINDOW)..];
    // Prefixes of the reversed window are ends of the text; border length tells their period.
    let text: Vec<u32> = window.iter().rev().copied().collect();
    let mut borders = vec![0_usize; text.len()];
    let mut border = 0;
    for end in 1..text.len() {
        while border > 0 && text[end] != text[border] {
            border = borders[border - 1];
        }
        if text[end] == text[border] {
            border += 1;
        }
        borders[end] = border;
        let length = end + 1;
        let period = length - border;
        let counts = length >= REPETITION_TOKENS_MIN
            && period <= REPETITION_PERIOD_MAX
            && length >= period * REPETITION_REPEATS_MIN;
        if counts {
            return Some(period);
        }
    }
    None
}

/// `1 - distinct / all` over the n-grams of `tokens`: 0 where none occurs twice.
#[must_use]
pub fn repeated_share(tokens: &[u32], n: usize) -> f64 {
    if n == 0 || tokens.len() < n {
        return 0.0;
    }
    let all = tokens.len() + 1 - n;
    let distinct: std::collections::HashSet<&[u32]> = tokens.windows(n).collect();
    1.0 - distinct.len() as f64 / all as f64
}

/// Whether the last `run` tokens were all sampled with a probability above `probability`: a loop
/// that is not exact, or a model that has nothing left to say.
#[must_use]
pub fn certain_run(logprobs: &[f32], run: usize, probability: f64) -> bool {
    let least = probability.ln();
    run > 0
        && logprobs.len() >= run
        && logprobs[logprobs.len() - run..].iter().all(|logprob| f64::from(*logprob) > least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_runs_are_counted() {
        assert_eq!(repeated_share(&[1, 2, 3, 4], 2), 0.0);
        assert_eq!(repeated_share(&[1, 1, 1, 1, 1], 2), 0.75);
        assert_eq!(repeated_share(&[1], 2), 0.0);
        assert!(certain_run(&[-3.0, -0.001, -0.001], 2, 0.99));
        assert!(!certain_run(&[-3.0, -0.001, -0.001], 3, 0.99));
        assert!(!certain_run(&[-0.001], 2, 0.99));
    }
}
