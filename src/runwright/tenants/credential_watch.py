"""Ends what stays open for long, such as a stream of events, once its caller has no access any more.

One statement every `CHECK_SECONDS` checks the credentials of everything that is open in this process.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import TenantSuspendedError
from runwright.db.pool import Database
from runwright.tenants.model import PLATFORM_KEY_ID
from runwright.tenants.session_store import valid_credentials
from runwright.tenants.status_cache import TenantStatusCache

CHECK_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 60.0


class _Open(msgspec.Struct, frozen=True, eq=False):
    """Something that is open, and how to end it."""

    tenant_id: str
    credentials: frozenset[str]
    """The ids of a key, and of a session that was derived from it."""
    end: Callable[[], None]


class CredentialWatch:
    """What is open in this process. Its loop calls `check`; `wake` asks for the next call."""

    def __init__(self, db: Database, tenant_status: TenantStatusCache, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._tenant_status = tenant_status
        self._open: set[_Open] = set()
        self.wake: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def watching(self, tenant_id: str, credentials: Iterable[str], end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if one of the credentials ends or the tenant is suspended during the block."""
        one = _Open(tenant_id, frozenset(credentials) - {PLATFORM_KEY_ID}, end)
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
        ids = frozenset[str]().union(*(one.credentials for one in checked))
        valid = await valid_credentials(self._db, ids, now=self._clock()) if ids else set()
        for one in checked:
            if not one.credentials <= valid or self._is_suspended(one.tenant_id):
                one.end()
        return CHECK_SECONDS

    def _is_suspended(self, tenant_id: str) -> bool:
        try:
            self._tenant_status.require_active(tenant_id)
        except TenantSuspendedError:
            return True
        return False
