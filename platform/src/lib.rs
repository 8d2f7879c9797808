//! What any service stands on, without knowing what the service is for: copy this folder and `observability/` and start your own.
//!
//! A service is a router with a [`Policy`](service::Policy). [`service::run`] does the rest: it serves the router on sockets that are
//! bound already, protects it, puts health and metrics on a port of their own, and ends in an order in which nobody loses a request.
//!
//! ```
//! use std::net::TcpListener;
//!
//! use axum::{Router, routing::post};
//! use platform::{
//!     extract::Json,
//!     problem::{FieldError, Problem},
//!     service::{Endpoint, Parts, Policy, ServerConfig, run},
//! };
//! use serde::Deserialize;
//! use telemetry::Telemetry;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! async fn greet(Json(greeting): Json<Greeting>) -> Result<String, Problem> {
//!     if greeting.name.is_empty() {
//!         return Err(Problem::invalid(vec![FieldError::new("/name", "is empty").limit(1)]));
//!     }
//!     Ok(format!("Hello {}!", greeting.name))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let parts = Parts::new(Telemetry::disabled("greeter")); // `Telemetry::start` outside of examples
//! let internal = TcpListener::bind("127.0.0.1:0")?; // health and metrics
//! let endpoint = Endpoint {
//!     role: "api",
//!     listener: TcpListener::bind("127.0.0.1:0")?,
//!     router: Router::new().route("/greetings", post(greet)),
//!     policy: Policy::edge(),
//! };
//! # parts.stopping.cancel();
//! run(parts, internal, vec![endpoint], &ServerConfig::default()).await // until `stopping` is cancelled
//! # }
//! ```
//!
//! # A request, from outside to inside
//!
//! | where | what | what the client sees |
//! |---|---|---|
//! | `serve` | a limit on connections, TCP without delay | closed at once |
//! | `serve/socket` | time for the first bytes, for an answer to be taken, for a last goodbye | closed |
//! | hyper | time and size for a head, HTTP/2's limits | 400, 414, 431, closed, GOAWAY |
//! | `layers` | a trailing slash is dropped | |
//! | `telemetry::ServerLayer` | span, duration, access line | `traceresponse`, `x-trace-id` |
//! | `layers` | compression | gzip, if asked for |
//! | `layers` | limits of the route: path, encoding, body, time | 414, 415, 413, 408, 504 |
//! | `layers` | panics | 500 |
//! | [`extract`] | input as types | 400 or 415 that names the field |
//! | your handler | | [`Problem`](problem::Problem), or what it likes |
//!
//! On the way back every error is a [`Problem`](problem::Problem), logged once inside the request's span, and every answer has a request
//! id and the headers that protect.
//!
//! # The parts
//!
//! - [`service`]: start, limits, end. [`health`]: latches, and the routes that probes ask. [`deadline`]: until when the caller waits.
//! - [`problem`] and [`extract`]: errors and input, the same from every service.
//! - [`config`]: settings from flags and environment, all mistakes at once.
//! - [`openapi`]: the document of all routes, made from them, and a page to try it.
//! - [`storage`]: SQL with a span and a duration per statement. [`identity`]: who calls, proven by a signature.
//!
//! Telemetry is not made here: the handle in [`service::Parts`] makes spans, the macros of `tracing` and `metrics` do the rest. There is no
//! global state, so nothing here knows whether other services run in the same process.

pub mod background;
pub mod config;
pub mod deadline;
pub mod extract;
pub mod health;
pub mod identity;
mod layers;
mod meter;
pub mod openapi;
pub mod problem;
mod serve;
pub mod service;
pub mod storage;
