-- Conversations of OpenAI's API: items in the order in which they were added, until their caller deletes them.

CREATE TABLE conversations (
    id         BLOB    NOT NULL PRIMARY KEY,
    project    BLOB    NOT NULL REFERENCES projects (id),
    metadata   BLOB    NOT NULL, -- sealed
    items      INTEGER NOT NULL, -- how many were ever added
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE conversation_items (
    conversation BLOB    NOT NULL,
    position     INTEGER NOT NULL,
    item         TEXT    NOT NULL, -- its id
    sealed       BLOB    NOT NULL,
    PRIMARY KEY (conversation, position),
    UNIQUE (conversation, item)
) STRICT;
