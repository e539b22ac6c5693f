"""A log is read in pages and followed while it grows, and no line is missing or comes twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest
from asyncpg import Pool

from runwright.core.errors import NotFoundError
from runwright.core.job_state import JobStatus
from runwright.job_views import logs
from runwright.job_views.logs import LogFilter, TailEnd, TailPart, read_logs, tail_log
from runwright.job_views.store.log_chunks import StoredChunk, fetch_log_chunks
from runwright.jobs.model import ClaimedAttempt, LogChunk
from runwright.jobs.store.finish import append_logs
from tests.integration.jobs.world import EXECUTOR, World, fresh_id


async def running(world: World) -> ClaimedAttempt:
    await world.executor()
    await world.job(await world.worker())
    [attempt] = await world.claim()
    return attempt


async def log(world: World, *chunks: LogChunk) -> None:
    await append_logs(world.db, executor_id=EXECUTOR, chunks=chunks)


@pytest.mark.parametrize(
    ("limit", "level", "pages"), [(100, None, [100, 20]), (120, None, [120]), (7, "warn", [7, 5])]
)
async def test_pages_join_into_the_lines_of_many_chunks(
    world: World, limit: int, level: str | None, pages: list[int]
) -> None:
    attempt = await running(world)
    chunks = []
    for number in range(120):
        chunk = world.chunk(attempt, str(number), seq=number + 1)
        if number % 10 == 3:
            chunk = msgspec.structs.replace(chunk, lines=chunk.lines.replace(b"info", b"warn"))
        chunks.append(chunk)
    await log(world, *chunks)
    found, sizes, after = [], [], 0
    while True:
        page = await read_logs(
            world.db,
            job_id=attempt.job_id,
            job_status=JobStatus.RUNNING,
            which=LogFilter(level),
            limit=limit,
            after=after,
        )
        assert (page.job_id, page.job_status) == (attempt.job_id, JobStatus.RUNNING)
        found += page.logs
        sizes.append(len(page.logs))
        if page.next_after is None:
            break
        after = page.next_after
    expected = [str(number) for number in range(120) if level is None or number % 10 == 3]
    assert [line.msg for line in found] == expected
    assert sizes == pages
    assert [line.seq - attempt.fence * 1_000_000 for line in found] == [int(one) + 1 for one in expected]
    assert {line.attempt for line in found} == {1}


async def test_a_page_begins_in_the_middle_of_a_chunk(world: World) -> None:
    attempt = await running(world)
    await log(world, world.chunk(attempt, "a", "b", "c"))
    page = await world.job_views.logs(
        "ten_a", attempt.job_id, level=None, limit=1, after=attempt.fence * 1_000_000 + 1
    )
    assert [line.msg for line in page.logs] == ["b"]
    assert page.next_after == attempt.fence * 1_000_000 + 2


def tail(
    world: World, job_id: str, over: asyncio.Event, *, level: str | None = None
) -> AsyncIterator[TailPart]:
    return tail_log(
        world.db,
        world.notifications,
        tenant_id="ten_a",
        job_id=job_id,
        which=LogFilter(level),
        after=0,
        over=over.is_set,
    )


def texts(part: TailPart) -> list[str]:
    assert isinstance(part, list)
    return [line.msg for line in part]


async def test_a_long_log_is_followed_in_parts_that_join(world: World) -> None:
    attempt = await running(world)
    messages = [str(number) for number in range(1_001)]
    await log(world, world.chunk(attempt, *messages))
    await world.finish(world.end_of(attempt))
    parts = [part async for part in tail(world, attempt.job_id, asyncio.Event())]
    assert [len(texts(part)) for part in parts[:-1]] == [*[logs.LINES_PER_READ] * 10, 1]
    assert [text for part in parts[:-1] for text in texts(part)] == messages
    assert parts[-1] == TailEnd(attempt.job_id, JobStatus.COMPLETED)


async def test_who_follows_gets_each_line_once_and_asks_others_to_notify_it_once(world: World) -> None:
    attempt = await running(world)
    over = asyncio.Event()
    parts = tail(world, attempt.job_id, over)
    assert texts(await anext(parts)) == []
    for number, text in enumerate("abc", 1):
        await log(world, world.chunk(attempt, text, seq=number))
        world.notifications.logs_written(attempt.job_id)
        # It may have looked between the write and the notification, which then shows nothing new.
        while not (found := texts(await anext(parts))):
            pass
        assert found == [text]
    follows = [payload for payload in world.sent if "follow" in payload]
    assert follows == [f"test follow {attempt.job_id}"]
    over.set()
    world.notifications.wake_all()
    assert [part async for part in parts] == []


async def test_following_shows_the_lines_of_its_level_only(world: World) -> None:
    attempt = await running(world)
    chunk = world.chunk(attempt, "quiet")
    loud = world.chunk(attempt, "loud", seq=2)
    await log(world, chunk, msgspec.structs.replace(loud, lines=loud.lines.replace(b"info", b"error")))
    async with aclosing(tail(world, attempt.job_id, asyncio.Event(), level="error")) as parts:  # type: ignore[type-var]
        assert texts(await anext(parts)) == ["loud"]


async def test_lines_that_were_looked_at_in_vain_are_not_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader whose filter finds nothing would read the whole log again for each new line."""
    attempt = await running(world)
    await log(world, world.chunk(attempt, "a", "b", "c"))
    read_after: list[int] = []
    fetch = fetch_log_chunks

    async def note(db: Pool, *, job_id: str, after: int, limit: int, offset: int) -> list[StoredChunk]:
        read_after.append(after - attempt.fence * 1_000_000)
        return await fetch(db, job_id=job_id, after=after, limit=limit, offset=offset)

    monkeypatch.setattr(logs, "fetch_log_chunks", note)
    over = asyncio.Event()
    async with aclosing(tail(world, attempt.job_id, over, level="error")) as parts:  # type: ignore[type-var]
        assert texts(await anext(parts)) == []
        await log(world, world.chunk(attempt, "d", seq=4))
        world.notifications.logs_written(attempt.job_id)
        while read_after[-1] < 4:
            assert texts(await anext(parts)) == []
    assert read_after[0] < 0
    assert set(read_after[1:]) <= {3, 4}


async def test_a_job_that_is_not_there_cannot_be_followed(world: World) -> None:
    assert [part async for part in tail(world, fresh_id(), asyncio.Event())] == []
    with pytest.raises(NotFoundError):
        await world.job_views.tail("ten_a", world.submission("wkr_x").id, level=None, after=0)


async def test_a_wait_that_is_over_before_it_begins_shows_nothing(world: World) -> None:
    attempt = await running(world)
    world.job_views.end_tails()
    assert [
        part async for part in await world.job_views.tail("ten_a", attempt.job_id, level=None, after=0)
    ] == []
