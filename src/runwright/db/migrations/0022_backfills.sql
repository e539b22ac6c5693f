-- What caused a tick: the expression, a user who fired the schedule at once, or one who caught a window up.
ALTER TABLE ticks ADD COLUMN origin text NOT NULL DEFAULT 'schedule' CHECK (origin IN ('schedule', 'manual', 'backfill'));

-- Windows of schedules that are being caught up. The firings after `visited_at` are still to be visited; it moves in the
-- transaction that submits their jobs, so that an interrupted backfill continues where it was.
CREATE TABLE schedule_backfills (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    schedule_id text COLLATE "C" NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'completed', 'cancelled')),
    matched integer NOT NULL,
    done integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    error text,
    visited_at timestamptz NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    completed_at timestamptz
);
-- one at a time
CREATE UNIQUE INDEX schedule_backfills_running ON schedule_backfills (schedule_id) WHERE status = 'running';
CREATE INDEX schedule_backfills_due ON schedule_backfills (due_at) WHERE status = 'running';
