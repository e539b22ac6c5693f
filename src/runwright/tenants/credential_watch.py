"""Ends what stays open for long, such as a stream of events, once its caller has no access any more.

One statement every `CHECK_SECONDS` checks the credentials of everything that is open in this process.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import TenantSuspendedError
from runwright.db.pool import Database
from runwright.tenants.model import PLATFORM_KEY_ID, restricted_digest
from runwright.tenants.session_store import valid_credentials
from runwright.tenants.status_cache import TenantStatusCache

CHECK_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 60.0


class CallerCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was authenticated with: a key by its text, or a session that was derived from a key."""

    key_id: str
    text_digest: bytes | None = None
    """Of the key's text, which a rotation replaces."""
    session_id: str | None = None

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all that must be active; the platform key always is."""
        return frozenset({self.key_id, self.session_id or self.key_id} - {PLATFORM_KEY_ID})

    @property
    def digests(self) -> frozenset[bytes]:
        """The digests of which one must be stored; none where no text is needed."""
        if self.text_digest is None or self.key_id == PLATFORM_KEY_ID:
            return frozenset()
        return frozenset({self.text_digest, restricted_digest(self.text_digest)})


class _Open(msgspec.Struct, frozen=True, eq=False):
    """Something that is open, and how to end it."""

    tenant_id: str
    credentials: CallerCredentials
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
    def watching(
        self, tenant_id: str, credentials: CallerCredentials, end: Callable[[], None]
    ) -> Iterator[None]:
        """Call `end` if the credentials end or the tenant is suspended during the block."""
        one = _Open(tenant_id, credentials, end)
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
        ids = frozenset[str]().union(*(one.credentials.ids for one in checked))
        digests = frozenset[bytes]().union(*(one.credentials.digests for one in checked))
        valid: set[str | bytes] = set()
        if ids:
            valid = await valid_credentials(self._db, ids, digests, now=self._clock())
        for one in checked:
            texts = one.credentials.digests
            accepted = one.credentials.ids <= valid and (not texts or not texts.isdisjoint(valid))
            if not accepted or self._is_suspended(one.tenant_id):
                one.end()
        return CHECK_SECONDS

    def _is_suspended(self, tenant_id: str) -> bool:
        try:
            self._tenant_status.require_active(tenant_id)
        except TenantSuspendedError:
            return True
        return False
