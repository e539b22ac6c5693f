"""Sessions are stored as digests, end with their key, and with the platform key."""

from datetime import timedelta

import pytest

from runwright.core.errors import QuotaError, UnauthenticatedError
from runwright.core.roles import Caller, KeyScope, Role
from runwright.db.pool import Pool
from runwright.tenants import sessions as sessions_module
from runwright.tenants.api_keys import ApiKeys
from runwright.tenants.credential_cache import CACHE_TIME
from runwright.tenants.model import PLATFORM_KEY_ID, KeyCreate, SessionKind
from runwright.tenants.session_store import prune_sessions, valid_credentials
from runwright.tenants.sessions import Sessions
from tests.integration.tenants.conftest import Time

OPERATOR = Caller("ten_1", "usr_1", Role.PLATFORM_ADMIN, PLATFORM_KEY_ID, by_platform=True)
PLATFORM = "a-platform-key-of-the-operator"


@pytest.fixture
def sessions(database: Pool, time: Time) -> Sessions:
    return Sessions(database, clock=time, platform_key=PLATFORM)


async def open_one(
    sessions: Sessions,
    kind: SessionKind = SessionKind.SESSION,
    caller: Caller = OPERATOR,
    seconds: float = 60,
) -> str:
    _, text = await sessions.open(caller, kind, seconds=seconds, key_expires_at=None)
    return text


async def test_the_text_of_a_session_is_stored_nowhere(sessions: Sessions, database: Pool) -> None:
    for kind in SessionKind:
        text = await open_one(sessions, kind)
        for table in ("sessions", "audit_log"):
            rows = await database.fetch(f"SELECT t::text AS row FROM {table} t")
            assert rows
            assert all(text[4:] not in row["row"] for row in rows)


async def test_a_session_ends_in_time_with_its_key_and_with_the_platform_key(
    sessions: Sessions, database: Pool, time: Time
) -> None:
    keys = ApiKeys(database, clock=time)
    key, _ = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER))
    caller = Caller("ten_1", "usr_1", Role.TENANT_VIEWER, key.id, scopes=frozenset({KeyScope.READ}))
    short = await open_one(sessions, caller=caller, seconds=10)
    long = await open_one(sessions, caller=caller, seconds=3600)
    for text in (short, long):
        found = await sessions.authenticate(SessionKind.SESSION, text)
        assert found is not None
        assert found.as_key().scopes == {KeyScope.READ}
        assert await sessions.authenticate(SessionKind.TOKEN, text) is None
    other = Sessions(database, clock=time, platform_key=PLATFORM + "x")
    assert await other.authenticate(SessionKind.SESSION, long) is None
    assert other.installation != sessions.installation
    assert other.csrf_token(long) != sessions.csrf_token(long)
    time.pass_by(timedelta(seconds=10))
    assert await sessions.authenticate(SessionKind.SESSION, short) is None
    assert await sessions.authenticate(SessionKind.SESSION, long)
    await keys.revoke(OPERATOR, key.id)
    time.pass_by(CACHE_TIME)
    assert await sessions.authenticate(SessionKind.SESSION, long) is None


async def test_a_link_is_spent_once_and_is_no_key(sessions: Sessions, time: Time) -> None:
    link, late = await open_one(sessions, SessionKind.LINK), await open_one(sessions, SessionKind.LINK)
    for kind in SessionKind:
        assert await sessions.authenticate(kind, link) is None
    session, text = await sessions.redeem(link, None, request_id="req_1")
    assert session.kind is SessionKind.SESSION
    assert await sessions.authenticate(SessionKind.SESSION, text) == session
    time.pass_by(timedelta(seconds=60))
    for spent in (link, late, text, "rwl_"):
        with pytest.raises(UnauthenticatedError):
            await sessions.redeem(spent, None, request_id="req_1")


async def test_a_token_reads_as_a_viewer_of_one_tenant(sessions: Sessions) -> None:
    token = await sessions.authenticate(SessionKind.TOKEN, await open_one(sessions, SessionKind.TOKEN))
    assert token is not None
    key = token.as_key()
    assert (key.tenant_id, key.role, key.scopes) == (
        "ten_1",
        Role.TENANT_VIEWER,
        frozenset({KeyScope.READ}),
    )


async def test_a_session_ends_no_later_than_its_key(sessions: Sessions, time: Time) -> None:
    ends = time.now + timedelta(seconds=5)
    session, _ = await sessions.open(OPERATOR, SessionKind.SESSION, seconds=60, key_expires_at=ends)
    assert session.expires_at == ends


async def test_a_tenant_has_so_many_sessions_and_ended_ones_are_deleted(
    sessions: Sessions, database: Pool, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "MOST_SESSIONS", 2)
    for _ in range(2):
        await open_one(sessions)
    with pytest.raises(QuotaError):
        await open_one(sessions)
    other = Caller("ten_2", "usr_1", Role.TENANT_VIEWER, PLATFORM_KEY_ID)
    session, _ = await sessions.open(other, SessionKind.SESSION, seconds=3600, key_expires_at=None)
    time.pass_by(timedelta(seconds=60))
    await open_one(sessions)
    assert await prune_sessions(database, now=time.now, limit=10) == 2
    assert await valid_credentials(database, [session.id, "ses_x"], [], now=time.now) == {session.id}
