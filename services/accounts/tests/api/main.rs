//! Accounts as its callers meet it: over HTTP, with a database of its own.

mod accounts;
mod assertions;
mod hashing;
mod refusals;
mod secrets;
mod service;
