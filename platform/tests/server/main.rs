//! The server as its clients and operators see it: real sockets, hostile and unlucky clients, a service that has to end.

mod answers;
mod bodies;
mod connections;
mod http2;
mod kit;
mod stopping;
