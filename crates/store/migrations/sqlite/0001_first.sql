-- Times are microseconds since 1970 in UTC; ids are the 16 bytes of a UUID v7.

CREATE TABLE projects (
    id         BLOB    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    id         BLOB    NOT NULL PRIMARY KEY,
    project    BLOB    NOT NULL REFERENCES projects (id),
    name       TEXT    NOT NULL,
    hint       TEXT    NOT NULL, -- the last four characters of the newest secret
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    rotated_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE UNIQUE INDEX keys_by_live_name ON keys (project, name) WHERE revoked_at IS NULL;

-- One secret of each key is current. A rotation gives the one before it an end; a revocation deletes them all.
CREATE TABLE key_secrets (
    hash        BLOB    NOT NULL PRIMARY KEY, -- BLAKE3 of the secret
    key         BLOB    NOT NULL REFERENCES keys (id),
    valid_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX key_secrets_by_key ON key_secrets (key);

-- One row per entry, never changed. `record` is the whole entry; the other columns are what is searched and summed.
-- An amount is amount_hi * 10^9 + amount_lo pico-USD; both are null when no price is known.
CREATE TABLE entries (
    seq            INTEGER NOT NULL PRIMARY KEY,
    request_id     BLOB    NOT NULL,
    adjusts        BLOB,
    time           INTEGER NOT NULL,
    project        TEXT    NOT NULL,
    key            BLOB,
    principal      TEXT    NOT NULL,
    route          TEXT    NOT NULL,
    model          TEXT,
    channel        TEXT,
    outcome        TEXT    NOT NULL,
    amount_hi      INTEGER,
    amount_lo      INTEGER,
    input          INTEGER NOT NULL,
    cache_read     INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    reasoning      INTEGER NOT NULL,
    other_usage    TEXT, -- the remaining classes, a JSON object; null when there are none
    tags           TEXT, -- a JSON object; null when there are none
    record         BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX entries_by_request ON entries (request_id) WHERE adjusts IS NULL;
CREATE INDEX entries_by_time ON entries (time);
