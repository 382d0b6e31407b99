-- How each leg sounded. A table of its own, because it is known only after the leg's row was written for the last time, or a
-- moment before. `mos` and the losses (percentages) are hundredths.
CREATE TABLE leg_quality (
    call_id     TEXT NOT NULL,
    leg_id      TEXT NOT NULL,
    mos         INTEGER,
    loss        INTEGER NOT NULL,
    loss_out    INTEGER,
    jitter_ms   INTEGER NOT NULL,
    rtt_ms      INTEGER,
    packets_in  INTEGER NOT NULL,
    packets_out INTEGER NOT NULL,
    srtp        TEXT,
    PRIMARY KEY (call_id, leg_id)
) WITHOUT ROWID;
