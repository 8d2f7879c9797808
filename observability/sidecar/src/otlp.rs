//! OTLP in, by gRPC and by HTTP, as the specification of OpenTelemetry has it.
//!
//! A request is limited to [`LARGEST`] bytes as it arrives and again as it is unpacked; what all requests hold together is limited by a
//! [`Budget`]. Who finds it spent is told to come back: the senders keep their data and try again.

mod budget;
mod grpc;
mod http;
mod signal;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use budget::Budget;
pub(crate) use grpc::grpc;
pub(crate) use http::http;

/// Bytes of one request, packed and unpacked: what the specification recommends.
pub(crate) const LARGEST: usize = 64 << 20;
