"""The vault, as callers use it: write, name and delete secrets; reveal them to jobs.

Values go in and come out for jobs only: nothing here returns, logs or raises one.

Which key seals. A ring with a new first key is rolled out one process after the other. Until
every live executor holds that key, values are sealed with the first key of the ring that they
all hold, so that no job meets a value that its executor cannot open.
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

HeldKeys = Callable[[], Awaitable[Iterable[Iterable[str]]]]
"""Tells which vault keys each live executor holds."""

Wanted = tuple[str, tuple[str, ...]]
Revealed = Mapping[str, str]
_LANES: Final = 2


class Vault:
    """The secrets of all tenants."""

    def __init__(self, db: Database, *, clock: Clock, ring: Keyring, held_keys: HeldKeys) -> None:
        self._db = db
        self._clock = clock
        self._ring = ring
        self._held_keys = held_keys
        self._reveals: Batcher[Wanted, Revealed] = Batcher(self._reveal_all, lanes=_LANES)

    async def stop(self) -> None:
        """Wait for what is being revealed."""
        await self._reveals.stop()

    async def put(self, caller: Caller, name: str, value: str) -> tuple[SecretInfo, bool]:
        """Set a secret, in force for every attempt that begins from now on; True where it is new.

        ConflictError where the tenant has as many as it may, UnavailableError where the executors
        hold no key in common with this process.
        """
        whose = SecretName(caller.tenant_id, name)
        sealed = self._ring.seal(whose, value, with_key=await self._sealing_key())
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            done = await store.put_secret(
                db, sealed, new_id=new_id("sec", now), most=SECRETS_PER_TENANT, now=now
            )
            if done is None:
                raise ConflictError(f"The tenant has {SECRETS_PER_TENANT} secrets; delete one first.")
            await record(db, caller, "secret.put", name, after=done[0], now=now)
        return done

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a secret for good; jobs of workers that list it fail from now on."""
        async with self._db.acquire() as db, db.transaction():
            if not await store.delete_secret(db, SecretName(caller.tenant_id, name)):
                raise NotFoundError("There is no such secret.")
            await record(db, caller, "secret.delete", name, now=self._clock())

    async def list(self, tenant_id: str, name_contains: str | None, page: PageRequest) -> Listing[SecretInfo]:
        """Return a page of the names of the tenant's secrets, newest first."""
        return await store.list_secrets(self._db, tenant_id=tenant_id, name_contains=name_contains, page=page)

    async def reveal(self, tenant_id: str, names: Sequence[str]) -> Revealed:
        """Return the values of those names that are set. VaultKeyError where one cannot be opened."""
        return await self._reveals.add((tenant_id, tuple(names)))

    async def _reveal_all(self, batch: Sequence[Wanted]) -> Sequence[Revealed | BaseException]:
        wanted = {SecretName(tenant_id, name) for tenant_id, names in batch for name in names}
        found = await store.fetch_sealed(self._db, list(wanted))

        def open_for(one: Wanted) -> Revealed | BaseException:
            tenant_id, names = one
            sealed = (found.get(SecretName(tenant_id, name)) for name in names)
            try:
                return {secret.name: self._ring.open(secret) for secret in sealed if secret is not None}
            except VaultKeyError as error:
                return error

        return [open_for(one) for one in batch]

    async def _sealing_key(self) -> str:
        rings = [frozenset(keys) for keys in await self._held_keys()]
        for key_id in self._ring.ids:
            if all(key_id in ring for ring in rings):
                return key_id
        raise UnavailableError(
            "The executors hold another vault key than this process; all need the same one."
        )
