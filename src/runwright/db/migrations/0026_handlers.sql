-- What a job reports and asks for while it runs: progress, state of its worker, jobs that it starts.

-- How far a job is, as its attempt reported last. Only jobs that report have a row.
CREATE TABLE job_progress (
    tenant_id  text COLLATE "C" NOT NULL,
    job_id     text COLLATE "C" NOT NULL,
    attempt    smallint NOT NULL,
    fraction   double precision,
    message    text,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, job_id)
) WITH (fillfactor = 70);

-- Values that the jobs of a worker keep for the next ones; job_id wrote the value.
CREATE TABLE worker_state (
    tenant_id  text COLLATE "C" NOT NULL,
    worker_id  text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    value      json NOT NULL,
    bytes      integer NOT NULL,
    job_id     text COLLATE "C" NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, worker_id, key)
) WITH (fillfactor = 70);

-- The job that started this one.
ALTER TABLE jobs ADD COLUMN parent_job_id text COLLATE "C";
CREATE INDEX jobs_by_parent ON jobs (tenant_id, parent_job_id, id) WHERE parent_job_id IS NOT NULL;

-- How many jobs a job has started, and those have started, and so on; one row for the first job of each tree.
CREATE TABLE job_trees (
    tenant_id   text COLLATE "C" NOT NULL,
    root_job_id text COLLATE "C" NOT NULL,
    started     integer NOT NULL,
    PRIMARY KEY (tenant_id, root_job_id)
) WITH (fillfactor = 70);
