-- Automations: prompts for agents, fired by the clock, an event or a signed webhook.
--
-- A run is one firing. What it does is kept with it (plan), so that no change of its automation touches
-- it; where it stands while it lives is run_queue, which is narrow and holds live runs only.

CREATE TABLE automations (
    id            text COLLATE "C" PRIMARY KEY,
    tenant_id     text COLLATE "C" NOT NULL,
    -- job: fired by its schedule, which has the same id; trigger: fired by an event
    kind          text NOT NULL CHECK (kind IN ('job', 'trigger')),
    scope         text NOT NULL CHECK (scope IN ('global', 'workspace')),
    -- empty for the global scope
    workspace_id  text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    agent_name    text NOT NULL,
    prompt        text NOT NULL,
    enabled       boolean NOT NULL,
    limit_max     integer NOT NULL,
    -- as it was written, and what it means
    limit_window  text NOT NULL,
    limit_span    interval NOT NULL,
    source        text NOT NULL CHECK (source IN ('config', 'package', 'dynamic')),
    -- what the file says; where enabled differs from it, somebody wanted that
    configured_enabled boolean,
    event         text COLLATE "C" NOT NULL,
    webhook_id    text COLLATE "C" NOT NULL,
    endpoint_slug text COLLATE "C" NOT NULL,
    details       json NOT NULL,
    -- how many runs have counted towards the fire limit so far
    fires         bigint NOT NULL DEFAULT 0,
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    UNIQUE (tenant_id, kind, workspace_id, name)
) WITH (fillfactor = 70);
CREATE INDEX automations_by_name ON automations (tenant_id, kind, name, id);
CREATE UNIQUE INDEX automations_by_webhook_id ON automations (webhook_id) WHERE webhook_id <> '';

-- What was wanted of a file's definition, also while the file does not have it.
CREATE TABLE automation_overlays (
    automation_id text COLLATE "C" PRIMARY KEY,
    enabled       boolean NOT NULL,
    updated_at    timestamptz NOT NULL
);

-- Sealed by the vault's keys. The one without an end is the newest; others are good until theirs.
CREATE TABLE automation_secrets (
    automation_id text COLLATE "C" NOT NULL REFERENCES automations (id) ON DELETE CASCADE,
    number        integer NOT NULL,
    key_id        text COLLATE "C" NOT NULL,
    sealed        bytea NOT NULL,
    expires_at    timestamptz,
    PRIMARY KEY (automation_id, number)
);
CREATE INDEX automation_secrets_by_key ON automation_secrets (key_id, automation_id, number);

CREATE TABLE automation_runs (
    id            text COLLATE "C" PRIMARY KEY,
    tenant_id     text COLLATE "C" NOT NULL,
    automation_id text COLLATE "C" NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('job', 'trigger')),
    status        text NOT NULL
                  CHECK (status IN ('scheduled', 'running', 'delegated', 'completed', 'failed', 'cancelled')),
    attempt       integer NOT NULL DEFAULT 1,
    -- counts the runs of an automation that its fire limit counts; null: it does not count this one
    number        bigint,
    fire_id       text,
    scheduled_at  timestamptz,
    started_at    timestamptz NOT NULL,
    -- of the attempt that is under way, or that was the last
    attempt_at    timestamptz,
    ended_at      timestamptz,
    session_id    text COLLATE "C",
    task_id       text,
    task_run_id   text,
    error         text,
    delivery_error text,
    delivery_error_at timestamptz,
    warnings      text[],
    -- what fired it: manual, scheduled, event or webhook
    cause         text NOT NULL,
    plan          json NOT NULL,
    activation    json,
    -- the agents and automations that led to it, the first cause first
    ancestry      text[],
    cancel_requested_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX automation_runs_by_tenant ON automation_runs (tenant_id, started_at DESC, id DESC);
CREATE INDEX automation_runs_by_automation ON automation_runs (automation_id, started_at DESC, id DESC);
CREATE INDEX automation_runs_counted ON automation_runs (automation_id, started_at) WHERE number IS NOT NULL;
CREATE INDEX automation_runs_uncounted ON automation_runs (automation_id, started_at)
    WHERE number IS NOT NULL AND status = 'cancelled';
CREATE INDEX automation_runs_by_age ON automation_runs (ended_at) WHERE ended_at IS NOT NULL;

-- Attempts that another one followed; the last attempt of a run is the run itself.
CREATE TABLE automation_run_attempts (
    run_id     text COLLATE "C" NOT NULL REFERENCES automation_runs (id) ON DELETE CASCADE,
    attempt    integer NOT NULL,
    status     text NOT NULL,
    session_id text,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    error      text,
    PRIMARY KEY (run_id, attempt)
);

-- Runs that have not ended. due: not before due_at; running: with its agent, which is session_id.
CREATE TABLE run_queue (
    run_id     text COLLATE "C" PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    state      text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'running')),
    due_at     timestamptz NOT NULL
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX run_queue_due ON run_queue (tenant_id, due_at, run_id) WHERE state = 'due';
CREATE INDEX run_queue_running ON run_queue (tenant_id) WHERE state = 'running';

CREATE TABLE automation_tasks (
    id            text COLLATE "C" PRIMARY KEY,
    tenant_id     text COLLATE "C" NOT NULL,
    run_id        text COLLATE "C" NOT NULL UNIQUE,
    task_run_id   text NOT NULL,
    automation_id text COLLATE "C" NOT NULL,
    scope         text NOT NULL,
    workspace_id  text COLLATE "C" NOT NULL,
    spec          json NOT NULL,
    status        text NOT NULL CHECK (status IN ('open', 'in_progress', 'done', 'cancelled')),
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
CREATE INDEX automation_tasks_by_tenant ON automation_tasks (tenant_id, created_at DESC, id DESC);
