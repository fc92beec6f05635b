-- What search needs: models and their vectors, supersession, settings, and long jobs such as re-embedding.
-- One table `vectors_<number>` for each model is made when the model is registered: (id, n, ordinal, seq, vector
-- FLOAT[dimension]). Vectors belong to a content (id, n), which never changes; so they have no history of their own.

ALTER TABLE memories ADD COLUMN superseded_by VARCHAR;      -- the memory that replaced this one; NULL while it stands
ALTER TABLE memories ADD COLUMN superseded_at TIMESTAMPTZ;  -- from when on
ALTER TABLE history ADD COLUMN superseded_by VARCHAR;
ALTER TABLE history ADD COLUMN superseded_at TIMESTAMPTZ;

CREATE TABLE supersessions (           -- append-only: what was said, and taken back
    seq          BIGINT NOT NULL,
    loser        VARCHAR NOT NULL,
    winner       VARCHAR,              -- NULL: the supersession was taken back
    effective_at TIMESTAMPTZ NOT NULL,
    actor        VARCHAR NOT NULL,
    reason       VARCHAR
);

CREATE TABLE embedding_models (
    number      INTEGER NOT NULL,
    name        VARCHAR NOT NULL,
    dimension   INTEGER NOT NULL,
    metric      VARCHAR NOT NULL,      -- cosine, dot or l2
    max_tokens  INTEGER,               -- of one text; NULL when there is no limit
    spec        VARCHAR,               -- from which the embedder can be made again; never a secret
    is_caller   BOOLEAN NOT NULL,      -- vectors are given by the caller
    fingerprint VARCHAR NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL
);

CREATE TABLE model_events (            -- which model is searched, from which seq on
    seq   BIGINT NOT NULL,
    model INTEGER NOT NULL
);

CREATE TABLE passages (                -- of contents that are more than one passage of a model; others have none
    model      INTEGER NOT NULL,
    id         VARCHAR NOT NULL,
    n          INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    begin_char BIGINT NOT NULL,
    end_char   BIGINT NOT NULL
);

CREATE TABLE settings (                -- of the store, as `reindex` was told
    name  VARCHAR NOT NULL,
    value VARCHAR NOT NULL             -- JSON
);

CREATE TABLE migration_state (         -- one row per job run: re-embedding, restore, scheme migration, gc, ...
    id          VARCHAR NOT NULL,      -- ULID
    kind        VARCHAR NOT NULL,
    status      VARCHAR NOT NULL,      -- running, paused, done, failed, rolled_back
    digest      VARCHAR NOT NULL,      -- of params: a resume cannot run with others
    params      VARCHAR NOT NULL,      -- JSON
    "cursor"    VARCHAR,               -- where to go on
    done        BIGINT NOT NULL,
    total       BIGINT NOT NULL,
    attempts    INTEGER NOT NULL,
    last_error  VARCHAR,
    started_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);
