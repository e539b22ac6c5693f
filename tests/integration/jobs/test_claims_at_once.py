"""Executors that claim at the same moment share the work."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, cast

import pytest

from runwright.jobs.model import ClaimedAttempt
from runwright.jobs.store.claim import ClaimResult
from runwright.workers.model import Worker
from tests.integration.jobs.world import World

if TYPE_CHECKING:
    from runwright.db.pool import Pool


async def _while_another_claims(
    world: World, capacity: int, second: Callable[[], Awaitable[ClaimResult]]
) -> tuple[list[ClaimedAttempt], ClaimResult]:
    """Return what an executor claims, and what another gets before the first one commits."""
    async with world.db.acquire() as connection, connection.transaction():
        first = await World(cast("Pool", connection)).claim("exe_a", capacity=capacity)
        return first, await second()


async def test_the_second_claim_takes_the_jobs_after_those_of_the_first(world: World) -> None:
    worker = await world.worker()
    for executor in ("exe_a", "exe_b"):
        await world.executor(executor)
    jobs = [await world.job(worker) for _ in range(20)]
    first, second = await _while_another_claims(world, 8, lambda: world.claim_all("exe_b", capacity=8))
    assert [one.job_id for one in first] == [job.id for job in jobs[:8]]
    assert [one.job_id for one in second.attempts] == [job.id for job in jobs[8:16]]
    assert not second.contended


async def test_the_second_claim_shares_the_work_of_many_workers_and_tenants_too(world: World) -> None:
    workers = [await world.worker(f"ten_{n % 3}") for n in range(12)]
    for executor in ("exe_a", "exe_b"):
        await world.executor(executor)
    for worker in workers:
        for _ in range(4):
            await world.job(worker)
    first, second = await _while_another_claims(world, 9, lambda: world.claim_all("exe_b", capacity=9))
    for attempts in (first, second.attempts):
        assert Counter(one.tenant_id for one in attempts) == {"ten_0": 3, "ten_1": 3, "ten_2": 3}


async def test_a_claim_that_competitors_left_too_little_knows_it(world: World) -> None:
    worker = await world.worker()
    for executor in ("exe_a", "exe_b"):
        await world.executor(executor)
    for _ in range(10):
        await world.job(worker)
    first, second = await _while_another_claims(world, 8, lambda: world.claim_all("exe_b", capacity=8))
    assert (len(first), len(second.attempts)) == (8, 2)
    assert second.contended
    assert not (await world.claim_all("exe_b", capacity=8)).contended, "nobody else claims any more"


@pytest.mark.parametrize("kind", ["max_concurrency", "quota"])
async def test_who_claims_for_a_limited_worker_makes_no_other_executor_wait(world: World, kind: str) -> None:
    limited = await world.worker(max_concurrency=2 if kind == "max_concurrency" else None)
    other = await world.worker("ten_b")
    if kind == "quota":
        await world.db.execute("UPDATE tenants SET running_jobs = 2 WHERE id = 'ten_a'")
    for executor in ("exe_a", "exe_b"):
        await world.executor(executor)
    for worker in (limited, other):
        for _ in range(6):
            await world.job(worker)
    first, second = await _while_another_claims(world, 4, lambda: world.claim_all("exe_b", capacity=6))
    assert Counter(one.tenant_id for one in first) == {"ten_a": 2, "ten_b": 2}
    assert {one.tenant_id for one in second.attempts} == {"ten_b"}
    assert second.contended
    assert second.limited


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_they_claim_no_job_is_claimed_twice_and_no_limit_is_passed(
    world: World, seed: int
) -> None:
    """Ten executors end jobs at random and claim at once; nothing but what is limited is left meanwhile."""
    random = Random(seed)
    workers, limits = await _mixed_workers(world)
    await world.db.execute("UPDATE tenants SET running_jobs = 7 WHERE id = 'ten_0'")
    executors = [await world.executor(f"exe_{n}") for n in range(10)]
    submitted = [
        (await world.job(random.choice(workers), priority=random.randint(1, 9))).id for _ in range(300)
    ]
    running: dict[str, list[ClaimedAttempt]] = {executor: [] for executor in executors}
    seen: list[str] = []
    while len(seen) < len(submitted):
        slots = {executor: 5 - len(running[executor]) for executor in executors}
        claims = await asyncio.gather(*(_claim_all_there_is(world, *one) for one in slots.items()))
        for executor, attempts in zip(executors, claims, strict=True):
            assert len(attempts) <= slots[executor]
            running[executor] += attempts
            seen += [one.job_id for one in attempts]
        _check_limits([one for attempts in running.values() for one in attempts], limits)
        for executor in executors:
            ended = [running[executor].pop() for _ in range(random.randint(0, len(running[executor])))]
            await world.finish(*map(world.end_of, ended), executor_id=executor)
    assert sorted(seen) == sorted(submitted)


async def _mixed_workers(world: World) -> tuple[list[Worker], dict[str, int]]:
    limited = [await world.worker(f"ten_{n % 4}", max_concurrency=n) for n in range(1, 5)]
    free = [await world.worker(f"ten_{n % 4}") for n in range(8)]
    return [*limited, *free], {worker.id: worker.max_concurrency or 0 for worker in limited}


async def _claim_all_there_is(world: World, executor: str, slots: int) -> list[ClaimedAttempt]:
    """Claim again for as long as competitors may have left something, as the claim loop does."""
    attempts: list[ClaimedAttempt] = []
    while len(attempts) < slots:
        claim = await world.claim_all(executor, capacity=slots - len(attempts))
        attempts += claim.attempts
        if not claim.contended:
            break
    return attempts


def _check_limits(running: Sequence[ClaimedAttempt], limits: dict[str, int]) -> None:
    by_worker: Counter[str] = Counter(one.worker_id for one in running)
    assert all(by_worker[worker] <= most for worker, most in limits.items())
    assert Counter(one.tenant_id for one in running)["ten_0"] <= 7
