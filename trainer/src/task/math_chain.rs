//! Arithmetic chains: the prompt is `3 + 4 * 2 - 5 =>`, computed from left to right modulo ten; the
//! answer is any number of intermediate results and then `= 9`.
//!
//! Writing intermediate results costs tokens and makes the last one easier, so the length of the
//! context decides how good a small model can get.

use protocol::Submission;

use super::{EOS, PAD, Problem, Task, answer, held_out};
use crate::model::tokenizer::Cut;
use crate::model::{ModelError, Tokenizer};
use crate::random::Stream;

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const OPERATIONS: [&str; 3] = ["+", "-", "*"];
const ARROW: &str = "=>";
const RESULT: &str = "=";

/// How the corpus is written.
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// How often an intermediate result is right.
    pub right: f64,
    /// Every how many operations the result so far is written; 0 means never.
    pub steps_every: usize,
}

/// The task.
#[derive(Debug)]
pub struct MathChain {
    problems: Vec<Problem>,
    chains: Vec<Chain>,
    author: Author,
}

#[derive(Clone, Debug)]
struct Chain {
    first: usize,
    rest: Vec<(usize, usize)>,
}

impl Chain {
    /// The result after each operation, as somebody computes it who errs with some chance.
    fn results(&self, right: f64, stream: &mut Stream) -> Vec<usize> {
        let mut value = self.first;
        let mut results = Vec::new();
        for (operation, digit) in &self.rest {
            value = match operation {
                0 => (value + digit) % 10,
                1 => (value + 10 - digit) % 10,
                _ => (value * digit) % 10,
            };
            if stream.uniform() >= right {
                value = (value + 1 + stream.below(9)) % 10;
            }
            results.push(value);
        }
        results
    }
}

impl MathChain {
    /// Chains of two up to `operations` operations of the first `kinds` kinds, `count` of them at most.
    #[must_use]
    pub fn new((operations, kinds): (usize, usize), count: usize, author: Author) -> Self {
        let kinds = kinds.clamp(1, OPERATIONS.len());
        let mut stream = Stream::new(&[0xc4a1]);
        let mut seen = std::collections::HashSet::new();
        let (mut problems, mut chains) = (Vec::new(), Vec::new());
        for at in 0..count {
            let length = 2 + at % operations.saturating_sub(1).max(1);
            let rest = (0..length).map(|_| (stream.below(kinds), stream.below(10))).collect();
            let chain = Chain { first: stream.below(10), rest };
            let prompt = prompt(&chain);
            if seen.insert(prompt.clone()) {
                let difficulty = length as f64 / operations.max(2) as f64;
                problems.push(Problem { held_out: held_out(&prompt), prompt, difficulty });
                chains.push(chain);
            }
        }
        Self { problems, chains, author }
    }

    fn result(&self, problem: usize) -> usize {
        let results = self.chains[problem].results(1.0, &mut Stream::new(&[0]));
        results.last().copied().unwrap_or(self.chains[problem].first)
    }
}

impl Task for MathChain {
    fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        let mut words = vec![PAD, EOS, ARROW, RESULT];
        words.extend(DIGITS);
        words.extend(OPERATIONS);
        Tokenizer::of_words(&words, Cut::Words)
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn author(&self, problem: usize, stream: &mut Stream) -> String {
        let results = self.chains[problem].results(self.author.right, stream);
        let every = self.author.steps_every;
        let written = |at: &usize| every > 0 && (at + 1).is_multiple_of(every);
        let mut words: Vec<&str> = (0..results.len().saturating_sub(1))
            .filter(written)
            .map(|at| DIGITS[results[at]])
            .collect();
        words.push(RESULT);
        words.push(results.last().map_or(DIGITS[0], |result| DIGITS[*result]));
        words.join(" ")
    }

    /// Each written result is a turn of its own.
    fn turn_ends(&self) -> &'static [&'static str] {
        &DIGITS
    }

    fn submission(&self, problem: usize, completion: &str) -> Submission {
        let written = completion.rsplit_once(RESULT).map_or("", |(_, result)| result.trim());
        answer(written, DIGITS[self.result(problem)])
    }
}

fn prompt(chain: &Chain) -> String {
    let mut words = vec![DIGITS[chain.first]];
    for (operation, digit) in &chain.rest {
        words.extend([OPERATIONS[*operation], DIGITS[*digit]]);
    }
    words.push(ARROW);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_computed_from_left_to_right_modulo_ten() {
        let chain = Chain { first: 3, rest: vec![(0, 4), (2, 2), (1, 5)] };
        assert_eq!(prompt(&chain), "3 + 4 * 2 - 5 =>");
        assert_eq!(chain.results(1.0, &mut Stream::new(&[0])), [7, 4, 9]);
        assert_ne!(chain.results(0.0, &mut Stream::new(&[0]))[0], 7);
    }
}
