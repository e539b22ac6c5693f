"""The SDK's jobs and workers with a real server, in both modes."""

import asyncio
import itertools
from datetime import UTC, datetime

import pytest
from tests.contract.conftest import Server
from tests.contract.sdk.conftest import COUNT, ECHO, REPORTS, WAIT
from tests.contract.sdk.cutting_proxy import cutting_proxy

from runwright import AsyncRunwright, Runwright
from runwright.client import ApiError, JobUnsuccessfulError
from runwright.client.models.jobs import LineInfo, ProgressInfo
from runwright.client.worker_names import AmbiguousNameError


def test_a_job_is_run_by_the_name_of_its_worker(rw: Runwright) -> None:
    worker = rw.workers.create("digest", "python", source_code=ECHO)
    job = rw.jobs.run("digest", {"rows": 12}, wait=WAIT, priority=2)
    assert (job.worker_id, job.status, job.priority) == (worker.id, "completed", 2)
    assert job.result() == {"rows": 12}
    assert rw.jobs.get(job.id) == job
    assert [one.status for one in rw.jobs.attempts(job.id)] == ["completed"]
    assert rw.jobs.explain(job.id).status == "completed"


def test_a_job_that_takes_longer_than_the_wait_is_returned_as_it_is(rw: Runwright) -> None:
    rw.workers.create(
        "slow", "python", source_code="async def handler(input, env):\n    import time; time.sleep(600)\n"
    )
    job = rw.jobs.run("slow", wait=0.5)
    assert not job.ended
    with pytest.raises(JobUnsuccessfulError):
        job.result()
    rw.jobs.cancel(job.id)
    ended = rw.jobs.wait(job.id, timeout=WAIT)
    assert ended.status == "cancelled"
    again = rw.jobs.retry(job.id)
    assert again.retry_of == job.id
    assert rw.jobs.cancel(again.id).id == again.id


def test_a_log_is_followed_from_the_beginning_and_nothing_is_missed_when_it_is_cut_off(
    rw: Runwright, server: Server, key: str
) -> None:
    rw.workers.create("count", "python", source_code=COUNT)
    with cutting_proxy(server.url, []) as whole, Runwright(whole, key) as client:
        job = client.jobs.run("count", {"lines": 2_000}, wait=WAIT)
    with (
        cutting_proxy(server.url, [3_000, 900, 700, 60_000]) as url,
        Runwright(url, key, retries=8) as client,
    ):
        followed = [line.msg for line in client.jobs.logs(job.id, follow=True)]
    assert [text for text in followed if text.startswith("line")] == [f"line {n}" for n in range(2_000)]
    assert [line.msg for line in rw.jobs.logs(job.id)] == followed
    lines = list(rw.jobs.logs(job.id))
    assert list(rw.jobs.logs(job.id, after=lines[-9].seq)) == lines[-8:]
    assert list(rw.jobs.logs(job.id, level="error")) == []


def test_a_running_job_is_followed_with_its_progress(rw: Runwright) -> None:
    rw.workers.create("reports", "python", source_code=REPORTS)
    entries = iter(rw.stream(type="job.progress"))
    assert next(entries).kind == "open"
    job = rw.jobs.submit("reports")
    entry = next(entries)
    assert (entry.kind, entry.subject_id, entry.worker_id) == ("progress", job.id, job.worker_id)
    parts = iter(rw.jobs.follow(job.id))
    first = next(parts)
    assert isinstance(first, ProgressInfo)
    assert (first.fraction, first.message) == (0.4, "pages")
    assert first == entry.progress == rw.jobs.get(job.id).progress
    rw.jobs.run("reports", {"go": True}, wait=WAIT)
    rest = list(parts)
    lines = list(rw.jobs.logs(job.id))
    assert lines == [part for part in rest if isinstance(part, LineInfo)]
    assert lines == list(rw.jobs.logs(job.id, follow=True))
    assert "began" in [line.msg for line in lines]


def test_lists_are_read_page_by_page(rw: Runwright) -> None:
    worker = rw.workers.create("paused", "python", source_code=ECHO)
    jobs = rw.jobs.submit_batch(worker.id, [{"n": n} for n in range(12)])
    rows = list(rw.jobs.list(per_page=5))
    assert [row.id for row in rows] == [job.id for job in reversed(jobs)]
    page = rw.jobs.list(per_page=5).page()
    assert (len(page.rows), page.total) == (5, 12)
    following = rw.jobs.list(per_page=5).page(page.next_cursor)
    assert [row.id for row in (*page.rows, *following.rows)] == [row.id for row in rows[:10]]
    assert [row.id for row in itertools.islice(rw.jobs.list(per_page=5), 3)] == [row.id for row in rows[:3]]
    assert rw.jobs.list(status="failed").first() is None


def test_many_jobs_are_cancelled_and_retried_at_once(rw: Runwright) -> None:
    worker = rw.workers.create("many", "python", source_code=ECHO)
    rw.workers.pause("many")
    rw.workers.resume("many")
    far = datetime(2099, 1, 1, tzinfo=UTC)
    rw.jobs.submit_batch(worker.id, [{"n": n} for n in range(200)], scheduled_at=far)
    assert rw.jobs.bulk_cancel(worker="many", status=["queued", "running"], dry_run=True).matched == 200
    first, again = (rw.jobs.bulk_cancel(worker="many", since="-1h", idempotency_key="once").id for _ in "ab")
    assert first == again
    done = rw.jobs.bulk_wait(first or "", timeout=WAIT)
    assert (done.status, done.failed) == ("completed", 0)
    assert rw.jobs.bulk_list().first() == done
    assert len(list(rw.jobs.list(status="cancelled"))) == done.done == 200
    assert rw.jobs.bulk_retry(status="cancelled", dry_run=True, version="original").matched == 200


def test_workers_are_found_changed_and_deprecated_by_name(rw: Runwright) -> None:
    worker = rw.workers.create("Report", "python", source_code=ECHO, config={"A": "1"})
    assert rw.workers.get("Report") == worker == rw.workers.get(worker.id)
    changed = rw.workers.update("Report", config={"A": None, "B": "2"}, max_concurrency=3)
    assert (changed.config, changed.max_concurrency, changed.timeout_seconds) == (
        {"B": "2"},
        3,
        worker.timeout_seconds,
    )
    with pytest.raises(ApiError, match="Did you mean 'Report'") as unknown:
        rw.workers.get("report")
    assert (unknown.value.status, unknown.value.code) == (404, "resource_not_found")
    rw.workers.create("Report", "python", source_code=ECHO)
    with pytest.raises(AmbiguousNameError, match=worker.id):
        rw.workers.get("Report")
    rw.workers.delete(worker.id)
    assert rw.workers.get("Report").id != worker.id


def test_code_is_deployed_compared_and_rolled_back(rw: Runwright) -> None:
    rw.workers.create("app", "python", source_code=ECHO)
    version = rw.workers.deploy("app", {"main.py": ECHO.replace("input\n", "2\n")}, wait=WAIT, message="two")
    assert (version.version, version.status, version.active, version.message) == (2, "ready", True, "two")
    assert rw.jobs.run("app", wait=WAIT).output == 2
    assert [one.version for one in rw.workers.versions("app")] == [2, 1]
    assert rw.workers.version("app", 2).digest == version.digest
    assert rw.workers.version_log("app", 2).log == "runwright: importing main.py\n"
    assert [one.path for one in rw.workers.version_files("app", 2).files] == ["main.py"]
    assert "return 2" in rw.workers.version_file("app", 2, "main.py").content
    [difference] = rw.workers.diff("app", 1, 2).files
    assert "+    return 2" in (difference.diff or "")
    assert rw.workers.rollback("app", 1).version == 1
    assert rw.jobs.run("app", {"n": 1}, wait=WAIT).output == {"n": 1}


def test_refusals_name_the_fields_and_the_request(rw: Runwright) -> None:
    with pytest.raises(ApiError) as refused:
        rw.workers.create("bad", "python", timeout_seconds=0, memory_mb=1)
    error = refused.value
    assert (error.status, error.code, set(error.fields)) == (
        422,
        "validation_error",
        {"timeout_seconds", "memory_mb"},
    )
    assert error.request_id
    assert "timeout_seconds" in str(error)


def test_a_wrong_key_is_refused(server: Server) -> None:
    with Runwright(server.url, "wrong") as rw, pytest.raises(ApiError) as refused:
        rw.jobs.list().first()
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")


async def test_the_asynchronous_face_runs_jobs_at_once(server: Server, rw: Runwright, key: str) -> None:
    rw.workers.create("echo", "python", source_code=ECHO)
    async with AsyncRunwright(server.url, key) as client:
        jobs = await asyncio.gather(*(client.jobs.run("echo", {"n": n}, wait=WAIT) for n in range(10)))
        assert [job.result() for job in jobs] == [{"n": n} for n in range(10)]
        assert {row.id async for row in client.jobs.list(per_page=3)} == {job.id for job in jobs}
        followed = [line async for line in client.jobs.logs(jobs[0].id, follow=True)]
        assert followed == list(rw.jobs.logs(jobs[0].id))
