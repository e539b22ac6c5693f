"""API keys are shown once, recognised until they are revoked, and never stored."""

import asyncio
from datetime import timedelta

import pytest
from msgspec import UNSET

from runwright.core.errors import ConflictError, InvalidError, NotFoundError, RateLimitedError
from runwright.core.roles import Caller, KeyScope, Role
from runwright.db.pool import Pool
from runwright.tenants.api_keys import MOST_PREVIOUS, RECORD_USE_EVERY, ApiKeys
from runwright.tenants.credential_cache import CACHE_TIME
from runwright.tenants.model import KeyCreate, digest, is_key_text, new_key_text
from runwright.tenants.rate_limits import Rate, RateLimiter
from tests.integration.tenants.conftest import Time

OPERATOR = Caller("ten_1", "usr_1", Role.PLATFORM_ADMIN, "platform", by_platform=True)
PLATFORM = "a-platform-key-of-the-operator"


@pytest.fixture
def keys(database: Pool, time: Time) -> ApiKeys:
    return ApiKeys(database, clock=time, platform_key=PLATFORM)


async def test_a_new_key_is_recognised_with_its_tenant_and_role(keys: ApiKeys) -> None:
    made, text = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_ADMIN, name="ci"))
    found = await keys.authenticate(text)
    assert found is not None
    assert (found.id, found.tenant_id, found.role, found.name) == (made.id, "ten_1", Role.TENANT_ADMIN, "ci")


async def test_the_text_of_a_key_is_random_and_stored_nowhere(keys: ApiKeys, database: Pool) -> None:
    _, first = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_ADMIN))
    _, second = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_ADMIN))
    assert first != second
    assert is_key_text(first)
    for row in await database.fetch("SELECT k::text AS row, encode(digest, 'escape') AS raw FROM api_keys k"):
        assert first.removeprefix("rwk_") not in row["row"] + row["raw"]


@pytest.mark.parametrize("wrong", ["", "rwk_", "rwk_" + "A" * 43, "x" * 500, "ключ", PLATFORM + "x"])
async def test_a_wrong_key_is_nobody(keys: ApiKeys, wrong: str) -> None:
    assert await keys.authenticate(wrong) is None


async def test_the_platform_key_names_no_tenant(keys: ApiKeys, database: Pool) -> None:
    found = await keys.authenticate(PLATFORM)
    assert found is not None
    assert (found.tenant_id, found.role) == (None, Role.PLATFORM_ADMIN)
    assert await ApiKeys(database, clock=Time()).authenticate(PLATFORM) is None


async def test_a_revoked_key_is_refused_here_at_once_and_elsewhere_within_the_time_to_remember(
    keys: ApiKeys, database: Pool, time: Time
) -> None:
    elsewhere = ApiKeys(database, clock=time)
    made, text = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER))
    assert await keys.authenticate(text)
    assert await elsewhere.authenticate(text)
    await keys.revoke(OPERATOR, made.id)
    assert await keys.authenticate(text) is None
    time.pass_by(CACHE_TIME)
    assert await elsewhere.authenticate(text) is None


async def test_revoking_twice_keeps_the_first_moment(keys: ApiKeys, time: Time) -> None:
    made, _ = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER))
    first = await keys.revoke(OPERATOR, made.id)
    time.pass_by(timedelta(hours=1))
    assert await keys.revoke(OPERATOR, made.id) == first
    with pytest.raises(NotFoundError):
        await keys.revoke(OPERATOR, "key_00000000000000000000000000")


async def test_use_is_noted_at_most_once_a_minute(keys: ApiKeys, time: Time) -> None:
    _, text = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER))
    first = time.now
    for moment in (timedelta(0), RECORD_USE_EVERY - CACHE_TIME):
        time.now = first + moment
        await keys.authenticate(text)
        assert (await keys.list())[0].last_used_at == first
    time.now = first + RECORD_USE_EVERY
    await keys.authenticate(text)
    assert (await keys.list())[0].last_used_at == time.now


async def test_a_busy_key_is_remembered_for_two_seconds(keys: ApiKeys, database: Pool, time: Time) -> None:
    """A change of its row is seen after that time and not before."""
    _, text = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER))
    found = await asyncio.gather(*(keys.authenticate(text) for _ in range(100)))
    assert len({key.id for key in found if key}) == 1
    await database.execute("UPDATE api_keys SET role = 'tenant-admin'")
    again = await keys.authenticate(text)
    assert again is not None
    assert again.role == Role.TENANT_VIEWER
    time.pass_by(CACHE_TIME)
    changed = await keys.authenticate(text)
    assert changed is not None
    assert changed.role == Role.TENANT_ADMIN


async def test_a_caller_that_goes_away_does_not_spoil_the_answer_of_others(keys: ApiKeys) -> None:
    _, text = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER))
    leaver, stayer = (asyncio.create_task(keys.authenticate(text)) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    assert await stayer is not None


async def test_keys_are_listed_newest_first_and_by_tenant(keys: ApiKeys, time: Time) -> None:
    made = []
    for tenant in ("ten_1", "ten_2", "ten_1"):
        key, _ = await keys.create(OPERATOR, KeyCreate(tenant_id=tenant, role=Role.TENANT_VIEWER))
        made.append(key.id)
        time.pass_by(timedelta(seconds=1))
    assert [key.id for key in await keys.list()] == made[::-1]
    assert [key.id for key in await keys.list("ten_1")] == [made[2], made[0]]


@pytest.mark.parametrize(
    ("tenant", "name", "field"),
    [("", "", "tenant"), ("a/b", "", "tenant"), ("a", "\0", "name"), ("a", "n" * 201, "name")],
)
async def test_bad_names_are_refused_by_field(keys: ApiKeys, tenant: str, name: str, field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        await keys.create(OPERATOR, KeyCreate(tenant_id=tenant, role=Role.TENANT_VIEWER, name=name))
    assert list(caught.value.fields) == [field]


async def test_a_key_that_was_met_passes_however_many_unknown_ones_its_address_has_tried(
    database: Pool, time: Time
) -> None:
    keys = ApiKeys(database, clock=time, unknown_keys=RateLimiter(Rate(0.001, 2)))
    _, text = await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_ADMIN))
    assert await keys.authenticate(text, "192.0.2.1") is not None
    assert await keys.authenticate(new_key_text(), "192.0.2.1") is None
    with pytest.raises(RateLimitedError):
        await keys.authenticate(new_key_text(), "192.0.2.1")
    assert await keys.authenticate(new_key_text(), "192.0.2.2") is None
    time.pass_by(CACHE_TIME)
    assert await keys.authenticate(text, "192.0.2.1") is not None


async def test_the_previous_release_finds_no_key_that_it_could_not_restrict(
    keys: ApiKeys, database: Pool, time: Time
) -> None:
    later = time.now + timedelta(days=1)
    for restriction in ({"scopes": frozenset({KeyScope.READ})}, {"expires_at": later}, {}):
        new = KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER, **restriction)
        key, text = await keys.create(OPERATOR, new)
        found = await database.fetchval("SELECT id FROM api_keys WHERE digest = $1", digest(text))
        assert (found == key.id) == (not restriction)
        assert await keys.authenticate(text) is not None


async def test_uses_are_written_together_and_not_by_requests(
    keys: ApiKeys, database: Pool, time: Time
) -> None:
    made = [
        await keys.create(OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER)) for _ in range(3)
    ]
    for _, text in made[:2]:
        assert await keys.authenticate(text)
    stored = "SELECT last_used_at FROM api_keys ORDER BY id"
    assert [row[0] for row in await database.fetch(stored)] == [None, None, None]
    assert (await keys.get(OPERATOR, made[0][0].id)).last_used_at == time.now
    await keys.record_uses()
    assert [row[0] for row in await database.fetch(stored)] == [time.now, time.now, None]


async def test_a_key_keeps_its_earlier_texts_for_the_overlap_and_not_beyond_its_expiry(
    keys: ApiKeys, time: Time
) -> None:
    until = time.now + timedelta(minutes=5)
    key, first = await keys.create(
        OPERATOR, KeyCreate(tenant_id="ten_1", role=Role.TENANT_VIEWER, expires_at=until)
    )
    rotated, second = await keys.rotate(OPERATOR, key.id, overlap=timedelta(hours=1), expires_at=None)
    assert (rotated.expires_at, rotated.previous_until) == (None, until)
    assert await keys.authenticate(first)
    time.pass_by(timedelta(minutes=5))
    assert await keys.authenticate(first) is None
    assert await keys.authenticate(second)
    assert (await keys.get(OPERATOR, key.id)).previous_until is None
    for _ in range(MOST_PREVIOUS):
        await keys.rotate(OPERATOR, key.id, overlap=timedelta(hours=1), expires_at=UNSET)
    with pytest.raises(ConflictError):
        await keys.rotate(OPERATOR, key.id, overlap=timedelta(hours=1), expires_at=UNSET)
