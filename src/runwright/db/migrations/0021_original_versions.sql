-- Retries that run the version of the original. Of a pinned job `worker_version` is what it runs; another one runs
-- the version that serves when it starts.
ALTER TABLE bulk_operations ADD COLUMN version text NOT NULL DEFAULT 'latest' CHECK (version IN ('latest', 'original'));
ALTER TABLE job_queue ADD COLUMN pinned boolean NOT NULL DEFAULT false;
