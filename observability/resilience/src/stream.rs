//! Bodies that are passed on while they arrive: neither direction may stand still for long.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use reqwest::Response;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::error::{BoxError, Error, PeerName};

/// How long the other service may neither take nor give a byte of a body that has begun.
///
/// It does not count while we wait for the body's sender, whom the server's own limits watch, nor between the last byte of the
/// request and the first of the answer: then the other side works.
const IDLE: Duration = Duration::from_secs(10);

/// What is known about a body on its way out; shared by the body and the attempt that sends it.
#[derive(Clone, Default)]
pub(crate) struct Upload(Arc<Mutex<Progress>>);

#[derive(Default)]
struct Progress {
    /// Since when the other side has not taken what was there for it.
    offered: Option<Instant>,
    /// What the sender of the body went wrong with.
    failure: Option<BoxError>,
}

impl Upload {
    /// `source` as a request's body.
    pub(crate) fn body<E: Into<BoxError>>(
        &self,
        source: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> reqwest::Body {
        reqwest::Body::wrap_stream(Outgoing { upload: self.clone(), source: Box::pin(source) })
    }

    /// The outcome of `sent`, unless the body stands still or fails before.
    pub(crate) async fn watched(
        &self,
        peer: PeerName,
        sent: impl Future<Output = reqwest_middleware::Result<Response>>,
    ) -> Result<Response, Error> {
        // Whichever arm is dropped: the request goes with its connection, and the other side sees it cut.
        let outcome = tokio::select! {
            outcome = sent => outcome,
            () = self.stands_still() => return Err(Error::TimedOut { peer }),
        };
        outcome.map_err(|error| match self.progress().failure.take() {
            Some(cause) => Error::Upload { cause },
            None => Error::without_answer(peer, error),
        })
    }

    async fn stands_still(&self) {
        loop {
            let offered = self.progress().offered;
            match offered {
                Some(since) if since.elapsed() >= IDLE => return,
                Some(since) => sleep_until(since + IDLE).await,
                None => sleep(IDLE).await,
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Outgoing<S: ?Sized> {
    upload: Upload,
    source: Pin<Box<S>>,
}

impl<S, E> Stream for Outgoing<S>
where
    S: Stream<Item = Result<Bytes, E>> + ?Sized,
    E: Into<BoxError>,
{
    type Item = Result<Bytes, &'static str>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.source.as_mut().poll_next(context);
        let mut progress = self.upload.progress();
        progress.offered = None;
        next.map(|item| match item? {
            Ok(bytes) => {
                progress.offered = Some(Instant::now());
                Some(Ok(bytes))
            }
            Err(cause) => {
                progress.failure = Some(cause.into());
                Some(Err("the body that was to be sent failed"))
            }
        })
    }
}

/// The answer, whose body fails when it stands still.
pub(crate) fn limited(answer: Response, peer: PeerName) -> Response {
    let (parts, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
    let body = reqwest::Body::wrap(Incoming { peer, body, waiting: None });
    Response::from(http::Response::from_parts(parts, body))
}

struct Incoming {
    peer: PeerName,
    body: reqwest::Body,
    /// Runs out when the other side has been asked for the next bytes for too long.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let peer = self.peer;
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            let failed = |error: reqwest::Error| Error::without_answer(peer, error.into());
            return Poll::Ready(frame.map(|frame| frame.map_err(failed)));
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(IDLE)));
        waiting.as_mut().poll(context).map(|()| Some(Err(Error::TimedOut { peer })))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
