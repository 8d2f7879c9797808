//! OTLP over HTTP: protobuf and JSON on one port, the answer in the format of the request.

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use serde_json::json;
use tower_http::cors::{Any, CorsLayer};

use crate::{
    otlp::{
        receive::{Format, Receiver},
        signal::Signal,
        status::{RETRY_AFTER_SECONDS, Refusal},
    },
    store::Added,
};

/// `POST /v1/traces`, `/v1/logs` and `/v1/metrics`. Browsers may send from any page: what arrives is not believed more than anything else.
pub(crate) fn http(receiver: Receiver) -> Router {
    let browsers = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers([CONTENT_TYPE, CONTENT_ENCODING]);
    let otherwise = |refusal: Refusal| {
        async move |headers: HeaderMap| refuse(&refusal, format(&headers).unwrap_or(Format::Json))
    };
    Router::new()
        .route("/v1/traces", post(export::<ExportTraceServiceRequest>))
        .route("/v1/logs", post(export::<ExportLogsServiceRequest>))
        .route("/v1/metrics", post(export::<ExportMetricsServiceRequest>))
        .method_not_allowed_fallback(otherwise(Refusal::Method))
        .fallback(otherwise(Refusal::Path))
        .layer(browsers)
        .with_state(receiver)
}

impl Format {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Format::Protobuf => "application/x-protobuf",
            Format::Json => "application/json",
        })
    }
}

async fn export<S: Signal>(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(format) = format(&headers) else {
        return refuse(&Refusal::ContentType, Format::Json);
    };
    match receive::<S>(&receiver, format, &headers, body).await {
        Ok(added) => answer::<S>(&added, format),
        Err(refusal) => refuse(&refusal, format),
    }
}

async fn receive<S: Signal>(
    receiver: &Receiver,
    format: Format,
    headers: &HeaderMap,
    body: Body,
) -> Result<Added, Refusal> {
    let packed = packed(headers)?;
    let arrived = receiver.read(body).await?;
    receiver.keep::<S>(arrived, packed, format).await
}

fn format(headers: &HeaderMap) -> Option<Format> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(Format::Protobuf),
        "application/json" => Some(Format::Json),
        _ => None,
    }
}

fn packed(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(Refusal::Encoding),
    }
}

fn answer<S: Signal>(added: &Added, format: Format) -> Response {
    let body = match format {
        Format::Protobuf => S::response(added).encode_to_vec(),
        Format::Json => S::json(added).to_string().into_bytes(),
    };
    ([(CONTENT_TYPE, format.content_type())], body).into_response()
}

fn refuse(refusal: &Refusal, format: Format) -> Response {
    refusal.count();
    let status = refusal.status();
    let body = match format {
        Format::Protobuf => status.encode_to_vec(),
        Format::Json => {
            json!({"code": status.code, "message": status.message}).to_string().into_bytes()
        }
    };
    let mut response =
        (refusal.http(), [(CONTENT_TYPE, format.content_type())], body).into_response();
    if refusal.may_be_tried_again() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    response
}
