//! Every statement of accounts, a function each.

use platform::storage::{Db, Error, Migration, Migrations, Tx};

/// The schema; see `migrations/sqlite`.
pub(crate) static MIGRATIONS: Migrations = Migrations {
    setting: "ACCOUNTS_DATABASE",
    list: &[Migration {
        version: 1,
        name: "accounts",
        sqlite: include_str!("../migrations/sqlite/0001_accounts.sql"),
    }],
};

/// A person as it is stored.
pub(crate) struct NewUser<'a> {
    pub(crate) username: &'a str,
    pub(crate) key: &'a str,
    pub(crate) email: &'a str,
    pub(crate) password_hash: &'a str,
    pub(crate) now: i64,
}

/// The new id; [`Error::Unique`] when somebody has the name.
pub(crate) async fn insert_user(db: &Db, user: &NewUser<'_>) -> Result<i64, Error> {
    let (id,) = db
        .write(
            "INSERT users",
            "INSERT INTO users (username, username_key, email, password_hash, created_at) \
             VALUES ($1, $2, $3, $4, $5) RETURNING id",
        )
        .bind(user.username)
        .bind(user.key)
        .bind(user.email)
        .bind(user.password_hash)
        .bind(user.now)
        .fetch_one()
        .await?;
    Ok(id)
}

/// Id, username and password hash.
pub(crate) async fn credentials(
    db: &Db,
    key: &str,
) -> Result<Option<(i64, String, String)>, Error> {
    db.query(
        "SELECT users",
        "SELECT id, username, password_hash FROM users WHERE username_key = $1",
    )
    .bind(key)
    .fetch_optional()
    .await
}

/// Id and username.
pub(crate) async fn user_by_key(db: &Db, key: &str) -> Result<Option<(i64, String)>, Error> {
    db.query("SELECT users", "SELECT id, username FROM users WHERE username_key = $1")
        .bind(key)
        .fetch_optional()
        .await
}

/// Ids and usernames of those of `ids` (a JSON array) that there are.
pub(crate) async fn names(db: &Db, ids: String) -> Result<Vec<(i64, String)>, Error> {
    db.query(
        "SELECT users",
        "SELECT id, username FROM users WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id",
    )
    .bind(ids)
    .fetch_all()
    .await
}

/// Adds a token, and drops those of the same person that have expired or are one too many: the longest unused go first.
pub(crate) async fn insert_token(
    tx: &mut Tx,
    user: i64,
    hash: Vec<u8>,
    now: i64,
    expires: i64,
    most: i64,
) -> Result<(), Error> {
    tx.query(
        "INSERT tokens",
        "INSERT INTO tokens (user_id, hash, created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $3, $4)",
    )
    .bind(user)
    .bind(hash)
    .bind(now)
    .bind(expires)
    .execute()
    .await?;
    tx.query(
        "DELETE tokens",
        "DELETE FROM tokens WHERE user_id = $1 AND (expires_at <= $2 OR id NOT IN \
         (SELECT id FROM tokens WHERE user_id = $1 ORDER BY last_used_at DESC, id DESC LIMIT $3))",
    )
    .bind(user)
    .bind(now)
    .bind(most)
    .execute()
    .await?;
    Ok(())
}

/// Token id, user id, username, and when it was last used; not for one that has expired.
pub(crate) async fn token(
    db: &Db,
    hash: Vec<u8>,
    now: i64,
) -> Result<Option<(i64, i64, String, i64)>, Error> {
    db.query(
        "SELECT tokens",
        "SELECT tokens.id, users.id, users.username, tokens.last_used_at \
         FROM tokens JOIN users ON users.id = tokens.user_id \
         WHERE tokens.hash = $1 AND tokens.expires_at > $2",
    )
    .bind(hash)
    .bind(now)
    .fetch_optional()
    .await
}

/// Notes that a token was used.
pub(crate) async fn touch_token(db: &Db, id: i64, now: i64) -> Result<(), Error> {
    db.write("UPDATE tokens", "UPDATE tokens SET last_used_at = $2 WHERE id = $1")
        .bind(id)
        .bind(now)
        .execute()
        .await?;
    Ok(())
}
