-- The songs. GENERATED ALWAYS: an id is never given twice, because others keep ids of songs that are gone.
-- The columns from match_key on are computed in Rust from those before (src/text.rs), so that every database answers alike; texts are
-- compared as bytes (COLLATE "C"), as SQLite does.
CREATE TABLE musics (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title         TEXT COLLATE "C" NOT NULL,
    artist        TEXT COLLATE "C" NOT NULL,
    album         TEXT COLLATE "C" NOT NULL,
    genre         TEXT COLLATE "C" NOT NULL,
    duration_ms   BIGINT,
    created_by    BIGINT,                    -- a user of accounts; null: nobody's
    match_key     TEXT COLLATE "C" NOT NULL, -- not unique: people may add a song twice, imports take the lowest id
    artist_folded TEXT COLLATE "C" NOT NULL,
    genre_folded  TEXT COLLATE "C" NOT NULL,
    words         TEXT COLLATE "C" NOT NULL, -- separated by spaces
    -- The same words, for the search. No parser of the server has a say in what a word is.
    lexemes       TSVECTOR NOT NULL GENERATED ALWAYS AS (array_to_tsvector(string_to_array(words, ' '))) STORED
);

-- Each ends in the id, so that a page is found by one seek, whichever page it is.
CREATE INDEX musics_by_match_key  ON musics (match_key, id);
CREATE INDEX musics_by_artist     ON musics (artist_folded, id);
CREATE INDEX musics_by_genre      ON musics (genre_folded, id);
CREATE INDEX musics_by_created_by ON musics (created_by, id);

-- Without the list of what is new: a search would have to look through it, and whoever fills it up waits for all of it.
CREATE INDEX musics_by_lexemes ON musics USING gin (lexemes) WITH (fastupdate = off);

-- What has been done once and is not done again.
CREATE TABLE milestones (name TEXT COLLATE "C" PRIMARY KEY);
