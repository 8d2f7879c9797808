//! The two registries behind one `/metrics`.
//!
//! `metrics-exporter-prometheus` has what the macros of `metrics` count; it knows no exemplars. `prometheus-client` has the request
//! durations with exemplars and the ledgers. Each writes its own text format; here one is turned into the other, so that a scrape gets
//! all of it as OpenMetrics or all of it as Prometheus text.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use opentelemetry::trace::{SpanContext, TraceId};
use prometheus_client::{
    encoding::{EncodeLabelSet, LabelSetEncoder, text},
    metrics::{counter::Counter, exemplar::HistogramWithExemplars, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::schema;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The recorder of the macros. It is leaked: threads keep references to it, and there is one for each service of the process.
pub(crate) fn recorder() -> (&'static PrometheusRecorder, PrometheusHandle) {
    let database = Matcher::Full(schema::DB_DURATION.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets(&schema::BUCKETS)
        .and_then(|it| it.set_buckets_for_metric(database, &schema::DB_BUCKETS))
        .expect("the bounds are constants and not empty");
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        for (name, unit, help) in schema::HELP {
            metrics::describe_gauge!(name, unit, help);
        }
    });
    (Box::leak(Box::new(recorder)), handle)
}

/// Labels of a served request. Every value is bounded: the route is the pattern, unknown methods are `_OTHER`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ServerLabels {
    pub(crate) http_request_method: &'static str,
    pub(crate) http_route: Cow<'static, str>,
    pub(crate) http_response_status_code: Option<u16>,
    pub(crate) error_type: Cow<'static, str>,
}

/// Labels of an attempt of a call. The template is a constant of the code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ClientLabels {
    pub(crate) http_request_method: &'static str,
    pub(crate) url_template: &'static str,
    pub(crate) server_address: String,
    pub(crate) server_port: u16,
    pub(crate) http_response_status_code: Option<u16>,
    pub(crate) error_type: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    service_version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignalLabel {
    signal: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LossLabels {
    signal: &'static str,
    reason: &'static str,
}

/// The trace of an exemplar; written out only when scraped.
#[derive(Clone, Debug)]
pub(crate) struct TraceLabel(TraceId);

impl EncodeLabelSet for TraceLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("trace_id", self.0.to_string())].encode(encoder)
    }
}

type Durations<L> =
    Family<L, HistogramWithExemplars<TraceLabel>, fn() -> HistogramWithExemplars<TraceLabel>>;

fn durations<L: Clone + std::hash::Hash + Eq>() -> Durations<L> {
    Family::new_with_constructor(|| HistogramWithExemplars::new(schema::BUCKETS.into_iter()))
}

/// What the request path measures.
pub(crate) struct Measures {
    registry: Registry,
    server: Durations<ServerLabels>,
    client: Durations<ClientLabels>,
    pub(crate) active_requests: Gauge,
}

impl Measures {
    pub(crate) fn new(version: &str, signals: Signals, shipped: Option<&Shipped>) -> Measures {
        let (server, client) = (durations(), durations());
        let active_requests = Gauge::default();
        let mut registry = Registry::default();
        registry.register(
            "http_server_request_duration_seconds",
            "Duration of served HTTP requests",
            server.clone(),
        );
        registry.register(
            "http_client_request_duration_seconds",
            "Duration of attempts of HTTP calls to other services",
            client.clone(),
        );
        registry.register(
            "http_server_active_requests",
            "HTTP requests being served",
            active_requests.clone(),
        );
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { service_version: version.to_owned() }).set(1);
        registry.register("build_info", "Which version of the program this is: always 1", build);
        signals.register(&mut registry);
        if let Some(shipped) = shipped {
            shipped.register(&mut registry);
        }
        Measures { registry, server, client, active_requests }
    }

    pub(crate) fn served(&self, labels: &ServerLabels, seconds: f64, span: &SpanContext) {
        self.server.get_or_create(labels).observe(seconds, exemplar(span), None);
    }

    pub(crate) fn called(&self, labels: &ClientLabels, seconds: f64, span: &SpanContext) {
        self.client.get_or_create(labels).observe(seconds, exemplar(span), None);
    }
}

/// Only a recorded trace can be opened later.
fn exemplar(span: &SpanContext) -> Option<TraceLabel> {
    span.is_sampled().then(|| TraceLabel(span.trace_id()))
}

/// The counters of the ledgers.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    enqueued: Family<SignalLabel, Counter>,
    exported: Family<SignalLabel, Counter>,
    in_queue: Family<SignalLabel, Gauge>,
    capacity: Family<SignalLabel, Gauge>,
    dropped: Family<LossLabels, Counter>,
    failed: Family<LossLabels, Counter>,
}

const DROP_REASONS: [&str; 1] = ["queue_full"];
const FAIL_REASONS: [&str; 7] =
    ["not_sent", "unreachable", "timeout", "refused", "overloaded", "server_error", "rejected"];

/// One kind of loss of one signal.
pub(crate) struct ByReason {
    signal: &'static str,
    family: Family<LossLabels, Counter>,
}

impl ByReason {
    pub(crate) fn reason(&self, reason: &'static str) -> Counter {
        self.family.get_or_create_owned(&LossLabels { signal: self.signal, reason })
    }

    pub(crate) fn total(&self) -> u64 {
        let reasons = DROP_REASONS.iter().chain(&FAIL_REASONS);
        let count = |reason: &&'static str| {
            let labels = LossLabels { signal: self.signal, reason };
            self.family.get(&labels).map_or(0, |counter| counter.get())
        };
        reasons.map(count).sum()
    }
}

impl Signals {
    pub(crate) fn enqueued(&self, signal: &'static str) -> Counter {
        self.enqueued.get_or_create_owned(&SignalLabel { signal })
    }

    pub(crate) fn exported(&self, signal: &'static str) -> Counter {
        self.exported.get_or_create_owned(&SignalLabel { signal })
    }

    pub(crate) fn in_queue(&self, signal: &'static str) -> Gauge {
        self.in_queue.get_or_create_owned(&SignalLabel { signal })
    }

    pub(crate) fn capacity(&self, signal: &'static str) -> Gauge {
        self.capacity.get_or_create_owned(&SignalLabel { signal })
    }

    /// Lost before an export was tried. The series exist from the start, so that a first loss is an increase.
    pub(crate) fn dropped(&self, signal: &'static str) -> ByReason {
        let by = ByReason { signal, family: self.dropped.clone() };
        DROP_REASONS.iter().for_each(|reason| drop(by.reason(reason)));
        by
    }

    /// Lost because an export did not succeed.
    pub(crate) fn failed(&self, signal: &'static str) -> ByReason {
        let by = ByReason { signal, family: self.failed.clone() };
        FAIL_REASONS.iter().for_each(|reason| drop(by.reason(reason)));
        by
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Spans and log records handed over for export";
        registry.register("telemetry_enqueued_items", help, self.enqueued.clone());
        let help = "Spans and log records that the receiver acknowledged";
        registry.register("telemetry_exported_items", help, self.exported.clone());
        let help = "Spans and log records lost before an export was tried";
        registry.register("telemetry_dropped_items", help, self.dropped.clone());
        let help = "Spans and log records lost because their export did not succeed";
        registry.register("telemetry_failed_items", help, self.failed.clone());
        let help = "Spans and log records waiting or being exported";
        registry.register("telemetry_queue_items", help, self.in_queue.clone());
        let help = "Spans and log records that may wait or be under way";
        registry.register("telemetry_queue_capacity_items", help, self.capacity.clone());
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

const WITHHOLD_REASONS: [&str; 3] = ["unreachable", "queue_full", "stopping"];
const SHIP_REASONS: [&str; 5] = ["unreachable", "timeout", "refused", "overloaded", "server_error"];

/// The books of `loki.rs`: `fed = acknowledged + failed + in flight`; what was withheld was not fed.
#[derive(Clone, Default)]
pub(crate) struct Shipped {
    pub(crate) fed: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) in_flight: Gauge,
    failed: Family<ReasonLabel, Counter>,
    withheld: Family<ReasonLabel, Counter>,
}

impl Shipped {
    pub(crate) fn failed(&self, reason: &'static str) -> Counter {
        self.failed.get_or_create_owned(&ReasonLabel { reason })
    }

    pub(crate) fn withheld(&self, reason: &'static str) -> Counter {
        self.withheld.get_or_create_owned(&ReasonLabel { reason })
    }

    /// Of all reasons: withheld, failed.
    pub(crate) fn lost(&self) -> (u64, u64) {
        let withheld = WITHHOLD_REASONS.iter().map(|reason| self.withheld(reason).get()).sum();
        (withheld, SHIP_REASONS.iter().map(|reason| self.failed(reason).get()).sum())
    }

    fn register(&self, registry: &mut Registry) {
        self.lost(); // now the series exist
        let help = "Lines fed to tracing-loki";
        registry.register("telemetry_loki_fed_lines", help, self.fed.clone());
        let help = "Lines fed to tracing-loki, all of which the receiver has acknowledged";
        registry.register("telemetry_loki_acknowledged_lines", help, self.acknowledged.clone());
        let help = "Lines fed to tracing-loki of which it is not known that the receiver took them";
        registry.register("telemetry_loki_failed_lines", help, self.failed.clone());
        let help = "Lines not fed to tracing-loki";
        registry.register("telemetry_loki_withheld_lines", help, self.withheld.clone());
        let help = "Lines fed to tracing-loki that are neither acknowledged nor given up";
        registry.register("telemetry_loki_in_flight_lines", help, self.in_flight.clone());
    }
}

/// One text of both registries, and its content type.
pub(crate) fn render(
    recorded: &PrometheusHandle,
    measures: &Measures,
    accept: Option<&str>,
) -> (&'static str, String) {
    let mut own = String::new();
    text::encode_registry(&mut own, &measures.registry).expect("writing to a string succeeds");
    // `metrics` has whole counters only, so that the seconds are a gauge there.
    let cpu = "# TYPE process_cpu_seconds_total ";
    let recorded = recorded.render().replace(&format!("{cpu}gauge"), &format!("{cpu}counter"));
    if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
        let mut text = own;
        to_openmetrics(&recorded, &mut text);
        text.push_str("# EOF\n");
        (OPENMETRICS, text)
    } else {
        let mut text = recorded;
        to_prometheus(&own, &mut text);
        (PROMETHEUS, text)
    }
}

/// Prometheus text as OpenMetrics: a counter's family is named without `_total`, and there are no blank lines.
fn to_openmetrics(prometheus: &str, out: &mut String) {
    let counters: Vec<&str> = prometheus
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    for line in prometheus.lines().filter(|line| !line.is_empty()) {
        let comment = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|kind| Some((kind, line.strip_prefix(kind)?.split_once(' ')?)));
        match comment {
            Some((kind, (name, rest))) if counters.contains(&name) => {
                let family = name.strip_suffix("_total").unwrap_or(name);
                let _ = writeln!(out, "{kind}{family} {rest}");
            }
            _ => {
                let _ = writeln!(out, "{line}");
            }
        }
    }
}

/// OpenMetrics as Prometheus text: a counter's family has its `_total`, there are neither units, exemplars nor an end.
fn to_prometheus(openmetrics: &str, out: &mut String) {
    let counters: Vec<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    for line in openmetrics.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let comment = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|kind| Some((kind, line.strip_prefix(kind)?.split_once(' ')?)));
        match comment {
            Some((kind, (name, rest))) if counters.contains(&name) => {
                let _ = writeln!(out, "{kind}{name}_total {rest}");
            }
            Some(_) => {
                let _ = writeln!(out, "{line}");
            }
            None => {
                let sample = line.split_once(" # {").map_or(line, |(sample, _)| sample);
                let _ = writeln!(out, "{sample}");
            }
        }
    }
}

/// Methods that exist; a client can invent any number of others.
pub(crate) fn known_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

/// `error.type` of what nobody waited for any more. It is no error of the span: the conventions have none for what was given up on purpose.
pub(crate) const CANCELLED: &str = "cancelled";

/// A status as the value of `error.type`.
pub(crate) fn status_error(status: http::StatusCode) -> Cow<'static, str> {
    match status.as_u16() {
        500 => "500".into(),
        502 => "502".into(),
        503 => "503".into(),
        504 => "504".into(),
        other => other.to_string().into(),
    }
}

/// Shared so that a route's text is allocated once per request at most.
pub(crate) type Route = Option<Arc<str>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_tell_the_same_counters() {
        let prometheus = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"y\"} 3\n\n# TYPE g gauge\ng 1\n";
        let mut openmetrics = String::new();
        to_openmetrics(prometheus, &mut openmetrics);
        assert_eq!(
            openmetrics,
            "# HELP a Things.\n# TYPE a counter\na_total{x=\"y\"} 3\n# TYPE g gauge\ng 1\n"
        );
        let mut back = String::new();
        to_prometheus(&openmetrics, &mut back);
        assert_eq!(back, prometheus.replace("\n\n", "\n"));
    }

    #[test]
    fn prometheus_text_has_no_exemplars() {
        let own = "# TYPE d histogram\nd_bucket{le=\"1.0\"} 1 # {trace_id=\"ab\"} 0.5\n# EOF\n";
        let mut text = String::new();
        to_prometheus(own, &mut text);
        assert_eq!(text, "# TYPE d histogram\nd_bucket{le=\"1.0\"} 1\n");
    }
}
