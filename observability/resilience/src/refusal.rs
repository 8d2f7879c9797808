//! The other service says no.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use platform::identity::CREDENTIAL_ENDED;
use serde_json::Value;

use crate::error::{Error, PeerName};

/// The longest wait that we believe another service: throttling ends with the day.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer with a status of 4xx or 5xx and a problem. As a response it is the same problem: it has our trace's id already.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// 400 to 599.
    pub status: StatusCode,
    /// `application/problem+json`, as it came.
    pub body: Bytes,
    /// How long to wait before it makes sense to try again, a day at most.
    pub retry_after: Option<Duration>,
    challenge: Option<HeaderValue>,
    problem: bool,
}

impl Refusal {
    /// Whether it is for whoever has asked us: a mistake of theirs, or a problem that says what cannot be had at the moment.
    pub(crate) fn is_for_the_client(&self) -> bool {
        let busy = self.status == StatusCode::SERVICE_UNAVAILABLE;
        self.status.is_client_error() || (busy && self.problem)
    }

    /// What an answer with another status than 2xx means; `by_assertion` says whether the call came with one.
    pub(crate) fn error(
        peer: PeerName,
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
        by_assertion: bool,
    ) -> Error {
        let bad = |what: &str| Error::BadAnswer { peer, what: what.to_owned() };
        if !status.is_client_error() && !status.is_server_error() {
            return bad("it leads elsewhere");
        }
        if status == StatusCode::UNAUTHORIZED && by_assertion && !has_ended(&body) {
            // Our own client has been recognised and must not read that its credential is wrong.
            return bad("it does not accept our assertion");
        }
        let problem = HeaderValue::from_static("application/problem+json");
        let problem = headers.get(CONTENT_TYPE) == Some(&problem);
        if status.is_client_error() && !problem {
            return bad("it refuses without a problem");
        }
        let seconds = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
        let refusal = Refusal {
            status,
            body,
            retry_after: seconds.map(|it| Duration::from_secs(it).min(LONGEST_WAIT)),
            challenge: headers.get(WWW_AUTHENTICATE).cloned(),
            problem,
        };
        Error::Refused { peer, refusal: Box::new(refusal) }
    }
}

/// Whether a 401 is about the credential that was exchanged for the assertion: the client's own, which has ended since.
fn has_ended(body: &[u8]) -> bool {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = problem["type"].as_str().and_then(|it| it.strip_prefix("/problems/"));
    kind == Some(CREDENTIAL_ENDED)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
