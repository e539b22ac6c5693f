"""A quota holds, and is rarely counted."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.errors import QuotaError
from runwright.tenants.quotas import CREDIT_SECONDS, INITIAL_CREDIT, Quota


class Shop:
    """Tenants that have things, one or several processes that let them have more."""

    def __init__(self, limit: int | None, *, processes: int = 1) -> None:
        self.limit = limit
        self.now = 0.0
        self.count_takes = 0.0
        self.counts = 0
        self.has: dict[str, int] = {}
        self.processes = [
            Quota("things", limit_of=lambda _: self.limit, count=self._count, seconds=lambda: self.now)
            for _ in range(processes)
        ]

    async def _count(self, tenant_id: str, bound: int) -> int:
        self.counts += 1
        self.now += self.count_takes
        await asyncio.sleep(0)
        return min(self.has.get(tenant_id, 0), bound)

    async def take(self, amount: int = 1, *, tenant: str = "a", process: int = 0) -> bool:
        try:
            await self.processes[process].take(tenant, amount)
        except QuotaError:
            return False
        self.has[tenant] = self.has.get(tenant, 0) + amount
        return True


@given(st.integers(1, 40_000), st.lists(st.integers(1, 3000), max_size=80))
async def test_one_writer_gets_all_of_the_quota_and_no_more(limit: int, amounts: list[int]) -> None:
    shop = Shop(limit)
    shop.has["a"] = limit // 3
    for amount in amounts:
        had = shop.has["a"]
        assert await shop.take(amount) == (had + amount <= limit)


async def test_a_small_quota_is_exact_from_the_first_write_on() -> None:
    shop = Shop(3)
    shop.has["a"] = 2
    assert await shop.take()
    with pytest.raises(QuotaError) as refused:
        await shop.processes[0].take("a")
    assert (refused.value.quota, refused.value.limit, refused.value.current) == ("things", 3, 3)
    assert "things" in refused.value.message
    assert await shop.take(tenant="b")
    shop.has["a"] -= 1
    assert await shop.take(), "what was given back may be had again"
    assert not await shop.take(2)


async def test_far_from_the_quota_almost_nothing_is_counted() -> None:
    shop = Shop(1_000_000)
    for _ in range(50_000):
        assert await shop.take()
    assert shop.counts == 1


async def test_credit_ends_so_that_what_others_wrote_is_seen() -> None:
    shop = Shop(10_000)
    assert await shop.take(INITIAL_CREDIT)
    assert await shop.take()
    shop.has["a"] = 10_000
    assert await shop.take(), "on credit"
    shop.now += CREDIT_SECONDS + 1
    assert not await shop.take()


async def test_four_processes_together_do_not_pass_the_quota() -> None:
    shop = Shop(9000, processes=4)
    shop.has["a"] = 5000
    taken = 0
    for turn in range(8000):
        taken += await shop.take(process=turn % 4)
    assert shop.has["a"] == 9000
    assert taken == 4000
    assert shop.counts < 4200


async def test_a_refused_flood_is_not_counted_each_time() -> None:
    shop = Shop(5)
    shop.has["a"] = 5
    shop.count_takes = 0.5
    for _ in range(100):
        assert not await shop.take()
    assert shop.counts == 1
    shop.now += 5
    assert not await shop.take()
    assert shop.counts == 2


async def test_a_smaller_write_passes_at_once_after_a_larger_one_was_refused() -> None:
    shop = Shop(5)
    shop.has["a"] = 4
    shop.count_takes = 0.5
    assert not await shop.take(2)
    assert await shop.take(1)


async def test_many_at_once_share_a_count() -> None:
    shop = Shop(50_000)
    shop.has["a"] = 10_000
    await shop.take(INITIAL_CREDIT)
    assert all(await asyncio.gather(*(shop.take() for _ in range(500))))
    assert shop.counts == 1


async def test_a_new_limit_holds_at_once() -> None:
    shop = Shop(None)
    assert await shop.take(10**9)
    shop.limit = 10
    assert not await shop.take()
    shop.limit = 2 * 10**9
    assert await shop.take(10**8)
