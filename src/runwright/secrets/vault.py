"""The vault's service: set, list and delete secrets; reveal their values to jobs.

Values leave the vault only through `reveal`; nothing else returns, logs or raises one.

Rolling out a new primary key takes one process after another. Until every live executor has that
key, values are encrypted with the first key of the ring that all of them have, so that no job
needs a secret that its executor cannot decrypt.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError, UnavailableError
from runwright.core.ids import new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import Caller
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.secrets import store
from runwright.secrets.keyring import Keyring
from runwright.secrets.model import SECRETS_PER_TENANT, SecretInfo, SecretName, VaultKeyError
from runwright.tenants.audit import record

ExecutorKeys = Callable[[], Awaitable[Iterable[Iterable[str]]]]
"""Returns the ids of the vault keys of each live executor."""

_Request = tuple[str, tuple[str, ...]]
"""A tenant and the names of its secrets."""

_Values = Mapping[str, str]
_MAX_IN_FLIGHT: Final = 2


class Vault:
    """The secrets of all tenants."""

    def __init__(self, db: Database, *, clock: Clock, ring: Keyring, executor_keys: ExecutorKeys) -> None:
        self._db = db
        self._clock = clock
        self._ring = ring
        self._executor_keys = executor_keys
        self._reveals: Batcher[_Request, _Values] = Batcher(self._reveal_all, max_in_flight=_MAX_IN_FLIGHT)

    async def stop(self) -> None:
        """Wait for pending reads."""
        await self._reveals.stop()

    async def put(self, caller: Caller, name: str, value: str) -> tuple[SecretInfo, bool]:
        """Set a secret for all attempts that start from now on; return it and whether it is new.

        ConflictError if the tenant has too many secrets, UnavailableError if the executors have no
        key in common with this process.
        """
        secret_name = SecretName(caller.tenant_id, name)
        encrypted = self._ring.encrypt(secret_name, value, with_key=await self._encryption_key())
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            done = await store.put_secret(
                db, encrypted, new_id=new_id("sec", now), limit=SECRETS_PER_TENANT, now=now
            )
            if done is None:
                raise ConflictError(f"The tenant has {SECRETS_PER_TENANT} secrets; delete one first.")
            await record(db, caller, "secret.put", name, after=done[0], now=now)
        return done

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a secret; new attempts of workers that list it fail from now on."""
        async with self._db.acquire() as db, db.transaction():
            if not await store.delete_secret(db, SecretName(caller.tenant_id, name)):
                raise NotFoundError("There is no such secret.")
            await record(db, caller, "secret.delete", name, now=self._clock())

    async def list(self, tenant_id: str, name_contains: str | None, page: PageRequest) -> Listing[SecretInfo]:
        """Return a page of the tenant's secrets without their values, newest first."""
        return await store.list_secrets(self._db, tenant_id=tenant_id, name_contains=name_contains, page=page)

    async def reveal(self, tenant_id: str, names: Sequence[str]) -> _Values:
        """Return the values of those secrets that are set. VaultKeyError if one cannot be decrypted."""
        return await self._reveals.add((tenant_id, tuple(names)))

    async def _reveal_all(self, batch: Sequence[_Request]) -> Sequence[_Values | BaseException]:
        needed = {SecretName(tenant_id, name) for tenant_id, names in batch for name in names}
        found = await store.fetch_secrets(self._db, list(needed))

        def decrypt(request: _Request) -> _Values | BaseException:
            tenant_id, names = request
            secrets = (found.get(SecretName(tenant_id, name)) for name in names)
            try:
                return {secret.name: self._ring.decrypt(secret) for secret in secrets if secret is not None}
            except VaultKeyError as error:
                return error

        return [decrypt(request) for request in batch]

    async def _encryption_key(self) -> str:
        rings = [frozenset(keys) for keys in await self._executor_keys()]
        for key_id in self._ring.ids:
            if all(key_id in ring for ring in rings):
                return key_id
        raise UnavailableError(
            "The executors have no vault key in common with this process; all processes need the same key."
        )
