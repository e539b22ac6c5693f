-- What the user who deployed a version wrote about it, and who that was where it is not `created_by`.
ALTER TABLE worker_versions ADD COLUMN message text, ADD COLUMN author text;
