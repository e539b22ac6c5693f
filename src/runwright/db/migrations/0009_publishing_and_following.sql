-- Events that callers publish, where events come from, and who waits for a job's end.

-- Which agents and automations led to the event, the first cause first; null: none did.
-- A project and a kind of task that a published event is about, for those who want no others.
ALTER TABLE events
    ADD COLUMN ancestry  text[],
    ADD COLUMN project   text,
    ADD COLUMN task_type text;

-- Idempotency keys of published events.
CREATE TABLE event_keys (
    tenant_id  text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    digest     bytea NOT NULL,
    -- null only within the transaction that takes the key
    position   bigint,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX event_keys_by_age ON event_keys (created_at);

-- The ancestry of jobs that an agent or an automation caused; the events of such a job inherit it.
CREATE TABLE job_ancestry (
    job_id text COLLATE "C" PRIMARY KEY,
    path   text[] NOT NULL
);

-- Who is told of a job's end, once; written in the transaction that submits the job, and deleted in
-- the one that acts on its end.
CREATE TABLE followed_jobs (
    job_id     text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    -- not before this time: acting on it failed
    due_at     timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (job_id, kind, subject_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
