//! `sandbox run`.
fn main() {}
