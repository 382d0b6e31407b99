-- Messages that somebody has heard.
CREATE TABLE heard (
    recording_id TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) WITHOUT ROWID;
