//! Units of measurement: names, dimensions and exact factors to SI.

use dashu_int::IBig;
use dashu_ratio::RBig;

use crate::number::exact;

/// Number of independent dimensions.
const DIMENSIONS: usize = 9;

/// A product of powers of base units, with the factor to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Exponents of metre, kilogram, second, ampere, kelvin, mole, bit, degree
    /// Celsius and degree Fahrenheit.
    dimensions: [i8; DIMENSIONS],
    factor: RBig,
    /// How it was written, for explanations.
    name: String,
}

type Row = (&'static [&'static str], [i8; DIMENSIONS], i64, u64);

const LENGTH: [i8; DIMENSIONS] = [1, 0, 0, 0, 0, 0, 0, 0, 0];
const AREA: [i8; DIMENSIONS] = [2, 0, 0, 0, 0, 0, 0, 0, 0];
const VOLUME: [i8; DIMENSIONS] = [3, 0, 0, 0, 0, 0, 0, 0, 0];
const MASS: [i8; DIMENSIONS] = [0, 1, 0, 0, 0, 0, 0, 0, 0];
const TIME: [i8; DIMENSIONS] = [0, 0, 1, 0, 0, 0, 0, 0, 0];
const SPEED: [i8; DIMENSIONS] = [1, 0, -1, 0, 0, 0, 0, 0, 0];
const FORCE: [i8; DIMENSIONS] = [1, 1, -2, 0, 0, 0, 0, 0, 0];
const ENERGY: [i8; DIMENSIONS] = [2, 1, -2, 0, 0, 0, 0, 0, 0];
const POWER: [i8; DIMENSIONS] = [2, 1, -3, 0, 0, 0, 0, 0, 0];
const PRESSURE: [i8; DIMENSIONS] = [-1, 1, -2, 0, 0, 0, 0, 0, 0];
const CHARGE: [i8; DIMENSIONS] = [0, 0, 1, 1, 0, 0, 0, 0, 0];
const VOLTAGE: [i8; DIMENSIONS] = [2, 1, -3, -1, 0, 0, 0, 0, 0];
const RESISTANCE: [i8; DIMENSIONS] = [2, 1, -3, -2, 0, 0, 0, 0, 0];
const CAPACITANCE: [i8; DIMENSIONS] = [-2, -1, 4, 2, 0, 0, 0, 0, 0];
const FIELD: [i8; DIMENSIONS] = [0, 1, -2, -1, 0, 0, 0, 0, 0];
const FREQUENCY: [i8; DIMENSIONS] = [0, 0, -1, 0, 0, 0, 0, 0, 0];
const CURRENT: [i8; DIMENSIONS] = [0, 0, 0, 1, 0, 0, 0, 0, 0];
const KELVIN: [i8; DIMENSIONS] = [0, 0, 0, 0, 1, 0, 0, 0, 0];
const AMOUNT: [i8; DIMENSIONS] = [0, 0, 0, 0, 0, 1, 0, 0, 0];
const BITS: [i8; DIMENSIONS] = [0, 0, 0, 0, 0, 0, 1, 0, 0];
const CELSIUS: [i8; DIMENSIONS] = [0, 0, 0, 0, 0, 0, 0, 1, 0];
const FAHRENHEIT: [i8; DIMENSIONS] = [0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Names, dimension, numerator and denominator of the factor.
const TABLE: &[Row] = &[
    (&["m", "meter", "meters", "metre", "metres"], LENGTH, 1, 1),
    (&["km", "kilometer", "kilometers", "kilometre", "kilometres"], LENGTH, 1000, 1),
    (&["dm", "decimeter", "decimeters"], LENGTH, 1, 10),
    (&["cm", "centimeter", "centimeters", "centimetre", "centimetres", "cms"], LENGTH, 1, 100),
    (&["mm", "millimeter", "millimeters", "millimetre", "millimetres"], LENGTH, 1, 1000),
    (&["nm", "nanometer", "nanometers"], LENGTH, 1, 1_000_000_000),
    (&["in", "inch", "inches"], LENGTH, 254, 10_000),
    (&["ft", "foot", "feet"], LENGTH, 3048, 10_000),
    (&["yd", "yard", "yards"], LENGTH, 9144, 10_000),
    (&["mi", "mile", "miles"], LENGTH, 1_609_344, 1000),
    (&["hectare", "hectares"], AREA, 10_000, 1),
    (&["acre", "acres"], AREA, 40_468_564_224, 10_000_000),
    (&["L", "l", "liter", "liters", "litre", "litres"], VOLUME, 1, 1000),
    (&["mL", "ml", "milliliter", "milliliters", "millilitre", "cc"], VOLUME, 1, 1_000_000),
    (&["gallon", "gallons", "gal"], VOLUME, 3_785_411_784, 1_000_000_000_000),
    (&["g", "gram", "grams"], MASS, 1, 1000),
    (&["kg", "kilogram", "kilograms", "kgs"], MASS, 1, 1),
    (&["mg", "milligram", "milligrams"], MASS, 1, 1_000_000),
    (&["ton", "tons", "tonne", "tonnes"], MASS, 1000, 1),
    (&["lb", "lbs", "pound", "pounds"], MASS, 45_359_237, 100_000_000),
    (&["oz", "ounce", "ounces"], MASS, 45_359_237, 1_600_000_000),
    (&["s", "sec", "secs", "second", "seconds"], TIME, 1, 1),
    (&["ms", "millisecond", "milliseconds"], TIME, 1, 1000),
    (&["min", "mins", "minute", "minutes"], TIME, 60, 1),
    (&["h", "hr", "hrs", "hour", "hours"], TIME, 3600, 1),
    (&["day", "days"], TIME, 86_400, 1),
    (&["week", "weeks"], TIME, 604_800, 1),
    (&["mph"], SPEED, 44_704, 100_000),
    (&["kph", "kmh"], SPEED, 10, 36),
    (&["N", "newton", "newtons"], FORCE, 1, 1),
    (&["kN"], FORCE, 1000, 1),
    (&["J", "joule", "joules"], ENERGY, 1, 1),
    (&["kJ", "kilojoule", "kilojoules"], ENERGY, 1000, 1),
    (&["MJ"], ENERGY, 1_000_000, 1),
    (&["W", "watt", "watts"], POWER, 1, 1),
    (&["kW", "kilowatt", "kilowatts"], POWER, 1000, 1),
    (&["MW"], POWER, 1_000_000, 1),
    (&["kWh"], ENERGY, 3_600_000, 1),
    (&["Pa", "pascal", "pascals"], PRESSURE, 1, 1),
    (&["kPa"], PRESSURE, 1000, 1),
    (&["MPa"], PRESSURE, 1_000_000, 1),
    (&["atm"], PRESSURE, 101_325, 1),
    (&["coulomb", "coulombs"], CHARGE, 1, 1),
    (&["V", "volt", "volts"], VOLTAGE, 1, 1),
    (&["ohm", "ohms"], RESISTANCE, 1, 1),
    (&["F", "farad", "farads"], CAPACITANCE, 1, 1),
    (&["T", "tesla"], FIELD, 1, 1),
    (&["Hz", "hertz"], FREQUENCY, 1, 1),
    (&["kHz"], FREQUENCY, 1000, 1),
    (&["MHz"], FREQUENCY, 1_000_000, 1),
    (&["A", "amp", "amps", "ampere", "amperes"], CURRENT, 1, 1),
    (&["mA"], CURRENT, 1, 1000),
    (&["K", "kelvin"], KELVIN, 1, 1),
    (&["mol", "mole", "moles"], AMOUNT, 1, 1),
    (&["bit", "bits"], BITS, 1, 1),
    (&["byte", "bytes"], BITS, 8, 1),
    (&["KB", "kB"], BITS, 8_000, 1),
    (&["MB"], BITS, 8_000_000, 1),
    (&["GB"], BITS, 8_000_000_000, 1),
    (&["Celsius", "celsius"], CELSIUS, 1, 1),
    (&["Fahrenheit", "fahrenheit"], FAHRENHEIT, 1, 1),
];

impl Unit {
    /// The unit of a name, exact in case for symbols of one or two letters.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let lower = name.to_lowercase();
        let fits = |known: &&str| **known == *name || (known.len() > 3 && **known == lower);
        let row = TABLE.iter().find(|row| row.0.iter().any(&fits))?;
        Some(Self {
            dimensions: row.1,
            factor: exact::fraction(row.2, row.3),
            name: row.0.first().map_or_else(String::new, |name| (*name).to_owned()),
        })
    }

    /// Whether a name is only a unit, so that it is read as one without `\text`.
    pub(crate) fn is_plain(name: &str) -> bool {
        name.len() >= 2 && Self::named(name).is_some()
    }

    pub(crate) fn power(&self, exponent: i8) -> Option<Self> {
        let mut dimensions = [0; DIMENSIONS];
        for (target, source) in dimensions.iter_mut().zip(self.dimensions) {
            *target = source.checked_mul(exponent)?;
        }
        let factor = exact::power(&self.factor, &IBig::from(exponent))?;
        Some(Self { dimensions, factor, name: format!("{}^{exponent}", self.name) })
    }

    pub(crate) fn times(&self, other: &Self) -> Option<Self> {
        let mut dimensions = [0; DIMENSIONS];
        for (target, (left, right)) in
            dimensions.iter_mut().zip(self.dimensions.iter().zip(other.dimensions))
        {
            *target = left.checked_add(right)?;
        }
        let factor = exact::mul(&self.factor, &other.factor)?;
        Some(Self { dimensions, factor, name: format!("{} {}", self.name, other.name) })
    }

    pub(crate) fn same_dimension(&self, other: &Self) -> bool {
        self.dimensions == other.dimensions
    }

    pub(crate) fn same_scale(&self, other: &Self) -> bool {
        self.factor == other.factor
    }

    /// The factor that turns a number of `self` into a number of `other`.
    pub(crate) fn conversion(&self, other: &Self) -> Option<RBig> {
        exact::div(&self.factor, &other.factor)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_is_exact_and_needs_the_same_dimension() {
        let metre = Unit::named("m").unwrap();
        let centimetre = Unit::named("cm").unwrap();
        assert_eq!(metre.conversion(&centimetre), Some(exact::integer(100)));
        let area = centimetre.power(2).unwrap();
        assert!(!area.same_dimension(&centimetre));
        let second = Unit::named("s").unwrap().power(-1).unwrap();
        let speed = metre.times(&second).unwrap();
        let hourly = Unit::named("kmh").unwrap();
        assert_eq!(speed.conversion(&hourly), Some(exact::fraction(18, 5)));
    }

    #[test]
    fn case_matters_for_symbols_only() {
        assert!(Unit::named("Meters").is_some());
        assert!(Unit::named("Km").is_none());
        assert!(!Unit::is_plain("m"));
        assert!(Unit::is_plain("km"));
    }
}
