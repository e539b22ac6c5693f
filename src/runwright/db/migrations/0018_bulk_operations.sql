-- Bulk operations on jobs. `next_id`: the jobs with smaller ids are still to be visited, the newest first. It moves in
-- the transaction that acts on the jobs it passes, so that an interrupted operation continues where it was.
CREATE TABLE bulk_operations (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    action text NOT NULL CHECK (action IN ('cancel', 'retry')),
    selection json NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'completed', 'cancelled')),
    matched integer NOT NULL,
    done integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    error text,
    next_id text COLLATE "C" NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    completed_at timestamptz
);
CREATE INDEX bulk_operations_by_tenant ON bulk_operations (tenant_id, id);
CREATE INDEX bulk_operations_running ON bulk_operations (due_at) WHERE status = 'running';

-- The latest retry of each job that was retried. The key is what keeps a bulk retry from retrying a job twice.
CREATE TABLE job_retries (
    tenant_id text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    retried_as text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, job_id)
);
