//! Signing in: a password for a token. `sessions.rs` has the same for browsers.

use axum::extract::State;
use http::StatusCode;
use platform::{
    extract::Json,
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use tracing::Instrument;
use utoipa::ToSchema;

use crate::{
    Accounts, bodies,
    client::Client,
    form::Form,
    hashing::Verdict,
    meter, now, password,
    store::{self, Credentials, Person},
    throttle::Attempt,
    token::Token,
    tokens::{LIFETIME, MOST},
    username::Username,
};

/// What such tokens are called.
const NAME: &str = "sign-in";

pub(crate) fn router() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new().routes(routes!(sign_in))
}

/// A token, for its owner.
#[derive(Serialize, ToSchema)]
struct Issued {
    #[schema(
        pattern = "^trk_[0-9A-Za-z]{38}$",
        example = "trk_4yTqW8sZbX2nLk9vRf3hDm6jPc1gAe5uQo7iYw"
    )]
    token: String,
}

/// A new token for a name and a password
///
/// 90 days; 20 per person at most, the longest unused goes first.
#[utoipa::path(
    post, path = "/api-token-auth", tag = "signing in", security(()), params(Client), request_body = bodies::SignIn,
    responses(
        (status = 200, body = Issued),
        (status = 401, description = "The name or the password is wrong; which of them is not told.")
    )
)]
async fn sign_in(
    State(accounts): State<Accounts>,
    client: Client,
    Json(body): Json<Value>,
) -> Result<Json<Issued>, Problem> {
    let (username, password) = name_and_password(body)?;
    let proven = authenticate(&accounts, &username, password, &client).await?;
    let token = Token::generate().map_err(Problem::internal)?;
    let now = now();
    let mut tx = accounts.db.begin().await?;
    if !store::still_proven(&mut tx, proven.person.id, &proven.password_hash).await? {
        return Err(wrong());
    }
    store::insert_token(&mut tx, proven.person.id, NAME, token.hash(), now, now + LIFETIME).await?;
    store::drop_tokens(&mut tx, proven.person.id, now, MOST).await?;
    tx.commit().await?;
    tracing::info!("somebody signed in");
    Ok(Json(Issued { token: token.expose().to_owned() }))
}

/// What signing in needs, as it was written.
pub(crate) fn name_and_password(body: Value) -> Result<(String, SecretString), Problem> {
    let mut form = Form::new(body)?;
    let username = form.text("username", |name| Ok(name.to_owned()));
    let given = username.zip(form.secret("password"));
    form.finish(given)
}

/// Somebody whose password was right.
pub(crate) struct Proven {
    pub(crate) person: Person,
    /// What it was compared with; see [`store::still_proven`].
    pub(crate) password_hash: String,
    /// The known device from which it came.
    pub(crate) device: Option<i64>,
}

/// Who it is that name and password prove; 401 for a wrong name and a wrong password alike, after the same work; 429 after failures.
pub(crate) async fn authenticate(
    accounts: &Accounts,
    username: &str,
    password: SecretString,
    client: &Client,
) -> Result<Proven, Problem> {
    let outcome = check(accounts, username, password, client).await;
    meter::signed_in(result(&outcome));
    outcome
}

/// What became of a credential, as metrics have it.
pub(crate) fn result<T>(outcome: &Result<T, Problem>) -> &'static str {
    match outcome.as_ref().map_err(Problem::status) {
        Ok(_) => "success",
        Err(StatusCode::UNAUTHORIZED) => "refused",
        Err(StatusCode::TOO_MANY_REQUESTS) => "throttled",
        Err(StatusCode::SERVICE_UNAVAILABLE) => "busy",
        Err(_) => "error",
    }
}

/// The answer to whoever did not prove to be somebody.
pub(crate) fn wrong() -> Problem {
    let detail = "The username or the password is wrong.";
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", detail)
}

async fn check(
    accounts: &Accounts,
    username: &str,
    password: SecretString,
    client: &Client,
) -> Result<Proven, Problem> {
    if password.expose_secret().chars().count() > password::LONGEST {
        return Err(wrong()); // nobody's, whoever is asked for
    }
    // A name that nobody can have is looked for, too, and takes as long.
    let key = Username::parse(username).map_or_else(|_| String::new(), |name| name.key());
    let tried = if key.is_empty() { username } else { &key };
    let mut attempt = accounts.throttle.attempt(&accounts.db, tried, client).await?;
    let device = attempt.device;
    let compared = compare(accounts, &mut attempt, &key, password);
    match compared.instrument(tracing::info_span!("verify password")).await {
        Ok((person, password_hash)) => {
            attempt.forget(&accounts.db).await;
            Ok(Proven { person, password_hash, device })
        }
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Err(problem),
        Err(untried) => {
            attempt.forget(&accounts.db).await;
            Err(untried)
        }
    }
}

/// The person with this key, and the hash that the password fits.
async fn compare(
    accounts: &Accounts,
    attempt: &mut Attempt,
    key: &str,
    password: SecretString,
) -> Result<(Person, String), Problem> {
    // A place first: so no more is booked at once than is hashed, however many come.
    let place = accounts.hashers.place().await?;
    attempt.book(&accounts.db).await?;
    let found = store::credentials(&accounts.db, key).await?;
    let stored = found.as_ref().map(|found| found.password_hash.clone());
    let verdict = place.verify(password, stored).await?;
    // Whoever is locked has no right password.
    let Some(Credentials { person, password_hash, locked: false }) = found else {
        return Err(wrong());
    };
    match verdict {
        Verdict::Wrong => Err(wrong()),
        Verdict::Right => Ok((person, password_hash)),
        Verdict::Renewed(new) => {
            store::renew_password_hash(&accounts.db, person.id, &password_hash, &new).await?;
            Ok((person, new))
        }
    }
}
