"""API keys: create, list, rotate and revoke them, and authenticate requests.

Valid keys are cached (`credential_cache`): a revoked key is refused everywhere within `CACHE_TIME`, and in
this process immediately. When keys were used last is gathered in memory and written now and then, for all
keys together: authentication never writes.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from runwright.config.private_file import PrivateFileError, make_private_file, read_private_file
from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from runwright.core.ids import new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import ROLES, Caller, KeyScope, Role
from runwright.db.pool import Database
from runwright.tenants import key_store
from runwright.tenants.audit import record
from runwright.tenants.credential_cache import CredentialCache
from runwright.tenants.model import (
    PLATFORM_KEY_ID,
    ApiKey,
    KeyCreate,
    digest,
    is_key_text,
    is_tenant_id,
    new_key_text,
)
from runwright.tenants.rate_limits import RateLimiter
from runwright.tenants.session_store import end_sessions_of

PLATFORM_KEY_FILE: Final = "platform-key"
RECORD_USE_EVERY: Final = timedelta(minutes=1)
RECORD_SECONDS: Final = 10.0
NAME_LENGTH: Final = 200
MOST_PREVIOUS: Final = 10
"""How many earlier texts of a key may be accepted at once."""


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
        self._clock = clock
        self._platform_digest = None if platform_key is None else digest(platform_key)
        self._cache = CredentialCache(self._fetch, clock=clock, unknown=unknown_keys)
        self._used: dict[str, datetime] = {}
        """The keys that were used, and when, until it is written."""

    async def authenticate(self, key: str, /, address: str | None = None) -> ApiKey | None:
        """Return the active key with this text, or None. RateLimitedError after too many unknown keys.

        Its `expires_at` is that of the text: an earlier one ends before the key does.
        """
        key_digest = digest(key)
        if self._platform_digest is not None and hmac.compare_digest(key_digest, self._platform_digest):
            return ApiKey(id=PLATFORM_KEY_ID, tenant_id=None, role=Role.PLATFORM_ADMIN)
        return await self._cache.find(key_digest, address) if is_key_text(key) else None

    async def create(self, caller: Caller, new: KeyCreate) -> tuple[ApiKey, str]:
        """Create a key and return it with its text, which cannot be retrieved again.

        ForbiddenError for another tenant, unless the caller is the operator, and for a role or a scope
        that the caller does not have.
        """
        now = self._clock()
        _require_tenant(caller, new.tenant_id)
        _require_rights(caller, new.role, new.scopes)
        _check(new, now)
        key = ApiKey(**msgspec.structs.asdict(new), id=new_id("key", now), created_at=now)
        text = new_key_text()
        async with self._db.acquire() as db, db.transaction():
            await key_store.insert_key(db, key, digest(text))
            await record(db, caller, "key.create", key.id, tenant_id=key.tenant_id, after=key, now=now)
        return key, text

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """Return a key of the caller's tenant; the operator may read any."""
        return self._shown(_visible(caller, key_id, await key_store.fetch_key(self._db, key_id)))

    async def page(self, caller: Caller, tenant_id: str | None, page: PageRequest) -> Listing[ApiKey]:
        """Return a page of the tenant's keys, newest first; the operator may list any tenant's or all."""
        if not caller.sees_all_tenants:
            _require_tenant(caller, tenant_id or caller.tenant_id)
            tenant_id = caller.tenant_id
        return (await key_store.page_keys(self._db, tenant_id, page)).map(self._shown)

    async def list(self, tenant_id: str | None = None) -> Sequence[ApiKey]:
        """Return the keys of one tenant or of all, newest first."""
        return [self._shown(key) for key in await key_store.list_keys(self._db, tenant_id)]

    async def rotate(
        self, caller: Caller, key_id: str, *, overlap: timedelta, expires_at: datetime | None | UnsetType
    ) -> tuple[ApiKey, str]:
        """Give a key a new text, and return both; the text before is accepted for the overlap.

        Sessions that were made until now end with the text before. UNSET: the key keeps its expiry.

        ForbiddenError as for `create`; ConflictError for a key that is revoked or has expired, and where
        too many earlier texts are still accepted.
        """
        now = self._clock()
        if expires_at is not UNSET:
            _check_expiry(expires_at, now)
        text = new_key_text()
        async with self._db.acquire() as db, db.transaction():
            key = _visible(caller, key_id, await key_store.fetch_key(db, key_id, lock=True))
            _require_rights(caller, key.role, key.scopes)
            if not key.is_active(now):
                raise ConflictError("The key was revoked or has expired; create another one.")
            if await key_store.count_previous(db, key_id, now=now) >= MOST_PREVIOUS:
                raise ConflictError(f"{MOST_PREVIOUS} earlier texts of this key are accepted already.")
            until = now + overlap if key.expires_at is None else min(now + overlap, key.expires_at)
            expiry = key.expires_at if expires_at is UNSET else expires_at
            rotated = msgspec.structs.replace(key, expires_at=expiry)
            await key_store.rotate_key(db, rotated, digest(text), until=until)
            await end_sessions_of(db, key_id, at=until)
            await record(
                db, caller, "key.rotate", key_id, tenant_id=key.tenant_id, before=key, after=rotated, now=now
            )
            stored = await key_store.fetch_key(db, key_id)
        self._cache.clear()
        return self._shown(_visible(caller, key_id, stored)), text

    async def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """Revoke a key permanently; idempotent. ForbiddenError if its role is above the caller's."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            key = _visible(caller, key_id, await key_store.fetch_key(db, key_id, lock=True))
            _require_rights(caller, key.role)
            if key.revoked_at is not None:
                return self._shown(key)
            revoked = await key_store.revoke_key(db, key_id, now=now)
            await record(
                db, caller, "key.revoke", key_id, tenant_id=key.tenant_id, before=key, after=revoked, now=now
            )
        self._cache.clear()
        return self._shown(_visible(caller, key_id, revoked))

    async def record_uses(self) -> float:
        """Write when keys were used last; return the pause before the next call."""
        if self._used:
            used, self._used = self._used, {}
            try:
                await key_store.record_uses(self._db, used)
            except BaseException:
                self._used = used | self._used
                raise
        return RECORD_SECONDS

    async def _fetch(self, key_digest: bytes, now: datetime) -> tuple[ApiKey, datetime | None] | None:
        found = await key_store.find_key(self._db, key_digest, now=now)
        if found is None:
            return None
        key = found.key
        last = self._used.get(key.id, key.last_used_at)
        if last is None or last <= now - RECORD_USE_EVERY:
            self._used[key.id] = now
        ends = [at for at in (key.expires_at, found.text_expires_at) if at is not None]
        until = min(ends, default=None)
        return msgspec.structs.replace(key, expires_at=until), until

    def _shown(self, key: ApiKey) -> ApiKey:
        """Return a key with a use that is not written yet, and without an overlap that is over."""
        over = key.previous_until is not None and key.previous_until <= self._clock()
        return msgspec.structs.replace(
            key,
            last_used_at=self._used.get(key.id, key.last_used_at),
            previous_until=None if over else key.previous_until,
        )


def _check(new: KeyCreate, now: datetime) -> None:
    problems: dict[str, list[str]] = {}
    if not is_tenant_id(new.tenant_id):
        problems["tenant"] = ["Must be 1 to 128 letters, digits, '_', '.' or '-'."]
    if len(new.name) > NAME_LENGTH or "\0" in new.name:
        problems["name"] = [f"Must be at most {NAME_LENGTH} characters, without NUL."]
    if not new.scopes:
        problems["scopes"] = ["Must name at least one scope."]
    if problems:
        raise InvalidError(problems)
    _check_expiry(new.expires_at, now)


def _check_expiry(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise InvalidError({"expires_at": ["Must be in the future."]})


def _require_tenant(caller: Caller, tenant_id: str) -> None:
    if tenant_id != caller.tenant_id and not caller.sees_all_tenants:
        raise ForbiddenError("Only a platform-admin with a platform key may manage another tenant's keys.")


def _require_rights(caller: Caller, role: Role, scopes: frozenset[KeyScope] = frozenset()) -> None:
    if role > caller.role:
        raise ForbiddenError(
            f"A caller with the role {caller.role.wire_name} may not manage keys with a higher role."
        )
    if missing := scopes - caller.scopes:
        raise ForbiddenError(f"The caller's key does not have the scopes {', '.join(sorted(missing))}.")


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
