"""Reserved slots are not claimed for others, and a tenant's usage fades."""

import asyncio

import pytest

from runwright.executor.claim_loop import HALF_LIFE_SECONDS, SlotReservations, TenantUsage
from runwright.runtimes.pool.settings import PoolCapacity


def test_slots_are_reserved_until_none_is_left_and_come_back() -> None:
    slots, two = SlotReservations(), PoolCapacity(2, {})
    assert slots.left_of(two) is two
    assert [slots.reserve(job_id=job, worker_id="w", capacity=two) for job in "abc"] == [True, True, False]
    assert slots.job_ids() == {"a", "b"}
    assert "a" in slots
    assert "c" not in slots
    assert slots.left_of(two) == PoolCapacity(0, {})
    slots.release("a")
    slots.release("unknown")
    assert slots.left_of(two) == PoolCapacity(1, {})
    assert slots.reserve(job_id="c", worker_id="w", capacity=two)
    assert slots.left_of(PoolCapacity(1, {})).free < 0  # the pool has less than it had


def test_the_slots_of_a_fast_worker_are_used_first_and_are_its_own() -> None:
    slots, capacity = SlotReservations(), PoolCapacity(1, {"fast": 2, "other": 1})
    assert slots.reserve(job_id="a", worker_id="fast", capacity=capacity)
    assert slots.left_of(capacity) == PoolCapacity(1, {"fast": 1, "other": 1})
    assert slots.reserve(job_id="b", worker_id="fast", capacity=capacity)
    assert slots.reserve(job_id="c", worker_id="fast", capacity=capacity)
    assert slots.left_of(capacity) == PoolCapacity(0, {"fast": 0, "other": 1})
    assert not slots.reserve(job_id="d", worker_id="fast", capacity=capacity)
    assert not slots.reserve(job_id="d", worker_id="slow", capacity=capacity)
    assert slots.reserve(job_id="d", worker_id="other", capacity=capacity)
    assert slots.left_of(capacity) == PoolCapacity(0, {"fast": 0, "other": 0})


async def test_usage_halves_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, now = asyncio.get_running_loop(), 1_000.0
    usage = TenantUsage()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: now)
        assert usage.by_tenant() == {}
        for _ in range(8):
            usage.count("busy")
        usage.count("idle")
        now += 1.0
        assert usage.by_tenant() == {"busy": 8.0, "idle": 1.0}  # not every claim computes it anew
        now += HALF_LIFE_SECONDS - 1.0
        assert usage.by_tenant() == {"busy": 4.0}
        now += 0.5
        assert usage.by_tenant() == {"busy": 4.0}
        now += 2 * HALF_LIFE_SECONDS - 0.5
        usage.count("busy")
        assert usage.by_tenant() == {"busy": 1.25}
