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
    partition  VARCHAR,                -- where it goes
    attributes VARCHAR                 -- what they become, as canonical typed JSON; NULL when they stay
);
