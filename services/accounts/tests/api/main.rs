//! Accounts as its callers meet it: over HTTP, with a database of its own.

mod accounts;
mod refusals;
mod service;
