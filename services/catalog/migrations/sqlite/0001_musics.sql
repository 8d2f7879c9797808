-- The songs. AUTOINCREMENT: an id is never given twice, because others keep ids of songs that are gone.
-- The columns from match_key on are computed in Rust from those before (src/text.rs), so that every database answers alike.
CREATE TABLE musics (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    title         TEXT    NOT NULL,
    artist        TEXT    NOT NULL,
    album         TEXT    NOT NULL,
    genre         TEXT    NOT NULL,
    duration_ms   INTEGER,
    created_by    INTEGER,          -- a user of accounts; null: nobody's
    match_key     TEXT    NOT NULL, -- not unique: people may add a song twice, imports take the lowest id
    artist_folded TEXT    NOT NULL,
    genre_folded  TEXT    NOT NULL,
    words         TEXT    NOT NULL  -- separated by spaces
) STRICT;

-- Each ends in the id, so that a page is found by one seek, whichever page it is.
CREATE INDEX musics_by_match_key  ON musics (match_key, id);
CREATE INDEX musics_by_artist     ON musics (artist_folded, id);
CREATE INDEX musics_by_genre      ON musics (genre_folded, id);
CREATE INDEX musics_by_created_by ON musics (created_by, id);

-- Search. The words come split and folded, so the simplest tokenizer has to find nothing but the spaces. Only "which song has
-- a word with this prefix" is asked, so neither positions nor sizes are kept; short prefixes, which have long answers, are indexed.
CREATE VIRTUAL TABLE musics_words USING fts5 (
    words, content = 'musics', content_rowid = 'id', tokenize = 'ascii', detail = 'none', columnsize = 0, prefix = '1 2 3'
);

CREATE TRIGGER musics_words_insert AFTER INSERT ON musics BEGIN
    INSERT INTO musics_words (rowid, words) VALUES (new.id, new.words);
END;

CREATE TRIGGER musics_words_delete AFTER DELETE ON musics BEGIN
    INSERT INTO musics_words (musics_words, rowid, words) VALUES ('delete', old.id, old.words);
END;

CREATE TRIGGER musics_words_update AFTER UPDATE OF words ON musics WHEN old.words <> new.words BEGIN
    INSERT INTO musics_words (musics_words, rowid, words) VALUES ('delete', old.id, old.words);
    INSERT INTO musics_words (rowid, words) VALUES (new.id, new.words);
END;

-- What has been done once and is not done again.
CREATE TABLE milestones (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
