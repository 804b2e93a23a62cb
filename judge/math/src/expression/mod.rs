//! Expressions as a pool of shared nodes. Children always have smaller ids than
//! their parents, so every pass over an expression is a loop, never a recursion.
//! Building folds exact rationals and a few unconditional identities; equal ids
//! mean equal expressions.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rewrite names the few nodes that it applies to"
)]

pub(crate) mod build;
pub(crate) mod enclose;
pub(crate) mod modulo;
pub(crate) mod power;
pub(crate) mod show;
pub(crate) mod traits;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use dashu_ratio::RBig;

use crate::fuel::Exhausted;
use crate::limits;

/// A node of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u32);

impl Id {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A name of the pool: a variable or an unknown function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(u32);

/// Functions of one argument that stay as nodes; others are rewritten by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    Sin,
    Cos,
    ArcSin,
    ArcTan,
    Ln,
    Abs,
    Floor,
    Ceiling,
    Sign,
    Factorial,
    DoubleFactorial,
    RealPart,
    ImaginaryPart,
    Conjugate,
    Argument,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Rational(RBig),
    Pi,
    Euler,
    Imaginary,
    Infinity,
    /// The sign of a plus-minus, to be replaced by 1 and by -1.
    PlusMinus,
    /// No value: a quotient by zero and what is built on it.
    Undefined,
    Variable(Name),
    Sum(Id, Id),
    Product(Id, Id),
    Quotient(Id, Id),
    Power(Id, Id),
    Apply(Function, Id),
    /// `top` over `bottom`.
    Binomial(Id, Id),
    /// Larger of two; the smaller is written by it.
    Maximum(Id, Id),
    /// An unknown function, or notation that is only compared by its parts.
    Call(Name, Vec<Id>),
}

/// All nodes of one comparison.
#[derive(Debug)]
pub(crate) struct Pool {
    nodes: Vec<Node>,
    /// What is left of [`limits::EXACT_WORK`].
    exact_work_left: u64,
    ids: HashMap<Node, Id, BuildHasherDefault<DefaultHasher>>,
    names: Vec<String>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::with_capacity(64),
            exact_work_left: limits::EXACT_WORK,
            ids: HashMap::default(),
            names: Vec::new(),
        }
    }

    /// Pays for one exact operation on numbers of so many bits.
    pub(crate) fn pay(&mut self, left_bits: usize, right_bits: usize) -> Result<(), Exhausted> {
        let words = |bits: usize| bits as u64 / 64 + 1;
        let cost = words(left_bits).saturating_mul(words(right_bits));
        self.exact_work_left = self.exact_work_left.checked_sub(cost).ok_or(Exhausted)?;
        Ok(())
    }

    /// Pays for an operation on the rational coefficients of two expressions.
    pub(crate) fn pay_for(&mut self, left: Id, right: Id) -> Result<(), Exhausted> {
        self.pay(self.coefficient_bits(left), self.coefficient_bits(right))
    }

    fn coefficient_bits(&self, id: Id) -> usize {
        let value = match self.node(id) {
            Node::Product(left, _) => self.as_rational(*left),
            _ => self.as_rational(id),
        };
        value.map_or(0, crate::number::exact::size_bits)
    }

    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id.index()]
    }

    pub(crate) fn name(&self, name: Name) -> &str {
        self.names.get(name.0 as usize).map_or("?", String::as_str)
    }

    pub(crate) fn intern_name(&mut self, text: &str) -> Name {
        let found = self.names.iter().position(|name| name == text);
        let index = found.unwrap_or_else(|| {
            self.names.push(text.to_owned());
            self.names.len() - 1
        });
        Name(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The id of a node, new or shared.
    pub(crate) fn insert(&mut self, node: Node) -> Result<Id, Exhausted> {
        if let Some(id) = self.ids.get(&node) {
            return Ok(*id);
        }
        if self.nodes.len() >= limits::NODES_MAX {
            return Err(Exhausted);
        }
        let id = Id(u32::try_from(self.nodes.len()).map_err(|_| Exhausted)?);
        self.nodes.push(node.clone());
        self.ids.insert(node, id);
        Ok(id)
    }

    pub(crate) fn as_rational(&self, id: Id) -> Option<&RBig> {
        match self.node(id) {
            Node::Rational(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn as_variable(&self, id: Id) -> Option<Name> {
        match self.node(id) {
            Node::Variable(name) => Some(*name),
            _ => None,
        }
    }

    /// Plus or minus infinity, as its sign.
    pub(crate) fn as_infinity(&self, id: Id) -> Option<Sign> {
        match self.node(id) {
            Node::Infinity => Some(Sign::Positive),
            Node::Product(left, right) if *self.node(*right) == Node::Infinity => {
                let factor = self.as_rational(*left)?;
                (*factor == -RBig::ONE).then_some(Sign::Negative)
            }
            _ => None,
        }
    }

    /// The ids below and including the roots, smallest first.
    pub(crate) fn reachable(&self, roots: &[Id]) -> Vec<Id> {
        let Some(top) = roots.iter().max() else {
            return Vec::new();
        };
        let mut marks = vec![false; top.index() + 1];
        for root in roots {
            marks[root.index()] = true;
        }
        let mut found = Vec::new();
        for index in (0..marks.len()).rev() {
            if !marks[index] {
                continue;
            }
            found.push(Id(u32::try_from(index).unwrap_or(u32::MAX)));
            self.each_child(&self.nodes[index], |child| marks[child.index()] = true);
        }
        found.reverse();
        found
    }

    pub(crate) fn each_child(&self, node: &Node, mut visit: impl FnMut(Id)) {
        match node {
            Node::Sum(left, right)
            | Node::Product(left, right)
            | Node::Quotient(left, right)
            | Node::Power(left, right)
            | Node::Binomial(left, right)
            | Node::Maximum(left, right) => {
                visit(*left);
                visit(*right);
            }
            Node::Apply(_, argument) => visit(*argument),
            Node::Call(_, arguments) => arguments.iter().copied().for_each(visit),
            Node::Rational(_)
            | Node::Pi
            | Node::Euler
            | Node::Imaginary
            | Node::Infinity
            | Node::PlusMinus
            | Node::Undefined
            | Node::Variable(_) => {}
        }
    }

    /// Rebuilds an expression with some nodes replaced.
    pub(crate) fn substitute(&mut self, root: Id, pairs: &[(Id, Id)]) -> Result<Id, Exhausted> {
        let order = self.reachable(&[root]);
        let mut images: HashMap<Id, Id, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        for id in order {
            let image = match pairs.iter().find(|(from, _)| *from == id) {
                Some((_, to)) => *to,
                None => self.rebuild(id, |child| images.get(&child).copied().unwrap_or(child))?,
            };
            images.insert(id, image);
        }
        Ok(images.get(&root).copied().unwrap_or(root))
    }

    fn rebuild(&mut self, id: Id, image: impl Fn(Id) -> Id) -> Result<Id, Exhausted> {
        match self.node(id).clone() {
            Node::Sum(left, right) => self.sum(image(left), image(right)),
            Node::Product(left, right) => self.product(image(left), image(right)),
            Node::Quotient(left, right) => self.quotient(image(left), image(right)),
            Node::Power(left, right) => self.power(image(left), image(right)),
            Node::Binomial(left, right) => self.binomial(image(left), image(right)),
            Node::Maximum(left, right) => self.maximum(image(left), image(right)),
            Node::Apply(function, argument) => self.apply(function, image(argument)),
            Node::Call(name, arguments) => {
                self.insert(Node::Call(name, arguments.into_iter().map(image).collect()))
            }
            Node::Rational(_)
            | Node::Pi
            | Node::Euler
            | Node::Imaginary
            | Node::Infinity
            | Node::PlusMinus
            | Node::Undefined
            | Node::Variable(_) => Ok(id),
        }
    }
}

/// A sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sign {
    Negative,
    Positive,
}
