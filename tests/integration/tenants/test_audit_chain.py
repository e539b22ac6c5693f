"""The audit log's chain: concurrent writers, and whatever is done to it behind the server's back is found."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from runwright.core.clock import system_clock
from runwright.core.ids import new_id
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool
from runwright.tenants.audit import record
from runwright.tenants.audit_chain import (
    ChainCheck,
    ChainedEntry,
    ChainEnds,
    chain_entries,
    count_unchained,
    prune_entries,
    read_chain,
    read_ends,
)

CALLER = Caller("ten_1", "usr_1", Role.TENANT_ADMIN, "key_1", request_id="req_1")
EARLIER_RELEASE = """
INSERT INTO audit_log (id, tenant_id, user_id, key_id, role, request_id, action, subject_id, created_at)
VALUES ($1, 'ten_1', 'usr_1', 'key_1', 'tenant-admin', 'req_1', 'worker.create', 'wkr_1', $2)
"""


async def write(database: Pool, count: int) -> None:
    for number in range(count):
        await record(
            database, CALLER, "worker.update", f"wkr_{number}", now=system_clock(), after={"n": number}
        )


async def chained(database: Pool, count: int) -> None:
    await write(database, count)
    while await chain_entries(database, limit=7):
        pass


async def entries(database: Pool) -> list[ChainedEntry]:
    async with database.acquire() as connection, connection.transaction():
        return [entry async for entry in read_chain(connection)]


async def check(database: Pool, noted: ChainEnds | None = None) -> ChainCheck:
    async with database.acquire() as connection, connection.transaction():
        found = ChainCheck(await read_ends(connection), noted)
        async for entry in read_chain(connection):
            found.take(entry)
    found.finish()
    return found


async def unchained(database: Pool) -> int:
    async with database.acquire() as connection:
        return await count_unchained(connection)


async def test_entries_of_concurrent_writers_are_one_chain_whoever_chains_them(database: Pool) -> None:
    async def chain_until(done: asyncio.Event) -> None:
        while not done.is_set():
            await chain_entries(database, limit=3)

    done = asyncio.Event()
    chainers = [asyncio.create_task(chain_until(done)) for _ in range(2)]
    await asyncio.gather(*(write(database, 10) for _ in range(4)))
    done.set()
    await asyncio.gather(*chainers)
    while await chain_entries(database, limit=100):
        pass
    assert [entry.position for entry in await entries(database)] == list(range(1, 41))
    found = await check(database)
    assert (found.checked, found.findings) == (40, [])
    assert await unchained(database) == 0


async def test_entries_that_an_earlier_release_writes_are_chained_too(database: Pool) -> None:
    await chained(database, 2)
    await database.execute(EARLIER_RELEASE, new_id("aud", system_clock()), system_clock())
    assert await unchained(database) == 1
    assert (await check(database)).findings == [], "what waits for the chain is no finding"
    await chained(database, 0)
    assert [entry.action for entry in await entries(database)][-1] == "worker.create"
    assert (await check(database)).findings == []


SWAPPED = """
UPDATE audit_log SET action = other.action, subject_id = other.subject_id FROM audit_log AS other
WHERE audit_log.position IN (4, 6) AND other.position = 10 - audit_log.position
"""


@pytest.mark.parametrize(
    ("tampering", "positions"),
    [
        ("UPDATE audit_log SET user_id = 'usr_2' WHERE position = 4", [4]),
        ("UPDATE audit_log SET after_hash = NULL WHERE position = 4", [4]),
        ("UPDATE audit_log SET created_at = created_at - interval '1 ms' WHERE position = 1", [1]),
        ("UPDATE audit_log SET hash = sha256('x') WHERE position = 4", [4, 5]),
        ("DELETE FROM audit_log WHERE position = 4", [4]),
        ("DELETE FROM audit_log WHERE position BETWEEN 1 AND 3", [1]),
        ("DELETE FROM audit_log WHERE position >= 8", [8]),
        ("DELETE FROM audit_log", [1]),
        (SWAPPED, [4, 6]),
        ("UPDATE audit_log SET position = NULL, hash = NULL WHERE position = 4", [4]),
        ("UPDATE audit_chain SET position = 9", [10]),
    ],
)
async def test_what_is_done_to_the_log_is_found_and_where(
    database: Pool, tampering: str, positions: list[int]
) -> None:
    await chained(database, 10)
    assert (await check(database)).findings == []
    await database.execute(tampering)
    found = await check(database)
    assert [finding.position for finding in found.findings] == positions
    assert found.problems == len(positions)


async def test_a_chain_that_was_made_anew_does_not_have_the_noted_head(database: Pool) -> None:
    await chained(database, 5)
    noted = (await check(database)).last
    await chained(database, 3)
    assert (await check(database, noted)).findings == []
    await database.execute("UPDATE audit_log SET user_id = 'usr_2' WHERE position = 2")
    await database.execute("UPDATE audit_log SET position = NULL, hash = NULL")
    await database.execute("UPDATE audit_chain SET position = 0, hash = ''")
    await chained(database, 0)
    assert (await check(database)).findings == [], "without a noted head nothing is wrong with it"
    assert [finding.position for finding in (await check(database, noted)).findings] == [5]


async def test_retention_deletes_from_the_start_and_leaves_a_whole_chain(database: Pool) -> None:
    await chained(database, 6)
    late = system_clock() + timedelta(days=1)
    assert await prune_entries(database, before=late, limit=4) == 4
    await chained(database, 2)
    found = await check(database)
    assert (found.checked, found.findings) == (4, [])
    await database.execute("DELETE FROM audit_log WHERE position = 5")
    assert [finding.position for finding in (await check(database)).findings] == [5]


async def test_an_export_is_checked_without_the_database(database: Pool) -> None:
    await chained(database, 5)
    lines = [msgspec.json.encode(entry) for entry in await entries(database)]
    decode = msgspec.json.Decoder(ChainedEntry).decode

    def checked(exported: list[bytes]) -> list[int]:
        found = ChainCheck()
        for line in exported:
            found.take(decode(line))
        found.finish()
        return [finding.position for finding in found.findings]

    assert checked(lines) == []
    assert checked(lines[2:]) == [], "an export may begin anywhere"
    assert checked(lines[:2] + lines[3:]) == [3]
    assert checked([*lines[:2], lines[2].replace(b"usr_1", b"usr_2"), *lines[3:]]) == [3]
