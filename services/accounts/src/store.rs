//! Every statement of accounts, a function each. Times are milliseconds since 1970.

use platform::storage::{Db, Error, Migration, Migrations, Sql, Tx};
use serde::Serialize;

/// The schema; see `migrations`.
pub(crate) static MIGRATIONS: Migrations = Migrations {
    setting: "ACCOUNTS_DATABASE",
    list: &[Migration {
        version: 1,
        name: "accounts",
        sqlite: include_str!("../migrations/sqlite/0001_accounts.sql"),
        postgres: include_str!("../migrations/postgres/0001_accounts.sql"),
    }],
};

/// Somebody who exists.
#[derive(Serialize)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) username: String,
}

/// Somebody who will.
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

/// A person with what their password is checked by.
pub(crate) struct Credentials {
    pub(crate) person: Person,
    pub(crate) password_hash: String,
}

pub(crate) async fn credentials(db: &Db, key: &str) -> Result<Option<Credentials>, Error> {
    const TEXT: &str = "SELECT id, username, password_hash FROM users WHERE username_key = $1";
    let found = db.query("SELECT users", TEXT).bind(key).fetch_optional().await?;
    Ok(found.map(|(id, username, password_hash)| Credentials {
        person: Person { id, username },
        password_hash,
    }))
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

/// Id and username.
pub(crate) async fn user_by_key(db: &Db, key: &str) -> Result<Option<(i64, String)>, Error> {
    const TEXT: &str = "SELECT id, username FROM users WHERE username_key = $1";
    db.query("SELECT users", TEXT).bind(key).fetch_optional().await
}

/// Ids and usernames of those of `ids` (a JSON array) that there are, by id.
pub(crate) async fn names(db: &Db, ids: String) -> Result<Vec<(i64, String)>, Error> {
    const TEXT: Sql = Sql {
        sqlite: "SELECT id, username FROM users WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id",
        postgres: "SELECT id, username FROM users \
             WHERE id = ANY (ARRAY (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb) AS value)) ORDER BY id",
    };
    db.query("SELECT users", TEXT).bind(ids).fetch_all().await
}

/// Adds a token, used at this moment for the first time. Two sign-ins of one person follow each other, so that [`drop_tokens`] counts
/// both.
pub(crate) async fn insert_token(
    tx: &mut Tx,
    user: i64,
    hash: Vec<u8>,
    now: i64,
    expires: i64,
) -> Result<(), Error> {
    const TEXT: &str = "INSERT INTO tokens (user_id, hash, created_at, last_used_at, expires_at) \
         VALUES ($1, $2, $3, $3, $4)";
    tx.lock(format!("tokens of {user}")).await?;
    tx.query("INSERT tokens", TEXT).bind(user).bind(hash).bind(now).bind(expires).execute().await?;
    Ok(())
}

/// Drops a person's tokens that have expired, and of the others all but the `most` that were used last.
pub(crate) async fn drop_tokens(tx: &mut Tx, user: i64, now: i64, most: i64) -> Result<(), Error> {
    const TEXT: &str = "DELETE FROM tokens WHERE user_id = $1 AND id NOT IN \
         (SELECT id FROM tokens WHERE user_id = $1 AND expires_at > $2 ORDER BY last_used_at DESC, id DESC LIMIT $3)";
    tx.query("DELETE tokens", TEXT).bind(user).bind(now).bind(most).execute().await?;
    Ok(())
}

/// Whose token it is.
pub(crate) struct Use {
    pub(crate) person: Person,
    /// The token's id.
    pub(crate) token: i64,
    pub(crate) last_used_at: i64,
}

/// The token with this hash, unless it has expired.
pub(crate) async fn token(db: &Db, hash: Vec<u8>, now: i64) -> Result<Option<Use>, Error> {
    const TEXT: &str = "SELECT users.id, users.username, tokens.id, tokens.last_used_at \
         FROM tokens JOIN users ON users.id = tokens.user_id \
         WHERE tokens.hash = $1 AND tokens.expires_at > $2";
    let found = db.query("SELECT tokens", TEXT).bind(hash).bind(now).fetch_optional().await?;
    Ok(found.map(|(id, username, token, last_used_at)| Use {
        person: Person { id, username },
        token,
        last_used_at,
    }))
}

/// Notes that a token was used, unless that was noted after `since`.
pub(crate) async fn note_use(db: &Db, token: i64, now: i64, since: i64) -> Result<(), Error> {
    const TEXT: &str = "UPDATE tokens SET last_used_at = $2 WHERE id = $1 AND last_used_at <= $3";
    db.write("UPDATE tokens", TEXT).bind(token).bind(now).bind(since).execute().await?;
    Ok(())
}
