//! The real programs, the registry of names and the Dockerfile, for the tests that need them and for the commands beside them.

pub mod dockerfile;
pub mod schema;
pub mod stack;
