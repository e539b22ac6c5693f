-- When an executor took a job, which part of its wait was for a sandbox. Null for attempts that ended before.
ALTER TABLE job_results ADD COLUMN claimed_at timestamptz;
ALTER TABLE job_attempts ADD COLUMN claimed_at timestamptz;
