//! The real programs and the registry of names, for the tests that need them and for the commands beside them.

pub mod schema;
pub mod stack;
