-- The first format. No ART indexes and no constraints that need one: there is a single writer, which checks against the
-- published view, and indexes would slow bulk inserts and have lost WAL replays in the past. Ids rise with time, so zone
-- maps find them.

CREATE TABLE meta (                    -- always one row
    format_version INTEGER NOT NULL,
    store_id       VARCHAR NOT NULL,   -- ULID, the same for the life of the store
    catalog_id     VARCHAR NOT NULL,   -- ULID of this catalog file's line of descent
    tenant         VARCHAR NOT NULL,
    fold_case      BOOLEAN NOT NULL,   -- paths encode upper case because the filesystem folds it
    created_at     TIMESTAMPTZ NOT NULL,
    head_seq       BIGINT NOT NULL,    -- the last operation
    head_at        TIMESTAMPTZ NOT NULL,
    head_hash      BLOB NOT NULL,      -- the audit chain's last hash
    head_entries   BIGINT NOT NULL,    -- length of the audit chain
    gc_floor       BIGINT NOT NULL,    -- below this seq only snapshots can be read
    epoch          BIGINT NOT NULL,    -- the last writing session on an object-store root
    epoch_nonce    VARCHAR             -- what this catalog wrote, or is about to write, into that epoch
);

CREATE TABLE schemes (
    number     INTEGER NOT NULL,
    template   VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE scheme_events (           -- which scheme new memories follow, from which seq on
    seq    BIGINT NOT NULL,
    scheme INTEGER NOT NULL
);

CREATE TABLE memories (                -- live versions
    id          VARCHAR NOT NULL,
    version     INTEGER NOT NULL,
    n           INTEGER NOT NULL,      -- which of its contents
    last_n      INTEGER NOT NULL,      -- the highest n ever used for this id; the next content gets last_n + 1
    begin_seq   BIGINT NOT NULL,
    scheme      INTEGER NOT NULL,
    partition   VARCHAR NOT NULL,      -- what the scheme renders from the attributes and built-ins; verify recomputes it
    title       VARCHAR,
    key         VARCHAR,
    namespace   VARCHAR NOT NULL,
    kind        VARCHAR NOT NULL,
    language    VARCHAR,
    tags        VARCHAR[] NOT NULL,
    attributes  VARCHAR NOT NULL,      -- canonical typed JSON, see kiromi/attributes.py
    importance  DOUBLE,
    confidence  DOUBLE,
    event_at    TIMESTAMPTZ NOT NULL,
    valid_from  TIMESTAMPTZ,
    valid_until TIMESTAMPTZ,
    expires_at  TIMESTAMPTZ,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL,
    run_id      VARCHAR
);

CREATE TABLE contents (                -- immutable; (id, n) is never reused for other bytes
    id         VARCHAR NOT NULL,
    n          INTEGER NOT NULL,
    ext        VARCHAR NOT NULL,
    media_type VARCHAR NOT NULL,
    size       BIGINT NOT NULL,
    sha256     BLOB NOT NULL
);

CREATE TABLE history AS SELECT *, 0::BIGINT AS end_seq FROM memories;   -- closed versions, valid in [begin_seq, end_seq)

CREATE TABLE audit_log (
    seq       BIGINT NOT NULL,
    i         INTEGER NOT NULL,
    "at"      TIMESTAMPTZ NOT NULL,
    actor     VARCHAR NOT NULL,
    run_id    VARCHAR,
    reason    VARCHAR,
    op        VARCHAR NOT NULL,
    memory_id VARCHAR,
    detail    VARCHAR,                 -- JSON; facts, never content; NULL with salt once erased
    salt      BLOB,
    digest    BLOB NOT NULL,           -- H(salt, memory_id, detail, run_id, reason)
    hash      BLOB NOT NULL            -- H(previous hash, seq, i, at, actor, op, digest)
);

CREATE TABLE pending (                 -- blobs that are not yet, or no longer, where they belong
    id     VARCHAR NOT NULL,
    n      INTEGER NOT NULL,
    places VARCHAR[] NOT NULL
);

CREATE TABLE journal (                 -- small commits, not yet folded into the tables above (docs/write-protocol.md)
    seq   BIGINT NOT NULL,
    entry VARCHAR NOT NULL
);
