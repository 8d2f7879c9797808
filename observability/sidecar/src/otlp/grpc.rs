//! OTLP over gRPC.
//!
//! The calls are unary and there are three, so the frames are read here: with the budget from the first byte on, and with the codes that OTLP
//! wants. tonic's server would buffer, unpack and decode first, and call what is too large `OUT_OF_RANGE`, which senders repeat.

use std::future::ready;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use tonic::{Code, Status};

use crate::{
    otlp::{
        receive::{Format, Receiver},
        signal::Signal,
        status::Refusal,
    },
    store::Added,
};

/// Whether it is packed, and its length in four bytes.
const FRAME_HEAD: usize = 5;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip");

/// The three collector services, plain or gzip. Answers are a few bytes, so they are plain.
pub(crate) fn grpc(receiver: Receiver) -> Router {
    const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    Router::new()
        .route(TRACES, post(export::<ExportTraceServiceRequest>))
        .route(LOGS, post(export::<ExportLogsServiceRequest>))
        .route(METRICS, post(export::<ExportMetricsServiceRequest>))
        .fallback(async || {
            Refusal::Path.count();
            Status::unimplemented("only OTLP's three collector services are here")
                .into_http::<Body>()
        })
        .with_state(receiver)
}

async fn export<S: Signal>(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !is_grpc(&headers) {
        Refusal::ContentType.count();
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/grpc").into_response();
    }
    match receive::<S>(&receiver, &headers, body).await {
        Ok(added) => answer(&S::response(&added)),
        Err(refusal) => refuse(&refusal),
    }
}

async fn receive<S: Signal>(
    receiver: &Receiver,
    headers: &HeaderMap,
    body: Body,
) -> Result<Added, Refusal> {
    let packing = match headers.get(ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => return Err(Refusal::Encoding),
    };
    let mut arrived = receiver.read(body).await?;
    let packed = open(&mut arrived.bytes)?;
    if packed && !packing {
        return Err(Refusal::BadData(
            "it is packed, but grpc-encoding does not say how".to_owned(),
        ));
    }
    receiver.keep::<S>(arrived, packed, Format::Protobuf).await
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    ["application/grpc", "application/grpc+proto"].iter().any(|it| it.eq_ignore_ascii_case(essence))
}

/// Takes the head off the only frame; tells whether what is left is packed.
fn open(frame: &mut Bytes) -> Result<bool, Refusal> {
    if frame.len() < FRAME_HEAD {
        return Err(Refusal::BadData("there is no whole message".to_owned()));
    }
    let (packed, length) = (frame.get_u8(), frame.get_u32());
    match packed {
        _ if length as usize != frame.len() => Err(Refusal::BadData(format!(
            "its one message has to have {length} bytes, but there are {}",
            frame.len()
        ))),
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Refusal::BadData(format!("a message is packed or not (1 or 0), not {other}"))),
    }
}

fn answer(message: &impl Message) -> Response {
    let mut frame = Vec::with_capacity(FRAME_HEAD + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(message.encoded_len() as u32);
    frame.extend(message.encode_to_vec());
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(frame)).with_trailers(ready(Some(Ok(trailers))));
    ([(CONTENT_TYPE, GRPC), (ACCEPT_ENCODING, ACCEPTED)], Body::new(body)).into_response()
}

fn refuse(refusal: &Refusal) -> Response {
    refusal.count();
    let code = match refusal {
        Refusal::Encoding => Code::Unimplemented, // so says gRPC's specification
        other => other.code(),
    };
    let details = refusal.status().encode_to_vec().into();
    let mut response = Status::with_details(code, refusal.message(), details).into_http::<Body>();
    response.headers_mut().insert(ACCEPT_ENCODING, ACCEPTED);
    response
}
