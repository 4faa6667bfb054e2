-- Times are milliseconds since the epoch, ids and digests their bytes. `sum` is the checksum of the row.

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    run INTEGER NOT NULL, key INTEGER NOT NULL, inbox INTEGER NOT NULL, registry INTEGER NOT NULL,
    shown INTEGER NOT NULL, sum INTEGER NOT NULL
) STRICT;

-- The head of each run that is not archived. `seq` counts creations.
CREATE TABLE run (
    seq INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL, id BLOB NOT NULL,
    n INTEGER NOT NULL, at INTEGER NOT NULL,
    status INTEGER NOT NULL, due INTEGER, owes INTEGER NOT NULL,
    hash BLOB NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX run_id ON run (tenant, id);
CREATE INDEX run_ended ON run (at) WHERE status BETWEEN 3 AND 7;

-- In the order of writing, so that a commit touches few pages; `run` is the run's `seq`. No `pos` is used twice: up to
-- `counter.shown`, lists show what the records say.
CREATE TABLE record (
    pos INTEGER PRIMARY KEY,
    run INTEGER NOT NULL, n INTEGER NOT NULL, sum INTEGER NOT NULL, bytes BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_run ON record (run, n);

-- Ended runs: the head, and all records in one compressed body.
CREATE TABLE archive (
    seq INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL, id BLOB NOT NULL,
    n INTEGER NOT NULL, at INTEGER NOT NULL, status INTEGER NOT NULL,
    hash BLOB NOT NULL, sum INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX archive_id ON archive (tenant, id);
CREATE INDEX archive_at ON archive (at);

-- Ids that were removed while they were young enough to be created once more.
CREATE TABLE removed (id BLOB NOT NULL, tenant TEXT NOT NULL, PRIMARY KEY (id, tenant)) STRICT, WITHOUT ROWID;

CREATE TABLE key (
    tenant TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL, expires INTEGER NOT NULL, sum INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_expires ON key (expires);

CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY,
    shard INTEGER NOT NULL, id BLOB NOT NULL, tenant TEXT NOT NULL, run BLOB NOT NULL,
    sum INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX inbox_id ON inbox (id);
CREATE INDEX inbox_shard ON inbox (shard);

CREATE TABLE registry (
    key TEXT PRIMARY KEY, revision INTEGER NOT NULL, sum INTEGER NOT NULL, value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blob (
    seq INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL, bytes BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX blob_key ON blob (tenant, id, digest);
