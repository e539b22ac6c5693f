-- Links that show one job to whoever has them, without a key. A tenant has to allow them.
ALTER TABLE tenants ADD COLUMN job_sharing boolean NOT NULL DEFAULT false;

CREATE TABLE job_shares (
    id         text COLLATE "C" PRIMARY KEY,
    -- keyed with the platform key, as those of sessions
    digest     bytea NOT NULL UNIQUE,
    tenant_id  text COLLATE "C" NOT NULL,
    job_id     text COLLATE "C" NOT NULL,
    -- it ends when this key does; `platform` for the platform key
    key_id     text COLLATE "C" NOT NULL,
    user_id    text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX job_shares_by_tenant ON job_shares (tenant_id, job_id, expires_at);
CREATE INDEX job_shares_by_expiry ON job_shares (expires_at);
CREATE INDEX job_shares_by_key ON job_shares (key_id);
