//! hyper's timer for the head of a request, patient while an answer is still being taken.
//!
//! hyper starts that timer as soon as the last answer is in its buffer, not when the client has taken it. With the plain timer, a slow
//! client would lose the end of its answer to a timeout that is meant for the next request.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt;
use pin_project_lite::pin_project;

use super::socket::Activity;

/// How often it looks again whether the client has taken everything.
const AGAIN: Duration = Duration::from_secs(1);

/// The timer of one connection.
#[derive(Debug)]
pub(crate) struct Patience(pub(crate) Arc<Activity>);

impl rt::Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let inner = tokio::time::sleep_until(deadline.into());
        Box::pin(Patient { inner, activity: Arc::clone(&self.0) })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

pin_project! {
    struct Patient {
        #[pin]
        inner: tokio::time::Sleep,
        activity: Arc<Activity>,
    }
}

impl rt::Sleep for Patient {}

impl Future for Patient {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            ready!(this.inner.as_mut().poll(cx));
            if !this.activity.blocked.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            this.inner.as_mut().reset(tokio::time::Instant::now() + AGAIN);
        }
    }
}
