-- Raw pages: what a source said, word for word, so that a stream's tables can be made again when
-- its key, columns or types change, without asking anybody. A body is kept once however often it
-- comes; each page remembers what it takes to be read again, in the order of its writing.

PRAGMA user_version = 8;

-- Bodies of answers, and the parent rows that were asked for, by their hash.
CREATE TABLE _windrow_raw_bodies (
    body_id INTEGER PRIMARY KEY,
    sha256  TEXT NOT NULL UNIQUE, -- of what is packed
    bytes   INTEGER NOT NULL,     -- unpacked
    body    BLOB NOT NULL         -- zstd
) STRICT;

CREATE TABLE _windrow_raw_pages (
    page_id      INTEGER PRIMARY KEY,
    stream       TEXT NOT NULL,
    partition    TEXT NOT NULL,
    start_at     TEXT NOT NULL, -- the window, as in the ledger
    end_at       TEXT NOT NULL,
    asked_from   TEXT,          -- the range that was asked for
    asked_to     TEXT,
    first        INTEGER NOT NULL, -- whether a fetch begins with it
    altered      INTEGER NOT NULL, -- whether a secret was taken out of its records
    requested_at TEXT NOT NULL, -- as of when it speaks
    written_at   TEXT NOT NULL,
    run_id       INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    parent_id    INTEGER REFERENCES _windrow_raw_bodies (body_id),
    body_id      INTEGER NOT NULL REFERENCES _windrow_raw_bodies (body_id)
) STRICT;

CREATE INDEX _windrow_raw_pages_of_stream ON _windrow_raw_pages (stream, page_id);

-- Streams that were made again and are not confirmed yet: what their tables were. The tables
-- themselves lie beside them as `_windrow_before_STREAM` and `_windrow_before_STREAM_history`.
CREATE TABLE _windrow_rebuilds (
    stream       TEXT PRIMARY KEY,
    run_id       INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    key          TEXT NOT NULL,
    columns      TEXT NOT NULL,
    inferred     INTEGER NOT NULL,
    objects      TEXT NOT NULL, -- the analyst's own indexes and triggers, as JSON
    history_from TEXT
) STRICT, WITHOUT ROWID;

UPDATE _windrow_meta SET value = '8' WHERE name = 'format';
