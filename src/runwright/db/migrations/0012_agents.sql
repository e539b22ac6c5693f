-- Agents, the events that were handed to them, and what they decided.

CREATE TABLE agents (
    id                 text COLLATE "C" PRIMARY KEY,
    tenant_id          text COLLATE "C" NOT NULL,
    name               text COLLATE "C" NOT NULL,
    description        text NOT NULL,
    -- in whose words its callbacks and its worker are told
    style              text NOT NULL,
    -- as the dialect names them
    events             text[] NOT NULL,
    -- what they mean to the core; in subscriptions while the agent is active
    patterns           text[] NOT NULL,
    callback_url       text,
    worker_id          text COLLATE "C" REFERENCES workers (id),
    active             boolean NOT NULL,
    -- why it is not, where we decided that
    inactive_reason    text,
    -- null: all projects
    project            text,
    -- empty: all
    task_types         text[] NOT NULL,
    -- a poller that asks for pending executions holds them for so long
    poll_lease_seconds integer,
    created_by         text NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    UNIQUE (tenant_id, name),
    CHECK (callback_url IS NULL OR worker_id IS NULL)
) WITH (fillfactor = 80);
CREATE INDEX agents_by_tenant ON agents (tenant_id, id);

-- Sealed by the vault's keys; signs callbacks.
CREATE TABLE agent_secrets (
    agent_id text COLLATE "C" PRIMARY KEY REFERENCES agents (id) ON DELETE CASCADE,
    key_id   text COLLATE "C" NOT NULL,
    sealed   bytea NOT NULL
);
CREATE INDEX agent_secrets_by_key ON agent_secrets (key_id, agent_id);

-- One event for one agent.
CREATE TABLE executions (
    id           text COLLATE "C" PRIMARY KEY,
    tenant_id    text COLLATE "C" NOT NULL,
    agent_id     text COLLATE "C" NOT NULL,
    position     bigint NOT NULL,
    event_type   text NOT NULL,
    status       text NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'timed_out')),
    action       text CHECK (action IN ('approve', 'reject', 'flag', 'skip')),
    -- what the agent said
    response     json,
    -- who said it
    decided_by   text,
    error        text,
    -- while it is open: when it times out
    expires_at   timestamptz,
    -- while a poller holds it: until when
    leased_until timestamptz,
    -- what a person made of a flag: action, reason, by, at
    review       json,
    started_at   timestamptz,
    completed_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    -- exactly one per event and agent, whatever crashes
    UNIQUE (position, agent_id),
    CHECK ((action IS NOT NULL) = (status = 'completed')),
    CHECK ((expires_at IS NOT NULL) = (status IN ('pending', 'running')))
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX executions_by_agent ON executions (agent_id, status, id);
CREATE INDEX executions_by_tenant ON executions (tenant_id, status, id);
CREATE INDEX executions_by_action ON executions (tenant_id, action, id) WHERE action IS NOT NULL;
CREATE INDEX executions_expiring ON executions (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX executions_leased ON executions (leased_until) WHERE leased_until IS NOT NULL;

-- Executions that are to be told to a callback or a worker; narrow and clean like delivery_queue.
CREATE TABLE agent_calls (
    execution_id text COLLATE "C" PRIMARY KEY,
    agent_id     text COLLATE "C" NOT NULL,
    -- not before this time; while it is being told, the end of the teller's lease
    due_at       timestamptz NOT NULL,
    -- how many tries have failed
    step         smallint NOT NULL DEFAULT 0,
    calling      boolean NOT NULL DEFAULT false,
    -- goes up with every claim; with execution_id it is the fencing token
    fence        integer NOT NULL DEFAULT 0
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX agent_calls_due ON agent_calls (agent_id, due_at);

-- Who is told of an execution's end, once; see followed_jobs.
CREATE TABLE followed_executions (
    execution_id text COLLATE "C" NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    subject_id   text COLLATE "C" NOT NULL,
    due_at       timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (execution_id, kind, subject_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
