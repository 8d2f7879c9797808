//! Signing up.

use axum::extract::State;
use http::StatusCode;
use platform::{
    extract::Json,
    openapi::{OpenApiRouter, routes},
    problem::{FieldError, Problem},
    storage::Error,
};
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::spawn_blocking;
use unicode_normalization::UnicodeNormalization;

use crate::{
    Accounts, bodies,
    client::Client,
    form::Form,
    meter, now,
    store::{self, NewUser, User},
    username::Username,
};

const LONGEST_EMAIL: usize = 254;
/// What answers have and nobody can set.
pub(crate) const READ_ONLY: &[&str] = &["id", "favourite_musics", "favourite_count"];

pub(crate) fn router() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new().routes(routes!(sign_up))
}

/// Sign up
///
/// `id`, `favourite_musics` and `favourite_count` may be sent and change nothing. Too many from one address have to wait (429).
#[utoipa::path(
    post, path = "/users", tag = "people", security(()), params(Client), request_body = bodies::NewUser,
    responses(
        (status = 201, body = bodies::User),
        (status = 409, description = "Somebody has this username, or one that looks like it.")
    )
)]
async fn sign_up(
    State(accounts): State<Accounts>,
    client: Client,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let form = Form::new(body)?;
    let applicant = spawn_blocking(|| Applicant::read(form)).await.map_err(Problem::internal)??;
    let Applicant { username, email, password } = applicant;
    let counted = accounts.throttle.sign_up(&client)?;
    let password_hash = match accounts.hashers.hash(password).await {
        Ok(hash) => hash,
        Err(untried) => {
            counted.forget();
            return Err(untried);
        }
    };
    let new = NewUser {
        username: username.as_str(),
        key: &username.key(),
        looks: &username.looks(),
        email: &email,
        password_hash: &password_hash,
        now: now(),
    };
    // Only the index knows for sure: between a look and this statement somebody else could take the name.
    let id = store::insert_user(&accounts.db, &new).await.map_err(taken)?;
    meter::signed_up();
    tracing::info!("somebody signed up");
    let user = User { id, username: username.as_str().to_owned(), email };
    Ok((StatusCode::CREATED, Json(user)))
}

/// 409 for a name that somebody has.
pub(crate) fn taken(error: Error) -> Problem {
    match error {
        Error::Unique(_) => {
            let detail = "Somebody has this username, or one that looks like it.";
            Problem::new(StatusCode::CONFLICT, "username-taken", detail)
        }
        error @ (Error::Unavailable(_) | Error::Other(_)) => error.into(),
    }
}

/// Who wants to sign up, checked.
pub(crate) struct Applicant {
    pub(crate) username: Username,
    pub(crate) email: String,
    pub(crate) password: SecretString,
}

impl Applicant {
    pub(crate) fn read(mut form: Form) -> Result<Applicant, Problem> {
        form.ignore(READ_ONLY);
        let username = form.text("username", Username::parse);
        let email = form.text("email", email);
        let name = username.as_ref().map_or("", Username::as_str);
        let password = password(&mut form, name, email.as_deref().unwrap_or_default());
        let all = username.zip(email).zip(password);
        form.finish(all.map(|((username, email), password)| Applicant {
            username,
            email,
            password,
        }))
    }
}

/// Takes the password, which has to be good enough for this person; see [`password::check`](crate::password::check).
pub(crate) fn password(form: &mut Form, username: &str, email: &str) -> Option<SecretString> {
    let password = form.secret("password")?;
    let good = crate::password::check(&password, username, email);
    form.note(good.map(|()| password))
}

/// Trimmed, in NFC. Only what cannot be an address is refused; whether it is one, only a letter to it could tell.
pub(crate) fn email(text: &str) -> Result<String, FieldError> {
    let email: String = text.trim().nfc().collect();
    if email.chars().count() > LONGEST_EMAIL {
        let detail = "may have 254 characters at most";
        return Err(FieldError::new("/email", detail).limit(LONGEST_EMAIL));
    }
    let sides: Vec<&str> = email.split('@').collect();
    let sides = matches!(sides[..], [who, at] if !who.is_empty() && !at.is_empty());
    if !sides || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(FieldError::new("/email", "has to be an address such as ada@example.org"));
    }
    Ok(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_two_sides_and_no_more() {
        assert_eq!(email(" Ada@example.org\n").unwrap(), "Ada@example.org");
        assert_eq!(email("cafe\u{301}@example.org").unwrap(), "caf\u{e9}@example.org");
        assert!(email(&format!("{}@example.org", "a".repeat(242))).is_ok());
        assert!(email(&format!("{}@example.org", "a".repeat(243))).is_err());
        for wrong in
            ["", "@", "ada", "ada@", "@example.org", "a@b@c", "a b@c", "a\u{0}@b", "a@b\u{85}c"]
        {
            assert!(email(wrong).is_err(), "{wrong:?}");
        }
    }
}
