//! Receives traces and logs by OTLP, keeps them in memory, and shows them: by Jaeger's query APIs and by a console.

mod config;
pub mod console;
mod endpoints;
mod jaeger;
mod meter;
mod otlp;
pub mod store;

pub use store::Store;
