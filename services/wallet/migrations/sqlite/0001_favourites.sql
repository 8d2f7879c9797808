-- Who keeps what. AUTOINCREMENT: the ids rise in the order of keeping, and a page behind an id that is gone is still the right one.
-- The columns from title to duration_ms are a copy of the music as the catalog had it; match_key is computed in Rust from the copy
-- (songs::text).
CREATE TABLE favourites (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id     INTEGER NOT NULL, -- a user of accounts
    music_id    INTEGER NOT NULL, -- a music of the catalog
    title       TEXT    NOT NULL,
    artist      TEXT    NOT NULL,
    album       TEXT    NOT NULL,
    genre       TEXT    NOT NULL,
    duration_ms INTEGER,
    match_key   TEXT    NOT NULL,
    added_at    INTEGER NOT NULL  -- milliseconds since 1970
) STRICT;

CREATE UNIQUE INDEX favourites_once  ON favourites (user_id, music_id);
-- Descending, as people read them: newest first.
CREATE INDEX favourites_by_user      ON favourites (user_id, id DESC);
-- For imports: which songs of a file are kept already.
CREATE INDEX favourites_by_match_key ON favourites (user_id, match_key);
