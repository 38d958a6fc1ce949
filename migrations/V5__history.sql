-- What an archive said at another time, and what its sources no longer say. Replaced versions of
-- a stream's rows stay in `<stream>_history`, a plain table beside the stream's own; here stands
-- only since when that is so. Rows that the source no longer returns are noted here by their key,
-- so that nothing is done before two fetches in a row have missed them, and all of it can be
-- taken back.

PRAGMA user_version = 5;

-- Since when each replaced version is kept; nothing where they are not.
ALTER TABLE _windrow_streams ADD COLUMN history_from TEXT;

-- Rows that a complete fetch of their window missed. `key` holds the key's values as SQL
-- literals. `held` are rows that would have been marked or deleted, had they not been too many at
-- once; `kept` are those that a person brought back, which no fetch takes away again.
CREATE TABLE _windrow_vanished (
    stream          TEXT NOT NULL,
    key             TEXT NOT NULL,
    partition       TEXT NOT NULL,
    start_at        TEXT NOT NULL,
    end_at          TEXT NOT NULL,
    state           TEXT NOT NULL
        CHECK (state IN ('missed', 'held', 'marked', 'deleted', 'kept')),
    first_missed_at TEXT NOT NULL,
    first_missed_by INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    changed_at      TEXT NOT NULL,
    run_id          INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX _windrow_vanished_by_run ON _windrow_vanished (run_id);

UPDATE _windrow_meta SET value = '5' WHERE name = 'format';
