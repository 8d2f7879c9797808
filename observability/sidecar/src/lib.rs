//! Receives traces and logs by OTLP, keeps them in memory, and shows them: by Jaeger's query APIs and by a console. Keeps the
//! alerts that Alertmanager tells of, too.

mod agent;
mod alerts;
mod config;
pub mod console;
mod credential;
mod endpoints;
mod host;
mod jaeger;
mod meter;
mod otlp;
pub mod store;
mod turns;

pub use agent::Agent;
pub use alerts::Alerts;
pub use config::Config;
pub use endpoints::endpoints;
pub use store::{MemoryStore, Store};

/// The service's name, in telemetry, commands and messages.
pub const NAME: &str = "sidecar";
