//! The console as a reader meets it: pages that are asked for, and what is on them.

mod alerts;
mod delivery;
mod finder;
mod fixture;
mod frame;
mod hostile;
mod large;
mod logs;
mod metrics;
mod page;
mod scenes;
mod services;
mod trace;
mod traces;
