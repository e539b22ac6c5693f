-- Which automation a live run belongs to, so that one automation does not take every turn of its tenant.
ALTER TABLE run_queue ADD COLUMN automation_id text COLLATE "C" NOT NULL DEFAULT '';
-- The nominal time of a run that waits for the earlier runs of its schedule; until then due_at is infinity.
ALTER TABLE run_queue ADD COLUMN lane_at timestamptz;
UPDATE run_queue q SET automation_id = r.automation_id FROM automation_runs r WHERE r.id = q.run_id;
CREATE INDEX run_queue_by_automation ON run_queue (tenant_id, automation_id, due_at, run_id) WHERE state = 'due';
CREATE INDEX run_queue_lanes ON run_queue (automation_id, lane_at) WHERE lane_at IS NOT NULL;
