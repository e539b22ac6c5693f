"""Vaults on a database of the test's own."""

import os
from collections.abc import Callable, Sequence

import pytest

from runwright.core.clock import system_clock
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool
from runwright.secrets.keyring import Keyring
from runwright.secrets.vault import Vault

OLD, NEW = os.urandom(32), os.urandom(32)

MakeVault = Callable[..., Vault]


def caller_in(tenant: str) -> Caller:
    """A caller who may write secrets."""
    return Caller(tenant, "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")


@pytest.fixture
def make_vault(database: Pool) -> MakeVault:
    """Makes vaults with the given keys, beside executors with the other keys given."""

    def make(*keys: bytes, executors: Sequence[Sequence[bytes]] = ()) -> Vault:
        async def executor_keys() -> list[tuple[str, ...]]:
            return [Keyring(held).ids if held else () for held in executors]

        return Vault(database, clock=system_clock, ring=Keyring(keys or (OLD,)), executor_keys=executor_keys)

    return make
