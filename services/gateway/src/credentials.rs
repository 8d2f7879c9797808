//! Who is signed in. What people show us stays here; the services behind get an assertion that accounts has signed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION, request::Parts};
use moka::{Expiry, future::Cache};
use platform::problem::Problem;
use resilience::{Call, Error, Limits, Peer, Route};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Gateway, meter};

const EXCHANGE: Route<0> = Route::new("/credentials/exchange");

/// How old an exchange may be: so soon a revoked credential stops counting everywhere.
const FRESH: Duration = Duration::from_secs(1);
/// Credentials in use at once; more are exchanged more often.
const MOST: u64 = 10_000;
/// No credential of ours is longer: a name of 150 and a password of 128 characters, as base64, are 1,490 bytes at most. Accounts takes
/// it as JSON, which can double it, in a body of 4 KiB.
const LONGEST: usize = 2000;

/// A request's own person; a handler that takes one demands a valid credential.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn(Arc<Exchanged>);

impl SignedIn {
    pub(crate) fn id(&self) -> i64 {
        self.0.id
    }

    pub(crate) fn username(&self) -> &str {
        &self.0.username
    }

    /// What makes the services behind believe who calls.
    pub(crate) fn vouch<'a>(&self, call: Call<'a>) -> Call<'a> {
        let (name, value) = self.0.header.clone();
        call.header(name, value)
    }
}

struct Exchanged {
    id: i64,
    username: String,
    header: (HeaderName, HeaderValue),
    /// When accounts was asked; what it answered was true then.
    begun: Instant,
}

/// Without the name and the assertion.
impl std::fmt::Debug for Exchanged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchanged({})", self.id)
    }
}

#[derive(Serialize)]
struct Request<'a> {
    authorization: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    assertion: String,
    user: User,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    username: String,
}

/// Exchanges credentials, each once a second at most however many requests come with it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    accounts: Peer,
    /// By the SHA-256 of the header: a credential is not kept longer than its request.
    fresh: Cache<[u8; 32], Arc<Exchanged>>,
}

impl Credentials {
    pub(crate) fn new(accounts: Peer) -> Credentials {
        let fresh = Cache::builder().max_capacity(MOST).expire_after(FromTheQuestion).build();
        Credentials { accounts, fresh }
    }

    async fn exchange(&self, authorization: &str) -> Result<SignedIn, Response> {
        let key: [u8; 32] = Sha256::digest(authorization).into();
        if let Some(known) = self.fresh.get(&key).await {
            meter::looked_up("hit");
            return Ok(SignedIn(known));
        }
        meter::looked_up("miss");
        // Requests that come together share one exchange.
        let exchanged = self.fresh.try_get_with(key, self.ask(authorization)).await;
        exchanged.map(SignedIn).map_err(Error::shared)
    }

    async fn ask(&self, authorization: &str) -> Result<Arc<Exchanged>, Error> {
        let begun = Instant::now();
        let call = self.accounts.post(EXCHANGE).json(&Request { authorization });
        let answer: Answer = call.limits(Limits::SIGN_IN).send().await?.json()?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", answer.assertion))
            .unwrap_or(HeaderValue::from_static("")); // an assertion is base64url and dots
        value.set_sensitive(true);
        let User { id, username } = answer.user;
        Ok(Arc::new(Exchanged { id, username, header: (AUTHORIZATION, value), begun }))
    }
}

/// An entry is as old as the question, not as the answer.
struct FromTheQuestion;

impl Expiry<[u8; 32], Arc<Exchanged>> for FromTheQuestion {
    fn expire_after_create(
        &self,
        _key: &[u8; 32],
        exchanged: &Arc<Exchanged>,
        now: Instant,
    ) -> Option<Duration> {
        Some(FRESH.saturating_sub(now.saturating_duration_since(exchanged.begun)))
    }
}

impl FromRequestParts<Gateway> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Gateway,
    ) -> Result<SignedIn, Response> {
        let header = parts.headers.get(AUTHORIZATION);
        let Some(authorization) = header.and_then(|value| value.to_str().ok()) else {
            let detail =
                "Sign in: Authorization: Token <token>. POST /api-token-auth/ gives a token.";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", detail)
                .challenge("Token, Basic realm=\"MusicWallet\"")
                .into_response());
        };
        if authorization.len() > LONGEST {
            let detail = "No credential is as long as this one.";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", detail)
                .into_response());
        }
        gateway.credentials.exchange(authorization).await
    }
}
