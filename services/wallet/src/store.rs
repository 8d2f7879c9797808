//! Every statement of the wallet, a function each.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use platform::storage::{Db, Error, FromRow, Migration, Migrations, Row, RowError, Sql};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use songs::text;
use utoipa::ToSchema;

/// The schema; see `migrations`.
pub(crate) static MIGRATIONS: Migrations = Migrations {
    setting: "WALLET_DATABASE",
    list: &[Migration {
        version: 1,
        name: "favourites",
        sqlite: include_str!("../migrations/sqlite/0001_favourites.sql"),
        postgres: include_str!("../migrations/postgres/0001_favourites.sql"),
    }],
};

/// A music, as the catalog answers it and as we answer our copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub(crate) struct Music {
    #[schema(example = 7)]
    pub(crate) id: i64,
    #[schema(example = "Paper Lanterns")]
    pub(crate) title: String,
    #[schema(example = "The Tin Orchard")]
    pub(crate) artist: String,
    #[schema(example = "Low Water")]
    pub(crate) album: String,
    #[schema(example = "indie folk")]
    pub(crate) genre: String,
    #[schema(example = 214_000)]
    pub(crate) duration_ms: Option<i64>,
}

/// A music that somebody keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Favourite {
    /// Its place in the order of keeping.
    pub(crate) id: i64,
    pub(crate) music: Music,
    added_at: i64,
}

impl Favourite {
    /// Since when, as RFC 3339 with milliseconds.
    pub(crate) fn added_at(&self) -> String {
        let since = Duration::from_millis(self.added_at.try_into().unwrap_or(0));
        humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
    }
}

type Columns = (i64, i64, i64, String, String, String, String, Option<i64>);

impl<'r, R: Row> FromRow<'r, R> for Favourite
where
    Columns: FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Favourite, RowError> {
        let (id, added_at, music, title, artist, album, genre, duration_ms) =
            Columns::from_row(row)?;
        let music = Music { id: music, title, artist, album, genre, duration_ms };
        Ok(Favourite { id, music, added_at })
    }
}

/// `SELECT` and the columns of a [`Favourite`], before the rest of a statement.
macro_rules! select_favourite {
    ($rest:literal) => {
        concat!(
            "SELECT favourites.id, favourites.added_at, favourites.music_id, favourites.title, favourites.artist, \
             favourites.album, favourites.genre, favourites.duration_ms ",
            $rest
        )
    };
}

const NEWEST: &str =
    select_favourite!("FROM favourites WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
const OLDEST: &str =
    select_favourite!("FROM favourites WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3");

/// The `limit` favourites before the place `before`, newest first. Every page is found by one seek.
pub(crate) async fn newest(
    db: &Db,
    user: i64,
    before: i64,
    limit: u32,
) -> Result<Vec<Favourite>, Error> {
    db.query("SELECT favourites", NEWEST).bind(user).bind(before).bind(limit).fetch_all().await
}

/// The `limit` favourites after the place `after`, oldest first. Every page is found by one seek.
pub(crate) async fn oldest(
    db: &Db,
    user: i64,
    after: i64,
    limit: u32,
) -> Result<Vec<Favourite>, Error> {
    db.query("SELECT favourites", OLDEST).bind(user).bind(after).bind(limit).fetch_all().await
}

/// The statement around what chooses the users.
macro_rules! newest_of {
    ($users:literal) => {
        concat!(
            "SELECT favourites.user_id, ranked.total, favourites.music_id, favourites.title, favourites.artist, \
             favourites.album, favourites.genre, favourites.duration_ms \
             FROM (SELECT id, count(*) OVER (PARTITION BY user_id) AS total, \
             row_number() OVER (PARTITION BY user_id ORDER BY id DESC) AS place \
             FROM favourites WHERE user_id ",
            $users,
            ") AS ranked JOIN favourites ON favourites.id = ranked.id WHERE ranked.place <= $2 \
             ORDER BY favourites.user_id, favourites.id DESC"
        )
    };
}

const NEWEST_OF: Sql = Sql {
    sqlite: newest_of!("IN (SELECT value FROM json_each($1))"),
    postgres: newest_of!(
        "= ANY (ARRAY (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb) AS value))"
    ),
};

/// A music that a user of [`newest_of()`] keeps.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) user: i64,
    /// How many musics the user keeps in all.
    pub(crate) count: i64,
    pub(crate) music: Music,
}

impl<'r, R: Row> FromRow<'r, R> for Entry
where
    Columns: FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Entry, RowError> {
        let (user, count, id, title, artist, album, genre, duration_ms) = Columns::from_row(row)?;
        let music = Music { id, title, artist, album, genre, duration_ms };
        Ok(Entry { user, count, music })
    }
}

/// The newest `limit` favourites, 1 or more, of each of `users`, newest first; by user. It costs as much as the users keep, to count it.
pub(crate) async fn newest_of(db: &Db, users: &[i64], limit: u32) -> Result<Vec<Entry>, Error> {
    let users = json!(users).to_string();
    db.query("SELECT favourites", NEWEST_OF).bind(users).bind(limit).fetch_all().await
}

pub(crate) async fn keeps(db: &Db, user: i64, music: i64) -> Result<bool, Error> {
    const TEXT: &str =
        "SELECT EXISTS (SELECT 1 FROM favourites WHERE user_id = $1 AND music_id = $2)";
    let query = db.query("SELECT favourites", TEXT).bind(user).bind(music);
    let (keeps,) = query.fetch_one::<(bool,)>().await?;
    Ok(keeps)
}

/// Those of `keys`, a JSON array, whose song the user keeps, whichever music of the catalog it is.
pub(crate) async fn kept_keys(db: &Db, user: i64, keys: String) -> Result<HashSet<String>, Error> {
    const TEXT: Sql = Sql {
        sqlite: "SELECT DISTINCT match_key FROM favourites \
             WHERE user_id = $1 AND match_key IN (SELECT value FROM json_each($2))",
        postgres: "SELECT DISTINCT match_key FROM favourites \
             WHERE user_id = $1 AND match_key IN (SELECT value FROM jsonb_array_elements_text($2::jsonb) AS value)",
    };
    let query = db.query("SELECT favourites", TEXT).bind(user).bind(keys);
    Ok(query.fetch_all::<(String,)>().await?.into_iter().map(|(key,)| key).collect())
}

/// Musics for [`insert`]: a JSON array, with their keys. 1,000 take some milliseconds.
pub(crate) fn rows<'a>(musics: impl IntoIterator<Item = &'a Music>) -> String {
    let row = |music: &Music| {
        let Music { id, title, artist, album, genre, duration_ms } = music;
        json!([id, title, artist, album, genre, duration_ms, text::match_key(title, artist)])
    };
    Value::Array(musics.into_iter().map(row).collect()).to_string()
}

/// Adds those of the [`rows`] that the user does not keep yet, in their order, and tells how many: wholly or not at all.
pub(crate) async fn insert(db: &Db, user: i64, rows: String) -> Result<u64, Error> {
    const TEXT: Sql = Sql {
        // "WHERE true": else the parser of SQLite takes ON for that of a join.
        sqlite: "INSERT INTO favourites \
             (user_id, music_id, title, artist, album, genre, duration_ms, match_key, added_at) \
             SELECT $2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, $3 \
             FROM json_each($1) AS kept WHERE true ORDER BY kept.key \
             ON CONFLICT (user_id, music_id) DO NOTHING",
        postgres: "INSERT INTO favourites \
             (user_id, music_id, title, artist, album, genre, duration_ms, match_key, added_at) \
             SELECT $2, (value ->> 0)::bigint, value ->> 1, value ->> 2, value ->> 3, value ->> 4, (value ->> 5)::bigint, \
             value ->> 6, $3 FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS kept (value, number) \
             ORDER BY kept.number ON CONFLICT (user_id, music_id) DO NOTHING",
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    db.write("INSERT favourites", TEXT).bind(rows).bind(user).bind(now).execute().await
}

/// Removes one, and tells whether it was kept.
pub(crate) async fn delete(db: &Db, user: i64, music: i64) -> Result<bool, Error> {
    const TEXT: &str = "DELETE FROM favourites WHERE user_id = $1 AND music_id = $2";
    Ok(db.write("DELETE favourites", TEXT).bind(user).bind(music).execute().await? == 1)
}

/// Removes all that the user keeps, and tells how many.
pub(crate) async fn delete_all(db: &Db, user: i64) -> Result<u64, Error> {
    const TEXT: &str = "DELETE FROM favourites WHERE user_id = $1";
    db.write("DELETE favourites", TEXT).bind(user).execute().await
}

#[cfg(test)]
mod tests;
