//! What every answer gets: a problem where an error has no body, a line in the log where it is a problem, headers that protect.

use std::sync::Arc;

use axum::{
    body::HttpBody,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};

use crate::problem::Problem;

/// Gives an error without a body one: the router's 404 and 405, and handlers that answer with a bare status.
pub(crate) fn complete(response: &mut Response) {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error())
        || response.headers().contains_key(CONTENT_TYPE)
        || response.body().size_hint().exact() != Some(0)
    {
        return;
    }
    let mut problem = bare(status).into_response();
    let mut headers = std::mem::take(response.headers_mut());
    headers.remove(CONTENT_LENGTH); // of the empty body
    problem.headers_mut().extend(headers);
    *response = problem;
}

fn bare(status: StatusCode) -> Problem {
    let (kind, detail) = match status {
        StatusCode::BAD_REQUEST => ("bad-request", "The request cannot be understood."),
        StatusCode::UNAUTHORIZED => ("unauthorized", "This needs credentials."),
        StatusCode::FORBIDDEN => ("forbidden", "This is not allowed."),
        StatusCode::NOT_FOUND => ("not-found", "There is nothing at this address."),
        // axum adds `Allow` outside of all layers, so what it lists is not known here.
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method-not-allowed", "This address has other methods: see the header Allow.")
        }
        StatusCode::NOT_ACCEPTABLE => ("not-acceptable", "There is no such representation."),
        StatusCode::CONFLICT => ("conflict", "This contradicts what is there."),
        StatusCode::PAYLOAD_TOO_LARGE => ("body-too-large", "The body is too large."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("unsupported-media-type", "This Content-Type is not accepted here.")
        }
        StatusCode::TOO_MANY_REQUESTS => ("too-many-requests", "Please wait before the next one."),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "This does not work at the moment."),
        _ if status.is_client_error() => ("bad-request", "The request cannot be answered."),
        _ => {
            let said = anyhow::anyhow!("a handler answered {status} without saying why");
            return Problem::internal(said).with_status(status);
        }
    };
    Problem::new(status, kind, detail)
}

/// Writes the problem to the log: once, here, inside the span of its request.
pub(crate) fn log(response: &mut Response) {
    let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() else { return };
    let (kind, status) = (problem.kind(), problem.status().as_u16());
    if !problem.status().is_server_error() {
        // Which fields, but not what was wrong with them: that can quote a password.
        let fields: Vec<&str> = problem.errors().iter().map(|it| it.pointer.as_str()).collect();
        tracing::debug!(
            problem.kind = kind,
            http.response.status_code = status,
            ?fields,
            "refused"
        );
        return;
    }
    match problem.cause() {
        Some(cause) => {
            tracing::error!(
                problem.kind = kind,
                http.response.status_code = status,
                "{problem}: {cause:#}"
            );
        }
        None => {
            tracing::error!(problem.kind = kind, http.response.status_code = status, "{problem}");
        }
    }
}

/// For an API: nothing of an answer is to be guessed, framed, stored, or run. Pages set their own.
static DEFAULTS: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Sets the headers that the handler has not set.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in &DEFAULTS {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}
