//! Statements about failed sign-ins. A subject is a SHA-256: of a name, or of a device's secret.

use platform::storage::{Db, Error, Tx};

use crate::throttle::Failures;

/// How many are swept at once: nobody else writes meanwhile.
const BATCH: u32 = 1000;

pub(crate) async fn failures(db: &Db, subject: &[u8]) -> Result<Option<Failures>, Error> {
    const TEXT: &str = "SELECT failures, day, next_at FROM sign_in_failures WHERE subject = $1";
    let found = db.query("SELECT sign_in_failures", TEXT).bind(subject).fetch_optional().await?;
    Ok(found.map(|(count, day, next_at)| Failures { count, day, next_at }))
}

/// Puts `booked` in the place of `before`, and tells whether that was still there: of several who book at once, one does.
pub(crate) async fn book_failure(
    db: &Db,
    subject: &[u8],
    before: Failures,
    booked: Failures,
) -> Result<bool, Error> {
    const TEXT: &str = "INSERT INTO sign_in_failures (subject, failures, day, next_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, day = excluded.day, next_at = excluded.next_at \
         WHERE sign_in_failures.failures = $5 AND sign_in_failures.next_at = $6";
    let query = db.write("INSERT sign_in_failures", TEXT).bind(subject);
    let query = query.bind(booked.count).bind(booked.day).bind(booked.next_at);
    Ok(query.bind(before.count).bind(before.next_at).execute().await? == 1)
}

/// Puts `before` back in the place of `booked`, unless another one was booked since.
pub(crate) async fn forget_failure(
    db: &Db,
    subject: &[u8],
    before: Failures,
    booked: Failures,
) -> Result<(), Error> {
    const FIRST: &str = "DELETE FROM sign_in_failures \
         WHERE subject = $1 AND failures = $2 AND next_at = $3";
    const LATER: &str = "UPDATE sign_in_failures SET failures = $4, next_at = $5 \
         WHERE subject = $1 AND failures = $2 AND next_at = $3";
    let query = match booked.count {
        ..=1 => db.write("DELETE sign_in_failures", FIRST),
        _ => db.write("UPDATE sign_in_failures", LATER),
    };
    let mut query = query.bind(subject).bind(booked.count).bind(booked.next_at);
    if booked.count > 1 {
        query = query.bind(before.count).bind(before.next_at);
    }
    query.execute().await?;
    Ok(())
}

/// Forgets all failures of a person: those of the subject that is their name, and of their devices.
pub(crate) async fn forget_failures(tx: &mut Tx, user: i64, name: &[u8]) -> Result<(), Error> {
    const TEXT: &str = "DELETE FROM sign_in_failures WHERE subject = $1 \
         OR subject IN (SELECT hash FROM devices WHERE user_id = $2)";
    tx.query("DELETE sign_in_failures", TEXT).bind(name).bind(user).execute().await?;
    Ok(())
}

/// Removes some failures of the days before `day`; false: there are no more.
pub(crate) async fn sweep_failures(db: &Db, day: i64) -> Result<bool, Error> {
    const TEXT: &str = "DELETE FROM sign_in_failures WHERE subject IN \
         (SELECT subject FROM sign_in_failures WHERE day < $1 LIMIT $2)";
    let query = db.write("DELETE sign_in_failures", TEXT).bind(day).bind(BATCH);
    Ok(query.execute().await? == u64::from(BATCH))
}
