//! Inequalities and equations in one variable: linear, quadratic, and linear in one
//! absolute value. Each polynomial is verified as an identity before it is used.

use std::cmp::Ordering;

use super::Comparison;
use super::region::{ALL, End, Found, Piece, Region};
use crate::expression::{Function, Id, Name, Node};
use crate::value::Relation;

impl Comparison<'_> {
    /// The solutions of `left relation right` in its only variable.
    pub(super) fn solve(&mut self, left: Id, relation: Relation, right: Id) -> Found<Region> {
        let solvable =
            relation.is_order() || matches!(relation, Relation::Equal | Relation::NotEqual);
        let difference = self.bench.pool.difference(left, right)?;
        let traits = self.bench.pool.traits(&[difference]);
        let [variable] = traits.variables[..] else {
            return Ok(None);
        };
        if !solvable || traits.has_infinity || traits.has_undefined || traits.has_plus_minus {
            return Ok(None);
        }
        let pieces = self.solve_zero(difference, relation, variable)?;
        match pieces {
            Some(pieces) => self.normalized(pieces, Some(variable)).map(Some),
            None => Ok(None),
        }
    }

    fn solve_zero(&mut self, f: Id, relation: Relation, variable: Name) -> Found<Vec<Piece>> {
        let x = self.bench.pool.insert(Node::Variable(variable))?;
        if let Some((inner, outer)) = self.single_absolute(f)? {
            return self.solve_absolute(inner, outer, relation, variable);
        }
        let Some(coefficients) = self.quadratic(f, x)? else {
            return Ok(None);
        };
        let zero = self.bench.pool.integer(0)?;
        let [c0, c1, c2] = coefficients;
        if self.bench.pool.as_rational(c2).is_some_and(dashu_ratio::RBig::is_zero) {
            let Some(sign) = self.bench.order(c1, zero)? else {
                return Ok(None);
            };
            if sign == Ordering::Equal {
                return Ok(None);
            }
            let minus = self.bench.pool.negate(c0)?;
            let root = self.bench.pool.quotient(minus, c1)?;
            let relation = if sign == Ordering::Less { relation.flipped() } else { relation };
            return Ok(Some(half_lines(End::At(root), relation)));
        }
        let Some(sign) = self.bench.order(c2, zero)? else {
            return Ok(None);
        };
        let relation = if sign == Ordering::Less { relation.flipped() } else { relation };
        self.solve_parabola([c0, c1, c2], relation, sign)
    }

    fn solve_parabola(
        &mut self,
        [c0, c1, c2]: [Id; 3],
        relation: Relation,
        sign: Ordering,
    ) -> Found<Vec<Piece>> {
        let pool = &mut self.bench.pool;
        let zero = pool.integer(0)?;
        let four = pool.integer(-4)?;
        let square = pool.product(c1, c1)?;
        let product = pool.product(c0, c2)?;
        let product = pool.product(four, product)?;
        let discriminant = pool.sum(square, product)?;
        let root = pool.square_root(discriminant)?;
        let two = pool.integer(2)?;
        let bottom = pool.product(two, c2)?;
        let minus = pool.negate(c1)?;
        let upper = pool.sum(minus, root)?;
        let lower = pool.difference(minus, root)?;
        let (upper, lower) = (pool.quotient(upper, bottom)?, pool.quotient(lower, bottom)?);
        let (low, high) = if sign == Ordering::Less { (upper, lower) } else { (lower, upper) };
        let Some(real) = self.bench.order(discriminant, zero)? else {
            return Ok(None);
        };
        if real == Ordering::Less {
            let everywhere = matches!(
                relation,
                Relation::Greater | Relation::GreaterOrEqual | Relation::NotEqual
            );
            return Ok(Some(if everywhere { vec![ALL] } else { Vec::new() }));
        }
        let (low, high) = (End::At(low), End::At(high));
        Ok(Some(outside_or_inside(low, high, relation)))
    }

    /// Coefficients of a polynomial of degree at most two, verified as an identity.
    fn quadratic(&mut self, f: Id, x: Id) -> Found<[Id; 3]> {
        let pool = &mut self.bench.pool;
        let mut values = Vec::new();
        for at in [0, 1, -1] {
            let at = pool.integer(at)?;
            values.push(pool.substitute(f, &[(x, at)])?);
        }
        let [c0, plus, minus] = values[..] else {
            return Ok(None);
        };
        let half = pool.rational(crate::number::exact::fraction(1, 2))?;
        let sum = pool.sum(plus, minus)?;
        let sum = pool.product(half, sum)?;
        let c2 = pool.difference(sum, c0)?;
        let difference = pool.difference(plus, minus)?;
        let c1 = pool.product(half, difference)?;
        let inner = pool.product(c2, x)?;
        let inner = pool.sum(inner, c1)?;
        let inner = pool.product(inner, x)?;
        let rebuilt = pool.sum(inner, c0)?;
        let holds = self.bench.same(f, rebuilt)?.is_equal();
        if !holds {
            return Ok(None);
        }
        let zero = self.bench.pool.integer(0)?;
        let c2 = if self.bench.same(c2, zero)?.is_equal() { zero } else { c2 };
        Ok(Some([c0, c1, c2]))
    }

    /// `f` as a function of its only absolute value: its inside and `f` of a new name.
    fn single_absolute(&mut self, f: Id) -> Found<(Id, Id)> {
        let mut found = None;
        for id in self.bench.pool.reachable(&[f]) {
            if let Node::Apply(Function::Abs, inner) = *self.bench.pool.node(id) {
                if found.is_some() {
                    return Ok(None);
                }
                found = Some((id, inner));
            }
        }
        let Some((id, inner)) = found else {
            return Ok(None);
        };
        let name = self.bench.pool.variable("absolute value")?;
        let outer = self.bench.pool.substitute(f, &[(id, name)])?;
        Ok(Some((inner, outer)))
    }

    fn solve_absolute(
        &mut self,
        inner: Id,
        outer: Id,
        relation: Relation,
        variable: Name,
    ) -> Found<Vec<Piece>> {
        let traits = self.bench.pool.traits(&[outer]);
        let [size] = traits.variables[..] else {
            return Ok(None);
        };
        let size = self.bench.pool.insert(Node::Variable(size))?;
        let Some([c0, c1, c2]) = self.quadratic(outer, size)? else {
            return Ok(None);
        };
        let zero = self.bench.pool.integer(0)?;
        if c2 != zero {
            return Ok(None);
        }
        let Some(sign) = self.bench.order(c1, zero)? else {
            return Ok(None);
        };
        if sign == Ordering::Equal {
            return Ok(None);
        }
        let relation = if sign == Ordering::Less { relation.flipped() } else { relation };
        let minus = self.bench.pool.negate(c0)?;
        let bound = self.bench.pool.quotient(minus, c1)?;
        let Some(Ordering::Greater) = self.bench.order(bound, zero)? else {
            return Ok(None);
        };
        let x = self.bench.pool.insert(Node::Variable(variable))?;
        let Some([d0, d1, d2]) = self.quadratic(inner, x)? else {
            return Ok(None);
        };
        if d2 != zero || self.bench.order(d1, zero)? == Some(Ordering::Equal) {
            return Ok(None);
        }
        let mut ends = Vec::new();
        for side in [-1, 1] {
            let pool = &mut self.bench.pool;
            let side = pool.integer(side)?;
            let target = pool.product(side, bound)?;
            let target = pool.difference(target, d0)?;
            ends.push(pool.quotient(target, d1)?);
        }
        let [a, b] = ends[..] else { return Ok(None) };
        let (low, high) = match self.bench.order(a, b)? {
            Some(Ordering::Less) => (a, b),
            Some(Ordering::Greater) => (b, a),
            _ => return Ok(None),
        };
        Ok(Some(outside_or_inside(End::At(low), End::At(high), relation)))
    }
}

/// Where `x - end` has the sign that the relation asks for.
fn half_lines(end: End, relation: Relation) -> Vec<Piece> {
    let below =
        |closed| Piece { low: End::Below, low_closed: false, high: end, high_closed: closed };
    let above =
        |closed| Piece { low: end, low_closed: closed, high: End::Above, high_closed: false };
    match relation {
        Relation::Less => vec![below(false)],
        Relation::LessOrEqual => vec![below(true)],
        Relation::Greater => vec![above(false)],
        Relation::GreaterOrEqual => vec![above(true)],
        Relation::NotEqual => vec![below(false), above(false)],
        Relation::Equal | Relation::In | Relation::NotIn | Relation::Subset | Relation::Other => {
            vec![Piece { low: end, low_closed: true, high: end, high_closed: true }]
        }
    }
}

/// Where a parabola that opens upwards has the sign that the relation asks for.
fn outside_or_inside(low: End, high: End, relation: Relation) -> Vec<Piece> {
    let inside = |closed| vec![Piece { low, low_closed: closed, high, high_closed: closed }];
    let outside = |closed| {
        let mut pieces =
            half_lines(low, if closed { Relation::LessOrEqual } else { Relation::Less });
        pieces.extend(half_lines(
            high,
            if closed { Relation::GreaterOrEqual } else { Relation::Greater },
        ));
        pieces
    };
    let point = |end| Piece { low: end, low_closed: true, high: end, high_closed: true };
    match relation {
        Relation::Less => inside(false),
        Relation::LessOrEqual => inside(true),
        Relation::Greater => outside(false),
        Relation::GreaterOrEqual => outside(true),
        Relation::NotEqual => vec![
            Piece { low: End::Below, low_closed: false, high: low, high_closed: false },
            Piece { low, low_closed: false, high, high_closed: false },
            Piece { low: high, low_closed: false, high: End::Above, high_closed: false },
        ],
        Relation::Equal | Relation::In | Relation::NotIn | Relation::Subset | Relation::Other => {
            vec![point(low), point(high)]
        }
    }
}
