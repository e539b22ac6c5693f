"""Lists: every filter and every way of paging shows the same jobs in the same order."""

import random
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING

from runwright.core.job_state import TERMINAL, JobStatus, Trigger
from runwright.core.paging import PageRequest
from runwright.job_views.model import JobFilter
from runwright.jobs.model import Job
from runwright.jobs.store.read import fetch_jobs_by_key
from tests.integration.jobs.world import START, World

if TYPE_CHECKING:
    from runwright.core.ids import JobId


LIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})


async def _mixed_jobs(world: World) -> list[Job]:
    """Jobs of two workers in every state, submitted over some seconds; newest first."""
    chance = random.Random(7)
    workers = [await world.worker(), await world.worker()]
    await world.executor()
    ids: list[JobId] = []
    for _ in range(60):
        new = world.submission(chance.choice(workers).id, trigger=chance.choice(list(Trigger)))
        ids.append((await world.jobs.submit(new)).id)
        world.forward(chance.choice((0, 0.5)))
    claimed = await world.claim(capacity=40)
    endings = [
        world.end_of(job, chance.choice((JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)))
        for job in claimed[:30]
    ]
    await world.finish(*endings)
    return [await world.jobs.get("ten_a", job_id) for job_id in reversed(ids)]


def _selects(which: JobFilter, job: Job) -> bool:
    return all(
        (
            which.worker_id in (None, job.worker_id),
            which.statuses is None or job.status in which.statuses,
            which.trigger in (None, job.trigger),
            which.created_after is None or job.created_at >= which.created_after,
            which.created_before is None or job.created_at <= which.created_before,
        )
    )


async def test_filters_and_pages_agree_with_a_plain_reading_of_all_jobs(world: World) -> None:
    everything = await _mixed_jobs(world)
    middle = START + timedelta(seconds=8)
    choices = product(
        (None, everything[0].worker_id),
        (None, *(frozenset({status}) for status in JobStatus), LIVE, TERMINAL, LIVE | {JobStatus.FAILED}),
        (None, Trigger.MANUAL, Trigger.EVENT),
        ((None, None), (middle, None), (None, middle), (START, middle)),
    )
    for worker_id, statuses, trigger, (after, before) in choices:
        which = JobFilter(
            worker_id=worker_id,
            statuses=statuses,
            trigger=trigger,
            created_after=after,
            created_before=before,
        )
        expected = [job.id for job in everything if _selects(which, job)]
        by_number, by_cursor = [], []
        page, cursor = 1, None
        while True:
            listing = await world.job_views.list("ten_a", which, PageRequest(page=page, per_page=7))
            assert listing.total == len(expected)
            by_number += [job.id for job in listing.rows]
            if not listing.has_more:
                break
            page += 1
        while True:
            listing = await world.job_views.list("ten_a", which, PageRequest(per_page=7, after_id=cursor))
            by_cursor += [job.id for job in listing.rows]
            if (cursor := listing.next_id) is None:
                break
        assert by_number == expected, which
        assert by_cursor == expected, which


async def test_another_tenants_jobs_are_never_listed(world: World) -> None:
    await _mixed_jobs(world)
    for status in (None, *JobStatus):
        listing = await world.job_views.list("ten_b", JobFilter(statuses=frozenset({status})), PageRequest())
        assert (listing.rows, listing.total) == ([], 0)


async def test_a_total_above_the_exact_bound_is_an_estimate_not_below_it(world: World) -> None:
    worker = await world.worker()
    await world.db.execute(
        """
        INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by, max_retries,
                          worker_version, created_at)
        SELECT 'ten_a', 'job_' || lpad(n::text, 26, '0'), $1, 'manual', 5, '{}', 'u', 0, 1, $2
        FROM generate_series(1, 30000) AS s (n)
        """,
        worker.id,
        START,
    )
    await world.db.execute("ANALYZE jobs")
    listing = await world.job_views.list("ten_a", JobFilter(), PageRequest())
    assert 20_000 < listing.total <= 60_000


async def test_jobs_are_found_by_tenant_and_id_together(world: World) -> None:
    mine, others = await world.job(await world.worker()), await world.job(await world.worker("ten_b"))
    keys = [
        ("ten_a", mine.id),
        ("ten_b", others.id),
        ("ten_a", others.id),
        ("ten_b", mine.id),
        ("ten_a", "x"),
    ]
    found = await fetch_jobs_by_key(world.db, keys)
    assert found == {("ten_a", mine.id): mine, ("ten_b", others.id): others}
    assert await fetch_jobs_by_key(world.db, []) == {}
