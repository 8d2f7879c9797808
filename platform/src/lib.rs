//! What any service stands on: an HTTP server that defends itself, problems, health, deadlines, settings, storage, identity.

pub mod config;
pub mod deadline;
pub mod extract;
pub mod health;
pub mod identity;
mod layers;
mod meter;
pub mod problem;
mod serve;
pub mod service;
pub mod storage;
