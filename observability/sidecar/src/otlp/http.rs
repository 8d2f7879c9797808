//! OTLP over HTTP: protobuf and JSON on one port, the answer in the format of the request.

use std::{
    io::{self, Read},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use serde_json::json;
use tokio::task::spawn_blocking;
use tower_http::cors::{Any, CorsLayer};

use crate::{
    Store,
    otlp::{
        LARGEST,
        budget::{Budget, Share},
        signal::Signal,
        status::{RETRY_AFTER_SECONDS, Refusal},
    },
    store::Added,
};

/// From here on decoding would keep a worker from other requests for too long.
const SMALL: usize = 64 << 10;

/// What the handlers share.
#[derive(Clone)]
struct Receiver {
    store: Arc<dyn Store>,
    budget: Budget,
}

/// `POST /v1/traces`, `/v1/logs` and `/v1/metrics`. Browsers may send from any page: what arrives is not believed more than anything else.
pub(crate) fn http(store: Arc<dyn Store>, budget: Budget) -> Router {
    let browsers = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers([CONTENT_TYPE, CONTENT_ENCODING]);
    Router::new()
        .route("/v1/traces", post(export::<ExportTraceServiceRequest>))
        .route("/v1/logs", post(export::<ExportLogsServiceRequest>))
        .route("/v1/metrics", post(export::<ExportMetricsServiceRequest>))
        .layer(browsers)
        .with_state(Receiver { store, budget })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
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
    match receive::<S>(receiver, format, &headers, body).await {
        Ok(added) => answer::<S>(&added, format),
        Err(refusal) => refuse(&refusal, format),
    }
}

async fn receive<S: Signal>(
    receiver: Receiver,
    format: Format,
    headers: &HeaderMap,
    body: Body,
) -> Result<Added, Refusal> {
    let packed = packed(headers)?;
    let mut share = receiver.budget.share();
    let bytes = read(body, &mut share).await?;
    let work = move || {
        let bytes = if packed { unpack(&bytes, &mut share)? } else { bytes };
        let added = decode::<S>(bytes, format)?.receive(&*receiver.store);
        drop(share); // given back only now: what is decoded is held, too
        Ok(added)
    };
    if packed {
        return on_blocking_thread(work).await;
    }
    match format {
        Format::Protobuf => work(),
        Format::Json => on_blocking_thread(work).await,
    }
}

async fn on_blocking_thread(
    work: impl FnOnce() -> Result<Added, Refusal> + Send + 'static,
) -> Result<Added, Refusal> {
    let failed = |error| Refusal::BadData(format!("decoding failed: {error}"));
    spawn_blocking(work).await.map_err(failed)?
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

/// The body as it arrives, counted as it arrives: the sender's own word about its length is not needed.
async fn read(mut body: Body, share: &mut Share) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::BadData(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > LARGEST {
                return Err(Refusal::TooLarge);
            }
            share.grow(data.len())?;
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// Unpacks in steps, so that a small body that unpacks to gigabytes is noticed at the limit and not at the end.
fn unpack(bytes: &[u8], share: &mut Share) -> Result<Bytes, Refusal> {
    let mut decoder = MultiGzDecoder::new(bytes);
    let mut unpacked = Vec::new();
    let mut step = vec![0; SMALL];
    loop {
        match decoder.read(&mut step) {
            Ok(0) => return Ok(unpacked.into()),
            Ok(read) if unpacked.len() + read > LARGEST => return Err(Refusal::TooLarge),
            Ok(read) => {
                share.grow(read)?;
                unpacked.extend_from_slice(&step[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Refusal::BadData(format!("gzip: {error}"))),
        }
    }
}

fn decode<S: Signal>(bytes: Bytes, format: Format) -> Result<S, Refusal> {
    match format {
        Format::Protobuf => S::decode(bytes).map_err(|error| Refusal::BadData(error.to_string())),
        Format::Json => {
            serde_json::from_slice(&bytes).map_err(|error| Refusal::BadData(error.to_string()))
        }
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
    if *refusal == Refusal::Full {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    response
}
