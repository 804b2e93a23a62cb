//! What is learnt: made-up families of problems whose answers the judge really runs.
//!
//! A task makes its problems from nothing but its options, parts them into trained and held-out
//! ones by a hash of the prompt, and turns a completion into a submission with hidden tests. Its
//! author writes the corpus of the warm start and is wrong often, so that there is something left
//! to learn from rewards.

mod math_chain;
mod named_ops;
mod python_expr;

use std::fmt;

use protocol::Submission;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use math_chain::MathChain;
pub use named_ops::NamedOps;
pub use python_expr::PythonExpr;

use crate::model::{ModelError, Tokenizer};
use crate::random::{self, Stream};

/// The token that fills; never sampled, never trained. The first of every made-up vocabulary.
pub const PAD: &str = "<pad>";
/// The token that ends an answer. The second of every made-up vocabulary.
pub const EOS: &str = "<eos>";

/// A problem of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What the policy reads.
    pub prompt: String,
    /// How hard it is, from 0 to 1.
    pub difficulty: f64,
    /// Whether it is kept for evaluation.
    pub held_out: bool,
}

/// A family of problems.
pub trait Task: fmt::Debug + Send + Sync {
    /// The tokenizer of a model that is made for this task.
    ///
    /// # Errors
    /// None for the tasks here.
    fn tokenizer(&self) -> Result<Tokenizer, ModelError>;

    /// All problems; their index names them.
    fn problems(&self) -> &[Problem];

    /// An answer as the author of the corpus writes it: in the right form, often wrong.
    fn author(&self, problem: usize, stream: &mut Stream) -> String;

    /// Words after which a new turn begins; without any, an answer is one turn.
    fn turn_ends(&self) -> &'static [&'static str] {
        &[]
    }

    /// What the judge runs for an answer.
    fn submission(&self, problem: usize, completion: &str) -> Submission;
}

/// Which task, and how large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum TaskConfig {
    /// Programs in a stack language for terms of named functions.
    NamedOps {
        /// Terms have one up to so many functions.
        levels: usize,
        /// How many problems at most.
        problems: usize,
        /// How often the author knows a function.
        author_right: f64,
        /// How often the author adds code without effect after a function.
        #[serde(default)]
        padding: f64,
    },
    /// Short Python functions.
    PythonExpr {
        /// How often the author knows a part.
        author_right: f64,
    },
    /// Chains of operations on digits.
    MathChain {
        /// Chains have two up to so many operations.
        operations: usize,
        /// How many problems at most.
        problems: usize,
        /// How often the author computes an intermediate result rightly.
        author_right: f64,
        /// Every how many operations the author writes the result so far; 0 means never.
        steps_every: usize,
        /// How many kinds of operations there are: sums, then differences, then products.
        #[serde(default = "all_kinds")]
        kinds: usize,
    },
}

fn all_kinds() -> usize {
    3
}

impl TaskConfig {
    /// Makes the task.
    #[must_use]
    pub fn build(&self) -> Box<dyn Task> {
        match *self {
            Self::NamedOps { levels, problems, author_right, padding } => {
                let author = named_ops::Author { right: author_right, padding };
                Box::new(NamedOps::new(levels, problems, author))
            }
            Self::PythonExpr { author_right } => Box::new(PythonExpr::new(author_right)),
            Self::MathChain { operations, problems, author_right, steps_every, kinds } => {
                let author = math_chain::Author { right: author_right, steps_every };
                Box::new(MathChain::new((operations, kinds), problems, author))
            }
        }
    }
}

/// Cpu time of one program.
const CPU_TIME_MS: u64 = 2000;

/// A program to be run. Made by way of JSON: fields that the protocol gains later stay at their
/// defaults.
fn program(language: &str, source: &str, problem: &serde_json::Value) -> Submission {
    submission(json!({
        "language": language, "source": source, "problem": problem, "stop_early": true,
        "limits": {"cpu_time_ms": CPU_TIME_MS},
    }))
}

/// A mathematical answer to be compared. What is not even written is wrong, and is compared as a
/// word that no number equals.
fn answer(written: &str, right: &str) -> Submission {
    let written = if written.is_empty() { "none" } else { written };
    let problem = json!({"kind": "math", "references": [right], "undecided": "wrong"});
    submission(json!({"answer": written, "problem": problem}))
}

fn submission(fields: serde_json::Value) -> Submission {
    serde_json::from_value(fields).expect("these are fields of the protocol")
}

/// One problem in five is held out, by its prompt alone: the same ones in every run.
fn held_out(prompt: &str) -> bool {
    hash(prompt).is_multiple_of(5)
}

fn hash(text: &str) -> u64 {
    let words: Vec<u64> = text.bytes().map(u64::from).collect();
    random::bits(&words)
}

/// The hidden tests of a problem are drawn from this; the prompt does not tell them.
fn hidden_tests(prompt: &str) -> Stream {
    Stream::new(&[0x7e57, hash(prompt)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Vec<Box<dyn Task>> {
        vec![
            TaskConfig::NamedOps { levels: 2, problems: 600, author_right: 0.5, padding: 0.2 }
                .build(),
            TaskConfig::PythonExpr { author_right: 0.5 }.build(),
            TaskConfig::MathChain {
                operations: 4,
                problems: 400,
                author_right: 0.5,
                steps_every: 1,
                kinds: 3,
            }
            .build(),
        ]
    }

    #[test]
    fn prompts_and_answers_survive_the_tokenizer() {
        for task in tasks() {
            let tokenizer = task.tokenizer().unwrap();
            assert_eq!(tokenizer.token(PAD), Some(0));
            assert_eq!(tokenizer.token(EOS), Some(1));
            let mut stream = Stream::new(&[1]);
            for (at, problem) in task.problems().iter().enumerate() {
                for text in [problem.prompt.clone(), task.author(at, &mut stream)] {
                    let tokens = tokenizer.encode(&text).unwrap();
                    assert!(!tokens.contains(&0), "{text} has words that the vocabulary has not");
                    assert_eq!(tokenizer.decode(&tokens).unwrap(), text);
                }
            }
        }
    }

    #[test]
    fn every_answer_makes_a_submission() {
        for task in tasks() {
            for completion in ["", "= = =", "abs abs", "def f ( xs ) : return"] {
                let submission = task.submission(0, completion);
                let known = !matches!(submission.problem, protocol::Problem::Unsupported { .. });
                assert!(known, "{submission:?}");
            }
        }
    }

    #[test]
    fn a_fifth_of_the_problems_is_held_out_and_no_prompt_occurs_twice() {
        for task in tasks() {
            let problems = task.problems();
            let mut prompts: Vec<&str> = problems.iter().map(|p| p.prompt.as_str()).collect();
            prompts.sort_unstable();
            prompts.dedup();
            assert_eq!(prompts.len(), problems.len());
            let held_out = problems.iter().filter(|problem| problem.held_out).count();
            let share = held_out as f64 / problems.len() as f64;
            assert!((0.1..0.3).contains(&share), "{task:?}: {share}");
        }
    }
}
