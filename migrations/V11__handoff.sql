-- Hand-offs: archives that go from one laptop to another and come back. Runs get names that hold
-- everywhere, since every copy of an archive counts its own; an archive knows what it came from,
-- what was given away and what was taken in.

PRAGMA user_version = 11;

INSERT INTO _windrow_meta (name, value) VALUES ('archive_id', lower(hex(randomblob(16))));

-- The run's name in every archive that holds it.
ALTER TABLE _windrow_runs ADD COLUMN uid TEXT;
-- The archive that it ran in.
ALTER TABLE _windrow_runs ADD COLUMN archive_id TEXT;
-- As of when its fetches speak, in the source's time where that is known; empty for a run that
-- read no source. Between two laptops the later fetch wins.
ALTER TABLE _windrow_runs ADD COLUMN read_at TEXT;
-- The run of this archive that brought it; nothing for its own.
ALTER TABLE _windrow_runs ADD COLUMN merged_by INTEGER;

-- Copies of an older archive must give the same runs the same names.
UPDATE _windrow_runs SET
    uid = printf('%s/%d/%s', coalesce((SELECT value FROM _windrow_meta WHERE name = 'created_at'),
        ''), run_id, started_at),
    archive_id = (SELECT value FROM _windrow_meta WHERE name = 'archive_id'),
    read_at = iif(command LIKE 'adopt%' OR command LIKE 'rejects%' OR command LIKE 'rebuild%'
        OR command LIKE 'vanished%', '', started_at);

CREATE UNIQUE INDEX _windrow_runs_uid ON _windrow_runs (uid);

-- What this archive was made from: each copy that was handed off has an id of its own.
CREATE TABLE _windrow_lineage (
    archive_id TEXT PRIMARY KEY,
    parent_id  TEXT NOT NULL,
    handoff_id TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The log of what was given away and taken in.
CREATE TABLE _windrow_handoffs (
    number     INTEGER PRIMARY KEY,
    direction  TEXT NOT NULL CHECK (direction IN ('given', 'taken')),
    handoff_id TEXT,          -- none where an archive itself was taken in
    archive_id TEXT NOT NULL, -- of the copy
    at         TEXT NOT NULL,
    file       TEXT NOT NULL, -- its name, without the folder
    sha256     TEXT,          -- of its manifest
    summary    TEXT NOT NULL,
    run_id     INTEGER REFERENCES _windrow_runs (run_id)
) STRICT;

-- What a hand-off says of itself: one row in the copy that is given away, until a run writes there.
CREATE TABLE _windrow_manifest (
    manifest TEXT NOT NULL CHECK (json_valid(manifest))
) STRICT;

-- Of each row of a hand-off four bytes, in the order of the key, so that a row that was changed
-- since can be named.
CREATE TABLE _windrow_manifest_marks (
    stream TEXT NOT NULL,
    chunk  INTEGER NOT NULL,
    marks  BLOB NOT NULL,
    PRIMARY KEY (stream, chunk)
) STRICT;

-- Row versions that lost against another archive's, of streams without a history.
CREATE TABLE _windrow_superseded (
    stream    TEXT NOT NULL,
    key       TEXT NOT NULL, -- the key's values as SQL literals
    sha256    TEXT NOT NULL, -- of the row
    row       TEXT NOT NULL CHECK (json_valid(row)),
    run_id    INTEGER NOT NULL REFERENCES _windrow_runs (run_id), -- that had brought it
    merged_by INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    PRIMARY KEY (stream, key, sha256)
) STRICT, WITHOUT ROWID;

-- Of a part of an archive, which is no archive to go on from: what the whole one's ledger proves.
-- It counts where everything is there that the part is based on.
CREATE TABLE _windrow_part_ledger (
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
    run_id        INTEGER NOT NULL,
    dated_by_source INTEGER NOT NULL DEFAULT 0,
    asked_from    TEXT,
    last_records  INTEGER,
    previous_records INTEGER,
    first_complete_at TEXT,
    settled_at    TEXT,
    PRIMARY KEY (stream, partition, start_at, end_at)
) STRICT, WITHOUT ROWID;

-- Rows that another archive has read later and found the same: a row is not written again for that,
-- and still the later fetch speaks for it between two archives.
CREATE TABLE _windrow_confirmed (
    stream  TEXT NOT NULL,
    key     TEXT NOT NULL,    -- the key's values as SQL literals
    run_id  INTEGER NOT NULL REFERENCES _windrow_runs (run_id), -- that has read it later
    row_run INTEGER NOT NULL, -- the row's own run: once that is another, this says nothing
    PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;

-- Stretches of which two archives said different things, and the one that lost has read them again
-- since: what was read there by then is due again, settled or not.
CREATE TABLE _windrow_disputed (
    stream    TEXT NOT NULL,
    partition TEXT NOT NULL,
    start_at  TEXT NOT NULL,
    end_at    TEXT NOT NULL,
    read_at   TEXT NOT NULL,
    PRIMARY KEY (stream, partition, start_at, end_at)
) STRICT, WITHOUT ROWID;

-- Streams of which not everything is here that a run wrote: parts of archives were taken in.
CREATE TABLE _windrow_missing_runs (
    stream TEXT NOT NULL,
    run_id INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    PRIMARY KEY (stream, run_id)
) STRICT, WITHOUT ROWID;

UPDATE _windrow_meta SET value = '11' WHERE name = 'format';
