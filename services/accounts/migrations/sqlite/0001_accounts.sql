-- People. Times are milliseconds since 1970.
CREATE TABLE users (
    -- AUTOINCREMENT: an id is never given twice, because others keep ids of people who are gone.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- As it was written (NFC), for answers.
    username TEXT NOT NULL,
    -- NFKC and without case: by it people are found.
    username_key TEXT NOT NULL UNIQUE,
    -- What it looks like: a name in other letters must not be taken for this one.
    username_looks TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    -- A PHC string: algorithm, parameters, salt and hash.
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- API tokens. Only their hashes: a copy of this table gives nobody access.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256; tokens are random enough to need neither salt nor slowness.
    hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    -- To the minute: not every request is worth a write.
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tokens_of_user ON tokens (user_id, last_used_at);
