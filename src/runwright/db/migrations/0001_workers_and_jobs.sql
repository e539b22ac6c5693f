-- Workers, jobs and what became of them.
--
-- A job is written three times and never updated in its history:
--   jobs         what was asked for; inserted once, never changed
--   job_queue    where it stands while it lives; narrow, and holds live jobs only
--   job_results  how it ended; inserted once, in the transaction that removes it from job_queue
-- So the claimable set stays small and clean, and history has no dead rows to vacuum.
-- Ids compare byte-wise (collation "C"), hence in order of creation.

CREATE TABLE workers (
    id              text COLLATE "C" PRIMARY KEY,
    tenant_id       text COLLATE "C" NOT NULL,
    name            text NOT NULL,
    runtime         text NOT NULL,
    description     text,
    status          text NOT NULL CHECK (status IN ('active', 'paused', 'deprecated')),
    version         integer NOT NULL,
    -- counts every change of the row; executors cache definitions by (id, revision)
    revision        integer NOT NULL,
    entrypoint      text NOT NULL,
    config          json NOT NULL,
    secrets         text[] NOT NULL,
    timeout_seconds integer NOT NULL,
    max_retries     integer NOT NULL,
    max_concurrency integer,
    memory_mb       integer NOT NULL,
    network         json NOT NULL,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX workers_by_tenant ON workers (tenant_id, id);

CREATE TABLE worker_versions (
    worker_id   text COLLATE "C" NOT NULL REFERENCES workers (id),
    version     integer NOT NULL,
    entrypoint  text NOT NULL,
    source_code text,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (worker_id, version)
);

CREATE TABLE jobs (
    tenant_id      text COLLATE "C" NOT NULL,
    id             text COLLATE "C" NOT NULL,
    worker_id      text COLLATE "C" NOT NULL,
    trigger        text NOT NULL,
    priority       smallint NOT NULL,
    input          json NOT NULL,
    triggered_by   text NOT NULL,
    scheduled_at   timestamptz,
    retry_of       text COLLATE "C",
    max_retries    smallint NOT NULL,
    worker_version integer NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX jobs_by_worker ON jobs (tenant_id, worker_id, id);
CREATE INDEX jobs_by_trigger ON jobs (tenant_id, trigger, id) WHERE trigger <> 'manual';

CREATE TABLE job_queue (
    tenant_id           text COLLATE "C" NOT NULL,
    job_id              text COLLATE "C" NOT NULL,
    worker_id           text COLLATE "C" NOT NULL,
    -- waiting: not before run_at; ready: may be claimed; running: claimed by executor_id
    state               text NOT NULL DEFAULT 'ready' CHECK (state IN ('waiting', 'ready', 'running')),
    priority            smallint NOT NULL,
    run_at              timestamptz NOT NULL,
    -- place in line: when it became ready plus its priority's handicap, so low priority ages
    rank                timestamptz NOT NULL,
    attempt             smallint NOT NULL DEFAULT 1,
    retries_left        smallint NOT NULL,
    -- goes up with every claim; with job_id it is the fencing token
    fence               integer NOT NULL DEFAULT 0,
    -- somebody waits for the end in another process: announce it
    wanted              boolean NOT NULL DEFAULT false,
    executor_id         text COLLATE "C",
    worker_version      integer NOT NULL,
    -- which of its worker's max_concurrency places a running job holds
    slot                integer,
    started_at          timestamptz,
    cancel_requested_at timestamptz,
    PRIMARY KEY (tenant_id, job_id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX job_queue_ready ON job_queue (tenant_id, worker_id, rank, job_id) WHERE state = 'ready';
CREATE INDEX job_queue_waiting ON job_queue (run_at) WHERE state = 'waiting';
CREATE INDEX job_queue_waiting_by_worker ON job_queue (tenant_id, worker_id) WHERE state = 'waiting';
CREATE INDEX job_queue_running ON job_queue (worker_id, executor_id) WHERE state = 'running';
-- max_concurrency is this index: two executors cannot hand out one slot twice, whatever they saw
CREATE UNIQUE INDEX job_queue_slots ON job_queue (worker_id, slot) WHERE slot IS NOT NULL;
CREATE INDEX job_queue_cancelling ON job_queue (executor_id) WHERE cancel_requested_at IS NOT NULL;

CREATE TABLE job_results (
    tenant_id      text COLLATE "C" NOT NULL,
    job_id         text COLLATE "C" PRIMARY KEY,
    worker_id      text COLLATE "C" NOT NULL,
    status         text NOT NULL CHECK (status IN ('completed', 'failed', 'cancelled')),
    attempt        smallint NOT NULL,
    executor_id    text COLLATE "C",
    worker_version integer NOT NULL,
    started_at     timestamptz,
    completed_at   timestamptz NOT NULL,
    duration_ms    integer,
    output         json,
    error          json,
    cancel_requested_at timestamptz
);
CREATE INDEX job_results_by_status ON job_results (tenant_id, status, job_id);
-- with the tenant, so that lists and counts need the index alone
CREATE INDEX job_results_by_worker ON job_results (tenant_id, worker_id, status, job_id);

-- Attempts that another one followed; the last attempt of a job is its result itself.
CREATE TABLE job_attempts (
    job_id         text COLLATE "C" NOT NULL,
    attempt        smallint NOT NULL,
    fence          integer NOT NULL,
    executor_id    text COLLATE "C",
    worker_version integer NOT NULL,
    started_at     timestamptz,
    ended_at       timestamptz NOT NULL,
    error          json NOT NULL,
    PRIMARY KEY (job_id, attempt, fence)
);

-- Log lines in chunks as they were flushed: lines is a JSON array of [ts, level, msg].
-- A line's seq is fence * 1,000,000 + its number in the attempt, so it grows over all attempts.
CREATE TABLE job_log_chunks (
    job_id    text COLLATE "C" NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    attempt   smallint NOT NULL,
    lines     json NOT NULL,
    PRIMARY KEY (job_id, first_seq)
);

-- The tenant's log of facts, each appended in the transaction that makes it true.
CREATE TABLE events (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    type       text NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE idempotency_keys (
    tenant_id   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    body_digest bytea NOT NULL,
    job_ids     text[] NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Processes that run jobs. The lease is the executor's: one row to renew, however many jobs it runs.
CREATE TABLE executors (
    id               text COLLATE "C" PRIMARY KEY,
    host             text NOT NULL,
    pid              integer NOT NULL,
    slots            integer NOT NULL,
    isolation        text NOT NULL,
    runtimes         text[] NOT NULL,
    started_at       timestamptz NOT NULL,
    lease_expires_at timestamptz NOT NULL,
    draining         boolean NOT NULL DEFAULT false
);
