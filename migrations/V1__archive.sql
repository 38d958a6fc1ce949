-- The first format of an archive. windrow's own tables begin with `_windrow_`; every stream has a
-- table of its own beside them, made when its columns are known.
--
-- Instants are RFC 3339 texts in UTC that end in `+00:00`, which sort as the instants do. A window,
-- here and below, is a partition (the parent's key as JSON, or empty) with `start_at` and `end_at`;
-- a snapshot or a mark has empty bounds.

PRAGMA application_id = 1465012055; -- "WROW"
PRAGMA user_version = 1;


-- The core (`src/store`).

-- Facts about the archive itself: its format, when it was made, and its name among all archives.
CREATE TABLE _windrow_meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO _windrow_meta (name, value) VALUES
    ('format', '1'),
    ('archive_id', lower(hex(randomblob(16))));

-- The definitions that the data came by, without comments and without secrets, so that whoever
-- is given the file can read it and carry on.
CREATE TABLE _windrow_definitions (
    definition_id INTEGER PRIMARY KEY,
    sha256        TEXT NOT NULL UNIQUE,
    text          TEXT NOT NULL,
    first_used_at TEXT NOT NULL
) STRICT;

-- Fingerprints of a stream's request, or of one of its columns, that come to the same: a person
-- has said so, or the rows that were there were corrected. Both ways.
CREATE TABLE _windrow_accepted (
    stream      TEXT NOT NULL,
    subject     TEXT NOT NULL, -- a column; empty for the request
    fingerprint TEXT NOT NULL, -- SHA-256
    accepted_as TEXT NOT NULL, -- SHA-256
    PRIMARY KEY (stream, subject, fingerprint, accepted_as)
) STRICT, WITHOUT ROWID;

-- One row for each run. A row that is still `running` while nobody holds the lock is a run that
-- was killed.
CREATE TABLE _windrow_runs (
    run_id            INTEGER PRIMARY KEY,
    uid               TEXT NOT NULL, -- the run's name in every archive that holds it
    archive_id        TEXT NOT NULL, -- the archive that it ran in
    merged_by         INTEGER, -- the run here that brought it; none for this archive's own
    command           TEXT NOT NULL,
    windrow_version   TEXT NOT NULL,
    definition_id     INTEGER REFERENCES _windrow_definitions (definition_id),
    started_at        TEXT NOT NULL,
    -- As of when its fetches speak, in the source's time where that is known; empty for a run
    -- that read no source. Between two archives the later fetch wins.
    read_at           TEXT NOT NULL,
    finished_at       TEXT,
    state             TEXT NOT NULL
        CHECK (state IN ('running', 'complete', 'incomplete', 'failed', 'interrupted')),
    exit_code         INTEGER,
    windows_planned   INTEGER NOT NULL DEFAULT 0,
    windows_completed INTEGER NOT NULL DEFAULT 0,
    requests          INTEGER NOT NULL DEFAULT 0,
    retries           INTEGER NOT NULL DEFAULT 0,
    bytes             INTEGER NOT NULL DEFAULT 0,
    waited_ms         INTEGER NOT NULL DEFAULT 0,
    errors            INTEGER NOT NULL DEFAULT 0, -- how many
    message           TEXT -- the gravest error
) STRICT;

CREATE UNIQUE INDEX _windrow_runs_uid ON _windrow_runs (uid);

-- What each run did to each stream. The five outcomes add up to `received`.
CREATE TABLE _windrow_run_streams (
    run_id            INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    stream            TEXT NOT NULL,
    plan              TEXT, -- JSON: windows that were due, by reason
    windows_planned   INTEGER NOT NULL DEFAULT 0,
    windows_completed INTEGER NOT NULL,
    fetches           INTEGER NOT NULL DEFAULT 0,
    received          INTEGER NOT NULL,
    inserted          INTEGER NOT NULL,
    updated           INTEGER NOT NULL,
    unchanged         INTEGER NOT NULL,
    skipped           INTEGER NOT NULL,
    rejected          INTEGER NOT NULL,
    out_of_window     INTEGER NOT NULL,
    late_rejects      INTEGER NOT NULL DEFAULT 0, -- rejects of earlier fetches that became rows
    requests          INTEGER NOT NULL DEFAULT 0,
    retries           INTEGER NOT NULL DEFAULT 0,
    bytes             INTEGER NOT NULL DEFAULT 0,
    waited_ms         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, stream),
    CHECK (received = inserted + updated + unchanged + skipped + rejected)
) STRICT, WITHOUT ROWID;

-- The fetches of a run in the order of their ends; written with the checkpoint that they are. A
-- bounded number of them, of the latest runs alone.
CREATE TABLE _windrow_run_fetches (
    run_id        INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    number        INTEGER NOT NULL,
    stream        TEXT NOT NULL,
    partition     TEXT NOT NULL,
    start_at      TEXT NOT NULL,
    end_at        TEXT NOT NULL,
    reason        TEXT NOT NULL, -- why it was due
    outcome       TEXT NOT NULL
        CHECK (outcome IN ('complete', 'settled', 'partial', 'truncated', 'absent', 'kept', 'split', 'second',
            'too_early', 'failed')),
    began_at      TEXT NOT NULL,
    ended_at      TEXT NOT NULL,
    pages         INTEGER NOT NULL,
    received      INTEGER NOT NULL,
    inserted      INTEGER NOT NULL,
    updated       INTEGER NOT NULL,
    unchanged     INTEGER NOT NULL,
    skipped       INTEGER NOT NULL,
    rejected      INTEGER NOT NULL,
    out_of_window INTEGER NOT NULL,
    requests      INTEGER NOT NULL,
    retries       INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    waited_ms     INTEGER NOT NULL,
    error         TEXT,
    PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;

-- Errors of a run, waits that a source imposed, and remarks on what its answers said. Bounded as the fetches are.
CREATE TABLE _windrow_run_events (
    run_id    INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    number    INTEGER NOT NULL,
    at        TEXT NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('error', 'wait', 'remark')),
    source    TEXT,
    stream    TEXT,
    partition TEXT,
    window    TEXT,
    message   TEXT NOT NULL,
    help      TEXT,
    until     TEXT,
    exit_code INTEGER,
    PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;

-- The streams' tables: what they were made from.
CREATE TABLE _windrow_streams (
    stream       TEXT PRIMARY KEY,
    key          TEXT NOT NULL, -- JSON
    columns      TEXT NOT NULL, -- JSON
    inferred     INTEGER NOT NULL,
    start_at     TEXT,
    created_at   TEXT NOT NULL,
    -- Since when replaced versions of its rows are kept in `STREAM_history`, a plain table beside
    -- the stream's own; empty where since its first row, none where they are not kept.
    history_from TEXT,
    -- By which definition its rows are read; none where the last run that did anything to it tells.
    definition_id INTEGER REFERENCES _windrow_definitions (definition_id)
) STRICT, WITHOUT ROWID;

-- The ledger: how far each window has been read. A window that is not here is pending. Complete
-- windows of one stream and partition never overlap.
CREATE TABLE _windrow_ledger (
    stream            TEXT NOT NULL,
    partition         TEXT NOT NULL,
    start_at          TEXT NOT NULL,
    end_at            TEXT NOT NULL,
    state             TEXT NOT NULL
        CHECK (state IN ('partial', 'complete', 'settled', 'truncated', 'absent')),
    -- Where the range of the last complete fetch begins: before `start_at` where there is
    -- overlap.
    asked_from        TEXT,
    read_to           TEXT,
    requested_at      TEXT NOT NULL, -- as of when the fetch speaks
    -- whether that is the source's time, by its `Date`
    dated_by_source   INTEGER NOT NULL DEFAULT 0,
    completed_at      TEXT,
    -- when it was first complete up to its end: what comes after that is late
    first_complete_at TEXT,
    settled_at        TEXT, -- when it was first settled: after that nothing should come
    token             TEXT,
    cursor            TEXT,
    pages             INTEGER NOT NULL,
    received          INTEGER NOT NULL,
    inserted          INTEGER NOT NULL,
    updated           INTEGER NOT NULL,
    unchanged         INTEGER NOT NULL,
    skipped           INTEGER NOT NULL,
    rejected          INTEGER NOT NULL,
    out_of_window     INTEGER NOT NULL,
    distinct_keys     INTEGER,
    source_total      INTEGER,
    fetches           INTEGER NOT NULL,
    -- Records of the last complete fetch, and of the one before; none where it was not read in
    -- one piece from its first page on.
    last_records      INTEGER,
    previous_records  INTEGER,
    error             TEXT,
    run_id            INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
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
    pointer       TEXT, -- where in the record the fault lies
    record        TEXT NOT NULL,
    record_sha256 TEXT NOT NULL,
    ancestors     TEXT, -- JSON: what its columns take from above it, to read it without its page
    first_seen_at TEXT NOT NULL,
    run_id        INTEGER NOT NULL REFERENCES _windrow_runs (run_id), -- that saw it first
    last_run_id   INTEGER NOT NULL, -- that saw it last: it must not beat a row that is newer
    discarded_at  TEXT, -- when a person set it aside
    discarded_by  TEXT,
    discard_note  TEXT,
    -- when a complete fetch of its window no longer brought it
    closed_at     TEXT,
    UNIQUE (stream, partition, record_sha256, kind)
) STRICT;

CREATE INDEX _windrow_rejects_open ON _windrow_rejects (stream, last_run_id, reject_id)
    WHERE discarded_at IS NULL;

-- Sources that said "not before": no run asks them earlier.
CREATE TABLE _windrow_waits (
    source     TEXT PRIMARY KEY,
    not_before TEXT NOT NULL,
    reason     TEXT NOT NULL,
    set_at     TEXT NOT NULL -- when it was noted, so that one of a wrong clock is told apart
) STRICT, WITHOUT ROWID;

-- How far each source's clock is ahead of this machine's, as of its last answer.
CREATE TABLE _windrow_clocks (
    source  TEXT PRIMARY KEY,
    skew_ms INTEGER NOT NULL,
    seen_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Which fields a stream's records have had so far.
CREATE TABLE _windrow_fields (
    stream TEXT NOT NULL,
    field  TEXT NOT NULL,
    kinds  TEXT NOT NULL, -- of its values so far, null apart, such as `number|text`
    usage  TEXT NOT NULL CHECK (usage IN ('always', 'sometimes', 'gone')),
    PRIMARY KEY (stream, field)
) STRICT, WITHOUT ROWID;

-- Declared columns, and whether their place was found in any record so far; by place, since a
-- column may get another one.
CREATE TABLE _windrow_seen_columns (
    stream   TEXT NOT NULL,
    "column" TEXT NOT NULL,
    place    TEXT NOT NULL, -- such as `$.title.raw`
    found    INTEGER NOT NULL,
    records  INTEGER NOT NULL, -- that were looked through until it was found
    nearest  TEXT NOT NULL, -- the member with the nearest name; empty where none is near
    PRIMARY KEY (stream, "column", place)
) STRICT, WITHOUT ROWID;

-- Fields that appeared, vanished or changed their type, each once, in the transaction of the page
-- that showed it.
CREATE TABLE _windrow_schema_log (
    log_id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    change TEXT NOT NULL,
    field  TEXT NOT NULL,
    detail TEXT NOT NULL,
    at     TEXT NOT NULL,
    run_id INTEGER NOT NULL REFERENCES _windrow_runs (run_id)
) STRICT;

-- Bodies of answers, and the parent rows that were asked for, by their hash: each is kept once
-- however often it comes.
CREATE TABLE _windrow_raw_bodies (
    body_id INTEGER PRIMARY KEY,
    sha256  TEXT NOT NULL UNIQUE, -- of what is packed
    bytes   INTEGER NOT NULL, -- unpacked
    body    BLOB NOT NULL -- zstd
) STRICT;

-- What it takes to read a page again, in the order of their writing, so that a stream's tables can
-- be made again when its key, columns or types change, without asking anybody.
CREATE TABLE _windrow_raw_pages (
    page_id      INTEGER PRIMARY KEY,
    stream       TEXT NOT NULL,
    partition    TEXT NOT NULL,
    start_at     TEXT NOT NULL, -- the window, as in the ledger
    end_at       TEXT NOT NULL,
    asked_from   TEXT, -- the range that was asked for
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

-- Rows that a complete fetch of their window missed, by their key as SQL literals, so that
-- nothing is done before two fetches in a row have missed them, and all of it can be taken back.
-- `held` are rows that would have been marked or deleted, had they not been too many at once;
-- `kept` are those that a person brought back, which no fetch takes away again.
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


-- Rows that came from a file and not from the API (`src/adopt`). They are never coverage: the
-- ledger's word for them is "adopted, unverified", until a later run has completed a fetch of
-- their time. Whatever of the file did not become a row is kept, so that an adoption can be undone
-- and audited.

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
    kept   INTEGER, -- the place of the record that was kept
    reason TEXT NOT NULL CHECK (reason IN ('copy', 'duplicate', 'archived', 'undecided')),
    record TEXT NOT NULL,
    PRIMARY KEY (run_id, place)
) STRICT, WITHOUT ROWID;


-- Tables that were made again from the kept pages (`src/rebuild`).

-- Streams that were made again and are not confirmed yet: what their tables were. The tables
-- themselves lie beside them as `_windrow_before_STREAM` and `_windrow_before_STREAM_history`.
CREATE TABLE _windrow_rebuilds (
    stream       TEXT PRIMARY KEY,
    run_id       INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    key          TEXT NOT NULL,
    columns      TEXT NOT NULL,
    inferred     INTEGER NOT NULL,
    objects      TEXT NOT NULL, -- the analyst's own indexes and triggers, as JSON
    history_from TEXT,
    definition_id INTEGER REFERENCES _windrow_definitions (definition_id)
) STRICT, WITHOUT ROWID;


-- Writes that wait for the network and take effect once (`src/outbox`). What is sent is fixed
-- before the first attempt, bytes and key; each attempt is on the disk before its first byte is on
-- the wire.

-- Who queued an entry: this archive, as one person's state folder on one machine knows it. A copy
-- of the archive has the row and not the state. `sends` counts attempts; a state that has seen more
-- than the archive has shows that the archive is an older copy of itself.
CREATE TABLE _windrow_outbox_senders (
    sender  TEXT PRIMARY KEY,
    sends   INTEGER NOT NULL DEFAULT 0,
    made_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE _windrow_outbox (
    entry          INTEGER PRIMARY KEY,
    source         TEXT NOT NULL,
    key            TEXT NOT NULL,
    sent_key       TEXT NOT NULL, -- what the API is told; another one after a retry
    key_rule       TEXT, -- JSON: where the key goes; none where keys are not honoured
    method         TEXT NOT NULL CHECK (method IN ('POST', 'PUT', 'PATCH', 'DELETE')),
    base_url       TEXT NOT NULL, -- the source's, when it was queued
    path           TEXT NOT NULL,
    headers        TEXT NOT NULL CHECK (json_valid(headers)), -- JSON: [[name, value], ...]
    body           BLOB,
    templated      INTEGER NOT NULL CHECK (templated IN (0, 1)), -- waits for another's answer
    digest         TEXT NOT NULL, -- SHA-256 of the request as it was given
    lane           TEXT,
    after_entry    INTEGER REFERENCES _windrow_outbox (entry),
    not_before     TEXT,
    expires_at     TEXT,
    owner          TEXT NOT NULL, -- a sender, which need not be one of this archive
    created_at     TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN
        ('queued', 'sending', 'done', 'rejected', 'unknown', 'expired', 'cancelled')),
    -- it may have had its effect
    in_doubt       INTEGER NOT NULL DEFAULT 0 CHECK (in_doubt IN (0, 1)),
    attempts       INTEGER NOT NULL DEFAULT 0,
    first_sent_at  TEXT, -- from here the API's memory of the key is counted
    last_seen_at   TEXT, -- the latest time that an attempt has shown
    valid_until    TEXT,
    next_at        TEXT,
    finished_at    TEXT,
    status         INTEGER,
    answer_headers TEXT,
    answer         BLOB,
    note           TEXT,
    UNIQUE (source, key)
) STRICT;

CREATE INDEX _windrow_outbox_state ON _windrow_outbox (state, entry);
CREATE INDEX _windrow_outbox_after ON _windrow_outbox (after_entry) WHERE after_entry IS NOT NULL;
CREATE INDEX _windrow_outbox_key ON _windrow_outbox (key);

CREATE TABLE _windrow_outbox_attempts (
    entry      INTEGER NOT NULL REFERENCES _windrow_outbox (entry) ON DELETE CASCADE,
    attempt    INTEGER NOT NULL,
    sent_key   TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at   TEXT,
    status     INTEGER,
    error      TEXT,
    PRIMARY KEY (entry, attempt)
) STRICT, WITHOUT ROWID;


-- Which findings of `windrow check` an alert told of (`src/outbox`, by `src/check`). A row changes
-- in the transaction that queues what is told, so that each is told once, whoever looks at the same
-- time.
CREATE TABLE _windrow_alerts (
    alert      TEXT NOT NULL, -- the name of the alert in the definition
    finding    TEXT NOT NULL, -- the finding's identity
    check_name TEXT NOT NULL,
    stream     TEXT NOT NULL,
    severity   TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    expected   TEXT NOT NULL, -- as they were told: what is solved is no longer found
    found      TEXT NOT NULL,
    help       TEXT NOT NULL,
    episode    INTEGER NOT NULL, -- 1, and one more each time that it comes back
    opened_at  TEXT NOT NULL,
    solved_at  TEXT,
    change     INTEGER NOT NULL, -- counts up: a look that began before is too old to change it
    PRIMARY KEY (alert, finding)
) STRICT, WITHOUT ROWID;

CREATE INDEX _windrow_alerts_change ON _windrow_alerts (change);


-- Archives that go from one machine to another (`src/handoff`).

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
    handoff_id TEXT, -- none where an archive itself was taken in
    archive_id TEXT NOT NULL, -- of the copy
    at         TEXT NOT NULL,
    file       TEXT NOT NULL, -- its name, without the folder
    sha256     TEXT, -- of its manifest
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

-- Of a part of an archive, which is no archive to go on from: what the whole one's ledger proves,
-- in the columns of `_windrow_ledger`. It counts where everything is there that the part is based
-- on.
CREATE TABLE _windrow_part_ledger (
    stream            TEXT NOT NULL,
    partition         TEXT NOT NULL,
    start_at          TEXT NOT NULL,
    end_at            TEXT NOT NULL,
    state             TEXT NOT NULL
        CHECK (state IN ('partial', 'complete', 'settled', 'truncated', 'absent')),
    asked_from        TEXT,
    read_to           TEXT,
    requested_at      TEXT NOT NULL,
    dated_by_source   INTEGER NOT NULL DEFAULT 0,
    completed_at      TEXT,
    first_complete_at TEXT,
    settled_at        TEXT,
    token             TEXT,
    cursor            TEXT,
    pages             INTEGER NOT NULL,
    received          INTEGER NOT NULL,
    inserted          INTEGER NOT NULL,
    updated           INTEGER NOT NULL,
    unchanged         INTEGER NOT NULL,
    skipped           INTEGER NOT NULL,
    rejected          INTEGER NOT NULL,
    out_of_window     INTEGER NOT NULL,
    distinct_keys     INTEGER,
    source_total      INTEGER,
    fetches           INTEGER NOT NULL,
    last_records      INTEGER,
    previous_records  INTEGER,
    error             TEXT,
    run_id            INTEGER NOT NULL,
    PRIMARY KEY (stream, partition, start_at, end_at)
) STRICT, WITHOUT ROWID;

-- Streams of which not everything is here that a run wrote: parts of archives were taken in.
CREATE TABLE _windrow_missing_runs (
    stream TEXT NOT NULL,
    run_id INTEGER NOT NULL REFERENCES _windrow_runs (run_id),
    PRIMARY KEY (stream, run_id)
) STRICT, WITHOUT ROWID;


-- What a merge of two archives knows beside their rows (`src/merge`).

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

-- Rows that another archive has read later and found the same: a row is not written again for that,
-- and still the later fetch speaks for it between two archives.
CREATE TABLE _windrow_confirmed (
    stream  TEXT NOT NULL,
    key     TEXT NOT NULL, -- the key's values as SQL literals
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
