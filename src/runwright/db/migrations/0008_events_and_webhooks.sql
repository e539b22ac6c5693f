-- Who wants which events, and what is on its way to them.

-- What the event says beyond its subject, where that changes later; null: the subject says it all.
ALTER TABLE events ADD COLUMN data json;

-- Who wants which events. A pattern is a type (job.completed), a family (job.*) or * for all.
CREATE TABLE subscriptions (
    tenant_id     text COLLATE "C" NOT NULL,
    pattern       text COLLATE "C" NOT NULL,
    subscriber_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, pattern, subscriber_id)
);
CREATE INDEX subscriptions_by_subscriber ON subscriptions (subscriber_id);

-- Events that somebody wanted when they happened and that were not handed out yet. Rows are claimed
-- by deleting them, not read by a cursor: a transaction that commits late is not overtaken.
CREATE TABLE event_queue (
    position bigint PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE endpoints (
    id            text COLLATE "C" PRIMARY KEY,
    tenant_id     text COLLATE "C" NOT NULL,
    -- whose words and headers its deliveries have
    style         text NOT NULL,
    url           text NOT NULL,
    -- as the dialect names them
    events        text[] NOT NULL,
    -- what they mean to the core; in subscriptions while they are wanted
    patterns      text[] NOT NULL,
    status        text NOT NULL CHECK (status IN ('active', 'paused', 'degraded')),
    status_reason text,
    -- answered that it is gone for good: nothing is sent until somebody says otherwise
    gone          boolean NOT NULL DEFAULT false,
    -- failed or was slow the last time: it gets fewer connections
    strained      boolean NOT NULL DEFAULT false,
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX endpoints_by_tenant ON endpoints (tenant_id, id);

-- Sealed by the vault's keys. The one without an end signs first; others sign along until theirs.
CREATE TABLE endpoint_secrets (
    endpoint_id text COLLATE "C" NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    number      integer NOT NULL,
    key_id      text COLLATE "C" NOT NULL,
    sealed      bytea NOT NULL,
    expires_at  timestamptz,
    PRIMARY KEY (endpoint_id, number)
);
CREATE INDEX endpoint_secrets_by_key ON endpoint_secrets (key_id, endpoint_id, number);

-- One event for one endpoint, and what became of it.
CREATE TABLE deliveries (
    id           text COLLATE "C" PRIMARY KEY,
    tenant_id    text COLLATE "C" NOT NULL,
    endpoint_id  text COLLATE "C" NOT NULL,
    position     bigint NOT NULL,
    event_type   text NOT NULL,
    status       text NOT NULL CHECK (status IN ('pending', 'delivered', 'abandoned')),
    attempts     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    completed_at timestamptz,
    -- exactly one of each per event, whatever crashes
    UNIQUE (position, endpoint_id)
) WITH (fillfactor = 80);
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, id);

-- Those under way; narrow and clean like job_queue.
CREATE TABLE delivery_queue (
    delivery_id text COLLATE "C" PRIMARY KEY,
    endpoint_id text COLLATE "C" NOT NULL,
    -- not before this time; while it is being sent, the end of the sender's lease
    due_at      timestamptz NOT NULL,
    -- how many tries of the ladder have failed
    step        smallint NOT NULL DEFAULT 0,
    sending     boolean NOT NULL DEFAULT false,
    -- goes up with every claim; with delivery_id it is the fencing token
    fence       integer NOT NULL DEFAULT 0
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX delivery_queue_due ON delivery_queue (endpoint_id, due_at);
CREATE INDEX delivery_queue_sending ON delivery_queue (endpoint_id) WHERE sending;

CREATE TABLE delivery_attempts (
    delivery_id     text COLLATE "C" NOT NULL,
    number          integer NOT NULL,
    started_at      timestamptz NOT NULL,
    duration_ms     integer NOT NULL,
    response_status integer,
    error           text,
    PRIMARY KEY (delivery_id, number)
);
