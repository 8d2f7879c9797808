-- Sessions, names of tokens, known devices, failed sign-ins, locks. Times are milliseconds since 1970.

-- When an operator locked the account: none of its credentials counts until it is unlocked.
ALTER TABLE users ADD COLUMN locked_at BIGINT;

-- What its owner calls it. Those that signing in gives have this name.
ALTER TABLE tokens ADD COLUMN name TEXT COLLATE "C" NOT NULL DEFAULT 'sign-in';

-- Browsers that somebody has signed in with: their failures to sign in count for themselves, and others' not for them.
CREATE TABLE devices (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256; secrets are random enough to need neither salt nor slowness.
    hash BYTEA NOT NULL UNIQUE,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX devices_of_user ON devices (user_id, last_used_at);

-- Browser sessions.
CREATE TABLE sessions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_id BIGINT REFERENCES devices (id) ON DELETE SET NULL,
    -- SHA-256, as above.
    hash BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    -- To the minute, as with tokens. Long after it a session ends.
    last_used_at BIGINT NOT NULL,
    -- Here it ends however much it is used.
    expires_at BIGINT NOT NULL
);

CREATE INDEX sessions_of_user ON sessions (user_id, last_used_at);
CREATE INDEX sessions_of_device ON sessions (device_id);

-- Passwords of today that were wrong, or that are being checked.
CREATE TABLE sign_in_failures (
    -- SHA-256 of the name that was tried, whether somebody has it or not; or the hash of the device that tried.
    subject BYTEA NOT NULL PRIMARY KEY,
    -- How many on that day, in days since 1970 (UTC).
    failures BIGINT NOT NULL,
    day BIGINT NOT NULL,
    -- Until then nothing is tried.
    next_at BIGINT NOT NULL
);

CREATE INDEX sign_in_failures_by_day ON sign_in_failures (day);
