//! Log lines: to stdout always, and by OTLP where there is a destination. Both carry the ids of the span around them.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
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
    filter::{LevelFilter, filter_fn},
    layer::{Context as LayerContext, SubscriberExt},
    registry::Registry,
};

use crate::{
    config::Config,
    loki::{self, Loki},
};

/// How many lines may wait for a reader of stdout; more are dropped and counted, so that no request waits for one.
const WAITING_LINES: usize = 8192;

/// How much is written at once.
const BLOCK: usize = 64 << 10;

/// The process's stdout, shared by the services in it.
#[derive(Clone, Debug)]
pub struct Stdout {
    writer: Option<NonBlocking>,
    dropped: Option<ErrorCounter>,
    /// Lines that could not be written.
    failed: Arc<AtomicUsize>,
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
        Ok(Stdout::over(io::stdout().as_fd().try_clone_to_owned()?.into()))
    }

    /// The same on stderr, for a command whose stdout is its answer.
    ///
    /// # Errors
    /// When the process has no stderr.
    pub fn on_stderr() -> io::Result<(Stdout, StdoutGuard)> {
        Ok(Stdout::over(io::stderr().as_fd().try_clone_to_owned()?.into()))
    }

    /// Not `io::stdout()` itself: that writes each line by itself. The thread flushes whenever nothing waits.
    fn over(file: File) -> (Stdout, StdoutGuard) {
        let readable = file.is_terminal();
        let failed = Arc::new(AtomicUsize::new(0));
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING_LINES)
            .lossy(true)
            .finish(Counted::new(file, failed.clone()));
        let dropped = Some(writer.error_counter());
        (Stdout { writer: Some(writer), dropped, failed, readable }, StdoutGuard(guard))
    }

    /// No output.
    pub fn none() -> Stdout {
        Stdout { writer: None, dropped: None, failed: Arc::default(), readable: false }
    }

    /// A line that is not a log line, such as an announcement for other programs; in order with the log lines.
    pub fn line(&self, text: &str) {
        self.write(format!("{text}\n").into_bytes());
    }

    /// Lines that nobody read in time, or that could not be written.
    pub(crate) fn dropped(&self) -> usize {
        let waiting = self.dropped.as_ref().map_or(0, ErrorCounter::dropped_lines);
        waiting + self.failed.load(Relaxed)
    }

    fn write(&self, line: Vec<u8>) {
        if let Some(mut writer) = self.writer.clone() {
            // It only hands the line to the writing thread; a full queue is counted there.
            let _ = writer.write_all(&line);
        }
    }
}

/// Writes lines in blocks. A block that cannot be written (the reader has gone, the disk is full) is given up and its lines are counted:
/// the thread that writes knows no other answer to an error, and `BufWriter` would keep them and refuse those that follow.
struct Counted<W> {
    inner: W,
    waiting: Vec<u8>,
    /// `waiting` begins in the middle of a line, the beginning of which was written.
    torn: bool,
    failed: Arc<AtomicUsize>,
}

impl<W: Write> Counted<W> {
    fn new(inner: W, failed: Arc<AtomicUsize>) -> Counted<W> {
        Counted { inner, waiting: Vec::with_capacity(BLOCK), torn: false, failed }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.waiting.len() + lines.len() > BLOCK {
            self.flush()?;
        }
        self.waiting.extend_from_slice(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut rest = self.waiting.as_slice();
        while !rest.is_empty() {
            match self.inner.write(rest) {
                Ok(0) => break,
                Ok(written) => {
                    self.torn = rest[written - 1] != b'\n';
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // The end of a torn line stays for the next time, so that the line after it is whole.
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (kept, lost) = rest.split_at(if self.torn { end } else { 0 });
        self.failed.fetch_add(lost.iter().filter(|byte| **byte == b'\n').count(), Relaxed);
        let kept = kept.to_vec();
        self.waiting.clear();
        self.waiting.extend(kept);
        Ok(())
    }
}

/// What the service's threads get: the filter, lines to stdout, lines by OTLP, business spans.
pub(crate) fn subscriber(
    config: &Config,
    stdout: &Stdout,
    tracer: &SdkTracer,
    logs: Option<&SdkLoggerProvider>,
    loki: Option<&Loki>,
) -> Dispatch {
    // Its spans only: events would be kept with the span until it ends, and they are log records already.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer.clone())
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_filter(filter_fn(|metadata| {
            metadata.is_span() && metadata.target() != loki::REQUEST // that one is no span of a trace
        }));
    let filter = match loki {
        Some(_) => config.filter.clone().with_target(loki::REQUEST, LevelFilter::ERROR),
        None => config.filter.clone(),
    };
    let subscriber = Registry::default()
        .with(filter)
        .with(spans)
        .with(logs.map(OpenTelemetryTracingBridge::new))
        .with(Lines { service: config.service.clone(), stdout: stdout.clone() });
    match loki {
        Some(loki) => Dispatch::new(subscriber.with(loki.layer())),
        None => Dispatch::new(subscriber),
    }
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

    /// Takes `room` bytes, and then no more.
    struct Disk {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_the_next_ones_are_whole() {
        let failed = Arc::new(AtomicUsize::new(0));
        let disk = Disk { room: 5, taken: Vec::new() };
        let mut out = Counted::new(disk, failed.clone());
        out.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
        out.flush().unwrap();
        assert_eq!(failed.load(Relaxed), 2, "the second line may still be completed");
        for _ in 0..2 * BLOCK / 5 {
            out.write_all(b"five\n").unwrap();
        }
        out.flush().unwrap();
        assert_eq!(failed.load(Relaxed), 2 + 2 * BLOCK / 5);
        out.inner.room = usize::MAX;
        out.write_all(b"six\n").unwrap();
        out.flush().unwrap();
        assert_eq!(String::from_utf8(out.inner.taken).unwrap(), "one\ntwo\nsix\n");
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(escaped("a\r\nb\u{1b}[31m ü \"q\""), "a\\r\\nb\\u{1b}[31m ü \"q\"");
    }
}
