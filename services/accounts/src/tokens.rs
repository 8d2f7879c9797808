//! Tokens that people make for their programs, name and end. `sign_in.rs` gives one for a password.

use axum::extract::State;
use http::StatusCode;
use platform::{
    extract::{Json, Path},
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::{FieldError, Problem},
};
use serde::Serialize;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;

use crate::{
    Accounts,
    account::demand_standing,
    bodies,
    form::Form,
    now, rfc3339,
    store::{self, Listed},
    token::Token,
    via::Via,
};

/// 90 days in milliseconds.
pub(crate) const LIFETIME: i64 = 90 * 24 * 60 * 60 * 1000;
/// Tokens per person.
pub(crate) const MOST: i64 = 20;
/// Characters of a name.
const LONGEST: usize = 100;

pub(crate) fn router() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// One's own tokens, without their secrets
///
/// Those that have not expired, by id.
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses((status = 200, body = Vec<bodies::Listed>)))]
async fn list(
    State(accounts): State<Accounts>,
    caller: Caller,
) -> Result<Json<Vec<Listed>>, Problem> {
    Ok(Json(store::tokens(&accounts.db, caller.id, now()).await?))
}

/// A new token, for its owner, who sees it this once.
#[derive(Serialize, ToSchema)]
struct Created {
    #[schema(example = 7)]
    id: i64,
    #[schema(example = "laptop")]
    name: String,
    #[schema(
        pattern = "^trk_[0-9A-Za-z]{38}$",
        example = "trk_4yTqW8sZbX2nLk9vRf3hDm6jPc1gAe5uQo7iYw"
    )]
    token: String,
    #[schema(value_type = String, format = DateTime, example = "2026-05-04T03:04:05.678Z")]
    #[serde(serialize_with = "rfc3339")]
    expires_at: i64,
}

/// Make a token
///
/// It is shown this once. 90 days; of 21, the longest unused goes. `id` may be sent back and changes nothing.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens", request_body = bodies::NewToken, responses((status = 201, body = Created))
)]
async fn create(
    State(accounts): State<Accounts>,
    caller: Caller,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<Created>), Problem> {
    let mut form = Form::new(body)?;
    form.ignore(&["id"]);
    let name = form.text("name", name);
    let name = form.finish(name)?;
    let token = Token::generate().map_err(Problem::internal)?;
    let now = now();
    let expires_at = now + LIFETIME;
    let mut tx = accounts.db.begin().await?;
    demand_standing(&mut tx, caller.id, Via::of(&caller)).await?;
    let id = store::insert_token(&mut tx, caller.id, &name, token.hash(), now, expires_at).await?;
    store::drop_tokens(&mut tx, caller.id, now, MOST).await?;
    tx.commit().await?;
    let created = Created { id, name, token: token.expose().to_owned(), expires_at };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Revoke a token
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 204), (status = 404, description = "One has no such token."))
)]
async fn revoke(
    State(accounts): State<Accounts>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    if store::delete_token(&accounts.db, id, caller.id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = "You have no token with this id.";
    Err(Problem::new(StatusCode::NOT_FOUND, "token-not-found", detail))
}

/// Trimmed, in NFC.
fn name(text: &str) -> Result<String, FieldError> {
    let name: String = text.trim().nfc().collect();
    let wrong = |detail: &str| FieldError::new("/name", detail);
    match name.chars().count() {
        0 => Err(wrong("has to have 1 to 100 characters").limit(1)),
        1..=LONGEST if name.chars().any(char::is_control) => {
            Err(wrong("must not have control characters"))
        }
        1..=LONGEST => Ok(name),
        _ => Err(wrong("may have 100 characters at most").limit(LONGEST)),
    }
}
