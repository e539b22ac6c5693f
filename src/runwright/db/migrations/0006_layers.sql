-- What versions depend on, installed once, and the work of installing it.

-- A layer's key is a digest of all that its content follows from: tenant, runtime, platform, tools,
-- registry and manifests. Equal versions share one; nothing of it is shared between tenants.
CREATE TABLE layers (
    key        text COLLATE "C" PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    -- which interpreters it fits
    platform   text NOT NULL,
    digest     text COLLATE "C" NOT NULL REFERENCES blobs (digest),
    size_bytes bigint NOT NULL,
    files      integer NOT NULL,
    -- what the installer printed
    log        text NOT NULL,
    created_at timestamptz NOT NULL
);

-- One row per version with dependencies, made by whoever first begins to install them. A builder
-- holds it by a lease; (builder_id, attempt) is its fence.
CREATE TABLE builds (
    worker_id        text COLLATE "C" NOT NULL,
    version          integer NOT NULL,
    tenant_id        text COLLATE "C" NOT NULL,
    attempt          integer NOT NULL,
    builder_id       text COLLATE "C",
    lease_expires_at timestamptz,
    log              text NOT NULL DEFAULT '',
    started_at       timestamptz NOT NULL,
    ended_at         timestamptz,
    PRIMARY KEY (worker_id, version),
    FOREIGN KEY (worker_id, version) REFERENCES worker_versions (worker_id, version)
);
CREATE INDEX builds_by_tenant ON builds (tenant_id, started_at);
