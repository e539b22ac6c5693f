-- Links with which one person answers one question, once, without a key.
CREATE TABLE question_links (
    id          text COLLATE "C" PRIMARY KEY,
    -- keyed with the platform key, as those of sessions
    digest      bytea NOT NULL UNIQUE,
    tenant_id   text COLLATE "C" NOT NULL,
    question_id text COLLATE "C" NOT NULL REFERENCES questions (id) ON DELETE CASCADE,
    -- whose answer it is
    user_id     text NOT NULL,
    -- it ends when this key does; `platform` for the platform key
    key_id      text COLLATE "C" NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE INDEX question_links_by_question ON question_links (question_id);
CREATE INDEX question_links_by_expiry ON question_links (expires_at);
