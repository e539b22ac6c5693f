-- Where an entry stands in the chain of the audit log, and the hash of it and of all entries before. Null until it
-- is added, within seconds, also where a server of an earlier release wrote it.
ALTER TABLE audit_log ADD COLUMN position bigint, ADD COLUMN hash bytea;
CREATE UNIQUE INDEX audit_log_by_position ON audit_log (position) WHERE position IS NOT NULL;
CREATE INDEX audit_log_unchained ON audit_log (id) WHERE position IS NULL;

-- The chain: its last entry, and the last of those that retention has deleted. One row, made with the first entry.
CREATE TABLE audit_chain (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT '',
    deleted_position bigint NOT NULL DEFAULT 0,
    deleted_hash bytea NOT NULL DEFAULT ''
);
