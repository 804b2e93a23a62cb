//! Numbers: exact rationals under a bit budget, rigorous real and complex balls,
//! and arithmetic modulo primes.

pub(crate) mod ball;
pub(crate) mod complex;
mod elementary;
pub(crate) mod exact;
pub(crate) mod magnitude;
pub(crate) mod modular;
