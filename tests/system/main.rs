//! System tests.
fn main() {}
