//! Named functions to stack programs: the prompt is a prefix term such as `gap larger a b c =>`,
//! the answer a program such as `a b max c - abs`.
//!
//! What the functions do is nowhere told but by rewards. The program runs in the sandbox on hidden
//! inputs, interpreted by a few lines of Bash, the interpreter that starts fastest there.

use protocol::Submission;
use serde_json::json;

use super::{EOS, PAD, Problem, Task, held_out, hidden_tests, program};
use crate::model::tokenizer::Cut;
use crate::model::{ModelError, Tokenizer};
use crate::random::Stream;

const VARIABLES: [&str; 4] = ["a", "b", "c", "d"];
const OPERATIONS: [&str; 9] = ["+", "-", "*", "max", "min", "abs", "neg", "dup", "swap"];
const ARROW: &str = "=>";
/// Inputs on which a program is tried.
const CASES: usize = 4;

/// What reads a program and its inputs and writes a number for each input.
const INTERPRETER: &str = include_str!("named_ops.sh");

/// A function of two arguments, and what follows the code of its arguments in a program.
struct Function {
    name: &'static str,
    apply: fn(i64, i64) -> i64,
    right: &'static str,
    wrong: [&'static str; 3],
}

const FUNCTIONS: [Function; 12] = [
    Function { name: "plus", apply: |x, y| x + y, right: "+", wrong: ["-", "*", "max"] },
    Function { name: "minus", apply: |x, y| x - y, right: "-", wrong: ["+", "swap -", "min"] },
    Function { name: "from", apply: |x, y| y - x, right: "swap -", wrong: ["-", "- abs", "+"] },
    Function { name: "times", apply: |x, y| x * y, right: "*", wrong: ["+", "dup *", "max"] },
    Function { name: "larger", apply: i64::max, right: "max", wrong: ["min", "+", "- abs"] },
    Function { name: "smaller", apply: i64::min, right: "min", wrong: ["max", "-", "* abs"] },
    Function {
        name: "gap",
        apply: |x, y| (x - y).abs(),
        right: "- abs",
        wrong: ["-", "swap -", "+ abs"],
    },
    Function {
        name: "owed",
        apply: |x, y| -(x + y),
        right: "+ neg",
        wrong: ["+", "- neg", "* neg"],
    },
    Function {
        name: "twice",
        apply: |x, y| 2 * (x + y),
        right: "+ dup +",
        wrong: ["+", "dup + +", "+ dup *"],
    },
    Function {
        name: "lead",
        apply: |x, y| x - 2 * y,
        right: "dup + -",
        wrong: ["-", "dup * -", "- dup +"],
    },
    Function {
        name: "size",
        apply: |x, y| (x * y).abs(),
        right: "* abs",
        wrong: ["*", "abs *", "+ abs"],
    },
    Function {
        name: "under",
        apply: |x, y| -x.max(y),
        right: "max neg",
        wrong: ["max", "min neg", "neg max"],
    },
];

#[derive(Clone, Debug)]
enum Term {
    Variable(usize),
    Call(usize, Box<Self>, Box<Self>),
}

/// How the corpus is written.
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// How often a function is written rightly.
    pub right: f64,
    /// How often code without effect follows it.
    pub padding: f64,
}

/// The task.
#[derive(Debug)]
pub struct NamedOps {
    problems: Vec<Problem>,
    terms: Vec<Term>,
    author: Author,
}

impl NamedOps {
    /// Terms of one up to `levels` functions, at most `count` of them, few levels first.
    #[must_use]
    pub fn new(levels: usize, count: usize, author: Author) -> Self {
        let mut stream = Stream::new(&[0x0415]);
        let mut seen = std::collections::HashSet::new();
        let (mut problems, mut terms) = (Vec::new(), Vec::new());
        for level in 1..=levels {
            // There are 192 terms of one function; the rest is shared by the other levels.
            let share = if level == 1 { 160.min(count) } else { count.div_ceil(levels) };
            let mut made = 0;
            for _ in 0..share * 40 {
                if made == share || problems.len() == count {
                    break;
                }
                let term = draw(level, &mut stream);
                let prompt = format!("{} {ARROW}", prefix(&term));
                if seen.insert(prompt.clone()) {
                    let difficulty = level as f64 / levels as f64;
                    let held_out = held_out(&prompt);
                    problems.push(Problem { prompt, difficulty, held_out });
                    terms.push(term);
                    made += 1;
                }
            }
        }
        Self { problems, terms, author }
    }

    fn cases(&self, problem: usize) -> Vec<[i64; 4]> {
        let mut stream = hidden_tests(&self.problems[problem].prompt);
        let mut digit = || i64::try_from(stream.below(19)).unwrap_or(0) - 9;
        (0..CASES).map(|_| [digit(), digit(), digit(), digit()]).collect()
    }
}

impl Task for NamedOps {
    fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        let mut words = vec![PAD, EOS, ARROW];
        words.extend(VARIABLES);
        words.extend(OPERATIONS);
        words.extend(FUNCTIONS.iter().map(|function| function.name));
        Tokenizer::of_words(&words, Cut::Words)
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn author(&self, problem: usize, stream: &mut Stream) -> String {
        let mut words = Vec::new();
        write(&self.terms[problem], self.author, stream, &mut words);
        words.join(" ")
    }

    fn submission(&self, problem: usize, completion: &str) -> Submission {
        let cases = self.cases(problem);
        let row = |case: &[i64; 4]| case.map(|n| n.to_string()).join(" ");
        let inputs: Vec<String> = cases.iter().map(row).collect();
        let answers: Vec<String> =
            cases.iter().map(|case| value(&self.terms[problem], case).to_string()).collect();
        let test = json!({
            "stdin": format!("{completion}\n{}\n", inputs.join("\n")),
            "stdout": answers.join("\n"),
        });
        program("bash", INTERPRETER, &json!({"kind": "stdio", "tests": [test]}))
    }
}

fn draw(functions: usize, stream: &mut Stream) -> Term {
    if functions == 0 {
        return Term::Variable(stream.below(VARIABLES.len()));
    }
    let left = stream.below(functions);
    let name = stream.below(FUNCTIONS.len());
    let first = draw(left, stream);
    Term::Call(name, Box::new(first), Box::new(draw(functions - 1 - left, stream)))
}

fn prefix(term: &Term) -> String {
    match term {
        Term::Variable(at) => VARIABLES[*at].to_owned(),
        Term::Call(at, left, right) => {
            format!("{} {} {}", FUNCTIONS[*at].name, prefix(left), prefix(right))
        }
    }
}

fn value(term: &Term, case: &[i64; 4]) -> i64 {
    match term {
        Term::Variable(at) => case[*at],
        Term::Call(at, left, right) => {
            (FUNCTIONS[*at].apply)(value(left, case), value(right, case))
        }
    }
}

fn write(term: &Term, author: Author, stream: &mut Stream, words: &mut Vec<&'static str>) {
    match term {
        Term::Variable(at) => words.push(VARIABLES[*at]),
        Term::Call(at, first, second) => {
            write(first, author, stream, words);
            write(second, author, stream, words);
            let function = &FUNCTIONS[*at];
            let known = stream.uniform() < author.right;
            let code = if known { function.right } else { stream.choice(&function.wrong) };
            words.extend(code.split(' '));
            if author.padding > 0.0 && stream.uniform() < author.padding {
                words.extend(["neg", "neg"]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`INTERPRETER`] does, for checking answers without a sandbox.
    fn run(program: &str, case: &[i64; 4]) -> Option<i64> {
        let mut stack: Vec<i64> = Vec::new();
        for word in program.split(' ') {
            if let Some(at) = VARIABLES.iter().position(|name| *name == word) {
                stack.push(case[at]);
                continue;
            }
            let x = stack.pop()?;
            match word {
                "dup" => stack.extend([x, x]),
                "neg" => stack.push(-x),
                "abs" => stack.push(x.abs()),
                _ => {
                    let y = stack.pop()?;
                    match word {
                        "+" => stack.push(y + x),
                        "-" => stack.push(y - x),
                        "*" => stack.push(y * x),
                        "max" => stack.push(y.max(x)),
                        "min" => stack.push(y.min(x)),
                        "swap" => stack.extend([x, y]),
                        _ => return None,
                    }
                }
            }
        }
        (stack.len() == 1).then(|| stack[0])
    }

    #[test]
    fn an_author_who_knows_everything_is_always_right() {
        let task = NamedOps::new(3, 500, Author { right: 1.0, padding: 0.3 });
        for problem in 0..task.problems().len() {
            let program = task.author(problem, &mut Stream::new(&[1]));
            for case in task.cases(problem) {
                let wanted = value(&task.terms[problem], &case);
                assert_eq!(run(&program, &case), Some(wanted), "{}", task.problems[problem].prompt);
            }
        }
    }

    #[test]
    fn hidden_tests_tell_right_from_wrong_code() {
        let task = NamedOps::new(1, 160, Author { right: 0.0, padding: 0.0 });
        let mut passed = 0;
        for problem in 0..task.problems().len() {
            let program = task.author(problem, &mut Stream::new(&[2, problem as u64]));
            let right =
                |case: &[i64; 4]| run(&program, case) == Some(value(&task.terms[problem], case));
            passed += usize::from(task.cases(problem).iter().all(right));
        }
        // A wrong function may be right on equal arguments, such as `larger a a`.
        assert!(passed < task.problems().len() / 4, "{passed} wrong programs passed");
    }
}
