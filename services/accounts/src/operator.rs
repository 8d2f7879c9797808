//! What the person who runs MusicWallet does to accounts, past the API: `musicwallet accounts`.
//!
//! Each use is one line in the log: who did what to which id, and how it ended.

use anyhow::{Context, bail};
use platform::storage::{Db, Tx};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

use crate::{
    hashing::hash_alone, now, rfc3339, sessions::IDLE, store, throttle::subject, token,
    username::Username, via::Via,
};

/// Letters and digits of a password that is made here: 119 bits.
const PASSWORD: usize = 20;
/// Accounts that are read at once.
const BATCH: u32 = 1000;

/// An account as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The user's id.
    pub id: i64,
    /// The username.
    pub username: String,
    /// When they signed up, in milliseconds since 1970; serialised as RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: i64,
    /// Whether no credential of theirs counts.
    pub locked: bool,
    /// Tokens that have not expired.
    pub tokens: i64,
    /// Sessions that are not over.
    pub sessions: i64,
    /// When the first of those tokens ends that the person has given a name; likewise. No program waits for the end of the others.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub named_token_ends_at: Option<i64>,
}

fn rfc3339_or_null<S: Serializer>(time: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// All accounts, by id.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Db, operator: &str) -> anyhow::Result<Vec<Account>> {
    let outcome = read(db).await;
    note(operator, "list", None, &outcome);
    outcome
}

/// Gives the person another password, which only this answer has, and ends all their sessions and tokens.
///
/// # Errors
/// When nobody has this name, or the database fails; then nothing has changed.
pub async fn reset_password(
    db: &Db,
    operator: &str,
    username: &str,
) -> anyhow::Result<SecretString> {
    let mut password = String::with_capacity(PASSWORD);
    token::extend(&mut password, PASSWORD)?;
    let password = SecretString::from(password);
    let hash = hash_alone(password.expose_secret().into()).await?;
    change(db, operator, "reset-password", username, async |tx, person| {
        store::set_password_hash(tx, person.id, &hash).await?;
        store::end_others(tx, person.id, Via::Basic).await?;
        store::forget_failures(tx, person.id, &subject(&person.key)).await?;
        Ok(())
    })
    .await?;
    Ok(password)
}

/// Makes every credential of the person count for nothing, from the next exchange on, until [`unlock`].
///
/// # Errors
/// As [`reset_password`].
pub async fn lock(db: &Db, operator: &str, username: &str) -> anyhow::Result<()> {
    change(db, operator, "lock", username, async |tx, person| {
        Ok(store::set_locked(tx, person.id, Some(now())).await?)
    })
    .await
}

/// Ends a lock, and forgets the failed sign-ins of today.
///
/// # Errors
/// As [`reset_password`].
pub async fn unlock(db: &Db, operator: &str, username: &str) -> anyhow::Result<()> {
    change(db, operator, "unlock", username, async |tx, person| {
        store::set_locked(tx, person.id, None).await?;
        Ok(store::forget_failures(tx, person.id, &subject(&person.key)).await?)
    })
    .await
}

/// Who is to be changed.
struct Subject {
    id: i64,
    key: String,
}

async fn change(
    db: &Db,
    operator: &str,
    action: &'static str,
    username: &str,
    work: impl AsyncFnOnce(&mut Tx, &Subject) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut id = None;
    let outcome = async {
        let key = Username::parse(username).map(|name| name.key()).unwrap_or_default();
        let mut tx = db.begin().await?;
        id = store::id_by_key(&mut tx, &key).await?;
        let Some(id) = id else { bail!("nobody has the username {username}") };
        work(&mut tx, &Subject { id, key }).await?;
        Ok(tx.commit().await?)
    };
    let outcome = outcome.await;
    note(operator, action, id, &outcome);
    outcome.with_context(|| format!("{action} did nothing"))
}

async fn read(db: &Db) -> anyhow::Result<Vec<Account>> {
    let (mut all, mut after, now) = (Vec::new(), 0, now());
    loop {
        let batch = store::accounts(db, after, BATCH, now, now - IDLE).await?;
        let Some(last) = batch.last() else { return Ok(all) };
        after = last.id;
        all.extend(batch);
    }
}

/// Notes a use that came to nothing, because the database cannot be opened.
pub fn could_not(operator: &str, action: &str, why: &anyhow::Error) {
    note(operator, action, None, &Err::<(), _>(anyhow::anyhow!("{why:#}")));
}

fn note<T>(operator: &str, action: &str, subject: Option<i64>, outcome: &anyhow::Result<T>) {
    let result = if outcome.is_ok() { "done" } else { "failed" };
    tracing::info!(operator, action, subject, result, "an operator used accounts");
}
