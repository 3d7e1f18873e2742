-- The same tables and columns as in SQLite. Times are microseconds since 1970 in UTC; ids are the 16 bytes of a UUID v7.
-- Texts are compared byte by byte ("C"), as SQLite does, whatever the database's own order is.

CREATE TABLE projects (
    id         BYTEA            NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT           NOT NULL
);

CREATE TABLE keys (
    id         BYTEA            NOT NULL PRIMARY KEY,
    project    BYTEA            NOT NULL REFERENCES projects (id),
    name       TEXT COLLATE "C" NOT NULL,
    hint       TEXT COLLATE "C" NOT NULL, -- the last four characters of the newest secret
    created_at BIGINT           NOT NULL,
    expires_at BIGINT,
    rotated_at BIGINT,
    revoked_at BIGINT
);

CREATE UNIQUE INDEX keys_by_live_name ON keys (project, name) WHERE revoked_at IS NULL;

-- One secret of each key is current. A rotation gives the one before it an end; a revocation deletes them all.
CREATE TABLE key_secrets (
    hash        BYTEA NOT NULL PRIMARY KEY, -- BLAKE3 of the secret
    key         BYTEA NOT NULL REFERENCES keys (id),
    valid_until BIGINT
);

CREATE INDEX key_secrets_by_key ON key_secrets (key);

-- One row per entry, never changed. `record` is the whole entry; the other columns are what is searched and summed.
-- An amount is amount_hi * 10^9 + amount_lo pico-USD; both are null when no price is known.
CREATE TABLE entries (
    seq            BIGINT           NOT NULL PRIMARY KEY,
    request_id     BYTEA            NOT NULL,
    adjusts        BYTEA,
    time           BIGINT           NOT NULL,
    project        TEXT COLLATE "C" NOT NULL,
    key            BYTEA,
    principal      TEXT COLLATE "C" NOT NULL,
    route          TEXT COLLATE "C" NOT NULL,
    model          TEXT COLLATE "C",
    channel        TEXT COLLATE "C",
    outcome        TEXT COLLATE "C" NOT NULL,
    amount_hi      BIGINT,
    amount_lo      BIGINT,
    input          BIGINT           NOT NULL,
    cache_read     BIGINT           NOT NULL,
    cache_write_5m BIGINT           NOT NULL,
    cache_write_1h BIGINT           NOT NULL,
    output         BIGINT           NOT NULL,
    reasoning      BIGINT           NOT NULL,
    other_usage    TEXT COLLATE "C", -- the remaining classes, a JSON object; null when there are none
    tags           TEXT COLLATE "C", -- a JSON object; null when there are none
    record         BYTEA            NOT NULL
);

CREATE UNIQUE INDEX entries_by_request ON entries (request_id) WHERE adjusts IS NULL;
CREATE INDEX entries_by_time ON entries (time);

-- `seq` is the order in which entries were committed, without a gap, as SQLite's row ids are: whoever has read up to
-- a seq will never find one below it later. A sequence cannot do that, because its numbers are taken before the commit
-- and several nodes commit at once. So those who add entries take turns, each from its first row to its commit; and a
-- row that is refused because its call is there already leaves its number to the next one. The lock's number is this
-- table's alone: 'entries' in ASCII.
CREATE FUNCTION entries_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(28550419062547827);
    NEW.seq := (SELECT COALESCE(MAX(seq), 0) + 1 FROM entries);
    RETURN NEW;
END
$$;

CREATE TRIGGER entries_in_order BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION entries_in_order();
