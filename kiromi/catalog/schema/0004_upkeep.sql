-- What gc, erase, restore and scheme migrations need.

CREATE TABLE retired (                 -- ids of which nothing else is left: their contents are never numbered again
    digest BLOB NOT NULL,              -- SHA-256 of store id and memory id, so that an erased id is not kept
    last_n INTEGER NOT NULL            -- the highest n ever used
);

CREATE TABLE migration_targets (       -- the stored plan of a job, by the job's id
    job        VARCHAR NOT NULL,
    position   BIGINT NOT NULL,        -- the order in which it is carried out
    id         VARCHAR NOT NULL,       -- the memory
    begin_seq  BIGINT,                 -- of the row that the plan saw
    scheme     INTEGER,                -- the scheme that it is to follow
    partition  VARCHAR,                -- where it goes; NULL when it stays where it is, for the reason given
    attributes VARCHAR,                -- what they become, as canonical typed JSON; NULL when they stay
    reason     VARCHAR                 -- why the memory stays where it is
);

CREATE TABLE migration_batches (       -- what each batch of a job did
    job     VARCHAR NOT NULL,
    seq     BIGINT NOT NULL,           -- the operation: rows that begin with it were moved by it
    moved   BIGINT NOT NULL,           -- memories whose path changed
    unmoved BIGINT NOT NULL,           -- memories that only follow another scheme now
    changed BIGINT NOT NULL,           -- of both, those that were changed since the plan
    deleted BIGINT NOT NULL,           -- memories that were deleted since the plan
    size    BIGINT NOT NULL            -- bytes of the blobs that moved
);

ALTER TABLE scheme_events ADD COLUMN sets VARCHAR;  -- what a migration supplies new memories with, as JSON; else NULL
