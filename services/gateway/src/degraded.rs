//! Answers of which a part is missing, because the service that has it is away: they say so.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use resilience::Error;

use crate::meter;

/// Names the services whose part of an answer is missing or stands in from a copy: `degraded: catalog, wallet`.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("degraded");

/// The services that an answer had to do without.
#[derive(Debug, Default)]
pub(crate) struct Degraded(Vec<&'static str>);

impl Degraded {
    /// What a service answered, or `None` where it cannot be had at the moment. A refusal is no absence, and stays an error.
    pub(crate) fn part<T>(&mut self, answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(part) => Ok(Some(part)),
            Err(error) => {
                let Some(service) = error.absent() else { return Err(error) };
                if !self.0.contains(&service) {
                    meter::degraded(service);
                    self.0.push(service);
                }
                Ok(None)
            }
        }
    }

    /// `answer`, marked if something is missing.
    pub(crate) fn mark(self, answer: impl IntoResponse) -> Response {
        let mut response = answer.into_response();
        if !self.0.is_empty()
            && let Ok(services) = HeaderValue::try_from(self.0.join(", "))
        {
            response.headers_mut().insert(HEADER, services);
        }
        response
    }
}
