//! The exporters: OTLP over HTTP with protobuf, on threads of their own that have no subscriber, so that exporting observes nothing.
//!
//! The blocking client is given explicitly. The SDK's export threads run no tokio; with the asynchronous client, which cargo would
//! choose for all as soon as one crate of the tree enabled that feature, the first export panics and every later span is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::{
    logs::{BatchConfigBuilder as LogBatchConfig, BatchLogProcessor},
    trace::{BatchConfigBuilder as SpanBatchConfig, BatchSpanProcessor},
};
use prost::Message;
use reqwest::blocking::Client;

use crate::{
    config::Export,
    ledger::{Booked, Gate, Ledger},
};

/// How many items one export carries at most: a few hundred kilobytes.
const BATCH: usize = 512;

/// One client for both signals of a service.
pub(crate) fn http_client(to: &Export) -> anyhow::Result<Client> {
    Ok(Client::builder()
        .connect_timeout(Duration::from_secs(1))
        .timeout(to.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?)
}

pub(crate) fn spans(
    to: &Export,
    client: &Client,
    ledger: &Arc<Ledger>,
) -> Result<Gate<BatchSpanProcessor>, ExporterBuildError> {
    let wire = Arc::new(Wire::new(client, to, "traces"));
    let inner = SpanExporter::builder()
        .with_http()
        .with_http_client(WireClient(wire.clone()))
        .with_endpoint(wire.endpoint())
        .with_timeout(to.timeout)
        .build()?;
    let batches = SpanBatchConfig::default()
        .with_max_queue_size(to.trace_queue.max(BATCH))
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(to.delay)
        .build();
    let inner = BatchSpanProcessor::builder(Booked { inner, wire, ledger: ledger.clone() })
        .with_batch_config(batches)
        .build();
    Ok(Gate { inner, ledger: ledger.clone() })
}

pub(crate) fn logs(
    to: &Export,
    client: &Client,
    ledger: &Arc<Ledger>,
) -> Result<Gate<BatchLogProcessor>, ExporterBuildError> {
    let wire = Arc::new(Wire::new(client, to, "logs"));
    let inner = LogExporter::builder()
        .with_http()
        .with_http_client(WireClient(wire.clone()))
        .with_endpoint(wire.endpoint())
        .with_timeout(to.timeout)
        .build()?;
    let batches = LogBatchConfig::default()
        .with_max_queue_size(to.log_queue.max(BATCH))
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(to.delay)
        .build();
    let inner = BatchLogProcessor::builder(Booked { inner, wire, ledger: ledger.clone() })
        .with_batch_config(batches)
        .build();
    Ok(Gate { inner, ledger: ledger.clone() })
}

/// What the exporters do not tell: why a call failed, and how many items the receiver refused in an answer of success.
#[derive(Debug)]
pub(crate) struct Wire {
    client: Client,
    endpoint: String,
    rejected: AtomicU64,
    /// Index into [`REASONS`] of the last failure.
    reason: AtomicU64,
}

const REASONS: [&str; 5] = ["unreachable", "timeout", "refused", "overloaded", "server_error"];

impl Wire {
    fn new(client: &Client, to: &Export, signal: &str) -> Wire {
        let endpoint = format!("{}/v1/{signal}", to.endpoint.trim_end_matches('/'));
        let (rejected, reason) = (AtomicU64::new(0), AtomicU64::new(0));
        Wire { client: client.clone(), endpoint, rejected, reason }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Of the last export: the items refused in a success, the reason of a failure.
    pub(crate) fn take_outcome(&self) -> (u64, &'static str) {
        let reason = REASONS.get(self.reason.load(Relaxed) as usize).unwrap_or(&REASONS[0]);
        (self.rejected.swap(0, Relaxed), reason)
    }

    fn note(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let reason = match outcome {
            Err(error) => {
                let timed_out =
                    error.downcast_ref::<reqwest::Error>().is_some_and(|e| e.is_timeout());
                usize::from(timed_out)
            }
            Ok(answer) => match answer.status().as_u16() {
                200..=299 => {
                    // Responses for logs and traces have the same layout.
                    let partial = ExportTraceServiceResponse::decode(answer.body().clone())
                        .ok()
                        .and_then(|answer| answer.partial_success);
                    let rejected = partial.map_or(0, |partial| partial.rejected_spans);
                    self.rejected.store(rejected.try_into().unwrap_or(0), Relaxed);
                    return;
                }
                429 | 503 => 3,
                500.. => 4,
                _ => 2,
            },
        };
        self.reason.store(reason as u64, Relaxed);
    }
}

#[derive(Debug)]
struct WireClient(Arc<Wire>);

#[async_trait::async_trait]
impl HttpClient for WireClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outcome = self.0.client.send_bytes(request).await;
        self.0.note(&outcome);
        outcome
    }
}
