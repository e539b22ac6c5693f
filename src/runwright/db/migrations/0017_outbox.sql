-- One outbox for all that is sent to the outside, and one table of completion callbacks.
--
-- Each takes the place of two tables of the same shape. Those become views, so that servers of the previous
-- release keep working until they are replaced; a later release drops the views.

LOCK TABLE delivery_queue, agent_calls, followed_jobs, followed_executions IN ACCESS EXCLUSIVE MODE;

-- What is to be sent; narrow, and vacuumed often, like job_queue.
CREATE TABLE outbox (
    -- of the delivery or the execution
    id              text COLLATE "C" PRIMARY KEY,
    kind            text COLLATE "C" NOT NULL CHECK (kind IN ('webhook', 'agent')),
    -- the webhook endpoint or the agent
    destination_id  text COLLATE "C" NOT NULL,
    -- not before this time; while the row is claimed, the end of the lease
    due_at          timestamptz NOT NULL,
    failed_attempts smallint NOT NULL DEFAULT 0,
    claimed         boolean NOT NULL DEFAULT false,
    -- raised by every claim; (id, fence) is the fencing token
    fence           integer NOT NULL DEFAULT 0
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

INSERT INTO outbox (id, kind, destination_id, due_at, failed_attempts, claimed, fence)
SELECT delivery_id, 'webhook', endpoint_id, due_at, step, sending, fence FROM delivery_queue
UNION ALL
SELECT execution_id, 'agent', agent_id, due_at, step, calling, fence FROM agent_calls;

CREATE INDEX outbox_due ON outbox (kind, destination_id, due_at);
CREATE INDEX outbox_claimed ON outbox (destination_id) WHERE claimed;

DROP TABLE delivery_queue, agent_calls;

CREATE VIEW delivery_queue AS
SELECT id AS delivery_id, destination_id AS endpoint_id, due_at, failed_attempts AS step,
       claimed AS sending, fence, kind
FROM outbox WHERE kind = 'webhook';
ALTER VIEW delivery_queue ALTER kind SET DEFAULT 'webhook';

CREATE VIEW agent_calls AS
SELECT id AS execution_id, destination_id AS agent_id, due_at, failed_attempts AS step,
       claimed AS calling, fence, kind
FROM outbox WHERE kind = 'agent';
ALTER VIEW agent_calls ALTER kind SET DEFAULT 'agent';

-- What acts on the end of a job or an execution, once: inserted in the transaction that creates the target,
-- and deleted in the one that acts on its end.
CREATE TABLE completion_callbacks (
    target     text COLLATE "C" NOT NULL CHECK (target IN ('job', 'execution')),
    target_id  text COLLATE "C" NOT NULL,
    -- which part of the server acts, and on behalf of what
    handler    text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    -- not before this time: the handler failed
    due_at     timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (target_id, handler, subject_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

INSERT INTO completion_callbacks (target, target_id, handler, subject_id, due_at)
SELECT 'job', job_id, kind, subject_id, due_at FROM followed_jobs
UNION ALL
SELECT 'execution', execution_id, kind, subject_id, due_at FROM followed_executions;

DROP TABLE followed_jobs, followed_executions;

CREATE VIEW followed_jobs AS
SELECT target_id AS job_id, handler AS kind, subject_id, due_at, target
FROM completion_callbacks WHERE target = 'job';
ALTER VIEW followed_jobs ALTER target SET DEFAULT 'job';

CREATE VIEW followed_executions AS
SELECT target_id AS execution_id, handler AS kind, subject_id, due_at, target
FROM completion_callbacks WHERE target = 'execution';
ALTER VIEW followed_executions ALTER target SET DEFAULT 'execution';
