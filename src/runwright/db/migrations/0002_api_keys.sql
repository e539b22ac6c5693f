-- Keys of tenants. The key itself is shown once and kept nowhere; it is random, so that a plain
-- digest of it is as good as a slow one.

CREATE TABLE api_keys (
    id           text COLLATE "C" PRIMARY KEY,
    digest       bytea NOT NULL UNIQUE,
    tenant_id    text COLLATE "C" NOT NULL,
    role         text NOT NULL,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL,
    -- at most once a minute
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);
