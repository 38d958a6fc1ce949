-- Whose time a fetch is dated by. A source says in its `Date` header when it answered; a fetch
-- that is dated by it stays good when the laptop's own clock turns out to be wrong, and a wait
-- that was noted by a wrong clock can be told from one that lies ahead.

PRAGMA user_version = 2;

ALTER TABLE _windrow_ledger ADD COLUMN dated_by_source INTEGER NOT NULL DEFAULT 0;

ALTER TABLE _windrow_waits ADD COLUMN set_at TEXT;

UPDATE _windrow_meta SET value = '2' WHERE name = 'format';
