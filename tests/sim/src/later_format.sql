-- A format after today's, which only tests know: what a migration may do to an archive, so that
-- bringing one to it can be refused, cut off and looked at. A table is made and filled, one gets a
-- column that every row of it says something in, an index is made.

PRAGMA user_version = 2;

CREATE TABLE _windrow_later (
    stream  TEXT PRIMARY KEY,
    windows INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO _windrow_later (stream, windows)
    SELECT stream, count(*) FROM _windrow_ledger GROUP BY stream;

ALTER TABLE _windrow_ledger ADD COLUMN later TEXT;

UPDATE _windrow_ledger SET later = requested_at;

CREATE INDEX _windrow_later_ledger ON _windrow_ledger (stream, later);

UPDATE _windrow_meta SET value = '2' WHERE name = 'format';
