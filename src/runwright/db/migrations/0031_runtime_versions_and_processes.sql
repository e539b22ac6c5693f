-- The release line of its runtime that a version was written for, such as 3.12, and that of the version that
-- serves; null for the one that the host prefers. A server of an earlier release runs them all on that.
ALTER TABLE workers ADD COLUMN runtime_version text;
ALTER TABLE worker_versions ADD COLUMN runtime_version text;

-- How many processes and threads a sandbox of a worker may have.
ALTER TABLE workers ADD COLUMN max_processes integer NOT NULL DEFAULT 128;
