//! One use of the library: up to 512 lines, and whether they were acknowledged.
//!
//! What is known of its task (version 0.2.7, which the workspace therefore names exactly): it sends what there is whenever it is
//! polled; an answer that is not 2xx, or none, is an event, and it tries the same lines again after 0, 0.5, 1, 2 … s; after
//! `shutdown` it ends as soon as nothing is under way, even if lines wait for their next try. It must not outlive all its senders,
//! or it never returns from a poll.

use std::{
    cell::Cell,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{StatusCode, header::CONTENT_TYPE};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{
    Dispatch, Event, Subscriber,
    field::{Field, Visit},
};
use tracing_loki::{BackgroundTask, BackgroundTaskController, url::Url};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::{Context, SubscriberExt},
    registry::Registry,
};

use super::{ANSWER, PAUSE, Shared, Taking};

/// How long the library has for what it is sending before it is told to end: after that it would not try again.
const SETTLES: Duration = Duration::from_millis(100);

/// How long the library may try again. After 30 s it would throw lines away.
const RETRIES: Duration = Duration::from_secs(20);

/// How long its end may take.
const END: Duration = Duration::from_secs(5);

/// A pause of the library is over a little later than it says.
const MARGIN: Duration = Duration::from_millis(10);

thread_local! {
    /// What the task that is being polled says.
    static SAID: Cell<Option<Failure>> = const { Cell::new(None) };
}

/// A try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    reason: &'static str,
    /// How long until the next try.
    pause: Duration,
}

impl Failure {
    /// From the fields of the library's event: how many tries have failed in a row, and the error's text.
    fn read(tries: u64, error: &str) -> Failure {
        let reason = if error.starts_with("HTTP status server error (503") || error.contains("(429")
        {
            "overloaded"
        } else if error.starts_with("HTTP status server error") {
            "server_error"
        } else if error.starts_with("HTTP status client error") {
            "refused"
        } else {
            "unreachable"
        };
        let pause = match tries {
            0 | 1 => Duration::ZERO,
            more => Duration::from_millis(500 << (more - 2).min(10)),
        };
        Failure { reason, pause }
    }

    /// Whether other lines would fare no better.
    fn concerns_all(self) -> bool {
        self.reason != "refused"
    }
}

/// The only one who records events on the thread: the failures of the library.
pub(super) fn listener() -> Dispatch {
    let only = Targets::new().with_target("tracing_loki", LevelFilter::ERROR);
    Dispatch::new(Registry::default().with(only).with(Listener))
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if let Some(tries) = said.tries {
            SAID.set(Some(Failure::read(tries, &said.error)));
        }
    }
}

#[derive(Default)]
struct Said {
    tries: Option<u64>,
    error: String,
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "error_count" {
            self.tries = Some(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "error" {
            self.error = format!("{value:?}");
        }
    }
}

/// Where pushes go.
#[derive(Clone)]
pub(super) struct Receiver {
    client: reqwest::Client,
    push: Url,
}

impl Receiver {
    pub(super) fn new(url: &Url) -> anyhow::Result<Receiver> {
        let client = reqwest::Client::builder()
            .timeout(ANSWER)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Receiver { client, push: url.join("loki/api/v1/push")? })
    }

    /// Whether it would take lines: asked by a push without any, which the agent takes and Loki calls unprocessable.
    pub(super) async fn answers(&self) -> bool {
        let nothing = r#"{"streams":[]}"#;
        let asked = self
            .client
            .post(self.push.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(nothing);
        let status = asked.send().await.map(|answer| answer.status());
        status.is_ok_and(|it| it.is_success() || it == StatusCode::UNPROCESSABLE_ENTITY)
    }
}

/// From the first line until it is known what became of them.
pub(super) struct Shipment {
    task: Task,
    lines: Lines,
    receiver: Receiver,
    /// The last failure, and when the pause after it is over.
    failed: Option<(Instant, Failure)>,
    /// After the task, which must not be polled without it.
    controller: BackgroundTaskController,
}

impl Shipment {
    pub(super) fn new(
        task: BackgroundTask,
        controller: BackgroundTaskController,
        taking: Arc<Taking>,
        shared: Arc<Shared>,
        receiver: Receiver,
    ) -> Shipment {
        let lines = Lines { taking, shared, reason: Some("timeout") };
        Shipment { task: Task(Box::pin(task)), lines, receiver, failed: None, controller }
    }

    /// Takes lines until `leaves` tells, then waits for their acknowledgement. Dropped before the end, it books them as failed.
    pub(super) async fn carry(mut self, leaves: oneshot::Receiver<()>) {
        let settled = async {
            let _ = leaves.await;
            sleep(SETTLES).await;
        };
        let mut settled = pin!(settled);
        loop {
            tokio::select! { // what the task says is in no arm but its own
                said = self.task.says() => self.hear(said),
                () = &mut settled => break,
            }
        }
        if !matches!(timeout(RETRIES, self.recovers()).await, Ok(true)) {
            return;
        }
        let end = async {
            let (controller, task) = (&self.controller, &mut self.task);
            tokio::join!(controller.shutdown(), task.says()).1
        };
        match timeout(END, end).await {
            Ok(None) => self.lines.acknowledged(),
            // Perhaps it would still try again, perhaps not: then there is no way to know.
            Ok(said) => self.hear(said),
            Err(_) => self.lines.shared.trouble(),
        }
    }

    /// After a failure, waits for a moment at which the library's pause is over and the receiver answers. Never, if it refuses the lines.
    async fn recovers(&mut self) -> bool {
        while let Some((pause, failure)) = self.failed {
            if !failure.concerns_all() {
                return false;
            }
            let moment = async {
                sleep_until(pause).await;
                while !self.receiver.answers().await {
                    sleep(PAUSE).await;
                }
            };
            tokio::select! {
                said = self.task.says() => self.hear(said),
                () = moment => return true,
            }
        }
        true
    }

    fn hear(&mut self, said: Option<Failure>) {
        let Some(failure) = said else { return };
        self.failed = Some((Instant::now() + failure.pause + MARGIN, failure));
        self.lines.reason = Some(failure.reason);
        if failure.concerns_all() {
            self.lines.shared.trouble();
        }
    }
}

struct Task(Pin<Box<BackgroundTask>>);

impl Task {
    /// Runs it until a try fails, or, with `None`, until it ends and no try has failed meanwhile.
    async fn says(&mut self) -> Option<Failure> {
        poll_fn(|context| {
            let ended = pin!(&mut self.0).poll(context);
            match (SAID.take(), ended) {
                (Some(failure), _) => Poll::Ready(Some(failure)),
                (None, Poll::Ready(())) => Poll::Ready(None),
                (None, Poll::Pending) => Poll::Pending,
            }
        })
        .await
    }
}

/// The lines of a shipment in the books.
struct Lines {
    taking: Arc<Taking>,
    shared: Arc<Shared>,
    /// Why they will have failed if this is dropped; none: they have not.
    reason: Option<&'static str>,
}

impl Lines {
    fn acknowledged(&mut self) {
        self.reason = None;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let (lines, books) = (self.taking.fed(), &self.shared.books);
        match self.reason {
            None => books.acknowledged.inc_by(lines),
            Some(reason) => books.failed(reason).inc_by(lines),
        };
        // After the counters: a line is never in none of the terms.
        books.in_flight.dec_by(lines as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_is_understood() {
        let read = |tries, error: &str| {
            let Failure { reason, pause } = Failure::read(tries, error);
            (reason, pause.as_millis())
        };
        let url = "for url (http://127.0.0.1:1/loki/api/v1/push)";
        let status = |text: &str| format!("HTTP status {text} {url}");
        assert_eq!(read(1, &format!("error sending request {url}")), ("unreachable", 0));
        assert_eq!(read(2, &status("client error (400 Bad Request)")), ("refused", 500));
        assert_eq!(read(3, &status("client error (429 Too Many Requests)")), ("overloaded", 1000));
        let busy = status("server error (503 Service Unavailable)");
        assert_eq!(read(4, &busy), ("overloaded", 2000));
        let broken = status("server error (500 Internal Server Error)");
        assert_eq!(read(60, &broken), ("server_error", 512_000));
        assert!(!Failure::read(1, &status("client error (400 Bad Request)")).concerns_all());
    }
}
