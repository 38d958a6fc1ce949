-- Drift: which fields a stream's records have had so far, and the log of what appeared, vanished or
-- changed its type, each once, in the transaction of the page that showed it.

PRAGMA user_version = 7;

CREATE TABLE _windrow_fields (
    stream TEXT NOT NULL,
    field  TEXT NOT NULL,
    kinds  TEXT NOT NULL, -- of its values so far, null apart, such as `number|text`
    usage  TEXT NOT NULL CHECK (usage IN ('always', 'sometimes', 'gone')),
    PRIMARY KEY (stream, field)
) STRICT, WITHOUT ROWID;

CREATE TABLE _windrow_schema_log (
    log_id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    change TEXT NOT NULL,
    field  TEXT NOT NULL,
    detail TEXT NOT NULL,
    at     TEXT NOT NULL,
    run_id INTEGER NOT NULL REFERENCES _windrow_runs (run_id)
) STRICT;

UPDATE _windrow_meta SET value = '7' WHERE name = 'format';
