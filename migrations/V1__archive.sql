-- The first archive. windrow's own tables begin with `_windrow_`; every stream has a table of its
-- own beside them, made when its columns are known.
--
-- Instants are RFC 3339 texts in UTC that end in `+00:00`, which sort as the instants do.

PRAGMA application_id = 1465012055; -- "WROW"
PRAGMA user_version = 1;

-- Facts about the archive itself.
CREATE TABLE _windrow_meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The definitions that the data came by, without comments and without secrets, so that whoever
-- is given the file can read it and carry on.
CREATE TABLE _windrow_definitions (
    definition_id INTEGER PRIMARY KEY,
    sha256        TEXT NOT NULL UNIQUE,
    text          TEXT NOT NULL,
    first_used_at TEXT NOT NULL
) STRICT;

-- One row for each sync. A row that is still `running` while nobody holds the lock is a run that
-- was killed.
CREATE TABLE _windrow_runs (
    run_id            INTEGER PRIMARY KEY,
    command           TEXT NOT NULL,
    windrow_version   TEXT NOT NULL,
    definition_id     INTEGER REFERENCES _windrow_definitions (definition_id),
    started_at        TEXT NOT NULL,
    finished_at       TEXT,
    state             TEXT NOT NULL
        CHECK (state IN ('running', 'complete', 'incomplete', 'failed', 'interrupted')),
    exit_code         INTEGER,
    windows_planned   INTEGER NOT NULL DEFAULT 0,
    windows_completed INTEGER NOT NULL DEFAULT 0,
    requests          INTEGER NOT NULL DEFAULT 0,
    retries           INTEGER NOT NULL DEFAULT 0,
    bytes             INTEGER NOT NULL DEFAULT 0,
    message           TEXT
) STRICT;

-- What each run did to each stream. The five outcomes add up to `received`.
CREATE TABLE _windrow_run_streams (
    run_id            INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    stream            TEXT NOT NULL,
    windows_completed INTEGER NOT NULL,
    received          INTEGER NOT NULL,
    inserted          INTEGER NOT NULL,
    updated           INTEGER NOT NULL,
    unchanged         INTEGER NOT NULL,
    skipped           INTEGER NOT NULL,
    rejected          INTEGER NOT NULL,
    out_of_window INTEGER NOT NULL,
    PRIMARY KEY (run_id, stream),
    CHECK (received = inserted + updated + unchanged + skipped + rejected)
) STRICT, WITHOUT ROWID;

-- The streams' tables: what they were made from.
CREATE TABLE _windrow_streams (
    stream     TEXT PRIMARY KEY,
    key        TEXT NOT NULL,
    columns    TEXT NOT NULL,
    inferred   INTEGER NOT NULL,
    start_at   TEXT,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The ledger: how far each window has been read. A window that is not here is pending. Complete
-- windows of one stream and partition never overlap. A snapshot or a mark is one row with empty
-- bounds.
CREATE TABLE _windrow_ledger (
    stream        TEXT NOT NULL,
    partition     TEXT NOT NULL,
    start_at      TEXT NOT NULL,
    end_at        TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('partial', 'complete', 'settled', 'truncated')),
    read_to       TEXT,
    requested_at  TEXT NOT NULL,
    completed_at  TEXT,
    token         TEXT,
    cursor        TEXT,
    pages         INTEGER NOT NULL,
    received      INTEGER NOT NULL,
    inserted      INTEGER NOT NULL,
    updated       INTEGER NOT NULL,
    unchanged     INTEGER NOT NULL,
    skipped       INTEGER NOT NULL,
    rejected      INTEGER NOT NULL,
    out_of_window INTEGER NOT NULL,
    distinct_keys INTEGER,
    source_total  INTEGER,
    fetches       INTEGER NOT NULL,
    error         TEXT,
    run_id        INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    PRIMARY KEY (stream, partition, start_at, end_at)
) STRICT, WITHOUT ROWID;

-- Records that could not become rows, verbatim. The same record is kept once however often the
-- source sends it.
CREATE TABLE _windrow_rejects (
    reject_id     INTEGER PRIMARY KEY,
    stream        TEXT NOT NULL,
    partition     TEXT NOT NULL,
    start_at      TEXT NOT NULL,
    end_at        TEXT NOT NULL,
    kind          TEXT NOT NULL,
    reason        TEXT NOT NULL,
    record        TEXT NOT NULL,
    record_sha256 TEXT NOT NULL,
    row           TEXT, -- of an orphan: the row that it becomes once its parent is there
    first_seen_at TEXT NOT NULL,
    run_id        INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    UNIQUE (stream, partition, record_sha256, kind)
) STRICT;

-- Sources that said "not before": no run asks them earlier.
CREATE TABLE _windrow_waits (
    source     TEXT PRIMARY KEY,
    not_before TEXT NOT NULL,
    reason        TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO _windrow_meta (name, value) VALUES ('format', '1');
