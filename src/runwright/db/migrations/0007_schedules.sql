-- Schedules and what became of each of their firings.
--
-- The clock of a schedule is its cursor: next_run_at, the nominal time of the next tick, written when
-- the schedule is made and moved in the transaction that judges the tick. due_at is that time with
-- its jitter, and what the scheduler looks for; it is null while the schedule is disabled.

CREATE TABLE schedules (
    id                    text COLLATE "C" PRIMARY KEY,
    tenant_id             text COLLATE "C" NOT NULL,
    worker_id             text COLLATE "C" NOT NULL REFERENCES workers (id),
    name                  text,
    cron                  text NOT NULL,
    timezone              text NOT NULL,
    -- the version of the time zone rules that the cursor was computed with
    zone_rules            text NOT NULL,
    input                 json NOT NULL,
    enabled               boolean NOT NULL,
    catch_up              text NOT NULL CHECK (catch_up IN ('none', 'last')),
    overlap               text NOT NULL CHECK (overlap IN ('allow', 'skip')),
    misfire_grace_seconds integer NOT NULL,
    jitter_seconds        integer NOT NULL,
    next_run_at           timestamptz,
    due_at                timestamptz,
    -- nominal time of the latest tick that was judged: no earlier one is ever judged again
    last_tick_at          timestamptz,
    last_run_at           timestamptz,
    last_job_id           text COLLATE "C",
    missed_count          bigint NOT NULL DEFAULT 0,
    created_by            text NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    CHECK (enabled OR due_at IS NULL)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX schedules_by_tenant ON schedules (tenant_id, id);
CREATE INDEX schedules_by_worker ON schedules (worker_id, id);
CREATE INDEX schedules_due ON schedules (due_at, id) WHERE due_at IS NOT NULL;

-- One row per firing that was expected, written in the transaction that moved the cursor past it.
CREATE TABLE ticks (
    schedule_id   text COLLATE "C" NOT NULL,
    scheduled_for timestamptz NOT NULL,
    due_at        timestamptz NOT NULL,
    status        text NOT NULL CHECK (status IN ('fired', 'skipped', 'missed')),
    reason        text,
    job_id        text COLLATE "C",
    decided_at    timestamptz NOT NULL,
    -- more than one only where a long outage is told as one row, up to `through`
    count         integer NOT NULL DEFAULT 1,
    through       timestamptz,
    -- the law that a tick is judged once
    PRIMARY KEY (schedule_id, scheduled_for),
    CHECK ((status = 'fired') = (job_id IS NOT NULL))
);
CREATE INDEX ticks_by_age ON ticks (decided_at);

ALTER TABLE jobs ADD COLUMN schedule_id text COLLATE "C";
