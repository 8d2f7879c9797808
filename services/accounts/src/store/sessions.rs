//! Statements about browser sessions and known devices.

use platform::storage::{Db, Error, Tx};

use super::{Person, Use};
use crate::via::Via;

/// A session that begins.
pub(crate) struct NewSession {
    pub(crate) user: i64,
    pub(crate) device: i64,
    pub(crate) hash: Vec<u8>,
    pub(crate) now: i64,
    pub(crate) expires_at: i64,
}

pub(crate) async fn insert_session(tx: &mut Tx, new: NewSession) -> Result<(), Error> {
    const TEXT: &str = "INSERT INTO sessions (user_id, device_id, hash, created_at, last_used_at, expires_at) \
         VALUES ($1, $2, $3, $4, $4, $5)";
    let query = tx.query("INSERT sessions", TEXT).bind(new.user).bind(new.device);
    query.bind(new.hash).bind(new.now).bind(new.expires_at).execute().await?;
    Ok(())
}

/// Drops a person's sessions that have expired or were not used after `idle_since`, and of the others all but the `most` that were used
/// last.
pub(crate) async fn drop_sessions(
    tx: &mut Tx,
    user: i64,
    now: i64,
    idle_since: i64,
    most: i64,
) -> Result<(), Error> {
    const TEXT: &str = "DELETE FROM sessions WHERE user_id = $1 AND id NOT IN \
         (SELECT id FROM sessions WHERE user_id = $1 AND expires_at > $2 AND last_used_at > $3 \
         ORDER BY last_used_at DESC, id DESC LIMIT $4)";
    let query = tx.query("DELETE sessions", TEXT).bind(user).bind(now).bind(idle_since);
    query.bind(most).execute().await?;
    Ok(())
}

/// The session with this hash, unless it has expired, was not used after `idle_since`, or its owner is locked.
pub(crate) async fn session(
    db: &Db,
    hash: Vec<u8>,
    now: i64,
    idle_since: i64,
) -> Result<Option<Use>, Error> {
    const TEXT: &str = "SELECT users.id, users.username, sessions.id, sessions.last_used_at \
         FROM sessions JOIN users ON users.id = sessions.user_id \
         WHERE sessions.hash = $1 AND sessions.expires_at > $2 AND sessions.last_used_at > $3 \
         AND users.locked_at IS NULL";
    let query = db.query("SELECT sessions", TEXT).bind(hash).bind(now).bind(idle_since);
    Ok(query.fetch_optional().await?.map(|(id, username, session, last_used_at)| Use {
        person: Person { id, username },
        via: Via::Session(session),
        last_used_at,
    }))
}

/// Removes the session if it is the person's, and tells how many that were.
pub(crate) async fn delete_session(db: &Db, id: i64, user: i64) -> Result<u64, Error> {
    const TEXT: &str = "DELETE FROM sessions WHERE id = $1 AND user_id = $2";
    db.write("DELETE sessions", TEXT).bind(id).bind(user).execute().await
}

/// A device that is known.
pub(crate) struct Device {
    pub(crate) id: i64,
    /// The key of its owner's username.
    pub(crate) owner_key: String,
}

/// The device with this hash, unless it was forgotten.
pub(crate) async fn device(db: &Db, hash: Vec<u8>, now: i64) -> Result<Option<Device>, Error> {
    const TEXT: &str = "SELECT devices.id, users.username_key \
         FROM devices JOIN users ON users.id = devices.user_id \
         WHERE devices.hash = $1 AND devices.expires_at > $2";
    let found = db.query("SELECT devices", TEXT).bind(hash).bind(now).fetch_optional().await?;
    Ok(found.map(|(id, owner_key)| Device { id, owner_key }))
}

/// Makes a device known, and tells its id.
pub(crate) async fn insert_device(
    tx: &mut Tx,
    user: i64,
    hash: Vec<u8>,
    now: i64,
    expires_at: i64,
) -> Result<i64, Error> {
    const TEXT: &str = "INSERT INTO devices (user_id, hash, last_used_at, expires_at) \
         VALUES ($1, $2, $3, $4) RETURNING id";
    let query = tx.query("INSERT devices", TEXT).bind(user).bind(hash);
    let (id,) = query.bind(now).bind(expires_at).fetch_one().await?;
    Ok(id)
}

/// Keeps a device known, and tells whether it was.
pub(crate) async fn renew_device(
    tx: &mut Tx,
    id: i64,
    now: i64,
    expires_at: i64,
) -> Result<bool, Error> {
    const TEXT: &str = "UPDATE devices SET last_used_at = $2, expires_at = $3 WHERE id = $1";
    let query = tx.query("UPDATE devices", TEXT).bind(id).bind(now).bind(expires_at);
    Ok(query.execute().await? == 1)
}

/// Forgets a person's devices that have expired, and of the others all but the `most` that were used last.
pub(crate) async fn drop_devices(tx: &mut Tx, user: i64, now: i64, most: i64) -> Result<(), Error> {
    const TEXT: &str = "DELETE FROM devices WHERE user_id = $1 AND id NOT IN \
         (SELECT id FROM devices WHERE user_id = $1 AND expires_at > $2 ORDER BY last_used_at DESC, id DESC LIMIT $3)";
    tx.query("DELETE devices", TEXT).bind(user).bind(now).bind(most).execute().await?;
    Ok(())
}
