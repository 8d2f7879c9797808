//! The sidecar as an agent, from its sockets to its destinations, on days when those are anything but well.

mod absent;
mod answers;
mod destination;
mod kit;
mod limits;
mod starting;
