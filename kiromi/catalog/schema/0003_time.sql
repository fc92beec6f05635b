-- What time travel and relations need: links between memories, partitions and the world outside, and named moments.

CREATE TABLE links (                   -- visible at seq s when begin_seq <= s and (end_seq IS NULL or s < end_seq)
    src         VARCHAR NOT NULL,      -- kiromi://memory/<id>, kiromi://partition/<path>, or a foreign URI
    dst         VARCHAR NOT NULL,
    kind        VARCHAR NOT NULL,      -- at most one link of a kind from src to dst holds at a time
    weight      DOUBLE,
    note        VARCHAR,
    valid_from  TIMESTAMPTZ,
    valid_until TIMESTAMPTZ,
    begin_seq   BIGINT NOT NULL,
    end_seq     BIGINT,                -- NULL while it holds
    actor       VARCHAR NOT NULL       -- who made it
);

CREATE TABLE snapshots (               -- a snapshot is a seq with a name
    id         VARCHAR NOT NULL,       -- ULID
    seq        BIGINT NOT NULL,
    tag        VARCHAR,
    reason     VARCHAR,
    created_at TIMESTAMPTZ NOT NULL,
    is_safety  BOOLEAN NOT NULL        -- made by an operation before it changed much; kept for a time of its own
);
