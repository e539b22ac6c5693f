"""Secrets are set, named, deleted and revealed within one tenant, and encrypted with the right key."""

import asyncio

import pytest

from runwright.core.errors import ConflictError, NotFoundError, UnavailableError
from runwright.core.paging import PageRequest
from runwright.db.pool import Pool
from runwright.secrets import vault as service
from runwright.secrets.keyring import key_id
from runwright.secrets.model import DecryptionError, VaultKeyError
from tests.integration.secrets.conftest import NEW, OLD, MakeVault, caller_in


async def test_a_value_is_encrypted_in_the_table_and_revealed_to_its_tenant_alone(
    make_vault: MakeVault, database: Pool
) -> None:
    vault = make_vault()
    info, created = await vault.put(caller_in("ten_a"), "TOKEN", "hunter2-value")
    assert (info.name, created) == ("TOKEN", True)
    row = await database.fetchrow("SELECT * FROM secrets")
    assert row is not None
    assert b"hunter2" not in row["sealed"]
    assert row["key_id"] == key_id(OLD)
    assert await vault.reveal("ten_a", ["TOKEN", "GONE"]) == {"TOKEN": "hunter2-value"}
    assert await vault.reveal("ten_b", ["TOKEN"]) == {}
    with pytest.raises(NotFoundError):
        await vault.delete(caller_in("ten_b"), "TOKEN")
    await vault.delete(caller_in("ten_a"), "TOKEN")
    assert await vault.reveal("ten_a", ["TOKEN"]) == {}
    with pytest.raises(NotFoundError):
        await vault.delete(caller_in("ten_a"), "TOKEN")


async def test_a_new_value_replaces_the_old_one_at_once(make_vault: MakeVault) -> None:
    vault, other = make_vault(), make_vault()
    first, _ = await vault.put(caller_in("ten_a"), "TOKEN", "first-value")
    second, created = await vault.put(caller_in("ten_a"), "TOKEN", "second-value")
    assert not created
    assert second.updated_at >= first.updated_at
    assert await other.reveal("ten_a", ["TOKEN"]) == {"TOKEN": "second-value"}


async def test_reveals_that_are_asked_for_together_each_get_their_own(make_vault: MakeVault) -> None:
    vault = make_vault()
    names = [(f"ten_{n % 3}", f"S{n % 5}") for n in range(60)]
    for tenant, name in dict.fromkeys(names):
        await vault.put(caller_in(tenant), name, f"{tenant}-{name}")
    revealed = await asyncio.gather(*(vault.reveal(tenant, [name]) for tenant, name in names))
    assert revealed == [{name: f"{tenant}-{name}"} for tenant, name in names]
    await vault.stop()


async def test_one_broken_value_fails_only_the_request_for_it(make_vault: MakeVault, database: Pool) -> None:
    vault = make_vault()
    await vault.put(caller_in("ten_a"), "GOOD", "good-value")
    await vault.put(caller_in("ten_a"), "BAD", "bad-value")
    await database.execute(
        "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'GOOD') WHERE name = 'BAD'"
    )
    good, bad = await asyncio.gather(
        vault.reveal("ten_a", ["GOOD"]), vault.reveal("ten_a", ["BAD"]), return_exceptions=True
    )
    assert good == {"GOOD": "good-value"}
    assert isinstance(bad, DecryptionError)
    assert "BAD" in str(bad)
    assert "value of" in str(bad)
    assert "bad-value" not in str(bad)


async def test_a_tenant_has_at_most_so_many_whatever_happens_at_once(
    make_vault: MakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SECRETS_PER_TENANT", 5)
    vault = make_vault()
    done = await asyncio.gather(
        *(vault.put(caller_in("ten_a"), f"S{n}", "value-of-it") for n in range(12)), return_exceptions=True
    )
    assert sum(isinstance(one, ConflictError) for one in done) == 7
    listed = (await vault.list("ten_a", None, PageRequest())).rows
    assert len(listed) == 5
    assert (await vault.put(caller_in("ten_a"), listed[0].name, "another-value"))[1] is False
    assert (await vault.put(caller_in("ten_b"), "S", "value-of-it"))[1] is True


async def test_lists_hold_names_newest_first_by_page_and_by_part_of_the_name(make_vault: MakeVault) -> None:
    vault = make_vault()
    for n in range(5):
        await vault.put(caller_in("ten_a"), f"TOKEN_{n}", "value-of-it")
    await vault.put(caller_in("ten_b"), "TOKEN_9", "value-of-it")
    first = await vault.list("ten_a", None, PageRequest(per_page=3))
    assert ([one.name for one in first.rows], first.total) == (["TOKEN_4", "TOKEN_3", "TOKEN_2"], 5)
    rest = await vault.list("ten_a", None, PageRequest(per_page=3, after_id=first.next_id))
    assert ([one.name for one in rest.rows], rest.has_more) == (["TOKEN_1", "TOKEN_0"], False)
    assert [one.name for one in (await vault.list("ten_a", "en_2", PageRequest())).rows] == ["TOKEN_2"]


async def test_a_new_first_key_encrypts_once_every_executor_has_it(
    make_vault: MakeVault, database: Pool
) -> None:
    for executors, used in (
        ((), NEW),
        (((NEW, OLD),), NEW),
        (((NEW, OLD), (OLD,)), OLD),
        (((OLD, NEW), (NEW, OLD)), NEW),
    ):
        await make_vault(NEW, OLD, executors=executors).put(caller_in("ten_a"), "TOKEN", "value-of-it")
        assert await database.fetchval("SELECT key_id FROM secrets") == key_id(used)
    with pytest.raises(UnavailableError, match="no vault key in common"):
        await make_vault(NEW, executors=[(OLD,)]).put(caller_in("ten_a"), "TOKEN", "value-of-it")


async def test_a_value_under_a_key_that_is_not_there_says_which_and_of_what(make_vault: MakeVault) -> None:
    await make_vault(NEW).put(caller_in("ten_a"), "TOKEN", "value-of-it")
    with pytest.raises(VaultKeyError, match=f"TOKEN .* {key_id(NEW)}"):
        await make_vault(OLD).reveal("ten_a", ["TOKEN"])
