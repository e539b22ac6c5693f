-- A quota of running jobs is an index, like a worker's max_concurrency.

-- which of its tenant's running_jobs places a running job holds; null where the tenant has no such quota
ALTER TABLE job_queue ADD COLUMN tenant_slot integer;
CREATE UNIQUE INDEX job_queue_tenant_slots ON job_queue (tenant_id, tenant_slot) WHERE tenant_slot IS NOT NULL;
