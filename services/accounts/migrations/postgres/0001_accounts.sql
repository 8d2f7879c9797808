-- People. Times are milliseconds since 1970. Texts are compared as bytes (COLLATE "C"), as SQLite does.
CREATE TABLE users (
    -- GENERATED ALWAYS: an id is never given twice, because others keep ids of people who are gone.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- As it was written (NFC), for answers.
    username TEXT COLLATE "C" NOT NULL,
    -- NFKC and without case: by it people are found.
    username_key TEXT COLLATE "C" NOT NULL UNIQUE,
    -- What it looks like: a name in other letters must not be taken for this one.
    username_looks TEXT COLLATE "C" NOT NULL UNIQUE,
    email TEXT COLLATE "C" NOT NULL,
    -- A PHC string: algorithm, parameters, salt and hash.
    password_hash TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);

-- API tokens. Only their hashes: a copy of this table gives nobody access.
CREATE TABLE tokens (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256; tokens are random enough to need neither salt nor slowness.
    hash BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    -- To the minute: not every request is worth a write.
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX tokens_of_user ON tokens (user_id, last_used_at);
