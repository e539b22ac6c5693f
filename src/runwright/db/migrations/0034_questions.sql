-- Questions to people, from programs, steps and whatever else asks; what agents flag is in executions.
CREATE TABLE questions (
    id             text COLLATE "C" PRIMARY KEY,
    tenant_id      text COLLATE "C" NOT NULL,
    -- what asks, and what is called in the transaction that ends it
    kind           text NOT NULL,
    asked_by       text NOT NULL,
    subject        text NOT NULL,
    question       text NOT NULL,
    payload        json NOT NULL,
    answers        text[] NOT NULL,
    -- the job that it is about; the id of what waits for it, for its kind
    job_id         text COLLATE "C",
    reference      text COLLATE "C",
    -- who may answer: users, else a role; after the escalation those of the other too
    audience       json NOT NULL,
    escalation     json,
    -- users and keys that may not
    barred         text[] NOT NULL,
    -- how many have to give the same answer
    quorum         smallint NOT NULL,
    -- answered by people who are signed in only
    sensitive      boolean NOT NULL,
    deadline       timestamptz,
    default_answer text,
    escalate_at    timestamptz,
    escalated_at   timestamptz,
    status         text NOT NULL CHECK (status IN ('waiting', 'answered', 'timed_out', 'withdrawn')),
    answer         text,
    answered_by    text,
    note           text,
    asked_at       timestamptz NOT NULL,
    ended_at       timestamptz
) WITH (fillfactor = 90);
CREATE INDEX questions_waiting ON questions (tenant_id, id) WHERE status = 'waiting';
CREATE INDEX questions_ended ON questions (tenant_id, id) WHERE status <> 'waiting';
CREATE INDEX questions_by_deadline ON questions (deadline) WHERE status = 'waiting';
CREATE INDEX questions_to_escalate ON questions (escalate_at) WHERE status = 'waiting' AND escalated_at IS NULL;
CREATE INDEX questions_by_job ON questions (job_id) WHERE status = 'waiting';
CREATE INDEX questions_by_end ON questions (ended_at) WHERE ended_at IS NOT NULL;

-- What each person has answered.
CREATE TABLE question_votes (
    question_id text COLLATE "C" NOT NULL REFERENCES questions (id) ON DELETE CASCADE,
    -- the user that a platform key or a link speaks for, else the key of the tenant: each counts once
    voter       text NOT NULL,
    user_id     text NOT NULL,
    answer      text NOT NULL,
    note        text,
    at          timestamptz NOT NULL,
    PRIMARY KEY (question_id, voter)
);
