//! The second way for lines, with `LOKI_URL`: through `tracing-loki`, to whatever takes Loki's pushes.
//!
//! The library drops in silence (what its channel of 512 does not hold), queues without bound, waits without limit for an answer and
//! for its own end, and tells nobody what has arrived. One thing it does tell: `shutdown` sends all that is there and then ends, and
//! what fails on the way is an event. So it is used in **shipments**: a fresh layer and task that take 512 lines at most, within a
//! second, and are then shut down. A shipment whose task ends without such an event has been acknowledged, every line of it. One that
//! says that it fails goes on by the library's own retries; it is shut down once the receiver answers again, or given up
//! (`loki/shipment.rs`). From that follows what the [`Gate`] in front of it can promise:
//!
//! - Nothing is fed before the receiver answers, nor from the moment that a shipment fails until it answers again. It is asked by an
//!   empty push: the agent says 204, Loki 422 (there is no stream in it), and both mean that a push would be taken.
//! - [`SHIPMENTS`] times [`LINES`] lines, 4,096, may be fed and neither acknowledged nor given up. More are withheld.
//! - `fed = acknowledged + failed + in flight`, each counted where it happens; what was not fed is counted as withheld. The receiver
//!   has at least what is acknowledged, and of what failed any part: `fed` less what arrived there is the loss.
//!
//! All of it runs on a thread of its own, where nobody records events but those that say how a shipment fares; the targets of the
//! libraries below are not fed either. So shipping ships nothing about itself.

mod shipment;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use opentelemetry::trace::SpanContext;
use prometheus_client::metrics::counter::Counter;
use tokio::{
    runtime::Builder,
    sync::{Notify, oneshot},
    task::JoinSet,
    time::{sleep, timeout_at},
};
use tracing::{
    Dispatch, Event, Subscriber,
    dispatcher::{set_default, with_default},
    span::{Attributes, Id, Record},
};
use tracing_loki::url::Url;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::Context,
    registry::LookupSpan,
};

use crate::{config::Config, metrics::Shipped};

/// The target of the span of a request, see [`request`].
pub(crate) const REQUEST: &str = "telemetry::request";

/// Lines of a shipment: what the library's channel holds.
const LINES: u64 = 512;

/// From so many lines on the next shipment is made ready, before there is no place left in this one.
const ENOUGH: u64 = 256;

/// Shipments at once.
const SHIPMENTS: usize = 8;

/// How long a shipment takes lines. It sends them at once; what waits so long is only to know what became of them.
const AGE: Duration = Duration::from_secs(1);

/// How long until a receiver that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// After so many questions without an answer a line says so: a receiver of the same process is not there at the very beginning.
const ASKED: u32 = 4;

/// How long its answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// The span around a request that gives its ids to the lines of this way. It is in no trace.
pub(crate) fn request(ids: &SpanContext) -> tracing::Span {
    tracing::error_span!(
        target: REQUEST,
        "request",
        trace_id = %ids.trace_id(),
        span_id = %ids.span_id()
    )
}

/// What a service has of it.
pub(crate) struct Loki {
    shared: Arc<Shared>,
    builder: tracing_loki::Builder,
    url: Url,
    stop: std::sync::Mutex<Option<oneshot::Sender<Instant>>>,
    ended: std::sync::Mutex<mpsc::Receiver<()>>,
}

/// What the gate and the thread behind it know.
struct Shared {
    open: RwLock<Open>,
    /// The open shipment nears its end.
    enough: Notify,
    /// A shipment fails in a way that concerns the others.
    trouble: Notify,
    troubles: AtomicU64,
    books: Shipped,
    full: Counter,
    /// Writes to stdout only: a line about this way must not take it.
    status: Dispatch,
}

enum Open {
    Taking(Arc<Taking>),
    /// With the counter of the reason.
    Closed(Counter),
}

/// The end of a shipment that takes lines.
struct Taking {
    layer: tracing_loki::Layer,
    offered: AtomicU64,
}

impl Taking {
    fn fed(&self) -> u64 {
        self.offered.load(Relaxed).min(LINES)
    }
}

impl Loki {
    /// Starts the thread.
    ///
    /// # Errors
    /// When that is not possible, or the address is none.
    pub(crate) fn start(config: &Config, url: &str, status: Dispatch) -> anyhow::Result<Loki> {
        let url = Url::parse(&format!("{url}/")).context("reading the address")?;
        let builder = tracing_loki::builder()
            .label("service_name", &config.service)?
            .label("deployment_environment_name", &config.environment)?;
        let books = Shipped::default();
        let shared = Arc::new(Shared {
            open: RwLock::new(Open::Closed(books.withheld("unreachable"))),
            enough: Notify::new(),
            trouble: Notify::new(),
            troubles: AtomicU64::new(0),
            full: books.withheld("queue_full"),
            books,
            status,
        });
        let carrier = Carrier {
            shared: shared.clone(),
            builder: builder.clone(),
            receiver: shipment::Receiver::new(&url)?,
            url: url.clone(),
            told: false,
        };
        let (stop, stopped) = oneshot::channel();
        let (ending, ended) = mpsc::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("{}-loki", config.service)).spawn(move || {
            let _only = set_default(&shipment::listener());
            runtime.block_on(carrier.run(stopped));
            drop(runtime); // what is left of the shipments is booked
            drop(ending);
        })?;
        let (stop, ended) = (Some(stop).into(), ended.into());
        Ok(Loki { shared, builder, url, stop, ended })
    }

    pub(crate) fn books(&self) -> &Shipped {
        &self.shared.books
    }

    /// The gate, for the service's subscriber.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        // Its task would end at once; the layer keeps the fields of spans all the same.
        let built = self.builder.clone().build_url(self.url.clone());
        let (spans, _) = built.expect("it was built before from the same");
        let quiet = ["h2", "hyper", "hyper_util", "mio", "opentelemetry", "reqwest", "tokio"];
        let quiet = quiet.into_iter().chain(["tonic", "tower", "tower_http", "tracing_loki"]);
        let others = Targets::new().with_default(LevelFilter::TRACE);
        let gate = Gate { shared: self.shared.clone(), spans };
        gate.with_filter(others.with_targets(quiet.map(|target| (target, LevelFilter::OFF))))
    }

    pub(crate) fn say_both_ways(&self, otlp: &str) {
        let loki = self.url.as_str();
        with_default(&self.shared.status, || {
            tracing::info!(
                otlp,
                loki,
                "log lines leave twice, by OTLP to {otlp} and by tracing-loki to {loki}: who keeps both has each line twice; OTEL_LOGS_EXPORTER=none ends the first way, no LOKI_URL the second"
            );
        });
    }

    /// Waits until what was fed is acknowledged, `limit` at most.
    pub(crate) fn shutdown(&self, limit: Duration) {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(stop) = stop else { return };
        if stop.send(Instant::now() + limit).is_ok() {
            // A little more: at the limit it still books what it gives up.
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(limit + Duration::from_secs(1));
        }
    }

    /// The last word, where something was lost.
    pub(crate) fn report(&self) {
        let books = &self.shared.books;
        let (fed, acknowledged) = (books.fed.get(), books.acknowledged.get());
        let ((withheld, failed), in_flight) = (books.lost(), books.in_flight.get());
        if withheld + failed > 0 || in_flight > 0 {
            with_default(&self.shared.status, || {
                tracing::info!(
                    fed,
                    acknowledged,
                    failed,
                    withheld,
                    in_flight,
                    "of {fed} lines fed to tracing-loki {acknowledged} were acknowledged and {failed} failed; {withheld} were not fed"
                );
            });
        }
    }
}

/// The layer in front of the library's.
struct Gate {
    shared: Arc<Shared>,
    /// Keeps the fields of spans, for all shipments: they are kept by type, and a line of a span without would end the thread.
    spans: tracing_loki::Layer,
}

impl<S> Layer<S> for Gate
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.spans.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.spans.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.shared.feed(|layer| layer.on_event(event, context));
    }
}

impl Shared {
    /// The lock is held until the line is in the shipment: what is closed gets no more.
    fn feed(&self, ship: impl FnOnce(&tracing_loki::Layer)) {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Open::Closed(withheld) => {
                withheld.inc();
            }
            Open::Taking(taking) => {
                let before = taking.offered.fetch_add(1, Relaxed);
                if before + 1 == ENOUGH {
                    self.enough.notify_one();
                }
                if before >= LINES {
                    self.full.inc();
                    return;
                }
                self.books.fed.inc();
                self.books.in_flight.inc();
                ship(&taking.layer);
            }
        }
    }

    fn set(&self, next: Open) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn close(&self, reason: &'static str) {
        self.set(Open::Closed(self.books.withheld(reason)));
    }

    fn trouble(&self) {
        self.troubles.fetch_add(1, Relaxed);
        self.trouble.notify_one();
    }

    async fn troubled_since(&self, seen: u64) {
        while self.troubles.load(Relaxed) == seen {
            self.trouble.notified().await;
        }
    }
}

/// What runs on the thread.
struct Carrier {
    shared: Arc<Shared>,
    builder: tracing_loki::Builder,
    receiver: shipment::Receiver,
    url: Url,
    /// Whether it was said that the receiver does not answer.
    told: bool,
}

/// The shipment that takes lines; it takes no more once this is dropped.
struct Current {
    taking: Arc<Taking>,
    _leaves: oneshot::Sender<()>,
}

impl Carrier {
    async fn run(mut self, mut stop: oneshot::Receiver<Instant>) {
        let mut under_way = JoinSet::new();
        // Both arms can be dropped at any time: a shipment is a task of its own.
        let until = tokio::select! {
            until = &mut stop => until,
            never = self.ship(&mut under_way) => match never {},
        };
        self.shared.close("stopping");
        // No handle, no wish to wait: the service is gone.
        let Ok(until) = until else { return };
        let all = async { while under_way.join_next().await.is_some() {} };
        let _ = timeout_at(until.into(), all).await;
    }

    async fn ship(&mut self, under_way: &mut JoinSet<()>) -> std::convert::Infallible {
        loop {
            self.answers().await;
            let seen = self.shared.troubles.load(Relaxed);
            let mut current = self.open(under_way);
            loop {
                tokio::select! { // what a dropped arm has seen is seen again
                    () = self.shared.troubled_since(seen) => break,
                    () = self.shared.enough.notified() => {}
                    () = sleep(AGE) => {}
                }
                if current.taking.fed() == 0 {
                    continue;
                }
                while under_way.try_join_next().is_some() {}
                if under_way.len() >= SHIPMENTS {
                    tokio::select! { // meanwhile it takes what it holds
                        () = self.shared.troubled_since(seen) => break,
                        _ = under_way.join_next() => {}
                    }
                }
                // The new one takes lines before the old one leaves.
                current = self.open(under_way);
            }
            self.shared.close("unreachable");
            self.failing();
            drop(current);
            sleep(PAUSE).await;
        }
    }

    /// Begins a shipment, and gives it to the gate.
    fn open(&self, under_way: &mut JoinSet<()>) -> Current {
        let built = self.builder.clone().build_controller_url(self.url.clone());
        let (layer, controller, task) = built.expect("it was built before from the same");
        let taking = Arc::new(Taking { layer, offered: AtomicU64::new(0) });
        let (leaves, told) = oneshot::channel();
        let shipment = shipment::Shipment::new(
            task,
            controller,
            taking.clone(),
            self.shared.clone(),
            self.receiver.clone(),
        );
        under_way.spawn(shipment.carry(told));
        self.shared.set(Open::Taking(taking.clone()));
        Current { taking, _leaves: leaves }
    }

    /// Waits until the receiver answers.
    async fn answers(&mut self) {
        let mut asked = 0;
        while !self.receiver.answers().await {
            asked += 1;
            if asked == ASKED {
                self.failing();
            }
            sleep(PAUSE).await;
        }
        if std::mem::take(&mut self.told) {
            let (withheld, failed) = self.shared.books.lost();
            let url = self.url.as_str();
            with_default(&self.shared.status, || {
                tracing::info!(
                    url,
                    withheld,
                    failed,
                    "lines are shipped to {url}; since the start {withheld} were withheld and {failed} failed"
                );
            });
        }
    }

    fn failing(&mut self) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let url = self.url.as_str();
        with_default(&self.shared.status, || {
            tracing::warn!(
                url,
                "cannot ship lines to {url}; what is not shipped is counted in telemetry_loki_withheld_lines_total and telemetry_loki_failed_lines_total"
            );
        });
    }
}

#[cfg(test)]
mod tests;
