//! What a text means: a typed value. Expressions live in the pool; a value says
//! what kind of answer they make up and which signs and units they carried.

use crate::expression::{Id, Pool};
use crate::units::Unit;

/// How a number was written, when it was a plain decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Anything exact: integers, fractions, expressions.
    Exact,
    /// A decimal literal.
    Decimal {
        /// Decimals behind the point, after scaling by a power of ten.
        decimals: i64,
        /// Significant digits.
        significant: u32,
    },
}

/// A sign that an expression carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    None,
    Percent,
    Degrees,
    Unit(Unit),
    Currency(char),
    /// A counted thing, such as `goats`.
    Label(String),
}

/// An expression with what it carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) id: Id,
    pub(crate) shape: Shape,
    pub(crate) mark: Mark,
    /// A fraction of integer literals that is not in lowest terms.
    pub(crate) reducible: bool,
}

impl Scalar {
    pub(crate) fn exact(id: Id) -> Self {
        Self { id, shape: Shape::Exact, mark: Mark::None, reducible: false }
    }
}

/// Signs between the sides of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Subset,
    /// Approximately equal, and any other sign that is not decided here.
    Other,
}

impl Relation {
    pub(crate) const fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual | Self::In | Self::NotIn | Self::Subset | Self::Other => {
                self
            }
        }
    }

    pub(crate) const fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual)
    }
}

/// Operations between sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOperation {
    Union,
    Intersection,
    Difference,
}

/// Sets with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedSet {
    Empty,
    Naturals,
    Integers,
    Rationals,
    Reals,
    Complexes,
}

/// How the items of a list are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    Comma,
    And,
    Or,
}

/// Opening bracket of a branch of a function by cases; no text can spell it as a bracket.
pub(crate) const BRANCH: char = '⟦';

/// A typed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Scalar(Scalar),
    /// Items in brackets: tuples, intervals, vectors.
    Group {
        open: char,
        close: char,
        items: Vec<Self>,
    },
    Set(Vec<Self>),
    List {
        joint: Joint,
        items: Vec<Self>,
    },
    /// A chain `first op second op ...`.
    Chain {
        first: Box<Self>,
        rest: Vec<(Relation, Self)>,
    },
    Named(NamedSet),
    SetOperation {
        operation: SetOperation,
        left: Box<Self>,
        right: Box<Self>,
    },
    /// `{ pattern | condition }`.
    Builder {
        pattern: Box<Self>,
        condition: Box<Self>,
    },
    Matrix {
        columns: usize,
        entries: Vec<Id>,
    },
    /// Digits in a written base.
    Based {
        digits: String,
        base: u32,
    },
    Ratio(Vec<Id>),
    /// Hours, minutes, seconds.
    Time([u32; 3]),
    /// Year, month, day.
    Date([i64; 3]),
    /// Normalised words.
    Words(String),
}

impl Value {
    pub(crate) fn scalar(id: Id) -> Self {
        Self::Scalar(Scalar::exact(id))
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "expression",
            Self::Group { .. } => "tuple or interval",
            Self::Set(_) => "set",
            Self::List { .. } => "list",
            Self::Chain { .. } => "relation",
            Self::Named(_) => "named set",
            Self::SetOperation { .. } => "set operation",
            Self::Builder { .. } => "set builder",
            Self::Matrix { .. } => "matrix",
            Self::Based { .. } => "digits in a base",
            Self::Ratio(_) => "ratio",
            Self::Time(_) => "time of day",
            Self::Date(_) => "date",
            Self::Words(_) => "text",
        }
    }

    /// The value as text, for explanations.
    pub(crate) fn show(&self, pool: &Pool) -> String {
        let many = |items: &[Self]| {
            items.iter().map(|item| item.show(pool)).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Scalar(scalar) => show_scalar(scalar, pool),
            Self::Group { open, close, items } => format!("{open}{}{close}", many(items)),
            Self::Set(items) => format!("{{{}}}", many(items)),
            Self::List { items, .. } => many(items),
            Self::Chain { first, rest } => {
                let mut text = first.show(pool);
                for (relation, side) in rest {
                    text.push_str(&format!(" {} {}", relation_text(*relation), side.show(pool)));
                }
                text
            }
            Self::Named(named) => format!("{named:?}"),
            Self::SetOperation { operation, left, right } => {
                format!("({} {operation:?} {})", left.show(pool), right.show(pool))
            }
            Self::Builder { pattern, condition } => {
                format!("{{{} | {}}}", pattern.show(pool), condition.show(pool))
            }
            Self::Matrix { columns, entries } => {
                let rows: Vec<String> = entries
                    .chunks(*columns.max(&1))
                    .map(|row| row.iter().map(|id| pool.show(*id)).collect::<Vec<_>>().join(", "))
                    .collect();
                format!("[{}]", rows.join("; "))
            }
            Self::Based { digits, base } => format!("{digits} in base {base}"),
            Self::Ratio(parts) => {
                parts.iter().map(|id| pool.show(*id)).collect::<Vec<_>>().join(":")
            }
            Self::Time([hours, minutes, seconds]) => format!("{hours}:{minutes:02}:{seconds:02}"),
            Self::Date([year, month, day]) => format!("{year}-{month:02}-{day:02}"),
            Self::Words(text) => format!("\"{text}\""),
        }
    }
}

fn show_scalar(scalar: &Scalar, pool: &Pool) -> String {
    let text = pool.show(scalar.id);
    match &scalar.mark {
        Mark::None => text,
        Mark::Percent => format!("{text} percent"),
        Mark::Degrees => format!("{text} degrees"),
        Mark::Unit(unit) => format!("{text} {}", unit.name()),
        Mark::Currency(sign) => format!("{sign}{text}"),
        Mark::Label(label) => format!("{text} {label}"),
    }
}

const fn relation_text(relation: Relation) -> &'static str {
    match relation {
        Relation::Equal => "=",
        Relation::NotEqual => "!=",
        Relation::Less => "<",
        Relation::LessOrEqual => "<=",
        Relation::Greater => ">",
        Relation::GreaterOrEqual => ">=",
        Relation::In => "in",
        Relation::NotIn => "not in",
        Relation::Subset => "subset of",
        Relation::Other => "~",
    }
}
