"""The SDK's jobs and workers with a real server, on both faces."""

import asyncio
import itertools
import time

import pytest
from tests.contract.conftest import Server
from tests.contract.sdk.conftest import COUNT, ECHO, WAIT
from tests.contract.sdk.cutting_proxy import cutting_proxy

from runwright import AsyncRunwright, Runwright
from runwright.client import ApiError, JobUnsuccessfulError
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
    began = time.monotonic()
    job = rw.jobs.run("slow", wait=0.5)
    assert not job.ended
    assert time.monotonic() - began < 30
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
    with pytest.raises(ApiError) as refused:
        Runwright(server.url, "wrong").jobs.list().first()
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")


async def test_the_asynchronous_face_runs_jobs_at_once(server: Server, rw: Runwright, key: str) -> None:
    rw.workers.create("echo", "python", source_code=ECHO)
    async with AsyncRunwright(server.url, key) as client:
        jobs = await asyncio.gather(*(client.jobs.run("echo", {"n": n}, wait=WAIT) for n in range(10)))
        assert [job.result() for job in jobs] == [{"n": n} for n in range(10)]
        assert {row.id async for row in client.jobs.list(per_page=3)} == {job.id for job in jobs}
        followed = [line async for line in client.jobs.logs(jobs[0].id, follow=True)]
        assert followed == list(rw.jobs.logs(jobs[0].id))
