-- Writes that wait for the network and take effect once. What is sent is fixed before the first
-- attempt, bytes and key; each attempt is on the disk before its first byte is on the wire.

PRAGMA user_version = 9;

-- Who queued an entry: this archive, as one person's state folder on one machine knows it. A copy
-- of the archive has the row and not the state. `sends` counts attempts; a state that has seen more
-- than the archive has shows that the archive is an older copy of itself.
CREATE TABLE _windrow_outbox_senders (
    sender TEXT PRIMARY KEY,
    sends   INTEGER NOT NULL DEFAULT 0,
    made_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE _windrow_outbox (
    entry         INTEGER PRIMARY KEY,
    source        TEXT NOT NULL,
    key           TEXT NOT NULL,
    sent_key      TEXT NOT NULL,    -- what the API is told; another one after a retry
    key_rule      TEXT,             -- JSON: where the key goes; none where keys are not honoured
    method        TEXT NOT NULL CHECK (method IN ('POST', 'PUT', 'PATCH', 'DELETE')),
    base_url      TEXT NOT NULL,    -- the source's, when it was queued
    path          TEXT NOT NULL,
    headers       TEXT NOT NULL CHECK (json_valid(headers)), -- JSON: [[name, value], ...]
    body          BLOB,
    templated     INTEGER NOT NULL CHECK (templated IN (0, 1)), -- waits for another's answer
    digest        TEXT NOT NULL,    -- SHA-256 of the request as it was given
    lane          TEXT,
    after_entry   INTEGER REFERENCES _windrow_outbox (entry),
    not_before    TEXT,
    expires_at    TEXT,
    owner         TEXT NOT NULL,    -- a sender, which need not be one of this archive
    created_at    TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN
        ('queued', 'sending', 'done', 'rejected', 'unknown', 'expired', 'cancelled')),
    in_doubt      INTEGER NOT NULL DEFAULT 0 CHECK (in_doubt IN (0, 1)), -- it may have had its effect
    attempts      INTEGER NOT NULL DEFAULT 0,
    first_sent_at TEXT,             -- from here the API's memory of the key is counted
    last_seen_at  TEXT,             -- the latest time that an attempt has shown
    valid_until   TEXT,
    next_at       TEXT,
    finished_at   TEXT,
    status        INTEGER,
    answer_headers TEXT,
    answer        BLOB,
    note          TEXT,
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

UPDATE _windrow_meta SET value = '9' WHERE name = 'format';
