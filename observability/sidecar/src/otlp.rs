//! OTLP in, by gRPC and by HTTP, as the specification of OpenTelemetry has it; and Loki's push, which becomes OTLP.
//!
//! A request is limited to [`LARGEST`] bytes as it arrives and again as it is unpacked. What all requests hold together, decoded too, is
//! limited by a [`Budget`]. Who finds it spent is told to come back: the senders keep their data and try again.

mod budget;
mod grpc;
mod http;
pub(crate) mod json;
mod loki;
mod receive;
mod signal;
mod status;
#[cfg(test)]
mod tests;
mod weight;

pub(crate) use budget::Budget;
pub(crate) use grpc::grpc;
pub(crate) use http::http;
pub(crate) use loki::loki;
pub(crate) use receive::Receiver;
#[cfg(test)]
pub(crate) use receive::SLOWEST;
pub(crate) use status::Refusal;

/// Bytes of one request, packed and unpacked: what the specification recommends.
pub(crate) const LARGEST: usize = 64 << 20;
