//! What counts as the same answer, where mathematics alone does not say. Every
//! choice is explicit; presets reproduce the habits of graders in wide use.

/// When a number counts as another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numeric {
    /// Only the same exact value.
    Exact,
    /// A correctly rounded value counts when it shows enough significant digits.
    Rounding {
        /// Significant digits that a rounded answer must show.
        answer_digits_min: u32,
        /// Significant digits of a decimal reference that an exact answer rounds to.
        reference_digits_min: u32,
    },
    /// Relative difference of at most 10^-digits.
    Relative {
        /// Decimal digits of the tolerance.
        digits: u32,
    },
    /// Absolute difference of at most 10^-digits.
    Absolute {
        /// Decimal digits of the tolerance.
        digits: u32,
    },
    /// Same value after rounding to so many significant digits.
    SignificantDigits(u32),
}

/// How a percent sign relates to a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Percent {
    /// `50%` is 0.5 and nothing else.
    Value,
    /// As `Value`; and a reference with the sign accepts an answer that drops it.
    SignMayBeDropped,
    /// Any of x/100, x and 100x counts.
    AnyScale,
}

/// How units take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// A unit of the reference may be left out; units that are given must agree,
    /// after conversion.
    OptionalConverted,
    /// As above without conversion: 5 cm is not 0.05 m.
    OptionalVerbatim,
    /// A unit of the reference must be given.
    Required,
    /// Units are dropped on both sides.
    Ignored,
}

/// Whether the order of a bare list matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    /// `1,2` is `2,1`.
    Any,
    /// `1,2` is not `2,1`.
    AsGiven,
}

/// Whether names of variables matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbols {
    /// `n+1` is not `m+1`.
    Exact,
    /// Variables are matched by their order of appearance.
    Renamed,
}

/// A rule that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// The rule holds.
    On,
    /// The rule does not hold.
    Off,
}

/// All choices of one comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Decimals against exact values.
    pub numeric: Numeric,
    /// Percent signs.
    pub percent: Percent,
    /// Units of measurement.
    pub units: Units,
    /// Bare lists.
    pub list_order: ListOrder,
    /// Names of variables.
    pub symbols: Symbols,
    /// `3:4` counts as `3/4`.
    pub ratio_as_fraction: Switch,
    /// `101_2` may be answered by `101`.
    pub base_may_be_dropped: Switch,
    /// `101_2` may be answered by its value 5.
    pub base_by_value: Switch,
    /// `90^\circ` may be answered by `90`.
    pub degree_may_be_dropped: Switch,
    /// Number words such as `twelve` count as numbers.
    pub number_words: Switch,
    /// `2,5` in an answer may mean 2.5.
    pub decimal_comma: Switch,
    /// A single letter A to J is a choice, whatever its case and brackets.
    pub choice_letters: Switch,
    /// `(1,2)` may be answered by `1,2`.
    pub brackets_may_be_dropped: Switch,
    /// A fraction must be in lowest terms when the reference is a fraction.
    pub lowest_terms: Switch,
    /// Where the answer is looked for in a completion.
    pub extraction: Extraction,
}

/// Where the answer is looked for, in the order of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extraction {
    /// Box, then answer phrase, then last formula or number.
    Lenient,
    /// Box, then answer phrase.
    BoxOrPhrase,
    /// Only the last box.
    Box,
    /// Only the last line that begins with `Answer:`.
    AnswerLine,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            numeric: Numeric::Rounding { answer_digits_min: 4, reference_digits_min: 3 },
            percent: Percent::SignMayBeDropped,
            units: Units::OptionalConverted,
            list_order: ListOrder::Any,
            symbols: Symbols::Exact,
            ratio_as_fraction: Switch::On,
            base_may_be_dropped: Switch::On,
            base_by_value: Switch::Off,
            degree_may_be_dropped: Switch::On,
            number_words: Switch::On,
            decimal_comma: Switch::On,
            choice_letters: Switch::On,
            brackets_may_be_dropped: Switch::On,
            lowest_terms: Switch::Off,
            extraction: Extraction::BoxOrPhrase,
        }
    }
}

impl Policy {
    /// The preset of a name: `default`, `strict`, `math_verify`, `prm800k`, `qwen`
    /// or `verl_dapo`.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "strict" => Some(Self::strict()),
            "math_verify" => Some(Self::math_verify()),
            "prm800k" => Some(Self::prm800k()),
            "qwen" => Some(Self::qwen()),
            "verl_dapo" => Some(Self::verl_dapo()),
            _ => None,
        }
    }

    /// Nothing is left out and nothing is rounded.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            numeric: Numeric::Exact,
            percent: Percent::Value,
            units: Units::Required,
            ratio_as_fraction: Switch::Off,
            base_may_be_dropped: Switch::Off,
            degree_may_be_dropped: Switch::Off,
            number_words: Switch::Off,
            decimal_comma: Switch::Off,
            brackets_may_be_dropped: Switch::Off,
            extraction: Extraction::Box,
            ..Self::default()
        }
    }

    /// Six decimals absolute, units dropped, any formula of the text is looked at.
    #[must_use]
    pub fn math_verify() -> Self {
        Self {
            numeric: Numeric::Absolute { digits: 6 },
            percent: Percent::Value,
            units: Units::Ignored,
            base_by_value: Switch::Off,
            decimal_comma: Switch::On,
            extraction: Extraction::Lenient,
            ..Self::default()
        }
    }

    /// Exact values, fractions in lowest terms, units dropped, last box only.
    #[must_use]
    pub fn prm800k() -> Self {
        Self {
            numeric: Numeric::Exact,
            percent: Percent::Value,
            units: Units::Ignored,
            list_order: ListOrder::AsGiven,
            lowest_terms: Switch::On,
            decimal_comma: Switch::Off,
            extraction: Extraction::Box,
            ..Self::default()
        }
    }

    /// Relative tolerance of 10^-4, percent at any scale, brackets loose.
    #[must_use]
    pub fn qwen() -> Self {
        Self {
            numeric: Numeric::Relative { digits: 4 },
            percent: Percent::AnyScale,
            units: Units::Ignored,
            list_order: ListOrder::AsGiven,
            extraction: Extraction::Lenient,
            ..Self::default()
        }
    }

    /// Exact values on the last `Answer:` line.
    #[must_use]
    pub fn verl_dapo() -> Self {
        Self {
            numeric: Numeric::Exact,
            percent: Percent::SignMayBeDropped,
            units: Units::Ignored,
            list_order: ListOrder::AsGiven,
            decimal_comma: Switch::Off,
            number_words: Switch::Off,
            extraction: Extraction::AnswerLine,
            ..Self::default()
        }
    }
}

impl Switch {
    pub(crate) const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}
