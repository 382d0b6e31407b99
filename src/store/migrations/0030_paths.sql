-- The proxies between us and a registered phone (RFC 3327), as a JSON array.
ALTER TABLE bindings ADD COLUMN path TEXT NOT NULL DEFAULT '[]';
