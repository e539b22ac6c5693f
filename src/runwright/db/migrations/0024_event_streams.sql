-- Reading the event log: by tenant, and as streams.

CREATE INDEX events_by_tenant ON events (tenant_id, position);

-- The tenants whose events are being streamed, and for a while after. Their events are kept that are otherwise only
-- kept for subscribers. A row that was deleted and inserted again has another epoch: in between, the log has gaps.
CREATE TABLE event_watches (
    tenant_id  text COLLATE "C" PRIMARY KEY,
    epoch      bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
