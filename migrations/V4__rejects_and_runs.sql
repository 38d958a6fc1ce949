-- Rejects that a person can work through, and runs that tell what they did.
--
-- A reject says where in the record the fault lies, what the record's columns would take from
-- above it (so that it can be read again without its page), which run saw it last (a late record
-- must not beat a row that is newer), and who set it aside and why.
--
-- A run keeps its plan, each fetch with what it cost, and its errors and waits; a bounded
-- number of each, and of the latest runs alone. The sums by stream stay.

PRAGMA user_version = 4;

ALTER TABLE _windrow_rejects ADD COLUMN pointer TEXT;
ALTER TABLE _windrow_rejects ADD COLUMN ancestors TEXT;
ALTER TABLE _windrow_rejects ADD COLUMN last_run_id INTEGER;
ALTER TABLE _windrow_rejects ADD COLUMN discarded_at TEXT;
ALTER TABLE _windrow_rejects ADD COLUMN discarded_by TEXT;
ALTER TABLE _windrow_rejects ADD COLUMN discard_note TEXT;

UPDATE _windrow_rejects SET last_run_id = run_id;

CREATE INDEX _windrow_rejects_open ON _windrow_rejects (stream, last_run_id, reject_id)
    WHERE discarded_at IS NULL;

ALTER TABLE _windrow_run_streams ADD COLUMN late_rejects INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _windrow_run_streams ADD COLUMN windows_planned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _windrow_run_streams ADD COLUMN plan TEXT;
ALTER TABLE _windrow_run_streams ADD COLUMN requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _windrow_run_streams ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _windrow_run_streams ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _windrow_run_streams ADD COLUMN waited_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _windrow_run_streams ADD COLUMN fetches INTEGER NOT NULL DEFAULT 0;

ALTER TABLE _windrow_runs ADD COLUMN waited_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _windrow_runs ADD COLUMN errors INTEGER NOT NULL DEFAULT 0;

-- The fetches of a run in the order of their ends; written with the checkpoint that they are.
CREATE TABLE _windrow_run_fetches (
    run_id     INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    number     INTEGER NOT NULL,
    stream     TEXT NOT NULL,
    partition  TEXT NOT NULL,
    start_at   TEXT NOT NULL,
    end_at     TEXT NOT NULL,
    reason        TEXT NOT NULL, -- why it was due
    outcome    TEXT NOT NULL
        CHECK (outcome IN ('complete', 'settled', 'partial', 'truncated', 'kept', 'split', 'second',
            'too_early', 'failed')),
    began_at   TEXT NOT NULL,
    ended_at   TEXT NOT NULL,
    pages      INTEGER NOT NULL,
    received   INTEGER NOT NULL,
    inserted   INTEGER NOT NULL,
    updated    INTEGER NOT NULL,
    unchanged  INTEGER NOT NULL,
    skipped    INTEGER NOT NULL,
    rejected   INTEGER NOT NULL,
    out_of_window INTEGER NOT NULL,
    requests   INTEGER NOT NULL,
    retries    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    waited_ms  INTEGER NOT NULL,
    error      TEXT,
    PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;

-- What befell a run: errors, and waits that a source imposed.
CREATE TABLE _windrow_run_events (
    run_id     INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    number     INTEGER NOT NULL,
    at         TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('error', 'wait')),
    source     TEXT,
    stream     TEXT,
    partition  TEXT,
    window     TEXT,
    message    TEXT NOT NULL,
    help       TEXT,
    until      TEXT,
    exit_code  INTEGER,
    PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;

UPDATE _windrow_meta SET value = '4' WHERE name = 'format';
