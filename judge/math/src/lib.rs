//! Equivalence of mathematical answers by exact rules.
//!
//! The flow, one module a step: [`extract`](mod@extract) finds the final answer of a completion;
//! `repair` undoes damage; `lex` makes tokens; `parse` makes a typed value over a
//! pool of shared expressions; `compare` decides by the kind of the reference;
//! `identity` decides whether two expressions are equal. `typed` has the answers that are no
//! expressions: choices, texts, dates, JSON. Numbers are exact fractions,
//! images modulo primes and rigorous enclosures; plain floats never decide.
//!
//! Pure: no input or output, no clock, no randomness. Work is bounded by fuel
//! ([`limits`]); what fuel or rules do not decide is [`Verdict::Undecided`].
#![forbid(unsafe_code)]

mod calendar;
mod choice;
mod compare;
mod engine;
mod expression;
mod extract;
mod fuel;
mod identity;
mod json;
mod lex;
pub mod limits;
mod number;
mod parse;
mod policy;
mod reason;
mod repair;
mod sampling;
mod typed;
mod units;
mod value;

pub use engine::{compare, compare_any};
pub use extract::{Extracted, Rule, extract};
pub use policy::{Extraction, ListOrder, Numeric, Percent, Policy, Switch, Symbols, Units};
pub use reason::{Decision, Explanation, Reason, Verdict};
pub use typed::{AnswerKind, TextRule, TextRules, compare_typed, compare_typed_any};
