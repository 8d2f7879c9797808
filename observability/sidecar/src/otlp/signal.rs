//! Traces, logs and metrics as one kind of thing: a request that is decoded, kept, and answered.

use bytes::Bytes;
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
use crate::{
    Store,
    agent::{Agent, Pipeline},
    meter,
    otlp::{budget::Share, status::Refusal},
    store::{Added, ids},
};

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

    /// How many items there are.
    fn items(&self) -> u64;

    /// Takes out what is not valid; how many items that were, and why the first of them was not.
    fn take_out_invalid(&mut self) -> (u64, &'static str) {
        (0, "")
    }

    /// Shows them to the sampler, if they are spans.
    fn observe(&self, _: &Pipeline) {}

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

    /// Hands it on and keeps it, and counts what became of it. `wire` is what it was decoded from, if that was protobuf.
    ///
    /// Where there is a destination, that is what counts: what it gets is accepted, whether there is room for it here or not.
    ///
    /// # Errors
    /// When it cannot be handed on; then it is not kept either, because the sender will try again.
    fn receive(
        mut self,
        store: &dyn Store,
        agent: &Agent,
        wire: Option<Bytes>,
        share: &mut Share,
    ) -> Result<Added, Refusal> {
        let added = match agent.pipeline(Self::NAME) {
            None => self.keep(store),
            Some(pipeline) => {
                let (rejected, reason) = self.take_out_invalid();
                let accepted = self.items();
                if accepted > 0 {
                    let wire = wire.filter(|_| rejected == 0);
                    self.observe(pipeline);
                    let request = match wire {
                        Some(wire) => wire,
                        None => {
                            share.grow(self.encoded_len())?;
                            self.encode_to_vec().into()
                        }
                    };
                    pipeline.accept(accepted, &request)?;
                }
                self.keep(store);
                Added { accepted, rejected, reason: reason.to_owned() }
            }
        };
        meter::received(Self::NAME, added.accepted, added.rejected);
        Ok(added)
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

    fn items(&self) -> u64 {
        let scopes = self.resource_spans.iter().flat_map(|it| &it.scope_spans);
        scopes.map(|it| it.spans.len() as u64).sum()
    }

    fn take_out_invalid(&mut self) -> (u64, &'static str) {
        let (mut rejected, mut reason) = (0, "");
        for scope in self.resource_spans.iter_mut().flat_map(|it| &mut it.scope_spans) {
            scope.spans.retain(|span| {
                let Err(why) = ids(span) else { return true };
                rejected += 1;
                if reason.is_empty() {
                    reason = why;
                }
                false
            });
        }
        (rejected, reason)
    }

    fn observe(&self, pipeline: &Pipeline) {
        pipeline.observe(&self.resource_spans);
    }

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

    fn items(&self) -> u64 {
        let scopes = self.resource_logs.iter().flat_map(|it| &it.scope_logs);
        scopes.map(|it| it.log_records.len() as u64).sum()
    }

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

    fn items(&self) -> u64 {
        let metrics = self.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        metrics.flat_map(|scope| &scope.metrics).map(|it| points(it) as u64).sum()
    }

    /// There is no store for metrics: the services' own are scraped. All are rejected, which senders must not repeat.
    fn keep(self, _store: &dyn Store) -> Added {
        let reason = "metrics are not kept here: let Prometheus scrape them, or name a destination in \
                      SIDECAR_METRICS_ENDPOINT";
        Added { accepted: 0, rejected: self.items(), reason: reason.to_owned() }
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
