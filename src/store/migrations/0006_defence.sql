-- Banned sources, so that a restart does not let them in again.
CREATE TABLE bans (
    address   TEXT PRIMARY KEY NOT NULL,
    tenant    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    failures  INTEGER NOT NULL,
    users     INTEGER NOT NULL,
    banned_at INTEGER NOT NULL,
    until     INTEGER NOT NULL
) WITHOUT ROWID;

-- How long each operator has talked to the outside on a local day.
CREATE TABLE outbound_days (
    operator  TEXT NOT NULL,
    day       TEXT NOT NULL,
    tenant    TEXT NOT NULL,
    talked_ms INTEGER NOT NULL,
    PRIMARY KEY (operator, day)
) WITHOUT ROWID;
