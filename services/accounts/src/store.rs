//! Every statement of accounts, a function each. Times are milliseconds since 1970.
//!
//! Here are people and tokens; `store/sessions.rs` has sessions and devices, `store/failures.rs` what throttling keeps, `store/operators.rs`
//! what only operators do.

mod failures;
mod operators;
mod sessions;

use platform::storage::{Db, Error, FromRow, Migration, Migrations, Row, RowError, Sql, Tx};
use serde::Serialize;

pub(crate) use self::{failures::*, operators::*, sessions::*};
use crate::{rfc3339, via::Via};

/// The schema; see `migrations`.
pub(crate) static MIGRATIONS: Migrations = Migrations {
    setting: "ACCOUNTS_DATABASE",
    list: &[
        Migration {
            version: 1,
            name: "accounts",
            sqlite: include_str!("../migrations/sqlite/0001_accounts.sql"),
            postgres: include_str!("../migrations/postgres/0001_accounts.sql"),
        },
        Migration {
            version: 2,
            name: "sessions",
            sqlite: include_str!("../migrations/sqlite/0002_sessions.sql"),
            postgres: include_str!("../migrations/postgres/0002_sessions.sql"),
        },
        Migration {
            version: 3,
            name: "tokens_by_end",
            sqlite: include_str!("../migrations/sqlite/0003_tokens_by_end.sql"),
            postgres: include_str!("../migrations/postgres/0003_tokens_by_end.sql"),
        },
    ],
};

/// Somebody who exists.
#[derive(Serialize)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) username: String,
}

impl<'r, R: Row> FromRow<'r, R> for Person
where
    (i64, String): FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Person, RowError> {
        let (id, username) = FromRow::from_row(row)?;
        Ok(Person { id, username })
    }
}

/// Somebody, for themselves.
#[derive(Serialize)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) username: String,
    pub(crate) email: String,
}

impl<'r, R: Row> FromRow<'r, R> for User
where
    (i64, String, String): FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<User, RowError> {
        let (id, username, email) = FromRow::from_row(row)?;
        Ok(User { id, username, email })
    }
}

/// Somebody who will exist.
pub(crate) struct NewUser<'a> {
    pub(crate) username: &'a str,
    pub(crate) key: &'a str,
    pub(crate) looks: &'a str,
    pub(crate) email: &'a str,
    pub(crate) password_hash: &'a str,
    pub(crate) now: i64,
}

/// The new id; [`Error::Unique`] when somebody has the name, or one that looks like it.
pub(crate) async fn insert_user(db: &Db, user: &NewUser<'_>) -> Result<i64, Error> {
    const TEXT: &str = "INSERT INTO users (username, username_key, username_looks, email, password_hash, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
    let (id,) = db
        .write("INSERT users", TEXT)
        .bind(user.username)
        .bind(user.key)
        .bind(user.looks)
        .bind(user.email)
        .bind(user.password_hash)
        .bind(user.now)
        .fetch_one()
        .await?;
    Ok(id)
}

/// The first `limit` people behind the id `after`, by id.
pub(crate) async fn people(db: &Db, after: i64, limit: u32) -> Result<Vec<Person>, Error> {
    const TEXT: &str = "SELECT id, username FROM users WHERE id > $1 ORDER BY id LIMIT $2";
    db.query("SELECT users", TEXT).bind(after).bind(limit).fetch_all().await
}

pub(crate) async fn user(db: &Db, id: i64) -> Result<Option<User>, Error> {
    const TEXT: &str = "SELECT id, username, email FROM users WHERE id = $1";
    db.query("SELECT users", TEXT).bind(id).fetch_optional().await
}

/// What is to be different about somebody; `None` stays as it is.
pub(crate) struct Changes<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) key: Option<String>,
    pub(crate) looks: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) password_hash: Option<&'a str>,
}

/// The person as they are now; [`Error::Unique`] when somebody has the name, or one that looks like it.
pub(crate) async fn update_user(
    tx: &mut Tx,
    id: i64,
    changes: Changes<'_>,
) -> Result<Option<User>, Error> {
    const TEXT: &str = "UPDATE users SET username = COALESCE($2, username), \
         username_key = COALESCE($3, username_key), username_looks = COALESCE($4, username_looks), \
         email = COALESCE($5, email), password_hash = COALESCE($6, password_hash) \
         WHERE id = $1 RETURNING id, username, email";
    tx.query("UPDATE users", TEXT)
        .bind(id)
        .bind(changes.username)
        .bind(changes.key)
        .bind(changes.looks)
        .bind(changes.email)
        .bind(changes.password_hash)
        .fetch_optional()
        .await
}

/// Removes the person with their tokens, sessions and devices.
pub(crate) async fn delete_user(tx: &mut Tx, id: i64) -> Result<(), Error> {
    const TEXT: &str = "DELETE FROM users WHERE id = $1";
    tx.query("DELETE users", TEXT).bind(id).execute().await?;
    Ok(())
}

/// Whether the person's credential still counts: it has not ended, and they are there and not locked.
///
/// The first statement changes nothing, and keeps others from changing the person until the transaction ends.
pub(crate) async fn stands(tx: &mut Tx, user: i64, via: Via, now: i64) -> Result<bool, Error> {
    const HOLD: &str = "UPDATE users SET locked_at = NULL WHERE id = $1 AND locked_at IS NULL";
    const TOKEN: &str = "SELECT id FROM tokens WHERE id = $1 AND user_id = $2 AND expires_at > $3";
    const SESSION: &str =
        "SELECT id FROM sessions WHERE id = $1 AND user_id = $2 AND expires_at > $3";
    if tx.query("UPDATE users", HOLD).bind(user).execute().await? == 0 {
        return Ok(false);
    }
    let query = match via {
        Via::Token(id) => tx.query("SELECT tokens", TOKEN).bind(id),
        Via::Session(id) => tx.query("SELECT sessions", SESSION).bind(id),
        Via::Basic => return Ok(true),
    };
    let found = query.bind(user).bind(now).fetch_optional::<(i64,)>().await?;
    Ok(found.is_some())
}

/// Ends all credentials of a person but their password and the one that is kept, and tells how many sessions that were.
///
/// Devices go with them, but for the one of the kept session: whoever stole a password may have become known by it.
pub(crate) async fn end_others(tx: &mut Tx, user: i64, keep: Via) -> Result<u64, Error> {
    const TOKENS: &str = "DELETE FROM tokens WHERE user_id = $1 AND id <> $2";
    const SESSIONS: &str = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
    const DEVICES: &str = "DELETE FROM devices WHERE user_id = $1 AND NOT EXISTS \
         (SELECT 1 FROM sessions WHERE sessions.device_id = devices.id)";
    let (token, session) = match keep {
        Via::Token(id) => (id, 0),
        Via::Session(id) => (0, id),
        Via::Basic => (0, 0), // which nobody has
    };
    tx.query("DELETE tokens", TOKENS).bind(user).bind(token).execute().await?;
    let ended = tx.query("DELETE sessions", SESSIONS).bind(user).bind(session).execute().await?;
    tx.query("DELETE devices", DEVICES).bind(user).execute().await?;
    Ok(ended)
}

/// A person with what their password is checked by.
pub(crate) struct Credentials {
    pub(crate) person: Person,
    pub(crate) password_hash: String,
    pub(crate) locked: bool,
}

pub(crate) async fn credentials(db: &Db, key: &str) -> Result<Option<Credentials>, Error> {
    const TEXT: &str =
        "SELECT id, username, password_hash, locked_at FROM users WHERE username_key = $1";
    let found = db.query("SELECT users", TEXT).bind(key).fetch_optional().await?;
    Ok(found.map(|(id, username, password_hash, locked_at): (_, _, _, Option<i64>)| {
        let person = Person { id, username };
        Credentials { person, password_hash, locked: locked_at.is_some() }
    }))
}

/// Whether the password that was found right is still the person's, and they are still there and not locked. It stays so until the
/// transaction ends, because the statement changes the row into what it is.
pub(crate) async fn still_proven(
    tx: &mut Tx,
    user: i64,
    password_hash: &str,
) -> Result<bool, Error> {
    const TEXT: &str = "UPDATE users SET password_hash = $2 \
         WHERE id = $1 AND password_hash = $2 AND locked_at IS NULL";
    let query = tx.query("UPDATE users", TEXT).bind(user).bind(password_hash);
    Ok(query.execute().await? == 1)
}

/// Replaces a password's hash by another one of the same password, unless the password was changed meanwhile.
pub(crate) async fn renew_password_hash(
    db: &Db,
    user: i64,
    old: &str,
    new: &str,
) -> Result<(), Error> {
    const TEXT: &str = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
    db.write("UPDATE users", TEXT).bind(user).bind(old).bind(new).execute().await?;
    Ok(())
}

pub(crate) async fn user_by_key(db: &Db, key: &str) -> Result<Option<Person>, Error> {
    const TEXT: &str = "SELECT id, username FROM users WHERE username_key = $1";
    db.query("SELECT users", TEXT).bind(key).fetch_optional().await
}

/// Those of `ids` (a JSON array) that there are, by id.
pub(crate) async fn names(db: &Db, ids: String) -> Result<Vec<Person>, Error> {
    const TEXT: Sql = Sql {
        sqlite: "SELECT id, username FROM users WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id",
        postgres: "SELECT id, username FROM users \
             WHERE id = ANY (ARRAY (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb) AS value)) ORDER BY id",
    };
    db.query("SELECT users", TEXT).bind(ids).fetch_all().await
}

/// Adds a token, used at this moment for the first time, and tells its id. Two sign-ins of one person follow each other, so that
/// [`drop_tokens`] counts both.
pub(crate) async fn insert_token(
    tx: &mut Tx,
    user: i64,
    name: &str,
    hash: Vec<u8>,
    now: i64,
    expires: i64,
) -> Result<i64, Error> {
    const TEXT: &str = "INSERT INTO tokens (user_id, name, hash, created_at, last_used_at, expires_at) \
         VALUES ($1, $2, $3, $4, $4, $5) RETURNING id";
    tx.lock(format!("tokens of {user}")).await?;
    let query = tx.query("INSERT tokens", TEXT).bind(user).bind(name);
    let (id,) = query.bind(hash).bind(now).bind(expires).fetch_one().await?;
    Ok(id)
}

/// A token as its owner sees it later.
#[derive(Serialize)]
pub(crate) struct Listed {
    id: i64,
    name: String,
    #[serde(serialize_with = "rfc3339")]
    created_at: i64,
    #[serde(serialize_with = "rfc3339")]
    last_used_at: i64,
    #[serde(serialize_with = "rfc3339")]
    expires_at: i64,
}

impl<'r, R: Row> FromRow<'r, R> for Listed
where
    (i64, String, i64, i64, i64): FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Listed, RowError> {
        let (id, name, created_at, last_used_at, expires_at) = FromRow::from_row(row)?;
        Ok(Listed { id, name, created_at, last_used_at, expires_at })
    }
}

/// A person's tokens that have not expired, by id; [`drop_tokens`] keeps them few.
pub(crate) async fn tokens(db: &Db, user: i64, now: i64) -> Result<Vec<Listed>, Error> {
    const TEXT: &str = "SELECT id, name, created_at, last_used_at, expires_at FROM tokens \
         WHERE user_id = $1 AND expires_at > $2 ORDER BY id";
    db.query("SELECT tokens", TEXT).bind(user).bind(now).fetch_all().await
}

/// Removes the token if it is the person's, and tells whether it did.
pub(crate) async fn delete_token(db: &Db, id: i64, user: i64) -> Result<bool, Error> {
    const TEXT: &str = "DELETE FROM tokens WHERE id = $1 AND user_id = $2";
    Ok(db.write("DELETE tokens", TEXT).bind(id).bind(user).execute().await? == 1)
}

/// Drops a person's tokens that have expired, and of the others all but the `most` that were used last.
pub(crate) async fn drop_tokens(tx: &mut Tx, user: i64, now: i64, most: i64) -> Result<(), Error> {
    const TEXT: &str = "DELETE FROM tokens WHERE user_id = $1 AND id NOT IN \
         (SELECT id FROM tokens WHERE user_id = $1 AND expires_at > $2 ORDER BY last_used_at DESC, id DESC LIMIT $3)";
    tx.query("DELETE tokens", TEXT).bind(user).bind(now).bind(most).execute().await?;
    Ok(())
}

/// How many tokens that people have named end after `now` and not after `until`. The words of the condition are those of the index.
pub(crate) async fn ending_tokens(db: &Db, now: i64, until: i64) -> Result<i64, Error> {
    const TEXT: &str = "SELECT count(*) FROM tokens WHERE name <> 'sign-in' AND expires_at > $1 AND expires_at <= $2";
    let (tokens,) = db.query("SELECT tokens", TEXT).bind(now).bind(until).fetch_one().await?;
    Ok(tokens)
}

/// Whose credential it is.
pub(crate) struct Use {
    pub(crate) person: Person,
    pub(crate) via: Via,
    pub(crate) last_used_at: i64,
}

/// The token with this hash, unless it has expired or its owner is locked.
pub(crate) async fn token(db: &Db, hash: Vec<u8>, now: i64) -> Result<Option<Use>, Error> {
    const TEXT: &str = "SELECT users.id, users.username, tokens.id, tokens.last_used_at \
         FROM tokens JOIN users ON users.id = tokens.user_id \
         WHERE tokens.hash = $1 AND tokens.expires_at > $2 AND users.locked_at IS NULL";
    let found = db.query("SELECT tokens", TEXT).bind(hash).bind(now).fetch_optional().await?;
    Ok(found.map(|(id, username, token, last_used_at)| Use {
        person: Person { id, username },
        via: Via::Token(token),
        last_used_at,
    }))
}

/// Notes that a token or a session was used, unless that was noted after `since`.
pub(crate) async fn note_use(db: &Db, via: Via, now: i64, since: i64) -> Result<(), Error> {
    const TOKEN: &str = "UPDATE tokens SET last_used_at = $2 WHERE id = $1 AND last_used_at <= $3";
    const SESSION: &str =
        "UPDATE sessions SET last_used_at = $2 WHERE id = $1 AND last_used_at <= $3";
    let query = match via {
        Via::Token(id) => db.write("UPDATE tokens", TOKEN).bind(id),
        Via::Session(id) => db.write("UPDATE sessions", SESSION).bind(id),
        Via::Basic => return Ok(()),
    };
    query.bind(now).bind(since).execute().await?;
    Ok(())
}

#[cfg(test)]
mod tests;
