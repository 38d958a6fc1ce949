-- What `windrow check` needs to tell a window that grows from one that was read late: how many
-- records came at the last two fetches, from where on they were asked for, when the window was
-- first read up to its end, after which whatever comes is late, and when it was first settled,
-- after which nothing should.

PRAGMA user_version = 3;

-- Where the range of the last complete fetch begins: before `start_at` where there is overlap.
ALTER TABLE _windrow_ledger ADD COLUMN asked_from TEXT;
-- Records of the last complete fetch, and of the one before; NULL where it was not read in one
-- piece from its first page on.
ALTER TABLE _windrow_ledger ADD COLUMN last_records INTEGER;
ALTER TABLE _windrow_ledger ADD COLUMN previous_records INTEGER;
-- When the window was first complete up to its end.
ALTER TABLE _windrow_ledger ADD COLUMN first_complete_at TEXT;
-- When it was first settled.
ALTER TABLE _windrow_ledger ADD COLUMN settled_at TEXT;

-- How far each source's clock is ahead of this machine's, as of its last answer.
CREATE TABLE _windrow_clocks (
    source  TEXT PRIMARY KEY,
    skew_ms INTEGER NOT NULL,
    seen_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

UPDATE _windrow_meta SET value = '3' WHERE name = 'format';
