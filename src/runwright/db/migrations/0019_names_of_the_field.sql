-- Tables under the names that the code and the field use. The previous release reads and writes them under the old
-- names, which are views now; the next release drops the views (docs/decisions/0023, 0037).
ALTER TABLE job_tallies RENAME TO job_count_deltas;
ALTER TABLE conversations RENAME TO agent_turns;
ALTER TABLE conversation_calls RENAME TO tool_calls;
ALTER TABLE automation_overlays RENAME TO automation_enabled_overrides;
ALTER TABLE webhook_claims RENAME TO replay_keys;

ALTER INDEX job_tallies_pkey RENAME TO job_count_deltas_pkey;
ALTER INDEX job_tallies_by_tenant RENAME TO job_count_deltas_by_tenant;
ALTER SEQUENCE job_tallies_id_seq RENAME TO job_count_deltas_id_seq;
ALTER INDEX conversations_pkey RENAME TO agent_turns_pkey;
ALTER INDEX conversations_by_follower RENAME TO agent_turns_by_subject;
ALTER INDEX conversation_calls_pkey RENAME TO tool_calls_pkey;
ALTER INDEX automation_overlays_pkey RENAME TO automation_enabled_overrides_pkey;
ALTER INDEX webhook_claims_pkey RENAME TO replay_keys_pkey;
ALTER INDEX webhook_claims_by_age RENAME TO replay_keys_by_age;

CREATE VIEW job_tallies AS SELECT * FROM job_count_deltas;
CREATE VIEW conversations AS SELECT * FROM agent_turns;
CREATE VIEW conversation_calls AS SELECT * FROM tool_calls;
CREATE VIEW automation_overlays AS SELECT * FROM automation_enabled_overrides;
CREATE VIEW webhook_claims AS SELECT * FROM replay_keys;
