"""Sessions: what is derived from a key for a short time, so that the key itself need not be handed out.

- A *session* is the cookie of a browser that signed in with a key.
- A *token* is a bearer token that reads, as a viewer of one tenant.
- A *link* signs a browser in, once.

Each is for one tenant, user and role, and may do at most what the key and the headers could that made it. All
end with their key. Only digests are stored; they are keyed with the platform key, so a new platform key ends
every session.
"""

import hmac
from datetime import datetime, timedelta
from typing import Final

from runwright.core.clock import Clock
from runwright.core.errors import QuotaError, UnauthenticatedError
from runwright.core.ids import new_id
from runwright.core.roles import Caller, KeyScope, Role
from runwright.db.pool import Database
from runwright.tenants import session_store
from runwright.tenants.audit import record
from runwright.tenants.credential_cache import CredentialCache
from runwright.tenants.model import KeySession, SessionKind, digest, is_session_text, new_session_text
from runwright.tenants.rate_limits import RateLimiter

SESSION_SECONDS: Final = 12 * 3600
TOKEN_SECONDS: Final = 300
LINK_SECONDS: Final = 300
LONGEST_SESSION_SECONDS: Final = 30 * 24 * 3600
LONGEST_TOKEN_SECONDS: Final = 3600
MOST_SESSIONS: Final = 10_000
"""How many sessions of all kinds a tenant may have."""

_READ: Final = frozenset({KeyScope.READ})


class Sessions:
    """The sessions of all tenants."""

    def __init__(
        self, db: Database, *, clock: Clock, platform_key: str, unknown: RateLimiter | None = None
    ) -> None:
        """`unknown` limits the lookups of unknown sessions by address."""
        self._db = db
        self._clock = clock
        self._secret = digest(platform_key)
        self._cache = CredentialCache(self._fetch, clock=clock, unknown=unknown)
        self.installation = hmac.digest(self._secret, b"installation", "sha256").hex()[:8]
        """Identifies the server's installation among those whose cookies a browser has."""

    async def authenticate(
        self, kind: SessionKind, text: str, address: str | None = None
    ) -> KeySession | None:
        """Return the session with this text; None if it is unknown or has ended. RateLimitedError."""
        if not is_session_text(kind, text):
            return None
        session = await self._cache.find(self._digest(text), address)
        return session if session is not None and session.kind is kind else None

    async def open(
        self, caller: Caller, kind: SessionKind, *, seconds: float, key_expires_at: datetime | None
    ) -> tuple[KeySession, str]:
        """Make a session for the caller and return it with its text, which cannot be retrieved again.

        QuotaError where the tenant has too many.
        """
        now = self._clock()
        expires_at = now + timedelta(seconds=seconds)
        session = KeySession(
            id=new_id("ses", now),
            kind=kind,
            key_id=caller.key_id,
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            role=Role.TENANT_VIEWER if kind is SessionKind.TOKEN else caller.role,
            scopes=caller.scopes & _READ if kind is SessionKind.TOKEN else caller.scopes,
            by_platform=caller.sees_all_tenants and kind is not SessionKind.TOKEN,
            created_at=now,
            expires_at=expires_at if key_expires_at is None else min(expires_at, key_expires_at),
        )
        return session, await self._insert(caller, session)

    async def redeem(self, link: str, address: str | None, *, request_id: str) -> tuple[KeySession, str]:
        """Spend a link: return the session that it signs in, and its text.

        UnauthenticatedError for one that is wrong, spent or expired; RateLimitedError after too many.
        """
        if address is not None:
            self._cache.limit(address)
        now = self._clock()
        text = new_session_text(SessionKind.SESSION)
        async with self._db.acquire() as db, db.transaction():
            spent = None
            if is_session_text(SessionKind.LINK, link):
                spent = await session_store.take_link(db, self._digest(link), now=now)
            if spent is None:
                raise UnauthenticatedError("The link was used already, has expired, or is wrong.")
            session = _session_of(spent, now)
            await session_store.insert_session(db, session, self._digest(text))
            caller = Caller(
                spent.tenant_id, spent.user_id, spent.role, spent.key_id, request_id, spent.by_platform
            )
            await record(db, caller, "session.redeem", session.id, after=session, now=now)
        return session, text

    async def end(self, caller: Caller, session: KeySession) -> None:
        """End a session: it is refused here at once, and everywhere within two seconds."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            if await session_store.delete_session(db, session.id):
                await record(db, caller, "session.end", session.id, before=session, now=now)
        self._cache.clear()

    def csrf_token(self, text: str) -> str:
        """Return the token that a browser with this session must send with every write."""
        return hmac.digest(self._secret, f"csrf:{text}".encode(), "sha256").hex()

    async def _insert(self, caller: Caller, session: KeySession) -> str:
        now, tenant_id = session.created_at, session.tenant_id
        text = new_session_text(session.kind)
        count = await session_store.count_sessions(self._db, tenant_id, now=now, bound=MOST_SESSIONS)
        if count >= MOST_SESSIONS:
            raise QuotaError("sessions", MOST_SESSIONS, count)
        async with self._db.acquire() as db, db.transaction():
            await session_store.insert_session(db, session, self._digest(text))
            await record(db, caller, f"{session.kind}.create", session.id, after=session, now=now)
        return text

    async def _fetch(self, key_digest: bytes, now: datetime) -> tuple[KeySession, datetime | None] | None:
        session = await session_store.find_session(self._db, key_digest, now=now)
        return None if session is None else (session, session.expires_at)

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._secret, text.encode(), "sha256")


def _session_of(link: KeySession, now: datetime) -> KeySession:
    """Return the session of a browser that a link signs in."""
    return KeySession(
        id=new_id("ses", now),
        kind=SessionKind.SESSION,
        key_id=link.key_id,
        tenant_id=link.tenant_id,
        user_id=link.user_id,
        role=link.role,
        scopes=link.scopes,
        by_platform=link.by_platform,
        created_at=now,
        expires_at=now + timedelta(seconds=SESSION_SECONDS),
    )
