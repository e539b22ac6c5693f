-- The clock learns other owners than workers, and other timings than a cron expression.
--
-- An automation that fires by the clock has its schedule under its own id, without a worker.

ALTER TABLE schedules
    ALTER COLUMN worker_id DROP NOT NULL,
    ADD COLUMN owner text NOT NULL DEFAULT 'worker' CHECK (owner IN ('worker', 'automation')),
    ADD CHECK ((owner = 'worker') = (worker_id IS NOT NULL)),
    -- cron and plain_cron: the expression in `cron`, in the words of the one grammar or the other;
    -- every: a step after the anchor, and again; at: the anchor, once
    ADD COLUMN timing text NOT NULL DEFAULT 'cron' CHECK (timing IN ('cron', 'plain_cron', 'every', 'at')),
    ADD COLUMN anchor_at timestamptz,
    ADD COLUMN step interval,
    -- how often the clock found that something had been missed, however much, and when it last did
    ADD COLUMN misfires bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_misfire_at timestamptz,
    -- when the clock was last set or moved
    ADD COLUMN moved_at timestamptz,
    DROP CONSTRAINT schedules_catch_up_check,
    ADD CONSTRAINT schedules_catch_up_check CHECK (catch_up IN ('none', 'last', 'all'));
