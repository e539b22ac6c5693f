-- Tenants as the operator sees them, and who did what.

-- A tenant has a row from its first write on, or since an operator made it; none is needed to work.
CREATE TABLE tenants (
    id                  text COLLATE "C" PRIMARY KEY,
    name                text,
    status              text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    status_reason       text,
    -- what it may have, where that is not what the server's settings say
    requests_per_second integer,
    request_burst       integer,
    queued_jobs         bigint,
    running_jobs        integer,
    schedules           bigint,
    stored_bytes        bigint,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    -- by the clock that all machines share: what processes look for that remember tenants
    changed_at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX tenants_by_change ON tenants (changed_at);

INSERT INTO tenants (id, created_at, updated_at)
SELECT tenant_id, min(created_at), min(created_at) FROM (
    SELECT tenant_id, created_at FROM workers
    UNION ALL SELECT tenant_id, created_at FROM api_keys WHERE tenant_id IS NOT NULL
    UNION ALL SELECT tenant_id, created_at FROM endpoints
    UNION ALL SELECT tenant_id, updated_at FROM secrets
) AS known GROUP BY tenant_id;

-- A row per write, in the transaction of the write. Ids grow with time.
CREATE TABLE audit_log (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    user_id     text NOT NULL,
    key_id      text NOT NULL,
    role        text NOT NULL,
    request_id  text NOT NULL,
    action      text NOT NULL,
    subject_id  text COLLATE "C" NOT NULL,
    -- SHA-256 of the subject before and after; null: there was, or is, none
    before_hash bytea,
    after_hash  bytea,
    created_at  timestamptz NOT NULL
);
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id);
CREATE INDEX audit_log_by_subject ON audit_log (tenant_id, subject_id, id);
