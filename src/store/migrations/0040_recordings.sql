-- Who is heard when and when nothing was stored, as JSON arrays; whether a copy in Opus is to replace the WAV file.
ALTER TABLE recordings ADD COLUMN rate_hz INTEGER NOT NULL DEFAULT 8000;
ALTER TABLE recordings ADD COLUMN segments TEXT NOT NULL DEFAULT '[]';
ALTER TABLE recordings ADD COLUMN pauses TEXT NOT NULL DEFAULT '[]';
ALTER TABLE recordings ADD COLUMN copy_due INTEGER NOT NULL DEFAULT 0;
CREATE INDEX recordings_to_copy ON recordings (recording_id) WHERE copy_due = 1;
