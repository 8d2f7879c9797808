-- Who keeps what. The ids rise in the order of keeping, and none is given twice.
-- The columns from title to duration_ms are a copy of the music as the catalog had it; match_key is computed in Rust from the copy
-- (songs::text) and compared by its bytes.
CREATE TABLE favourites (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     BIGINT NOT NULL, -- a user of accounts
    music_id    BIGINT NOT NULL, -- a music of the catalog
    title       TEXT   NOT NULL,
    artist      TEXT   NOT NULL,
    album       TEXT   NOT NULL,
    genre       TEXT   NOT NULL,
    duration_ms BIGINT,
    match_key   TEXT   COLLATE "C" NOT NULL,
    added_at    BIGINT NOT NULL  -- milliseconds since 1970
);

CREATE UNIQUE INDEX favourites_once  ON favourites (user_id, music_id);
-- Descending, as people read them: newest first.
CREATE INDEX favourites_by_user      ON favourites (user_id, id DESC);
-- For imports: which songs of a file are kept already.
CREATE INDEX favourites_by_match_key ON favourites (user_id, match_key);
