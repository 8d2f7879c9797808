//! Log lines: to stdout always, and by OTLP where there is a destination. Both carry the ids of the span around them.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, BufWriter, IsTerminal, Write as _},
    os::fd::AsFd,
    time::SystemTime,
};

use opentelemetry::{Context, trace::TraceContextExt};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::{logs::SdkLoggerProvider, trace::SdkTracer};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{
    Dispatch, Event, Subscriber,
    field::{Field, Visit},
};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer,
    filter::filter_fn,
    layer::{Context as LayerContext, SubscriberExt},
    registry::Registry,
};

use crate::config::Config;

/// How many lines may wait for a reader of stdout; more are dropped and counted, so that no request waits for one.
const WAITING_LINES: usize = 8192;

/// The process's stdout, shared by the services in it.
#[derive(Clone, Debug)]
pub struct Stdout {
    writer: Option<NonBlocking>,
    dropped: Option<ErrorCounter>,
    readable: bool,
}

/// Writes what still waits when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct StdoutGuard(#[expect(dead_code, reason = "its drop is what it is for")] WorkerGuard);

impl Stdout {
    /// Starts the thread that writes: JSON, one object a line; readable text where stdout is a terminal.
    ///
    /// # Errors
    /// When the process has no stdout.
    pub fn start() -> io::Result<(Stdout, StdoutGuard)> {
        // Not `io::stdout()` itself: that writes each line by itself. The thread flushes whenever nothing waits.
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING_LINES)
            .lossy(true)
            .finish(BufWriter::with_capacity(64 << 10, stdout));
        let dropped = Some(writer.error_counter());
        let readable = io::stdout().is_terminal();
        Ok((Stdout { writer: Some(writer), dropped, readable }, StdoutGuard(guard)))
    }

    /// No output.
    pub fn none() -> Stdout {
        Stdout { writer: None, dropped: None, readable: false }
    }

    /// A line that is not a log line, such as an announcement for other programs; in order with the log lines.
    pub fn line(&self, text: &str) {
        self.write(format!("{text}\n").into_bytes());
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.as_ref().map_or(0, ErrorCounter::dropped_lines)
    }

    fn write(&self, line: Vec<u8>) {
        if let Some(mut writer) = self.writer.clone() {
            // It only hands the line to the writing thread; a full queue is counted there.
            let _ = writer.write_all(&line);
        }
    }
}

/// What the service's threads get: the filter, lines to stdout, lines by OTLP, business spans.
pub(crate) fn subscriber(
    config: &Config,
    stdout: &Stdout,
    tracer: &SdkTracer,
    logs: Option<&SdkLoggerProvider>,
) -> Dispatch {
    // Its spans only: events would be kept with the span until it ends, and they are log records already.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer.clone())
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_filter(filter_fn(|metadata| metadata.is_span()));
    let subscriber = Registry::default()
        .with(config.filter.clone())
        .with(spans)
        .with(logs.map(OpenTelemetryTracingBridge::new))
        .with(Lines { service: config.service.clone(), stdout: stdout.clone() });
    Dispatch::new(subscriber)
}

/// For lines about the exporters themselves.
pub(crate) fn stdout_only(config: &Config, stdout: &Stdout) -> Dispatch {
    let lines = Lines { service: config.service.clone(), stdout: stdout.clone() };
    Dispatch::new(Registry::default().with(config.filter.clone()).with(lines))
}

/// Writes events to stdout.
struct Lines {
    service: String,
    stdout: Stdout,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: LayerContext<'_, S>) {
        if self.stdout.writer.is_none() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = if self.stdout.readable {
            self.readable(event, fields)
        } else {
            self.json(event, fields)
        };
        self.stdout.write(line);
    }
}

impl Lines {
    fn json(&self, event: &Event<'_>, fields: Fields) -> Vec<u8> {
        let ids = current_ids();
        let line = Line {
            timestamp: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
            level: event.metadata().level().as_str(),
            service: &self.service,
            message: &fields.message,
            fields: &fields.others,
            trace_id: ids.as_ref().map(|(trace, _)| trace),
            span_id: ids.as_ref().map(|(_, span)| span),
            target: event.metadata().target(),
        };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// `12:00:01.123  INFO catalog  message key=value trace_id=…`; control characters are escaped, so that no value forges a line.
    fn readable(&self, event: &Event<'_>, fields: Fields) -> Vec<u8> {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let clock = time.get(11..23).unwrap_or_default();
        let mut line = format!(
            "{clock} {:>5} {:<8} {}",
            event.metadata().level(),
            self.service,
            escaped(&fields.message)
        );
        for (key, value) in &fields.others {
            let value = value.as_str().map_or_else(|| value.to_string(), escaped);
            let _ = write!(line, " {key}={value}");
        }
        if let Some((trace, _)) = current_ids() {
            let _ = write!(line, " trace_id={trace}");
        }
        line.push('\n');
        line.into_bytes()
    }
}

/// A line as JSON, what people read first in front.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    service: &'a str,
    message: &'a str,
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<&'a String>,
    target: &'a str,
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control();
            c.escape_default().filter(move |_| escape).chain((!escape).then_some(c))
        })
        .collect()
}

fn current_ids() -> Option<(String, String)> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
    })
}

/// The fields of an event; the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(escaped("a\r\nb\u{1b}[31m ü \"q\""), "a\\r\\nb\\u{1b}[31m ü \"q\"");
    }
}
