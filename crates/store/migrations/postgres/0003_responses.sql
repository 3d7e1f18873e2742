-- Answers of the Responses API that callers may ask for and go on from.

CREATE TABLE responses (
    id         BYTEA  NOT NULL PRIMARY KEY, -- that of the request which it answers
    project    BYTEA  NOT NULL REFERENCES projects (id),
    previous   BYTEA,                       -- the answer that it went on from
    size       BIGINT NOT NULL,             -- bytes of its contents, in clear
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL              -- later whenever a call goes on from it
);

CREATE INDEX responses_by_expiry ON responses (expires_at);

-- Beside what is known of an answer, because that changes and this never does.
CREATE TABLE response_contents (
    response BYTEA NOT NULL PRIMARY KEY,
    answer   BYTEA NOT NULL, -- sealed: the answer as the caller has it
    input    BYTEA NOT NULL  -- sealed: the items that the call brought
);

-- Items of answers by their ids, for calls that name an item instead of sending it.
CREATE TABLE response_items (
    project  BYTEA            NOT NULL,
    item     TEXT COLLATE "C" NOT NULL,
    response BYTEA            NOT NULL,
    PRIMARY KEY (project, item)
);

CREATE INDEX response_items_by_response ON response_items (response);
