-- Agents that use other workers as tools: what a job asked for while nobody runs it.

CREATE TABLE conversations (
    -- the agent's job that runs, or that asked
    job_id     text COLLATE "C" PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    worker_id  text COLLATE "C" NOT NULL,
    -- who follows the agent and is told of its last job
    kind       text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    round      integer NOT NULL,
    -- calls that are not answered yet; none: the agent's job runs
    waiting    integer NOT NULL,
    -- what the agent wants to know again
    state      json
);
CREATE INDEX conversations_by_follower ON conversations (kind, subject_id);

CREATE TABLE conversation_calls (
    job_id      text COLLATE "C" NOT NULL,
    place       integer NOT NULL,
    call_id     text NOT NULL,
    worker      text NOT NULL,
    -- null: it was answered without running anything
    tool_job_id text COLLATE "C",
    answer      json,
    PRIMARY KEY (job_id, place)
);
