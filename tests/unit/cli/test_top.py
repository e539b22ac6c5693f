"""`runwright top` fits into 80 columns."""

from datetime import UTC, datetime

import msgspec

from runwright.cli.output import render_table
from runwright.cli.top import job_columns
from runwright.client.models.jobs import JobInfo

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_running_jobs_fit_into_80_columns() -> None:
    job = msgspec.convert(
        {
            "id": "job_01jd9x3v7m0000000000000000",
            "worker_id": "wrk_01jd9x3v7m0000000000000000",
            "worker_name": "a-worker-with-a-name-that-is-long",
            "tenant_id": "ten_a",
            "status": "running",
            "trigger": "schedule",
            "priority": 5,
            "triggered_by": "usr_a",
            "created_at": NOW,
            "started_at": datetime(2026, 1, 1, 11, 58, tzinfo=UTC),
            "worker_version": 3,
            "attempt": 2,
            "max_retries": 3,
            "input": msgspec.Raw(b"{}"),
            "progress": {"fraction": 0.4, "message": "page 40 of 100, and more words", "updated_at": NOW},
        },
        JobInfo,
    )
    table = render_table([job], job_columns(NOW), cut_to=80)
    assert max(map(len, table.splitlines())) <= 80
    assert "2m00s" in table
