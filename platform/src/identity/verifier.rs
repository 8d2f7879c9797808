use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use http::Method;
use http_body_util::{BodyExt, Limited};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::{Client, Url};
use telemetry::Telemetry;
use tokio::time::Instant;

use super::{AUDIENCE, Caller, Claims, ISSUER, Keys, ed25519};
use crate::{config::HttpUrl, problem::Problem};

/// Clocks may differ by this much.
const LEEWAY: Duration = Duration::from_secs(5);
/// No assertion of ours is longer.
const LONGEST: usize = 2048;
/// No set of keys is longer, in bytes.
const LONGEST_KEYS: usize = 64 << 10;
/// An unknown key is asked for this often at most, however many forged tokens name one.
const REFETCH: Duration = Duration::from_secs(1);
/// How many checked assertions are remembered: a signature costs 50 us to check, and the gateway sends each assertion for a second.
const REMEMBERED: usize = 4096;

/// Checks assertions with the keys that accounts publishes.
pub struct Verifier {
    source: Option<Source>,
    validation: Validation,
    keys: RwLock<HashMap<String, DecodingKey>>,
    /// The last fetch: when, and whether it succeeded. Locked while one runs, so that all who need it wait for the same.
    fetched: tokio::sync::Mutex<Option<(Instant, bool)>>,
    checked: Mutex<HashMap<String, (Caller, u64)>>,
}

struct Source {
    client: Client,
    url: Url,
    telemetry: Telemetry,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// With the keys of the accounts service at `accounts`, fetched when they are needed.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(accounts: &HttpUrl, telemetry: &Telemetry) -> anyhow::Result<Verifier> {
        let client = Client::builder()
            .connect_timeout(Duration::from_millis(300))
            .timeout(Duration::from_millis(900))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Calls are so rare that a kept connection would be closed by the other side, perhaps in this very moment.
            .pool_max_idle_per_host(0)
            .build()
            .context("making the client for the keys of accounts")?;
        let url = Url::parse(&format!("{accounts}/.well-known/jwks.json"))?;
        Ok(Verifier::with(Some(Source { client, url, telemetry: telemetry.clone() })))
    }

    /// With these keys and no others.
    ///
    /// # Errors
    /// When one is no Ed25519 key.
    pub fn fixed(keys: &Keys) -> anyhow::Result<Verifier> {
        let verifier = Verifier::with(None);
        verifier.learn(keys)?;
        Ok(verifier)
    }

    fn with(source: Option<Source>) -> Verifier {
        ed25519::install();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.leeway = LEEWAY.as_secs();
        Verifier {
            source,
            validation,
            keys: RwLock::default(),
            fetched: tokio::sync::Mutex::default(),
            checked: Mutex::default(),
        }
    }

    /// Who an assertion speaks for.
    ///
    /// # Errors
    /// 401 for one that is not ours or has expired; 503 when its key is unknown and accounts cannot be asked.
    pub async fn verify(&self, assertion: &str) -> Result<Caller, Problem> {
        if let Some(caller) = self.remembered(assertion) {
            return Ok(caller);
        }
        if assertion.len() > LONGEST {
            return Err(refused());
        }
        let header = decode_header(assertion).map_err(|error| refused().caused_by(error))?;
        let Some(kid) = header.kid else { return Err(refused()) };
        let key = match self.known(&kid) {
            Some(key) => key,
            None => self.fetch(&kid).await?,
        };
        let claims = decode::<Claims>(assertion, &key, &self.validation)
            .map_err(|error| refused().caused_by(error))?
            .claims;
        let id = claims.sub.parse().map_err(|_| refused())?;
        let caller = Caller { id, name: claims.name.into(), via: claims.via.into() };
        self.remember(assertion, &caller, claims.exp);
        Ok(caller)
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    /// Asks accounts for its keys, unless somebody just did.
    async fn fetch(&self, kid: &str) -> Result<DecodingKey, Problem> {
        let Some(source) = &self.source else { return Err(refused()) };
        let mut fetched = self.fetched.lock().await;
        if let Some(key) = self.known(kid) {
            return Ok(key); // whoever had the lock before has fetched it
        }
        if let Some((at, succeeded)) = *fetched
            && at.elapsed() < REFETCH
        {
            return Err(if succeeded { refused() } else { unavailable() });
        }
        let outcome = source.fetch().await.and_then(|keys| self.learn(&keys));
        *fetched = Some((Instant::now(), outcome.is_ok()));
        outcome.map_err(|error| unavailable().caused_by(error))?;
        self.known(kid).ok_or_else(refused)
    }

    /// Replaces the keys: one that accounts does not publish any more does not count any more.
    fn learn(&self, keys: &Keys) -> anyhow::Result<()> {
        let known = keys.keys.iter().map(|key| {
            let decoding = DecodingKey::from_ed_components(&key.x);
            Ok((key.kid.clone(), decoding.context("a key of accounts is no Ed25519 key")?))
        });
        let known = known.collect::<anyhow::Result<_>>()?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = known;
        self.checked().clear();
        Ok(())
    }

    fn checked(&self) -> MutexGuard<'_, HashMap<String, (Caller, u64)>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, assertion: &str) -> Option<Caller> {
        let checked = self.checked();
        let (caller, exp) = checked.get(assertion)?;
        (*exp > now()).then(|| caller.clone())
    }

    fn remember(&self, assertion: &str, caller: &Caller, exp: u64) {
        let mut checked = self.checked();
        if checked.len() >= REMEMBERED {
            checked.clear(); // cheaper than order: each is checked once more
        }
        checked.insert(assertion.to_owned(), (caller.clone(), exp));
    }
}

impl Source {
    async fn fetch(&self) -> anyhow::Result<Keys> {
        let mut request = self.client.get(self.url.clone()).build()?;
        let span = self.telemetry.client_span(&Method::GET, "/.well-known/jwks.json", &self.url);
        span.inject(request.headers_mut());
        let answer = match self.client.execute(request).await {
            Ok(answer) => {
                span.end(Ok(answer.status()));
                answer
            }
            Err(error) => {
                span.end(Err(if error.is_timeout() { "timeout" } else { "connection" }));
                return Err(error).context("asking accounts for its keys");
            }
        };
        let body = reqwest::Body::from(answer.error_for_status()?);
        let keys =
            Limited::new(body, LONGEST_KEYS).collect().await.map_err(anyhow::Error::from_boxed);
        let keys = keys.context("the keys of accounts did not arrive")?.to_bytes();
        serde_json::from_slice(&keys).context("the keys of accounts cannot be read")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs())
}

fn refused() -> Problem {
    let detail = "The assertion is not valid, or it has expired.";
    Problem::new(http::StatusCode::UNAUTHORIZED, "invalid-assertion", detail)
}

fn unavailable() -> Problem {
    let detail = "Nobody can be identified now: accounts does not answer. Try again soon.";
    Problem::unavailable("accounts-unavailable", detail, REFETCH)
}
