//! The exporters: OTLP over HTTP with protobuf, on threads of their own that have no subscriber, so that exporting observes nothing.
//!
//! The blocking client is given explicitly. The SDK's export threads run no tokio; with the asynchronous client, which cargo would
//! choose for all as soon as one crate of the tree enabled that feature, the first export panics and every later span is lost.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::header::{CONTENT_TYPE, USER_AGENT};
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
    /// Index into [`REASONS`] of what went wrong with the last request of the export.
    reason: AtomicU64,
}

/// `not_sent` stands while there was no request: the exporter gave up before it.
const REASONS: [&str; 6] =
    ["not_sent", "unreachable", "timeout", "refused", "overloaded", "server_error"];

impl Wire {
    pub(crate) fn new(client: &Client, to: &Export, signal: &str) -> Wire {
        let endpoint = format!("{}/v1/{signal}", to.endpoint.trim_end_matches('/'));
        let (rejected, reason) = (AtomicU64::new(0), AtomicU64::new(0));
        Wire { client: client.clone(), endpoint, rejected, reason }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// As if the receiver had refused `items` in an answer of success.
    #[cfg(test)]
    pub(crate) fn rejects(&self, items: u64) {
        self.rejected.store(items, Relaxed);
    }

    /// Of the last export: the items refused in a success, the reason of a failure.
    pub(crate) fn take_outcome(&self) -> (u64, &'static str) {
        let reason = REASONS.get(self.reason.swap(0, Relaxed) as usize).unwrap_or(&REASONS[0]);
        (self.rejected.swap(0, Relaxed), reason)
    }

    fn note(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let reason = match outcome {
            Err(error) => 1 + u64::from(timed_out(&**error)),
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
                429 | 503 => 4,
                500.. => 5,
                _ => 3,
            },
        };
        self.reason.store(reason, Relaxed);
    }
}

/// Whether the time was over, be it before the answer or in the middle of its body, whose errors reqwest hides in one of `io`.
fn timed_out(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return error.is_timeout();
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::TimedOut => true,
        Some(error) => error.get_ref().is_some_and(|inner| timed_out(inner)),
        None => error.source().is_some_and(timed_out),
    }
}

#[derive(Debug)]
struct WireClient(Arc<Wire>);

#[async_trait::async_trait]
impl HttpClient for WireClient {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The builder adds what OTEL_EXPORTER_OTLP_HEADERS and its like say: they would be read behind the settings' back.
        let all = std::mem::take(request.headers_mut());
        for name in [CONTENT_TYPE, USER_AGENT] {
            let value = all.get(&name).cloned();
            request.headers_mut().extend(value.map(|value| (name, value)));
        }
        let outcome = self.0.client.send_bytes(request).await;
        self.0.note(&outcome);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn wire(endpoint: String) -> WireClient {
        let (timeout, delay) = (Duration::from_secs(1), Duration::from_secs(1));
        let (trace_queue, log_queue) = (1, 1);
        let to =
            Export { endpoint, timeout, delay, trace_queue, log_queue, traces: true, logs: true };
        WireClient(Arc::new(Wire::new(&http_client(&to).unwrap(), &to, "traces")))
    }

    /// One request, which blocks as it does on an exporter's thread; the reason of its failure.
    fn send(client: &WireClient) -> &'static str {
        let request = Request::post(client.0.endpoint())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header("authorization", "of the environment")
            .body(Bytes::new())
            .unwrap();
        let sent = pin!(client.send_bytes(request)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(sent, Poll::Ready(_)));
        client.0.take_outcome().1
    }

    #[test]
    fn each_failure_has_its_own_reason_and_no_request_has_headers_of_the_environment() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = wire(format!("http://{}", listener.local_addr().unwrap()));
        // An answer that stops in the middle, then one of an error, then nobody.
        let answers = ["200 OK\r\nContent-Length: 9", "503 Busy\r\nContent-Length: 0"];
        let server = std::thread::spawn(move || {
            answers.map(|answer| {
                let mut stream = listener.accept().unwrap().0;
                let mut head = [0; 4096];
                let size = stream.read(&mut head).unwrap();
                write!(stream, "HTTP/1.1 {answer}\r\n\r\n").unwrap();
                (String::from_utf8_lossy(&head[..size]).to_ascii_lowercase(), stream)
            })
        });
        assert_eq!(send(&client), "timeout");
        assert_eq!(send(&client), "overloaded");
        for (head, _) in server.join().unwrap() {
            assert!(head.contains("content-type: application/x-protobuf"), "{head}");
            assert!(!head.contains("authorization"), "{head}");
        }
        assert_eq!(send(&client), "unreachable");
        assert_eq!(client.0.take_outcome().1, "not_sent", "of an export without a request");
    }
}
