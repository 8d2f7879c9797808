//! Signing in and out in a browser: the secret of a session is a cookie that scripts cannot read.
//!
//! `__Host-` and `Secure` keep the cookie on this host; browsers take it from a loopback address without TLS, too. A request that comes with
//! the cookie and changes something has to prove that a page of this origin sent it ([`same_origin`]).

use axum::{
    extract::State,
    response::{AppendHeaders, IntoResponse, Response, Result},
};
use http::{
    HeaderMap, Method, StatusCode, header,
    header::{COOKIE, SET_COOKIE},
};
use platform::{
    extract::{Json, Raw},
    openapi::{OpenApiRouter, routes},
    problem::Problem,
};
use resilience::{Limits, Route};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Gateway, accounts::with_body, bodies::SignIn, client::ClientAddress, credentials::SignedIn,
};

const SESSIONS: Route<0> = Route::new("/sessions");
const CURRENT: Route<0> = Route::new("/sessions/current");

const SESSION: &str = "__Host-session";
/// Tells a browser that has been here from one that guesses passwords; it opens nothing by itself.
pub(crate) const DEVICE: &str = "__Host-device";
/// How long a browser keeps that, in seconds: 400 days are the most that browsers accept.
const DEVICE_AGE: u32 = 400 * 24 * 60 * 60;

pub(crate) fn router() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(sign_in, sign_out))
}

#[derive(Deserialize)]
struct Begun {
    session: String,
    device: String,
    user: Person,
}

/// Who has signed in.
#[derive(Deserialize, Serialize, ToSchema)]
struct Person {
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "ada")]
    username: String,
}

/// Sign in with a browser
///
/// Sets the cookie of a session of 12 hours, which ends after 30 minutes without a request.
#[utoipa::path(
    post, path = "/api/session", tag = "signing in", request_body = SignIn, security(()),
    responses(
        (status = 200, body = Person, headers(("set-cookie" = String))),
        (status = 401, description = "The name or the password is wrong.")
    )
)]
async fn sign_in(
    State(gateway): State<Gateway>,
    client: ClientAddress,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let call = client.tell(gateway.accounts.post(SESSIONS), &headers);
    let answer = with_body(call, &headers, body).limits(Limits::SIGN_IN).send().await?;
    let Begun { session, device, user } = answer.json()?;
    let cookies = AppendHeaders([
        (SET_COOKIE, format!("{SESSION}={session}; Path=/; Secure; HttpOnly; SameSite=Lax")),
        (
            SET_COOKIE,
            format!(
                "{DEVICE}={device}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={DEVICE_AGE}"
            ),
        ),
    ]);
    Ok((cookies, Json(user)).into_response())
}

/// Sign out
///
/// The session stops counting within a second.
#[utoipa::path(
    delete, path = "/api/session", tag = "signing in",
    responses((status = 204), (status = 403, description = "The request was not sent by a page of this origin."), (status = 404, description = "It did not come with a session."))
)]
async fn sign_out(State(gateway): State<Gateway>, caller: SignedIn) -> Result<Response> {
    caller.vouch(gateway.accounts.call(Method::DELETE, CURRENT)).send().await?;
    let gone = format!("{SESSION}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, gone)]).into_response())
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// The secret of the session that a request comes with.
pub(crate) fn secret(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, SESSION).filter(|secret| !secret.is_empty())
}

/// Browsers send the cookie along with whatever page asks for, so a request that changes something needs more: `Sec-Fetch-Site` of this
/// origin, or an `Origin` that is this host. Neither of them is no proof. Tokens and passwords are never sent by themselves, and exempt.
///
/// # Errors
/// 403.
pub(crate) fn same_origin(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let proven = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = text(header::HOST.as_str());
            // The scheme may be that of a proxy in front; the host is what tells one site from another.
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            rest.is_some() && rest == host
        }
        (None, None) => false,
    };
    if proven {
        return Ok(());
    }
    let detail = "A request with a session's cookie that changes something has to come from a page of this origin. \
                  Programs use a token.";
    Err(Problem::new(StatusCode::FORBIDDEN, "cross-origin", detail))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_pages_of_this_origin_may_change_something() {
        let may = |pairs: &[_]| {
            let mut given = headers(pairs);
            given.insert("host", HeaderValue::from_static("wallet.example:8080"));
            same_origin(&Method::POST, &given).is_ok()
        };
        assert!(may(&[("sec-fetch-site", "same-origin")]));
        assert!(may(&[("origin", "http://wallet.example:8080")]));
        assert!(may(&[("origin", "https://wallet.example:8080")]));
        for refused in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("origin", "http://wallet.example:8080")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://wallet.example")],
            &[("origin", "http://wallet.example:8080.evil.example")],
            &[("origin", "http://evil.example/wallet.example:8080")],
            &[("origin", "file://wallet.example:8080")],
        ] {
            assert!(!may(refused), "{refused:?}");
        }
        assert!(same_origin(&Method::GET, &headers(&[])).is_ok());
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let given = headers(&[("cookie", "a=1; x__Host-session=no; __Host-session=yes ;b=2")]);
        assert_eq!(secret(&given), Some("yes"));
        assert_eq!(secret(&headers(&[("cookie", "__Host-session=")])), None);
        assert_eq!(secret(&headers(&[])), None);
    }
}
