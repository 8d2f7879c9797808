//! Accounts as its callers meet it: over HTTP, with a database of its own.

mod accounts;
mod assertions;
mod document;
#[path = "../../../catalog/tests/api/documented.rs"]
mod documented;
mod hashing;
mod operators;
mod people;
mod refusals;
mod secrets;
mod service;
mod sessions;
mod throttling;
mod tokens;
