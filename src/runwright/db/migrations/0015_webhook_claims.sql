-- Webhooks that came in lately, by what was signed and by their delivery id: whoever has a name that is
-- here came before.
CREATE TABLE webhook_claims (
    automation_id text COLLATE "C" NOT NULL,
    key           text COLLATE "C" NOT NULL,
    -- tells deliveries apart
    token         text NOT NULL,
    run_id        text COLLATE "C" NOT NULL,
    -- afterwards the same message would be refused as stale
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (automation_id, key)
);
CREATE INDEX webhook_claims_by_age ON webhook_claims (expires_at);
