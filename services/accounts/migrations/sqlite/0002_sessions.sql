-- Sessions, names of tokens, known devices, failed sign-ins, locks. Times are milliseconds since 1970.

-- When an operator locked the account: none of its credentials counts until it is unlocked.
ALTER TABLE users ADD COLUMN locked_at INTEGER;

-- What its owner calls it. Those that signing in gives have this name.
ALTER TABLE tokens ADD COLUMN name TEXT NOT NULL DEFAULT 'sign-in';

-- Browsers that somebody has signed in with: their failures to sign in count for themselves, and others' not for them.
CREATE TABLE devices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256; secrets are random enough to need neither salt nor slowness.
    hash BLOB NOT NULL UNIQUE,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX devices_of_user ON devices (user_id, last_used_at);

-- Browser sessions.
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_id INTEGER REFERENCES devices (id) ON DELETE SET NULL,
    -- SHA-256, as above.
    hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    -- To the minute, as with tokens. Long after it a session ends.
    last_used_at INTEGER NOT NULL,
    -- Here it ends however much it is used.
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_of_user ON sessions (user_id, last_used_at);
CREATE INDEX sessions_of_device ON sessions (device_id);

-- Passwords of today that were wrong, or that are being checked.
CREATE TABLE sign_in_failures (
    -- SHA-256 of the name that was tried, whether somebody has it or not; or the hash of the device that tried.
    subject BLOB NOT NULL PRIMARY KEY,
    -- How many on that day, in days since 1970 (UTC).
    failures INTEGER NOT NULL,
    day INTEGER NOT NULL,
    -- Until then nothing is tried.
    next_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sign_in_failures_by_day ON sign_in_failures (day);
