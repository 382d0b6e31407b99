-- Why a recording ends before the conversation does: the disk was full, for example.
ALTER TABLE recordings ADD COLUMN fault TEXT;
