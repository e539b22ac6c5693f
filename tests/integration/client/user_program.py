"""A program of a user: what type checkers know about the SDK. Never run; mypy --strict reads it.

Each `type: ignore` is a mistake that must be found: one that is not would be reported as unused.
"""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, assert_type

from runwright import AsyncRunwright, Runwright
from runwright.client import ApiError
from runwright.client.models.automations import AutomationJobInfo
from runwright.client.models.jobs import BulkInfo, JobInfo, LineInfo
from runwright.client.models.workers import VersionInfo, WorkerInfo
from runwright.client.pagination import Page


def synchronous() -> None:
    with Runwright.from_profile("prod", tenant="ten_acme") as rw:
        job = rw.jobs.run("digest", {"rows": 12}, wait=30, priority=1)
        assert_type(job, JobInfo)
        assert_type(job.status, str)
        assert_type(rw.jobs.submit("digest"), JobInfo)
        for line in rw.jobs.logs(job.id, follow=True):
            assert_type(line, LineInfo)
        for row in rw.jobs.list(status=["failed", "cancelled"], since=timedelta(hours=1)):
            assert_type(row, JobInfo)
        assert_type(rw.jobs.list().page(), Page[JobInfo])
        assert_type(rw.jobs.list().first(), JobInfo | None)
        assert_type(rw.jobs.bulk_retry(status="failed", since="-24h", dry_run=True).matched, int)
        assert_type(rw.workers.deploy("digest", {"main.py": "…"}, wait=60), VersionInfo)
        assert_type(list(rw.automations.jobs.list()), list[AutomationJobInfo])
        assert_type(rw.workers.update("digest", max_concurrency=None), WorkerInfo)


def mistakes(rw: Runwright) -> None:
    rw.jbos  # type: ignore[attr-defined]  # noqa: B018  the mistake
    rw.jobs.run(12)  # type: ignore[arg-type]
    rw.jobs.run("digest", wait="long")  # type: ignore[arg-type]
    rw.jobs.run("digest", prioriti=1)  # type: ignore[call-arg]
    rw.jobs.list(state="failed")  # type: ignore[call-arg]
    rw.jobs.get("job_1").state  # type: ignore[attr-defined]  # noqa: B018  the mistake
    rw.workers.create("digest", "perl")  # type: ignore[arg-type]
    rw.workers.update("digest", network=["all"])  # type: ignore[arg-type]


async def asynchronous() -> None:
    async with AsyncRunwright("https://runwright.example.com", "key") as rw:
        waiting = assert_type(rw.jobs.submit("digest"), Coroutine[Any, Any, JobInfo])
        assert_type(await waiting, JobInfo)
        job = await rw.jobs.run("digest", {"rows": 12}, wait=30)
        assert_type(job, JobInfo)
        async for line in rw.jobs.logs(job.id, follow=True):
            assert_type(line, LineInfo)
        assert_type([row async for row in rw.jobs.list()], list[JobInfo])
        assert_type(await rw.jobs.bulk_cancel(worker="slow"), BulkInfo)
        try:
            await rw.workers.get("digest")
        except ApiError as error:
            assert_type(error.fields, dict[str, Any])  # type: ignore[assert-type]
            assert_type(error.status, int)


async def asynchronous_mistakes(rw: AsyncRunwright) -> None:
    rw.jobs.run("digest")  # type: ignore[unused-coroutine]
    rw.jobs.get("job_1").id  # type: ignore[attr-defined]  # noqa: B018  the mistake
    for _ in rw.jobs.list():  # type: ignore[misc]
        pass
    await rw.jobs.run("digest", wait="long")  # type: ignore[arg-type]
