//! An OTLP receiver that keeps what it gets, or misbehaves as told.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest,
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use prost::Message;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Accept,
    Never,
    Slow(Duration),
    RefuseOne,
}

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) links: Vec<String>,
    pub(crate) error_type: String,
    pub(crate) failed: bool,
    #[expect(dead_code, reason = "shown by Debug, where secrets are looked for")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) span: String,
    pub(crate) body: String,
}

pub(crate) struct Sink {
    pub(crate) endpoint: String,
    kept: Arc<Kept>,
    _runtime: tokio::runtime::Runtime,
}

struct Kept {
    answer: Answer,
    spans: Mutex<Vec<Span>>,
    logs: Mutex<Vec<Line>>,
}

impl Sink {
    pub(crate) fn start(answer: Answer) -> Sink {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let kept = Arc::new(Kept { answer, spans: Mutex::default(), logs: Mutex::default() });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/logs", post(logs))
            .with_state(kept.clone());
        runtime.spawn(async { axum::serve(listener, router).await });
        Sink { endpoint, kept, _runtime: runtime }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().unwrap().clone()
    }

    pub(crate) fn logs(&self) -> Vec<Line> {
        self.kept.logs.lock().unwrap().clone()
    }
}

async fn behave(answer: Answer) -> Vec<u8> {
    match answer {
        Answer::Accept => Vec::new(),
        Answer::Never => pending().await,
        Answer::Slow(by) => {
            tokio::time::sleep(by).await; // the slowness under test
            Vec::new()
        }
        Answer::RefuseOne => {
            let partial =
                ExportTracePartialSuccess { rejected_spans: 1, error_message: "no".to_owned() };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
    }
}

async fn traces(State(kept): State<Arc<Kept>>, body: Bytes) -> Vec<u8> {
    let answer = behave(kept.answer).await;
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = kept.spans.lock().unwrap();
    for resource in request.resource_spans {
        let service = service(resource.resource.as_ref());
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                service: service.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                error_type: text(&span.attributes, "error.type"),
                failed: span.status.is_some_and(|status| status.code == 2),
                attributes: span.attributes,
            });
        }
    }
    answer
}

async fn logs(State(kept): State<Arc<Kept>>, body: Bytes) -> Vec<u8> {
    let answer = behave(kept.answer).await;
    let request = ExportLogsServiceRequest::decode(body).unwrap();
    let mut logs = kept.logs.lock().unwrap();
    for resource in request.resource_logs {
        let service = service(resource.resource.as_ref());
        for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            logs.push(Line {
                service: service.clone(),
                trace: hex(&record.trace_id),
                span: hex(&record.span_id),
                body: string(record.body.as_ref()),
            });
        }
    }
    answer
}

fn service(resource: Option<&Resource>) -> String {
    resource.map_or_else(String::new, |resource| text(&resource.attributes, "service.name"))
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    found.map_or_else(String::new, |attribute| string(attribute.value.as_ref()))
}

fn string(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
