//! Every statement of the catalog, a function each.

use std::collections::BTreeSet;

use platform::storage::{
    Db, Dialect, Error, FromRow, Migration, Migrations, Query, Row, RowError, Sql, Tx,
};
use serde::Serialize;
use serde_json::{Value, json};
use songs::{song::Song, text};
use utoipa::ToSchema;

/// The schema; see `migrations`.
pub(crate) static MIGRATIONS: Migrations = Migrations {
    setting: "CATALOG_DATABASE",
    list: &[Migration {
        version: 1,
        name: "musics",
        sqlite: include_str!("../migrations/sqlite/0001_musics.sql"),
        postgres: include_str!("../migrations/postgres/0001_musics.sql"),
    }],
};

/// A song of the catalog, as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
    /// Who added it and may change it; nobody: null.
    #[schema(example = 1)]
    pub(crate) created_by: Option<i64>,
}

impl Music {
    /// A song that is in the catalog.
    pub(crate) fn new(id: i64, song: Song, created_by: Option<i64>) -> Music {
        let Song { title, artist, album, genre, duration_ms } = song;
        Music { id, title, artist, album, genre, duration_ms, created_by }
    }
}

type Columns = (i64, String, String, String, String, Option<i64>, Option<i64>);

impl<'r, R: Row> FromRow<'r, R> for Music
where
    Columns: FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Music, RowError> {
        let (id, title, artist, album, genre, duration_ms, created_by) = Columns::from_row(row)?;
        Ok(Music { id, title, artist, album, genre, duration_ms, created_by })
    }
}

/// `SELECT` and the columns of a [`Music`], before the rest of a statement.
macro_rules! select_music {
    ($rest:literal) => {
        concat!(
            "SELECT musics.id, musics.title, musics.artist, musics.album, musics.genre, musics.duration_ms, \
             musics.created_by ",
            $rest
        )
    };
}

/// What is stored of a song besides its content; see [`songs::text`].
struct Derived {
    match_key: String,
    artist_folded: String,
    genre_folded: String,
    words: String,
}

impl Derived {
    /// About 10 microseconds of work.
    fn from(song: &Song) -> Derived {
        let words = text::words([&*song.title, &*song.artist, &*song.album]);
        Derived {
            match_key: song.match_key(),
            artist_folded: text::fold_name(&song.artist),
            genre_folded: text::fold_name(&song.genre),
            words: words.into_iter().collect::<Vec<_>>().join(" "),
        }
    }
}

/// Which songs a list has. Names are folded; `words` is a query of the search ([`matching`]).
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) words: Option<Matching>,
    pub(crate) artist: Option<String>,
    pub(crate) genre: Option<String>,
    pub(crate) created_by: Option<i64>,
}

/// One way into the table. The index of `$drive` finds the place behind the id `$5` by one seek, so page N costs what page 1 costs;
/// the other conditions are looked at on the rows that come.
macro_rules! way {
    ($drive:literal) => {
        way!(("musics", $drive, "musics.id"), ("musics", $drive, "musics.id"))
    };
    ($sqlite:tt, $postgres:tt) => {
        Way {
            page: Sql { sqlite: way!(@page $sqlite), postgres: way!(@page $postgres) },
            count: Sql {
                sqlite: concat!("SELECT count(*) ", way!(@matching $sqlite)),
                postgres: concat!("SELECT count(*) ", way!(@matching $postgres)),
            },
            #[cfg(test)]
            plan: Sql {
                sqlite: concat!("EXPLAIN QUERY PLAN ", way!(@page $sqlite)),
                postgres: concat!("EXPLAIN ", way!(@page $postgres)),
            },
        }
    };
    (@page ($from:literal, $drive:literal, $id:literal)) => {
        concat!(
            select_music!(""),
            way!(@matching ($from, $drive, $id)),
            " AND ", $id, " > $5 ORDER BY ", $id, " LIMIT $6"
        )
    };
    (@matching ($from:literal, $drive:literal, $id:literal)) => {
        concat!(
            "FROM ", $from, " WHERE ", $drive,
            " AND ($1 IS NULL OR musics.artist_folded = $1)",
            " AND ($2 IS NULL OR musics.genre_folded = $2)",
            " AND ($3 IS NULL OR musics.created_by = $3)"
        )
    };
}

struct Way {
    page: Sql,
    count: Sql,
    #[cfg(test)]
    plan: Sql,
}

static BY_WORDS: Way = way!(
    (
        "musics_words JOIN musics ON musics.id = musics_words.rowid",
        "musics_words MATCH $4",
        "musics_words.rowid"
    ),
    ("musics", "musics.lexemes @@ $4::tsquery", "musics.id")
);
static BY_ARTIST: Way = way!("$4 IS NULL AND musics.artist_folded = $1");
static BY_CREATOR: Way = way!("$4 IS NULL AND musics.created_by = $3");
static BY_GENRE: Way = way!("$4 IS NULL AND musics.genre_folded = $2");
static ALL: Way = way!("$4 IS NULL");

impl Filter {
    /// The way that meets the fewest songs.
    fn way(&self) -> &'static Way {
        match self {
            Filter { words: Some(_), .. } => &BY_WORDS,
            Filter { artist: Some(_), .. } => &BY_ARTIST,
            Filter { created_by: Some(_), .. } => &BY_CREATOR,
            Filter { genre: Some(_), .. } => &BY_GENRE,
            _ => &ALL,
        }
    }

    fn bind<'a>(&self, query: Query<'a>) -> Query<'a> {
        let Filter { words, artist, genre, created_by } = self.clone();
        let dialect = query.dialect();
        let words = words.map(|it| it.text(dialect));
        query.bind(artist).bind(genre).bind(created_by).bind(words)
    }
}

/// The first `limit` songs behind the id `after`, by id.
pub(crate) async fn page(
    db: &Db,
    filter: &Filter,
    after: i64,
    limit: u32,
) -> Result<Vec<Music>, Error> {
    let query = filter.bind(db.query("SELECT musics", filter.way().page));
    query.bind(after).bind(limit).fetch_all().await
}

/// How many songs the list has in all.
pub(crate) async fn count(db: &Db, filter: &Filter) -> Result<i64, Error> {
    let query = filter.bind(db.query("SELECT musics", filter.way().count));
    let (count,) = query.fetch_one::<(i64,)>().await?;
    Ok(count)
}

const FIND: &str = select_music!("FROM musics WHERE musics.id = $1");

pub(crate) async fn find(db: &Db, id: i64) -> Result<Option<Music>, Error> {
    db.query("SELECT musics", FIND).bind(id).fetch_optional().await
}

/// Those of `ids`, a JSON array, that exist; by id.
pub(crate) async fn find_many(db: &Db, ids: String) -> Result<Vec<Music>, Error> {
    const TEXT: Sql = Sql {
        sqlite: select_music!(
            "FROM musics WHERE musics.id IN (SELECT value FROM json_each($1)) ORDER BY musics.id"
        ),
        postgres: select_music!(
            "FROM musics WHERE musics.id = \
             ANY (ARRAY (SELECT value::bigint FROM jsonb_array_elements_text($1::jsonb) AS value)) ORDER BY musics.id"
        ),
    };
    db.query("SELECT musics", TEXT).bind(ids).fetch_all().await
}

/// Adds a song and tells its id.
pub(crate) async fn insert(db: &Db, song: &Song, created_by: i64) -> Result<i64, Error> {
    const TEXT: &str = "INSERT INTO musics (title, artist, album, genre, duration_ms, created_by, \
         match_key, artist_folded, genre_folded, words) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id";
    let Derived { match_key, artist_folded, genre_folded, words } = Derived::from(song);
    let (id,) = db
        .write("INSERT musics", TEXT)
        .bind(&song.title)
        .bind(&song.artist)
        .bind(&song.album)
        .bind(&song.genre)
        .bind(song.duration_ms)
        .bind(created_by)
        .bind(match_key)
        .bind(artist_folded)
        .bind(genre_folded)
        .bind(words)
        .fetch_one::<(i64,)>()
        .await?;
    Ok(id)
}

/// Songs for [`insert_missing`]: a JSON array, with what is derived of each. 1,000 take some 10 ms.
pub(crate) fn rows<'a>(songs: impl IntoIterator<Item = &'a Song>) -> String {
    let row = |song: &Song| {
        let Song { title, artist, album, genre, duration_ms } = song;
        let Derived { match_key, artist_folded, genre_folded, words } = Derived::from(song);
        json!([
            title,
            artist,
            album,
            genre,
            duration_ms,
            match_key,
            artist_folded,
            genre_folded,
            words
        ])
    };
    Value::Array(songs.into_iter().map(row).collect()).to_string()
}

/// Those who add what is missing follow each other, so that none of them adds what another one has added. To be called before what is there
/// is looked up.
pub(crate) async fn one_after_the_other(tx: &mut Tx) -> Result<(), Error> {
    tx.lock("import").await
}

/// Adds those of the [`rows`] whose key is not there yet, in their order, and tells their ids and keys. Two of them must not have
/// the same key. It takes the turn of [`one_after_the_other`] if that was not done before.
pub(crate) async fn insert_missing(
    tx: &mut Tx,
    rows: String,
    created_by: Option<i64>,
) -> Result<Vec<(i64, String)>, Error> {
    const TEXT: Sql = Sql {
        sqlite: "INSERT INTO musics (title, artist, album, genre, duration_ms, created_by, \
         match_key, artist_folded, genre_folded, words) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, $2, \
         value ->> 5, value ->> 6, value ->> 7, value ->> 8 FROM json_each($1) AS song \
         WHERE NOT EXISTS (SELECT 1 FROM musics WHERE match_key = song.value ->> 5) ORDER BY song.key \
         RETURNING id, match_key",
        postgres: "INSERT INTO musics (title, artist, album, genre, duration_ms, created_by, \
         match_key, artist_folded, genre_folded, words) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, (value ->> 4)::bigint, $2, \
         value ->> 5, value ->> 6, value ->> 7, value ->> 8 \
         FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS song (value, number) \
         WHERE NOT EXISTS (SELECT 1 FROM musics WHERE match_key = song.value ->> 5) ORDER BY song.number \
         RETURNING id, match_key",
    };
    one_after_the_other(tx).await?;
    tx.query("INSERT musics", TEXT).bind(rows).bind(created_by).fetch_all().await
}

/// For each of `keys`, a JSON array, the oldest song that has it, if one has.
pub(crate) async fn find_by_keys(tx: &mut Tx, keys: String) -> Result<Vec<(String, Music)>, Error> {
    const TEXT: Sql = Sql {
        sqlite: select_music!(
            ", musics.match_key FROM json_each($1) AS wanted \
             JOIN musics ON musics.id = (SELECT min(id) FROM musics WHERE match_key = wanted.value)"
        ),
        postgres: select_music!(
            ", musics.match_key FROM jsonb_array_elements_text($1::jsonb) AS wanted (value) \
             JOIN musics ON musics.id = (SELECT min(id) FROM musics WHERE match_key = wanted.value)"
        ),
    };
    type Keyed = (i64, String, String, String, String, Option<i64>, Option<i64>, String);
    let found = tx.query("SELECT musics", TEXT).bind(keys).fetch_all::<Keyed>().await?;
    let keyed = |(id, title, artist, album, genre, duration_ms, created_by, key): Keyed| {
        (key, Music { id, title, artist, album, genre, duration_ms, created_by })
    };
    Ok(found.into_iter().map(keyed).collect())
}

/// As [`find`], for a change: until the transaction ends, nobody else changes it.
pub(crate) async fn find_in(tx: &mut Tx, id: i64) -> Result<Option<Music>, Error> {
    const TEXT: Sql = Sql {
        sqlite: FIND,
        postgres: select_music!("FROM musics WHERE musics.id = $1 FOR UPDATE"),
    };
    tx.query("SELECT musics", TEXT).bind(id).fetch_optional().await
}

/// Gives the song another content.
pub(crate) async fn update(tx: &mut Tx, id: i64, song: &Song) -> Result<(), Error> {
    const TEXT: &str = "UPDATE musics SET title = $2, artist = $3, album = $4, genre = $5, \
         duration_ms = $6, match_key = $7, artist_folded = $8, genre_folded = $9, words = $10 \
         WHERE id = $1";
    let Derived { match_key, artist_folded, genre_folded, words } = Derived::from(song);
    tx.query("UPDATE musics", TEXT)
        .bind(id)
        .bind(&song.title)
        .bind(&song.artist)
        .bind(&song.album)
        .bind(&song.genre)
        .bind(song.duration_ms)
        .bind(match_key)
        .bind(artist_folded)
        .bind(genre_folded)
        .bind(words)
        .execute()
        .await?;
    Ok(())
}

/// Removes the song if it is `owner`'s, and tells whether it did.
pub(crate) async fn delete(db: &Db, id: i64, owner: i64) -> Result<bool, Error> {
    const TEXT: &str = "DELETE FROM musics WHERE id = $1 AND created_by = $2";
    Ok(db.write("DELETE musics", TEXT).bind(id).bind(owner).execute().await? == 1)
}

/// Makes the songs of `creator` nobody's, and tells how many they were.
pub(crate) async fn forget_creator(db: &Db, creator: i64) -> Result<u64, Error> {
    const TEXT: &str = "UPDATE musics SET created_by = NULL WHERE created_by = $1";
    db.write("UPDATE musics", TEXT).bind(creator).execute().await
}

pub(crate) async fn is_empty(tx: &mut Tx) -> Result<bool, Error> {
    const TEXT: &str = "SELECT NOT EXISTS (SELECT 1 FROM musics)";
    let (empty,) = tx.query("SELECT musics", TEXT).fetch_one::<(bool,)>().await?;
    Ok(empty)
}

/// Notes that something has been done; false: it was noted before.
pub(crate) async fn reach(tx: &mut Tx, milestone: &'static str) -> Result<bool, Error> {
    const TEXT: &str = "INSERT INTO milestones (name) VALUES ($1) ON CONFLICT DO NOTHING";
    Ok(tx.query("INSERT milestones", TEXT).bind(milestone).execute().await? == 1)
}

/// Words as a query of the search, in the language of each database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matching {
    pub(crate) sqlite: String,
    pub(crate) postgres: String,
}

impl Matching {
    fn text(self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }
}

/// Words as a query for the search: each is a prefix, and all have to be there.
///
/// They need no escaping: a word has letters, digits and symbols only ([`text::words`]).
pub(crate) fn matching(words: &BTreeSet<String>) -> Matching {
    let mut query = Matching::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        // They are sorted: if any begins with this one, the next one does, and whoever has that one has this one.
        if words.peek().is_some_and(|next| next.starts_with(word.as_str())) {
            continue;
        }
        if !query.sqlite.is_empty() {
            query.sqlite.push(' ');
            query.postgres.push_str(" & ");
        }
        query.sqlite.extend(["\"", word, "\"*"]);
        query.postgres.extend(["'", word, "':*"]);
    }
    query
}

#[cfg(test)]
mod tests;
