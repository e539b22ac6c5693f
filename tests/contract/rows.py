"""The rows of the AVA contract, and the tests that prove each: `file::test`, here or in tests/`room`.

`proofs.py` fails a test that does not make the request that a row names it for.
"""

from typing import Final

Proofs = tuple[str, ...]

REQUESTS: Final[dict[tuple[str, str], Proofs]] = {
    ("GET", "/v1/ava/workers"): ("workers::filters_and_search_narrow_the_list",),
    ("POST", "/v1/ava/workers"): ("workers::a_new_worker_has_the_documented_defaults",),
    ("GET", "/v1/ava/workers/{worker_id}"): ("workers::an_unknown_worker_is_not_found",),
    ("PATCH", "/v1/ava/workers/{worker_id}"): ("workers::a_change_touches_only_what_it_names",),
    ("DELETE", "/v1/ava/workers/{worker_id}"): ("workers::deleting_deprecates_for_good",),
    ("POST", "/v1/ava/workers/{worker_id}/deploy"): ("versions::a_deploy_makes_a_version_that_serves",),
    ("GET", "/v1/ava/workers/{worker_id}/versions"): ("versions::versions_come_in_pages_newest_first",),
    ("GET", "/v1/ava/workers/{worker_id}/versions/{version}"): (
        "versions::a_deploy_makes_a_version_that_serves",
        "versions::an_unknown_version_is_not_found",
    ),
    ("GET", "/v1/ava/workers/{worker_id}/versions/{version}/log"): (
        "e2e/dependencies::another_tenant_does_not_see_a_log",
    ),
    ("GET", "/v1/ava/workers/{worker_id}/versions/{version}/files"): (
        "version_files::files_are_listed_by_path_with_their_digests",
        "version_files::what_is_not_there_is_not_found_nor_is_anothers",
    ),
    ("GET", "/v1/ava/workers/{worker_id}/versions/{version}/files/content"): (
        "version_files::a_file_is_read_as_text_or_in_base64",
        "version_files::what_is_not_there_is_not_found_nor_is_anothers",
    ),
    ("GET", "/v1/ava/workers/{worker_id}/diff"): (
        "version_files::what_differs_is_shown_file_by_file",
        "version_files::what_is_not_there_is_not_found_nor_is_anothers",
    ),
    ("POST", "/v1/ava/workers/{worker_id}/rollback"): (
        "versions::a_change_of_source_leaves_the_bundle_and_a_rollback_returns_to_it",
    ),
    ("GET", "/v1/ava/workers/{worker_id}/state"): ("handlers::state_is_read_and_deleted_by_its_tenant",),
    ("GET", "/v1/ava/workers/{worker_id}/state/{key}"): (
        "handlers::state_is_read_and_deleted_by_its_tenant",
    ),
    ("DELETE", "/v1/ava/workers/{worker_id}/state"): ("handlers::state_is_read_and_deleted_by_its_tenant",),
    ("DELETE", "/v1/ava/workers/{worker_id}/state/{key}"): (
        "handlers::state_is_read_and_deleted_by_its_tenant",
    ),
    ("POST", "/v1/ava/check"): ("checks::all_that_is_wrong_is_named_at_once_and_nothing_is_created",),
    ("GET", "/v1/ava/secrets"): ("secrets::a_secret_is_set_named_replaced_and_deleted_and_never_shown",),
    ("PUT", "/v1/ava/secrets/{name}"): (
        "secrets::a_secret_is_set_named_replaced_and_deleted_and_never_shown",
    ),
    ("DELETE", "/v1/ava/secrets/{name}"): (
        "secrets::a_secret_is_set_named_replaced_and_deleted_and_never_shown",
    ),
    ("GET", "/v1/ava/runtimes"): ("workers::the_runtimes_are_listed_ready_or_not_for_whoever_may_read",),
    ("GET", "/v1/ava/jobs"): ("jobs::filters_narrow_the_list",),
    ("POST", "/v1/ava/jobs"): ("jobs::a_new_job_has_the_documented_defaults",),
    ("POST", "/v1/ava/jobs/batch"): (
        "jobs::a_batch_is_accepted_whole_and_in_order",
        "jobs::a_batch_is_refused_whole",
    ),
    ("GET", "/v1/ava/jobs/{job_id}"): ("jobs::a_job_runs_and_shows_what_the_handler_returned",),
    ("POST", "/v1/ava/jobs/{job_id}/cancel"): (
        "jobs::a_queued_job_is_cancelled_at_once_and_only_once",
        "jobs::a_running_job_is_cancelled_whatever_its_handler_does",
    ),
    ("GET", "/v1/ava/jobs/bulk"): ("bulk::cancel_500_queued_jobs_with_one_request",),
    ("POST", "/v1/ava/jobs/bulk"): ("bulk::cancel_500_queued_jobs_with_one_request",),
    ("GET", "/v1/ava/jobs/bulk/{operation_id}"): ("bulk::cancel_500_queued_jobs_with_one_request",),
    ("POST", "/v1/ava/jobs/bulk/{operation_id}/cancel"): (
        "bulk::an_operation_belongs_to_its_tenant_and_ends_once",
    ),
    ("POST", "/v1/ava/jobs/{job_id}/retry"): ("jobs::a_retry_is_a_new_job_that_names_the_old_one",),
    ("GET", "/v1/ava/jobs/{job_id}/attempts"): ("jobs::each_attempt_keeps_its_error",),
    ("GET", "/v1/ava/jobs/{job_id}/logs"): ("logs::the_handlers_lines_stand_between_the_lifecycle_lines",),
    ("GET", "/v1/ava/jobs/{job_id}/logs/stream"): ("log_stream::lines_are_seen_while_the_job_runs",),
    ("GET", "/v1/ava/jobs/{job_id}/explain"): ("jobs::a_waiting_job_explains_itself",),
    ("POST", "/v1/ava/jobs/{job_id}/shares"): (
        "shares::a_link_shows_one_job_to_whoever_has_it",
        "shares::another_tenant_neither_sees_nor_ends_it",
    ),
    ("GET", "/v1/ava/jobs/{job_id}/shares"): (
        "shares::a_link_is_revoked_and_who_did_what_is_in_the_audit_log",
    ),
    ("DELETE", "/v1/ava/jobs/{job_id}/shares/{share_id}"): (
        "shares::a_link_is_revoked_and_who_did_what_is_in_the_audit_log",
        "shares::another_tenant_neither_sees_nor_ends_it",
    ),
    ("GET", "/v1/ava/sharing"): ("shares::a_tenant_has_to_allow_it_and_forbidding_it_ends_all_links",),
    ("PUT", "/v1/ava/sharing"): ("shares::a_tenant_has_to_allow_it_and_forbidding_it_ends_all_links",),
    ("GET", "/v1/ava/schedules"): ("schedules::lists_are_filtered_and_paged",),
    ("POST", "/v1/ava/schedules"): ("schedules::create_answers_201_with_the_record_and_its_defaults",),
    ("GET", "/v1/ava/schedules/preview"): (
        "schedules::a_preview_of_an_expression_tells_what_the_clock_does",
    ),
    ("GET", "/v1/ava/schedules/{schedule_id}"): (
        "schedules::create_answers_201_with_the_record_and_its_defaults",
    ),
    ("PATCH", "/v1/ava/schedules/{schedule_id}"): ("schedules::patch_changes_what_is_given",),
    ("DELETE", "/v1/ava/schedules/{schedule_id}"): ("schedules::delete_is_hard_with_204",),
    ("GET", "/v1/ava/schedules/{schedule_id}/ticks"): (
        "schedules::a_schedule_fires_by_itself_and_its_tick_names_the_job",
    ),
    ("GET", "/v1/ava/schedules/{schedule_id}/preview"): (
        "schedules::a_preview_of_a_schedule_begins_with_its_next_run",
    ),
    ("POST", "/v1/ava/schedules/{schedule_id}/run"): (
        "schedules::a_run_fires_now_and_changes_nothing_else",
        "schedules::a_backfill_belongs_to_its_tenant_and_needs_the_role_of_a_writer",
    ),
    ("POST", "/v1/ava/schedules/{schedule_id}/backfill"): (
        "schedules::a_window_is_caught_up_after_a_dry_run",
        "schedules::a_backfill_belongs_to_its_tenant_and_needs_the_role_of_a_writer",
    ),
    ("GET", "/v1/ava/schedules/{schedule_id}/backfills/{backfill_id}"): (
        "schedules::a_window_is_caught_up_after_a_dry_run",
        "schedules::a_backfill_belongs_to_its_tenant_and_needs_the_role_of_a_writer",
    ),
    ("POST", "/v1/ava/schedules/{schedule_id}/backfills/{backfill_id}/cancel"): (
        "schedules::a_window_is_caught_up_after_a_dry_run",
        "schedules::a_backfill_belongs_to_its_tenant_and_needs_the_role_of_a_writer",
    ),
    ("GET", "/v1/ava/queues"): ("reports::queues_have_the_documented_shape",),
    ("GET", "/v1/ava/queues/{worker_id}"): ("reports::queues_have_the_documented_shape",),
    ("GET", "/v1/ava/analytics"): ("reports::analytics_have_the_documented_shape",),
    ("GET", "/v1/ava/jobs/series"): ("reports::a_series_counts_jobs_by_when_they_were_created",),
    ("GET", "/v1/ava/analytics/workers"): ("reports::analytics_by_worker_have_the_documented_shape",),
    ("GET", "/v1/ava/analytics/workers/{worker_id}"): ("reports::analytics_of_one_worker",),
    ("GET", "/v1/ava/inbox"): ("inbox::what_an_agent_flags_waits_for_a_person",),
    ("POST", "/v1/ava/inbox/{item_id}/links"): (
        "question_links::reading_a_link_changes_nothing_and_an_answer_uses_it",
    ),
    ("POST", "/v1/ava/inbox"): ("questions::a_question_is_asked_and_answered_once",),
    ("DELETE", "/v1/ava/inbox/{item_id}"): ("questions::a_question_is_withdrawn",),
    ("GET", "/v1/ava/inbox/{item_id}"): ("inbox::what_an_agent_flags_waits_for_a_person",),
    ("POST", "/v1/ava/inbox/{item_id}/answer"): ("inbox::what_an_agent_flags_waits_for_a_person",),
    ("GET", "/v1/ava/events"): ("events::the_log_is_listed_newest_first_by_cursor",),
    ("POST", "/v1/ava/events"): ("events::a_published_event_is_in_the_log",),
    ("GET", "/v1/ava/events/{event_id}"): ("events::a_large_payload_is_left_out_of_lists",),
    ("GET", "/v1/ava/events/{event_id}/webhook"): (
        "events::the_webhook_body_of_an_event_is_what_webhooks_get",
    ),
    ("GET", "/v1/ava/stream"): ("stream::what_happens_to_a_job_comes_as_it_happens",),
    ("GET", "/v1/webhooks"): ("webhooks::webhooks_are_listed_newest_first",),
    ("POST", "/v1/webhooks"): ("webhooks::a_webhook_is_answered_bare_as_published",),
    ("GET", "/v1/webhooks/{webhook_id}"): ("webhooks::a_webhook_is_answered_bare_as_published",),
    ("PATCH", "/v1/webhooks/{webhook_id}"): ("webhooks::a_webhook_is_changed_paused_and_made_active",),
    ("DELETE", "/v1/webhooks/{webhook_id}"): ("webhooks::a_deleted_webhook_is_gone",),
    ("POST", "/v1/webhooks/{webhook_id}/test"): (
        "webhooks::a_test_is_signed_sent_at_once_and_kept_among_the_deliveries",
    ),
    ("POST", "/v1/webhooks/{webhook_id}/rotate-secret"): (
        "webhooks::a_rotated_secret_signs_along_with_the_old_one_which_ends",
    ),
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): (
        "webhooks::a_refused_delivery_is_tried_again_and_shows_its_attempts",
    ),
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): (
        "webhooks::a_delivery_can_be_sent_again",
    ),
    ("GET", "/v1/tenants"): ("tenants::tenants_are_listed_by_page_and_filtered",),
    ("POST", "/v1/tenants"): ("tenants::a_tenant_is_made_shown_changed_and_listed",),
    ("GET", "/v1/tenants/{tenant_id}"): ("tenants::whoever_writes_is_a_tenant",),
    ("PATCH", "/v1/tenants/{tenant_id}"): ("tenants::a_tenant_is_made_shown_changed_and_listed",),
    ("POST", "/v1/tenants/{tenant_id}/suspend"): ("tenants::tenants_are_listed_by_page_and_filtered",),
    ("POST", "/v1/tenants/{tenant_id}/reactivate"): (
        "tenants::a_suspended_tenants_calls_are_refused_until_it_works_again",
    ),
    ("GET", "/v1/tenants/{tenant_id}/usage"): ("tenants::a_tenant_sees_how_much_of_its_quotas_it_uses",),
    ("GET", "/v1/system"): ("system::the_operator_sees_the_state_of_the_server",),
    ("GET", "/v1/ava/whoami"): ("whoami::a_platform_key_speaks_for_whom_the_headers_name",),
    ("GET", "/v1/keys"): ("keys::keys_are_listed_by_page",),
    ("POST", "/v1/keys"): ("keys::a_key_is_shown_once_and_works_at_once",),
    ("GET", "/v1/keys/{key_id}"): ("keys::keys_of_another_tenant_are_not_there_but_for_the_operator",),
    ("DELETE", "/v1/keys/{key_id}"): ("keys::a_revoked_key_is_refused_and_stays_in_the_list",),
    ("POST", "/v1/keys/{key_id}/rotate"): ("keys::a_rotated_key_has_two_texts_for_the_overlap",),
    ("POST", "/v1/session"): ("sessions::a_browser_signs_in_reads_writes_and_signs_out",),
    ("GET", "/v1/session"): ("sessions::a_browser_signs_in_reads_writes_and_signs_out",),
    ("DELETE", "/v1/session"): ("sessions::a_browser_signs_in_reads_writes_and_signs_out",),
    ("POST", "/v1/session/links"): ("sessions::a_link_signs_in_once",),
    ("POST", "/v1/tokens"): ("sessions::a_token_only_reads",),
    ("GET", "/v1/audit"): ("audit::the_log_is_paged_and_filtered",),
}

RULES: Final[dict[str, Proofs]] = {
    # Transport
    "times are ISO 8601 UTC with milliseconds and Z": ("jobs::times_come_back_in_utc_with_milliseconds",),
    "lists add pagination; page from 1, per_page 20, at most 100": (
        "paging::twenty_on_the_first_page_by_default",
        "paging::pages_by_number_cover_the_list",
        "paging::a_page_that_cannot_be_is_refused_by_name",
    ),
    "cursor= is keyset and stable": (
        "paging::cursors_cover_the_list_whatever_is_added_meanwhile",
        "paging::a_cursor_and_a_page_exclude_each_other",
    ),
    "an unknown filter or enum value is a 422 that names it": (
        "workers::an_unknown_filter_or_value_is_refused_by_name",
        "jobs::an_unknown_filter_or_value_is_refused_by_name",
    ),
    "q= searches names": ("workers::filters_and_search_narrow_the_list",),
    "x-request-id on every response, and in errors": (
        "bad_input::every_answer_has_an_id_and_a_harmless_one_of_the_client_is_kept",
    ),
    # Authentication and roles
    "four headers; a bearer key instead": ("auth::a_bearer_key_is_as_good_as_the_internal_secret",),
    "a platform key asserts tenant, user and role": ("auth::a_platform_key_must_say_for_whom_it_calls",),
    "a tenant key is bound to one tenant and a highest role": (
        "auth::a_tenant_key_needs_no_headers_and_acts_in_its_own_name",
        "auth::a_tenant_key_may_claim_less_and_never_more",
    ),
    "reads need any role, writes tenant-system-admin": (
        "auth::every_route_says_which_role_it_needs",
        "auth::every_route_lets_pass_who_has_the_role_and_nobody_else",
    ),
    "another tenant's object is 404": (
        "auth::another_tenants_things_are_not_found_on_every_route",
        "auth::lists_and_submits_do_not_cross_tenants",
    ),
    # Errors
    "400 bad_request": (
        "bad_input::what_is_not_json_is_a_bad_request",
        "bad_input::another_content_type_is_a_bad_request",
    ),
    "401 unauthorized": ("auth::without_a_good_key_every_route_answers_401",),
    "403 forbidden": ("auth::every_route_lets_pass_who_has_the_role_and_nobody_else",),
    "404 resource_not_found": (
        "jobs::an_unknown_job_is_not_found",
        "bad_input::a_path_that_does_not_exist_is_not_found",
    ),
    "409 resource_conflict": (
        "workers::a_paused_worker_takes_no_jobs_until_it_is_active_again",
        "jobs::a_finished_job_cannot_be_cancelled",
        "idempotency::the_same_key_with_another_body_is_a_conflict",
    ),
    "413 payload_too_large": ("connection::a_body_over_the_limit_is_refused",),
    "422 validation_error, all bad fields at once": (
        "workers::all_bad_fields_are_reported_at_once",
        "jobs::all_bad_fields_are_reported_at_once",
    ),
    "403 tenant_suspended": ("tenants::a_suspended_tenants_calls_are_refused_until_it_works_again",),
    "429 rate_limited with Retry-After": ("tenants::a_tenant_may_have_a_rate_of_its_own",),
    "429 quota_exceeded": ("tenants::a_full_queue_takes_no_more_until_there_is_room",),
    "500 internal_error without a stack trace": (
        "edge::an_unknown_error_is_answered_bare_and_reported_whole",
    ),
    "503 integration_unavailable": ("edge::a_store_out_of_reach_is_503",),
    # Workers
    "fields, defaults and limits of a worker": (
        "workers::a_new_worker_has_the_documented_defaults",
        "workers::a_value_within_the_limits_is_stored_as_given",
        "workers::a_value_outside_the_limits_is_refused_by_name",
    ),
    "PATCH merges config, null removes a key": ("workers::a_change_touches_only_what_it_names",),
    "new source is a new version; running jobs keep theirs": (
        "workers::new_source_makes_a_new_version_and_other_changes_do_not",
        "e2e/bundles::a_running_job_keeps_its_version_and_the_next_one_has_the_new",
    ),
    "status may become active or paused only": ("workers::a_change_that_is_not_allowed_is_refused_by_name",),
    "DELETE deprecates; schedules stop, queued jobs are cancelled": (
        "workers::deleting_deprecates_for_good",
        "schedules::deprecating_the_worker_stops_its_schedules",
    ),
    "paused: new jobs 409, queued ones wait, schedules skip": (
        "workers::a_paused_worker_takes_no_jobs_until_it_is_active_again",
        "schedules::a_schedule_fires_by_itself_and_its_tick_names_the_job",
    ),
    "handler conventions of every runtime": ("e2e/handlers::a_handler_ends_as_it_must_and_harms_nothing",),
    "default entrypoints": ("workers::the_entrypoint_follows_the_runtimes_convention",),
    "deploy takes zip, tar.gz or a form": ("versions::every_form_of_the_same_files_is_the_same_bundle",),
    "dependencies are installed, with their log": (
        "e2e/dependencies::python_requirements_are_installed_and_imported",
        "e2e/dependencies::npm_packages_of_both_module_systems_are_installed_by_their_lock",
    ),
    "secrets are injected where listed, and masked": (
        "e2e/secrets::a_worker_uses_a_secret_that_nobody_gets_to_see",
    ),
    "a missing secret fails the job by name": (
        "e2e/secrets::a_missing_secret_fails_the_job_by_name_before_it_runs_and_without_retries",
    ),
    # Jobs
    "fields, defaults and limits of a job": (
        "jobs::a_new_job_has_the_documented_defaults",
        "jobs::a_value_within_the_limits_is_stored_as_given",
        "jobs::a_value_outside_the_limits_is_refused_by_name",
    ),
    "output and error": (
        "jobs::a_job_runs_and_shows_what_the_handler_returned",
        "jobs::a_failed_job_says_why",
    ),
    "Idempotency-Key": ("idempotency::the_same_key_and_body_return_the_first_job",),
    "wait=": (
        "jobs::wait_ends_with_the_job_as_it_is_when_time_is_up",
        "idempotency::a_replay_may_wait_for_the_end",
    ),
    "batches of 1 to 1,000": ("jobs::a_batch_has_one_to_a_thousand_jobs",),
    "attempts, oldest first": ("jobs::each_attempt_keeps_its_error",),
    "logs: level, limit, after": (
        "logs::a_level_narrows_the_log",
        "logs::after_continues_where_a_page_ended",
    ),
    "the stream resumes by Last-Event-ID and ends with end": (
        "log_stream::a_reader_that_was_cut_off_goes_on_where_it_was",
        "log_stream::the_log_of_an_ended_job_is_given_whole_and_then_the_end",
    ),
    # Schedules
    "enabled false pauses": ("schedules::enabled_false_pauses_and_true_resumes",),
    "bad expressions and zones are named": (
        "schedules::a_bad_field_is_named",
        "schedules::a_misspelt_zone_gets_a_suggestion",
    ),
    "DST": ("schedules::a_preview_of_an_expression_tells_what_the_clock_does",),
    # Queues and analytics
    "a period of 1 to 90 days": ("reports::a_period_is_1_to_90_days",),
    "rates of nothing": ("reports::nothing_ended_has_no_rates",),
    # Events
    "the stream resumes by Last-Event-ID, or says that it cannot": (
        "stream::a_stream_that_was_cut_off_goes_on_where_it_was",
        "stream::a_position_that_is_not_known_any_more_is_gone_and_the_stream_goes_on",
    ),
    "a stream ends with the access of its key": (
        "stream::a_stream_ends_when_its_key_is_revoked_or_its_tenant_suspended",
    ),
    # Webhooks
    "events and wildcards": ("webhooks::every_event_and_wildcard_can_be_subscribed_to",),
    "events of jobs": ("webhooks::every_state_of_a_job_is_told_to_who_wants_it",),
    "events of workers": ("webhooks::a_worker_is_told_as_it_was_when_it_happened",),
    "events of schedules": ("webhooks::a_skipped_firing_is_told_with_its_schedule_and_its_tick",),
    "the body and both signatures": (
        "webhooks::a_completed_job_is_told_with_its_whole_record_and_both_signatures",
    ),
    "retries, then degraded": (
        "webhooks::a_refused_delivery_is_tried_again_and_shows_its_attempts",
        "integration/outbox/test_queue.py::a_failed_delivery_climbs_the_documented_ladder_and_is_then_abandoned",
    ),
}
