//! What can become of a call, and what the client of the service that made it is told.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use platform::problem::Problem;

use crate::refusal::Refusal;

/// Any cause.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Who is called, for people and for the problem that says that it cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerName {
    name: &'static str,
    unavailable: &'static str,
}

impl PeerName {
    /// `name` is that of the service (`accounts`), `unavailable` the kind of the 503 where it is away (`accounts-unavailable`).
    pub const fn new(name: &'static str, unavailable: &'static str) -> PeerName {
        PeerName { name, unavailable }
    }
}

/// Why a call has no good answer. As a response it is what our own client is told: a refusal (4xx, or a 503 that says what cannot be had)
/// as it came, 503 with `Retry-After` where the other service is away, slow or busy, 502 where it is broken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody listens there, or the connection ended before the answer did.
    #[error("{} cannot be reached", .peer.name)]
    Unreachable {
        /// Who.
        peer: PeerName,
        /// Why, without the address, which can hold what a person typed.
        #[source]
        cause: BoxError,
    },
    /// The time was over before the answer was there.
    #[error("{} has not answered in time", .peer.name)]
    TimedOut {
        /// Who.
        peer: PeerName,
    },
    /// The answer is too long, leads elsewhere or is not what was agreed.
    #[error("{} has answered what cannot be used: {what}", .peer.name)]
    BadAnswer {
        /// Who.
        peer: PeerName,
        /// What is wrong with it, without anything out of it.
        what: String,
    },
    /// The other service has said no, with a problem (4xx or 5xx).
    #[error("{} has answered {}", .peer.name, .refusal.status)]
    Refused {
        /// Who.
        peer: PeerName,
        /// Its answer.
        refusal: Box<Refusal>,
    },
    /// The body that was passed on could not be read to its end; the other service is not to blame.
    #[error("the body could not be read to its end")]
    Upload {
        /// What its sender went wrong with.
        #[source]
        cause: BoxError,
    },
}

impl Error {
    /// The service without which an answer can be given that says so: it is away, slow or busy. `None` for what only the caller, or
    /// somebody who mends it, can change.
    pub fn absent(&self) -> Option<&'static str> {
        match self {
            Error::Unreachable { peer, .. } | Error::TimedOut { peer } => Some(peer.name),
            Error::Refused { peer, refusal } => {
                let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
                busy.contains(&refusal.status).then_some(peer.name)
            }
            Error::BadAnswer { .. } | Error::Upload { .. } => None,
        }
    }

    /// The status of the refusal, if it is one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Error::Refused { refusal, .. } => Some(refusal.status),
            _ => None,
        }
    }

    /// What reqwest, or a middleware of ours, says about a call that has no answer.
    pub(crate) fn without_answer(peer: PeerName, error: reqwest_middleware::Error) -> Error {
        let error = match error {
            reqwest_middleware::Error::Reqwest(error) => error,
            reqwest_middleware::Error::Middleware(error) => match error.downcast::<Error>() {
                Ok(ours) => return ours,
                Err(other) => return Error::Unreachable { peer, cause: other.into() },
            },
        };
        // A connection that is not made within its 300 ms is nobody there, not somebody slow.
        if error.is_timeout() && !error.is_connect() {
            return Error::TimedOut { peer };
        }
        Error::Unreachable { peer, cause: error.without_url().into() }
    }

    /// The error of ours in what a body says, behind however many of reqwest's own.
    pub(crate) fn within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
        std::iter::successors(Some(error), |error| (*error).source())
            .find_map(|it| it.downcast_ref())
    }

    /// Its `error.type` in the span of an attempt.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Error::Unreachable { .. } => "unreachable",
            Error::TimedOut { .. } => "timeout",
            Error::BadAnswer { .. } => "bad_answer",
            Error::Refused { .. } => "refused",
            Error::Upload { .. } => "upload",
        }
    }

    /// The response for one of several requests that waited for the same call: what it is by itself.
    pub fn shared(self: Arc<Error>) -> Response {
        match &*self {
            Error::Refused { refusal, .. } if refusal.is_for_the_client() => {
                (**refusal).clone().into_response()
            }
            other => other.problem().caused_by(self).into_response(),
        }
    }

    /// What the client is told where there is no good answer, without the cause.
    fn problem(&self) -> Problem {
        const SOON: Duration = Duration::from_secs(1);
        match self {
            Error::Unreachable { peer, .. } | Error::TimedOut { peer } => {
                Problem::unavailable(peer.unavailable, self, SOON)
            }
            Error::BadAnswer { peer, .. } => Error::broken(*peer),
            Error::Upload { .. } => Problem::new(StatusCode::BAD_REQUEST, "incomplete-body", self),
            Error::Refused { peer, refusal } => match refusal.status {
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                    let detail = format_args!("{} cannot do this at the moment", peer.name);
                    let after = refusal.retry_after.unwrap_or(SOON);
                    Problem::unavailable(peer.unavailable, detail, after)
                }
                _ => Error::broken(*peer),
            },
        }
    }

    fn broken(peer: PeerName) -> Problem {
        let detail = format_args!("{} could not answer properly", peer.name);
        Problem::new(StatusCode::BAD_GATEWAY, "bad-gateway", detail)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Error::Refused { refusal, .. } if refusal.is_for_the_client() => {
                refusal.into_response()
            }
            other => other.problem().caused_by(other).into_response(),
        }
    }
}

impl From<Error> for reqwest_middleware::Error {
    fn from(error: Error) -> Self {
        reqwest_middleware::Error::middleware(error)
    }
}
