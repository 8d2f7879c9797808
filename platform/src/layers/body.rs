//! The body of a request: limited in size and in the time that it takes to arrive.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::{
    problem::{FieldError, Problem},
    service::RouteLimits,
};

/// What was wrong with the body, as far as the server judges it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It has more bytes than it may have.
    TooLarge { limit: usize },
    /// It was not complete in time.
    TooSlow { within: Duration },
}

impl Fault {
    pub(crate) fn problem(self) -> Problem {
        match self {
            Fault::TooLarge { limit } => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", self)
                    .error(FieldError::new("", "is too large").limit(limit))
            }
            Fault::TooSlow { .. } => {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", self)
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::TooLarge { limit } => write!(f, "The body has more than {limit} bytes."),
            Fault::TooSlow { within } => {
                let within = humantime::format_duration(*within);
                write!(f, "The body was not complete within {within}.")
            }
        }
    }
}

impl Error for Fault {}

/// Puts the limits around the request's body. A request without one costs nothing.
pub(crate) fn watch(request: Request, limits: &RouteLimits) -> (Request, Option<Upload>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let state = Arc::new(AtomicU8::new(UNASKED));
    let size = request.body().size_hint().exact();
    let upload = Upload { state: Arc::clone(&state), size, limits: *limits };
    let watched = |inner| Watched {
        inner,
        left: limits.body,
        limits: *limits,
        timer: tokio::time::sleep(limits.body_deadline),
        state,
    };
    (request.map(|body| Body::new(watched(body))), Some(upload))
}

/// Nobody has read of it yet, or of its rest.
const UNASKED: u8 = 0;
/// It was asked for, and the client has not sent all of it.
const COMING: u8 = 1;
const COMPLETE: u8 = 2;
const TOO_LARGE: u8 = 3;
const TOO_SLOW: u8 = 4;

/// What the server knows about a body that the handler reads.
pub(crate) struct Upload {
    state: Arc<AtomicU8>,
    /// In bytes, where the client has told it.
    size: Option<u64>,
    limits: RouteLimits,
}

impl Upload {
    /// Whether the client is who is waited for.
    pub(crate) fn is_coming(&self) -> bool {
        self.state.load(Ordering::Relaxed) == COMING
    }

    /// Whether so much of it was left that HTTP/1 has to close the connection: hyper reads no more than one buffer of the rest.
    pub(crate) fn is_unread(&self) -> bool {
        const BUFFER: u64 = 8 << 10;
        let complete = self.state.load(Ordering::Relaxed) == COMPLETE;
        !complete && self.size.is_none_or(|size| size > BUFFER)
    }

    /// The handler's answer; but where it failed because the body did, what was wrong with the body. So it does not matter how, or
    /// whether, a handler translates the errors of what it reads.
    pub(crate) fn judge(&self, response: Response) -> Response {
        let fault = match self.state.load(Ordering::Relaxed) {
            TOO_LARGE => Fault::TooLarge { limit: self.limits.body },
            TOO_SLOW => Fault::TooSlow { within: self.limits.body_deadline },
            _ => return response,
        };
        if response.status().is_client_error() || response.status().is_server_error() {
            fault.problem().into_response()
        } else {
            response
        }
    }
}

pin_project! {
    struct Watched {
        #[pin]
        inner: Body,
        left: usize,
        limits: RouteLimits,
        #[pin]
        timer: Sleep,
        state: Arc<AtomicU8>,
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut this = self.project();
        let fail = |state, fault: Fault| {
            this.state.store(state, Ordering::Relaxed);
            Poll::Ready(Some(Err(axum::Error::new(fault))))
        };
        match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let size = frame.data_ref().map_or(0, Bytes::len);
                match this.left.checked_sub(size) {
                    Some(left) => {
                        *this.left = left;
                        // Not everybody asks once more to hear that this was the end.
                        let rest = if this.inner.is_end_stream() { COMPLETE } else { UNASKED };
                        this.state.store(rest, Ordering::Relaxed);
                    }
                    None => return fail(TOO_LARGE, Fault::TooLarge { limit: this.limits.body }),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => {
                this.state.store(COMPLETE, Ordering::Relaxed);
                Poll::Ready(end)
            }
            Poll::Pending if this.timer.poll(cx).is_ready() => {
                fail(TOO_SLOW, Fault::TooSlow { within: this.limits.body_deadline })
            }
            Poll::Pending => {
                this.state.store(COMING, Ordering::Relaxed);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
