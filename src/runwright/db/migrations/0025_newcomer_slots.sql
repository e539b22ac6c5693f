-- The slots of an executor beside its `slots`, each for a tenant that holds none. 0: an older release, which does
-- not report them.
ALTER TABLE executors ADD COLUMN newcomer_slots integer NOT NULL DEFAULT 0;
