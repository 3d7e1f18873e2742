-- Secrets that must be had again in clear are sealed: `sealed` below and in other tables is made and read by the vault.

-- Keys that seal, each for one project; the newest one of a project seals, older ones open what they sealed.
CREATE TABLE vault_keys (
    id         BLOB    NOT NULL PRIMARY KEY,
    project    BLOB    NOT NULL REFERENCES projects (id),
    sealed     BLOB    NOT NULL, -- under the key of `vault.key` in the data directory
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX vault_keys_by_project ON vault_keys (project, created_at);

-- The access key id of a key's newest pair; null for a key that has no such pair.
ALTER TABLE keys ADD COLUMN aws_access_key_id TEXT;

-- The secrets with which such keys sign. As in `key_secrets`, one of each key is current.
CREATE TABLE aws_secrets (
    access_key_id TEXT NOT NULL PRIMARY KEY,
    key           BLOB NOT NULL REFERENCES keys (id),
    sealed        BLOB NOT NULL,
    valid_until   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX aws_secrets_by_key ON aws_secrets (key);

-- Credentials at vendors, by the name that a channel's declaration has for them.
CREATE TABLE secrets (
    name       TEXT    NOT NULL PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
