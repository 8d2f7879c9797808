//! What needs real programs or real data; `tests/real/run` starts it.

#[path = "../../journeys/harness.rs"]
mod harness;
mod jaeger;
mod pages;
mod songs;
