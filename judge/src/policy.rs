//! The policy of a comparison, from the wire to the rules. Pure.

use math::{Extraction, ListOrder, Numeric, Percent, Policy, Switch, Symbols, Units};
use protocol::{
    ExtractionRule, ListOrderRule, MathPolicy, NumericRule, PercentRule, SymbolRule, UnitRule,
};

/// Names of presets.
pub const PRESETS: [&str; 6] = ["default", "strict", "math_verify", "prm800k", "qwen", "verl_dapo"];

/// Digits that a tolerance or a rounding may have.
const DIGITS_MAX: u32 = 60;

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No preset has this name.
    #[error("policy preset {name:?} is not known")]
    Preset {
        /// What was asked for.
        name: String,
    },
    /// A number of digits outside its bounds.
    #[error("policy numeric: {value} digits, allowed is 1 to {DIGITS_MAX}")]
    Digits {
        /// What was asked for.
        value: u32,
    },
}

/// Reads a policy: the preset, with what is given in its place.
///
/// # Errors
/// The preset is not known, or digits are out of bounds.
pub fn read(wire: &MathPolicy) -> Result<Policy, PolicyError> {
    let name = wire.preset.as_deref().unwrap_or("default");
    let mut policy = Policy::preset(name)
        .ok_or_else(|| PolicyError::Preset { name: name.chars().take(64).collect() })?;
    if let Some(rule) = wire.numeric {
        policy.numeric = numeric(rule)?;
    }
    if let Some(rule) = wire.percent {
        policy.percent = match rule {
            PercentRule::Value => Percent::Value,
            PercentRule::SignMayBeDropped => Percent::SignMayBeDropped,
            PercentRule::AnyScale => Percent::AnyScale,
        };
    }
    if let Some(rule) = wire.units {
        policy.units = match rule {
            UnitRule::OptionalConverted => Units::OptionalConverted,
            UnitRule::OptionalVerbatim => Units::OptionalVerbatim,
            UnitRule::Required => Units::Required,
            UnitRule::Ignored => Units::Ignored,
        };
    }
    if let Some(rule) = wire.list_order {
        policy.list_order = match rule {
            ListOrderRule::Any => ListOrder::Any,
            ListOrderRule::AsGiven => ListOrder::AsGiven,
        };
    }
    if let Some(rule) = wire.symbols {
        policy.symbols = match rule {
            SymbolRule::Exact => Symbols::Exact,
            SymbolRule::Renamed => Symbols::Renamed,
        };
    }
    if let Some(rule) = wire.extraction {
        policy.extraction = extraction(rule);
    }
    switches(&mut policy, wire);
    Ok(policy)
}

/// Where an answer is looked for.
#[must_use]
pub fn extraction(rule: ExtractionRule) -> Extraction {
    match rule {
        ExtractionRule::Lenient => Extraction::Lenient,
        ExtractionRule::BoxOrPhrase => Extraction::BoxOrPhrase,
        ExtractionRule::Box => Extraction::Box,
        ExtractionRule::AnswerLine => Extraction::AnswerLine,
    }
}

fn switches(policy: &mut Policy, wire: &MathPolicy) {
    for (place, given) in [
        (&mut policy.ratio_as_fraction, wire.ratio_as_fraction),
        (&mut policy.base_may_be_dropped, wire.base_may_be_dropped),
        (&mut policy.base_by_value, wire.base_by_value),
        (&mut policy.degree_may_be_dropped, wire.degree_may_be_dropped),
        (&mut policy.number_words, wire.number_words),
        (&mut policy.decimal_comma, wire.decimal_comma),
        (&mut policy.choice_letters, wire.choice_letters),
        (&mut policy.brackets_may_be_dropped, wire.brackets_may_be_dropped),
        (&mut policy.lowest_terms, wire.lowest_terms),
    ] {
        if let Some(on) = given {
            *place = if on { Switch::On } else { Switch::Off };
        }
    }
}

fn numeric(rule: NumericRule) -> Result<Numeric, PolicyError> {
    let digits = |value: u32| {
        if (1..=DIGITS_MAX).contains(&value) {
            Ok(value)
        } else {
            Err(PolicyError::Digits { value })
        }
    };
    Ok(match rule {
        NumericRule::Exact => Numeric::Exact,
        NumericRule::Rounding { answer_digits_min, reference_digits_min } => Numeric::Rounding {
            answer_digits_min: digits(answer_digits_min)?,
            reference_digits_min: digits(reference_digits_min)?,
        },
        NumericRule::Relative { digits: value } => Numeric::Relative { digits: digits(value)? },
        NumericRule::Absolute { digits: value } => Numeric::Absolute { digits: digits(value)? },
        NumericRule::SignificantDigits { digits: value } => {
            Numeric::SignificantDigits(digits(value)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Policy, PolicyError> {
        read(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_empty_policy_is_the_default_and_every_preset_has_a_name() {
        assert_eq!(check("{}"), Ok(Policy::default()));
        for name in PRESETS {
            assert_eq!(check(&format!(r#"{{"preset":"{name}"}}"#)).ok(), Policy::preset(name));
        }
        assert!(matches!(check(r#"{"preset":"mine"}"#), Err(PolicyError::Preset { .. })));
    }

    #[test]
    fn what_is_given_takes_the_place_of_the_preset() {
        let policy = check(
            r#"{"preset":"qwen","numeric":{"absolute":{"digits":3}},"percent":"value",
            "units":"required","list_order":"any","symbols":"renamed","extraction":"box",
            "number_words":false}"#,
        )
        .unwrap();
        assert_eq!(policy.numeric, Numeric::Absolute { digits: 3 });
        assert_eq!((policy.percent, policy.units), (Percent::Value, Units::Required));
        assert_eq!((policy.list_order, policy.symbols), (ListOrder::Any, Symbols::Renamed));
        assert_eq!((policy.extraction, policy.number_words), (Extraction::Box, Switch::Off));
        assert_eq!(policy.choice_letters, Policy::qwen().choice_letters);
    }

    #[test]
    fn digits_are_bounded_on_both_sides() {
        let relative =
            |digits| check(&format!(r#"{{"numeric":{{"relative":{{"digits":{digits}}}}}}}"#));
        assert!(relative(0).is_err());
        assert!(relative(1).is_ok() && relative(DIGITS_MAX).is_ok());
        assert!(relative(DIGITS_MAX + 1).is_err());
        assert_eq!(check(r#"{"numeric":"exact"}"#).unwrap().numeric, Numeric::Exact);
    }
}
