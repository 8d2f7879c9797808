use std::{borrow::Cow, time::Instant};

use http::{HeaderMap, Method, StatusCode};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::Url;

use crate::{
    Telemetry,
    metrics::{CANCELLED, ClientLabels, known_method, status_error},
};

/// The span of one attempt of a call. Dropped without [`ClientSpan::end`], it is booked as cancelled.
#[must_use]
#[derive(Debug)]
pub struct ClientSpan {
    telemetry: Telemetry,
    context: Context,
    labels: Option<ClientLabels>,
    begun: Instant,
}

impl Telemetry {
    /// Begins the span of one attempt, a child of the current one. `template` is the path with names for what varies
    /// (`/musics/{id}`): it names the span and is a label, so it must be a constant.
    pub fn client_span(&self, method: &Method, template: &'static str, url: &Url) -> ClientSpan {
        let parent = Context::current();
        let method = known_method(method);
        let (address, port) =
            (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let mut span = self
            .inner
            .tracer
            .span_builder(format!("{method} {template}"))
            .with_kind(SpanKind::Client);
        if self.records(&parent) {
            let mut full = url.clone();
            full.set_query(None); // a query can hold what a person searched for
            span = span.with_attributes([
                KeyValue::new("http.request.method", method),
                KeyValue::new("url.template", template),
                KeyValue::new("url.full", String::from(full)),
                KeyValue::new("server.address", address.to_owned()),
                KeyValue::new("server.port", i64::from(port)),
            ]);
        }
        let span = self.inner.tracer.build_with_context(span, &parent);
        let labels = ClientLabels {
            http_request_method: method,
            url_template: template,
            server_address: address.to_owned(),
            server_port: port,
            http_response_status_code: None,
            error_type: CANCELLED.into(),
        };
        ClientSpan {
            telemetry: self.clone(),
            context: parent.with_span(span),
            labels: Some(labels),
            begun: Instant::now(),
        }
    }

    /// Whether a span under `parent` may be recorded, as far as one can tell beforehand: then its attributes are worth making.
    pub(crate) fn records(&self, parent: &Context) -> bool {
        let span = parent.span();
        let parent = span.span_context();
        self.inner.recording
            && (!self.inner.parent_decides || !parent.is_valid() || parent.is_sampled())
    }
}

impl ClientSpan {
    /// Writes `traceparent` (and `tracestate`) of this attempt.
    pub fn inject(&self, headers: &mut HeaderMap) {
        TraceContextPropagator::new().inject_context(&self.context, &mut HeaderInjector(headers));
    }

    /// Ends it: with the answer's status (4xx and 5xx are errors of a client span), or why there was none.
    pub fn end(mut self, outcome: Result<StatusCode, &'static str>) {
        let (status, error) = match outcome {
            Ok(status) if status.is_client_error() || status.is_server_error() => {
                (Some(status), status_error(status))
            }
            Ok(status) => (Some(status), "".into()),
            Err(error) => (None, error.into()),
        };
        self.finish(status, error);
    }

    fn finish(&mut self, status: Option<StatusCode>, error: Cow<'static, str>) {
        let Some(mut labels) = self.labels.take() else { return };
        let span = self.context.span();
        if span.is_recording() {
            if let Some(status) = status {
                let code = i64::from(status.as_u16());
                span.set_attribute(KeyValue::new("http.response.status_code", code));
            }
            if !error.is_empty() {
                span.set_attribute(KeyValue::new("error.type", error.clone()));
                if error != CANCELLED {
                    span.set_status(Status::error(""));
                }
            }
        }
        span.end();
        labels.http_response_status_code = status.map(|status| status.as_u16());
        labels.error_type = error;
        let seconds = self.begun.elapsed().as_secs_f64();
        self.telemetry.inner.measures.called(&labels, seconds, span.span_context());
    }
}

impl Drop for ClientSpan {
    fn drop(&mut self) {
        self.finish(None, CANCELLED.into());
    }
}
