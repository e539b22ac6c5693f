"""Sorted and searched lists of jobs: the order is right on every page, and one statement reads a bounded part."""

import random
from datetime import datetime
from itertools import product

import pytest

from runwright.core.ids import new_id
from runwright.core.job_state import ErrorCode, JobStatus, Trigger
from runwright.core.paging import PageRequest
from runwright.job_views.model import JobFilter, JobSort
from runwright.job_views.store import listing
from runwright.job_views.store.listing import JobCursor, decode_cursor
from runwright.jobs.model import Job
from tests.integration.jobs.world import START, World

WINDOW = 9
FAILED = frozenset({JobStatus.FAILED})


async def some_jobs(world: World, count: int = 40) -> list[Job]:
    """Jobs in every state, newest first; many run equally long, and some never ran."""
    chance = random.Random(3)
    workers = [await world.worker(), await world.worker()]
    await world.executor()
    ids = []
    for _ in range(count):
        ids.append((await world.job(chance.choice(workers))).id)
        world.forward(0.01)
    world.forward(1)
    attempts = await world.claim(capacity=count * 3 // 4)
    endings = [
        world.end_of(attempt, chance.choice((JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)))
        for attempt in attempts[: count // 2]
    ]
    await world.finish(*endings)
    for end in endings:
        started = None if chance.random() < 0.2 else world.clock().replace(microsecond=chance.randrange(9))
        await world.db.execute(
            "UPDATE job_results SET started_at = $2, duration_ms = $3 WHERE job_id = $1",
            end.job_id,
            started,
            None if started is None else chance.randrange(5),
        )
    return [await world.jobs.get("ten_a", job_id) for job_id in reversed(ids)]


def expected(jobs: list[Job], sort: JobSort) -> list[str]:
    """The ids in the order asked for: by value, then by id; jobs without a value last."""

    def key(job: Job) -> tuple[float, str]:
        value: float | datetime | None = job.duration_ms if sort.by_duration else job.started_at
        return (0 if value is None else value.timestamp() if isinstance(value, datetime) else value), job.id

    if not sort.by_value:
        return [job.id for job in sorted(jobs, key=lambda job: job.id, reverse=not sort.ascending)]
    valued = [job for job in jobs if (job.duration_ms if sort.by_duration else job.started_at) is not None]
    rest = [job for job in jobs if job not in valued]
    return [
        job.id
        for part in (valued, rest)
        for job in sorted(part, key=key if part is valued else _by_id, reverse=not sort.ascending)
    ]


def _by_id(job: Job) -> tuple[float, str]:
    return 0, job.id


async def by_cursor(world: World, which: JobFilter, sort: JobSort, per_page: int = 7) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = PageRequest(per_page=per_page, after_id=after)
        listed = await world.job_views.list("ten_a", which, page, sort)
        found += [job.id for job in listed.rows]
        assert listed.has_more == (listed.next_id is not None)
        if (after := listed.next_id) is None:
            return found
        assert decode_cursor(after, sort) is not None


async def by_number(world: World, which: JobFilter, sort: JobSort) -> list[str]:
    pages = [
        await world.job_views.list("ten_a", which, PageRequest(page=n, per_page=7), sort) for n in range(1, 8)
    ]
    return [job.id for page in pages for job in page.rows]


async def test_every_order_is_right_on_every_page_for_every_state(world: World) -> None:
    jobs = await some_jobs(world)
    states = (None, *(frozenset({status}) for status in JobStatus), frozenset(JobStatus) - FAILED)
    for statuses, sort in product(states, JobSort):
        which = JobFilter(statuses=statuses)
        selected = [job for job in jobs if statuses is None or job.status in statuses]
        wanted = expected(selected, sort)
        assert await by_cursor(world, which, sort) == wanted, (statuses, sort)
        assert await by_number(world, which, sort) == wanted, (statuses, sort)
        listed = await world.job_views.list("ten_a", which, PageRequest(), sort)
        assert (listed.total, listed.cut) == (len(wanted), False)


async def test_a_search_goes_on_below_its_window(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = await some_jobs(world)
    chosen = [job.id for job in jobs if job.status is JobStatus.FAILED][::3]
    await world.db.execute(
        "UPDATE job_results SET error = json_build_object('code', 'timeout', 'message', 'Too SLOW by half')"
        " WHERE job_id = ANY ($1)",
        chosen,
    )
    monkeypatch.setattr(listing, "SEARCH_WINDOW", WINDOW)
    for which in (
        JobFilter(error_contains="slow BY"),
        JobFilter(error_code=ErrorCode.TIMEOUT),
        JobFilter(error_contains="slow", worker_id=None, statuses=FAILED),
        JobFilter(error_code=ErrorCode.TIMEOUT, trigger=Trigger.MANUAL),
    ):
        assert await by_cursor(world, which, JobSort.NEWEST, per_page=3) == chosen
        assert await by_cursor(world, which, JobSort.OLDEST, per_page=3) == chosen[::-1]
        first = await world.job_views.list("ten_a", which, PageRequest())
        assert first.cut == (which.statuses is None or len(chosen) * 3 >= WINDOW)
        assert first.total <= WINDOW
    nothing = await world.job_views.list("ten_a", JobFilter(error_contains="never"), PageRequest())
    assert (nothing.rows, nothing.cut, nothing.has_more) == ([], True, True)
    assert await by_cursor(world, JobFilter(error_contains="never"), JobSort.NEWEST) == []


async def test_an_order_by_numbers_is_that_of_a_window_which_later_jobs_do_not_move(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await some_jobs(world)
    monkeypatch.setattr(listing, "SEARCH_WINDOW", WINDOW)
    which = JobFilter()
    first = await world.job_views.list("ten_a", which, PageRequest(per_page=4), JobSort.LONGEST)
    assert (first.cut, first.total, first.has_more) == (True, WINDOW, True)
    found = [job.id for job in first.rows]
    after = first.next_id
    while after is not None:
        await world.job(await world.worker())
        page = PageRequest(per_page=4, after_id=after)
        listed = await world.job_views.list("ten_a", which, page, JobSort.LONGEST)
        assert listed.cut
        found += [job.id for job in listed.rows]
        after = listed.next_id
    assert found == expected(jobs[:WINDOW], JobSort.LONGEST)


async def test_the_statement_of_a_search_reads_no_more_than_its_window(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await world.worker()
    await world.db.execute(
        """
        INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, worker_version, completed_at,
                                 duration_ms, error)
        SELECT 'ten_a', 'job_' || lpad(n::text, 26, '0'), $1, (ARRAY['failed', 'cancelled', 'completed'])[n % 3 + 1],
               1, 1, $2, n, '{"code": "timeout", "message": "late"}' FROM generate_series(1, 3000) AS s (n)
        """,
        worker.id,
        START,
    )
    await world.db.execute("ANALYZE job_results")
    monkeypatch.setattr(listing, "SEARCH_WINDOW", WINDOW)
    for which, sort in (
        (JobFilter(error_contains="never"), JobSort.NEWEST),
        (JobFilter(min_duration_ms=10**6), JobSort.NEWEST),
        (JobFilter(min_duration_ms=10**6, worker_id=worker.id), JobSort.OLDEST),
        (JobFilter(), JobSort.LONGEST),
    ):
        before = await _rows_read(world)
        await world.job_views.list("ten_a", which, PageRequest(), sort)
        assert await _rows_read(world) - before < 30 * (WINDOW), (which, sort)


async def _rows_read(world: World) -> int:
    await world.db.execute("SELECT pg_stat_force_next_flush()")
    return int(
        await world.db.fetchval(
            "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_user_tables"
            " WHERE relname = 'job_results'"
        )
    )


async def test_rows_carry_the_workers_name_and_the_retry(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    job = await world.job(worker)
    assert (job.worker_name, job.retried_as) == ("w", None)
    world.forward(1)
    await world.finish(*(world.end_of(attempt, JobStatus.FAILED) for attempt in await world.claim()))
    first = await world.jobs.retry(world.caller(), job.id)
    again = await world.jobs.retry(world.caller(), job.id)
    assert (first.worker_name, first.retried_as) == ("w", None)
    await world.db.execute("UPDATE workers SET name = 'other'")
    listed = await world.job_views.list("ten_a", JobFilter(), PageRequest())
    assert {row.id: (row.worker_name, row.retried_as) for row in listed.rows} == {
        job.id: ("other", again.id),
        first.id: ("other", None),
        again.id: ("other", None),
    }


def test_a_cursor_is_one_of_its_own_order_only() -> None:
    some, other = new_id("job", START), new_id("job", START)
    cursors = {
        sort: JobCursor(sort=sort, job_id=some, value=-1 if sort.by_value else 0, newest=other)
        for sort in JobSort
    }
    for sort, reader in product(JobSort, JobSort):
        decoded = decode_cursor(cursors[sort].encode(), reader)
        if sort is not reader:
            assert decoded is None
        else:
            assert decoded is not None
            assert (decoded.job_id, decoded.value) == (some, cursors[sort].value)
    for text in (
        *(
            "",
            "created",
            f"created {some} 1",
            "created wkr_1",
            f"-duration {some}",
            f"-duration {some} x {other}",
        ),
        *(
            f"-duration {some} 99999999999999999999 {other}",
            f"-duration {some} 1 x",
            f"-duration {some} 1 {other} ",
        ),
        f"-duration {some} {2**63} {other}",
    ):
        assert not any(decode_cursor(text, sort) for sort in JobSort), text
