//! The real programs, for the tests that need them and for `cargo run -p real --example stack`.

pub mod dockerfile;
pub mod stack;
