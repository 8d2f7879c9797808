//! Who is signed in. What people show us stays here; the services behind get an assertion that accounts has signed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION, request::Parts};
use moka::{Expiry, future::Cache};
use platform::problem::Problem;
use resilience::{Call, Error, Limits, Peer, Route};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Gateway, client::ClientAddress, meter, sessions};

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

/// The same, asked for now: for what cannot be taken back, a credential that ended within this second does not count.
pub(crate) struct SignedInNow(pub(crate) SignedIn);

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

/// What a request proves its person with.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Credential<'a> {
    Authorization(&'a str),
    /// The secret of a session, from its cookie.
    Session(&'a str),
}

impl Credential<'_> {
    /// A header was put there on purpose, a cookie comes by itself: so the header counts where there are both.
    fn of(headers: &HeaderMap) -> Option<Credential<'_>> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let session = || sessions::secret(headers).map(Credential::Session);
        header.map(Credential::Authorization).or_else(session)
    }

    /// Credentials of both kinds have keys of their own.
    fn key(self) -> [u8; 32] {
        let (kind, secret) = match self {
            Credential::Authorization(secret) => ("authorization", secret),
            Credential::Session(secret) => ("session", secret),
        };
        Sha256::new().chain_update(kind).chain_update([0]).chain_update(secret).finalize().into()
    }
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
    /// By the SHA-256 of the credential, which is not kept longer than its request.
    fresh: Cache<[u8; 32], Arc<Exchanged>>,
}

impl Credentials {
    pub(crate) fn new(accounts: Peer) -> Credentials {
        let fresh = Cache::builder()
            .max_capacity(MOST)
            .expire_after(FromTheQuestion)
            .support_invalidation_closures()
            .build();
        Credentials { accounts, fresh }
    }

    /// Nobody is this person any more, by whatever credential.
    pub(crate) fn forget(&self, person: i64) {
        // It fails only where the cache was made without closures.
        let _ = self.fresh.invalidate_entries_if(move |_, known| known.id == person);
    }

    async fn exchange(
        &self,
        credential: Credential<'_>,
        client: ClientAddress,
        headers: &HeaderMap,
    ) -> Result<SignedIn, Response> {
        let key = credential.key();
        if let Some(known) = self.fresh.get(&key).await {
            meter::looked_up("hit");
            return Ok(SignedIn(known));
        }
        meter::looked_up("miss");
        // Requests that come together share one exchange.
        let exchanged = self.fresh.try_get_with(key, self.ask(credential, client, headers)).await;
        exchanged.map(SignedIn).map_err(Error::shared)
    }

    async fn ask(
        &self,
        credential: Credential<'_>,
        client: ClientAddress,
        headers: &HeaderMap,
    ) -> Result<Arc<Exchanged>, Error> {
        let begun = Instant::now();
        let call = client.tell(self.accounts.post(EXCHANGE).json(&credential), headers);
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

/// Forgets the exchange of a credential that has ended within its second, where a service behind has noticed it: the next request with
/// it is refused, too.
pub(crate) async fn forget_ended(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Response {
    let key = Credential::of(request.headers()).map(Credential::key);
    let response = next.run(request).await;
    if let (StatusCode::UNAUTHORIZED, Some(key)) = (response.status(), key) {
        gateway.credentials.fresh.invalidate(&key).await;
    }
    response
}

impl FromRequestParts<Gateway> for SignedInNow {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Gateway,
    ) -> Result<SignedInNow, Response> {
        if let Some(credential) = Credential::of(&parts.headers) {
            gateway.credentials.fresh.invalidate(&credential.key()).await;
        }
        SignedIn::from_request_parts(parts, gateway).await.map(SignedInNow)
    }
}

impl FromRequestParts<Gateway> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Gateway,
    ) -> Result<SignedIn, Response> {
        let Ok(client) = ClientAddress::from_request_parts(parts, gateway).await;
        let Some(credential) = Credential::of(&parts.headers) else {
            let detail =
                "Sign in: Authorization: Token <token>. POST /api-token-auth/ gives a token.";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", detail)
                .challenge("Token, Basic realm=\"MusicWallet\"")
                .into_response());
        };
        if let Credential::Session(_) = credential {
            sessions::same_origin(&parts.method, &parts.headers)
                .map_err(IntoResponse::into_response)?;
        }
        let (Credential::Authorization(secret) | Credential::Session(secret)) = credential;
        if secret.len() > LONGEST {
            let detail = "No credential is as long as this one.";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", detail)
                .into_response());
        }
        gateway.credentials.exchange(credential, client, &parts.headers).await
    }
}
