-- Whether a version's code is imported in a sandbox before it becomes ready: 'only' if that is all there is to
-- do, 'installed' if dependencies are installed first; null if not.
ALTER TABLE worker_versions ADD COLUMN import_check text
    CONSTRAINT worker_versions_import_check_check CHECK (import_check IN ('only', 'installed'));
