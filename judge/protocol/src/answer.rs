//! Problems that are answered by words or formulas instead of a program.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::object;

/// A mathematical answer, compared by exact rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct MathProblem {
    /// Right answers, in LaTeX or plain text; one of them must be met.
    #[schema(examples(json!(["\\frac{1}{2}"])))]
    pub references: Vec<String>,
    /// What counts as the same.
    #[serde(default)]
    pub policy: MathPolicy,
    /// What was asked; a reward model sees it where no rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What follows where no rule decides; where left out, `judge` if the service has a judge,
    /// else `invalid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecided: Option<Undecided>,
    /// How the reward model is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeOptions>,
}

object!(MathProblem);

/// An answer of a named type, compared by the rules of that type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct AnswerProblem {
    /// What kind of answer it is.
    #[serde(rename = "type")]
    pub answer_type: AnswerType,
    /// Right answers; one of them must be met.
    pub references: Vec<String>,
    /// Of a multiple choice: what stands behind the letters A, B, C and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Of a text or an output: what is evened out before comparing; where left out, the defaults
    /// of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Vec<Normalization>>,
    /// Of a number: what counts as the same; and where the answer is looked for in a completion.
    #[serde(default)]
    pub policy: MathPolicy,
}

object!(AnswerProblem);

/// Types of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerType {
    /// Letters of a multiple choice.
    Choice,
    /// A word or a phrase.
    Text,
    /// A number, with or without a unit.
    Number,
    /// A date.
    Date,
    /// A JSON value: the order of keys and the spelling of numbers do not matter.
    Json,
    /// What a program printed.
    Output,
}

/// What is evened out before texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Full-width and typographic characters become their plain ones; invisible ones go.
    Unicode,
    /// Capitals become small letters.
    Case,
    /// Runs of white space become one space; none at the ends.
    Whitespace,
    /// White space at the ends of lines and empty lines at the end go.
    TrailingWhitespace,
    /// Punctuation goes.
    Punctuation,
    /// `a`, `an` and `the` go.
    Articles,
    /// Accents go from Latin letters.
    Diacritics,
}

/// A question that only a reward model can judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct FreeFormProblem {
    /// What was asked.
    pub question: String,
    /// Right answers; at least one, unless there is a rubric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// What a right answer must fulfil, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rubric: Option<String>,
    /// How the reward model is asked.
    #[serde(default)]
    pub judge: JudgeOptions,
}

object!(FreeFormProblem);

/// How a reward model is asked. What is left out has the default of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct JudgeOptions {
    /// Its name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How often it is asked at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<u32>,
    /// How votes make a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<VoteMode>,
}

object!(JudgeOptions);

/// How votes make a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VoteMode {
    /// Every vote must be for it: one against it ends the vote.
    All,
    /// More than half of the votes decide.
    Majority,
}

/// What follows where no rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// A reward model is asked.
    Judge,
    /// There is no reward: `valid` is false, with a failure of class `judge`.
    Invalid,
    /// The answer counts as wrong.
    Wrong,
}

/// What counts as the same answer. What is left out is as the preset says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct MathPolicy {
    /// `default`, `strict`, `math_verify`, `prm800k`, `qwen` or `verl_dapo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Decimals against exact values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numeric: Option<NumericRule>,
    /// Percent signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<PercentRule>,
    /// Units of measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<UnitRule>,
    /// Order of bare lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_order: Option<ListOrderRule>,
    /// Names of variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<SymbolRule>,
    /// `3:4` counts as `3/4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_as_fraction: Option<bool>,
    /// `101_2` may be answered by `101`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_may_be_dropped: Option<bool>,
    /// `101_2` may be answered by its value 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_by_value: Option<bool>,
    /// `90^\circ` may be answered by `90`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree_may_be_dropped: Option<bool>,
    /// `twelve` counts as 12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_words: Option<bool>,
    /// `2,5` in an answer may mean 2.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal_comma: Option<bool>,
    /// A letter A to J is a choice, whatever its case and brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice_letters: Option<bool>,
    /// `(1,2)` may be answered by `1,2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brackets_may_be_dropped: Option<bool>,
    /// A fraction must be in lowest terms when the reference is a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_terms: Option<bool>,
    /// Where the answer is looked for in a completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extraction: Option<ExtractionRule>,
}

object!(MathPolicy);

/// When a number counts as another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NumericRule {
    /// Only the same exact value.
    Exact,
    /// A correctly rounded value counts when it shows enough significant digits.
    Rounding {
        /// Digits that a rounded answer must show.
        answer_digits_min: u32,
        /// Digits of a decimal reference that an exact answer rounds to.
        reference_digits_min: u32,
    },
    /// Relative difference of at most 10^-digits.
    Relative {
        /// Digits of the tolerance.
        digits: u32,
    },
    /// Absolute difference of at most 10^-digits.
    Absolute {
        /// Digits of the tolerance.
        digits: u32,
    },
    /// The same after rounding to so many significant digits.
    SignificantDigits {
        /// Digits kept.
        digits: u32,
    },
}

/// How a percent sign relates to a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PercentRule {
    /// `50%` is 0.5 and nothing else.
    Value,
    /// And a reference with the sign accepts an answer that drops it.
    SignMayBeDropped,
    /// Any of x/100, x and 100x counts.
    AnyScale,
}

/// How units take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnitRule {
    /// A unit may be left out; units that are given must agree after conversion.
    OptionalConverted,
    /// The same without conversion.
    OptionalVerbatim,
    /// A unit of the reference must be given.
    Required,
    /// Units are dropped.
    Ignored,
}

/// Whether the order of a bare list matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListOrderRule {
    /// It does not.
    Any,
    /// It does.
    AsGiven,
}

/// Whether names of variables matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SymbolRule {
    /// They do.
    Exact,
    /// Variables are matched by their order of appearance.
    Renamed,
}

/// Where the answer is looked for in a completion, after its reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtractionRule {
    /// Box, then answer phrase, then last formula or number.
    Lenient,
    /// Box, then answer phrase.
    BoxOrPhrase,
    /// Only the last box.
    Box,
    /// Only the last line that begins with `Answer:`.
    AnswerLine,
}

/// How an answer was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnswerResult {
    /// The answer that was compared; null where the completion has none.
    pub answer: Option<String>,
    /// What the rules say.
    pub verdict: AnswerVerdict,
    /// The rule that decided, in snake case.
    #[schema(examples("exact_number"))]
    pub reason: String,
    /// How the reference was read.
    pub reference_reading: String,
    /// How the answer was read.
    pub answer_reading: String,
}

/// What rules say of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerVerdict {
    /// It means the same as a reference.
    Equal,
    /// It does not.
    Different,
    /// No rule decides.
    Undecided,
}
