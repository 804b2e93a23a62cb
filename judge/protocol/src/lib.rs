//! Wire types of the judge (serde).
