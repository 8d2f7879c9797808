//! What needs real programs or real data; `tests/real/run` starts it.

mod agent;
mod ancestor;
mod bundle;
mod command;
mod dashboards;
mod days;
mod documents;
mod generated;
#[expect(dead_code, reason = "the journeys use the rest of it")]
#[path = "../../journeys/harness.rs"]
mod harness;
mod jaeger;
mod ledger;
mod operators;
mod pages;
mod playlists;
mod postgres;
mod rules;
mod shipped;
mod songs;
mod stack;
mod strangers;
#[path = "../../journeys/table.rs"]
mod table;
