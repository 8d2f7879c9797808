//! The catalog over HTTP, as the gateway sees it.

mod app;
mod bad_input;
mod document;
mod documented;
mod import;
mod lists;
mod matching;
mod musics;
mod served;
