//! What a comparison says: a verdict of three values, a reason that a program
//! can read, and an explanation of how both texts were read.

use std::fmt;

/// Whether two answers mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The answers mean the same under the policy.
    Equal,
    /// The answers do not mean the same under the policy.
    Different,
    /// No rule decides; never used as a guess in either direction.
    Undecided,
}

impl Verdict {
    /// The lower-case word that stands for the verdict outside this crate.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The rule that gave the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The texts are the same after repair.
    SameText,
    /// Exact numbers, compared as fractions.
    ExactNumber,
    /// One side is the other, correctly rounded under the numeric policy.
    Rounded,
    /// Within the tolerance of the numeric policy.
    Tolerance,
    /// Same normal form of the expressions.
    SameForm,
    /// Identity (or its failure) over rational functions, tested modulo primes.
    ModularIdentity,
    /// Rigorous numeric enclosures: disjoint, or the same to the required bits.
    Enclosure,
    /// Percent sign against a plain number.
    Percent,
    /// Degrees against degrees, radians or a plain number.
    Angle,
    /// Units of measurement.
    Unit,
    /// Labels such as `red` and `blue` of counted things.
    Label,
    /// Digits written in a base.
    Base,
    /// A ratio `a:b`.
    Ratio,
    /// A time of day or a date.
    Calendar,
    /// Entries in order: tuples, vectors.
    Entries,
    /// Entries in any order, multiplicity kept.
    Multiset,
    /// Members of a set.
    Members,
    /// Rows and columns of a matrix.
    Matrix,
    /// Subsets of the real line.
    Region,
    /// Equations up to a constant factor.
    Equation,
    /// Inequalities as solution sets.
    Inequality,
    /// An assignment against the assigned value.
    Assignment,
    /// Families over an integer parameter.
    Family,
    /// Words, after normalisation.
    Text,
    /// Letters of a multiple choice.
    Choice,
    /// JSON documents.
    Json,
    /// The kinds of the two answers cannot mean the same.
    Kind,
    /// The answer hedges between several values.
    Hedged,
    /// The answer is empty or only punctuation.
    Empty,
    /// The answer has no defined value.
    Undefined,
    /// The text could not be read as mathematics.
    Unreadable,
    /// Notation that is read but not decided here.
    Unsupported,
    /// The budget of work was spent.
    FuelExhausted,
    /// The text is longer than the limit.
    TooLong,
    /// No answer was found in the completion.
    NotFound,
}

impl Reason {
    /// A stable word in snake case for logs and wires.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameText => "same_text",
            Self::ExactNumber => "exact_number",
            Self::Rounded => "rounded",
            Self::Tolerance => "tolerance",
            Self::SameForm => "same_form",
            Self::ModularIdentity => "modular_identity",
            Self::Enclosure => "enclosure",
            Self::Percent => "percent",
            Self::Angle => "angle",
            Self::Unit => "unit",
            Self::Label => "label",
            Self::Base => "base",
            Self::Ratio => "ratio",
            Self::Calendar => "calendar",
            Self::Entries => "entries",
            Self::Multiset => "multiset",
            Self::Members => "members",
            Self::Matrix => "matrix",
            Self::Region => "region",
            Self::Equation => "equation",
            Self::Inequality => "inequality",
            Self::Assignment => "assignment",
            Self::Family => "family",
            Self::Text => "text",
            Self::Choice => "choice",
            Self::Json => "json",
            Self::Kind => "kind",
            Self::Hedged => "hedged",
            Self::Empty => "empty",
            Self::Undefined => "undefined",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::FuelExhausted => "fuel_exhausted",
            Self::TooLong => "too_long",
            Self::NotFound => "not_found",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A verdict with the rule behind it, before the explanation is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
}

impl Finding {
    pub(crate) const fn equal(reason: Reason) -> Self {
        Self { verdict: Verdict::Equal, reason }
    }

    pub(crate) const fn different(reason: Reason) -> Self {
        Self { verdict: Verdict::Different, reason }
    }

    pub(crate) const fn undecided(reason: Reason) -> Self {
        Self { verdict: Verdict::Undecided, reason }
    }

    pub(crate) const fn when(holds: Holds, reason: Reason) -> Self {
        match holds {
            Holds::Yes => Self::equal(reason),
            Holds::No => Self::different(reason),
            Holds::Unknown => Self::undecided(reason),
        }
    }

    pub(crate) fn is_equal(self) -> bool {
        self.verdict == Verdict::Equal
    }
}

/// A truth value that may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    Unknown,
}

impl Holds {
    pub(crate) const fn from_bool(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

/// How both texts were read and which rule decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The reading of the reference.
    pub reference: String,
    /// The reading of the answer.
    pub answer: String,
    /// One sentence on the rule.
    pub rule: String,
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Equal, different or undecided.
    pub verdict: Verdict,
    /// The rule that decided.
    pub reason: Reason,
    /// How both texts were read.
    pub explanation: Explanation,
    /// Units of work that were spent.
    pub fuel_spent: u64,
}
