"""API keys: create, list and revoke them, and authenticate requests.

Valid keys are cached for `CACHE_TIME`, so that a busy key costs one query in two seconds instead of
one for each request. A revoked key is refused everywhere within that time, and in this process
immediately. Concurrent requests with the same key share one query. Invalid keys are not cached,
since there is no limit to their number: their form is checked first, and the number of lookups of
unknown keys is limited by address. Keys that were cached before are exempt, also behind a proxy.
"""

import asyncio
import hmac
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from runwright.config.private_file import PrivateFileError, make_private_file, read_private_file
from runwright.core.clock import Clock
from runwright.core.errors import ForbiddenError, InvalidError, NotFoundError, RateLimitedError
from runwright.core.ids import new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import ROLES, Caller, Role
from runwright.db.patience import Wait, unhurried
from runwright.db.pool import Database
from runwright.tenants import store
from runwright.tenants.audit import record
from runwright.tenants.model import PLATFORM_KEY_ID, ApiKey, digest, is_key_text, is_tenant_id, new_key_text
from runwright.tenants.rate_limits import RateLimiter

CACHE_TIME: Final = timedelta(seconds=2)
PLATFORM_KEY_FILE: Final = "platform-key"
RECORD_USE_EVERY: Final = timedelta(minutes=1)
CACHED_KEYS: Final = 10_000
NAME_LENGTH: Final = 200


class ApiKeys:
    """The API keys of all tenants, and the platform key."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        platform_key: str | None = None,
        unknown_keys: RateLimiter | None = None,
    ) -> None:
        """`unknown_keys` limits the lookups of unknown keys by address."""
        self._db = db
        self._unknown_keys = unknown_keys
        self._clock = clock
        self._platform_digest = None if platform_key is None else digest(platform_key)
        self._cached: dict[bytes, tuple[ApiKey, datetime]] = {}
        self._lookups: dict[bytes, asyncio.Task[ApiKey | None]] = {}

    async def authenticate(self, key: str, /, address: str | None = None) -> ApiKey | None:
        """Return the active key with this text, or None. RateLimitedError after too many unknown keys."""
        key_digest = digest(key)
        if self._platform_digest is not None and hmac.compare_digest(key_digest, self._platform_digest):
            return ApiKey(id=PLATFORM_KEY_ID, tenant_id=None, role=Role.PLATFORM_ADMIN)
        known = self._cached.get(key_digest)
        if known is not None and self._clock() < known[1]:
            return known[0]
        if not is_key_text(key):
            return None
        if known is None and address is not None:
            self._limit_unknown(address)
        # Shielded: other requests may wait for the same lookup when this one is cancelled.
        async with Wait():
            return await asyncio.shield(self._look_up(key_digest))

    async def create(
        self, caller: Caller, *, tenant_id: str, role: Role, name: str = ""
    ) -> tuple[ApiKey, str]:
        """Create a key and return it with its text, which cannot be retrieved again.

        ForbiddenError for another tenant, unless the caller is the operator, and for a role above
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
        key = ApiKey(id=new_id("key", now), tenant_id=tenant_id, role=role, name=name, created_at=now)
        text = new_key_text()
        async with self._db.acquire() as db, db.transaction():
            await store.insert_key(db, key, digest(text))
            await record(db, caller, "key.create", key.id, tenant_id=tenant_id, after=key, now=now)
        return key, text

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """Return a key of the caller's tenant; the operator may read any."""
        return _visible(caller, key_id, await store.fetch_key(self._db, key_id))

    async def page(self, caller: Caller, tenant_id: str | None, page: PageRequest) -> Listing[ApiKey]:
        """Return a page of the tenant's keys, newest first; the operator may list any tenant's or all."""
        if not caller.sees_all_tenants:
            _require_tenant(caller, tenant_id or caller.tenant_id)
            tenant_id = caller.tenant_id
        return await store.page_keys(self._db, tenant_id, page)

    async def list(self, tenant_id: str | None = None) -> list[ApiKey]:
        """Return the keys of one tenant or of all, newest first."""
        return await store.list_keys(self._db, tenant_id)

    async def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """Revoke a key permanently; idempotent. ForbiddenError if its role is above the caller's."""
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
        self._cached.clear()
        return _visible(caller, key_id, revoked)

    def _limit_unknown(self, address: str) -> None:
        bucket = None if self._unknown_keys is None else self._unknown_keys.take(address)
        if bucket is not None and bucket.retry_after is not None:
            message = f"Too many unknown API keys from this address; try again in {bucket.retry_after} s."
            raise RateLimitedError(message, retry_after=bucket.retry_after)

    def _look_up(self, key_digest: bytes) -> asyncio.Task[ApiKey | None]:
        task = self._lookups.get(key_digest)
        if task is None:
            with unhurried():
                task = asyncio.create_task(self._fetch(key_digest))
            self._lookups[key_digest] = task
            task.add_done_callback(lambda _: self._lookups.pop(key_digest))
        return task

    async def _fetch(self, key_digest: bytes) -> ApiKey | None:
        now = self._clock()
        key = await store.use_key(self._db, key_digest, now=now, every=RECORD_USE_EVERY)
        if key is None:
            self._cached.pop(key_digest, None)
            return None
        if len(self._cached) >= CACHED_KEYS:
            self._cached.clear()
        self._cached[key_digest] = (key, now + CACHE_TIME)
        return key


def _require_tenant(caller: Caller, tenant_id: str) -> None:
    if tenant_id != caller.tenant_id and not caller.sees_all_tenants:
        raise ForbiddenError("Only a platform-admin with a platform key may manage another tenant's keys.")


def _require_role(caller: Caller, role: Role) -> None:
    if role > caller.role:
        raise ForbiddenError(
            f"A caller with the role {caller.role.wire_name} may not manage keys with a higher role."
        )


def _visible(caller: Caller, key_id: str, key: ApiKey | None) -> ApiKey:
    if key is None or not (caller.sees_all_tenants or key.tenant_id == caller.tenant_id):
        raise NotFoundError(f"There is no key {key_id}.")
    return key


def platform_key(configured: str | None, data_dir: Path) -> str:
    """Return the configured platform key, or the one in `data_dir`, which is generated at first."""
    if configured is not None:
        return configured
    path = data_dir / PLATFORM_KEY_FILE
    if not path.exists():
        make_private_file(path, new_key_text())
    text = read_private_file(path)
    if not text:
        raise PrivateFileError(f"{path} is empty; delete it, and a new key is generated")
    return text


def role_named(name: str) -> Role:
    """Return the role with this name."""
    role = ROLES.get(name)
    if role is None:
        raise InvalidError({"role": [f"Must be one of: {', '.join(ROLES)}."]})
    return role
