-- Conversations of OpenAI's API: items in the order in which they were added, until their caller deletes them.

CREATE TABLE conversations (
    id         BYTEA  NOT NULL PRIMARY KEY,
    project    BYTEA  NOT NULL REFERENCES projects (id),
    metadata   BYTEA  NOT NULL, -- sealed
    items      BIGINT NOT NULL, -- how many were ever added
    created_at BIGINT NOT NULL
);

CREATE TABLE conversation_items (
    conversation BYTEA            NOT NULL,
    position     BIGINT           NOT NULL,
    item         TEXT COLLATE "C" NOT NULL, -- its id
    sealed       BYTEA            NOT NULL,
    PRIMARY KEY (conversation, position),
    UNIQUE (conversation, item)
);
