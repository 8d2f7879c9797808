//! A sidecar on sockets of its own, and what its senders and operators see of it.

use std::{
    fmt::{Debug, Write as _},
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use platform::service::{Endpoint, Parts, ServerConfig};
use prost::Message;
use reqwest::{Client, Response, header::CONTENT_TYPE};
use serde_json::Value;
use sidecar::{Alerts, Config};
use telemetry::Telemetry;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Longer than anything here takes on a busy machine; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sidecar that runs.
pub(crate) struct Agent {
    parts: Parts,
    http: String,
    console: String,
    client: Client,
    lines: Lines,
    served: Option<JoinHandle<anyhow::Result<()>>>,
    /// `None` once it was left to end by itself.
    runtime: Option<Runtime>,
}

impl Agent {
    /// With traces that wait in memory or `spool`, and go to `to`.
    pub(crate) async fn start(to: &str, spool: Option<&Path>, more: &[(&str, &str)]) -> Agent {
        Agent::try_start(to, spool, more).await.unwrap()
    }

    /// # Errors
    /// What the operator is told, in one line.
    pub(crate) async fn try_start(
        to: &str,
        spool: Option<&Path>,
        more: &[(&str, &str)],
    ) -> Result<Agent, String> {
        let spool = spool.map_or("memory", |it| it.to_str().unwrap());
        let own =
            [("SIDECAR_TRACES_ENDPOINT", to), ("SIDECAR_SPOOL", spool), ("CONSOLE_SCRAPE", "")];
        let config = Config::from_pairs(&[&own[..], more].concat());
        let lines = Lines::default();
        let runtime = runtime(&lines);
        let parts = Parts::new(Telemetry::disabled("sidecar"));
        let for_endpoints = parts.clone();
        let made = runtime
            .spawn(async move { sidecar::endpoints(&config, &for_endpoints, Alerts::default()) });
        let made = match made.await.unwrap() {
            Ok(made) => made,
            Err(error) => {
                runtime.shutdown_background();
                return Err(format!("{error:#}"));
            }
        };
        let (mut endpoints, mut urls) = (Vec::new(), Vec::new());
        for (role, router, policy) in made {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            urls.push((role, format!("http://{}", listener.local_addr().unwrap())));
            endpoints.push(Endpoint { role, listener, router, policy });
        }
        let url = |role| urls.iter().find(|it| it.0 == role).unwrap().1.clone();
        let (http, console) = (url("otlp-http"), url("console"));
        let internal = TcpListener::bind("127.0.0.1:0").unwrap();
        let running = parts.clone();
        let served = runtime.spawn(async move {
            let at_once = ServerConfig { notice: Duration::ZERO, ..ServerConfig::default() };
            platform::service::run(running, internal, endpoints, &at_once).await
        });
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let (served, runtime) = (Some(served), Some(runtime));
        Ok(Agent { parts, http, console, client, lines, served, runtime })
    }

    /// Sends spans with these ids in one request, as large as they are told to be.
    pub(crate) async fn send_large(
        &self,
        ids: impl IntoIterator<Item = u64>,
        bytes: usize,
    ) -> Response {
        let spans = ids.into_iter().map(|id| Span {
            trace_id: vec![7; 16],
            span_id: id.to_be_bytes().to_vec(),
            name: "x".repeat(bytes),
            ..Span::default()
        });
        self.post("traces", &traces(spans.collect())).await
    }

    /// Sends small spans with these ids, which must be received.
    pub(crate) async fn send(&self, ids: impl IntoIterator<Item = u64>) {
        let answer = self.send_large(ids, 8).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }

    /// Sends a request of OTLP.
    pub(crate) async fn post(&self, signal: &str, message: &impl Message) -> Response {
        let request = self.client.post(format!("{}/v1/{signal}", self.http));
        let request = request.header(CONTENT_TYPE, "application/x-protobuf");
        request.body(message.encode_to_vec()).send().await.unwrap()
    }

    /// The books of a signal, as the console tells them.
    pub(crate) async fn books(&self, signal: &str) -> Value {
        let told = self.client.get(format!("{}/delivery.json", self.console)).send().await.unwrap();
        let told: Value = told.json().await.unwrap();
        let pipelines = told["pipelines"].as_array().unwrap();
        pipelines.iter().find(|it| it["signal"] == signal).unwrap().clone()
    }

    /// The books of traces, once nothing waits. They balance.
    pub(crate) async fn settled(&self) -> Value {
        self.books_when("nothing waits", |books| books["in_spool"] == 0).await
    }

    /// The books of traces, once they are like that. They balance.
    pub(crate) async fn books_when(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let books = self.books("traces").await;
            assert_eq!(books["unaccounted"], 0, "{books:#}");
            if is(&books) {
                return books;
            }
            let told = self.lines.all().join("\n");
            assert!(Instant::now() < deadline, "never: {what}; {books:#}\n{told}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The lines that it has written so far with this in them.
    pub(crate) fn lines(&self, part: &str) -> Vec<String> {
        self.lines.of(part)
    }

    /// What it writes, also after its end.
    pub(crate) fn all_lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Stops it as a signal does; how long that took.
    pub(crate) async fn stop(mut self) -> Duration {
        let began = Instant::now();
        self.parts.stopping.cancel();
        self.served.take().unwrap().await.unwrap().unwrap();
        began.elapsed()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// A request with these spans.
pub(crate) fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

/// One whose threads write to `lines`.
fn runtime(lines: &Lines) -> Runtime {
    let dispatch = tracing::Dispatch::new(lines.clone());
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().on_thread_start(move || {
        // For as long as there is the thread.
        std::mem::forget(tracing::dispatcher::set_default(&dispatch));
    });
    builder.build().unwrap()
}

/// What was logged: level, message and fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Those with this in them.
    pub(crate) fn of(&self, part: &str) -> Vec<String> {
        self.all().into_iter().filter(|it| it.contains(part)).collect()
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}
