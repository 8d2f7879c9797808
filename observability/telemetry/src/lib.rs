//! What a service says about itself: traces, metrics and logs, and what became of them.
//!
//! One [`Telemetry`] belongs to one service. It is a handle: cheap to clone, kept in the service's state and given to whatever makes
//! spans. Three pieces make the spans of the request path straight on the OpenTelemetry API, because there the price lies (ADR 0002):
//!
//! - [`ServerLayer`]: one server span per request, its duration (with an exemplar), one access line, the trace's id in the answer;
//! - [`ClientSpan`]: one client span per attempt of an outgoing call, with `traceparent` injected;
//! - [`DbSpan`]: one client span per SQL statement.
//!
//! Everything between them uses the macros of `tracing` (logs, business spans) and `metrics`. Both find the service's own
//! providers because each service has a tokio runtime of its own, whose threads know them ([`Telemetry::runtime`], in `thread.rs`).
//! The current span lives in OpenTelemetry's `Context`, so that a log line carries the ids of the span around it, whoever made it.
//!
//! Nothing here lets a request wait. What cannot be delivered is counted: `enqueued = exported + dropped + failed + in queue`
//! holds for each signal whenever nothing is just on its way from one to the other (`ledger.rs`). Lines have a second way, through
//! tracing-loki, with a gate and books of its own (`loki.rs`).

mod client;
mod config;
mod db;
mod export;
mod ledger;
mod logs;
mod loki;
mod metrics;
mod schema;
mod server;
pub mod testing;
mod thread;

use std::{io, sync::Arc, time::Duration};

use ::metrics::gauge;
use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusHandle, PrometheusRecorder};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{
    logs::SdkLoggerProvider,
    trace::{SdkTracer, SdkTracerProvider},
};
use tracing::Dispatch;

pub use client::ClientSpan;
pub use config::{Config, Export, Sampling};
pub use db::{DbCall, DbSpan};
pub use logs::{Stdout, StdoutGuard};
pub use schema::BUCKETS;
pub use server::ServerLayer;

use crate::{
    ledger::Ledger,
    loki::Loki,
    metrics::{Measures, Signals},
};

/// The telemetry of one service; see the [crate].
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

struct Inner {
    service: String,
    /// Whether requests get spans and access lines; the sidecar's do not, or it would observe itself.
    requests: bool,
    tracer: SdkTracer,
    tracer_provider: SdkTracerProvider,
    logger_provider: Option<SdkLoggerProvider>,
    ledgers: Vec<Arc<Ledger>>,
    /// The other way for lines.
    loki: Option<Loki>,
    dispatch: Dispatch,
    /// Lives as long as the process, because threads refer to it; there is one per service.
    recorder: &'static PrometheusRecorder,
    recorded: PrometheusHandle,
    measures: Measures,
    stdout: Stdout,
    /// Whether spans are recorded at all: there is a destination for them.
    recording: bool,
    /// Whether the sampler leaves it to the parent.
    parent_decides: bool,
}

/// The ways out of the process, besides that of the tracer, with their books.
#[derive(Default)]
struct Ways {
    signals: Signals,
    lines: Option<SdkLoggerProvider>,
    ledgers: Vec<Arc<Ledger>>,
    loki: Option<Loki>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Telemetry({})", self.inner.service)
    }
}

impl Telemetry {
    /// Begins: builds exporters, queues and registries. Must not be called on a thread of a tokio runtime.
    ///
    /// # Errors
    /// When an exporter cannot be built, or its thread not started.
    pub fn start(config: &Config, stdout: &Stdout) -> anyhow::Result<Telemetry> {
        let signals = Signals::default();
        let resource = config.resource();
        let status = logs::stdout_only(config, stdout);
        let ledger =
            |signal, capacity| Arc::new(Ledger::new(signal, capacity, &signals, status.clone()));
        let mut ways = Ways { signals: signals.clone(), ..Ways::default() };
        let mut tracer_provider = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_sampler(config.sampler());
        if let Some(to) = &config.export {
            let client = export::http_client(to).context("starting the exporters' HTTP client")?;
            if to.traces {
                let traces = ledger("traces", to.trace_queue);
                let spans =
                    export::spans(to, &client, &traces).context("building the span exporter")?;
                tracer_provider = tracer_provider.with_span_processor(spans);
                ways.ledgers.push(traces);
            }
            if to.logs {
                let logs = ledger("logs", to.log_queue);
                let lines =
                    export::logs(to, &client, &logs).context("building the log exporter")?;
                let provider = SdkLoggerProvider::builder().with_resource(resource);
                ways.lines = Some(provider.with_log_processor(lines).build());
                ways.ledgers.push(logs);
            }
        }
        if let Some(url) = &config.loki {
            let loki = Loki::start(config, url, status.clone()).context("starting tracing-loki")?;
            if let Some(to) = config.export.as_ref().filter(|to| to.logs) {
                loki.say_both_ways(&to.endpoint);
            }
            ways.loki = Some(loki);
        }
        Ok(Telemetry::assemble(config, stdout, tracer_provider.build(), ways, config.records()))
    }

    fn assemble(
        config: &Config,
        stdout: &Stdout,
        tracer_provider: SdkTracerProvider,
        ways: Ways,
        recording: bool,
    ) -> Telemetry {
        let Ways { signals, lines: logger_provider, ledgers, loki } = ways;
        let tracer = tracer_provider.tracer(env!("CARGO_PKG_NAME"));
        let dispatch =
            logs::subscriber(config, stdout, &tracer, logger_provider.as_ref(), loki.as_ref());
        let (recorder, recorded) = metrics::recorder();
        let measures = Measures::new(&config.version, signals, loki.as_ref().map(Loki::books));
        let inner = Inner {
            service: config.service.clone(),
            requests: config.requests,
            tracer,
            tracer_provider,
            logger_provider,
            ledgers,
            loki,
            dispatch,
            recorder,
            recorded,
            measures,
            stdout: stdout.clone(),
            recording,
            parent_decides: config.sampling.parent_based,
        };
        Telemetry { inner: Arc::new(inner) }
    }

    /// Metrics only: no exporter, nothing on stdout. For tests that look at something else.
    pub fn disabled(service: &str) -> Telemetry {
        let (config, stdout) = (Config::silent(service), Stdout::none());
        let provider = SdkTracerProvider::builder().with_sampler(config.sampler()).build();
        Telemetry::assemble(&config, &stdout, provider, Ways::default(), false)
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.inner.service
    }

    /// A runtime whose threads report as this service: `workers` threads for tasks, besides those for blocking calls.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn runtime(&self, workers: usize) -> io::Result<tokio::runtime::Runtime> {
        thread::runtime(self, workers)
    }

    /// Makes the calling thread report as this service, until another one is installed. Runtimes of [`Telemetry::runtime`] do it
    /// by themselves; this is for a command that works on its first thread, and for tests, which own neither their runtime nor their thread.
    pub fn install(&self) {
        thread::install(self);
    }

    /// The metrics of the service, for a scrape: the content type and the text.
    ///
    /// `accept` is the request's header of that name: OpenMetrics, with exemplars, for who asks for it, else Prometheus' text
    /// format 0.0.4 of the same data.
    pub fn render(&self, accept: Option<&str>) -> (&'static str, String) {
        let recorder = self.inner.recorder;
        ::metrics::with_local_recorder(recorder, || {
            thread::measure_process();
            gauge!(schema::STDOUT_DROPPED).set(self.inner.stdout.dropped() as f64);
        });
        metrics::render(&self.inner.recorded, &self.inner.measures, accept)
    }

    /// Keeps the memory of histograms flat where nobody scrapes. Ends never; the service runs it beside its servers.
    pub async fn upkeep(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        loop {
            tick.tick().await;
            self.inner.recorded.run_upkeep();
            thread::measure_runtime(&tokio::runtime::Handle::current());
        }
    }

    /// Sends what is queued, `limit` at most, and says on stdout what could not be sent. Blocks; what comes later is not
    /// recorded. Must not be called on a thread of a tokio runtime.
    pub fn shutdown(&self, limit: Duration) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.inner.tracer_provider.shutdown_with_timeout(limit));
            if let Some(provider) = &self.inner.logger_provider {
                scope.spawn(move || provider.shutdown_with_timeout(limit));
            }
            if let Some(loki) = &self.inner.loki {
                scope.spawn(move || loki.shutdown(limit));
            }
        });
        for ledger in &self.inner.ledgers {
            ledger.report();
        }
        if let Some(loki) = &self.inner.loki {
            loki.report();
        }
    }
}

/// The trace that the calling code belongs to, 32 hexadecimal digits.
pub fn trace_id() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let id = span.span_context();
        id.is_valid().then(|| id.trace_id().to_string())
    })
}
