//! Averaging two models of one ancestor, for long2short, k1.5 section 2.4.

use tch::{Kind, Tensor};

/// Why two models cannot be averaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// One has a tensor that the other has not.
    #[error("only one of the models has {0}")]
    Missing(String),
    /// A tensor has two shapes.
    #[error("{name} is {left:?} in one model and {right:?} in the other")]
    Shape {
        /// Which tensor.
        name: String,
        /// Its shape in the first model.
        left: Vec<i64>,
        /// Its shape in the second.
        right: Vec<i64>,
    },
}

/// `(left + right) / 2` of each tensor, added in at least 32 bits and stored as the first's kind.
///
/// # Errors
/// The first tensor whose name or shape does not match.
pub fn average(
    left: &[(String, Tensor)],
    right: &[(String, Tensor)],
) -> Result<Vec<(String, Tensor)>, MergeError> {
    let find = |tensors: &[(String, Tensor)], name: &str| {
        tensors.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor.shallow_clone())
    };
    for (name, _) in right {
        let _found = find(left, name).ok_or_else(|| MergeError::Missing(name.clone()))?;
    }
    let mut merged = Vec::with_capacity(left.len());
    for (name, one) in left {
        let other = find(right, name).ok_or_else(|| MergeError::Missing(name.clone()))?;
        if one.size() != other.size() {
            let (left, right) = (one.size(), other.size());
            return Err(MergeError::Shape { name: name.clone(), left, right });
        }
        let wide = if one.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let mean = (one.to_kind(wide) + other.to_kind(wide)) * 0.5;
        merged.push((name.clone(), mean.to_kind(one.kind()).detach()));
    }
    Ok(merged)
}
