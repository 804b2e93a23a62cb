//! `assay`
fn main() {}
