-- The vault: values of secrets, sealed under a key that the database never sees.

CREATE TABLE secrets (
    tenant_id  text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    -- in order of creation, for lists
    id         text COLLATE "C" NOT NULL,
    -- which key of the ring opens it
    key_id     text COLLATE "C" NOT NULL,
    -- nonce, ciphertext and tag; bound to tenant and name
    sealed     bytea NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
CREATE INDEX secrets_in_order ON secrets (tenant_id, id);
-- which keys are in use, and what a rotation has still to do
CREATE INDEX secrets_by_key ON secrets (key_id, tenant_id, name);

-- The ids of the vault keys that an executor holds; null: it does not say.
ALTER TABLE executors ADD COLUMN vault_keys text[];
