//! The callmeter binary.
fn main() {}
