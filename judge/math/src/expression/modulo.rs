//! Images of expressions in a finite field. Variables and every function that is
//! not rational get pseudo-random images that depend only on the images of their
//! arguments: equal images at several points prove equality up to a chance below
//! 2^-100, because each rule used here holds for the real expressions as well.

use dashu_int::IBig;
use dashu_ratio::RBig;

use super::{Function, Id, Node, Pool};
use crate::fuel::{Exhausted, Fuel};
use crate::number::exact;
use crate::number::modular::{Element, Field, mix};

/// The point of one evaluation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) field: Field,
    pub(crate) seed: u64,
}

impl Point {
    fn free(self, tag: u64, parts: &[Element]) -> Element {
        let mut seed = mix(self.seed ^ mix(tag));
        for part in parts {
            seed = mix(seed ^ part.real).wrapping_add(mix(part.imaginary ^ 0x5bd1_e995));
        }
        Element::from_real(self.field.scatter(seed))
    }
}

impl Pool {
    /// Images of the roots; `None` for one whose image does not exist at this point.
    pub(crate) fn images(
        &self,
        roots: &[Id],
        point: Point,
        fuel: &mut Fuel,
    ) -> Result<Vec<Option<Element>>, Exhausted> {
        let order = self.reachable(roots);
        fuel.spend(order.len() as u64)?;
        let top = roots.iter().map(|root| root.index() + 1).max().unwrap_or(0);
        let mut values: Vec<Option<Element>> = vec![None; top];
        for id in order {
            values[id.index()] = self.image(id, &values, point, fuel)?;
        }
        Ok(roots.iter().map(|root| values[root.index()]).collect())
    }

    fn image(
        &self,
        id: Id,
        values: &[Option<Element>],
        point: Point,
        fuel: &mut Fuel,
    ) -> Result<Option<Element>, Exhausted> {
        let at = |child: &Id| values[child.index()];
        let field = point.field;
        Ok(match self.node(id) {
            Node::Rational(value) => {
                fuel.spend(1 + exact::size_bits(value) as u64 / 512)?;
                field.rational(value)
            }
            Node::Pi => Some(point.free(1, &[])),
            Node::Euler => Some(point.free(2, &[])),
            Node::Imaginary => Some(Element::I),
            Node::Infinity | Node::Undefined | Node::PlusMinus => None,
            Node::Variable(name) => Some(point.free(mix(u64::from(name.0)).wrapping_add(100), &[])),
            Node::Sum(left, right) => at(left).zip(at(right)).map(|(a, b)| field.add(a, b)),
            Node::Product(left, right) => at(left).zip(at(right)).map(|(a, b)| field.mul(a, b)),
            Node::Quotient(left, right) => {
                fuel.spend(20)?;
                at(left).zip(at(right)).and_then(|(a, b)| Some(field.mul(a, field.inverse(b)?)))
            }
            Node::Power(base, exponent) => {
                fuel.spend(40)?;
                self.power_image((*base, *exponent), values, point)
            }
            Node::Apply(Function::Ln, argument) => self.log_image(*argument, values, point),
            Node::Apply(function, argument) => {
                at(argument).map(|value| point.free(10 + *function as u64, &[value]))
            }
            Node::Binomial(left, right) => {
                at(left).zip(at(right)).map(|(a, b)| point.free(3, &[a, b]))
            }
            Node::Maximum(left, right) => {
                at(left).zip(at(right)).map(|(a, b)| point.free(4, &[a, b]))
            }
            Node::Call(name, arguments) => {
                let images: Option<Vec<Element>> = arguments.iter().map(at).collect();
                images.map(|images| point.free(mix(u64::from(name.0)) ^ 0xca11, &images))
            }
        })
    }

    fn power_image(
        &self,
        (base, exponent): (Id, Id),
        values: &[Option<Element>],
        point: Point,
    ) -> Option<Element> {
        let field = point.field;
        let base_image = values[base.index()]?;
        let Some(power) = self.as_rational(exponent) else {
            return Some(point.free(5, &[base_image, values[exponent.index()]?]));
        };
        if power.denominator().is_one() {
            return field.power(base_image, power.numerator());
        }
        let degree = u32::try_from(power.denominator()).ok()?;
        let root = if degree % 2 == 1 {
            field.odd_root(base_image, degree)
        } else if let Some(value) = self.as_rational(base).filter(|value| is_positive(value)) {
            even_root(field, value, degree)
        } else {
            None
        };
        match root {
            Some(root) => field.power(root, power.numerator()),
            None => {
                let free = point.free(mix(u64::from(degree)) ^ 6, &[base_image]);
                field.power(free, power.numerator())
            }
        }
    }

    /// Logarithms of rationals add up over the factors.
    fn log_image(&self, argument: Id, values: &[Option<Element>], point: Point) -> Option<Element> {
        let field = point.field;
        let Some(value) = self.as_rational(argument).filter(|value| is_positive(value)) else {
            return Some(point.free(7, &[values[argument.index()]?]));
        };
        let part = |number: &dashu_int::UBig| {
            let (primes, rest) = exact::factor(number);
            let rest_image = field.integer(&IBig::from(rest.clone()));
            let mut sum = if rest.is_one() { Element::ZERO } else { point.free(8, &[rest_image]) };
            for (prime, count) in primes {
                let log = point.free(8, &[Element::from_real(prime)]);
                sum = field.add(sum, field.mul(log, Element::from_real(u64::from(count))));
            }
            sum
        };
        let top = part(&value.numerator().clone().into_parts().1);
        Some(field.sub(top, part(value.denominator())))
    }
}

fn is_positive(value: &RBig) -> bool {
    !value.is_zero() && !exact::is_negative(value)
}

/// Roots of degree 2 times an odd number.
fn even_root(field: Field, value: &RBig, degree: u32) -> Option<Element> {
    let odd = degree / 2;
    if odd.is_multiple_of(2) {
        return None;
    }
    let root = field.square_root(value)?;
    if odd == 1 { Some(root) } else { field.odd_root(root, odd) }
}
