//! The wallet over HTTP, as the gateway sees it, beside a catalog.

mod app;
mod bad_input;
mod document;
#[path = "../../../catalog/tests/api/documented.rs"]
mod documented;
mod export;
mod favourites;
mod import;
mod lists;
#[path = "../../../catalog/tests/api/served.rs"]
mod served;
