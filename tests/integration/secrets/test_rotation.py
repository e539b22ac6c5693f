"""A rotation moves every value to the first key, beside writers, and may be killed and run again."""

import asyncio

import pytest

from runwright.automations.store.secrets import SECRET_OWNER_PREFIX
from runwright.core.ids import OwnerId
from runwright.db.pool import Pool
from runwright.secrets import rotation, store
from runwright.secrets.keyring import Keyring, SecretBox, key_id
from runwright.secrets.model import EncryptedValue, SecretName
from runwright.secrets.rotation import rotate
from runwright.wiring.resources import ENCRYPTED_COLUMNS
from tests.integration.secrets.conftest import NEW, OLD, MakeVault, caller_in

RING = Keyring([NEW, OLD])


async def fill(make_vault: MakeVault, count: int) -> None:
    vault = make_vault(OLD)
    for n in range(count):
        await vault.put(caller_in(f"ten_{n % 2}"), f"S{n}", f"value-{n}")


async def test_every_value_decrypts_with_the_new_key_alone_afterwards(
    make_vault: MakeVault, database: Pool
) -> None:
    await fill(make_vault, 25)
    before = await database.fetch("SELECT tenant_id, name, id, updated_at FROM secrets ORDER BY id")
    assert (await rotate(database, RING, ENCRYPTED_COLUMNS, batch=4)).reencrypted == 25
    assert set(await store.count_by_key(database)) == {key_id(NEW)}
    for n in range(25):
        assert await make_vault(NEW).reveal(f"ten_{n % 2}", [f"S{n}"]) == {f"S{n}": f"value-{n}"}
    assert before == await database.fetch("SELECT tenant_id, name, id, updated_at FROM secrets ORDER BY id")
    assert (await rotate(database, RING, ENCRYPTED_COLUMNS)).reencrypted == 0


async def test_a_value_that_is_set_meanwhile_is_left_alone(
    make_vault: MakeVault, database: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(make_vault, 3)
    replace = store.replace_values

    async def meanwhile(db: Pool, pairs: rotation.Pairs) -> int:
        await make_vault(OLD).put(caller_in("ten_0"), "S0", "newer-value")
        return await replace(db, pairs)

    monkeypatch.setattr(store, "replace_values", meanwhile)
    assert (await rotate(database, RING, ENCRYPTED_COLUMNS)).reencrypted == 2
    assert await make_vault(NEW, OLD).reveal("ten_0", ["S0"]) == {"S0": "newer-value"}
    monkeypatch.undo()
    assert (await rotate(database, RING, ENCRYPTED_COLUMNS)).reencrypted == 1
    assert await make_vault(NEW).reveal("ten_0", ["S0"]) == {"S0": "newer-value"}


async def test_a_rotation_that_was_killed_is_carried_on_by_the_next(
    make_vault: MakeVault, database: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(make_vault, 10)
    replace = store.replace_values
    done = 0

    async def dies(db: Pool, pairs: rotation.Pairs) -> int:
        nonlocal done
        if done >= 4:
            raise asyncio.CancelledError
        done += await replace(db, pairs)
        return done

    monkeypatch.setattr(store, "replace_values", dies)
    with pytest.raises(asyncio.CancelledError):
        await rotate(database, RING, ENCRYPTED_COLUMNS, batch=2)
    monkeypatch.undo()
    assert set(await store.count_by_key(database)) == {key_id(OLD), key_id(NEW)}
    vault = make_vault(NEW, OLD)
    for n in range(10):
        assert await vault.reveal(f"ten_{n % 2}", [f"S{n}"]) == {f"S{n}": f"value-{n}"}
    assert (await rotate(database, RING, ENCRYPTED_COLUMNS, batch=2)).reencrypted == 6


async def test_two_rotations_at_once_do_the_work_of_one(make_vault: MakeVault, database: Pool) -> None:
    await fill(make_vault, 20)
    both = await asyncio.gather(
        rotate(database, RING, ENCRYPTED_COLUMNS, batch=3), rotate(database, RING, ENCRYPTED_COLUMNS, batch=5)
    )
    assert sum(one.reencrypted for one in both) == 20
    for n in range(20):
        assert await make_vault(NEW).reveal(f"ten_{n % 2}", [f"S{n}"]) == {f"S{n}": f"value-{n}"}


async def test_what_cannot_be_decrypted_is_reported_and_stays(make_vault: MakeVault, database: Pool) -> None:
    await fill(make_vault, 3)
    await make_vault(b"x" * 32).put(caller_in("ten_z"), "FOREIGN", "value-of-it")
    await database.execute("UPDATE secrets SET sealed = sealed || '\\x00' WHERE name = 'S1'")
    done = await rotate(database, RING, ENCRYPTED_COLUMNS, batch=1)
    assert (done.reencrypted, done.altered) == (2, [SecretName("ten_1", "S1")])
    assert done.unknown_keys == [key_id(b"x" * 32)]
    assert await make_vault(b"x" * 32).reveal("ten_z", ["FOREIGN"]) == {"FOREIGN": "value-of-it"}


async def make_endpoint(db: Pool, endpoint_id: str, *secrets: str) -> None:
    await db.execute(
        "INSERT INTO endpoints (id, tenant_id, style, url, events, patterns, status, created_by, created_at,"
        " updated_at) VALUES ($1, 'ten_a', 'ava', 'https://h', '{}', '{}', 'active', 'usr_1', now(), now())",
        endpoint_id,
    )
    for number, secret in enumerate(secrets):
        encrypted = SecretBox(Keyring([OLD])).encrypt("ten_a", OwnerId(endpoint_id), secret)
        await db.execute(
            "INSERT INTO endpoint_secrets (endpoint_id, number, key_id, sealed) VALUES ($1, $2, $3, $4)",
            endpoint_id,
            number,
            encrypted.key_id,
            encrypted.ciphertext,
        )


async def test_secrets_of_endpoints_are_reencrypted_too(make_vault: MakeVault, database: Pool) -> None:
    await fill(make_vault, 1)
    for n in range(5):
        await make_endpoint(database, f"wh_{n}", f"first-{n}", f"second-{n}")
    assert await rotation.count_by_key(database, ENCRYPTED_COLUMNS) == {key_id(OLD): 11}
    assert (await rotate(database, RING, ENCRYPTED_COLUMNS, batch=2)).reencrypted == 11
    assert await rotation.count_by_key(database, ENCRYPTED_COLUMNS) == {key_id(NEW): 11}
    rows = await database.fetch("SELECT * FROM endpoint_secrets ORDER BY endpoint_id, number")
    decrypted = [
        SecretBox(Keyring([NEW])).decrypt(
            "ten_a", row["endpoint_id"], EncryptedValue(row["key_id"], row["sealed"])
        )
        for row in rows
    ]
    assert decrypted == [f"{which}-{n}" for n in range(5) for which in ("first", "second")]


async def test_endpoints_whose_key_is_lost_are_paused_and_say_why(database: Pool) -> None:
    await make_endpoint(database, "wh_1", "first", "second")
    assert await rotation.discard(database, key_id(OLD), ENCRYPTED_COLUMNS) == [SecretName("ten_a", "wh_1")]
    row = await database.fetchrow("SELECT status, status_reason FROM endpoints")
    assert row is not None
    assert row["status"] == "paused"
    assert "set another one" in row["status_reason"]
    assert await rotation.count_by_key(database, ENCRYPTED_COLUMNS) == {}


async def test_the_values_of_a_lost_key_can_be_discarded_by_its_id(
    make_vault: MakeVault, database: Pool
) -> None:
    await fill(make_vault, 3)
    await make_vault(NEW).put(caller_in("ten_0"), "KEPT", "value-of-it")
    assert await store.count_by_key(database) == {key_id(OLD): 3, key_id(NEW): 1}
    gone = await rotation.discard(database, key_id(OLD), ENCRYPTED_COLUMNS)
    assert gone == [SecretName("ten_0", "S0"), SecretName("ten_0", "S2"), SecretName("ten_1", "S1")]
    assert await make_vault(NEW).reveal("ten_0", ["KEPT"]) == {"KEPT": "value-of-it"}


async def make_agent(db: Pool, agent_id: str, url: str | None) -> None:
    await db.execute(
        "INSERT INTO agents (id, tenant_id, name, description, style, events, patterns, callback_url, active,"
        " task_types, created_by, created_at, updated_at)"
        " VALUES ($1, 'ten_a', $1, '', 'avala', '{}', '{}', $2, true, '{}', 'usr_1', now(), now())",
        *(agent_id, url),
    )
    encrypted = SecretBox(Keyring([OLD])).encrypt("ten_a", OwnerId(agent_id), f"secret of {agent_id}")
    await db.execute(
        "INSERT INTO agent_secrets VALUES ($1, $2, $3)", agent_id, encrypted.key_id, encrypted.ciphertext
    )


async def test_secrets_of_agents_are_reencrypted_too(database: Pool) -> None:
    for n in range(3):
        await make_agent(database, f"agt_{n}", "https://h")
    assert (await rotate(database, RING, ENCRYPTED_COLUMNS, batch=2)).reencrypted == 3
    rows = await database.fetch("SELECT * FROM agent_secrets ORDER BY agent_id")
    secret_box = SecretBox(Keyring([NEW]))
    assert [
        secret_box.decrypt("ten_a", row["agent_id"], EncryptedValue(row["key_id"], row["sealed"]))
        for row in rows
    ] == [f"secret of agt_{n}" for n in range(3)]


async def test_agents_that_are_called_and_whose_key_is_lost_stop_and_say_why(database: Pool) -> None:
    await make_agent(database, "agt_called", "https://h")
    await make_agent(database, "agt_polls", None)
    gone = await rotation.discard(database, key_id(OLD), ENCRYPTED_COLUMNS)
    assert gone == [SecretName("ten_a", "agt_called"), SecretName("ten_a", "agt_polls")]
    rows = await database.fetch("SELECT active, inactive_reason FROM agents ORDER BY id")
    assert [row["active"] for row in rows] == [False, True]
    assert "lost" in rows[0]["inactive_reason"]
    assert rows[1]["inactive_reason"] is None


async def test_secrets_of_triggers_are_reencrypted_too(database: Pool) -> None:
    await database.execute(
        "INSERT INTO automations (id, tenant_id, kind, scope, workspace_id, name, agent_name, prompt, enabled,"
        " limit_max, limit_window, limit_span, source, event, webhook_id, endpoint_slug, details, created_by,"
        " created_at, updated_at) VALUES ('trg_1', 'ten_a', 'trigger', 'global', '', 'n', 'a', 'p', true, 1,"
        " '1h', interval '1 hour', 'dynamic', 'webhook', 'w', 's', '{}', 'usr_1', now(), now())"
    )
    for number, secret in enumerate(("first", "second")):
        encrypted = SecretBox(Keyring([OLD])).encrypt("ten_a", OwnerId(f"{SECRET_OWNER_PREFIX}trg_1"), secret)
        await database.execute(
            "INSERT INTO automation_secrets (automation_id, number, key_id, sealed)"
            " VALUES ('trg_1', $1, $2, $3)",
            *(number, encrypted.key_id, encrypted.ciphertext),
        )
    assert (await rotate(database, RING, ENCRYPTED_COLUMNS)).reencrypted == 2
    rows = await database.fetch("SELECT key_id, sealed FROM automation_secrets ORDER BY number")
    secret_box = SecretBox(Keyring([NEW]))
    assert [
        secret_box.decrypt(
            "ten_a", OwnerId(f"{SECRET_OWNER_PREFIX}trg_1"), EncryptedValue(row["key_id"], row["sealed"])
        )
        for row in rows
    ] == ["first", "second"]
    assert await rotation.discard(database, key_id(NEW), ENCRYPTED_COLUMNS) == [SecretName("ten_a", "trg_1")]
    assert not await database.fetchval("SELECT enabled FROM automations")
