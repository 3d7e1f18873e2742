-- Answers of the Responses API that callers may ask for and go on from.

CREATE TABLE responses (
    id         BLOB    NOT NULL PRIMARY KEY, -- that of the request which it answers
    project    BLOB    NOT NULL REFERENCES projects (id),
    previous   BLOB,                         -- the answer that it went on from
    size       INTEGER NOT NULL,             -- bytes of its contents, in clear
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL              -- later whenever a call goes on from it
) STRICT, WITHOUT ROWID;

CREATE INDEX responses_by_expiry ON responses (expires_at);

-- Beside what is known of an answer, because that changes and this never does.
CREATE TABLE response_contents (
    response BLOB NOT NULL PRIMARY KEY,
    answer   BLOB NOT NULL, -- sealed: the answer as the caller has it
    input    BLOB NOT NULL  -- sealed: the items that the call brought
) STRICT;

-- Items of answers by their ids, for calls that name an item instead of sending it.
CREATE TABLE response_items (
    project  BLOB NOT NULL,
    item     TEXT NOT NULL,
    response BLOB NOT NULL,
    PRIMARY KEY (project, item)
) STRICT, WITHOUT ROWID;

CREATE INDEX response_items_by_response ON response_items (response);
