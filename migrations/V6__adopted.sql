-- Rows that came from a file and not from the API. They are never coverage: the ledger's word for
-- them is "adopted, unverified", until a later run has completed a fetch of their time. Whatever
-- of the file did not become a row is kept, so that an adoption can be undone and audited.

PRAGMA user_version = 6;

-- One row for each adoption that was not undone.
CREATE TABLE _windrow_adoptions (
    run_id       INTEGER PRIMARY KEY REFERENCES _windrow_runs (run_id),
    stream       TEXT NOT NULL,
    file         TEXT NOT NULL, -- its name, without the folder
    source_table TEXT,
    rule         TEXT NOT NULL,
    sha256       TEXT NOT NULL, -- of the records in their order
    made_table   INTEGER NOT NULL
) STRICT;

-- The time that adopted rows lie in, in whole days; a row with empty bounds stands for rows
-- without a time. What completes a fetch of it later has a higher run and confirms it.
CREATE TABLE _windrow_adopted (
    stream   TEXT NOT NULL,
    start_at TEXT NOT NULL,
    end_at   TEXT NOT NULL,
    run_id   INTEGER NOT NULL REFERENCES _windrow_adoptions (run_id),
    rows     INTEGER NOT NULL,
    PRIMARY KEY (stream, start_at, end_at, run_id)
) STRICT, WITHOUT ROWID;

-- Records of the file that another one of the same key, or the archive's own row, stands for.
CREATE TABLE _windrow_adopted_removed (
    run_id INTEGER NOT NULL REFERENCES _windrow_adoptions (run_id),
    place  INTEGER NOT NULL, -- the line or row of the file
    kept   INTEGER,          -- the place of the record that was kept
    reason TEXT NOT NULL CHECK (reason IN ('copy', 'duplicate', 'archived', 'undecided')),
    record TEXT NOT NULL,
    PRIMARY KEY (run_id, place)
) STRICT, WITHOUT ROWID;

UPDATE _windrow_meta SET value = '6' WHERE name = 'format';
