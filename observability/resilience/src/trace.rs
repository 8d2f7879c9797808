//! The middleware around each attempt that makes it visible: one client span, and `traceparent` in the request.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Extensions, StatusCode};
use http_body::{Body, Frame, SizeHint};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use telemetry::{ClientSpan, Telemetry};

use crate::{error::Error, limits::Plan};

pub(crate) struct Trace(pub(crate) Telemetry);

#[async_trait]
impl Middleware for Trace {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let plan = Plan::of(extensions)?;
        let span = self.0.client_span(request.method(), plan.template, request.url());
        span.inject(request.headers_mut());
        match next.run(request, extensions).await {
            Ok(response) if plan.stream => Ok(until_the_last_byte(response, span)),
            Ok(response) => {
                span.end(Ok(response.status()));
                Ok(response)
            }
            Err(error) => {
                let error = Error::without_answer(plan.peer, error);
                span.end(Err(error.kind()));
                Err(error.into())
            }
        }
    }
}

/// The attempt is not over before the body is: it can still be cut, or nobody may want its rest.
fn until_the_last_byte(response: Response, span: ClientSpan) -> Response {
    let response = http::Response::<reqwest::Body>::from(response);
    let (parts, body) = response.into_parts();
    if body.is_end_stream() {
        span.end(Ok(parts.status)); // nobody will ask for what is not there
        return Response::from(http::Response::from_parts(parts, body));
    }
    let body = Spanned { body, ended: Some((span, parts.status)) };
    Response::from(http::Response::from_parts(parts, reqwest::Body::wrap(body)))
}

/// A body whose end is the end of its attempt's span. Dropped earlier, the span is booked as cancelled.
struct Spanned {
    body: reqwest::Body,
    ended: Option<(ClientSpan, StatusCode)>,
}

impl Body for Spanned {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<reqwest::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let outcome = match &frame {
            Some(Ok(_)) if !self.body.is_end_stream() => None,
            Some(Err(error)) => Some(Err(Error::within(error).map_or("unreachable", Error::kind))),
            Some(Ok(_)) | None => Some(Ok(())),
        };
        if let Some(outcome) = outcome
            && let Some((span, status)) = self.ended.take()
        {
            span.end(outcome.map(|()| status));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
