"""Shares end in time, with their key's text and with the platform key; they are bounded and leave nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from msgspec import UNSET

from runwright.core.errors import (
    ForbiddenError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    UnauthenticatedError,
)
from runwright.core.ids import JobId
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool
from runwright.tenants import job_shares as job_shares_module
from runwright.tenants.api_keys import ApiKeys
from runwright.tenants.credential_cache import CACHE_TIME
from runwright.tenants.job_share_store import prune_shares
from runwright.tenants.job_shares import JobShares
from runwright.tenants.model import PLATFORM_KEY_ID, KeyCreate
from runwright.tenants.rate_limits import Rate
from tests.integration.tenants.conftest import Time
from tests.waiting import PATIENCE_SECONDS

OPERATOR = Caller("ten_1", "usr_1", Role.PLATFORM_ADMIN, PLATFORM_KEY_ID, by_platform=True)
JOB = JobId("job_01jd9x3v7m0000000000000000")
PLATFORM = "a-platform-key-of-the-operator"


@pytest.fixture
async def shares(database: Pool, time: Time) -> JobShares:
    shares = JobShares(database, clock=time, platform_key=PLATFORM)
    await shares.set_allowed(OPERATOR, allowed=True)
    return shares


async def refused(shares: JobShares, text: str) -> bool:
    try:
        await shares.visit(text, None)
    except UnauthenticatedError:
        return True
    return False


async def test_the_text_of_a_share_is_stored_nowhere(shares: JobShares, database: Pool) -> None:
    _, text = await shares.create(OPERATOR, JOB, seconds=60)
    for table in ("job_shares", "audit_log"):
        rows = await database.fetch(f"SELECT t::text AS row FROM {table} t")
        assert rows
        assert all(text[4:] not in row["row"] for row in rows)


async def test_a_share_ends_in_time_with_its_keys_text_and_with_the_platform_key(
    shares: JobShares, database: Pool, time: Time
) -> None:
    keys = ApiKeys(database, clock=time)
    key, _ = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_SYSTEM_ADMIN))
    caller = Caller("ten_1", "usr_1", Role.TENANT_SYSTEM_ADMIN, key.id)
    _, short = await shares.create(caller, JOB, seconds=60)
    _, long = await shares.create(caller, JOB, seconds=3600)
    other = JobShares(database, clock=time, platform_key=PLATFORM + "x")
    assert await refused(other, long)
    assert (await shares.visit(short, None)).job_id == JOB
    time.pass_by(timedelta(seconds=60))
    assert await refused(shares, short)
    assert not await refused(shares, long)
    await keys.rotate(OPERATOR, key.id, overlap=timedelta(), expires_at=UNSET)
    time.pass_by(CACHE_TIME)
    assert await refused(shares, long)
    assert [one.id for one in await shares.list("ten_1", JOB)] == []


async def test_a_tenant_has_so_many_and_ended_ones_are_deleted(
    shares: JobShares, database: Pool, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_shares_module, "MOST_SHARES", 2)
    for seconds in (60, 3600):
        await shares.create(OPERATOR, JOB, seconds=seconds)
    with pytest.raises(QuotaError):
        await shares.create(OPERATOR, JOB, seconds=60)
    time.pass_by(timedelta(seconds=60))
    kept, _ = await shares.create(OPERATOR, JOB, seconds=60)
    assert await prune_shares(database, now=time.now, limit=10) == 1
    assert kept.id in [one.id for one in await shares.list("ten_1", JOB)]


async def visits_until_limited(shares: JobShares, text: str) -> int:
    for visits in range(1_000):
        try:
            await shares.visit(text, None)
        except RateLimitedError:
            return visits
    raise AssertionError("There is no limit.")


async def test_visitors_have_a_rate_of_their_own(shares: JobShares) -> None:
    _, text = await shares.create(OPERATOR, JOB, seconds=60)
    _, other = await shares.create(OPERATOR, JOB, seconds=60)
    assert await visits_until_limited(shares, text) >= 60
    await shares.visit(other, None)


async def test_what_is_ended_here_is_refused_here_at_once(shares: JobShares) -> None:
    (first, one), (_, other) = [await shares.create(OPERATOR, JOB, seconds=60) for _ in range(2)]
    for text in (one, other):
        await shares.visit(text, None)
    with pytest.raises(NotFoundError):
        await shares.revoke(OPERATOR, JobId("job_01jd9x3v7m0000000000000001"), first.id)
    assert not await refused(shares, one)
    await shares.revoke(OPERATOR, JOB, first.id)
    assert await refused(shares, one)
    assert not await refused(shares, other)
    await shares.set_allowed(OPERATOR, allowed=False)
    assert await refused(shares, other)


async def test_all_links_of_a_tenant_have_a_rate_together(
    shares: JobShares, database: Pool, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_again = Rate(per_second=1e-9, burst=3)
    monkeypatch.setattr(job_shares_module, "_TENANT_VISITS", never_again)
    limited = JobShares(database, clock=time, platform_key=PLATFORM)
    texts = [(await shares.create(OPERATOR, JOB, seconds=60))[1] for _ in range(4)]
    for text in texts[:3]:
        await limited.visit(text, None)
    with pytest.raises(RateLimitedError):
        await limited.visit(texts[3], None)
    elsewhere = Caller("ten_2", "usr_1", Role.PLATFORM_ADMIN, PLATFORM_KEY_ID, by_platform=True)
    await shares.set_allowed(elsewhere, allowed=True)
    _, text = await shares.create(elsewhere, JOB, seconds=60)
    await limited.visit(text, None)


async def test_shares_of_keys_that_have_ended_show_nothing_and_do_not_count(
    shares: JobShares, database: Pool, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_shares_module, "MOST_SHARES", 1)
    ends = KeyCreate(
        tenant_id="ten_1", role=Role.TENANT_SYSTEM_ADMIN, expires_at=time.now + timedelta(seconds=60)
    )
    key, _ = await ApiKeys(database, clock=time).create(OPERATOR, ends)
    _, text = await shares.create(Caller("ten_1", "usr_1", key.role, key.id), JOB, seconds=3600)
    time.pass_by(timedelta(seconds=60))
    assert await refused(shares, text)
    await shares.create(OPERATOR, JOB, seconds=3600)
    with pytest.raises(QuotaError):
        await shares.create(OPERATOR, JOB, seconds=3600)


@asynccontextmanager
async def tenant_held(database: Pool) -> AsyncIterator[None]:
    """Hold the row of the tenant, so that others wait for it."""
    async with database.acquire() as db, db.transaction():
        await db.execute("SELECT FROM tenants WHERE id = 'ten_1' FOR UPDATE")
        yield


async def until_waiting(database: Pool, count: int) -> list[int]:
    """Wait until so many connections wait for a row; return their process ids."""
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found := await database.fetch(waiting)) < count:  # noqa: ASYNC110  a lock notifies nobody
            await asyncio.sleep(0.01)
    return [row["pid"] for row in found]


async def test_those_who_share_at_once_are_counted_one_after_another(
    shares: JobShares, database: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_shares_module, "MOST_SHARES", 2)
    async with tenant_held(database):
        at_once = [asyncio.create_task(shares.create(OPERATOR, JOB, seconds=60)) for _ in range(4)]
        await until_waiting(database, 4)
    ended = await asyncio.gather(*at_once, return_exceptions=True)
    assert [type(one) for one in ended if isinstance(one, Exception)] == [QuotaError] * 2
    assert len(await shares.list("ten_1", JOB)) == 2


async def test_forbidding_waits_for_a_share_that_is_being_made_and_ends_it(
    shares: JobShares, database: Pool
) -> None:
    async with tenant_held(database):
        made = asyncio.create_task(shares.create(OPERATOR, JOB, seconds=60))
        await until_waiting(database, 1)
        forbidden = asyncio.create_task(shares.set_allowed(OPERATOR, allowed=False))
        await until_waiting(database, 2)
    await asyncio.gather(made, forbidden, return_exceptions=True)
    assert await database.fetchval("SELECT count(*) FROM job_shares") == 0
    with pytest.raises(ForbiddenError):
        await shares.create(OPERATOR, JOB, seconds=60)


async def test_a_connection_that_ends_half_way_leaves_nothing_half_done(
    shares: JobShares, database: Pool
) -> None:
    kept, text = await shares.create(OPERATOR, JOB, seconds=3600)
    before = await database.fetch("SELECT id FROM audit_log ORDER BY id")
    for act in (
        lambda: shares.create(OPERATOR, JOB, seconds=60),
        lambda: shares.set_allowed(OPERATOR, allowed=False),
    ):
        async with tenant_held(database):
            begun = asyncio.ensure_future(act())
            [pid] = await until_waiting(database, 1)
            await database.execute("SELECT pg_terminate_backend($1)", pid)
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await begun
    assert await database.fetch("SELECT id FROM audit_log ORDER BY id") == before
    assert [one.id for one in await shares.list("ten_1", JOB)] == [kept.id]
    assert (await shares.visit(text, None)).id == kept.id
    await shares.create(OPERATOR, JOB, seconds=60)
