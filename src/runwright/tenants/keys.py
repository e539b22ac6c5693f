"""API keys: made, listed, revoked, and recognised on every request.

Recognised keys are remembered for `REMEMBER`, so a busy key costs a query every two seconds and
not one per request; a revoked key is refused everywhere within that time, in this process at
once. Callers that ask for the same key together share one query. Wrong keys are not remembered:
there is no end of them. Their shape is checked first, and an address may ask after so many keys
that this process has not met; those that it has met pass, also from behind the same proxy.
"""

import asyncio
import hmac
from datetime import datetime, timedelta
from typing import Final

from runwright.core.clock import Clock
from runwright.core.errors import ForbiddenError, InvalidError, NotFoundError, RateLimitedError
from runwright.core.ids import new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import ROLES, Caller, Role
from runwright.db.pool import Database
from runwright.tenants import key_store as store
from runwright.tenants.audit import record
from runwright.tenants.model import PLATFORM_KEY_ID, Key, digest, is_key_text, is_tenant_id, new_key_text
from runwright.tenants.rate_limits import RateLimiter

REMEMBER: Final = timedelta(seconds=2)
NOTE_USE_EVERY: Final = timedelta(minutes=1)
REMEMBERED_KEYS: Final = 10_000
NAME_LENGTH: Final = 200


class Keys:
    """The keys of all tenants, and the platform's own."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        platform_key: str | None = None,
        strangers: RateLimiter | None = None,
    ) -> None:
        """`strangers` says how many unknown keys an address may try."""
        self._db = db
        self._strangers = strangers
        self._clock = clock
        self._platform_digest = None if platform_key is None else digest(platform_key)
        self._remembered: dict[bytes, tuple[Key, datetime]] = {}
        self._asking: dict[bytes, asyncio.Task[Key | None]] = {}

    async def authenticate(self, key: str, /, address: str | None = None) -> Key | None:
        """Return the live key that this text is, or None. RateLimitedError: too many unknown ones."""
        key_digest = digest(key)
        if self._platform_digest is not None and hmac.compare_digest(key_digest, self._platform_digest):
            return Key(id=PLATFORM_KEY_ID, tenant_id=None, role=Role.PLATFORM_ADMIN)
        known = self._remembered.get(key_digest)
        if known is not None and self._clock() < known[1]:
            return known[0]
        if not is_key_text(key):
            return None
        if known is None and address is not None:
            self._require_patience(address)
        # Shielded: others wait for the same answer when this caller goes away.
        return await asyncio.shield(self._ask(key_digest))

    async def create(self, caller: Caller, *, tenant_id: str, role: Role, name: str = "") -> tuple[Key, str]:
        """Make a key; its text is returned here and can never be had again.

        ForbiddenError for another tenant, unless it is the operator who asks, and for a role above
        the caller's own.
        """
        _require_tenant(caller, tenant_id)
        _require_role(caller, role)
        problems: dict[str, list[str]] = {}
        if not is_tenant_id(tenant_id):
            problems["tenant"] = ["Must be 1 to 128 letters, digits, '_', '.' or '-'."]
        if len(name) > NAME_LENGTH or "\0" in name:
            problems["name"] = [f"Must be at most {NAME_LENGTH} characters, without NUL."]
        if problems:
            raise InvalidError(problems)
        now = self._clock()
        key = Key(id=new_id("key", now), tenant_id=tenant_id, role=role, name=name, created_at=now)
        text = new_key_text()
        async with self._db.acquire() as db, db.transaction():
            await store.insert_key(db, key, digest(text))
            await record(db, caller, "key.create", key.id, tenant_id=tenant_id, after=key, now=now)
        return key, text

    async def get(self, caller: Caller, key_id: str) -> Key:
        """Return one key of the caller's tenant, or any to the operator."""
        return _visible(caller, key_id, await store.fetch_key(self._db, key_id))

    async def page(self, caller: Caller, tenant_id: str | None, page: PageRequest) -> Listing[Key]:
        """Return a page of keys, newest first: the tenant's own, or to the operator all or one tenant's."""
        if not caller.sees_all_tenants:
            _require_tenant(caller, tenant_id or caller.tenant_id)
            tenant_id = caller.tenant_id
        return await store.page_keys(self._db, tenant_id, page)

    async def list(self, tenant_id: str | None = None) -> list[Key]:
        """Return the keys of one tenant, or of all, newest first."""
        return await store.list_keys(self._db, tenant_id)

    async def revoke(self, caller: Caller, key_id: str) -> Key:
        """Revoke a key for good; doing so twice is no error. ForbiddenError where its role is above."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            key = _visible(caller, key_id, await store.fetch_key(db, key_id, lock=True))
            _require_role(caller, key.role)
            if key.revoked_at is not None:
                return key
            revoked = await store.revoke_key(db, key_id, now=now)
            await record(
                db, caller, "key.revoke", key_id, tenant_id=key.tenant_id, before=key, after=revoked, now=now
            )
        self._remembered.clear()
        return _visible(caller, key_id, revoked)

    def _require_patience(self, address: str) -> None:
        allowance = None if self._strangers is None else self._strangers.take(address)
        if allowance is not None and allowance.retry_after is not None:
            message = f"Too many unknown API keys from this address; try again in {allowance.retry_after} s."
            raise RateLimitedError(message, retry_after=allowance.retry_after)

    def _ask(self, key_digest: bytes) -> asyncio.Task[Key | None]:
        task = self._asking.get(key_digest)
        if task is None:
            task = asyncio.create_task(self._look_up(key_digest))
            self._asking[key_digest] = task
            task.add_done_callback(lambda _: self._asking.pop(key_digest))
        return task

    async def _look_up(self, key_digest: bytes) -> Key | None:
        now = self._clock()
        key = await store.use_key(self._db, key_digest, now=now, every=NOTE_USE_EVERY)
        if key is None:
            self._remembered.pop(key_digest, None)
            return None
        if len(self._remembered) >= REMEMBERED_KEYS:
            self._remembered.clear()
        self._remembered[key_digest] = (key, now + REMEMBER)
        return key


def _require_tenant(caller: Caller, tenant_id: str) -> None:
    if tenant_id != caller.tenant_id and not caller.sees_all_tenants:
        raise ForbiddenError("Only a platform-admin with a platform key looks after another tenant's keys.")


def _require_role(caller: Caller, role: Role) -> None:
    if role > caller.role:
        raise ForbiddenError(f"A caller in the role {caller.role.wire_name} looks after no key above it.")


def _visible(caller: Caller, key_id: str, key: Key | None) -> Key:
    if key is None or not (caller.sees_all_tenants or key.tenant_id == caller.tenant_id):
        raise NotFoundError(f"There is no key {key_id}.")
    return key


def role_named(name: str) -> Role:
    """Return the role that the wire calls this."""
    role = ROLES.get(name)
    if role is None:
        raise InvalidError({"role": [f"Must be one of: {', '.join(ROLES)}."]})
    return role
