use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::{StatusCode, header::AUTHORIZATION, request::Parts};

use super::Verifier;
use crate::problem::Problem;

/// Who makes a request; a handler that takes one demands a valid assertion, `Authorization: Bearer <assertion>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's id.
    pub id: i64,
    /// The username.
    pub name: Arc<str>,
    /// Which credential was exchanged: `token:12`, `session:7` or `basic`; empty where an assertion does not say. Only accounts, which gave
    /// the credential, can make something of it.
    pub via: Arc<str>,
}

/// Without the name, which is personal data and would end in a log.
impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Caller({})", self.id)
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Verifier>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let assertion = header.and_then(|value| value.strip_prefix("Bearer "));
        let Some(assertion) = assertion else {
            let detail = "This service wants an assertion: Authorization: Bearer <assertion>.";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", detail));
        };
        Arc::<Verifier>::from_ref(state).verify(assertion).await
    }
}
