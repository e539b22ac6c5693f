-- Keys that expire, that may do less than their role, that are rotated; and sessions.
--
-- The previous release knows neither expiry nor scopes. So a key that has either is stored with the digest of its
-- digest, which that release does not find: it refuses what it could not restrict.

ALTER TABLE api_keys
    ADD COLUMN expires_at timestamptz,
    -- null: all
    ADD COLUMN scopes     text[];

-- Earlier texts of rotated keys, and until when they are accepted.
CREATE TABLE previous_api_keys (
    digest     bytea PRIMARY KEY,
    key_id     text COLLATE "C" NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX previous_api_keys_by_key ON previous_api_keys (key_id);

-- What is derived from a key for a short time: the session of a browser, a token that reads, a link that signs in.
-- The digest is keyed with the platform key, so that all end with it.
CREATE TABLE sessions (
    id          text COLLATE "C" PRIMARY KEY,
    digest      bytea NOT NULL UNIQUE,
    kind        text NOT NULL CHECK (kind IN ('session', 'token', 'link')),
    -- it ends when this key does; `platform` for the platform key
    key_id      text COLLATE "C" NOT NULL,
    tenant_id   text COLLATE "C" NOT NULL,
    user_id     text NOT NULL,
    role        text NOT NULL,
    -- null: all
    scopes      text[],
    -- whether it acts for every tenant
    by_platform boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX sessions_by_tenant ON sessions (tenant_id, expires_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Flagged executions that a person has decided.
CREATE INDEX executions_reviewed ON executions (tenant_id, id) WHERE review IS NOT NULL;
