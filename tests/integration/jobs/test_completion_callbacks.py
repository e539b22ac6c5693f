"""Following a log across processes: hints travel only for jobs that somebody follows."""

import asyncio

from runwright.core.job_state import JobStatus
from runwright.job_views.logs import LogFilter, TailEnd, TailPart, tail_log
from runwright.jobs.notifications import FOLLOW_SECONDS, JobNotifications
from tests.integration.jobs.world import World


def two_processes() -> tuple[JobNotifications, JobNotifications, list[str]]:
    """Two switchboards that hear each other, and what they said."""
    said: list[str] = []
    both: list[JobNotifications] = []

    def send(payload: str) -> None:
        said.append(payload)
        for notifications in both:
            notifications.receive(payload)

    both += [JobNotifications(origin="reader", send=send), JobNotifications(origin="executor", send=send)]
    return both[0], both[1], said


async def test_new_lines_wake_who_follows_in_another_process() -> None:
    reader, executor, said = two_processes()
    with reader.watching("job_1") as watch:
        reader.follow("job_1")
        assert executor.followed("job_1")
        executor.logs_written("job_1")
        assert watch.woken.is_set()
    said.clear()
    executor.logs_written("job_2")
    assert said == []


async def test_who_does_not_repeat_it_is_forgotten() -> None:
    now = 100.0
    executor = JobNotifications(origin="executor", send=lambda _: None, monotonic=lambda: now)
    executor.receive("reader follow job_1")
    now += FOLLOW_SECONDS + 1
    assert executor.followed("job_1")
    now += 60
    assert not executor.followed("job_1")


async def test_the_lines_of_an_attempt_are_given_before_the_end(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    job = await world.job(worker)
    over = False
    parts: list[TailPart] = []
    first = asyncio.Event()

    async def follow() -> None:
        tail = tail_log(
            world.db,
            world.notifications,
            tenant_id="ten_a",
            job_id=job.id,
            which=LogFilter(),
            after=0,
            over=lambda: over,
        )
        async for part in tail:
            parts.append(part)
            first.set()

    following = asyncio.create_task(follow())
    await first.wait()
    assert parts == [[]]
    [claimed] = await world.claim()
    await world.finish(world.end_of(claimed, log=world.chunk(claimed, "one", "two")))
    world.notifications.jobs_ended([job.id])
    await following
    *lines, end = parts
    assert [line.msg for part in lines if isinstance(part, list) for line in part] == ["one", "two"]
    assert end == TailEnd(job.id, JobStatus.COMPLETED)
