//! Calls to real servers on loopback sockets, good and bad ones.

mod answers;
mod failures;
mod server;
mod streams;
mod traces;
