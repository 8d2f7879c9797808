//! Statements that only operators cause.

use platform::storage::{Db, Error, FromRow, Row, RowError, Tx};

use crate::operator::Account;

impl<'r, R: Row> FromRow<'r, R> for Account
where
    (i64, String, i64, Option<i64>, i64, i64, Option<i64>): FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Account, RowError> {
        let (id, username, created_at, locked_at, tokens, sessions, named_token_ends_at) =
            FromRow::from_row(row)?;
        let locked = Option::<i64>::is_some(&locked_at);
        Ok(Account { id, username, created_at, locked, tokens, sessions, named_token_ends_at })
    }
}

/// The first `limit` accounts behind the id `after`, by id, with the credentials that count.
pub(crate) async fn accounts(
    db: &Db,
    after: i64,
    limit: u32,
    now: i64,
    idle_since: i64,
) -> Result<Vec<Account>, Error> {
    const TEXT: &str = "SELECT id, username, created_at, locked_at, \
         (SELECT count(*) FROM tokens WHERE tokens.user_id = users.id AND tokens.expires_at > $3), \
         (SELECT count(*) FROM sessions WHERE sessions.user_id = users.id AND sessions.expires_at > $3 \
          AND sessions.last_used_at > $4), \
         (SELECT min(tokens.expires_at) FROM tokens WHERE tokens.user_id = users.id AND tokens.name <> 'sign-in' \
          AND tokens.expires_at > $3) \
         FROM users WHERE id > $1 ORDER BY id LIMIT $2";
    let query = db.query("SELECT users", TEXT).bind(after).bind(limit);
    query.bind(now).bind(idle_since).fetch_all().await
}

/// The id of the person with this key.
pub(crate) async fn id_by_key(tx: &mut Tx, key: &str) -> Result<Option<i64>, Error> {
    const TEXT: &str = "SELECT id FROM users WHERE username_key = $1";
    let found = tx.query("SELECT users", TEXT).bind(key).fetch_optional::<(i64,)>().await?;
    Ok(found.map(|(id,)| id))
}

pub(crate) async fn set_password_hash(tx: &mut Tx, user: i64, hash: &str) -> Result<(), Error> {
    const TEXT: &str = "UPDATE users SET password_hash = $2 WHERE id = $1";
    tx.query("UPDATE users", TEXT).bind(user).bind(hash).execute().await?;
    Ok(())
}

/// Locks the person at this time, or unlocks them.
pub(crate) async fn set_locked(tx: &mut Tx, user: i64, at: Option<i64>) -> Result<(), Error> {
    const TEXT: &str = "UPDATE users SET locked_at = $2 WHERE id = $1";
    tx.query("UPDATE users", TEXT).bind(user).bind(at).execute().await?;
    Ok(())
}
