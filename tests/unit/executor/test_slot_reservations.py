"""What is left of a pool's capacity."""

from runwright.executor.slot_reservations import Holder, SlotReservations, without
from runwright.runtimes.pool.settings import PoolCapacity


def test_what_is_reserved_is_taken_from_fast_sandboxes_then_free_slots_then_those_of_newcomers() -> None:
    capacity = PoolCapacity(1, {"w": 1}, 2, {"b": 1})
    holders = [Holder("a", "w"), Holder("a", "w"), Holder("c", "v")]
    assert without(capacity, holders[:1]) == PoolCapacity(1, {"w": 0}, 2, {"a": 1, "b": 1})
    assert without(capacity, holders[:2]) == PoolCapacity(0, {"w": 0}, 2, {"a": 2, "b": 1})
    assert without(capacity, holders) == PoolCapacity(0, {"w": 0}, 1, {"a": 2, "b": 1, "c": 1})


def test_slots_of_newcomers_are_reserved_once_for_each_tenant() -> None:
    reservations, full = SlotReservations(), PoolCapacity(0, {}, 2, {"a": 1})
    wanted = [("1", "a"), ("2", "b"), ("3", "b"), ("4", "c"), ("5", "d")]
    granted = [
        job_id
        for job_id, tenant in wanted
        if reservations.reserve(job_id=job_id, holder=Holder(tenant, "w"), capacity=full)
    ]
    assert granted == ["2", "4"]
    reservations.release("2")
    assert reservations.reserve(job_id="3", holder=Holder("b", "w"), capacity=full)
