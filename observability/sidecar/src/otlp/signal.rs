//! Traces, logs and metrics as one kind of thing: a request that is decoded, kept, and answered.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
        metrics::v1::{
            ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        },
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        },
    },
    metrics::v1::{Metric, metric::Data},
};
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::weight::{self, Shape};
use crate::{Store, meter, store::Added};

/// What is the same for the three signals.
pub(crate) trait Signal: Message + DeserializeOwned + Default + 'static {
    /// The answer in protobuf.
    type Response: Message + Default;

    /// The label of metrics.
    const NAME: &'static str;
    /// What its messages are made of.
    const SHAPE: &'static Shape;
    /// The name of the count in the answer as JSON.
    const REJECTED: &'static str;

    fn keep(self, store: &dyn Store) -> Added;

    /// The answer. Its `partial_success` is only set when something was rejected.
    fn response(added: &Added) -> Self::Response;

    /// The answer as JSON.
    fn json(added: &Added) -> Value {
        match added.rejected {
            0 => json!({}),
            rejected => json!({"partialSuccess": {
                Self::REJECTED: rejected.to_string(), "errorMessage": added.reason,
            }}),
        }
    }

    /// Keeps it and counts what became of it.
    fn receive(self, store: &dyn Store) -> Added {
        let added = self.keep(store);
        meter::received(Self::NAME, added.accepted, added.rejected);
        added
    }
}

fn rejected(added: &Added) -> i64 {
    i64::try_from(added.rejected).unwrap_or(i64::MAX)
}

impl Signal for ExportTraceServiceRequest {
    type Response = ExportTraceServiceResponse;

    const NAME: &'static str = "traces";
    const SHAPE: &'static Shape = &weight::TRACES;
    const REJECTED: &'static str = "rejectedSpans";

    fn keep(self, store: &dyn Store) -> Added {
        store.add_spans(self.resource_spans)
    }

    fn response(added: &Added) -> ExportTraceServiceResponse {
        let partial_success = (added.rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected(added),
            error_message: added.reason.clone(),
        });
        ExportTraceServiceResponse { partial_success }
    }
}

impl Signal for ExportLogsServiceRequest {
    type Response = ExportLogsServiceResponse;

    const NAME: &'static str = "logs";
    const SHAPE: &'static Shape = &weight::LOGS;
    const REJECTED: &'static str = "rejectedLogRecords";

    fn keep(self, store: &dyn Store) -> Added {
        store.add_logs(self.resource_logs)
    }

    fn response(added: &Added) -> ExportLogsServiceResponse {
        let partial_success = (added.rejected > 0).then(|| ExportLogsPartialSuccess {
            rejected_log_records: rejected(added),
            error_message: added.reason.clone(),
        });
        ExportLogsServiceResponse { partial_success }
    }
}

impl Signal for ExportMetricsServiceRequest {
    type Response = ExportMetricsServiceResponse;

    const NAME: &'static str = "metrics";
    const SHAPE: &'static Shape = &weight::METRICS;
    const REJECTED: &'static str = "rejectedDataPoints";

    /// There is no store for metrics: the services' own are scraped. All are rejected, which senders must not repeat.
    fn keep(self, _store: &dyn Store) -> Added {
        let metrics = self.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        let points = metrics.flat_map(|scope| &scope.metrics).map(points).sum::<usize>();
        let reason = "metrics are not kept here: let Prometheus scrape them".to_owned();
        Added { accepted: 0, rejected: points as u64, reason }
    }

    fn response(added: &Added) -> ExportMetricsServiceResponse {
        let partial_success = (added.rejected > 0).then(|| ExportMetricsPartialSuccess {
            rejected_data_points: rejected(added),
            error_message: added.reason.clone(),
        });
        ExportMetricsServiceResponse { partial_success }
    }
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(it)) => it.data_points.len(),
        Some(Data::Sum(it)) => it.data_points.len(),
        Some(Data::Histogram(it)) => it.data_points.len(),
        Some(Data::ExponentialHistogram(it)) => it.data_points.len(),
        Some(Data::Summary(it)) => it.data_points.len(),
        None => 0,
    }
}
