//! One signal's way: what was received goes into the spool, and from there to the destination, in order, one batch at a time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use platform::{config::HttpUrl, service::Parts};
use spool::{Batch, Books, Reader, Reason, Spool};
use tokio::{
    task::{block_in_place, spawn_blocking},
    time::{interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    destination::{Destination, Failure, Outcome},
    sampling::Sampler,
};
use crate::{
    config::{Config, SpoolPlace},
    otlp::Refusal,
};

/// How much goes at once, unless one item is larger. Never more than an eighth of the spool: what is being delivered cannot be dropped, so
/// newer ones would have to.
const BATCH_BYTES: u64 = 1 << 20;
/// Spans, lines or points at once.
const BATCH_ITEMS: u64 = 8192;
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often it is looked whether something has become old enough.
const AGEING: Duration = Duration::from_millis(200);
/// How often a batch is tried that the destination fails at, which is some minutes.
const MOST_SERVER_ERRORS: u32 = 60;
/// The time between lines about what is lost.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// How much a loss of power may cost. A process that is killed loses nothing.
const SYNC: Duration = Duration::from_secs(1);

/// A spool, and what empties it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    signal: &'static str,
    spool: Spool,
    destination: Destination,
    batch_bytes: u64,
    /// What the spool may take.
    limit: u64,
    /// Whether the spool ends with the process.
    in_memory: bool,
    /// Where not all traces go on.
    sampler: Option<Arc<Sampler>>,
    state: Arc<State>,
}

/// How it goes.
#[derive(Debug, Default)]
struct State {
    /// Since when nothing is delivered, and why.
    trouble: Mutex<Option<Trouble>>,
    /// Whether the last request could not be written.
    unwritable: AtomicBool,
}

/// Why nothing is delivered.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) since: SystemTime,
    /// The same by the clock that does not jump.
    began: Instant,
    pub(crate) reason: &'static str,
    pub(crate) why: String,
}

impl Trouble {
    /// Begins it, or gives it a new reason.
    fn goes_on(trouble: &mut Option<Trouble>, reason: &'static str, why: String) {
        let began = trouble.take().map(|it| (it.since, it.began));
        let (since, began) = began.unwrap_or_else(|| (SystemTime::now(), Instant::now()));
        *trouble = Some(Trouble { since, began, reason, why });
    }
}

impl Pipeline {
    /// Opens the spool, and begins to empty it.
    ///
    /// # Errors
    /// One sentence, when the spool cannot be opened.
    pub(crate) fn start(
        signal: &'static str,
        endpoint: &HttpUrl,
        config: &Config,
        parts: &Parts,
    ) -> anyhow::Result<Pipeline> {
        let limits = config.spool_limits();
        let opened = match &config.spool {
            SpoolPlace::Memory => Spool::in_memory(limits),
            SpoolPlace::Folder(folder) => Spool::open(&folder.join(signal), limits),
        };
        let (spool, reader) = opened.with_context(|| {
            format!("the spool of {signal} cannot be used; SIDECAR_SPOOL says where it is")
        })?;
        let destination = Destination::new(endpoint.as_str(), signal)?;
        let batch_bytes = BATCH_BYTES.min(limits.bytes / 8);
        let sampler = (signal == "traces" && config.sampling_ratio.get() < 1.0).then(|| {
            let (ratio, slow) = (config.sampling_ratio.get(), config.sampling_slow);
            Arc::new(Sampler::new(ratio, slow, config.sampling_wait))
        });
        let in_memory = config.spool == SpoolPlace::Memory;
        let state = Arc::default();
        let pipeline = Pipeline {
            signal,
            spool,
            destination,
            batch_bytes,
            limit: limits.bytes,
            in_memory,
            sampler,
            state,
        };
        pipeline.tell_what_was_found();
        let (deliverer, caretaker) = (pipeline.clone(), pipeline.clone());
        parts.background.spawn(|ending| Delivery::new(deliverer, ending).run(reader));
        parts.background.spawn(|ending| caretaker.look_after(ending));
        Ok(pipeline)
    }

    pub(crate) fn signal(&self) -> &'static str {
        self.signal
    }

    /// Where it goes.
    pub(crate) fn destination(&self) -> &str {
        self.destination.url()
    }

    pub(crate) fn books(&self) -> Books {
        self.spool.books()
    }

    /// Bytes that the spool may take.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Why nothing is delivered, if that is so.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at spans that are about to be accepted, where not all go on.
    pub(crate) fn observe(&self, spans: &[ResourceSpans]) {
        if let Some(sampler) = &self.sampler {
            sampler.observe(spans);
        }
    }

    /// How large a request may be that goes on whole: those behind it are limited, too. Loki takes 4 MiB, whatever its own limits say.
    pub(crate) fn largest_request(&self) -> usize {
        usize::try_from(self.batch_bytes).unwrap_or(usize::MAX)
    }

    /// Puts a request into the spool, in parts with so many items each. It writes to a file: call it on a thread that may be busy.
    ///
    /// # Errors
    /// When it cannot be written. Nothing of it stays.
    pub(crate) fn accept(&self, parts: &[(u64, Bytes)]) -> Result<(), Refusal> {
        let signal = self.signal;
        let records: Vec<(u64, &[u8])> = parts.iter().map(|(items, it)| (*items, &**it)).collect();
        match self.spool.append_all(&records) {
            Ok(()) => {
                if self.state.unwritable.swap(false, Relaxed) {
                    tracing::info!(signal, "the spool of {signal} can be written again");
                }
                Ok(())
            }
            Err(spool::Error::TooLarge { limit, .. }) => Err(Refusal::LargerThanSpool { limit }),
            Err(error) => {
                if !self.state.unwritable.swap(true, Relaxed) {
                    tracing::error!(
                        signal,
                        error = %chain(&error),
                        "the spool of {signal} cannot be written; senders are told to come back, which is counted in \
                         sidecar_refused_requests_total"
                    );
                }
                Err(Refusal::Spool)
            }
        }
    }

    /// Keeps the disk and the log up to date.
    async fn look_after(self, ending: CancellationToken) {
        let mut tick = interval(SYNC);
        let mut failing = false;
        loop {
            let ended = ending.run_until_cancelled(tick.tick()).await.is_none();
            let spool = self.spool.clone();
            let synced = spawn_blocking(move || spool.sync()).await;
            let signal = self.signal;
            match synced {
                Ok(Err(error)) if !failing => {
                    failing = true;
                    tracing::error!(signal, error = %chain(&error), "the spool of {signal} cannot be made to last");
                }
                Ok(Ok(())) => failing = false,
                _ => {}
            }
            if ended {
                return;
            }
        }
    }

    fn tell_what_was_found(&self) {
        let (signal, books) = (self.signal, self.books());
        let (items, unaccounted) = (books.in_spool.units, books.unaccounted());
        if items > 0 {
            tracing::info!(
                signal,
                items,
                "the spool of {signal} has {items} items of an earlier start"
            );
        }
        if unaccounted != 0 {
            tracing::error!(
                signal,
                unaccounted,
                "the books of {signal} do not balance: {unaccounted} items are neither delivered nor dropped nor in the spool; \
                 somebody took segments away"
            );
        }
    }

    /// One line when it begins to fail, one when it is well again: an operator wants no more.
    fn fails(&self, failure: Failure) {
        let Failure { reason, why, .. } = failure;
        let mut trouble = self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            let (signal, destination) = (self.signal, self.destination());
            tracing::warn!(
                signal,
                reason,
                destination,
                why,
                "cannot deliver {signal} to {destination} ({reason}: {why}); they wait in the spool"
            );
        }
        Trouble::goes_on(&mut trouble, reason, why);
    }

    /// The same where nothing waits, because it is not wanted.
    fn is_refused(&self, reason: &'static str, why: &str) {
        let mut trouble = self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        Trouble::goes_on(&mut trouble, reason, why.to_owned());
    }

    fn is_well(&self) {
        let trouble = self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(trouble) = trouble {
            let seconds = trouble.began.elapsed().as_secs();
            let (signal, waiting) = (self.signal, self.books().in_spool.units);
            tracing::info!(
                signal,
                seconds,
                waiting,
                "{signal} are delivered again after {seconds} s; {waiting} wait in the spool"
            );
        }
    }
}

/// The loop that empties a spool until the service ends and nothing is left, or what is left cannot be delivered now.
struct Delivery {
    pipeline: Pipeline,
    ending: CancellationToken,
    pauses: ExponentialBackoff,
    /// How many of the next requests go by themselves, because together they were refused.
    singly: usize,
    /// Failures of the server's making, one after the other.
    server_errors: u32,
    /// What was lost and is in no line yet, and when the last line was.
    untold: Option<Loss>,
    told: Option<Instant>,
}

/// Items that a destination does not take, and what it said last.
struct Loss {
    items: u64,
    reason: Reason,
    why: String,
}

impl Delivery {
    fn new(pipeline: Pipeline, ending: CancellationToken) -> Delivery {
        let (pauses, told) = (pauses(), None);
        Delivery { pipeline, ending, pauses, singly: 0, server_errors: 0, untold: None, told }
    }

    async fn run(mut self, mut reader: Reader) {
        block_in_place(|| self.remember_what_waits(&reader));
        loop {
            match self.deliver_next(&mut reader).await {
                Some(true) => {}
                _ if self.ending.is_cancelled() => {
                    self.tell_losses();
                    return self.tell_what_is_left();
                }
                Some(false) => {}
                None => self.until_appended(&reader).await,
            }
        }
    }

    /// In a folder it waits for the next start.
    fn tell_what_is_left(&self) {
        let (signal, items) = (self.pipeline.signal, self.pipeline.books().in_spool.units);
        if self.pipeline.in_memory && items > 0 {
            tracing::error!(
                signal,
                items,
                "{items} {signal} are lost: they could not be delivered before the end, and the spool is in memory"
            );
        }
    }

    /// Whether the next batch is settled; `None` when nothing may go.
    async fn deliver_next(&mut self, reader: &mut Reader) -> Option<bool> {
        let mut wait = self.pipeline.sampler.as_ref().map_or(Duration::ZERO, |it| it.wait());
        if self.pipeline.in_memory && self.ending.is_cancelled() {
            wait = Duration::ZERO; // now or never
        }
        let bytes = if self.singly > 0 { 1 } else { self.pipeline.batch_bytes };
        match block_in_place(|| reader.next_older_than(wait, bytes, BATCH_ITEMS)) {
            Ok(batch) => Some(self.attempt(batch?).await),
            Err(error) => {
                let (reason, why) = ("unreadable", chain(&error));
                self.fail(Failure { reason, uncertain: false, retry_after: None, why }).await;
                Some(false)
            }
        }
    }

    async fn until_appended(&mut self, reader: &Reader) {
        let untold = (self.untold.is_some(), self.untold_for());
        tokio::select! { // no arm has anything to lose
            () = reader.appended() => {}
            () = self.ending.cancelled() => {}
            () = sleep(untold.1), if untold.0 => self.tell_losses(),
            () = sleep(AGEING), if self.pipeline.sampler.is_some() => {}
        }
    }

    /// The spool has the spans of an earlier start, but nobody has what was seen of them then.
    fn remember_what_waits(&self, reader: &Reader) {
        let Some(sampler) = &self.pipeline.sampler else { return };
        let waiting = reader.pending().filter_map(Result::ok);
        waiting.for_each(|it| sampler.observe_request(&it.payload));
    }

    /// Sends a batch once; whether it is settled.
    async fn attempt(&mut self, batch: Batch<'_>) -> bool {
        let (payloads, sampled) = block_in_place(|| self.sample(batch.payloads()));
        let items = batch.units() - sampled;
        let outcome = match items {
            0 => Outcome::Delivered { rejected: 0, why: String::new() }, // nothing is left to send
            _ => self.pipeline.destination.send(payloads).await,
        };
        let sampled = (Reason::Sampled, sampled);
        let settled = match self.without_end(outcome) {
            Outcome::Delivered { rejected: 0, .. } => {
                if items > 0 {
                    self.pipeline.is_well(); // where all were sampled, nobody was asked
                }
                batch.settle(items, &[sampled])
            }
            Outcome::Delivered { rejected, why } => {
                let rejected = rejected.min(items);
                self.pipeline.is_well();
                self.lost(rejected, Reason::Rejected, &why);
                batch.settle(items - rejected, &[sampled, (Reason::Rejected, rejected)])
            }
            Outcome::Refused { .. } if batch.payloads().len() > 1 => {
                // One of the requests is not wanted, and perhaps the others were taken: each has to be asked for by itself.
                self.singly = batch.payloads().len();
                self.server_errors = 0;
                batch.retry_uncertain();
                return true;
            }
            Outcome::Refused { reason, why } => {
                self.pipeline.is_refused(reason.as_str(), &why);
                self.lost(items, reason, &why);
                batch.settle(0, &[sampled, (reason, items)])
            }
            Outcome::Failed(failure) => {
                match failure.uncertain {
                    true => batch.retry_uncertain(),
                    false => batch.retry(),
                }
                self.fail(failure).await;
                return false;
            }
        };
        if let Err(error) = settled {
            // The books in memory are right. Killed now, the next start would send it once more.
            tracing::warn!(signal = self.pipeline.signal, error = %chain(&error), "the spool cannot note what was delivered");
        }
        self.pauses = pauses();
        self.server_errors = 0;
        self.singly = self.singly.saturating_sub(1);
        true
    }

    /// What the destination cannot digest is not tried for ever: everything else waits behind it.
    fn without_end(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failed(failure) if failure.reason == "server_error" => {
                self.server_errors += 1;
                if self.server_errors > MOST_SERVER_ERRORS {
                    return Outcome::Refused { reason: Reason::ServerError, why: failure.why };
                }
                Outcome::Failed(failure)
            }
            other => other,
        }
    }

    /// What goes on of these requests, and how many items do not. Asked at each attempt, it says the same: decisions are remembered, for
    /// eight times as many traces as a batch has, and nobody else decides meanwhile. So nothing has to be kept for a retry.
    fn sample(&self, requests: &[Bytes]) -> (Vec<Bytes>, u64) {
        let Some(sampler) = &self.pipeline.sampler else { return (requests.to_vec(), 0) };
        let sampled = requests.iter().map(|it| sampler.sample(it.clone()));
        let (rest, dropped): (Vec<Bytes>, Vec<u64>) = sampled.unzip();
        (rest, dropped.iter().sum())
    }

    /// A line at the first loss, and then one for many.
    fn lost(&mut self, items: u64, reason: Reason, why: &str) {
        let items = items + self.untold.take().map_or(0, |it| it.items);
        self.untold = Some(Loss { items, reason, why: why.to_owned() });
        if self.untold_for().is_zero() {
            self.tell_losses();
        }
    }

    /// How long the next line about losses has to wait for others.
    fn untold_for(&self) -> Duration {
        self.told.map_or(Duration::ZERO, |at| BETWEEN_LINES.saturating_sub(at.elapsed()))
    }

    fn tell_losses(&mut self) {
        let Some(Loss { items, reason, why }) = self.untold.take() else { return };
        self.told = Some(Instant::now());
        let (signal, destination) = (self.pipeline.signal, self.pipeline.destination());
        let reason = reason.as_str();
        tracing::error!(
            signal,
            items,
            reason,
            destination,
            why,
            "{items} {signal} are lost: {destination} does not take them ({why})"
        );
    }

    async fn fail(&mut self, failure: Failure) {
        let asked = failure.retry_after.unwrap_or_default();
        let pause = self.pauses.next().unwrap_or(PAUSES.1).max(asked);
        self.pipeline.fails(failure);
        // Nothing is lost by either: the pause, or what is left of it.
        let _ = self.ending.run_until_cancelled(sleep(pause)).await;
    }
}

fn pauses() -> ExponentialBackoff {
    let (first, longest) = PAUSES;
    let pauses = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest);
    pauses.with_factor(2.0).with_jitter().without_max_times().build()
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
