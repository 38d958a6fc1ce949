-- Alerts: which findings of `windrow check` somebody was told of. A row changes in the transaction
-- that queues what is told, so that each is told once, whoever looks at the same time.

PRAGMA user_version = 10;

CREATE TABLE _windrow_alerts (
    alert      TEXT NOT NULL,    -- the name of the alert in the definition
    finding    TEXT NOT NULL,    -- the finding's identity
    check_name TEXT NOT NULL,
    stream     TEXT NOT NULL,
    severity   TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    expected   TEXT NOT NULL,    -- as they were told: what is solved is no longer found
    found      TEXT NOT NULL,
    help       TEXT NOT NULL,
    episode    INTEGER NOT NULL, -- 1, and one more each time that it comes back
    opened_at  TEXT NOT NULL,
    solved_at  TEXT,
    change     INTEGER NOT NULL, -- counts up: a look that began before is too old to change it
    PRIMARY KEY (alert, finding)
) STRICT, WITHOUT ROWID;

CREATE INDEX _windrow_alerts_change ON _windrow_alerts (change);

UPDATE _windrow_meta SET value = '10' WHERE name = 'format';
