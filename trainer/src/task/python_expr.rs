//! Short Python functions: the prompt names a filter, a map and a reduction of a list, such as
//! `sum squares even =>`, the answer is a function `f`, judged in the sandbox by hidden assertions.

use std::collections::BTreeSet;

use protocol::Submission;
use serde_json::json;

use super::{EOS, PAD, Problem, Task, held_out, hidden_tests, program};
use crate::model::tokenizer::Cut;
use crate::model::{ModelError, Tokenizer};
use crate::random::Stream;

const ARROW: &str = "=>";
/// Assertions of a problem.
const CASES: usize = 6;

/// A part of a function: its name in prompts, its code, and what the author takes it for.
struct Part<F> {
    name: &'static str,
    apply: F,
    right: &'static str,
    wrong: [&'static str; 3],
}

type Filter = fn(i64) -> bool;
type Map = fn(i64) -> i64;
type Reduction = fn(&[i64]) -> i64;

const FILTERS: [Part<Filter>; 6] = [
    Part { name: "all", apply: |_| true, right: "", wrong: ["if x", "if x > 0", "if x % 2 == 0"] },
    Part {
        name: "even",
        apply: |x| x % 2 == 0,
        right: "if x % 2 == 0",
        wrong: ["if x % 2 == 1", "if x / 2", "if x > 2"],
    },
    Part {
        name: "odd",
        apply: |x| x % 2 != 0,
        right: "if x % 2 == 1",
        wrong: ["if x % 2 == 0", "if x > 1", "if x / 2"],
    },
    Part {
        name: "positive",
        apply: |x| x > 0,
        right: "if x > 0",
        wrong: ["if x", "if x >= 0", "if x < 0"],
    },
    Part {
        name: "negative",
        apply: |x| x < 0,
        right: "if x < 0",
        wrong: ["if x > 0", "if x <= 0", "if - x"],
    },
    Part {
        name: "big",
        apply: |x| x > 5,
        right: "if x > 5",
        wrong: ["if x >= 5", "if x < 5", "if x > 2"],
    },
];

const MAPS: [Part<Map>; 6] = [
    Part { name: "items", apply: |x| x, right: "x", wrong: ["x + 1", "- x", "x * x"] },
    Part { name: "squares", apply: |x| x * x, right: "x * x", wrong: ["x + x", "x * 2", "x"] },
    Part { name: "doubles", apply: |x| 2 * x, right: "x * 2", wrong: ["x * x", "x + 2", "x / 2"] },
    Part { name: "opposites", apply: |x| -x, right: "- x", wrong: ["x", "abs ( x )", "1 / x"] },
    Part { name: "sizes", apply: i64::abs, right: "abs ( x )", wrong: ["x", "len ( x )", "- x"] },
    Part { name: "nexts", apply: |x| x + 1, right: "x + 1", wrong: ["x", "x + x", "x * 2"] },
];

const REDUCTIONS: [Part<Reduction>; 6] = [
    Part {
        name: "sum",
        apply: |xs| xs.iter().sum(),
        right: "sum ( [ _ ] )",
        wrong: ["len ( [ _ ] )", "max ( [ _ ] )", "sum ( { _ } )"],
    },
    Part {
        name: "count",
        apply: |xs| i64::try_from(xs.len()).unwrap_or(0),
        right: "len ( [ _ ] )",
        wrong: ["sum ( [ _ ] )", "len ( { _ } )", "len ( xs )"],
    },
    Part {
        name: "largest",
        apply: |xs| xs.iter().copied().max().unwrap_or(0),
        right: "max ( [ _ ] , default = 0 )",
        wrong: ["max ( [ _ ] )", "min ( [ _ ] , default = 0 )", "max ( xs , default = 0 )"],
    },
    Part {
        name: "smallest",
        apply: |xs| xs.iter().copied().min().unwrap_or(0),
        right: "min ( [ _ ] , default = 0 )",
        wrong: ["min ( [ _ ] )", "max ( [ _ ] , default = 0 )", "min ( xs , default = 0 )"],
    },
    Part {
        name: "different",
        apply: |xs| i64::try_from(xs.iter().collect::<BTreeSet<_>>().len()).unwrap_or(0),
        right: "len ( { _ } )",
        wrong: ["len ( [ _ ] )", "sum ( { _ } )", "len ( xs )"],
    },
    Part {
        name: "last",
        apply: |xs| xs.last().copied().unwrap_or(0),
        right: "( [ 0 ] + [ _ ] ) [ -1 ]",
        wrong: ["( [ _ ] ) [ -1 ]", "( [ _ ] ) [ 0 ]", "max ( [ _ ] )"],
    },
];

/// The task.
#[derive(Debug)]
pub struct PythonExpr {
    problems: Vec<Problem>,
    parts: Vec<[usize; 3]>,
    author_right: f64,
}

impl PythonExpr {
    /// All combinations of filters, maps and reductions.
    #[must_use]
    pub fn new(author_right: f64) -> Self {
        let (mut problems, mut parts) = (Vec::new(), Vec::new());
        for (reduction, third) in REDUCTIONS.iter().enumerate() {
            for (map, second) in MAPS.iter().enumerate() {
                for (filter, first) in FILTERS.iter().enumerate() {
                    let prompt = format!("{} {} {} {ARROW}", third.name, second.name, first.name);
                    let hard = usize::from(filter > 0) + usize::from(map > 0);
                    problems.push(Problem {
                        held_out: held_out(&prompt),
                        prompt,
                        difficulty: (hard + 1) as f64 / 3.0,
                    });
                    parts.push([filter, map, reduction]);
                }
            }
        }
        Self { problems, parts, author_right }
    }

    fn answer(&self, problem: usize, list: &[i64]) -> i64 {
        let [filter, map, reduction] = self.parts[problem];
        let kept = list.iter().copied().filter(|x| (FILTERS[filter].apply)(*x));
        let mapped: Vec<i64> = kept.map(|x| (MAPS[map].apply)(x)).collect();
        (REDUCTIONS[reduction].apply)(&mapped)
    }
}

impl Task for PythonExpr {
    fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        let mut words = vec![PAD, EOS, ARROW];
        let frame = "def f ( xs ) : return for x in xs";
        let mut add = |text: &'static str| {
            for word in text.split_whitespace().filter(|word| *word != "_") {
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        };
        add(frame);
        for part in &FILTERS {
            [part.name, part.right].into_iter().chain(part.wrong).for_each(&mut add);
        }
        for part in &MAPS {
            [part.name, part.right].into_iter().chain(part.wrong).for_each(&mut add);
        }
        for part in &REDUCTIONS {
            [part.name, part.right].into_iter().chain(part.wrong).for_each(&mut add);
        }
        Tokenizer::of_words(&words, Cut::Words)
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn author(&self, problem: usize, stream: &mut Stream) -> String {
        let [filter, map, reduction] = self.parts[problem];
        let mut pick = |right: &'static str, wrong: &[&'static str; 3]| {
            if stream.uniform() < self.author_right { right } else { *stream.choice(wrong) }
        };
        let reduction = pick(REDUCTIONS[reduction].right, &REDUCTIONS[reduction].wrong);
        let map = pick(MAPS[map].right, &MAPS[map].wrong);
        let filter = pick(FILTERS[filter].right, &FILTERS[filter].wrong);
        let inner = format!("{map} for x in xs {filter}");
        format!("def f ( xs ) : return {}", reduction.replace('_', inner.trim_end()))
    }

    fn submission(&self, problem: usize, completion: &str) -> Submission {
        let mut stream = hidden_tests(&self.problems[problem].prompt);
        let mut code = String::new();
        for case in 0..CASES {
            // The empty list comes up in one case, lists with repeats in most.
            let length = if case == 0 { 0 } else { 3 + stream.below(6) };
            let list: Vec<i64> =
                (0..length).map(|_| i64::try_from(stream.below(19)).unwrap_or(0) - 9).collect();
            let answer = self.answer(problem, &list);
            code.push_str(&format!("assert f({list:?}) == {answer}\n"));
        }
        let problem = json!({"kind": "assertions", "code": code});
        program("python", &format!("{completion}\n"), &problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_are_those_that_the_prompt_asks_for() {
        let task = PythonExpr::new(1.0);
        let find = |prompt: &str| {
            task.problems.iter().position(|p| p.prompt == format!("{prompt} =>")).unwrap()
        };
        assert_eq!(task.answer(find("sum squares even"), &[1, 2, 3, -4]), 20);
        assert_eq!(task.answer(find("largest items big"), &[1, 2]), 0);
        assert_eq!(task.answer(find("different sizes all"), &[1, -1, 2]), 2);
        assert_eq!(task.answer(find("last nexts odd"), &[1, 3, 4]), 4);
        let at = find("sum squares even");
        assert_eq!(
            task.author(at, &mut Stream::new(&[1])),
            "def f ( xs ) : return sum ( [ x * x for x in xs if x % 2 == 0 ] )"
        );
    }
}
