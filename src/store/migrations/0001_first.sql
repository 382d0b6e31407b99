-- Times are microseconds since 1970-01-01T00:00:00Z, ids are UUIDs as text, durations milliseconds.

CREATE TABLE calls (
    call_id       TEXT PRIMARY KEY NOT NULL,
    tenant        TEXT NOT NULL,
    direction     TEXT NOT NULL,
    caller        TEXT,
    number        TEXT,
    party         TEXT,
    landing_page  TEXT,
    trunk         TEXT,
    arrived_at    INTEGER NOT NULL,
    connected_at  INTEGER,
    answered_at   INTEGER,
    ended_at      INTEGER,
    result        TEXT,
    cause         TEXT,
    flags         TEXT NOT NULL,
    wait_total_ms INTEGER,
    wait_hunt_ms  INTEGER,
    talk_ms       INTEGER,
    operator      TEXT,
    hunt          TEXT,
    path          TEXT NOT NULL,
    recording_id  TEXT,
    voicemail_id  TEXT,
    ended_by      TEXT,
    sip_code      INTEGER,
    plan_version  INTEGER NOT NULL,
    sequence      INTEGER NOT NULL,
    repeat_of     TEXT
);

-- `result` at the end of an index lets both be asked for without reading the rows between.
CREATE INDEX calls_by_time ON calls (tenant, arrived_at, call_id);
CREATE INDEX calls_by_party ON calls (tenant, party, arrived_at, call_id) WHERE party IS NOT NULL;
CREATE INDEX calls_by_caller ON calls (tenant, caller, arrived_at, call_id) WHERE caller IS NOT NULL;
CREATE INDEX calls_by_number ON calls (tenant, number, arrived_at, call_id, result) WHERE number IS NOT NULL;
CREATE INDEX calls_by_landing_page ON calls (tenant, landing_page, arrived_at, call_id, result) WHERE landing_page IS NOT NULL;
CREATE INDEX calls_by_result ON calls (tenant, result, arrived_at, call_id) WHERE result IS NOT NULL;
CREATE INDEX calls_by_direction ON calls (tenant, direction, arrived_at, call_id);
CREATE INDEX calls_open ON calls (call_id) WHERE ended_at IS NULL;

CREATE TABLE legs (
    call_id      TEXT NOT NULL,
    leg_id       TEXT NOT NULL,
    kind         TEXT NOT NULL,
    operator     TEXT,
    trunk        TEXT,
    rung_at      INTEGER,
    connected_at INTEGER,
    accepted_at  INTEGER,
    ended_at     INTEGER,
    outcome      TEXT,
    sip_code     INTEGER,
    sip_call_id  TEXT,
    PRIMARY KEY (call_id, leg_id)
) WITHOUT ROWID;

-- One row a call; `lines` is a JSON array of {"at_ms", "text"}.
CREATE TABLE traces (
    call_id TEXT PRIMARY KEY NOT NULL,
    lines   TEXT NOT NULL
) WITHOUT ROWID;

-- One row a missed call. `latest` marks the newest open one of its caller: the item of the list. A withheld caller's are all items.
CREATE TABLE missed (
    call_id      TEXT PRIMARY KEY NOT NULL,
    tenant       TEXT NOT NULL,
    caller       TEXT,
    missed_at    INTEGER NOT NULL,
    latest       INTEGER NOT NULL,
    recovered_at INTEGER,
    recovered_by TEXT
) WITHOUT ROWID;

CREATE INDEX missed_items ON missed (tenant, missed_at, call_id) WHERE recovered_at IS NULL AND latest = 1;
CREATE INDEX missed_by_caller ON missed (tenant, caller, missed_at, call_id) WHERE recovered_at IS NULL;

CREATE TABLE recordings (
    recording_id  TEXT PRIMARY KEY NOT NULL,
    tenant        TEXT NOT NULL,
    call_id       TEXT NOT NULL,
    voicemail_id  TEXT,
    voicemail_box TEXT,
    path          TEXT NOT NULL,
    started_at    INTEGER NOT NULL,
    duration_ms   INTEGER,
    bytes         INTEGER,
    sha256        TEXT
) WITHOUT ROWID;

CREATE INDEX recordings_by_call ON recordings (call_id, started_at);
CREATE INDEX recordings_by_message ON recordings (voicemail_id) WHERE voicemail_id IS NOT NULL;
CREATE INDEX recordings_open ON recordings (recording_id) WHERE duration_ms IS NULL;

CREATE TABLE bindings (
    operator   TEXT NOT NULL,
    contact    TEXT NOT NULL,
    transport  TEXT NOT NULL,
    local      TEXT NOT NULL,
    remote     TEXT NOT NULL,
    call_id    TEXT NOT NULL,
    cseq       INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    user_agent TEXT,
    granted_ms INTEGER NOT NULL,
    PRIMARY KEY (operator, contact)
) WITHOUT ROWID;

CREATE TABLE operator_states (
    tenant   TEXT NOT NULL,
    operator TEXT NOT NULL,
    state    TEXT NOT NULL,
    at       INTEGER NOT NULL
);
CREATE INDEX operator_states_by_time ON operator_states (tenant, operator, at);

CREATE TABLE trunk_states (
    tenant TEXT NOT NULL,
    trunk  TEXT NOT NULL,
    state  TEXT NOT NULL,
    reason TEXT,
    at     INTEGER NOT NULL
);
CREATE INDEX trunk_states_by_time ON trunk_states (tenant, trunk, at);

-- The outbox. `body` is the CloudEvents JSON exactly as it is posted.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    tenant   TEXT NOT NULL,
    type     TEXT NOT NULL,
    time     INTEGER NOT NULL,
    call_id  TEXT,
    body     TEXT NOT NULL
);
CREATE INDEX events_by_time ON events (time);

CREATE TABLE deliveries (
    webhook     TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    state       TEXT NOT NULL,
    status      INTEGER,
    error       TEXT,
    finished_at INTEGER,
    PRIMARY KEY (webhook, event_id)
) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (webhook, due_at, event_id) WHERE state = 'pending';
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE endpoints (
    webhook  TEXT PRIMARY KEY NOT NULL,
    url      TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    failures INTEGER NOT NULL
) WITHOUT ROWID;

-- Single values: alive_at, plan_version, and where the journal stands (position_run, position_number).
CREATE TABLE facts (
    name  TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) WITHOUT ROWID;
