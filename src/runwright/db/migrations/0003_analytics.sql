-- What became of jobs, counted in the transaction that ends them.
--
-- Ending jobs only ever appends rows to job_tallies, one per batch and group, so that it waits for
-- nobody; they are folded into the two tables of sums now and then. A reader adds both, in one
-- snapshot, and so is exact at any moment.

ALTER TABLE job_queue ADD COLUMN trigger text NOT NULL DEFAULT 'manual';
UPDATE job_queue q SET trigger = j.trigger
FROM jobs j WHERE j.tenant_id = q.tenant_id AND j.id = q.job_id AND j.trigger <> 'manual';
ALTER TABLE job_queue ALTER COLUMN trigger DROP DEFAULT;

-- Milliseconds to the buckets of a histogram: exact below 32, then steps of 3 % (core/histogram.py).
CREATE FUNCTION duration_bucket(ms integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN ms < 32 THEN greatest(ms, 0) ELSE 32 + floor((ln(ms::float8) - ln(32::float8)) * 32)::integer END;

CREATE TABLE job_tallies (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL,
    worker_id   text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    trigger     text NOT NULL,
    status      text NOT NULL,
    -- of a failure; else empty
    code        text NOT NULL,
    -- of the duration; null where it never ran, or was cancelled
    bucket      integer,
    jobs        bigint NOT NULL,
    duration_ms bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX job_tallies_by_tenant ON job_tallies (tenant_id);

CREATE TABLE job_counts (
    tenant_id   text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    worker_id   text COLLATE "C" NOT NULL,
    trigger     text NOT NULL,
    status      text NOT NULL,
    code        text NOT NULL,
    jobs        bigint NOT NULL,
    -- those among them that have a duration, and its sum
    timed       bigint NOT NULL,
    duration_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, worker_id, trigger, status, code)
) WITH (fillfactor = 80);
CREATE INDEX job_counts_by_worker ON job_counts (tenant_id, worker_id, day);

CREATE TABLE job_durations (
    tenant_id text COLLATE "C" NOT NULL,
    day       date NOT NULL,
    worker_id text COLLATE "C" NOT NULL,
    bucket    integer NOT NULL,
    jobs      bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, worker_id, bucket)
) WITH (fillfactor = 80);
CREATE INDEX job_durations_by_worker ON job_durations (tenant_id, worker_id, day);

INSERT INTO job_tallies (tenant_id, worker_id, day, trigger, status, code, bucket, jobs, duration_ms)
SELECT r.tenant_id, r.worker_id, (r.completed_at AT TIME ZONE 'UTC')::date, j.trigger, r.status,
       CASE WHEN r.status = 'failed' THEN coalesce(r.error ->> 'code', '') ELSE '' END,
       CASE WHEN r.status <> 'cancelled' THEN duration_bucket(r.duration_ms) END, count(*),
       coalesce(sum(r.duration_ms) FILTER (WHERE r.status <> 'cancelled'), 0)
FROM job_results r JOIN jobs j ON j.tenant_id = r.tenant_id AND j.id = r.job_id
GROUP BY 1, 2, 3, 4, 5, 6, 7;
