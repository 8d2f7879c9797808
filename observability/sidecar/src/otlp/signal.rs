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
    logs::v1::{ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric::Data},
    trace::v1::{ResourceSpans, ScopeSpans},
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

    /// The same items as several requests of so many bytes at most, but where one item, or what stands around it, is larger.
    ///
    /// # Errors
    /// What `each` says.
    fn in_parts(
        &self,
        most: usize,
        each: impl FnMut(Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal>;

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
                    let most = pipeline.largest_request();
                    let wire = wire.filter(|it| rejected == 0 && it.len() <= most);
                    self.observe(pipeline);
                    let parts = match wire {
                        Some(wire) => vec![(accepted, wire)],
                        None => {
                            let mut parts = Vec::new();
                            self.in_parts(most, |it| {
                                share.grow(it.encoded_len())?;
                                parts.push((it.items(), it.encode_to_vec().into()));
                                Ok(())
                            })?;
                            parts
                        }
                    };
                    pipeline.accept(&parts)?;
                }
                self.keep(store);
                Added { accepted, rejected, reason: reason.to_owned() }
            }
        };
        meter::received(Self::NAME, added.accepted, added.rejected);
        Ok(added)
    }
}

/// Besides its own bytes, what an item takes as part of another message.
const AROUND: usize = 8;

/// [`Signal::in_parts`] of the three forms that are alike but for their names: resources with scopes with items.
///
/// Resource and scope stand in each part again. A part ends only when its items are at least as large as they, so all parts together are never
/// more than three times the request, whatever somebody writes into a resource.
macro_rules! in_parts {
    ($resources:ident: $resource:ident, $scopes:ident: $scope:ident, $items:ident) => {
        fn in_parts(
            &self,
            most: usize,
            mut each: impl FnMut(Self) -> Result<(), Refusal>,
        ) -> Result<(), Refusal> {
            let (mut part, mut heads, mut items) = (Self::default(), 0, 0);
            for resource in &self.$resources {
                let mut of_part: Option<$resource> = None;
                for scope in &resource.$scopes {
                    let mut is_begun = false;
                    for item in &scope.$items {
                        let bytes = item.encoded_len() + AROUND;
                        if items > 0 && items >= heads && heads + items + bytes > most {
                            part.$resources.extend(of_part.take());
                            each(std::mem::take(&mut part))?;
                            (heads, items, is_begun) = (0, 0, false);
                        }
                        let of_part = of_part.get_or_insert_with(|| {
                            let (resource, schema_url) =
                                (resource.resource.clone(), resource.schema_url.clone());
                            let begun = $resource { resource, schema_url, ..$resource::default() };
                            heads += begun.encoded_len() + AROUND;
                            begun
                        });
                        if !is_begun {
                            let (scope, schema_url) =
                                (scope.scope.clone(), scope.schema_url.clone());
                            let begun = $scope { scope, schema_url, ..$scope::default() };
                            heads += begun.encoded_len() + AROUND;
                            of_part.$scopes.push(begun);
                            is_begun = true;
                        }
                        if let Some(scope) = of_part.$scopes.last_mut() {
                            scope.$items.push(item.clone());
                        }
                        items += bytes;
                    }
                }
                part.$resources.extend(of_part);
            }
            if items > 0 { each(part) } else { Ok(()) }
        }
    };
}

fn rejected(added: &Added) -> i64 {
    i64::try_from(added.rejected).unwrap_or(i64::MAX)
}

impl Signal for ExportTraceServiceRequest {
    type Response = ExportTraceServiceResponse;

    const NAME: &'static str = "traces";
    const SHAPE: &'static Shape = &weight::TRACES;
    const REJECTED: &'static str = "rejectedSpans";

    in_parts!(resource_spans: ResourceSpans, scope_spans: ScopeSpans, spans);

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

    in_parts!(resource_logs: ResourceLogs, scope_logs: ScopeLogs, log_records);

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

    in_parts!(resource_metrics: ResourceMetrics, scope_metrics: ScopeMetrics, metrics);

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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        common::v1::KeyValue, resource::v1::Resource, trace::v1::Span,
    };

    use super::*;

    #[test]
    fn a_large_resource_is_not_multiplied_by_what_it_has() {
        let most = 10_000;
        for (resource, spans) in [(100, 1000), (9_000, 1000), (30_000, 1000), (200_000, 5)] {
            let attribute = KeyValue { key: "x".repeat(resource), ..KeyValue::default() };
            let resource = Resource { attributes: vec![attribute], ..Resource::default() };
            let spans = (0..spans).map(|id: u64| Span {
                span_id: id.to_be_bytes().to_vec(),
                name: "y".repeat(100),
                ..Span::default()
            });
            let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
            let resource_spans = vec![ResourceSpans {
                resource: Some(resource),
                scope_spans,
                ..ResourceSpans::default()
            }];
            let whole = ExportTraceServiceRequest { resource_spans };
            let mut parts = Vec::new();
            let all = whole.in_parts(most, |it| {
                parts.push(it);
                Ok(())
            });
            assert_eq!(all, Ok(()));
            let bytes: Vec<usize> = parts.iter().map(Message::encoded_len).collect();
            assert!(bytes.iter().sum::<usize>() <= 3 * whole.encoded_len(), "{bytes:?}");
            assert_eq!(parts.iter().map(Signal::items).sum::<u64>(), whole.items());
        }
    }
}
