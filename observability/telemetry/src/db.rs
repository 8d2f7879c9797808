use std::time::Instant;

use metrics::histogram;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanKind, Status, Tracer},
};
use opentelemetry_sdk::trace::Span;

use crate::{Telemetry, metrics::CANCELLED, schema};

/// What is known of a statement before it runs.
#[derive(Clone, Copy, Debug)]
pub struct DbCall<'a> {
    /// `db.system.name`: `sqlite` or `postgresql`.
    pub system: &'static str,
    /// `db.namespace`: the name of the database, without a path.
    pub namespace: &'a str,
    /// `db.query.summary`, which also names the span: operation and table, `SELECT musics`.
    pub summary: &'static str,
    /// `db.query.text`: with placeholders, never with values.
    pub text: &'static str,
}

/// The span and the duration of one statement. Dropped without [`DbSpan::end`], it is booked as cancelled.
#[must_use]
#[derive(Debug)]
pub struct DbSpan {
    span: Span,
    system: &'static str,
    summary: &'static str,
    begun: Instant,
    ended: bool,
}

impl Telemetry {
    /// Begins the span of a statement, a child of the current one.
    pub fn db_span(&self, call: &DbCall<'_>) -> DbSpan {
        let parent = Context::current();
        let mut span = self.inner.tracer.span_builder(call.summary).with_kind(SpanKind::Client);
        if self.records(&parent) {
            let (operation, collection) =
                call.summary.split_once(' ').unwrap_or((call.summary, ""));
            let mut attributes = vec![
                KeyValue::new("db.system.name", call.system),
                KeyValue::new("db.namespace", call.namespace.to_owned()),
                KeyValue::new("db.operation.name", operation),
                KeyValue::new("db.query.summary", call.summary),
                KeyValue::new("db.query.text", call.text),
            ];
            if !collection.is_empty() {
                attributes.push(KeyValue::new("db.collection.name", collection));
            }
            span = span.with_attributes(attributes);
        }
        let span = self.inner.tracer.build_with_context(span, &parent);
        let (system, summary) = (call.system, call.summary);
        DbSpan { span, system, summary, begun: Instant::now(), ended: false }
    }
}

impl DbSpan {
    /// Notes the database's own code of a failure: `db.response.status_code`.
    pub fn response_status_code(&mut self, code: &str) {
        self.span.set_attribute(KeyValue::new("db.response.status_code", code.to_owned()));
    }

    /// Ends it; `error` is the value of `error.type`: the database's code, or a word such as `timeout`.
    pub fn end(mut self, error: Option<&str>) {
        self.finish(error);
    }

    fn finish(&mut self, error: Option<&str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let mut labels = vec![
            metrics::Label::from_static_parts("db_system_name", self.system),
            metrics::Label::from_static_parts("db_query_summary", self.summary),
        ];
        if let Some(error) = error {
            self.span.set_attribute(KeyValue::new("error.type", error.to_owned()));
            if error != CANCELLED {
                self.span.set_status(Status::error(""));
            }
            labels.push(metrics::Label::new("error_type", error.to_owned()));
        }
        self.span.end();
        histogram!(schema::DB_DURATION, labels).record(self.begun.elapsed().as_secs_f64());
    }
}

impl Drop for DbSpan {
    fn drop(&mut self) {
        self.finish(Some(CANCELLED));
    }
}
