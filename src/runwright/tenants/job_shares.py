"""Shares: links that show one job, to anyone who has them, until they expire or are revoked.

A tenant has to allow them; forbidding them ends all. A share ends with the key that it was made with, and
only the digest of its text is stored, keyed with the platform key. It is no key: nothing but the one job can
be read with it. Visitors have rates of their own, so that they take nothing from the tenant's.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from runwright.core.clock import Clock
from runwright.core.errors import (
    ForbiddenError,
    NotFoundError,
    QuotaError,
    RateLimitedError,
    UnauthenticatedError,
)
from runwright.core.ids import JobId, new_id
from runwright.core.roles import Caller, KeyScope
from runwright.db.pool import Database
from runwright.tenants import job_share_store as store
from runwright.tenants.audit import record
from runwright.tenants.credential_cache import CredentialCache
from runwright.tenants.model import JobShare, digest, is_share_text, new_share_text
from runwright.tenants.rate_limits import Rate, RateLimiter

SHARE_SECONDS: Final = 24 * 3600
LONGEST_SHARE_SECONDS: Final = 30 * 24 * 3600
MOST_SHARES: Final = 1_000
"""How many shares a tenant may have."""

_VISITS: Final = Rate(per_second=5, burst=60)
"""Requests with one share."""
_TENANT_VISITS: Final = Rate(per_second=50, burst=500)
"""Requests with all shares of a tenant."""
_NOT_ALLOWED: Final = "The tenant does not allow its jobs to be shared. An administrator can turn that on."


class JobShares:
    """The shares of all tenants. Methods return after their changes are committed."""

    def __init__(
        self, db: Database, *, clock: Clock, platform_key: str, unknown: RateLimiter | None = None
    ) -> None:
        """`unknown` limits the lookups of unknown shares by address."""
        self._db = db
        self._clock = clock
        self._secret = digest(platform_key)
        self._cache = CredentialCache(self._fetch, clock=clock, unknown=unknown)
        self._visits = RateLimiter(_VISITS)
        self._tenant_visits = RateLimiter(_TENANT_VISITS)

    async def create(self, caller: Caller, job_id: JobId, *, seconds: float) -> tuple[JobShare, str]:
        """Make a share of a job of the caller's tenant; return it with its text, which is not stored.

        ForbiddenError where the tenant does not allow shares, or the caller may not read; QuotaError.
        """
        if KeyScope.READ not in caller.scopes:
            raise ForbiddenError("Who shares a job must be able to read it: this key has no scope read.")
        now = self._clock()
        share = JobShare(
            id=new_id("shr", now),
            tenant_id=caller.tenant_id,
            job_id=job_id,
            key_id=caller.key_id,
            user_id=caller.user_id,
            created_at=now,
            expires_at=now + timedelta(seconds=seconds),
        )
        text = new_share_text()
        async with self._db.acquire() as db, db.transaction():
            # Those of one tenant are counted one after another.
            if not await store.is_sharing_allowed(db, caller.tenant_id, lock=True):
                raise ForbiddenError(_NOT_ALLOWED)
            count = await store.count_shares(db, caller.tenant_id, now=now, bound=MOST_SHARES)
            if count >= MOST_SHARES:
                raise QuotaError("job_shares", MOST_SHARES, count)
            await store.insert_share(db, share, self._digest(text))
            await record(db, caller, "job.share", share.id, after=share, now=now)
        return share, text

    async def list(self, tenant_id: str, job_id: JobId) -> Sequence[JobShare]:
        """Return the shares of a job that have not ended, newest first."""
        return await store.list_shares(self._db, tenant_id, job_id, now=self._clock())

    async def revoke(self, caller: Caller, job_id: JobId, share_id: str) -> None:
        """End a share: it is refused here at once, and everywhere within two seconds. NotFoundError."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            share = await store.delete_share(db, caller.tenant_id, job_id, share_id=share_id)
            if share is None:
                raise NotFoundError("There is no such share of this job.")
            await record(db, caller, "job.unshare", share.id, before=share, now=now)
        self._cache.clear()

    async def is_allowed(self, tenant_id: str) -> bool:
        """Return whether a tenant allows shares."""
        return await store.is_sharing_allowed(self._db, tenant_id)

    async def set_allowed(self, caller: Caller, *, allowed: bool) -> None:
        """Let the caller's tenant allow shares, or forbid them, which ends all that there are."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            if await store.is_sharing_allowed(db, caller.tenant_id) is not allowed:
                # The entry creates the tenant, if this is its first write.
                await record(
                    db, caller, "sharing.change", caller.tenant_id, before=not allowed, after=allowed, now=now
                )
            await store.set_sharing(db, caller.tenant_id, allowed=allowed)
        self._cache.clear()

    async def visit(self, text: str, address: str | None) -> JobShare:
        """Return the share with this text, and charge its rates for one request.

        UnauthenticatedError for one that is wrong, revoked or expired; RateLimitedError.
        """
        share = None
        if is_share_text(text):
            share = await self._cache.find(self._digest(text), address)
        if share is None:
            raise UnauthenticatedError("This link is wrong, has expired, or was revoked.")
        _charge(self._visits, share.id)
        _charge(self._tenant_visits, share.tenant_id)
        return share

    async def _fetch(self, share_digest: bytes, now: datetime) -> tuple[JobShare, datetime] | None:
        share = await store.find_share(self._db, share_digest, now=now)
        return None if share is None else (share, share.expires_at)

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._secret, text.encode(), "sha256")


def _charge(limiter: RateLimiter, key: str) -> None:
    state = limiter.take(key)
    if state is not None and state.retry_after is not None:
        message = f"This link is asked for too often; try again in {state.retry_after} s."
        raise RateLimitedError(message, retry_after=state.retry_after)
