"""Reserved slots are not claimed for others, and a tenant's usage fades."""

import asyncio
from typing import NamedTuple

import pytest

from runwright.executor.slot_reservations import (
    HALF_LIFE_SECONDS,
    SlotReservations,
    TenantUsage,
    without,
)
from runwright.runtimes.pool.settings import PoolCapacity


class User(NamedTuple):
    tenant_id: str
    worker_id: str


def reserve(slots: SlotReservations, job_id: str, capacity: PoolCapacity, worker_id: str = "w") -> bool:
    return slots.reserve(job_id=job_id, user=User("ten", worker_id), capacity=capacity)


def test_slots_are_reserved_until_none_is_left_and_come_back() -> None:
    slots, two = SlotReservations(), PoolCapacity(2, {})
    assert slots.left_of(two) is two
    assert [reserve(slots, job, two) for job in "abc"] == [True, True, False]
    assert slots.job_ids() == {"a", "b"}
    assert "a" in slots
    assert "c" not in slots
    assert slots.left_of(two) == PoolCapacity(0, {}, 0, {"ten": 2})
    slots.release("a")
    slots.release("unknown")
    assert slots.left_of(two) == PoolCapacity(1, {}, 0, {"ten": 1})
    assert reserve(slots, "c", two)
    assert slots.left_of(PoolCapacity(1, {})).free == 0  # the pool has less than it had


def test_the_slots_of_a_fast_worker_are_used_first_and_are_its_own() -> None:
    slots, capacity = SlotReservations(), PoolCapacity(1, {"fast": 2, "other": 1})
    assert reserve(slots, "a", capacity, "fast")
    assert slots.left_of(capacity) == PoolCapacity(1, {"fast": 1, "other": 1}, 0, {"ten": 1})
    assert reserve(slots, "b", capacity, "fast")
    assert reserve(slots, "c", capacity, "fast")
    assert slots.left_of(capacity) == PoolCapacity(0, {"fast": 0, "other": 1}, 0, {"ten": 3})
    assert not reserve(slots, "d", capacity, "fast")
    assert not reserve(slots, "d", capacity, "slow")
    assert reserve(slots, "d", capacity, "other")
    assert slots.left_of(capacity) == PoolCapacity(0, {"fast": 0, "other": 0}, 0, {"ten": 4})


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


def test_what_is_reserved_is_taken_from_fast_sandboxes_then_free_slots_then_those_of_newcomers() -> None:
    capacity = PoolCapacity(1, {"w": 1}, 2, {"b": 1})
    users = [User("a", "w"), User("a", "w"), User("c", "v")]
    assert without(capacity, users[:1]) == PoolCapacity(1, {"w": 0}, 2, {"a": 1, "b": 1})
    assert without(capacity, users[:2]) == PoolCapacity(0, {"w": 0}, 2, {"a": 2, "b": 1})
    assert without(capacity, users) == PoolCapacity(0, {"w": 0}, 1, {"a": 2, "b": 1, "c": 1})


def test_slots_of_newcomers_are_reserved_once_for_each_tenant() -> None:
    reservations, full = SlotReservations(), PoolCapacity(0, {}, 2, {"a": 1})
    wanted = [("1", "a"), ("2", "b"), ("3", "b"), ("4", "c"), ("5", "d")]
    granted = [
        job_id
        for job_id, tenant in wanted
        if reservations.reserve(job_id=job_id, user=User(tenant, "w"), capacity=full)
    ]
    assert granted == ["2", "4"]
    reservations.release("2")
    assert reservations.reserve(job_id="3", user=User("b", "w"), capacity=full)
