//! Errors as the client sees them: RFC 9457, `application/problem+json`, the same shape from every service.
//!
//! The client learns what it can act on, the log learns the cause: a [`Problem`] carries both, and only the first half is serialised.
//! The server logs each problem once, inside the span of its request, so handlers need not.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

/// An error answer: what the client is told, and the cause, which only the log is told.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
    cause: Option<anyhow::Error>,
}

/// What is wrong with one field of the input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer into the body (`/title`; empty for the whole), `?limit` for a query parameter, `{id}` for a part of the path.
    pub pointer: String,
    /// What is wrong, as a sentence for people.
    pub detail: String,
    /// The bound that was crossed, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<serde_json::Value>,
}

impl FieldError {
    /// Says that the field at `pointer` is wrong, and why.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError { pointer: pointer.into(), detail: detail.into(), limit: None }
    }

    /// Names the bound that was crossed.
    #[must_use]
    pub fn limit(mut self, limit: impl Into<serde_json::Value>) -> FieldError {
        self.limit = Some(limit.into());
        self
    }
}

impl Problem {
    /// A problem of `kind`, which is stable and in kebab-case: it ends the `type` and, with spaces, is the `title`.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl fmt::Display) -> Problem {
        Problem::of(status, kind, Cow::Owned(detail.to_string()))
    }

    fn of(status: StatusCode, kind: &'static str, detail: Cow<'static, str>) -> Problem {
        Problem(Box::new(Inner {
            status,
            kind,
            detail,
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
            cause: None,
        }))
    }

    /// 500 for what is our fault. The client gets a fixed sentence, the log the cause.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Problem {
        let detail = "Something went wrong on our side. The trace_id helps to find out what.";
        Problem::of(StatusCode::INTERNAL_SERVER_ERROR, "internal", Cow::Borrowed(detail))
            .caused_by(cause)
    }

    /// 400 that names every wrong field; its `detail` repeats the first.
    pub fn invalid(errors: Vec<FieldError>) -> Problem {
        let detail = match errors.as_slice() {
            [] => Cow::Borrowed("The input is not valid."),
            [one] => Cow::Owned(one.to_string()),
            [first, rest @ ..] => Cow::Owned(format!("{first} (and {} more)", rest.len())),
        };
        let mut problem = Problem::of(StatusCode::BAD_REQUEST, "invalid-input", detail);
        problem.0.errors = errors;
        problem
    }

    /// 503 for what will work again: `Retry-After` is rounded up to whole seconds, 1 at least.
    pub fn unavailable(
        kind: &'static str,
        detail: impl fmt::Display,
        retry_after: Duration,
    ) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail).retry_after(retry_after)
    }

    /// Adds `Retry-After`, rounded up to whole seconds, 1 at least.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Problem {
        self.0.retry_after = Some(after);
        self
    }

    /// Sets `WWW-Authenticate`. A 401 has `Bearer` without it.
    #[must_use]
    pub fn challenge(mut self, challenge: &'static str) -> Problem {
        self.0.challenge = Some(challenge);
        self
    }

    /// Adds the cause, for the log only.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<anyhow::Error>) -> Problem {
        self.0.cause = Some(cause.into());
        self
    }

    /// Adds what is wrong with one field.
    #[must_use]
    pub fn error(mut self, error: FieldError) -> Problem {
        self.0.errors.push(error);
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Problem {
        self.0.status = status;
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The kind, the last part of the `type`.
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// What the client is told.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What is wrong with single fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// What only the log is told.
    pub fn cause(&self) -> Option<&anyhow::Error> {
        self.0.cause.as_ref()
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "The body" } else { &self.pointer };
        write!(f, "{pointer}: {}", self.detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.detail)
    }
}

#[derive(Serialize)]
struct Told<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let told = Told {
            r#type: format!("/problems/{}", self.0.kind),
            title: self.0.kind.replace('-', " "),
            status: self.0.status.as_u16(),
            detail: &self.0.detail,
            trace_id: telemetry::trace_id(),
            errors: &self.0.errors,
        };
        // Strings, numbers and JSON values cannot fail to serialise; an empty body would still have its status.
        let body = Bytes::from(serde_json::to_vec(&told).unwrap_or_default());
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.0.retry_after {
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64),
            );
        }
        let unauthorized = self.0.status == StatusCode::UNAUTHORIZED;
        if let Some(challenge) = self.0.challenge.or(unauthorized.then_some("Bearer")) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(Arc::new(self)); // for the layer that logs it
        response
    }
}
