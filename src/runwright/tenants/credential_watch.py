"""Ends what stays open for long, such as a stream of events, once its caller has no access any more.

One statement every `CHECK_SECONDS` checks the credentials of everything that is open in this process.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from runwright.core.errors import TenantSuspendedError
from runwright.db.pool import Database
from runwright.tenants.model import PLATFORM_KEY_ID
from runwright.tenants.status_cache import TenantStatusCache
from runwright.tenants.store import valid_keys

CHECK_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 60.0


class _Open(msgspec.Struct, frozen=True, eq=False):
    """Something that is open, and how to end it."""

    tenant_id: str
    key_id: str
    end: Callable[[], None]


class CredentialWatch:
    """What is open in this process. Its loop calls `check`; `wake` asks for the next call."""

    def __init__(self, db: Database, tenant_status: TenantStatusCache) -> None:
        self._db = db
        self._tenant_status = tenant_status
        self._open: set[_Open] = set()
        self.wake: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def watching(self, tenant_id: str, key_id: str, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if the key is revoked or the tenant suspended during the block."""
        one = _Open(tenant_id, key_id, end)
        if not self._open:
            self.wake()
        self._open.add(one)
        try:
            yield
        finally:
            self._open.discard(one)

    async def check(self) -> float:
        """End what has no access any more; return the pause before the next check."""
        if not self._open:
            return IDLE_SECONDS
        checked = list(self._open)
        keys = {one.key_id for one in checked} - {PLATFORM_KEY_ID}
        valid = await valid_keys(self._db, keys) if keys else set()
        for one in checked:
            if (one.key_id in keys and one.key_id not in valid) or self._is_suspended(one.tenant_id):
                one.end()
        return CHECK_SECONDS

    def _is_suspended(self, tenant_id: str) -> bool:
        try:
            self._tenant_status.require_active(tenant_id)
        except TenantSuspendedError:
            return True
        return False
