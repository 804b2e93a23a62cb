//! What an expression contains: decides which test of equality is a proof.

use super::Name;
use super::{Function, Id, Node, Pool};
use crate::number::exact;
use dashu_ratio::RBig;

/// Features of one or several expressions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traits {
    /// Free variables, in order of first use.
    pub(crate) variables: Vec<Name>,
    /// Variables that only make sense as whole numbers here.
    pub(crate) whole: Vec<Name>,
    pub(crate) has_pi: bool,
    pub(crate) has_euler: bool,
    pub(crate) has_imaginary: bool,
    pub(crate) has_infinity: bool,
    pub(crate) has_undefined: bool,
    pub(crate) has_call: bool,
    pub(crate) has_plus_minus: bool,
    /// Only rational functions of variables, calls and square roots of integers.
    pub(crate) is_algebraic: bool,
    /// A polynomial in its variables.
    pub(crate) is_polynomial: bool,
    /// Has corners or jumps, so that points on one side prove nothing for the other.
    pub(crate) has_branches: bool,
    /// Rational constants of moderate size, where corners may lie.
    pub(crate) constants: Vec<RBig>,
    /// Bits of all rational constants.
    pub(crate) constant_bits: usize,
}

impl Traits {
    /// Whether unequal images modulo a prime prove unequal expressions.
    pub(crate) fn is_independent(&self) -> bool {
        self.is_algebraic && !(self.has_pi && self.has_euler)
    }
}

impl Pool {
    pub(crate) fn traits(&self, roots: &[Id]) -> Traits {
        let mut traits = Traits { is_algebraic: true, is_polynomial: true, ..Traits::default() };
        for id in self.reachable(roots) {
            self.note(id, &mut traits);
        }
        traits
    }

    fn note(&self, id: Id, traits: &mut Traits) {
        match self.node(id) {
            Node::Rational(value) => {
                let bits = exact::size_bits(value);
                traits.constant_bits += bits;
                if bits <= 40 && !value.is_zero() && *value != -RBig::ONE {
                    traits.constants.push(value.clone());
                }
            }
            Node::Pi => traits.has_pi = true,
            Node::Euler => traits.has_euler = true,
            Node::Imaginary => traits.has_imaginary = true,
            Node::Infinity => traits.has_infinity = true,
            Node::PlusMinus => traits.has_plus_minus = true,
            Node::Undefined => traits.has_undefined = true,
            Node::Variable(name) => traits.variables.push(*name),
            Node::Sum(..) | Node::Product(..) => {}
            Node::Quotient(_, divisor) => {
                if !self.is_constant(*divisor) {
                    traits.is_polynomial = false;
                }
            }
            Node::Power(base, exponent) => self.note_power(*base, *exponent, traits),
            Node::Apply(function, argument) => {
                traits.is_algebraic = false;
                if !self.is_constant(id) {
                    traits.is_polynomial = false;
                }
                traits.has_branches |= !self.is_constant(id)
                    && matches!(
                        function,
                        Function::Abs | Function::Floor | Function::Ceiling | Function::Sign
                    );
                if matches!(function, Function::Factorial | Function::DoubleFactorial) {
                    self.note_whole(*argument, traits);
                }
            }
            Node::Binomial(top, bottom) => {
                traits.is_algebraic = false;
                traits.is_polynomial = false;
                self.note_whole(*top, traits);
                self.note_whole(*bottom, traits);
            }
            Node::Maximum(..) => {
                traits.has_branches = true;
                traits.is_algebraic = false;
                traits.is_polynomial = false;
            }
            Node::Call(name, _) => {
                traits.has_call = true;
                traits.is_polynomial = false;
                // A sum that is not written out may still be an expression of its bounds.
                if matches!(self.name(*name), "sum" | "prod" | "int" | "iint" | "oint" | "lim") {
                    traits.is_algebraic = false;
                }
            }
        }
    }

    fn note_power(&self, base: Id, exponent: Id, traits: &mut Traits) {
        let Some(power) = self.as_rational(exponent) else {
            traits.is_algebraic = false;
            traits.is_polynomial = false;
            let alternating = self.as_rational(base).is_some_and(exact::is_negative)
                || *self.node(base) == Node::Imaginary;
            if alternating {
                self.note_whole(exponent, traits);
            }
            return;
        };
        if power.denominator().is_one() {
            if exact::is_negative(power) && !self.is_constant(base) {
                traits.is_polynomial = false;
            }
            return;
        }
        if !self.is_constant(base) {
            traits.is_polynomial = false;
            traits.has_branches |= self.as_variable(base).is_none();
        }
        let square_root = power.denominator() == &dashu_int::UBig::from(2u8);
        let simple = self.as_rational(base).is_some_and(|value| {
            let small = exact::size_bits(value) <= 64;
            small && !exact::is_negative(value) && {
                let top = exact::factor(&value.numerator().clone().into_parts().1).1;
                let bottom = exact::factor(value.denominator()).1;
                top.is_one() && bottom.is_one()
            }
        });
        if !(square_root && simple) {
            traits.is_algebraic = false;
        }
    }

    fn note_whole(&self, id: Id, traits: &mut Traits) {
        for inner in self.reachable(&[id]) {
            if let Some(name) = self.as_variable(inner)
                && !traits.whole.contains(&name)
            {
                traits.whole.push(name);
            }
        }
    }

    /// Whether an expression has no variable and no unknown function.
    pub(crate) fn is_constant(&self, id: Id) -> bool {
        if self.as_rational(id).is_some() {
            return true;
        }
        self.reachable(&[id])
            .into_iter()
            .all(|inner| !matches!(self.node(inner), Node::Variable(_) | Node::Call(..)))
    }
}
